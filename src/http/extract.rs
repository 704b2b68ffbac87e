//! What handlers take out of requests; what does not fit is refused in problem details.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::http::misfit;
use crate::http::reply::Problem;
use crate::http::web::Web;

/// Most bytes of a JSON body.
pub const JSON_BYTES: usize = 64 * 1024;

/// The kind of problem of a body that is longer.
pub const TOO_LARGE: &str = "too-large";

/// A JSON body of up to [`JSON_BYTES`]. Refused with 400, 408, 413 and 415.
pub struct JsonBody<T>(pub T);

/// The same, of somebody who has not logged in: it must come within the time for logging in.
pub struct StrangersJson<T>(pub T);

/// What stands behind `?`. Refused with 400.
pub struct Params<T>(pub T);

/// What stands in the path. Refused with 400.
pub struct PathOf<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Web> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Problem> {
        json(request, web.settings().stall_time).await.map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Web> for StrangersJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Problem> {
        let settings = web.settings();
        let most = settings.login_time.min(settings.stall_time);
        json(request, most).await.map(Self)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        let Query(read) =
            read.map_err(|error: QueryRejection| Problem::malformed(misfit::of_query(&error)))?;
        Ok(Self(read))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        let Path(read) = read.map_err(|error: PathRejection| {
            Problem::malformed(format!("the path does not fit: {}", error.body_text()))
        })?;
        Ok(Self(read))
    }
}

/// A small body as a whole. However its pieces come, it has `time` in all.
///
/// # Errors
/// 400 when it breaks off, 408 when it takes longer, 413 when it is longer than `most`.
pub async fn whole(mut body: Body, most: usize, time: Duration) -> Result<Bytes, Problem> {
    let all = async {
        let mut bytes = BytesMut::new();
        while let Some(piece) = piece(&mut body).await? {
            if bytes.len() + piece.len() > most {
                let detail = format!("the body must not be longer than {most} bytes");
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                return Err(Problem::new(status, TOO_LARGE, detail));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    };
    timeout(time, all).await.map_err(|_| {
        let detail =
            "the body did not come in time, so that the request was broken off; send it again";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "stalled", detail)
    })?
}

/// The next bytes of a body; none at its end, which is one that the client said.
///
/// # Errors
/// 400 when it breaks off, 408 when nothing comes for `stall`.
pub async fn next_piece(body: &mut Body, stall: Duration) -> Result<Option<Bytes>, Problem> {
    timeout(stall, piece(body)).await.map_err(|_| {
        let detail = "nothing came for too long, so that the request was broken off; send it again";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "stalled", detail)
    })?
}

async fn piece(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        let Some(frame) = body.frame().await else {
            return Ok(None);
        };
        let frame = frame.map_err(|error| {
            tracing::debug!(error = %error, "a body broke off");
            Problem::malformed("the body broke off before its end; nothing was changed")
        })?;
        // Trailers carry nothing for us.
        if let Ok(piece) = frame.into_data()
            && !piece.is_empty()
        {
            return Ok(Some(piece));
        }
    }
}

/// A JSON body that comes within `time`.
async fn json<T: DeserializeOwned>(request: Request, time: Duration) -> Result<T, Problem> {
    if !is_json(request.headers()) {
        let detail = "the body must be JSON; say so: Content-Type: application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "not-json", detail));
    }
    let bytes = whole(request.into_body(), JSON_BYTES, time).await?;
    // serde takes an array for an object, too, and its values for the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let detail = "the body must be a JSON object; send its fields by their names, as in {\"name\": \"ann\"}";
        return Err(Problem::malformed(detail));
    }
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let read = serde_path_to_error::deserialize(&mut reader);
    let read = read.map_err(|error| Problem::malformed(misfit::of_body(&bytes, &error)))?;
    // Nothing may follow.
    match reader.end() {
        Ok(()) => Ok(read),
        Err(_) => Err(Problem::malformed(
            "something follows the JSON of the body; send one object",
        )),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE);
    let said = said.and_then(|value| value.to_str().ok());
    let essence = said.map(|text| text.split(';').next().unwrap_or_default().trim());
    essence.is_some_and(|essence| {
        let essence = essence.to_ascii_lowercase();
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}
