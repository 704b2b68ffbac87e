//! Deleted folders with something below them, from deletion to the end of purge.

use crate::db::sql::TenantTx;
use crate::db::usage::{self, Amount};
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, NodeId};

/// Notes that a folder died with something below it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn add(tx: &mut TenantTx, node: NodeId, died: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO detached (tenant, node, died, settled) VALUES ($1, $2, $3, 0)",
        [node.as_bytes().into(), died.into()],
    )
    .await?;
    Ok(())
}

/// Gives the use of what lies below a folder back to the quota, in one step, unless it was
/// restored meanwhile.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn settle(
    tx: &mut TenantTx,
    node: NodeId,
    died: i64,
    sums: &[(AccountId, Amount)],
) -> Result<()> {
    let touched = tx
        .execute(
            "UPDATE detached SET settled = 1 \
             WHERE tenant = $1 AND node = $2 AND died = $3 AND settled = 0",
            [node.as_bytes().into(), died.into()],
        )
        .await?;
    if touched == 0 {
        return Ok(());
    }
    for (account, amount) in sums {
        let owner = Some(*account).filter(|account| account.0 != 0);
        usage::charge(tx, owner, amount.negated(), Amount::default()).await?;
        tx.execute(
            "INSERT INTO detached_usage (tenant, node, account, bytes, files) \
             VALUES ($1, $2, $3, $4, $5)",
            [
                node.as_bytes().into(),
                account.0.into(),
                amount.bytes.into(),
                amount.files.into(),
            ],
        )
        .await?;
    }
    Ok(())
}

/// Takes a folder off the list because it is restored; what was given back is charged again.
///
/// # Errors
/// Quota when there is no room for it now.
pub async fn reattach(tx: &mut TenantTx, node: NodeId) -> Result<()> {
    let rows = tx
        .rows(
            "SELECT account, bytes, files FROM detached_usage WHERE tenant = $1 AND node = $2 \
             ORDER BY account",
            [node.as_bytes().into()],
        )
        .await?;
    for row in &rows {
        let owner = Some(AccountId(row.int(0)?)).filter(|account| account.0 != 0);
        let amount = Amount {
            bytes: row.int(1)?,
            files: row.int(2)?,
        };
        usage::charge(tx, owner, amount, Amount::default()).await?;
    }
    forget(tx, node).await
}

/// Up to `limit` folders that are not settled yet: node and the change that killed them.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn unsettled(tx: &mut TenantTx, limit: i64) -> Result<Vec<(NodeId, i64)>> {
    let rows = tx
        .rows(
            "SELECT node, died FROM detached WHERE tenant = $1 AND settled = 0 \
             ORDER BY died LIMIT $2",
            [limit.into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((NodeId::from_slice(&row.bytes(0)?)?, row.int(1)?)))
        .collect()
}

/// Whether the folder is on the list.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn contains(tx: &mut TenantTx, node: NodeId) -> Result<bool> {
    let row = tx
        .row(
            "SELECT settled FROM detached WHERE tenant = $1 AND node = $2",
            [node.as_bytes().into()],
        )
        .await?;
    Ok(row.is_some())
}

/// All folders on the list: node and whether settled.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<(NodeId, bool)>> {
    let rows = tx
        .rows("SELECT node, settled FROM detached WHERE tenant = $1", [])
        .await?;
    rows.iter()
        .map(|row| Ok((NodeId::from_slice(&row.bytes(0)?)?, row.int(1)? != 0)))
        .collect()
}

/// Up to `limit` settled folders that died at or before change `until`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn over(tx: &mut TenantTx, until: i64, limit: i64) -> Result<Vec<NodeId>> {
    let rows = tx
        .rows(
            "SELECT node FROM detached WHERE tenant = $1 AND settled = 1 AND died <= $2 \
             ORDER BY died LIMIT $3",
            [until.into(), limit.into()],
        )
        .await?;
    nodes(&rows)
}

/// Takes a folder off the list and dooms what is below it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn doom(tx: &mut TenantTx, node: NodeId) -> Result<()> {
    tx.execute(
        "INSERT INTO doomed (tenant, node) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [node.as_bytes().into()],
    )
    .await?;
    forget(tx, node).await
}

/// Up to `limit` folders whose children are to be removed.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn doomed(tx: &mut TenantTx, limit: i64) -> Result<Vec<NodeId>> {
    let rows = tx
        .rows(
            "SELECT node FROM doomed WHERE tenant = $1 ORDER BY node LIMIT $2",
            [limit.into()],
        )
        .await?;
    nodes(&rows)
}

/// Notes that nothing is left below a doomed folder.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn done(tx: &mut TenantTx, node: NodeId) -> Result<()> {
    tx.execute(
        "DELETE FROM doomed WHERE tenant = $1 AND node = $2",
        [node.as_bytes().into()],
    )
    .await?;
    Ok(())
}

async fn forget(tx: &mut TenantTx, node: NodeId) -> Result<()> {
    for sql in [
        "DELETE FROM detached_usage WHERE tenant = $1 AND node = $2",
        "DELETE FROM detached WHERE tenant = $1 AND node = $2",
    ] {
        tx.execute(sql, [node.as_bytes().into()]).await?;
    }
    Ok(())
}

fn nodes(rows: &[crate::db::sql::Row]) -> Result<Vec<NodeId>> {
    rows.iter()
        .map(|row| NodeId::from_slice(&row.bytes(0)?).map_err(Error::internal))
        .collect()
}
