//! Live and past entries of a tenant's tree.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use crate::db::sql::{Dialect, Row, TenantTx};
use crate::db::value::Value;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, ContentId, NodeId};
use crate::domain::node::{Attributes, Entry, NodeKind};
use crate::domain::path::Name;

/// More folders above each other than this are taken for a loop.
pub const MOST_FOLDERS: usize = 1_000;

/// The moment at which the tree is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the change with this number.
    At(i64),
    /// Now.
    Now,
}

/// The columns of an entry, in the order [`read`] takes them; `died` is added by each query.
macro_rules! columns {
    ($prefix:literal) => {
        concat!(
            $prefix,
            "node, ",
            $prefix,
            "parent, ",
            $prefix,
            "name, ",
            $prefix,
            "kind, ",
            $prefix,
            "content, ",
            $prefix,
            "size, ",
            $prefix,
            "owner, ",
            $prefix,
            "mode, ",
            $prefix,
            "modified, ",
            $prefix,
            "accessed, ",
            $prefix,
            "created, ",
            $prefix,
            "born"
        )
    };
}

/// The entries along a path, the root first, as far as they exist.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn resolve(tx: &mut TenantTx, names: &[Name], moment: Moment) -> Result<Vec<Entry>> {
    if moment == Moment::Now && tx.dialect() == Dialect::Postgres {
        return resolve_at_once(tx, names).await;
    }
    let mut chain: Vec<Entry> = Vec::with_capacity(names.len() + 1);
    let mut parent = NodeId::NIL;
    for name in std::iter::once("").chain(names.iter().map(Name::as_str)) {
        let found = match moment {
            Moment::At(seq) => child_at(tx, parent, name, seq).await?,
            Moment::Now => child(tx, parent, name).await?,
        };
        let Some(entry) = found else {
            break;
        };
        parent = entry.node;
        chain.push(entry);
    }
    Ok(chain)
}

async fn resolve_at_once(tx: &mut TenantTx, names: &[Name]) -> Result<Vec<Entry>> {
    let mut sql = String::from("WITH RECURSIVE parts(depth, name) AS (VALUES (0, $3)");
    let mut args: Vec<Value> = vec![NodeId::NIL.as_bytes().into(), "".into()];
    for (index, name) in names.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(sql, ", ({}, ${})", index + 1, index + 4);
        args.push(name.as_str().into());
    }
    sql.push_str(concat!(
        "), walk AS (SELECT 0 AS depth, ",
        columns!("e."),
        " FROM entries e \
         WHERE e.tenant = $1 AND e.parent = $2 AND e.name = '' \
         UNION ALL SELECT w.depth + 1, ",
        columns!("e."),
        " \
         FROM walk w CROSS JOIN parts p CROSS JOIN entries e WHERE p.depth = w.depth + 1 \
         AND e.tenant = $1 AND e.parent = w.node AND e.name = p.name) \
         SELECT ",
        columns!(""),
        ", CAST(NULL AS bigint) FROM walk ORDER BY depth"
    ));
    let rows = tx.rows_of(AssertSqlSafe(sql), args).await?;
    rows.iter().map(read).collect()
}

