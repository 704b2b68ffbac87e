//! Keys whose certificates open a tenant's accounts, and certificates that are taken no more.

use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};

/// A key that signs certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// `SHA256:...`, as OpenSSH prints it.
    pub fingerprint: String,
    /// SSH's wire encoding.
    pub key: Vec<u8>,
    /// What the owner wrote behind it.
    pub comment: String,
    /// When it was added.
    pub added_at: Timestamp,
}

/// Certificates that are taken no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The fingerprint of the key that signed them; empty for all.
    pub authority: String,
    /// `key`, `key-id` or `serial`.
    pub kind: String,
    /// The fingerprint of the certified key, the key id, or the serial number.
    pub value: String,
    /// Since when.
    pub revoked_at: Timestamp,
}

/// Trusts a key.
///
/// # Errors
/// AlreadyExists when the tenant trusts it.
pub async fn add(tx: &mut TenantTx, authority: &Authority) -> Result<()> {
    tx.execute(
        "INSERT INTO authorities (tenant, fingerprint, key, comment, added_at) \
         VALUES ($1, $2, $3, $4, $5)",
        [
            authority.fingerprint.as_str().into(),
            authority.key.as_slice().into(),
            authority.comment.as_str().into(),
            authority.added_at.0.into(),
        ],
    )
    .await
    .map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            format!(
                "the tenant trusts the key {} already",
                authority.fingerprint
            ),
        ),
        _ => error,
    })?;
    Ok(())
}

/// Trusts a key no more; false when it was not trusted.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, fingerprint: &str) -> Result<bool> {
    let removed = tx
        .execute(
            "DELETE FROM authorities WHERE tenant = $1 AND fingerprint = $2",
            [fingerprint.into()],
        )
        .await?;
    Ok(removed > 0)
}

/// All keys that are trusted, oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Authority>> {
    let rows = tx
        .rows(
            "SELECT fingerprint, key, comment, added_at FROM authorities WHERE tenant = $1 \
             ORDER BY added_at, fingerprint",
            [],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Authority {
                fingerprint: row.text(0)?,
                key: row.bytes(1)?,
                comment: row.text(2)?,
                added_at: Timestamp(row.int(3)?),
            })
        })
        .collect()
}

/// Whether this very key is trusted.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn trusts(tx: &mut TenantTx, fingerprint: &str, key: &[u8]) -> Result<bool> {
    let row = tx
        .row(
            "SELECT CAST(1 AS bigint) FROM authorities \
             WHERE tenant = $1 AND fingerprint = $2 AND key = $3",
            [fingerprint.into(), key.into()],
        )
        .await?;
    Ok(row.is_some())
}

/// Revokes certificates; what is revoked already stays so.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn revoke(tx: &mut TenantTx, revocation: &Revocation) -> Result<()> {
    tx.execute(
        "INSERT INTO revocations (tenant, authority, kind, value, revoked_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        [
            revocation.authority.as_str().into(),
            revocation.kind.as_str().into(),
            revocation.value.as_str().into(),
            revocation.revoked_at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// All revocations, oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn revocations(tx: &mut TenantTx) -> Result<Vec<Revocation>> {
    let rows = tx
        .rows(
            "SELECT authority, kind, value, revoked_at FROM revocations WHERE tenant = $1 \
             ORDER BY revoked_at, kind, value",
            [],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Revocation {
                authority: row.text(0)?,
                kind: row.text(1)?,
                value: row.text(2)?,
                revoked_at: Timestamp(row.int(3)?),
            })
        })
        .collect()
}

/// Whether a key is revoked, as whose plain key it may be shown.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn is_key_revoked(tx: &mut TenantTx, key: &str) -> Result<bool> {
    let sql = "SELECT CAST(1 AS bigint) FROM revocations \
               WHERE tenant = $1 AND authority = '' AND kind = 'key' AND value = $2";
    let row = tx.row(sql, [key.into()]).await?;
    Ok(row.is_some())
}

/// Whether a certificate with this authority, key, key id and serial is revoked, or the key of its authority.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn is_revoked(
    tx: &mut TenantTx,
    authority: &str,
    key: &str,
    key_id: &str,
    serial: u64,
) -> Result<bool> {
    let row = tx
        .row(
            "SELECT CAST(1 AS bigint) FROM revocations \
             WHERE tenant = $1 AND authority IN ($2, '') AND ((kind = 'key' AND value IN ($2, $3)) \
             OR (kind = 'key-id' AND value = $4) OR (kind = 'serial' AND value = $5)) LIMIT 1",
            [
                authority.into(),
                key.into(),
                key_id.into(),
                serial.to_string().as_str().into(),
            ],
        )
        .await?;
    Ok(row.is_some())
}
