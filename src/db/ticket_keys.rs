//! Keys of TLS session tickets, wrapped; one list for the installation.

use crate::db::database::Database;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTicketKey {
    /// 1, 2, 3, ...: the order in which they were made.
    pub id: u32,
    /// Which provider wrapped it.
    pub provider: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
    /// When it was made, by the database's clock.
    pub made_at: Timestamp,
}

/// All keys, newest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(db: &Database) -> Result<Vec<StoredTicketKey>> {
    let mut tx = db.system_read().await?;
    let sql = "SELECT id, provider, wrapped, made_at FROM ticket_keys ORDER BY id DESC";
    let rows = tx.rows(sql, []).await?;
    let keys = rows.iter().map(|row| {
        Ok(StoredTicketKey {
            id: u32::try_from(row.int(0)?).unwrap_or(0),
            provider: row.text(1)?,
            wrapped: row.bytes(2)?,
            made_at: Timestamp(row.int(3)?),
        })
    });
    keys.collect()
}

/// Adds a key, and forgets those that were made before `over`.
///
/// # Errors
/// AlreadyExists when another instance added one with this id; Unavailable.
pub async fn add(db: &Database, key: &StoredTicketKey, over: Timestamp) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "INSERT INTO ticket_keys (id, provider, wrapped, made_at) VALUES ($1, $2, $3, $4)",
        [
            i64::from(key.id).into(),
            key.provider.as_str().into(),
            key.wrapped.as_slice().into(),
            key.made_at.0.into(),
        ],
    )
    .await?;
    tx.execute(
        "DELETE FROM ticket_keys WHERE made_at < $1 AND id < $2",
        [over.0.into(), i64::from(key.id).into()],
    )
    .await?;
    tx.commit().await
}
