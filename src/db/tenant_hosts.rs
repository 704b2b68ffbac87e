//! Which tenant a name of a host belongs to. The table belongs to no tenant.

use crate::db::database::Database;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::host::HostName;
use crate::domain::id::TenantId;

/// Gives a name to a tenant.
///
/// # Errors
/// AlreadyExists when a tenant has it.
pub async fn add(db: &Database, tenant: TenantId, host: &HostName) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "INSERT INTO tenant_hosts (host, tenant) VALUES ($1, $2)",
        [host.as_str().into(), tenant.0.into()],
    )
    .await
    .map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            format!("the host name {host} belongs to a tenant already"),
        ),
        _ => error,
    })?;
    tx.commit().await
}

/// Takes a name from a tenant; false when the tenant does not have it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(db: &Database, tenant: TenantId, host: &HostName) -> Result<bool> {
    let mut tx = db.system().await?;
    let removed = tx
        .execute(
            "DELETE FROM tenant_hosts WHERE host = $1 AND tenant = $2",
            [host.as_str().into(), tenant.0.into()],
        )
        .await?;
    tx.commit().await?;
    Ok(removed > 0)
}

/// A tenant's names, in order.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(db: &Database, tenant: TenantId) -> Result<Vec<String>> {
    let mut tx = db.system_read().await?;
    let rows = tx
        .rows(
            "SELECT host FROM tenant_hosts WHERE tenant = $1 ORDER BY host",
            [tenant.0.into()],
        )
        .await?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// The name of the tenant that a host's name belongs to.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn tenant_of(db: &Database, host: &HostName) -> Result<Option<String>> {
    let mut tx = db.system_read().await?;
    let row = tx
        .row(
            "SELECT t.name FROM tenant_hosts h JOIN tenants t ON t.id = h.tenant WHERE h.host = $1",
            [host.as_str().into()],
        )
        .await?;
    row.map(|row| row.text(0)).transpose()
}
