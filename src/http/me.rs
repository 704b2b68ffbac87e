//! `/api/v1/me`: who the server takes the client for.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::reply::ProblemDetails;
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
}

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(me))
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
    })
}
