//! Lists of revoked certificates (X.509): read, believed when an authority of the tenant made them, and put in the
//! place of the last one.

use std::collections::BTreeSet;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{ALL_VERIFICATION_ALGS, BorrowedCertRevocationList};
use x509_parser::prelude::{
    CertificateRevocationList, FromDer as _, SubjectPublicKeyInfo, X509Certificate, X509Extension,
};

use crate::accounts::x509::{Presented, fingerprint, is_pem};
use crate::db::x509::{X509Authority, X509Crl};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};

/// A list is read at each login that it may concern.
const MAX_LIST_BYTES: usize = 4 << 20;
/// Lists in one file that are taken.
const MAX_LISTS: usize = 16;
/// Certificates beside lists that are looked at.
const MAX_BESIDE: usize = 8;
/// What is understood of a list when it must be: its number, of what it is, whose key made it (2.5.29).
const UNDERSTOOD: [&str; 3] = ["2.5.29.20", "2.5.29.28", "2.5.29.35"];
/// How far an authority's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_mins(5);

/// A list as it was brought, before anything of it is believed.
pub(in crate::accounts) struct Brought {
    pub(in crate::accounts) list: X509Crl,
    /// Certificates in the same file, in DER.
    beside: Vec<Vec<u8>>,
}

impl Brought {
    /// Reads a file of a list in DER, or of lists in PEM, beside which certificates may stand; there is at least one.
    /// Those that were made earlier come first.
    ///
    /// # Errors
    /// Invalid when there is none, or one that is not understood or is too long.
    pub(in crate::accounts) fn read(file: &[u8], now: Timestamp) -> Result<Vec<Self>> {
        if !is_pem(file) {
            return Ok(vec![Self::of(file.to_vec(), &[], now)?]);
        }
        let lists = CertificateRevocationListDer::pem_slice_iter(file).take(MAX_LISTS + 1);
        let lists: std::result::Result<Vec<_>, _> = lists.collect();
        let lists = lists.map_err(|error| none().because(error))?;
        if lists.is_empty() {
            return Err(none());
        }
        if lists.len() > MAX_LISTS {
            return Err(Error::invalid(format!(
                "the file holds more than {MAX_LISTS} lists; give them in several files"
            )));
        }
        let beside = CertificateDer::pem_slice_iter(file).take(MAX_BESIDE);
        let beside = beside.filter_map(std::result::Result::ok);
        let beside: Vec<_> = beside.map(|one| one.to_vec()).collect();
        let many = lists.len() > 1;
        let read = lists.into_iter().enumerate().map(|(at, list)| {
            let brought = Self::of(list.to_vec(), &beside, now);
            brought.map_err(|error| match many {
                true => {
                    let sentence = format!("list {} of the file: {}", at + 1, error.context());
                    error.saying(sentence)
                }
                false => error,
            })
        });
        let mut read: Vec<Self> = read.collect::<Result<_>>()?;
        read.sort_by_key(|one| parse(&one.list.crl).map(|list| list.last_update().timestamp()));
        Ok(read)
    }

    fn of(der: Vec<u8>, beside: &[Vec<u8>], now: Timestamp) -> Result<Self> {
        if der.len() > MAX_LIST_BYTES {
            return Err(Error::invalid(format!(
                "the list is longer than {} MiB; have the authority split it",
                MAX_LIST_BYTES >> 20
            )));
        }
        let parsed = parse(&der).ok_or_else(none)?;
        BorrowedCertRevocationList::from_der(&der)
            .map_err(|error| refused(&parsed, &error).because(error))?;
        let list = X509Crl {
            issuer: fingerprint(parsed.issuer().as_raw()),
            name: parsed.issuer().to_string(),
            added_at: now,
            crl: der.clone(),
        };
        let beside = beside.to_vec();
        Ok(Self { list, beside })
    }

