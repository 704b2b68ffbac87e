//! Locks that clients of WebDAV take on files and folders, as every instance knows them.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use crate::db::sql::{Row, TenantTx};
use crate::db::value::Value;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, LockToken, NodeId};
use crate::domain::lock::Lock;
use crate::domain::node::{Entry, NodeKind};

const COLUMNS: &str = "token, node, account, deep, shared, owner, expires_at, made";

/// Nodes that are asked for in one statement.
const AT_ONCE: usize = 500;

/// Writes a lock down.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn insert(tx: &mut TenantTx, lock: &Lock) -> Result<()> {
    tx.execute(
        "INSERT INTO locks (tenant, token, node, account, deep, shared, owner, expires_at, made) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            lock.token.as_bytes().into(),
            lock.node.as_bytes().into(),
            lock.account.0.into(),
            i64::from(lock.deep).into(),
            i64::from(lock.shared).into(),
            lock.owner.as_str().into(),
            lock.expires_at.0.into(),
            lock.made.into(),
        ],
    )
    .await?;
    Ok(())
}

/// The locks on any of these nodes that hold at `now`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn on(tx: &mut TenantTx, nodes: &[NodeId], now: Timestamp) -> Result<Vec<Lock>> {
    let mut found = Vec::new();
    for some in nodes.chunks(AT_ONCE) {
        let mut sql = format!(
            "SELECT {COLUMNS} FROM locks WHERE tenant = $1 AND expires_at > $2 AND node IN ("
        );
        let mut args: Vec<Value> = vec![now.0.into()];
        for (at, node) in some.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(sql, "{comma}${}", at + 3);
            args.push(node.as_bytes().into());
        }
        sql.push_str(") ORDER BY token");
        let rows = tx.rows_of(AssertSqlSafe(sql), args).await?;
        for row in &rows {
            found.push(read(row)?);
        }
    }
    Ok(found)
}

/// The locks on a folder or on anything below it that hold at `now`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn within(tx: &mut TenantTx, folder: NodeId, now: Timestamp) -> Result<Vec<Lock>> {
    // From the few locks up, not from the folder down.
    let rows = tx
        .rows(
            "WITH RECURSIVE above (token, node) AS ( \
               SELECT token, node FROM locks WHERE tenant = $1 AND expires_at > $3 \
               UNION \
               SELECT above.token, e.parent FROM above \
               JOIN entries e ON e.tenant = $1 AND e.node = above.node) \
             SELECT l.token, l.node, l.account, l.deep, l.shared, l.owner, l.expires_at, l.made \
             FROM locks l JOIN above ON above.token = l.token \
             WHERE l.tenant = $1 AND above.node = $2 ORDER BY l.token",
            [folder.as_bytes().into(), now.0.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// How many locks an account has that hold at `now`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn count(tx: &mut TenantTx, account: AccountId, now: Timestamp) -> Result<u64> {
    let sql = "SELECT count(*) FROM locks WHERE tenant = $1 AND account = $2 AND expires_at > $3";
    let row = tx.row(sql, [account.0.into(), now.0.into()]).await?;
    row.map_or(Ok(0), |row| row.count(0))
}

/// Whether a file was made for a lock, which may have ended since, and nothing became of it: others are told of it
/// when something does.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn made(tx: &mut TenantTx, entry: &Entry) -> Result<bool> {
    if entry.kind != NodeKind::File || entry.content.is_some() {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM changes WHERE tenant = $1 AND seq = $2 AND kind = 'lock'";
    Ok(tx.row(sql, [entry.born.into()]).await?.is_some())
}

/// Has a lock hold until another time.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn extend(tx: &mut TenantTx, token: LockToken, until: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE locks SET expires_at = $3 WHERE tenant = $1 AND token = $2",
        [token.as_bytes().into(), until.0.into()],
    )
    .await?;
    Ok(())
}

/// Ends a lock.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, token: LockToken) -> Result<()> {
    tx.execute(
        "DELETE FROM locks WHERE tenant = $1 AND token = $2",
        [token.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// Forgets the locks that ended at or before a time.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, until: Timestamp) -> Result<()> {
    tx.execute(
        "DELETE FROM locks WHERE tenant = $1 AND expires_at <= $2",
        [until.0.into()],
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<Lock> {
    Ok(Lock {
        token: LockToken::from_slice(&row.bytes(0)?)?,
        node: NodeId::from_slice(&row.bytes(1)?)?,
        account: AccountId(row.int(2)?),
        deep: row.int(3)? != 0,
        shared: row.int(4)? != 0,
        owner: row.text(5)?,
        expires_at: Timestamp(row.int(6)?),
        made: row.opt_int(7)?,
    })
}
