//! Running server processes, each with a lease.

use std::time::Duration;

use crate::db::database::Database;
use crate::domain::error::Result;
use crate::domain::id::InstanceId;

/// Writes down that an instance runs for the time of `lease` from now, for the first time or again.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn renew(db: &Database, id: InstanceId, lease: Duration) -> Result<()> {
    let now = db.now().await?;
    let mut tx = db.system().await?;
    tx.execute(
        "INSERT INTO instances (id, started_at, lease_until) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until",
        [id.as_bytes().into(), now.0.into(), now.plus(lease).0.into()],
    )
    .await?;
    tx.commit().await
}

/// Removes an instance that ends.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn release(db: &Database, id: InstanceId) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "DELETE FROM instances WHERE id = $1",
        [id.as_bytes().into()],
    )
    .await?;
    tx.commit().await
}

/// Ends the leases of all instances, because none can be running: the caller holds the lock on the
/// only folder that they could run on.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn release_all(db: &Database) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute("DELETE FROM instances", []).await?;
    tx.commit().await
}
