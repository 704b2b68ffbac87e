//! Contents: what files hold, as extents of blobs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use crate::db::blobs::{self, BlobInfo};
use crate::db::sql::{Row, TenantTx};
use crate::db::value::Value;
use crate::domain::clock::Timestamp;
use crate::domain::content::{Extent, ExtentMap};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{BlobId, ContentId, RegionId};
use crate::domain::sum::SumKind;

/// Rows of one INSERT; its text is prepared once per number of rows.
const ROWS_PER_INSERT: usize = 64;
/// Most runs that are read at once.
const ROWS_PER_SELECT: usize = 4096;

/// A content and what is needed to read it.
#[derive(Clone, Debug)]
pub struct StoredContent {
    /// Its runs.
    pub map: ExtentMap,
    /// The blobs they are in.
    pub blobs: Vec<BlobInfo>,
    /// SHA-256 of the whole; none when it was written out of order and no job has read it yet.
    pub sha256: Option<[u8; 32]>,
}

/// Loads a content.
///
/// # Errors
/// NotFound when there is no such content.
pub async fn load(tx: &mut TenantTx, id: ContentId) -> Result<StoredContent> {
    let whole = load_within(tx, id, usize::MAX).await?;
    whole.ok_or_else(|| Error::internal("a content has too many runs"))
}

/// The same, or none when it has more than `most` runs: these may be many.
///
/// # Errors
/// NotFound when there is no such content.
pub async fn load_within(
    tx: &mut TenantTx,
    id: ContentId,
    most: usize,
) -> Result<Option<StoredContent>> {
    let page = most.saturating_add(1).min(ROWS_PER_SELECT);
    let limit = number(page as u64)?;
    let first = "SELECT e.start, e.length, e.blob, e.blob_start, \
         b.size, b.finished, b.key_version, b.region, c.sha256 FROM contents c \
         LEFT JOIN extents e ON e.tenant = c.tenant AND e.content = c.id \
         LEFT JOIN blobs b ON b.tenant = e.tenant AND b.id = e.blob \
         WHERE c.tenant = $1 AND c.id = $2 ORDER BY e.start LIMIT $3";
    let next = "SELECT e.start, e.length, e.blob, e.blob_start, \
         b.size, b.finished, b.key_version, b.region FROM extents e \
         LEFT JOIN blobs b ON b.tenant = e.tenant AND b.id = e.blob \
         WHERE e.tenant = $1 AND e.content = $2 AND e.start > $4 ORDER BY e.start LIMIT $3";
    let mut rows = tx
        .rows(first, [id.as_bytes().into(), limit.clone()])
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::not_found("the content of this file is gone"))?;
    let sha256 = row.opt_bytes(8)?.and_then(|hash| hash.try_into().ok());
    if row.opt_int(0)?.is_none() {
        // No extents at all.
        rows.clear();
    }
    let mut runs = Vec::with_capacity(rows.len());
    let mut infos: BTreeMap<BlobId, BlobInfo> = BTreeMap::new();
    loop {
        for row in &rows {
            let extent = read_extent(row)?;
            runs.push(extent);
            if let Some(id) = extent.blob {
                infos.insert(id, read_info(row, id)?);
            }
        }
        let last = match runs.last() {
            _ if runs.len() > most => return Ok(None),
            Some(last) if rows.len() == page => number(last.start)?,
            _ => break,
        };
        rows = tx
            .rows(next, [id.as_bytes().into(), limit.clone(), last])
            .await?;
    }
    Ok(Some(StoredContent {
        map: ExtentMap::from_runs(runs),
        blobs: infos.into_values().collect(),
        sha256,
    }))
}

