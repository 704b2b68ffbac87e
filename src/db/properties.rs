//! Properties that clients keep with files and folders and that mean nothing to us.

use std::collections::HashMap;
use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use crate::db::sql::TenantTx;
use crate::db::value::Value;
use crate::domain::error::Result;
use crate::domain::id::NodeId;
use crate::domain::property::Property;

/// Nodes that are named in one statement.
const AT_ONCE: usize = 500;

/// The properties of each of these nodes, by name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn of(tx: &mut TenantTx, nodes: &[NodeId]) -> Result<HashMap<NodeId, Vec<Property>>> {
    let mut found: HashMap<NodeId, Vec<Property>> = HashMap::new();
    for some in nodes.chunks(AT_ONCE) {
        let sql = format!(
            "SELECT node, space, name, value FROM properties \
             WHERE tenant = $1 AND node IN ({}) ORDER BY node, space, name",
            places(some.len())
        );
        let rows = tx.rows_of(AssertSqlSafe(sql), values(some)).await?;
        for row in &rows {
            let property = Property {
                space: row.text(1)?,
                name: row.text(2)?,
                value: row.text(3)?,
            };
            let node = NodeId::from_slice(&row.bytes(0)?)?;
            found.entry(node).or_default().push(property);
        }
    }
    Ok(found)
}

/// Sets a property, in place of the one of its name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set(tx: &mut TenantTx, node: NodeId, property: &Property) -> Result<()> {
    tx.execute(
        "INSERT INTO properties (tenant, node, space, name, value) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (tenant, node, space, name) DO UPDATE SET value = $5",
        [
            node.as_bytes().into(),
            property.space.as_str().into(),
            property.name.as_str().into(),
            property.value.as_str().into(),
        ],
    )
    .await?;
    Ok(())
}

/// Removes a property, if it is there.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, node: NodeId, space: &str, name: &str) -> Result<()> {
    tx.execute(
        "DELETE FROM properties WHERE tenant = $1 AND node = $2 AND space = $3 AND name = $4",
        [node.as_bytes().into(), space.into(), name.into()],
    )
    .await?;
    Ok(())
}

/// Gives `to` the properties of `from`, and no others.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn copy(tx: &mut TenantTx, from: NodeId, to: NodeId) -> Result<()> {
    tx.execute(
        "DELETE FROM properties WHERE tenant = $1 AND node = $2",
        [to.as_bytes().into()],
    )
    .await?;
    tx.execute(
        "INSERT INTO properties (tenant, node, space, name, value) \
         SELECT tenant, $3, space, name, value FROM properties WHERE tenant = $1 AND node = $2",
        [from.as_bytes().into(), to.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// Forgets the properties of those of these nodes that have no version left.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, nodes: &[NodeId]) -> Result<()> {
    for some in nodes.chunks(AT_ONCE) {
        let sql = format!(
            "DELETE FROM properties WHERE tenant = $1 AND node IN ({}) \
             AND NOT EXISTS (SELECT 1 FROM entries e \
                 WHERE e.tenant = $1 AND e.node = properties.node) \
             AND NOT EXISTS (SELECT 1 FROM entries_past p \
                 WHERE p.tenant = $1 AND p.node = properties.node)",
            places(some.len())
        );
        tx.execute_of(AssertSqlSafe(sql), values(some)).await?;
    }
    Ok(())
}

/// `$2, $3, ...`
fn places(count: usize) -> String {
    let mut places = String::new();
    for place in 2..count + 2 {
        let comma = if place == 2 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(places, "{comma}${place}");
    }
    places
}

fn values(nodes: &[NodeId]) -> Vec<Value> {
    nodes.iter().map(|node| node.as_bytes().into()).collect()
}
