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
    tx.commit().await?;
    db.note_renewed();
    Ok(())
}

/// The SSH host keys that an instance shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownKeys {
    /// Whose they are.
    pub instance: InstanceId,
    /// Their fingerprints, as the instance wrote them down.
    pub keys: String,
    /// Where it keeps them.
    pub kept: String,
}

/// Writes down the host keys of an instance that runs.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn show_keys(db: &Database, shown: &ShownKeys) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "UPDATE instances SET host_keys = $2, host_keys_kept = $3 WHERE id = $1",
        [
            shown.instance.as_bytes().into(),
            shown.keys.as_str().into(),
            shown.kept.as_str().into(),
        ],
    )
    .await?;
    tx.commit().await
}

/// What all other instances that run wrote down of theirs.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn keys_of_others(db: &Database, id: InstanceId) -> Result<Vec<ShownKeys>> {
    let now = db.now().await?;
    let mut tx = db.system_read().await?;
    let rows = tx
        .rows(
            "SELECT id, host_keys, host_keys_kept FROM instances \
             WHERE id <> $1 AND lease_until > $2 AND host_keys IS NOT NULL ORDER BY id",
            [id.as_bytes().into(), now.0.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(ShownKeys {
                instance: InstanceId::from_slice(&row.bytes(0)?)?,
                keys: row.text(1)?,
                kept: row.text(2)?,
            })
        })
        .collect()
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
