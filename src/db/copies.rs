//! Objects of blobs beside the one that the blob's row names: replicas, and what a move leaves.

use crate::db::blobs::{self, BlobRecord};
use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{BlobId, RegionId};

/// Where a blob can be read: its own region first. Empty when it is not known.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn whereabouts(tx: &mut TenantTx, id: BlobId) -> Result<Vec<RegionId>> {
    let Some(blob) = blobs::find(tx, id).await? else {
        return Ok(Vec::new());
    };
    let rows = tx
        .rows(
            "SELECT region FROM blob_copies WHERE tenant = $1 AND id = $2 ORDER BY state, region",
            [id.as_bytes().into()],
        )
        .await?;
    let mut regions = vec![blob.info.region];
    for row in &rows {
        regions.push(RegionId(row.int(0)?));
    }
    Ok(regions)
}

/// Notes that a copy is there, if the blob still is, and elsewhere.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn add(tx: &mut TenantTx, id: BlobId, region: RegionId, at: Timestamp) -> Result<bool> {
    let sql = "INSERT INTO blob_copies (tenant, id, region, state, at) \
         SELECT tenant, id, $3, 2, $4 FROM blobs \
         WHERE tenant = $1 AND id = $2 AND state IN (2, 3) AND region <> $3 \
         ON CONFLICT (tenant, id, region) DO UPDATE SET state = 2, at = $4";
    let added = tx
        .execute(sql, [id.as_bytes().into(), region.0.into(), at.0.into()])
        .await?;
    Ok(added > 0)
}

/// Makes a copy the blob's own object, and what was its own a copy that is to be removed, or kept
/// if it is where the tenant's replica is.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn switch(
    tx: &mut TenantTx,
    id: BlobId,
    to: RegionId,
    replica: Option<RegionId>,
    at: Timestamp,
) -> Result<bool> {
    let Some(blob) = blobs::find(tx, id).await? else {
        return Ok(false);
    };
    let from = blob.info.region;
    let taken = tx
        .execute(
            "DELETE FROM blob_copies WHERE tenant = $1 AND id = $2 AND region = $3 AND state = 2",
            [id.as_bytes().into(), to.0.into()],
        )
        .await?;
    if taken == 0 {
        return Ok(false);
    }
    tx.execute(
        "UPDATE blobs SET region = $3 WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into(), to.0.into()],
    )
    .await?;
    let state = match replica == Some(from) {
        true => 2_i64,
        false => 4,
    };
    tx.execute(
        "INSERT INTO blob_copies (tenant, id, region, state, at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (tenant, id, region) DO UPDATE SET state = $4, at = $5",
        [
            id.as_bytes().into(),
            from.0.into(),
            state.into(),
            at.0.into(),
        ],
    )
    .await?;
    Ok(true)
}

/// Gives up copies, of blobs that are where the tenant wants them, that are in no place where it
/// wants any.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn release_unwanted(
    tx: &mut TenantTx,
    region: RegionId,
    replica: Option<RegionId>,
    at: Timestamp,
) -> Result<u64> {
    tx.execute(
        "UPDATE blob_copies SET state = 4, at = $4 \
         WHERE tenant = $1 AND state = 2 AND region <> $2 AND region <> $3 \
         AND EXISTS (SELECT 1 FROM blobs b WHERE b.tenant = $1 AND b.id = blob_copies.id \
         AND b.region = $2)",
        [
            region.0.into(),
            replica.unwrap_or(region).0.into(),
            at.0.into(),
        ],
    )
    .await
}

/// Whether there is any copy.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn any(tx: &mut TenantTx) -> Result<bool> {
    let sql = "SELECT region FROM blob_copies WHERE tenant = $1 LIMIT 1";
    Ok(tx.row(sql, []).await?.is_some())
}

/// Up to `limit` copies that were given up before `until`, or whose blob is gone.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn removable(
    tx: &mut TenantTx,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<(BlobId, RegionId)>> {
    let rows = tx
        .rows(
            "SELECT c.id, c.region FROM blob_copies c WHERE c.tenant = $1 AND \
             ((c.state = 4 AND c.at <= $2) OR NOT EXISTS (SELECT 1 FROM blobs b \
             WHERE b.tenant = c.tenant AND b.id = c.id AND b.state <> 4)) LIMIT $3",
            [until.0.into(), limit.into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((BlobId::from_slice(&row.bytes(0)?)?, RegionId(row.int(1)?))))
        .collect()
}

/// Forgets a copy whose object is gone.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, id: BlobId, region: RegionId) -> Result<()> {
    tx.execute(
        "DELETE FROM blob_copies WHERE tenant = $1 AND id = $2 AND region = $3",
        [id.as_bytes().into(), region.0.into()],
    )
    .await?;
    Ok(())
}

/// Up to `limit` live, finished blobs that are not in `region`, oldest first after `after`, with
/// whether a copy is there already.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn elsewhere(
    tx: &mut TenantTx,
    region: RegionId,
    after: BlobId,
    limit: i64,
) -> Result<Vec<(BlobRecord, bool)>> {
    let rows = tx
        .rows(
            "SELECT b.id, b.size, b.finished, b.key_version, b.state, b.instance, b.uses, b.at, \
             b.region, CAST(CASE WHEN c.state = 2 THEN 1 ELSE 0 END AS bigint) FROM blobs b \
             LEFT JOIN blob_copies c ON c.tenant = b.tenant AND c.id = b.id AND c.region = $2 \
             WHERE b.tenant = $1 AND b.region <> $2 AND b.state IN (2, 3) AND b.finished = 1 \
             AND b.id > $3 ORDER BY b.id LIMIT $4",
            [region.0.into(), after.as_bytes().into(), limit.into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((blobs::read(row)?, row.int(9)? != 0)))
        .collect()
}

/// Up to `limit` live, finished blobs without a copy in `region`, whose state changed at or after
/// `since`, oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn missing(
    tx: &mut TenantTx,
    region: RegionId,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<BlobRecord>> {
    let rows = tx
        .rows(
            "SELECT b.id, b.size, b.finished, b.key_version, b.state, b.instance, b.uses, b.at, \
             b.region FROM blobs b WHERE b.tenant = $1 AND b.state = 2 AND b.finished = 1 \
             AND b.at >= $3 AND b.region <> $2 AND NOT EXISTS (SELECT 1 FROM blob_copies c \
             WHERE c.tenant = b.tenant AND c.id = b.id AND c.region = $2 AND c.state = 2) \
             ORDER BY b.at LIMIT $4",
            [region.0.into(), since.0.into(), limit.into()],
        )
        .await?;
    rows.iter().map(blobs::read).collect()
}

/// How many live blobs, and how many of their plain bytes, are not in `region`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn left(tx: &mut TenantTx, region: RegionId) -> Result<(u64, u64)> {
    let row = tx
        .row(
            "SELECT CAST(count(*) AS bigint), CAST(coalesce(sum(size), 0) AS bigint) FROM blobs \
             WHERE tenant = $1 AND region <> $2 AND state IN (2, 3)",
            [region.0.into()],
        )
        .await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.count(0)?, row.count(1)?)))
}
