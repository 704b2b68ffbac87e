//! What answers about uploads carry, whoever made them.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind};
use crate::http::reply::Problem;
use crate::http::web::API;
use crate::vfs::addressed::{Share, Standing};

/// The version of the protocol, the only one that we speak.
pub const VERSION: &str = "1.0.0";
/// What we do beside the core.
pub const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,\
                              checksum,termination,concatenation";

/// Which sums are known.
pub const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
/// What is done beside the core.
pub const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
/// How long a file may be.
pub const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
/// The version that is spoken.
pub const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// The versions that are known.
pub const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
/// What an upload is a share of.
pub const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
/// That the length is said later.
pub const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
/// When an upload is discarded.
pub const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// How long an upload will be.
pub const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// What the client says about it.
pub const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// How far it is.
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// Refuses versions that we do not speak, before anything is done, and says ours with every answer.
pub async fn speak(request: Request, next: Next) -> Response {
    let version = HeaderValue::from_static(VERSION);
    let said = request.headers().get(TUS_RESUMABLE);
    let is_understood = request.method() == Method::OPTIONS || said == Some(&version);
    let mut response = match is_understood {
        true => next.run(request).await,
        false => Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "version",
            "this server speaks tus 1.0.0; say 'Tus-Resumable: 1.0.0'",
        )
        .with(TUS_VERSION, version.clone())
        .into_response(),
    };
    response.headers_mut().insert(TUS_RESUMABLE, version);
    response
}

/// Says the version with answers that were given before anybody looked whether it is ours (tus 1.0, "Tus-Resumable").
pub async fn sign(request: Request, next: Next) -> Response {
    let is_upload = is_upload(request.uri().path());
    let mut response = next.run(request).await;
    if is_upload && !response.headers().contains_key(TUS_RESUMABLE) {
        let version = HeaderValue::from_static(VERSION);
        response.headers_mut().insert(TUS_RESUMABLE, version);
    }
    response
}

/// Whether an address is that of uploads, an account's or by a link, or of one of them.
pub fn is_upload(path: &str) -> bool {
    let area = path.strip_prefix(API).unwrap_or_default();
    let area = match area.strip_prefix("/shared/") {
        Some(link) => link.split_once('/').map_or("", |(_, rest)| rest),
        None => area.trim_start_matches('/'),
    };
    area == "uploads" || area.starts_with("uploads/")
}

/// Tells how far an upload is.
pub fn tell(standing: &Standing, expiry: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(UPLOAD_OFFSET, standing.offset.into());
    match standing.length {
        Some(length) => headers.insert(UPLOAD_LENGTH, length.into()),
        None => headers.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    let share = match &standing.share {
        Share::Joined(parts) => HeaderValue::from_str(parts).ok(),
        Share::Part => Some(HeaderValue::from_static("partial")),
        Share::Whole => None,
    };
    headers.extend(share.map(|share| (UPLOAD_CONCAT, share)));
    if !standing.metadata.is_empty()
        && let Ok(metadata) = HeaderValue::from_str(&standing.metadata)
    {
        headers.insert(UPLOAD_METADATA, metadata);
    }
    if !standing.done {
        headers.extend(expires(standing.touched_at, expiry));
    }
    headers
}

/// When an upload expires that moved on last at `touched`.
pub fn expires(touched: Timestamp, expiry: Duration) -> Option<(HeaderName, HeaderValue)> {
    let time = jiff::Timestamp::from_second(touched.plus(expiry).seconds()).ok()?;
    let text = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    Some((UPLOAD_EXPIRES, HeaderValue::try_from(text).ok()?))
}

/// The kind of problem of who comes second.
pub const LOCKED: &str = "locked";

/// An error of taking an upload over: who comes second is to ask again.
pub fn locked(error: Error) -> Problem {
    match error.kind() {
        ErrorKind::Stale => Problem::new(StatusCode::LOCKED, LOCKED, error.context()),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_known_by_their_address() {
        for (path, is_one) in [
            ("/api/v1/uploads", true),
            ("/api/v1/uploads/x", true),
            ("/api/v1/shared/sll_x/uploads", true),
            ("/api/v1/shared/sll_x/uploads/y", true),
            ("/api/v1/uploadsx", false),
            ("/api/v1/shared/uploads", false),
            ("/api/v1/shared/sll_x/files/uploads", false),
            ("/api/v1/files/uploads", false),
            ("/uploads", false),
        ] {
            assert_eq!(is_upload(path), is_one, "{path}");
        }
    }
}
