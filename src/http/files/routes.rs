//! Which operation on files goes where.

use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::files::{archive, download, entries, folders, moves, search, upload};
use crate::http::web::Web;

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(
            download::download,
            download::describe_file,
            upload::upload
        ))
        .routes(routes!(folders::list_root))
        .routes(routes!(folders::list, folders::make))
        .routes(routes!(entries::look_at_root))
        .routes(routes!(entries::look, entries::delete, entries::set))
        .routes(routes!(moves::move_entry))
        .routes(routes!(moves::copy))
        .routes(routes!(search::search))
        .routes(routes!(archive::archive))
        // As programs write it that put a path behind a slash.
        .route("/folders/", get(folders::list_root))
        .route("/entries/", get(entries::look_at_root))
}
