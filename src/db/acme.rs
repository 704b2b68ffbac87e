//! What instances share of certificates that come by ACME: one list for the installation.

use crate::db::database::Database;
use crate::db::sql::Row;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};

/// A secret and the wrapped key that it is sealed under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// Which provider wrapped the key.
    pub provider: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
    /// The secret.
    pub sealed: Vec<u8>,
}

/// A certificate as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Whose it is.
    pub host: String,
    /// Where it was ordered.
    pub directory: String,
    /// 1, 2, 3, ...: the order in which those of a host and directory came.
    pub number: i64,
    /// Chain and key.
    pub secret: SealedSecret,
    /// From then on a new one is to be ordered.
    pub renew_at: Timestamp,
}

/// Orders of a host at a directory that failed in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// When the next order is tried.
    pub try_at: Timestamp,
}

/// The account at a directory, if there is one.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn account(db: &Database, directory: &str) -> Result<Option<SealedSecret>> {
    let mut tx = db.system_read().await?;
    let sql = "SELECT provider, wrapped, sealed FROM acme_accounts WHERE directory = $1";
    let row = tx.row(sql, [directory.into()]).await?;
    row.as_ref().map(|row| secret(row, 0)).transpose()
}

/// Keeps the account at a directory.
///
/// # Errors
/// AlreadyExists when there is one; Unavailable when the database does not answer.
pub async fn add_account(db: &Database, directory: &str, secret: &SealedSecret) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "INSERT INTO acme_accounts (directory, provider, wrapped, sealed) VALUES ($1, $2, $3, $4)",
        [
            directory.into(),
            secret.provider.as_str().into(),
            secret.wrapped.as_slice().into(),
            secret.sealed.as_slice().into(),
        ],
    )
    .await?;
    tx.commit().await
}

/// The certificate of a host by a directory, if there is one.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn certificate(
    db: &Database,
    host: &str,
    directory: &str,
) -> Result<Option<StoredCertificate>> {
    let found = best_certificate(db, host, directory).await?;
    Ok(found.filter(|found| found.directory == directory))
}

/// The certificate of a host by a directory, or else the one of another that lasts longest.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn best_certificate(
    db: &Database,
    host: &str,
    directory: &str,
) -> Result<Option<StoredCertificate>> {
    let mut tx = db.system_read().await?;
    let sql = "SELECT provider, wrapped, sealed, directory, number, renew_at \
               FROM acme_certificates WHERE host = $1 \
               ORDER BY CASE directory WHEN $2 THEN 0 ELSE 1 END, renew_at DESC LIMIT 1";
    let Some(row) = tx.row(sql, [host.into(), directory.into()]).await? else {
        return Ok(None);
    };
    Ok(Some(StoredCertificate {
        host: host.to_owned(),
        directory: row.text(3)?,
        number: row.int(4)?,
        secret: secret(&row, 0)?,
        renew_at: Timestamp(row.int(5)?),
    }))
}

/// Puts a certificate in place of the one of its host and directory, and forgets the orders that failed.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn put_certificate(db: &Database, certificate: &StoredCertificate) -> Result<()> {
    let mut tx = db.system().await?;
    let (host, directory) = (certificate.host.as_str(), certificate.directory.as_str());
    tx.execute(
        "INSERT INTO acme_certificates \
         (host, directory, number, provider, wrapped, sealed, renew_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (host, directory) DO UPDATE SET number = $3, provider = $4, \
         wrapped = $5, sealed = $6, renew_at = $7",
        [
            host.into(),
            directory.into(),
            certificate.number.into(),
            certificate.secret.provider.as_str().into(),
            certificate.secret.wrapped.as_slice().into(),
            certificate.secret.sealed.as_slice().into(),
            certificate.renew_at.0.into(),
        ],
    )
    .await?;
    tx.execute(
        "DELETE FROM acme_failures WHERE host = $1 AND directory = $2",
        [host.into(), directory.into()],
    )
    .await?;
    tx.commit().await
}

/// The orders of a host at a directory that failed, if any did.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn failures(db: &Database, host: &str, directory: &str) -> Result<Option<Failures>> {
    let mut tx = db.system_read().await?;
    let sql = "SELECT failures, try_at FROM acme_failures WHERE host = $1 AND directory = $2";
    let row = tx.row(sql, [host.into(), directory.into()]).await?;
    row.map(|row| {
        Ok(Failures {
            count: u32::try_from(row.int(0)?).map_err(Error::internal)?,
            try_at: Timestamp(row.int(1)?),
        })
    })
    .transpose()
}

/// Notes that an order of a host at a directory failed.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn put_failures(
    db: &Database,
    (host, directory): (&str, &str),
    failures: Failures,
) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "INSERT INTO acme_failures (host, directory, failures, try_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (host, directory) DO UPDATE SET failures = $3, try_at = $4",
        [
            host.into(),
            directory.into(),
            i64::from(failures.count).into(),
            failures.try_at.0.into(),
        ],
    )
    .await?;
    tx.commit().await
}

/// Has all instances answer to a token until a time, and forgets those whose time is over.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn put_challenge(
    db: &Database,
    (token, answer): (&str, &str),
    until: Timestamp,
    now: Timestamp,
) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "DELETE FROM acme_challenges WHERE expires_at <= $1",
        [now.0.into()],
    )
    .await?;
    tx.execute(
        "INSERT INTO acme_challenges (token, answer, expires_at) VALUES ($1, $2, $3) \
         ON CONFLICT (token) DO UPDATE SET answer = $2, expires_at = $3",
        [token.into(), answer.into(), until.0.into()],
    )
    .await?;
    tx.commit().await
}

/// What is answered to a token, if it is one of ours.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn challenge(db: &Database, token: &str) -> Result<Option<String>> {
    let now = db.now().await?;
    let mut tx = db.system_read().await?;
    let sql = "SELECT answer FROM acme_challenges WHERE token = $1 AND expires_at > $2";
    let row = tx.row(sql, [token.into(), now.0.into()]).await?;
    row.map(|row| row.text(0)).transpose()
}

fn secret(row: &Row, from: usize) -> Result<SealedSecret> {
    Ok(SealedSecret {
        provider: row.text(from)?,
        wrapped: row.bytes(from + 1)?,
        sealed: row.bytes(from + 2)?,
    })
}