/// Columns from 4 on: size, finished, key_version, region.
fn read_info(row: &Row, id: BlobId) -> Result<BlobInfo> {
    let size = row.opt_int(4)?.ok_or_else(|| {
        Error::new(
            ErrorKind::Corrupt,
            "a part of this file is lost; tell the operator",
        )
        .because(format!("blob {id} is not in the database"))
    })?;
    Ok(BlobInfo {
        id,
        size: u64::try_from(size).map_err(Error::internal)?,
        finished: row.int(5)? != 0,
        key_version: u32::try_from(row.int(6)?).map_err(Error::internal)?,
        region: RegionId(row.int(7)?),
    })
}

/// How many runs a content has.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn pieces(tx: &mut TenantTx, id: ContentId) -> Result<usize> {
    let sql = "SELECT count(*) FROM extents WHERE tenant = $1 AND content = $2";
    let row = tx.row(sql, [id.as_bytes().into()]).await?;
    let count = row.map_or(Ok(0), |row| row.count(0))?;
    usize::try_from(count).map_err(Error::internal)
}

/// Adds a content that one entry names. `stored` are the blobs its writer has just stored; all
/// others in `map` must be live.
///
/// # Errors
/// Stale when a blob was condemned meanwhile.
pub async fn insert(
    tx: &mut TenantTx,
    id: ContentId,
    map: &ExtentMap,
    stored: &[BlobInfo],
    sha256: Option<[u8; 32]>,
    at: Timestamp,
) -> Result<()> {
    tx.execute(
        "INSERT INTO contents (tenant, id, size, sha256, uses) VALUES ($1, $2, $3, $4, 1)",
        [
            id.as_bytes().into(),
            number(map.size())?,
            sha256.map(|hash| hash.to_vec()).into(),
        ],
    )
    .await?;
    let runs: Vec<_> = map.runs().copied().collect();
    insert_runs(tx, "extents (tenant, content,", id.as_bytes(), &runs).await?;
    link_runs(tx, &runs, stored, at).await
}

/// Notes that one more entry names a content.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn add_use(tx: &mut TenantTx, id: ContentId) -> Result<()> {
    tx.execute(
        "UPDATE contents SET uses = uses + 1 WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// The same for a content that may be on its way out, or gone: says whether all of its `size` bytes are there.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn add_use_of_whole(tx: &mut TenantTx, id: ContentId, size: u64) -> Result<bool> {
    let touched = tx
        .execute(
            "UPDATE contents SET uses = uses + 1 WHERE tenant = $1 AND id = $2 AND size = $3",
            [id.as_bytes().into(), number(size)?],
        )
        .await?;
    Ok(touched > 0)
}

/// What is left of a content that an entry less names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All of it, for others, or nothing: so many runs went with it.
    Gone(usize),
    /// The entry still names it, and it is only so many bytes long any more: the rest of it was too much for
    /// one transaction.
    Rest(u64),
}

/// Notes that one entry less names a content; the last one takes the content with it, and
/// condemns blobs that nothing else names. Of a content with more than `most` runs only the last `most` go, and
/// the caller sees to it that nobody reads what is left, and comes again.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn drop_use(
    tx: &mut TenantTx,
    id: ContentId,
    at: Timestamp,
    most: usize,
) -> Result<Left> {
    let row = tx
        .row(
            "UPDATE contents SET uses = uses - 1 WHERE tenant = $1 AND id = $2 RETURNING uses",
            [id.as_bytes().into()],
        )
        .await?;
    let Some(row) = row else {
        return Ok(Left::Gone(0));
    };
    if row.int(0)? > 0 {
        return Ok(Left::Gone(0));
    }
    let rows = tx
        .rows(
            "SELECT start, length, blob, blob_start FROM extents \
             WHERE tenant = $1 AND content = $2 ORDER BY start DESC LIMIT $3",
            [id.as_bytes().into(), number(most.saturating_add(1) as u64)?],
        )
        .await?;
    let runs = rows.iter().map(read_extent).collect::<Result<Vec<_>>>()?;
    if let Some((rest, gone)) = runs.split_last()
        && gone.len() == most
    {
        unlink_runs(tx, gone, at).await?;
        cut(tx, id, rest.end()).await?;
        return Ok(Left::Rest(rest.end()));
    }
    unlink_runs(tx, &runs, at).await?;
    tx.execute(
        "DELETE FROM extents WHERE tenant = $1 AND content = $2",
        [id.as_bytes().into()],
    )
    .await?;
    tx.execute(
        "DELETE FROM contents WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into()],
    )
    .await?;
    Ok(Left::Gone(runs.len()))
}