async fn child_at(
    tx: &mut TenantTx,
    parent: NodeId,
    name: &str,
    seq: i64,
) -> Result<Option<Entry>> {
    let live = child(tx, parent, name).await?;
    if live.as_ref().is_some_and(|entry| entry.born <= seq) {
        return Ok(live);
    }
    let row = tx
        .row(
            concat!(
                "SELECT ",
                columns!(""),
                ", died FROM entries_past WHERE tenant = $1 \
                 AND parent = $2 AND name = $3 AND died > $4 AND born <= $4 LIMIT 1"
            ),
            [parent.as_bytes().into(), name.into(), seq.into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// A live entry by its node.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn live(tx: &mut TenantTx, node: NodeId) -> Result<Option<Entry>> {
    let row = tx
        .row(
            concat!(
                "SELECT ",
                columns!(""),
                ", CAST(NULL AS bigint) FROM entries \
                 WHERE tenant = $1 AND node = $2"
            ),
            [node.as_bytes().into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The last version of a node that is dead.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn last_past(tx: &mut TenantTx, node: NodeId) -> Result<Option<Entry>> {
    let row = tx
        .row(
            concat!(
                "SELECT ",
                columns!(""),
                ", died FROM entries_past \
                 WHERE tenant = $1 AND node = $2 ORDER BY died DESC LIMIT 1"
            ),
            [node.as_bytes().into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Up to `limit` live files with node ids above `after`, in order: those that have a content.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn files(tx: &mut TenantTx, after: NodeId, limit: i64) -> Result<Vec<Entry>> {
    let sql = concat!(
        "SELECT ",
        columns!(""),
        ", CAST(NULL AS bigint) FROM entries \
         WHERE tenant = $1 AND node > $2 AND content IS NOT NULL ORDER BY node LIMIT $3"
    );
    let rows = tx
        .rows(sql, [after.as_bytes().into(), limit.into()])
        .await?;
    rows.iter().map(read).collect()
}

/// Up to `limit` past versions of files, in the order of their nodes and the oldest first, beyond `after`: those that
/// have a content.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn past_files(tx: &mut TenantTx, after: (NodeId, i64), limit: i64) -> Result<Vec<Entry>> {
    let sql = concat!(
        "SELECT ",
        columns!(""),
        ", died FROM entries_past \
         WHERE tenant = $1 AND (node, died) > ($2, $3) AND content IS NOT NULL ORDER BY node, died LIMIT $4"
    );
    let args = [after.0.as_bytes().into(), after.1.into(), limit.into()];
    let rows = tx.rows(sql, args).await?;
    rows.iter().map(read).collect()
}

/// A live child by its name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn child(tx: &mut TenantTx, parent: NodeId, name: &str) -> Result<Option<Entry>> {
    let row = tx
        .row(
            concat!(
                "SELECT ",
                columns!(""),
                ", CAST(NULL AS bigint) FROM entries \
                 WHERE tenant = $1 AND parent = $2 AND name = $3"
            ),
            [parent.as_bytes().into(), name.into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The live entries from `node` up, the root last. A chain that does not end at the root hangs
/// below a dead folder.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn ancestors(tx: &mut TenantTx, node: NodeId) -> Result<Vec<Entry>> {
    if tx.dialect() == Dialect::Sqlite {
        let mut chain: Vec<Entry> = Vec::new();
        let mut next = node;
        while chain.len() < MOST_FOLDERS
            && let Some(entry) = live(tx, next).await?
        {
            next = entry.parent;
            chain.push(entry);
        }
        return Ok(chain);
    }
    let rows = tx
        .rows(
            concat!(
                "WITH RECURSIVE up AS (SELECT 0 AS depth, ",
                columns!("e."),
                " FROM entries e \
                 WHERE e.tenant = $1 AND e.node = $2 \
                 UNION ALL SELECT u.depth + 1, ",
                columns!("e."),
                " FROM up u \
                 JOIN entries e ON e.tenant = $1 AND e.node = u.parent WHERE u.depth < 1000) \
                 SELECT ",
                columns!(""),
                ", CAST(NULL AS bigint) FROM up ORDER BY depth"
            ),
            [node.as_bytes().into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Up to `limit` children of a folder with names after `after`, by name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(
    tx: &mut TenantTx,
    parent: NodeId,
    after: &str,
    limit: usize,
    moment: Moment,
) -> Result<Vec<Entry>> {
    let Moment::At(seq) = moment else {
        return live_page(tx, parent, after, limit).await;
    };
    let mut after = after.to_owned();
    loop {
        let live = live_page(tx, parent, &after, limit).await?;
        // Bounded by name: however many dead versions lie behind later names, they are not read.
        let last = match live.len() < limit {
            true => None,
            false => live.last().map(|entry| entry.name.clone()),
        };
        let mut found = past_page(tx, parent, &after, last.as_deref(), limit, seq).await?;
        found.extend(live.into_iter().filter(|entry| entry.born <= seq));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.truncate(limit);
        match last {
            // All of them were made later.
            Some(last) if found.is_empty() => after = last,
            _ => return Ok(found),
        }
    }
}

const LIVE_PAGE: &str = concat!(
    "SELECT ",
    columns!(""),
    ", CAST(NULL AS bigint) FROM entries \
     WHERE tenant = $1 AND parent = $2 AND name > $3 ORDER BY name LIMIT $4"
);

async fn live_page(
    tx: &mut TenantTx,
    parent: NodeId,
    after: &str,
    limit: usize,
) -> Result<Vec<Entry>> {
    let args = [parent.as_bytes().into(), after.into(), number(limit)];
    let rows = tx.rows(LIVE_PAGE, args).await?;
    rows.iter().map(read).collect()
}

async fn past_page(
    tx: &mut TenantTx,
    parent: NodeId,
    after: &str,
    last: Option<&str>,
    limit: usize,
    seq: i64,
) -> Result<Vec<Entry>> {
    let until = last.map(str::to_owned);
    let rows = tx
        .rows(
            concat!(
                "SELECT ",
                columns!(""),
                ", died FROM entries_past \
                 WHERE tenant = $1 AND parent = $2 AND name > $3 \
                 AND (CAST($4 AS text) IS NULL OR name <= $4) \
                 AND died > $5 AND born <= $5 ORDER BY name LIMIT $6"
            ),
            [
                parent.as_bytes().into(),
                after.into(),
                until.into(),
                seq.into(),
                number(limit),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Whether a folder has a live child.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn has_children(tx: &mut TenantTx, parent: NodeId) -> Result<bool> {
    let row = tx
        .row(
            "SELECT CAST(1 AS bigint) FROM entries WHERE tenant = $1 AND parent = $2 LIMIT 1",
            [parent.as_bytes().into()],
        )
        .await?;
    Ok(row.is_some())
}

/// Adds a live entry.
///
/// # Errors
/// AlreadyExists when the name is taken or the node is live.
pub async fn insert(tx: &mut TenantTx, entry: &Entry) -> Result<()> {
    tx.execute(
        concat!(
            "INSERT INTO entries (tenant, ",
            columns!(""),
            ") \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        ),
        values(entry),
    )
    .await?;
    Ok(())
}

/// Writes a new version of a live node over the old one, which [`bury`] has kept.
///
/// # Errors
/// AlreadyExists when the new name is taken.
pub async fn replace(tx: &mut TenantTx, entry: &Entry) -> Result<()> {
    tx.execute(
        "UPDATE entries SET parent = $3, name = $4, kind = $5, content = $6, size = $7, \
         owner = $8, mode = $9, modified = $10, accessed = $11, created = $12, \
         born = $13 \
         WHERE tenant = $1 AND node = $2",
        values(entry),
    )
    .await?;
    Ok(())
}

/// Copies a live version to the past, dead as of change `died`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn bury(tx: &mut TenantTx, node: NodeId, died: i64) -> Result<()> {
    tx.execute(
        concat!(
            "INSERT INTO entries_past (tenant, ",
            columns!(""),
            ", died) \
             SELECT tenant, ",
            columns!(""),
            ", $3 FROM entries WHERE tenant = $1 AND node = $2"
        ),
        [node.as_bytes().into(), died.into()],
    )
    .await?;
    Ok(())
}

/// Removes a live entry.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, node: NodeId) -> Result<()> {
    tx.execute(
        "DELETE FROM entries WHERE tenant = $1 AND node = $2",
        [node.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// Up to `limit` past versions that died at or before change `until`, oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn past_until(tx: &mut TenantTx, until: i64, limit: usize) -> Result<Vec<Entry>> {
    let rows = tx
        .rows(
            concat!(
                "SELECT ",
                columns!(""),
                ", died FROM entries_past \
                 WHERE tenant = $1 AND died <= $2 ORDER BY died LIMIT $3"
            ),
            [until.into(), number(limit)],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// How many versions there are, live and past, and up to 100 nodes of those that name a content
/// that is not there.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn census(tx: &mut TenantTx) -> Result<(u64, Vec<NodeId>)> {
    let row = tx
        .row(
            "SELECT (SELECT count(*) FROM entries WHERE tenant = $1) + \
             (SELECT count(*) FROM entries_past WHERE tenant = $1)",
            [],
        )
        .await?
        .ok_or_else(|| Error::internal("count() of nothing"))?;
    let rows = tx
        .rows(
            "SELECT node FROM (\
             SELECT node, content, size FROM entries WHERE tenant = $1 UNION ALL \
             SELECT node, content, size FROM entries_past WHERE tenant = $1) AS every \
             WHERE (content IS NULL AND size <> 0) OR (content IS NOT NULL AND NOT EXISTS \
             (SELECT 1 FROM contents c WHERE c.tenant = $1 AND c.id = every.content)) LIMIT 100",
            [],
        )
        .await?;
    let lost = rows.iter().map(|row| NodeId::from_slice(&row.bytes(0)?));
    Ok((row.count(0)?, lost.collect::<Result<_>>()?))
}

/// Removes one past version.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, node: NodeId, died: i64) -> Result<()> {
    tx.execute(
        "DELETE FROM entries_past WHERE tenant = $1 AND node = $2 AND died = $3",
        [node.as_bytes().into(), died.into()],
    )
    .await?;
    Ok(())
}

/// In the order of [`read`], but for `died`.
pub(in crate::db) fn values(entry: &Entry) -> [Value; 12] {
    [
        entry.node.as_bytes().into(),
        entry.parent.as_bytes().into(),
        entry.name.as_str().into(),
        entry.kind.code().into(),
        entry
            .content
            .map(|content| content.as_bytes().to_vec())
            .into(),
        number(usize::try_from(entry.size).unwrap_or(usize::MAX)),
        entry.owner.map(|owner| owner.0).into(),
        i64::from(entry.attributes.mode).into(),
        entry.attributes.modified.0.into(),
        entry.attributes.accessed.0.into(),
        entry.attributes.created.map(|created| created.0).into(),
        entry.born.into(),
    ]
}

/// Columns: node, parent, name, kind, content, size, owner, mode, modified, accessed, created, born,
/// died.
pub(in crate::db) fn read(row: &Row) -> Result<Entry> {
    let content = row.opt_bytes(4)?;
    Ok(Entry {
        node: NodeId::from_slice(&row.bytes(0)?)?,
        parent: NodeId::from_slice(&row.bytes(1)?)?,
        name: row.text(2)?,
        kind: NodeKind::from_code(row.int(3)?)?,
        content: content.map(|id| ContentId::from_slice(&id)).transpose()?,
        size: row.count(5)?,
        owner: row.opt_int(6)?.map(AccountId),
        attributes: Attributes {
            mode: u32::try_from(row.int(7)?).unwrap_or(0),
            modified: Timestamp(row.int(8)?),
            accessed: Timestamp(row.int(9)?),
            created: row.opt_int(10)?.map(Timestamp),
        },
        born: row.int(11)?,
        died: row.opt_int(12)?,
    })
}

fn number(value: usize) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::query_plan;

    #[tokio::test]
    async fn a_page_of_children_is_one_search_by_folder_and_name() {
        let args = [NodeId::NIL.as_bytes().into(), "".into(), number(1)];
        let steps = query_plan::steps(LIVE_PAGE, args).await;
        let [only] = &steps[..] else {
            panic!("{steps:?}");
        };
        let by = "(tenant=? AND parent=? AND name>?)";
        assert!(only.starts_with("SEARCH") && only.ends_with(by), "{only}");
    }
}
