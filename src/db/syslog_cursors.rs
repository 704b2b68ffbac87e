//! Up to which record of each tenant's audit log a syslog server has been sent, among what is true of the
//! installation.

use crate::db::database::Database;
use crate::db::installation;
use crate::domain::error::{Error, Result};
use crate::domain::id::TenantId;

/// The number of the last record that a server has; 0 for none.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(db: &Database, server: &str, tenant: TenantId) -> Result<i64> {
    match installation::find(db, &name(server, tenant)).await? {
        Some(number) => number.parse().map_err(Error::internal),
        None => Ok(0),
    }
}

/// Notes it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set(db: &Database, server: &str, tenant: TenantId, number: i64) -> Result<()> {
    let (name, number) = (name(server, tenant), number.to_string());
    let mut tx = db.system().await?;
    tx.execute(
        "INSERT INTO installation (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [name.as_str().into(), number.as_str().into()],
    )
    .await?;
    tx.commit().await
}

fn name(server: &str, tenant: TenantId) -> String {
    format!("syslog {server} {tenant}")
}
