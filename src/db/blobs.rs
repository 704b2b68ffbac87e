//! Blobs as the database knows them: before their first byte, and until after their last.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AssertSqlSafe;

use crate::db::sql::{Dialect, Row, TenantTx};
use crate::db::value::Value;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{BlobId, InstanceId, RegionId};

/// Where a blob is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// Announced by an instance; nothing names it yet.
    Writing,
    /// Named by contents or uploads.
    Live,
    /// Nothing names it any more; linking to it is refused.
    Condemned,
    /// Its object is being removed.
    Deleting,
}

impl BlobState {
    fn from_code(code: i64) -> Result<Self> {
        match code {
            1 => Ok(Self::Writing),
            2 => Ok(Self::Live),
            3 => Ok(Self::Condemned),
            4 => Ok(Self::Deleting),
            _ => Err(Error::internal(format!("unknown blob state {code}"))),
        }
    }
}

/// What is needed to open a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its id.
    pub id: BlobId,
    /// Bytes of plain text in it.
    pub size: u64,
    /// Whether it ends with its final frame; if not, only `size` bytes may be read.
    pub finished: bool,
    /// The version of the tenant's key that seals it.
    pub key_version: u32,
    /// Where it is.
    pub region: RegionId,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobRecord {
    /// What is needed to open it.
    pub info: BlobInfo,
    /// Where it is in its life.
    pub state: BlobState,
    /// The instance that announced it.
    pub instance: InstanceId,
    /// Extents that name it.
    pub uses: i64,
    /// When the state last changed.
    pub at: Timestamp,
}

impl BlobRecord {
    /// Whether its object was removed once, and it is only remembered: see [`remember`].
    pub fn is_remembered(&self) -> bool {
        self.state == BlobState::Deleting && self.instance == InstanceId::NIL
    }
}

/// Announces blobs before their first byte is written. May be repeated.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn announce(
    tx: &mut TenantTx,
    instance: InstanceId,
    key_version: u32,
    region: RegionId,
    ids: &[BlobId],
    at: Timestamp,
) -> Result<()> {
    let row = |id: Value| -> [Value; 5] {
        [
            id,
            i64::from(key_version).into(),
            instance.as_bytes().into(),
            at.0.into(),
            region.0.into(),
        ]
    };
    if tx.dialect() == Dialect::Postgres {
        let ids = ids.iter().map(|id| Some(id.as_bytes().to_vec()));
        tx.execute(
            "INSERT INTO blobs (tenant, id, state, size, finished, key_version, instance, uses, at, \
             region) SELECT $1, t.id, 1, 0, 0, $3, $4, 0, $5, $6 FROM unnest($2::bytea[]) AS t(id) \
             ON CONFLICT (tenant, id) DO NOTHING",
            row(Value::ManyBytes(ids.collect())),
        )
        .await?;
        return Ok(());
    }
    for id in ids {
        tx.execute(
            "INSERT INTO blobs (tenant, id, state, size, finished, key_version, instance, uses, at, \
             region) VALUES ($1, $2, 1, 0, 0, $3, $4, 0, $5, $6) \
             ON CONFLICT (tenant, id) DO NOTHING",
            row(id.as_bytes().into()),
        )
        .await?;
    }
    Ok(())
}

/// Adds `uses` to a blob that its writer has just stored, and notes what it holds.
///
/// # Errors
/// Stale when it was cleaned away meanwhile.
pub async fn link_stored(
    tx: &mut TenantTx,
    info: &BlobInfo,
    uses: i64,
    at: Timestamp,
) -> Result<()> {
    let touched = tx
        .execute(
            "UPDATE blobs SET state = 2, size = $3, finished = $4, uses = uses + $5, at = $6, \
             checkpoint = CASE WHEN $4 = 1 THEN NULL ELSE checkpoint END \
             WHERE tenant = $1 AND id = $2 AND state IN (1, 2)",
            [
                info.id.as_bytes().into(),
                i64::try_from(info.size).map_err(Error::internal)?.into(),
                i64::from(info.finished).into(),
                uses.into(),
                at.0.into(),
            ],
        )
        .await?;
    linked(touched)
}

/// Notes what a store needs to make the durable part of an unfinished blob readable.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_checkpoint(tx: &mut TenantTx, id: BlobId, notes: &[u8]) -> Result<()> {
    tx.execute(
        "UPDATE blobs SET checkpoint = $3 WHERE tenant = $1 AND id = $2 AND finished = 0",
        [id.as_bytes().into(), notes.into()],
    )
    .await?;
    Ok(())
}

