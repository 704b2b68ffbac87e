//! Which operation on links goes where.

use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::links::{info, own, read, send};
use crate::http::web::Web;

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(own::add, own::list))
        .routes(routes!(own::show, own::alter, own::revoke))
        .routes(routes!(info::info))
        .routes(routes!(info::give))
        .routes(routes!(read::file, read::describe))
        .routes(routes!(read::file_in, read::describe_in, send::put))
        .routes(routes!(read::list))
        .routes(routes!(read::list_in))
        .routes(routes!(read::pack))
        .merge(send::tus_routes())
        // As programs write it that put a path behind a slash.
        .route("/shared/{token}/folders/", get(read::list))
}