    /// Whether it names what the last list of its authority did not, among those that are `stored`. One that none of
    /// its authorities signed, as was taken once, counts for nothing in this.
    ///
    /// # Errors
    /// Invalid when no authority of the tenant made it, or it is of a time to come, or older than the last one, or the
    /// last one is of another authority of the same name.
    pub(in crate::accounts) fn names_more(
        &self,
        authorities: &[X509Authority],
        stored: &[X509Crl],
    ) -> Result<bool> {
        let unreadable = || Error::internal("a list that was read cannot be read again");
        let new = parse(&self.list.crl).ok_or_else(unreadable)?;
        let trusted: Vec<_> = authorities
            .iter()
            .filter_map(|authority| certificate(&authority.certificate))
            .collect();
        let makers = self.makers(&new, &trusted, stored);
        let maker = makers.iter().find(|maker| made(maker, &new));
        let maker = maker.ok_or_else(|| self.nobodys())?;
        if new.last_update().timestamp() > self.list.added_at.plus(AHEAD).seconds() {
            return Err(Error::invalid(format!(
                "the list was made later than now, at {}; see to the clocks of the authority and of the database's \
                 machine",
                Timestamp::from_seconds(new.last_update().timestamp())
            )));
        }
        let last = stored.iter().find(|last| last.issuer == self.list.issuer);
        let Some(last) = last.and_then(|last| parse(&last.crl)) else {
            return Ok(new.iter_revoked_certificates().next().is_some());
        };
        if !made(maker, &last) && makers.iter().any(|other| made(other, &last)) {
            return Err(Error::invalid(format!(
                "the tenant has a list of another authority that is called {}, too, and keeps one by each name; take \
                 the authority that is over away first",
                self.list.name
            ))
            .hinting("'sealift tenant x509 remove' does that"));
        }
        // Of lists that were made in the same second the number tells (RFC 5280 section 5.2.3).
        let is_older = match (new.crl_number(), last.crl_number()) {
            (Some(number), Some(before)) if new.last_update() == last.last_update() => {
                number < before
            }
            _ => new.last_update() < last.last_update(),
        };
        if is_older && made(maker, &last) {
            return Err(Error::invalid(
                "the tenant has a newer list of this authority; give the newest",
            ));
        }
        let before: BTreeSet<_> = last
            .iter_revoked_certificates()
            .map(|one| one.raw_serial())
            .collect();
        let mut named = new.iter_revoked_certificates();
        Ok(named.any(|one| !before.contains(one.raw_serial())))
    }

    /// The authorities by the name of whoever made a list: those that the tenant trusts or, where none of these has
    /// the name, those right below them whose certificates stand beside the list.
    fn makers<'a>(
        &'a self,
        list: &CertificateRevocationList<'_>,
        trusted: &[X509Certificate<'a>],
        stored: &[X509Crl],
    ) -> Vec<X509Certificate<'a>> {
        let is_called =
            |one: &X509Certificate<'_>| one.subject().as_raw() == list.issuer().as_raw();
        let mut own: Vec<_> = trusted
            .iter()
            .filter(|one| is_called(one))
            .cloned()
            .collect();
        if !own.is_empty() {
            own.retain(may_sign_lists);
            return own;
        }
        let below = self.beside.iter().filter(|der| {
            let presented = Presented::read(der);
            presented.is_some_and(|presented| !is_listed(&presented, stored))
        });
        let below = below.filter_map(|der| certificate(der));
        let below = below.filter(|one| is_called(one) && one.is_ca() && may_sign_lists(one));
        let is_vouched_for = |one: &X509Certificate<'_>| {
            trusted.iter().any(|above| {
                above.subject().as_raw() == one.issuer().as_raw()
                    && is_signed(
                        one.tbs_certificate.as_ref(),
                        &one.signature_value.data,
                        above.public_key(),
                    )
            })
        };
        below.filter(is_vouched_for).collect()
    }

    fn nobodys(&self) -> Error {
        Error::invalid(format!(
            "the list is not signed by an authority called {} that the tenant trusts; add its certificate first or, \
             where it is right below one that is trusted, write it behind the list into the same file, in PEM",
            self.list.name
        ))
        .hinting("'sealift tenant x509 add' adds it")
    }
}