/// Cuts a content that one entry names, whose runs beyond `size` are unlinked.
async fn cut(tx: &mut TenantTx, id: ContentId, size: u64) -> Result<()> {
    tx.execute(
        "DELETE FROM extents WHERE tenant = $1 AND content = $2 AND start >= $3",
        [id.as_bytes().into(), number(size)?],
    )
    .await?;
    tx.execute(
        "UPDATE contents SET uses = 1, size = $3, sha256 = NULL, sha512 = NULL, sha1 = NULL, \
         md5 = NULL, crc32 = NULL WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into(), number(size)?],
    )
    .await?;
    Ok(())
}

/// A checksum of a whole content, if it has been noted.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn sum(tx: &mut TenantTx, id: ContentId, kind: SumKind) -> Result<Option<Vec<u8>>> {
    let sql = match kind {
        SumKind::Crc32 => "SELECT crc32 FROM contents WHERE tenant = $1 AND id = $2",
        SumKind::Md5 => "SELECT md5 FROM contents WHERE tenant = $1 AND id = $2",
        SumKind::Sha1 => "SELECT sha1 FROM contents WHERE tenant = $1 AND id = $2",
        SumKind::Sha256 => "SELECT sha256 FROM contents WHERE tenant = $1 AND id = $2",
        SumKind::Sha512 => "SELECT sha512 FROM contents WHERE tenant = $1 AND id = $2",
    };
    let row = tx.row(sql, [id.as_bytes().into()]).await?;
    row.map_or(Ok(None), |row| row.opt_bytes(0))
}

/// SHA-256 of those of `ids` of which it is known.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn sha256_of(
    tx: &mut TenantTx,
    ids: &[ContentId],
) -> Result<HashMap<ContentId, [u8; 32]>> {
    // As many at a time as one statement of a fixed text takes.
    const SQL: &str = "SELECT id, sha256 FROM contents WHERE tenant = $1 AND sha256 IS NOT NULL \
         AND id IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
         $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)";
    let mut known = HashMap::new();
    for some in ids.chunks(32) {
        let padded = some.iter().chain(some.iter().cycle()).take(32);
        let args = padded.map(|id| id.as_bytes().into()).collect();
        for row in tx.rows_of(SQL, args).await? {
            if let Ok(sum) = row.bytes(1)?.try_into() {
                known.insert(ContentId::from_slice(&row.bytes(0)?)?, sum);
            }
        }
    }
    Ok(known)
}

/// Notes a checksum of a whole content.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_sum(tx: &mut TenantTx, id: ContentId, kind: SumKind, sum: &[u8]) -> Result<()> {
    let sql = match kind {
        SumKind::Crc32 => "UPDATE contents SET crc32 = $3 WHERE tenant = $1 AND id = $2",
        SumKind::Md5 => "UPDATE contents SET md5 = $3 WHERE tenant = $1 AND id = $2",
        SumKind::Sha1 => "UPDATE contents SET sha1 = $3 WHERE tenant = $1 AND id = $2",
        SumKind::Sha256 => "UPDATE contents SET sha256 = $3 WHERE tenant = $1 AND id = $2",
        SumKind::Sha512 => "UPDATE contents SET sha512 = $3 WHERE tenant = $1 AND id = $2",
    };
    tx.execute(sql, [id.as_bytes().into(), sum.into()]).await?;
    Ok(())
}

const UNHASHED: &str = "SELECT c.id FROM contents c WHERE c.tenant = $1 AND c.sha256 IS NULL AND c.id > $2 AND \
     coalesce((SELECT sum(x.length) FROM extents x WHERE x.tenant = $1 \
     AND x.content = c.id AND x.blob IS NULL), 0) <= $3 ORDER BY c.id LIMIT $4";

