//! `/api/v1/webhooks/temporary-names`: under which names nothing is told.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::temporary::TemporaryNames;
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Altering, Seeing};
use crate::http::extract::JsonBody;
use crate::http::failures::{Asking, Reading};
use crate::http::reply::Problem;
use crate::http::web::Web;

/// Under which names nothing is told: clients rename what has them when it is complete.
#[derive(Serialize, ToSchema)]
pub struct Temporary {
    /// Patterns of names: `*`, `?` and `[a-z]`.
    names: Vec<String>,
    /// Whether the tenant has its own; without, they are those of the installation.
    is_own: bool,
}

/// Under which names nothing is to be told.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemporaryWanted {
    /// Patterns of names, as in `*.part`: at most 64; none has all names told of.
    #[schema(max_items = 64)]
    names: Vec<String>,
}

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(show, set, reset))
}

/// Show under which names nothing is told
#[utoipa::path(
    get,
    path = "/webhooks/temporary-names",
    tag = "webhooks",
    responses((status = 200, description = "the names", body = Temporary), Asking)
)]
async fn show(admin: Admin<Seeing>) -> Result<Json<Temporary>, Problem> {
    shown(&admin).await
}

/// Set under which names nothing is told
#[utoipa::path(
    put,
    path = "/webhooks/temporary-names",
    tag = "webhooks",
    request_body = TemporaryWanted,
    responses((status = 200, description = "they are set", body = Temporary), Asking, Reading)
)]
async fn set(
    admin: Admin<Altering>,
    JsonBody(wanted): JsonBody<TemporaryWanted>,
) -> Result<Json<Temporary>, Problem> {
    if wanted.names.iter().any(|name| name.contains(',')) {
        return Err(Problem::malformed(
            "a pattern has no comma; write '?' for it",
        ));
    }
    let names: TemporaryNames = wanted.names.join(",").parse()?;
    let directory = &admin.directory;
    directory
        .set_temporary_names(&admin.tenant, Some(names))
        .await?;
    shown(&admin).await
}

/// Go back to the names of the installation
#[utoipa::path(
    delete,
    path = "/webhooks/temporary-names",
    tag = "webhooks",
    responses((status = 200, description = "they are the installation's", body = Temporary), Asking)
)]
async fn reset(admin: Admin<Altering>) -> Result<Json<Temporary>, Problem> {
    let directory = &admin.directory;
    directory.set_temporary_names(&admin.tenant, None).await?;
    shown(&admin).await
}

async fn shown<P>(admin: &Admin<P>) -> Result<Json<Temporary>, Problem> {
    let own = admin.directory.temporary_names(&admin.tenant).await?;
    let is_own = own.is_some();
    let names = own.unwrap_or_else(|| admin.directory.usual_temporary_names());
    let names = names.stored().lines().map(str::to_owned).collect();
    Ok(Json(Temporary { names, is_own }))
}
