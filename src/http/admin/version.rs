//! Versions of tenants and accounts: `ETag`, and `If-Match` before a change.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::http::reply::Problem;
use crate::http::tags::{self, Comparison, Tags};

/// An answer that shows a version.
pub fn with_tag(version: &str, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    // Of hex digits and quotes.
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The versions that `If-Match` names; none when any will do.
///
/// # Errors
/// 400 when it is neither `*` nor a list of entity tags.
pub fn known(headers: &HeaderMap) -> Result<Option<Vec<String>>, Problem> {
    let tags = tags::tags(headers, &header::IF_MATCH, Comparison::Strong)?;
    Ok(match tags {
        Some(Tags::Of(versions)) => Some(versions),
        Some(Tags::Any) | None => None,
    })
}
