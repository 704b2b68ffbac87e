//! Objects of blobs beside the one that the blob's row names: replicas, and what a move leaves.
//!
//! A row is there before its object and until after it. State 1: it is being made. 2: it is there, and was
//! read back whole. 4: it is given up, or nobody has read it back; it may be taken up again by whoever
//! does. 5: its object is being removed, and nothing else can become of it.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;

use crate::db::blobs::{self, BlobInfo, BlobRecord, BlobState};
use crate::db::sql::{Row, TenantTx};
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
            "SELECT region FROM blob_copies WHERE tenant = $1 AND id = $2 AND state IN (2, 4) \
             ORDER BY state, region",
            [id.as_bytes().into()],
        )
        .await?;
    let mut regions = vec![blob.info.region];
    for row in &rows {
        regions.push(RegionId(row.int(0)?));
    }
    Ok(regions)
}

/// Announces a copy before its object is made, if the blob is there, and elsewhere; false when no copy
/// can be made now. One that was given up is kept for longer.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn announce(
    tx: &mut TenantTx,
    id: BlobId,
    region: RegionId,
    at: Timestamp,
) -> Result<bool> {
    let sql = "INSERT INTO blob_copies (tenant, id, region, state, at) \
         SELECT tenant, id, $3, 1, $4 FROM blobs \
         WHERE tenant = $1 AND id = $2 AND state IN (2, 3) AND region <> $3 \
         ON CONFLICT (tenant, id, region) DO UPDATE SET at = $4 WHERE blob_copies.state <> 5";
    let announced = tx
        .execute(sql, [id.as_bytes().into(), region.0.into(), at.0.into()])
        .await?;
    Ok(announced > 0)
}

/// Notes that an announced copy is there, as somebody who has read it back knows; false when it is being
/// removed.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn add(tx: &mut TenantTx, id: BlobId, region: RegionId, at: Timestamp) -> Result<bool> {
    let added = tx
        .execute(
            "UPDATE blob_copies SET state = 2, at = $4 \
             WHERE tenant = $1 AND id = $2 AND region = $3 AND state IN (1, 2, 4)",
            [id.as_bytes().into(), region.0.into(), at.0.into()],
        )
        .await?;
    Ok(added > 0)
}

/// Has a copy removed that somebody made, or tried to make, while it was given up and forgotten, or about to be: the
/// object may be there, or come late. Nothing happens when it is known otherwise, or the blob's own.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn retract(tx: &mut TenantTx, id: BlobId, region: RegionId, at: Timestamp) -> Result<()> {
    let sql = "INSERT INTO blob_copies (tenant, id, region, state, at) \
         SELECT t.id, $2, $3, 5, $4 FROM tenants t WHERE t.id = $1 AND NOT EXISTS (SELECT 1 FROM blobs b \
         WHERE b.tenant = $1 AND b.id = $2 AND b.region = $3) \
         ON CONFLICT (tenant, id, region) DO UPDATE SET at = $4 WHERE blob_copies.state = 5";
    tx.execute(sql, [id.as_bytes().into(), region.0.into(), at.0.into()])
        .await?;
    Ok(())
}

/// Notes that a copy that was noted to be there is not whole.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn doubt(tx: &mut TenantTx, id: BlobId, region: RegionId, at: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE blob_copies SET state = 4, at = $4 \
         WHERE tenant = $1 AND id = $2 AND region = $3 AND state = 2",
        [id.as_bytes().into(), region.0.into(), at.0.into()],
    )
    .await?;
    Ok(())
}

