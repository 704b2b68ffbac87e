//! The registry of tenants, which belongs to no tenant.

use std::time::Duration;

use crate::db::clocks;
use crate::db::database::Database;
use crate::db::entries;
use crate::db::placement::Placement;
use crate::db::sql::{Row, SystemTx};
use crate::db::value::Value;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{NodeId, RegionId, TenantId};
use crate::domain::node::{Attributes, Entry, NodeKind};

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its number.
    pub id: TenantId,
    /// Its name, unique in the installation.
    pub name: String,
    /// Whether its accounts are kept out.
    pub disabled: bool,
    /// The root folder of its tree.
    pub root: NodeId,
    /// How long the past is kept.
    pub retention: Duration,
    /// Most bytes of live files; none is no limit.
    pub quota_bytes: Option<u64>,
    /// Most live files and folders; none is no limit.
    pub quota_files: Option<u64>,
    /// When it was added.
    pub created_at: Timestamp,
    /// Most sessions at a time; none is what the settings say.
    pub sessions: Option<u64>,
    /// Words for the doors of its accounts; none is what the settings say.
    pub door_options: Option<String>,
}

/// What a new tenant is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTenant {
    /// Its name.
    pub name: String,
    /// How long the past is kept.
    pub retention: Duration,
    /// Most bytes of live files.
    pub quota_bytes: Option<u64>,
    /// Most live files and folders.
    pub quota_files: Option<u64>,
    /// Where its blobs are to be kept.
    pub region: RegionId,
}

const COLUMNS: &str = "SELECT id, name, disabled, root, retention_seconds, quota_bytes, \
     quota_files, created_at, sessions, door_options FROM tenants";

/// Adds a tenant with an empty root folder. May be repeated after a failure half-way.
///
/// # Errors
/// AlreadyExists when the name is taken.
pub async fn add(db: &Database, new: &NewTenant) -> Result<Tenant> {
    let now = db.clock().now();
    let root = NodeId::mint(now);
    let mut tx = db.system().await?;
    let next = tx
        .row("SELECT coalesce(max(id), 0) + 1 FROM tenants", [])
        .await?
        .ok_or_else(|| Error::internal("max() of nothing"))?
        .int(0)?;
    let added = tx
        .execute(
            "INSERT INTO tenants (id, name, disabled, root, retention_seconds, quota_bytes, \
             quota_files, created_at, region) VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8)",
            [
                next.into(),
                new.name.as_str().into(),
                root.as_bytes().into(),
                seconds(new.retention).into(),
                limit(new.quota_bytes),
                limit(new.quota_files),
                now.0.into(),
                new.region.0.into(),
            ],
        )
        .await;
    match added {
        Ok(_) => tx.commit().await?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => drop(tx),
        Err(error) => return Err(error),
    }
    let tenant = by_name(db, &new.name).await?.ok_or_else(|| {
        Error::new(
            ErrorKind::Unavailable,
            "another tenant was added at the same time; try again",
        )
    })?;
    match plant(db, &tenant).await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("there is a tenant '{}' already", new.name),
        )),
        outcome => outcome.map(|()| tenant),
    }
}

/// Gives a tenant its clock, its root and its counters.
async fn plant(db: &Database, tenant: &Tenant) -> Result<()> {
    let mut tx = db.write(tenant.id).await?;
    clocks::create(&mut tx, tenant.created_at).await?;
    let root = Entry {
        node: tenant.root,
        parent: NodeId::NIL,
        name: String::new(),
        kind: NodeKind::Folder,
        content: None,
        size: 0,
        owner: None,
        attributes: Attributes::folder(tenant.created_at),
        born: 0,
        died: None,
    };
    entries::insert(&mut tx, &root).await?;
    crate::db::usage::create(&mut tx, None).await?;
    tx.commit().await
}

