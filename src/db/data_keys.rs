//! A tenant's data keys, wrapped.

use crate::db::sql::{Row, TenantTx};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};

/// A data key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// 1, 2, 3, ...: the highest seals new blobs.
    pub version: u32,
    /// Which provider wrapped it.
    pub provider: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

/// The key that seals new blobs.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn latest(tx: &mut TenantTx) -> Result<Option<StoredKey>> {
    let row = tx
        .row(
            "SELECT version, provider, wrapped FROM data_keys WHERE tenant = $1 \
             ORDER BY version DESC LIMIT 1",
            [],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The key of one version.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(tx: &mut TenantTx, version: u32) -> Result<Option<StoredKey>> {
    let row = tx
        .row(
            "SELECT version, provider, wrapped FROM data_keys WHERE tenant = $1 AND version = $2",
            [i64::from(version).into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Adds a key.
///
/// # Errors
/// AlreadyExists when another instance has added this version.
pub async fn insert(tx: &mut TenantTx, key: &StoredKey, at: Timestamp) -> Result<()> {
    tx.execute(
        "INSERT INTO data_keys (tenant, version, provider, wrapped, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
        [
            i64::from(key.version).into(),
            key.provider.as_str().into(),
            key.wrapped.as_slice().into(),
            at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// All versions, in order, with the time that each was added.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<(StoredKey, Timestamp)>> {
    let rows = tx
        .rows(
            "SELECT version, provider, wrapped, created_at FROM data_keys WHERE tenant = $1 \
             ORDER BY version",
            [],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((read(row)?, Timestamp(row.int(3)?))))
        .collect()
}

/// Puts another wrapping of the same key in the place of one.
///
/// # Errors
/// Stale when the row is not as it was any more.
pub async fn replace(tx: &mut TenantTx, before: &StoredKey, after: &StoredKey) -> Result<()> {
    let touched = tx
        .execute(
            "UPDATE data_keys SET provider = $3, wrapped = $4 \
             WHERE tenant = $1 AND version = $2 AND provider = $5 AND wrapped = $6",
            [
                i64::from(before.version).into(),
                after.provider.as_str().into(),
                after.wrapped.as_slice().into(),
                before.provider.as_str().into(),
                before.wrapped.as_slice().into(),
            ],
        )
        .await?;
    match touched {
        1 => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Stale,
            "the tenant's keys were changed at the same time; try again",
        )),
    }
}

/// Removes all versions; says how many there were.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove_all(tx: &mut TenantTx) -> Result<u64> {
    tx.execute("DELETE FROM data_keys WHERE tenant = $1", [])
        .await
}

/// The first three columns: version, provider and wrapped.
pub(in crate::db) fn read(row: &Row) -> Result<StoredKey> {
    Ok(StoredKey {
        version: u32::try_from(row.int(0)?).map_err(Error::internal)?,
        provider: row.text(1)?,
        wrapped: row.bytes(2)?,
    })
}
