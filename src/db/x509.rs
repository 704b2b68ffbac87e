//! Authorities (X.509) whose certificates open a tenant's accounts, and what they revoked.

use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};

/// An authority's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Authority {
    /// The certificate's SHA-256, in hex.
    pub fingerprint: String,
    /// The certificate, in DER.
    pub certificate: Vec<u8>,
    /// Whose it is.
    pub subject: String,
    /// When it was added.
    pub added_at: Timestamp,
}

/// The newest list of certificates that an authority revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Crl {
    /// The SHA-256 of the authority's name, in hex.
    pub issuer: String,
    /// The authority's name.
    pub name: String,
    /// The list, in DER.
    pub crl: Vec<u8>,
    /// When it was added.
    pub added_at: Timestamp,
}

/// Trusts an authority.
///
/// # Errors
/// AlreadyExists when the tenant trusts it.
pub async fn add(tx: &mut TenantTx, authority: &X509Authority) -> Result<()> {
    let added = tx.execute(
        "INSERT INTO x509_authorities (tenant, fingerprint, certificate, subject, added_at) \
         VALUES ($1, $2, $3, $4, $5)",
        [
            authority.fingerprint.as_str().into(),
            authority.certificate.as_slice().into(),
            authority.subject.as_str().into(),
            authority.added_at.0.into(),
        ],
    );
    added.await.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let sentence = format!("the tenant trusts {} already", authority.subject);
            Error::new(ErrorKind::AlreadyExists, sentence)
        }
        _ => error,
    })?;
    Ok(())
}

/// Trusts an authority no more; false when it was not trusted.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, fingerprint: &str) -> Result<bool> {
    let sql = "DELETE FROM x509_authorities WHERE tenant = $1 AND fingerprint = $2";
    let removed = tx.execute(sql, [fingerprint.into()]).await?;
    Ok(removed > 0)
}

/// All that are trusted, oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<X509Authority>> {
    let rows = tx
        .rows(
            "SELECT fingerprint, certificate, subject, added_at FROM x509_authorities \
             WHERE tenant = $1 ORDER BY added_at, fingerprint",
            [],
        )
        .await?;
    let authorities = rows.iter().map(|row| {
        Ok(X509Authority {
            fingerprint: row.text(0)?,
            certificate: row.bytes(1)?,
            subject: row.text(2)?,
            added_at: Timestamp(row.int(3)?),
        })
    });
    authorities.collect()
}

/// Puts a list in the place of its authority's last one.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_crl(tx: &mut TenantTx, crl: &X509Crl) -> Result<()> {
    let sql = "DELETE FROM x509_crls WHERE tenant = $1 AND issuer = $2";
    tx.execute(sql, [crl.issuer.as_str().into()]).await?;
    tx.execute(
        "INSERT INTO x509_crls (tenant, issuer, name, crl, added_at) VALUES ($1, $2, $3, $4, $5)",
        [
            crl.issuer.as_str().into(),
            crl.name.as_str().into(),
            crl.crl.as_slice().into(),
            crl.added_at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// All lists, by the authorities' names.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn crls(tx: &mut TenantTx) -> Result<Vec<X509Crl>> {
    let sql = "SELECT issuer, name, crl, added_at FROM x509_crls WHERE tenant = $1 \
               ORDER BY name, issuer";
    let rows = tx.rows(sql, []).await?;
    let crls = rows.iter().map(|row| {
        Ok(X509Crl {
            issuer: row.text(0)?,
            name: row.text(1)?,
            crl: row.bytes(2)?,
            added_at: Timestamp(row.int(3)?),
        })
    });
    crls.collect()
}
