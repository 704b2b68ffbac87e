//! Groups: sets of accounts that share grants.

use crate::db::sql::{Row, TenantTx};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, GroupId};

/// A set of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number, unique within the tenant.
    pub id: GroupId,
    /// Its name, unique within the tenant.
    pub name: String,
}

/// Adds a group. To be called under the tenant's lock.
///
/// # Errors
/// AlreadyExists when the name is taken.
pub async fn insert(tx: &mut TenantTx, name: &str) -> Result<GroupId> {
    let row = tx
        .row(
            "SELECT coalesce(max(id), 0) + 1 FROM (\
             SELECT id FROM groups WHERE tenant = $1 UNION ALL \
             SELECT subject FROM grants WHERE tenant = $1 AND subject_kind = 2) AS known",
            [],
        )
        .await?
        .ok_or_else(|| Error::internal("max() of nothing"))?;
    let id = row.int(0)?;
    tx.execute(
        "INSERT INTO groups (tenant, id, name) VALUES ($1, $2, $3)",
        [id.into(), name.into()],
    )
    .await
    .map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            format!("there is a group '{name}' already"),
        ),
        _ => error,
    })?;
    Ok(GroupId(id))
}

/// A group by its name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_name(tx: &mut TenantTx, name: &str) -> Result<Option<Group>> {
    let row = tx
        .row(
            "SELECT id, name FROM groups WHERE tenant = $1 AND name = $2",
            [name.into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// All groups of the tenant, by name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Group>> {
    let rows = tx
        .rows(
            "SELECT id, name FROM groups WHERE tenant = $1 ORDER BY name",
            [],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Removes a group with its members and its grants.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, id: GroupId) -> Result<()> {
    for statement in [
        "DELETE FROM grants WHERE tenant = $1 AND subject_kind = 2 AND subject = $2",
        "DELETE FROM group_members WHERE tenant = $1 AND group_id = $2",
        "DELETE FROM groups WHERE tenant = $1 AND id = $2",
    ] {
        tx.execute(statement, [id.0.into()]).await?;
    }
    Ok(())
}

/// Adds an account to a group; false when it is in it already.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn add_member(tx: &mut TenantTx, id: GroupId, account: AccountId) -> Result<bool> {
    let added = tx
        .execute(
            "INSERT INTO group_members (tenant, group_id, account) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
            [id.0.into(), account.0.into()],
        )
        .await?;
    Ok(added > 0)
}

/// Takes an account out of a group; false when it is not in it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove_member(tx: &mut TenantTx, id: GroupId, account: AccountId) -> Result<bool> {
    let removed = tx
        .execute(
            "DELETE FROM group_members WHERE tenant = $1 AND group_id = $2 AND account = $3",
            [id.0.into(), account.0.into()],
        )
        .await?;
    Ok(removed > 0)
}

/// All memberships of the tenant: group and account.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn memberships(tx: &mut TenantTx) -> Result<Vec<(GroupId, AccountId)>> {
    let rows = tx
        .rows(
            "SELECT group_id, account FROM group_members WHERE tenant = $1 \
             ORDER BY group_id, account",
            [],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((GroupId(row.int(0)?), AccountId(row.int(1)?))))
        .collect()
}

fn read(row: &Row) -> Result<Group> {
    Ok(Group {
        id: GroupId(row.int(0)?),
        name: row.text(1)?,
    })
}