/// Notes that the object of an unfinished blob is complete as it is, so that it can be moved and
/// copied.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_halted(tx: &mut TenantTx, id: BlobId) -> Result<()> {
    tx.execute(
        "UPDATE blobs SET halted = 1, checkpoint = NULL \
         WHERE tenant = $1 AND id = $2 AND finished = 0",
        [id.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// The notes on an unfinished blob; none when there are none or it is finished.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn checkpoint(tx: &mut TenantTx, id: BlobId) -> Result<Option<Vec<u8>>> {
    let row = tx
        .row(
            "SELECT checkpoint FROM blobs WHERE tenant = $1 AND id = $2 AND finished = 0",
            [id.as_bytes().into()],
        )
        .await?;
    row.map_or(Ok(None), |row| row.opt_bytes(0))
}

/// Adds `uses` to a blob that is live; a condemned one is refused.
///
/// # Errors
/// Stale when it is not live.
pub async fn link_live(tx: &mut TenantTx, id: BlobId, uses: i64) -> Result<()> {
    let touched = tx
        .execute(
            "UPDATE blobs SET uses = uses + $3 WHERE tenant = $1 AND id = $2 AND state = 2",
            [id.as_bytes().into(), uses.into()],
        )
        .await?;
    linked(touched)
}

/// Takes uses away from blobs; those with none left are condemned.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn unlink(tx: &mut TenantTx, uses: &BTreeMap<BlobId, i64>, at: Timestamp) -> Result<()> {
    if tx.dialect() == Dialect::Postgres {
        let ids = uses.keys().map(|id| Some(id.as_bytes().to_vec()));
        let counts = uses.values().map(|uses| Some(*uses));
        tx.execute(
            "UPDATE blobs SET uses = uses - t.less, \
             state = CASE WHEN uses <= t.less THEN 3 ELSE state END, \
             at = CASE WHEN uses <= t.less THEN $4 ELSE at END \
             FROM unnest($2::bytea[], $3::bigint[]) AS t(blob, less) \
             WHERE tenant = $1 AND id = t.blob",
            [
                Value::ManyBytes(ids.collect()),
                Value::ManyInts(counts.collect()),
                at.0.into(),
            ],
        )
        .await?;
        return Ok(());
    }
    for (id, uses) in uses {
        tx.execute(
            "UPDATE blobs SET uses = uses - $3, \
             state = CASE WHEN uses <= $3 THEN 3 ELSE state END, \
             at = CASE WHEN uses <= $3 THEN $4 ELSE at END \
             WHERE tenant = $1 AND id = $2",
            [id.as_bytes().into(), (*uses).into(), at.0.into()],
        )
        .await?;
    }
    Ok(())
}

/// Has an instance hold on to a blob that nothing names any more, as if it were still being written; one that
/// is named, or that nothing ever named, stays as it is.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn spare(
    tx: &mut TenantTx,
    id: BlobId,
    instance: InstanceId,
    at: Timestamp,
) -> Result<()> {
    tx.execute(
        "UPDATE blobs SET state = 1, instance = $3, at = $4 \
         WHERE tenant = $1 AND id = $2 AND state = 3 AND uses = 0",
        [
            id.as_bytes().into(),
            instance.as_bytes().into(),
            at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Gives up a blob that nothing names, unless it is live. One that is only remembered is removed once more, soon:
/// its writer was there after all.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn discard(tx: &mut TenantTx, id: BlobId, at: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE blobs SET at = CASE WHEN state = 4 AND instance = $4 THEN 0 ELSE $3 END, state = 4 \
         WHERE tenant = $1 AND id = $2 AND state IN (1, 3, 4) AND uses = 0",
        [
            id.as_bytes().into(),
            at.0.into(),
            InstanceId::NIL.as_bytes().into(),
        ],
    )
    .await?;
    Ok(())
}

/// Moves condemned blobs that have waited since before `until` on to deleting.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn release_condemned(tx: &mut TenantTx, until: Timestamp, at: Timestamp) -> Result<u64> {
    tx.execute(
        "UPDATE blobs SET state = 4, at = $3 \
         WHERE tenant = $1 AND state = 3 AND at <= $2 AND uses = 0",
        [until.0.into(), at.0.into()],
    )
    .await
}

/// Moves blobs on to deleting that instances announced whose lease is over, and that nothing names.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn release_orphans(tx: &mut TenantTx, at: Timestamp) -> Result<u64> {
    tx.execute(
        "UPDATE blobs SET state = 4, at = $2 WHERE tenant = $1 AND state = 1 AND uses = 0 \
         AND instance NOT IN (SELECT id FROM instances WHERE lease_until > $2)",
        [at.0.into()],
    )
    .await
}

/// Up to `limit` blobs whose object is to be removed, but for those in the regions `except`; those that are only
/// remembered when that was before `until`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn deleting(
    tx: &mut TenantTx,
    until: Timestamp,
    except: &BTreeSet<RegionId>,
    limit: i64,
) -> Result<Vec<BlobRecord>> {
    let sql = format!(
        "SELECT id, size, finished, key_version, state, instance, uses, at, region FROM blobs \
         WHERE tenant = $1 AND state = 4 AND (instance <> $3 OR at <= $2){} LIMIT $4",
        elsewhere(except)
    );
    let args = [
        until.0.into(),
        InstanceId::NIL.as_bytes().into(),
        limit.into(),
    ];
    let rows = tx.rows(AssertSqlSafe(sql), args).await?;
    rows.iter().map(read).collect()
}