/// All tenants by name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(db: &Database) -> Result<Vec<Tenant>> {
    let mut tx = db.system_read().await?;
    let rows = tx
        .rows(
            "SELECT id, name, disabled, root, retention_seconds, quota_bytes, \
     quota_files, created_at, sessions, door_options FROM tenants ORDER BY name",
            [],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Up to `limit` tenants after a name, by name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(db: &Database, after: &str, limit: usize) -> Result<Vec<Tenant>> {
    let mut tx = db.system_read().await?;
    let rows = tx
        .rows(
            "SELECT id, name, disabled, root, retention_seconds, quota_bytes, \
     quota_files, created_at, sessions, door_options FROM tenants \
     WHERE name > $1 ORDER BY name LIMIT $2",
            [
                after.into(),
                i64::try_from(limit).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Puts `after` in the place of `before`, the tenant and where it is; false when either is another by now. Copying to
/// another replica starts from the first blob.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn replace(
    db: &Database,
    before: (&Tenant, &Placement),
    after: (&Tenant, &Placement),
) -> Result<bool> {
    let ((before, from), (after, to)) = (before, after);
    let replica = |placement: &Placement| placement.replica.map(|region| region.0).into();
    let mut tx = db.system().await?;
    let touched = tx
        .execute(
            "UPDATE tenants SET disabled = $2, retention_seconds = $3, quota_bytes = $4, \
             quota_files = $5, sessions = $6, door_options = $7, region = $14, replica = $15, \
             kms_key = $16, replicated_at = CASE WHEN replica IS NOT DISTINCT FROM $15 \
             THEN replicated_at ELSE 0 END WHERE id = $1 \
             AND disabled = $8 AND retention_seconds = $9 \
             AND quota_bytes IS NOT DISTINCT FROM $10 AND quota_files IS NOT DISTINCT FROM $11 \
             AND sessions IS NOT DISTINCT FROM $12 AND door_options IS NOT DISTINCT FROM $13 \
             AND region = $17 AND replica IS NOT DISTINCT FROM $18 \
             AND kms_key IS NOT DISTINCT FROM $19 AND keys_destroyed_at IS NOT DISTINCT FROM $20",
            [
                before.id.0.into(),
                i64::from(after.disabled).into(),
                seconds(after.retention).into(),
                limit(after.quota_bytes),
                limit(after.quota_files),
                limit(after.sessions),
                after.door_options.clone().into(),
                i64::from(before.disabled).into(),
                seconds(before.retention).into(),
                limit(before.quota_bytes),
                limit(before.quota_files),
                limit(before.sessions),
                before.door_options.clone().into(),
                to.region.0.into(),
                replica(to),
                to.kms_key.clone().into(),
                from.region.0.into(),
                replica(from),
                from.kms_key.clone().into(),
                from.keys_destroyed_at.map(|at| at.0).into(),
            ],
        )
        .await?;
    tx.commit().await?;
    Ok(touched > 0)
}

/// A tenant by its name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_name(db: &Database, name: &str) -> Result<Option<Tenant>> {
    find(db.system_read().await?, "name", name.into()).await
}

/// A tenant by its number.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_id(db: &Database, id: TenantId) -> Result<Option<Tenant>> {
    find(db.system_read().await?, "id", id.0.into()).await
}

async fn find(mut tx: SystemTx, column: &str, value: Value) -> Result<Option<Tenant>> {
    let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE {column} = $1"));
    let row = tx.row(sql, [value]).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Tenant> {
    let count = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    Ok(Tenant {
        id: TenantId(row.int(0)?),
        name: row.text(1)?,
        disabled: row.int(2)? != 0,
        root: NodeId::from_slice(&row.bytes(3)?)?,
        retention: Duration::from_secs(row.count(4)?),
        quota_bytes: count(row.opt_int(5)?),
        quota_files: count(row.opt_int(6)?),
        created_at: Timestamp(row.int(7)?),
        sessions: count(row.opt_int(8)?),
        door_options: row.opt_text(9)?,
    })
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn limit(value: Option<u64>) -> Value {
    value
        .map(|value| i64::try_from(value).unwrap_or(i64::MAX))
        .into()
}
