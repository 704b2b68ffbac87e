//! `/api/v1/admin/tenant`: the tenant, as those see it who administer it.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::admin::acting::Admin;
use crate::http::admin::power::Seeing;
use crate::http::failures::Asking;
use crate::http::reply::Problem;

/// The tenant of an administrator.
#[derive(Serialize, ToSchema)]
pub struct OwnTenant {
    /// Its name.
    name: String,
    /// Whether its accounts are kept out.
    disabled: bool,
    /// How long deleted and replaced files are kept.
    retention_seconds: u64,
    /// Most bytes of live files.
    quota_bytes: Option<u64>,
    /// Most live files and folders.
    quota_files: Option<u64>,
    /// Bytes of its live files.
    used_bytes: u64,
    /// Its live files and folders.
    used_files: u64,
    /// Bytes promised to uploads in progress.
    reserved_bytes: u64,
    /// Most sessions of its accounts at a time, at all instances together; none is what the settings say.
    sessions: Option<u64>,
    /// When it was added.
    created_at: String,
}

/// Show the tenant: what it may use, what it uses, how long it keeps the past.
#[utoipa::path(
    get,
    path = "/tenant",
    tag = "tenant",
    responses((status = 200, description = "the tenant, as operators have set it", body = OwnTenant), Asking)
)]
pub async fn show(admin: Admin<Seeing>) -> Result<Json<OwnTenant>, Problem> {
    let whole = admin.directory.whole_tenant(&admin.tenant).await?;
    let tenant = whole.placed.tenant;
    Ok(Json(OwnTenant {
        name: tenant.name,
        disabled: tenant.disabled,
        retention_seconds: tenant.retention_seconds,
        quota_bytes: tenant.quota_bytes,
        quota_files: tenant.quota_files,
        used_bytes: whole.used_bytes,
        used_files: whole.used_files,
        reserved_bytes: whole.reserved_bytes,
        sessions: tenant.sessions,
        created_at: tenant.created_at,
    }))
}
