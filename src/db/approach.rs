//! The way to a path and what an account may do along it: from PostgreSQL by one statement, since each is
//! a way there and back; from SQLite, which is called in place, by small ones, since it makes a table
//! of its own for every part of a large one.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use crate::db::clocks;
use crate::db::entries::{self, Moment};
use crate::db::grants::{self, Grant, Subject};
use crate::db::sql::{Dialect, TenantTx};
use crate::db::value::Value;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, NodeId};
use crate::domain::node::Entry;
use crate::domain::path::Name;
use crate::domain::rights::Rights;

/// What lies along a path now.
pub struct Approach {
    /// The entries, the root first, as far as they exist.
    pub chain: Vec<Entry>,
    /// The grants of the account and of its groups.
    pub grants: Vec<Grant>,
    /// Whether the account has an upload, in progress or broken off, of the file at the end of the path
    /// or under its name; without it there is none to look for.
    pub has_upload: bool,
    /// The number of the latest change.
    pub seq: i64,
}

/// Follows a path for an account.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn along(tx: &mut TenantTx, names: &[Name], account: AccountId) -> Result<Approach> {
    match tx.dialect() {
        Dialect::Postgres => at_once(tx, names, account).await,
        Dialect::Sqlite => step_by_step(tx, names, account).await,
    }
}

async fn step_by_step(tx: &mut TenantTx, names: &[Name], account: AccountId) -> Result<Approach> {
    let chain = entries::resolve(tx, names, Moment::Now).await?;
    let folder = names
        .len()
        .checked_sub(1)
        .and_then(|depth| chain.get(depth));
    let has_upload = match (folder, names.last()) {
        (Some(folder), Some(name)) => {
            let node = chain
                .get(names.len())
                .map(|entry| entry.node.as_bytes().to_vec());
            let found = tx.row(
                "SELECT 1 FROM uploads WHERE tenant = $1 AND account = $2 AND parent = $3 AND name = $4 \
                 UNION ALL \
                 SELECT 1 FROM uploads WHERE tenant = $1 AND account = $2 AND node = $5 LIMIT 1",
                [
                    account.0.into(),
                    folder.node.as_bytes().into(),
                    name.as_str().into(),
                    node.into(),
                ],
            );
            found.await?.is_some()
        }
        _ => false,
    };
    Ok(Approach {
        chain,
        grants: grants::of_account(tx, account).await?,
        has_upload,
        seq: clocks::latest(tx).await?.seq,
    })
}

async fn at_once(tx: &mut TenantTx, names: &[Name], account: AccountId) -> Result<Approach> {
    let mut args: Vec<Value> = vec![NodeId::NIL.as_bytes().into(), "".into(), account.0.into()];
    args.extend(names.iter().map(|name| name.as_str().into()));
    let rows = tx
        .rows_of(AssertSqlSafe(statement(names.len())), args)
        .await?;
    let mut chain = Vec::with_capacity(names.len() + 1);
    let (mut grants, mut has_upload, mut seq) = (Vec::new(), false, 0);
    for row in &rows {
        match row.int(13)? {
            -1 => grants.push(Grant {
                subject: Subject::Account(account),
                node: NodeId::from_slice(&row.bytes(0)?)?,
                rights: Rights::from_bits(row.int(5)?),
            }),
            -2 => has_upload = true,
            -3 => seq = row.int(11)?,
            depth => chain.push((depth, entries::read(row)?)),
        }
    }
    chain.sort_unstable_by_key(|(depth, _)| *depth);
    let gap = chain.iter().zip(0..).find(|((depth, _), at)| depth != at);
    if gap.is_some() {
        return Err(Error::internal("a path with a gap"));
    }
    Ok(Approach {
        chain: chain.into_iter().map(|(_, entry)| entry).collect(),
        grants,
        has_upload,
        seq,
    })
}

/// Rows of four kinds, told apart by the last column: entries with their depth, grants (-1), one when
/// there is an upload (-2), and the clock (-3). Of entries the columns are those of [`entries::read`].
/// `OFFSET 0` has each entry looked up by its key: left to itself the planner goes through all of a tenant
/// while it knows no statistics.
fn statement(names: usize) -> String {
    let mut sql = String::from("WITH RECURSIVE parts(depth, name) AS (VALUES (0, $3)");
    for depth in 1..=names {
        // Writing to a String cannot fail.
        let _ = write!(sql, ", ({depth}, ${})", depth + 4);
    }
    let _ = write!(
        sql,
        "), walk AS (SELECT 0 AS depth, e.node, e.parent, e.name, e.kind, e.content, e.size, \
         e.owner, e.mode, e.modified, e.accessed, e.created, e.born FROM entries e \
         WHERE e.tenant = $1 AND e.parent = $2 AND e.name = '' \
         UNION ALL SELECT w.depth + 1, e.node, e.parent, e.name, e.kind, e.content, e.size, \
         e.owner, e.mode, e.modified, e.accessed, e.created, e.born \
         FROM walk w JOIN parts p ON p.depth = w.depth + 1 \
         CROSS JOIN LATERAL (SELECT * FROM entries x \
         WHERE x.tenant = $1 AND x.parent = w.node AND x.name = p.name OFFSET 0) e) \
         SELECT node, parent, name, kind, content, size, owner, mode, modified, accessed, created, born, \
         CAST(NULL AS bigint), CAST(depth AS bigint) FROM walk \
         UNION ALL SELECT node, NULL, NULL, NULL, NULL, rights, NULL, NULL, NULL, NULL, NULL, NULL, NULL, -1 \
         FROM grants WHERE tenant = $1 AND subject_kind = 1 AND subject = $4 \
         UNION ALL SELECT node, NULL, NULL, NULL, NULL, rights, NULL, NULL, NULL, NULL, NULL, NULL, NULL, -1 \
         FROM grants WHERE tenant = $1 AND subject_kind = 2 AND subject IN \
         (SELECT group_id FROM group_members WHERE tenant = $1 AND account = $4) \
         UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, seq, NULL, -3 \
         FROM clocks WHERE tenant = $1",
    );
    if let Some(above) = names.checked_sub(1) {
        let _ = write!(
            sql,
            " UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
             -2 WHERE EXISTS (SELECT 1 FROM uploads u WHERE u.tenant = $1 AND u.account = $4 \
             AND u.parent = (SELECT node FROM walk WHERE depth = {above}) AND u.name = ${}) \
             OR EXISTS (SELECT 1 FROM uploads u WHERE u.tenant = $1 AND u.account = $4 \
             AND u.node = (SELECT node FROM walk WHERE depth = {names}))",
            names + 4
        );
    }
    sql
}
