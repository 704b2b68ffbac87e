//! Wrappings of a tenant's data keys beside their first: one for the region where its copies are kept.

use crate::db::data_keys::{self, StoredKey};
use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::RegionId;

/// A further wrapping of a data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCopy {
    /// The region by whose means it can be unwrapped.
    pub region: RegionId,
    /// The same key as the first of this version, wrapped otherwise.
    pub key: StoredKey,
}

/// The further wrappings of a version, for the regions where the tenant is or keeps copies now.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn of_version(tx: &mut TenantTx, version: u32) -> Result<Vec<StoredKey>> {
    let rows = tx
        .rows(
            "SELECT c.version, c.provider, c.wrapped FROM key_copies c JOIN tenants t ON t.id = c.tenant \
             WHERE c.tenant = $1 AND c.version = $2 AND (c.region = t.region OR c.region = t.replica) \
             ORDER BY c.region",
            [i64::from(version).into()],
        )
        .await?;
    rows.iter().map(data_keys::read).collect()
}

/// All further wrappings, by version.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<KeyCopy>> {
    let sql = "SELECT version, provider, wrapped, region FROM key_copies WHERE tenant = $1 \
         ORDER BY version, region";
    let rows = tx.rows(sql, []).await?;
    let copies = rows.iter().map(|row| {
        Ok(KeyCopy {
            region: RegionId(row.int(3)?),
            key: data_keys::read(row)?,
        })
    });
    copies.collect()
}

/// The versions without a wrapping for a region beside their first, with the time that each was added, the oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn without(tx: &mut TenantTx, region: RegionId) -> Result<Vec<(StoredKey, Timestamp)>> {
    let rows = tx
        .rows(
            "SELECT k.version, k.provider, k.wrapped, k.created_at FROM data_keys k \
             WHERE k.tenant = $1 AND NOT EXISTS (SELECT 1 FROM key_copies c \
             WHERE c.tenant = k.tenant AND c.version = k.version AND c.region = $2) ORDER BY k.version",
            [region.0.into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((data_keys::read(row)?, Timestamp(row.int(3)?))))
        .collect()
}

/// The versions with a wrapping for a region where the tenant neither is nor keeps copies any more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn unwanted(tx: &mut TenantTx) -> Result<Vec<u32>> {
    let rows = tx
        .rows(
            "SELECT DISTINCT c.version FROM key_copies c JOIN tenants t ON t.id = c.tenant \
             WHERE c.tenant = $1 AND c.region <> t.region \
             AND (t.replica IS NULL OR c.region <> t.replica) ORDER BY c.version",
            [],
        )
        .await?;
    let version = |value| u32::try_from(value).map_err(Error::internal);
    rows.iter().map(|row| version(row.int(0)?)).collect()
}

/// Keeps a wrapping; one that is there already for this version and region stays.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn add(tx: &mut TenantTx, copy: &KeyCopy, at: Timestamp) -> Result<bool> {
    let added = tx
        .execute(
            "INSERT INTO key_copies (tenant, version, region, provider, wrapped, at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, version, region) DO NOTHING",
            [
                i64::from(copy.key.version).into(),
                copy.region.0.into(),
                copy.key.provider.as_str().into(),
                copy.key.wrapped.as_slice().into(),
                at.0.into(),
            ],
        )
        .await?;
    Ok(added > 0)
}

/// Removes those of a version that [`unwanted`] tells of; says how many there were.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove_unwanted(tx: &mut TenantTx, version: u32) -> Result<u64> {
    tx.execute(
        "DELETE FROM key_copies WHERE tenant = $1 AND version = $2 AND NOT EXISTS (SELECT 1 FROM tenants t \
         WHERE t.id = $1 AND (t.region = key_copies.region OR t.replica = key_copies.region))",
        [i64::from(version).into()],
    )
    .await
}

/// Removes all; says how many there were.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove_all(tx: &mut TenantTx) -> Result<u64> {
    tx.execute("DELETE FROM key_copies WHERE tenant = $1", [])
        .await
}
