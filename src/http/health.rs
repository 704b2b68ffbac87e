//! Whether the process lives.

use axum::Router;
use axum::routing::get;

use crate::http::web::Web;

/// `/healthz`: 200 for as long as the process answers, whatever it depends on.
pub fn routes() -> Router<Web> {
    Router::new().route("/healthz", get(async || "ok\n"))
}