/// Makes a copy the blob's own object, and what was its own a copy that nobody has read back: it is to be
/// removed, or looked at again if it is where the tenant wants copies.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn switch(tx: &mut TenantTx, id: BlobId, to: RegionId, at: Timestamp) -> Result<bool> {
    let Some(blob) = blobs::find(tx, id).await? else {
        return Ok(false);
    };
    if blob.state == BlobState::Deleting {
        return Ok(false);
    }
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
    tx.execute(
        "INSERT INTO blob_copies (tenant, id, region, state, at) VALUES ($1, $2, $3, 4, $4) \
         ON CONFLICT (tenant, id, region) DO UPDATE SET state = 4, at = $4",
        [id.as_bytes().into(), from.0.into(), at.0.into()],
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
    let wanted = replica.unwrap_or(region);
    tx.execute(
        "UPDATE blob_copies SET state = CASE WHEN state = 1 THEN 5 ELSE 4 END, at = $4 \
         WHERE tenant = $1 AND state IN (1, 2) AND region <> $2 AND region <> $3 \
         AND EXISTS (SELECT 1 FROM blobs b WHERE b.tenant = $1 AND b.id = blob_copies.id \
         AND b.region = $2)",
        [region.0.into(), wanted.0.into(), at.0.into()],
    )
    .await
}

/// Whether there are copies, of blobs that are there, in a region where the tenant wants them, and that
/// nobody knows to be whole.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn any_in_doubt(tx: &mut TenantTx, replica: RegionId) -> Result<bool> {
    let sql = "SELECT c.id FROM blob_copies c JOIN blobs b ON b.tenant = c.tenant AND b.id = c.id \
         WHERE c.tenant = $1 AND c.region = $2 AND c.state = 4 AND b.state = 2 \
         AND (b.finished = 1 OR b.halted = 1) AND b.region <> $2 LIMIT 1";
    Ok(tx.row(sql, [replica.0.into()]).await?.is_some())
}

/// Whether there is any copy.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn any(tx: &mut TenantTx) -> Result<bool> {
    let sql = "SELECT region FROM blob_copies WHERE tenant = $1 LIMIT 1";
    Ok(tx.row(sql, []).await?.is_some())
}

/// Up to `limit` copies that were given up before `until`, where the tenant wants none, or whose blob is
/// gone: with the blob, if it is not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn removable(
    tx: &mut TenantTx,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<(BlobId, RegionId, Option<BlobInfo>)>> {
    let rows = tx
        .rows(
            "SELECT c.id, c.region FROM blob_copies c WHERE c.tenant = $1 AND c.state <> 5 AND \
             ((c.state = 4 AND c.at <= $2 AND NOT EXISTS (SELECT 1 FROM tenants t \
             WHERE t.id = $1 AND t.replica = c.region AND t.region <> c.region)) \
             OR NOT EXISTS (SELECT 1 FROM blobs b \
             WHERE b.tenant = c.tenant AND b.id = c.id AND b.state <> 4)) LIMIT $3",
            [until.0.into(), limit.into()],
        )
        .await?;
    let mut removable = Vec::with_capacity(rows.len());
    for row in &rows {
        let (id, region) = place(row)?;
        let blob = blobs::find(tx, id).await?;
        let blob = blob.filter(|blob| blob.state != BlobState::Deleting);
        removable.push((id, region, blob.map(|blob| blob.info)));
    }
    Ok(removable)
}

/// Has a copy removed that is still one of those that [`removable`] tells of: from now on nothing else
/// becomes of it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn doom(
    tx: &mut TenantTx,
    id: BlobId,
    region: RegionId,
    until: Timestamp,
) -> Result<bool> {
    let doomed = tx
        .execute(
            "UPDATE blob_copies SET state = 5 WHERE tenant = $1 AND id = $2 AND region = $3 AND \
             ((state = 4 AND at <= $4 AND NOT EXISTS (SELECT 1 FROM tenants t \
             WHERE t.id = $1 AND t.replica = $3 AND t.region <> $3)) \
             OR NOT EXISTS (SELECT 1 FROM blobs b WHERE b.tenant = $1 AND b.id = $2 AND b.state <> 4))",
            [id.as_bytes().into(), region.0.into(), until.0.into()],
        )
        .await?;
    Ok(doomed > 0)
}

/// A copy whose object is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// The blob.
    pub id: BlobId,
    /// Where the copy is.
    pub region: RegionId,
    /// When it was last heard of.
    pub at: Timestamp,
}