/// Whether a list of whoever made the certificate has its number. A list that cannot be read has all.
pub(in crate::accounts) fn is_listed(presented: &Presented, lists: &[X509Crl]) -> bool {
    lists.iter().any(|stored| {
        let Some(list) = parse(&stored.crl) else {
            return true;
        };
        let mut revoked = list.iter_revoked_certificates();
        list.issuer().as_raw() == presented.issuer
            && revoked.any(|one| one.raw_serial() == presented.serial)
    })
}

fn none() -> Error {
    Error::invalid(
        "the file holds no list of revoked certificates; give what the authority made, in PEM or DER",
    )
}

/// What is missing of a list, or not understood of it.
fn refused(list: &CertificateRevocationList<'_>, error: &webpki::Error) -> Error {
    let unknown = |one: &&X509Extension<'_>| {
        one.critical && !UNDERSTOOD.contains(&one.oid.to_id_string().as_str())
    };
    let unknown = list.extensions().iter().find(unknown);
    let why = match error {
        webpki::Error::UnsupportedDeltaCrl => {
            "it only says what has changed (a delta list); give the whole one".to_owned()
        }
        webpki::Error::UnsupportedIndirectCrl => {
            "it speaks for other authorities too (an indirect list); give one of each".to_owned()
        }
        webpki::Error::UnsupportedRevocationReasonsPartitioning => {
            "it is for some reasons of revocation only; give the whole one".to_owned()
        }
        _ if list.version().is_none() => {
            "it is of version 1; have the authority make one of version 2 (in openssl's configuration: crl_extensions \
             and crlnumber)"
                .to_owned()
        }
        _ if list.next_update().is_none() => {
            "it does not say when the next one comes (nextUpdate); have the authority say so"
                .to_owned()
        }
        _ if list.extensions().is_empty() => {
            "it has no number (CRLNumber); have the authority number its lists".to_owned()
        }
        _ => match unknown {
            Some(one) => format!(
                "nobody here knows what its critical extension {} demands; have the authority make one without",
                one.oid
            ),
            None => format!("it is not made as RFC 5280 has it ({error})"),
        },
    };
    Error::invalid(format!(
        "the list of {} cannot be taken: {why}",
        list.issuer()
    ))
}

fn parse(der: &[u8]) -> Option<CertificateRevocationList<'_>> {
    let parsed = CertificateRevocationList::from_der(der);
    parsed.ok().map(|(_, list)| list)
}

fn certificate(der: &[u8]) -> Option<X509Certificate<'_>> {
    let parsed = X509Certificate::from_der(der);
    parsed.ok().map(|(_, certificate)| certificate)
}

/// What a certificate does not say may be done (RFC 5280 section 4.2.1.3), as everybody takes it.
fn may_sign_lists(authority: &X509Certificate<'_>) -> bool {
    match authority.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.crl_sign()),
        Err(_) => false,
    }
}

fn made(maker: &X509Certificate<'_>, list: &CertificateRevocationList<'_>) -> bool {
    is_signed(
        list.tbs_cert_list.as_ref(),
        &list.signature_value.data,
        maker.public_key(),
    )
}

/// Whether a key signed it, by whichever algorithm certificates may be signed with; a key of another algorithm is none
/// of this one.
fn is_signed(signed: &[u8], signature: &[u8], key: &SubjectPublicKeyInfo<'_>) -> bool {
    let key = &key.subject_public_key.data;
    ALL_VERIFICATION_ALGS
        .iter()
        .any(|algorithm| algorithm.verify_signature(key, signed, signature).is_ok())
}
