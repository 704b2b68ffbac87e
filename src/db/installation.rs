//! What is true of the installation as a whole, by name.

use crate::db::database::Database;
use crate::db::sql::SystemTx;
use crate::domain::error::{Error, Result};

/// A value that was written down; none when it was not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(db: &Database, name: &str) -> Result<Option<String>> {
    look(&mut db.system_read().await?, name).await
}

/// Writes a value down unless there is one, and returns the one that is there then.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn keep(db: &Database, name: &str, value: &str) -> Result<String> {
    let mut tx = db.system().await?;
    tx.execute(
        "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [name.into(), value.into()],
    )
    .await?;
    let kept = look(&mut tx, name).await?;
    tx.commit().await?;
    kept.ok_or_else(|| Error::internal("a value of the installation vanished"))
}

async fn look(tx: &mut SystemTx, name: &str) -> Result<Option<String>> {
    let sql = "SELECT value FROM installation WHERE name = $1";
    let row = tx.row(sql, [name.into()]).await?;
    row.map(|row| row.text(0)).transpose()
}