/// Up to `limit` copies whose object is to be removed, but for those in the regions `except`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn doomed(
    tx: &mut TenantTx,
    except: &BTreeSet<RegionId>,
    limit: i64,
) -> Result<Vec<Doomed>> {
    let sql = format!(
        "SELECT id, region, at FROM blob_copies WHERE tenant = $1 AND state = 5{} LIMIT $2",
        blobs::elsewhere(except)
    );
    let rows = tx.rows(AssertSqlSafe(sql), [limit.into()]).await?;
    let doomed = rows.iter().map(|row| {
        let (id, region) = place(row)?;
        let at = Timestamp(row.int(2)?);
        Ok(Doomed { id, region, at })
    });
    doomed.collect()
}

/// Forgets a copy whose object is gone, unless somebody made it since [`doomed`] told of it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, doomed: &Doomed) -> Result<()> {
    tx.execute(
        "DELETE FROM blob_copies \
         WHERE tenant = $1 AND id = $2 AND region = $3 AND state = 5 AND at = $4",
        [
            doomed.id.as_bytes().into(),
            doomed.region.0.into(),
            doomed.at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Up to `limit` live blobs with a complete object that are not in `region`, oldest first after `after`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn elsewhere(
    tx: &mut TenantTx,
    region: RegionId,
    after: BlobId,
    limit: i64,
) -> Result<Vec<BlobRecord>> {
    let rows = tx
        .rows(
            "SELECT id, size, finished, key_version, state, instance, uses, at, region FROM blobs \
             WHERE tenant = $1 AND region <> $2 AND state IN (2, 3) \
             AND (finished = 1 OR halted = 1) \
             AND id > $3 ORDER BY id LIMIT $4",
            [region.0.into(), after.as_bytes().into(), limit.into()],
        )
        .await?;
    rows.iter().map(blobs::read).collect()
}

/// Up to `limit` live blobs with a complete object without a copy in `region`, whose state changed at or after
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
    missing_after(tx, region, (since, BlobId::NIL), limit).await
}

/// The same, but of those whose state changed at that very moment only those with ids above `after`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn missing_after(
    tx: &mut TenantTx,
    region: RegionId,
    (since, after): (Timestamp, BlobId),
    limit: i64,
) -> Result<Vec<BlobRecord>> {
    let rows = tx
        .rows(
            "SELECT b.id, b.size, b.finished, b.key_version, b.state, b.instance, b.uses, b.at, \
             b.region FROM blobs b WHERE b.tenant = $1 AND b.state = 2 \
             AND (b.finished = 1 OR b.halted = 1) \
             AND b.at >= $3 AND (b.at > $3 OR b.id > $4) AND b.region <> $2 AND NOT EXISTS (SELECT 1 FROM blob_copies c \
             WHERE c.tenant = b.tenant AND c.id = b.id AND c.region = $2 AND c.state = 2) \
             ORDER BY b.at, b.id LIMIT $5",
            [
                region.0.into(),
                since.0.into(),
                after.as_bytes().into(),
                limit.into(),
            ],
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

fn place(row: &Row) -> Result<(BlobId, RegionId)> {
    Ok((BlobId::from_slice(&row.bytes(0)?)?, RegionId(row.int(1)?)))
}

/// Copies that are there of live blobs with ids above `after`, in order, up to about `limit`, each with
/// the size of its blob. All copies of the last blob are among them.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn scan(
    tx: &mut TenantTx,
    after: BlobId,
    limit: i64,
) -> Result<Vec<(BlobId, RegionId, u64)>> {
    let rows = tx
        .rows(
            "SELECT c.id, c.region, b.size FROM blob_copies c \
             JOIN blobs b ON b.tenant = c.tenant AND b.id = c.id AND b.state = 2 \
             WHERE c.tenant = $1 AND c.state = 2 AND c.id IN (SELECT id FROM blob_copies \
             WHERE tenant = $1 AND state = 2 AND id > $2 ORDER BY id LIMIT $3) ORDER BY c.id",
            [after.as_bytes().into(), limit.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let id = BlobId::from_slice(&row.bytes(0)?)?;
            Ok((id, RegionId(row.int(1)?), row.count(2)?))
        })
        .collect()
}
