//! Leases on recurring work, so that one instance at a time does it.

use std::time::Duration;

use crate::db::database::Database;
use crate::domain::clock::Timestamp;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{InstanceId, TenantId};

/// Takes the lease on a kind of work for a tenant, or renews it; false when another instance has it
/// that is alive.
///
/// The lease only keeps work from being done twice at once; the work itself may be repeated.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn take(
    db: &Database,
    tenant: TenantId,
    kind: &str,
    holder: InstanceId,
    length: Duration,
) -> Result<bool> {
    let now = db.now().await?;
    let until = now.plus(length);
    let mut tx = db.system().await?;
    let renewed = tx
        .execute(
            "UPDATE leases SET holder = $3, until = $4 \
             WHERE tenant = $1 AND kind = $2 AND (holder = $3 OR until <= $5 \
             OR holder NOT IN (SELECT id FROM instances WHERE lease_until > $5))",
            [
                tenant.0.into(),
                kind.into(),
                holder.as_bytes().into(),
                until.0.into(),
                now.0.into(),
            ],
        )
        .await?;
    if renewed > 0 {
        tx.commit().await?;
        return Ok(true);
    }
    let inserted = tx
        .execute(
            "INSERT INTO leases (tenant, kind, holder, until) VALUES ($1, $2, $3, $4)",
            [
                tenant.0.into(),
                kind.into(),
                holder.as_bytes().into(),
                until.0.into(),
            ],
        )
        .await;
    match inserted {
        Ok(_) => {
            tx.commit().await?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the lease on a kind of work that is due once in `every`; false when that time is not over
/// since anybody took it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn claim(
    db: &Database,
    tenant: TenantId,
    kind: &str,
    holder: InstanceId,
    every: Duration,
) -> Result<bool> {
    let mut tx = db.system_read().await?;
    let sql = "SELECT until FROM leases WHERE tenant = $1 AND kind = $2";
    let row = tx.row(sql, [tenant.0.into(), kind.into()]).await?;
    let until = row.map_or(Ok(0), |row| row.int(0))?;
    drop(tx);
    match Timestamp(until) > db.now().await? {
        true => Ok(false),
        false => take(db, tenant, kind, holder, every).await,
    }
}

/// Gives back the lease on a kind of work for a tenant, if its holder has it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn release(
    db: &Database,
    tenant: TenantId,
    kind: &str,
    holder: InstanceId,
) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "DELETE FROM leases WHERE tenant = $1 AND kind = $2 AND holder = $3",
        [tenant.0.into(), kind.into(), holder.as_bytes().into()],
    )
    .await?;
    tx.commit().await
}

/// Gives back all leases of an instance that ends.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn release_all(db: &Database, holder: InstanceId) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "DELETE FROM leases WHERE holder = $1",
        [holder.as_bytes().into()],
    )
    .await?;
    tx.commit().await
}
