//! Regions: the numbers that stand for their names.

use crate::db::database::Database;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::RegionId;

/// All regions that were ever used, with their names.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(db: &Database) -> Result<Vec<(RegionId, String)>> {
    let mut tx = db.system_read().await?;
    let rows = tx
        .rows("SELECT id, name FROM regions ORDER BY id", [])
        .await?;
    rows.iter()
        .map(|row| Ok((RegionId(row.int(0)?), row.text(1)?)))
        .collect()
}

/// The number of a region, given to it when it is first asked for.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn number(db: &Database, name: &str) -> Result<RegionId> {
    // Another instance may be giving it a number at the same time.
    for _ in 0..8 {
        if let Some((id, _)) = list(db).await?.into_iter().find(|(_, known)| known == name) {
            return Ok(id);
        }
        let mut tx = db.system().await?;
        let added = tx
            .execute(
                "INSERT INTO regions (id, name) SELECT coalesce(max(id), 0) + 1, $1 FROM regions",
                [name.into()],
            )
            .await;
        match added {
            Ok(_) => tx.commit().await?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => drop(tx),
            Err(error) => return Err(error),
        }
    }
    Err(Error::internal(format!("region {name} gets no number")))
}
