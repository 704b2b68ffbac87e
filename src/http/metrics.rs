//! `/metrics`: what this instance counts, for Prometheus.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::domain::error::Error;
use crate::http::reply::Problem;
use crate::http::web::Web;
use crate::telemetry::exposition::Format;
use crate::telemetry::scrape::Scraper;

/// The address. It tells of tenants: only for whoever may see the operator's figures.
pub fn routes() -> Router<Web> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(headers: HeaderMap) -> Result<Response, Problem> {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    let format = Format::wanted(accept.unwrap_or(""));
    let scraper = Scraper::installed()?;
    let text = tokio::task::spawn_blocking(move || scraper.text(format)).await;
    let text = text.map_err(Error::internal)??;
    let kind = HeaderValue::from_static(format.content_type());
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