/// The condition that a row is in none of these regions.
pub(in crate::db) fn elsewhere(regions: &BTreeSet<RegionId>) -> String {
    let each = regions.iter().map(|region| region.0);
    each.map(|region| format!(" AND region <> {region}"))
        .collect()
}

/// Remembers a blob that was never finished and whose object is removed, if there was one: its writer may have been
/// frozen, and store it when it wakes up, or a request that nobody waits for any more may be carried out late. Once
/// it is [`deleting`] again, its object is removed for the last time.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remember(tx: &mut TenantTx, id: BlobId, at: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE blobs SET instance = $3, at = $4 WHERE tenant = $1 AND id = $2 AND state = 4",
        [
            id.as_bytes().into(),
            InstanceId::NIL.as_bytes().into(),
            at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Forgets a blob whose object is gone.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, id: BlobId) -> Result<()> {
    tx.execute(
        "DELETE FROM blobs WHERE tenant = $1 AND id = $2 AND state = 4",
        [id.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// One blob.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(tx: &mut TenantTx, id: BlobId) -> Result<Option<BlobRecord>> {
    let row = tx
        .row(
            "SELECT id, size, finished, key_version, state, instance, uses, at, region FROM blobs \
             WHERE tenant = $1 AND id = $2",
            [id.as_bytes().into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Whether files of the tenant need any blob that is in a region.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn needs_any(tx: &mut TenantTx, region: RegionId) -> Result<bool> {
    let sql = "SELECT id FROM blobs WHERE tenant = $1 AND region = $2 AND uses > 0 LIMIT 1";
    Ok(tx.row(sql, [region.0.into()]).await?.is_some())
}

/// The ids from `first` to `last` that are known to be in a region.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn known(
    tx: &mut TenantTx,
    region: RegionId,
    first: BlobId,
    last: BlobId,
) -> Result<Vec<BlobId>> {
    let rows = tx
        .rows(
            "SELECT id FROM blobs WHERE tenant = $1 AND region = $2 AND id >= $3 AND id <= $4 \
             UNION SELECT id FROM blob_copies \
             WHERE tenant = $1 AND region = $2 AND id >= $3 AND id <= $4",
            [
                region.0.into(),
                first.as_bytes().into(),
                last.as_bytes().into(),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| BlobId::from_slice(&row.bytes(0)?))
        .collect()
}

/// Up to `limit` blobs with ids above `after`, in order.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn scan(tx: &mut TenantTx, after: BlobId, limit: i64) -> Result<Vec<BlobRecord>> {
    let rows = tx
        .rows(
            "SELECT id, size, finished, key_version, state, instance, uses, at, region FROM blobs \
             WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3",
            [after.as_bytes().into(), limit.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// How many extents of contents and uploads really name each blob that any names, or whose row
/// says so; only those where the row is wrong.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn miscounted(tx: &mut TenantTx) -> Result<Vec<(BlobId, i64, i64)>> {
    let rows = tx
        .rows(
            "SELECT b.id, b.uses, CAST(coalesce(n.named, 0) AS bigint) FROM blobs b LEFT JOIN (\
             SELECT blob, count(*) AS named FROM (\
             SELECT blob FROM extents WHERE tenant = $1 AND blob IS NOT NULL UNION ALL \
             SELECT blob FROM upload_edits WHERE tenant = $1 AND blob IS NOT NULL) AS every \
             GROUP BY blob) AS n ON n.blob = b.id \
             WHERE b.tenant = $1 AND b.uses <> coalesce(n.named, 0) LIMIT 100",
            [],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok((
                BlobId::from_slice(&row.bytes(0)?)?,
                row.int(1)?,
                row.int(2)?,
            ))
        })
        .collect()
}

fn linked(touched: u64) -> Result<()> {
    match touched {
        0 => Err(Error::new(
            ErrorKind::Stale,
            "what was uploaded has been cleaned away meanwhile; upload it again",
        )),
        _ => Ok(()),
    }
}

/// Columns: id, size, finished, key_version, state, instance, uses, at, region.
pub(in crate::db) fn read(row: &Row) -> Result<BlobRecord> {
    Ok(BlobRecord {
        info: BlobInfo {
            id: BlobId::from_slice(&row.bytes(0)?)?,
            size: row.count(1)?,
            finished: row.int(2)? != 0,
            key_version: u32::try_from(row.int(3)?).map_err(Error::internal)?,
            region: RegionId(row.int(8)?),
        },
        state: BlobState::from_code(row.int(4)?)?,
        instance: InstanceId::from_slice(&row.bytes(5)?)?,
        uses: row.int(6)?,
        at: Timestamp(row.int(7)?),
    })
}
