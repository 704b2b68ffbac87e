//! Whether a client's certificate (X.509) opens an account: by the rules of the account, the
//! authorities of its tenant, and what those revoked.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error,
    ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use crate::accounts::caller::Caller;
use crate::accounts::login::Inner;
use crate::accounts::x509::Presented;
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
        match verify(leaf, above, &authorities, &crls, now) {
            Ok(()) => Ok(Verdict::Good(presented.to_string())),
            Err(why) => flawed(&why),
        }
    }
}

/// Whether a list of whoever made the certificate has its number. A list that cannot be read has all.
fn is_listed(presented: &Presented, crls: &[X509Crl]) -> bool {
    crls.iter().any(|stored| {
        let Ok((_, crl)) = CertificateRevocationList::from_der(&stored.crl) else {
            return true;
        };
        let mut revoked = crl.iter_revoked_certificates();
        crl.issuer().as_raw() == presented.issuer
            && revoked.any(|one| one.raw_serial() == presented.serial)
    })
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
    let usage = KeyUsage::client_auth();
    let verified = leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        &anchors,
        &above,
        time,
        usage,
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