/// Up to `limit` contents with ids above `after`, in order, whose SHA-256 is not known, but for those with more than
/// `most_holes` bytes of holes: a client makes them with one request, and reading them may take years.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn unhashed(
    tx: &mut TenantTx,
    after: ContentId,
    most_holes: i64,
    limit: i64,
) -> Result<Vec<ContentId>> {
    let args = [after.as_bytes().into(), most_holes.into(), limit.into()];
    let rows = tx.rows(UNHASHED, args).await?;
    rows.iter()
        .map(|row| ContentId::from_slice(&row.bytes(0)?))
        .collect()
}

/// Contents with ids above `after` that have more than `most` bytes of holes.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn with_holes(tx: &mut TenantTx, after: ContentId, most: i64) -> Result<Vec<ContentId>> {
    let rows = tx
        .rows(
            "SELECT content FROM extents WHERE tenant = $1 AND content > $2 AND blob IS NULL \
             GROUP BY content HAVING sum(length) > $3",
            [after.as_bytes().into(), most.into()],
        )
        .await?;
    rows.iter()
        .map(|row| ContentId::from_slice(&row.bytes(0)?))
        .collect()
}

/// A content as a check sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentCheck {
    /// Which.
    pub id: ContentId,
    /// Its length, as its row says.
    pub size: u64,
    /// The sum of its extents.
    pub extents: u64,
    /// Extents beyond their blob, or of a blob that is not live.
    pub dangling: i64,
}

/// Up to `limit` contents with ids above `after`, in order, with what they are made of.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn scan(tx: &mut TenantTx, after: ContentId, limit: i64) -> Result<Vec<ContentCheck>> {
    let rows = tx
        .rows(
            "SELECT c.id, c.size, \
             CAST(coalesce((SELECT sum(x.length) FROM extents x \
             WHERE x.tenant = $1 AND x.content = c.id), 0) AS bigint), \
             (SELECT count(*) FROM extents x LEFT JOIN blobs b \
             ON b.tenant = x.tenant AND b.id = x.blob \
             WHERE x.tenant = $1 AND x.content = c.id AND x.blob IS NOT NULL \
             AND (b.id IS NULL OR b.state <> 2 OR x.blob_start + x.length > b.size)) \
             FROM contents c WHERE c.tenant = $1 AND c.id > $2 ORDER BY c.id LIMIT $3",
            [after.as_bytes().into(), limit.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(ContentCheck {
                id: ContentId::from_slice(&row.bytes(0)?)?,
                size: row.count(1)?,
                extents: row.count(2)?,
                dangling: row.int(3)?,
            })
        })
        .collect()
}

/// A content of which its row and the entries say different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentMiscount {
    /// Which.
    pub id: ContentId,
    /// How many entries name it, as its row says.
    pub uses: i64,
    /// How many entries really name it.
    pub named: i64,
    /// Entries that name it differ in size.
    pub has_other_size: bool,
}

/// The contents that are named by other entries, live and past, than their row says; the first hundred.
///
/// Goes through all entries: no index leads from a content to them, since every file that is stored would pay for it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn miscounted(tx: &mut TenantTx) -> Result<Vec<ContentMiscount>> {
    let rows = tx
        .rows(
            "SELECT c.id, c.uses, CAST(coalesce(n.named, 0) AS bigint), \
             CAST(CASE WHEN n.least <> c.size OR n.most <> c.size THEN 1 ELSE 0 END AS bigint) \
             FROM contents c LEFT JOIN (\
             SELECT content, count(*) AS named, min(size) AS least, max(size) AS most FROM (\
             SELECT content, size FROM entries WHERE tenant = $1 AND content IS NOT NULL UNION ALL \
             SELECT content, size FROM entries_past WHERE tenant = $1 AND content IS NOT NULL) AS every \
             GROUP BY content) AS n ON n.content = c.id \
             WHERE c.tenant = $1 AND (c.uses <> coalesce(n.named, 0) \
             OR n.least <> c.size OR n.most <> c.size) LIMIT 100",
            [],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(ContentMiscount {
                id: ContentId::from_slice(&row.bytes(0)?)?,
                uses: row.int(1)?,
                named: row.int(2)?,
                has_other_size: row.int(3)? != 0,
            })
        })
        .collect()
}

