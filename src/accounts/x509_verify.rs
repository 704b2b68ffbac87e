//! Whether a client's certificate (X.509) opens an account: by the rules of the account, the
//! authorities of its tenant, and what those revoked.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error,
    ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage,
    RequiredEkuNotFoundContext, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::accounts::caller::Caller;
use crate::accounts::login::Inner;
use crate::accounts::x509::Presented;
use crate::accounts::x509_lists::is_listed;
use crate::db::account_certificates;
use crate::db::x509::{self, X509Authority, X509Crl};
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;

/// What became of a client's certificates.
pub(in crate::accounts) enum Verdict {
    /// No certificate opens the account: this one says nothing about whoever showed it.
    Beside,
    /// It does not open the account, and why.
    Flawed(String),
    /// It opens the account; what it is, for the audit log.
    Good(String),
}

impl Inner {
    /// Looks at certificates, the client's own first, whose key it has.
    pub(in crate::accounts) async fn look_at_x509(
        &self,
        caller: &Caller,
        chain: &[Vec<u8>],
    ) -> Result<Verdict> {
        let (Some(account), Some((leaf, above))) = (caller.usable(), chain.split_first()) else {
            return Ok(Verdict::Beside);
        };
        let mut tx = self.db().read(caller.tenant.id).await?;
        let rules = account_certificates::list(&mut tx, account.id).await?;
        if rules.is_empty() {
            return Ok(Verdict::Beside);
        }
        let Some(presented) = Presented::read(leaf) else {
            return Ok(Verdict::Flawed("a certificate cannot be read".to_owned()));
        };
        let flawed = |why: &str| Ok(Verdict::Flawed(format!("{presented}: {why}")));
        let now = self.now();
        if now < presented.valid_from {
            return flawed("is not valid yet");
        }
        if now > presented.valid_to {
            return flawed("has expired");
        }
        if !presented.for_clients {
            return flawed("is not for clients");
        }
        let is_pinned = rules
            .iter()
            .any(|rule| presented.is_pinned(&rule.kind, &rule.value));
        let is_named = rules
            .iter()
            .any(|rule| presented.is_named(&rule.kind, &rule.value));
        if !is_pinned && !is_named {
            return flawed("does not open the account");
        }
        // The lists are long: only what gets this far is worth reading them.
        let crls = x509::crls(&mut tx).await?;
        if is_pinned {
            return match is_listed(&presented, &crls) {
                true => flawed("is revoked"),
                false => Ok(Verdict::Good(presented.to_string())),
            };
        }
        let authorities = x509::list(&mut tx).await?;
        let (valid, over): (Vec<_>, Vec<_>) = authorities
            .into_iter()
            .partition(|authority| is_valid(authority, now));
        match verify(leaf, above, &valid, &crls, now) {
            Ok(()) => Ok(Verdict::Good(presented.to_string())),
            Err(_) if over.iter().any(|one| is_of(one, &presented.issuer)) => {
                flawed("is of an authority whose own certificate is not valid now; add its new one")
            }
            Err(why) => flawed(&why),
        }
    }
}

/// Whether an authority's own certificate is valid now, which is not looked at on the way to it.
fn is_valid(authority: &X509Authority, now: Timestamp) -> bool {
    X509Certificate::from_der(&authority.certificate).is_ok_and(|(_, certificate)| {
        let validity = certificate.validity();
        let seconds = now.seconds();
        (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&seconds)
    })
}

fn is_of(authority: &X509Authority, name: &[u8]) -> bool {
    let parsed = X509Certificate::from_der(&authority.certificate);
    parsed.is_ok_and(|(_, certificate)| certificate.subject().as_raw() == name)
}

/// That a certificate is for clients or for anything, where it says what it is for (RFC 5280 section 4.2.1.12).
struct ForClients;

/// id-kp-clientAuth and anyExtendedKeyUsage, in DER.
const PURPOSES: [KeyPurposeId<'static>; 2] = [
    KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 2]),
    KeyPurposeId::new(&[0x55, 0x1d, 0x25, 0]),
];

impl ExtendedKeyUsageValidator for ForClients {
    fn validate(&self, said: KeyPurposeIdIter<'_, '_>) -> std::result::Result<(), Error> {
        let said = said.collect::<std::result::Result<Vec<_>, _>>()?;
        if said.is_empty() || said.iter().any(|one| PURPOSES.contains(one)) {
            return Ok(());
        }
        let context = RequiredEkuNotFoundContext {
            required: KeyUsage::client_auth(),
            present: said.iter().map(KeyPurposeId::to_decoded_oid).collect(),
        };
        Err(Error::RequiredEkuNotFoundContext(context))
    }
}

fn verify(
    leaf: &[u8],
    above: &[Vec<u8>],
    authorities: &[X509Authority],
    crls: &[X509Crl],
    now: Timestamp,
) -> std::result::Result<(), String> {
    let said = |error: Error| format!("cannot be verified: {error}");
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf).map_err(said)?;
    let above: Vec<_> = above
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let trusted: Vec<_> = authorities
        .iter()
        .map(|authority| CertificateDer::from(authority.certificate.as_slice()))
        .collect();
    let anchors: Vec<TrustAnchor<'_>> = trusted
        .iter()
        .map(webpki::anchor_from_trusted_cert)
        .collect::<std::result::Result<_, _>>()
        .map_err(said)?;
    let lists: Vec<CertRevocationList<'_>> = crls
        .iter()
        .map(|stored| BorrowedCertRevocationList::from_der(&stored.crl).map(Into::into))
        .collect::<std::result::Result<_, _>>()
        .map_err(said)?;
    let lists: Vec<_> = lists.iter().collect();
    // Without any list there is nothing to build.
    let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
        builder
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Allow)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build()
    });
    let seconds = u64::try_from(now.seconds()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let verified = leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        &anchors,
        &above,
        time,
        ForClients,
        revocation,
        None,
    );
    verified.map(drop).map_err(|error| match error {
        Error::CertRevoked => "is revoked".to_owned(),
        Error::CrlExpired { .. } => {
            tracing::warn!(
                "a list of revoked certificates is over, and its authority's certificates open \
                 nothing; add a newer one by 'sealift tenant x509 crl'"
            );
            "the list of what its authority revoked is over; add a newer one".to_owned()
        }
        Error::UnknownIssuer => "is of an authority that the tenant does not trust".to_owned(),
        error => said(error),
    })
}
