//! Names of hosts that lead to one tenant only: operators give them, since they are the whole installation's.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::host::HostName;
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Governing, Seeing};
use crate::http::extract::PathOf;
use crate::http::failures::Asking;
use crate::http::reply::Problem;

/// The names of hosts that lead to a tenant.
#[derive(Serialize, ToSchema)]
pub struct TenantHosts {
    /// The names, in order.
    items: Vec<String>,
    /// Where the next part begins; there never is one.
    next: Option<String>,
}

/// A name in a path.
#[derive(Deserialize)]
pub struct NamedHost {
    host: String,
}

/// List the names of hosts that lead to the tenant.
#[utoipa::path(
    get,
    path = "/hosts",
    tag = "tenants",
    responses((status = 200, description = "all of them", body = TenantHosts), Asking)
)]
pub async fn list(admin: Admin<Seeing>) -> Result<Json<TenantHosts>, Problem> {
    Ok(Json(TenantHosts {
        items: admin.directory.hosts(&admin.tenant).await?,
        next: None,
    }))
}

/// Give a name to the tenant: whoever asks for it reaches this tenant, without naming it.
#[utoipa::path(
    put,
    path = "/hosts/{host}",
    tag = "tenants",
    params(("host" = String, Path, description = "the name, as in files.example.org")),
    responses((status = 204, description = "it leads there"), Asking)
)]
pub async fn add(
    admin: Admin<Governing>,
    PathOf(named): PathOf<NamedHost>,
) -> Result<StatusCode, Problem> {
    let (directory, host) = (&admin.directory, named.host()?);
    // Said twice it is the same.
    if !directory
        .hosts(&admin.tenant)
        .await?
        .contains(&host.to_string())
    {
        directory.add_host(&admin.tenant, &host).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Take a name from the tenant; sessions go on.
#[utoipa::path(
    delete,
    path = "/hosts/{host}",
    tag = "tenants",
    params(("host" = String, Path, description = "the name, as in files.example.org")),
    responses((status = 204, description = "it leads to no tenant any more"), Asking)
)]
pub async fn remove(
    admin: Admin<Governing>,
    PathOf(named): PathOf<NamedHost>,
) -> Result<StatusCode, Problem> {
    let host = named.host()?;
    admin.directory.remove_host(&admin.tenant, &host).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl NamedHost {
    fn host(&self) -> Result<HostName, Problem> {
        Ok(self.host.parse()?)
    }
}