/// Writes runs below `owner` (a content or an upload), several rows a statement.
pub(in crate::db) async fn insert_runs(
    tx: &mut TenantTx,
    into: &str,
    owner: &[u8; 16],
    runs: &[Extent],
) -> Result<()> {
    for chunk in runs.chunks(ROWS_PER_INSERT) {
        let mut sql = format!("INSERT INTO {into} start, length, blob, blob_start) VALUES ");
        let mut args: Vec<Value> = vec![owner.into()];
        for (index, run) in chunk.iter().enumerate() {
            let first = 3 + index * 4;
            let comma = if index == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(
                sql,
                "{comma}($1, $2, ${first}, ${}, ${}, ${})",
                first + 1,
                first + 2,
                first + 3
            );
            args.push(number(run.start)?);
            args.push(number(run.length)?);
            args.push(run.blob.map(|blob| blob.as_bytes().to_vec()).into());
            args.push(number(run.blob_start)?);
        }
        tx.execute_of(AssertSqlSafe(sql), args).await?;
    }
    Ok(())
}

/// Adds a use to the blob of each run.
pub(in crate::db) async fn link_runs(
    tx: &mut TenantTx,
    runs: &[Extent],
    stored: &[BlobInfo],
    at: Timestamp,
) -> Result<()> {
    for (blob, uses) in count(runs) {
        match stored.iter().find(|info| info.id == blob) {
            Some(info) => blobs::link_stored(tx, info, uses, at).await?,
            None => blobs::link_live(tx, blob, uses).await?,
        }
    }
    Ok(())
}

/// Takes the use of each run from its blob.
pub(in crate::db) async fn unlink_runs(
    tx: &mut TenantTx,
    runs: &[Extent],
    at: Timestamp,
) -> Result<()> {
    match count(runs) {
        uses if uses.is_empty() => Ok(()),
        uses => blobs::unlink(tx, &uses, at).await,
    }
}

/// Columns: start, length, blob, blob_start.
pub(in crate::db) fn read_extent(row: &Row) -> Result<Extent> {
    let blob = row.opt_bytes(2)?;
    Ok(Extent {
        start: row.count(0)?,
        length: row.count(1)?,
        blob: blob.map(|id| BlobId::from_slice(&id)).transpose()?,
        blob_start: row.count(3)?,
    })
}

/// Blobs in order of id, so that transactions that touch the same ones never deadlock.
fn count(runs: &[Extent]) -> BTreeMap<BlobId, i64> {
    let mut uses = BTreeMap::new();
    for blob in runs.iter().filter_map(|run| run.blob) {
        *uses.entry(blob).or_insert(0) += 1;
    }
    uses
}

/// A length or offset as the database counts it.
///
/// # Errors
/// Internal when it is beyond what it counts.
pub(in crate::db) fn number(value: u64) -> Result<Value> {
    Ok(i64::try_from(value).map_err(Error::internal)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::query_plan;

    #[tokio::test]
    async fn what_is_to_be_hashed_is_found_without_looking_at_the_rest() {
        let args = [ContentId::NIL.as_bytes().into(), 1_i64.into(), 1_i64.into()];
        let steps = query_plan::steps(UNHASHED, args).await;
        let first = &steps[0];
        assert!(first.contains("contents_unhashed"), "{steps:?}");
        assert!(
            first.ends_with("(tenant=? AND sha256=? AND id>?)"),
            "{steps:?}"
        );
        assert!(
            !steps.iter().any(|step| step.contains("TEMP B-TREE")),
            "{steps:?}"
        );
    }
}
