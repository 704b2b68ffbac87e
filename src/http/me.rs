//! `/api/v1/me`: who the server takes the client for.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::reply::{Problem, ProblemDetails};
use crate::http::visitor::Visitor;
use crate::http::web::Web;

/// The account of a request.
#[derive(Serialize, ToSchema)]
struct Me {
    /// Its name in full, `user@tenant`.
    login: String,
    /// Its name within the tenant.
    user: String,
    /// The tenant.
    tenant: String,
    /// The path of its home folder.
    home: String,
    /// Whether it administers its tenant.
    administers: bool,
}

/// What the account of a request has stored, and how much it may.
#[derive(Serialize, ToSchema)]
struct Usage {
    /// Most bytes of its live files; none is no limit of its own, while that of the tenant holds.
    quota_bytes: Option<u64>,
    /// Most live files and folders; none is no limit of its own.
    quota_files: Option<u64>,
    /// Bytes of its live files.
    used_bytes: u64,
    /// Its live files and folders.
    used_files: u64,
}

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(usage))
}

/// Who am I?
#[utoipa::path(
    get,
    path = "/me",
    tag = "account",
    responses(
        (status = 200, description = "the account that the request came from", body = Me),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn me(visitor: Visitor) -> Json<Me> {
    let principal = visitor.principal();
    Json(Me {
        login: principal.login.to_string(),
        user: principal.login.user.clone(),
        tenant: principal.login.tenant.clone(),
        home: principal.home.to_string(),
        administers: principal.administrator,
    })
}

/// What do I store, and how much may I?
#[utoipa::path(
    get,
    path = "/me/usage",
    tag = "account",
    responses(
        (status = 200, description = "the account's own quota, and what it uses of it", body = Usage),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn usage(State(web): State<Web>, visitor: Visitor) -> Result<Json<Usage>, Problem> {
    let own = web.accounts().own_usage(visitor.principal()).await?;
    Ok(Json(Usage {
        quota_bytes: own.quota_bytes.map(i64::unsigned_abs),
        quota_files: own.quota_files.map(i64::unsigned_abs),
        used_bytes: u64::try_from(own.used.bytes).unwrap_or(0),
        used_files: u64::try_from(own.used.files).unwrap_or(0),
    }))
}
