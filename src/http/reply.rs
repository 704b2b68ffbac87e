//! The table from our errors to HTTP's, as problem details (RFC 9457).

use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::error::{Concern, Error, ErrorKind};
use crate::http::tally::Told;

/// The words by which programs know problems, and the status that goes with each (WebDAV has some of its own);
/// `docs/api.md` has all of them.
pub const KINDS: [(&str, u16); 49] = [
    ("already-exists", 409),
    ("answer-lost", 409),
    ("busy", 429),
    ("changed", 412),
    ("checksum", 422),
    ("checksum-mismatch", 460),
    ("coded", 415),
    ("corrupt", 500),
    ("cross-site", 403),
    ("csrf", 403),
    ("denied", 403),
    ("download-only", 403),
    ("elsewhere", 502),
    ("folder-deleted", 409),
    ("internal", 500),
    ("invalid", 400),
    ("is-folder", 409),
    ("joined", 403),
    ("key-used", 422),
    ("link-over", 410),
    ("locked", 423),
    ("method-not-allowed", 405),
    ("misdirected", 421),
    ("no-length", 411),
    ("no-piece", 415),
    ("no-such-address", 404),
    ("no-such-link", 404),
    ("no-such-range", 416),
    ("not-empty", 409),
    ("not-folder", 409),
    ("not-found", 404),
    ("not-json", 415),
    ("other-offset", 409),
    ("password", 401),
    ("quota", 507),
    ("role", 403),
    ("scope", 403),
    ("stale", 409),
    ("stalled", 408),
    ("storage-full", 507),
    ("too-large", 413),
    ("too-long", 413),
    ("too-many-parts", 413),
    ("unauthenticated", 401),
    ("unavailable", 503),
    ("under-way", 409),
    ("unsupported", 501),
    ("upload-only", 403),
    ("version", 412),
];

/// The body of an answer that stands for another one, whose length it does not tell (RFC 9110 section 8.6): of an
/// empty one, 0 would be told.
pub fn unsaid() -> Body {
    Body::from_stream(stream::empty::<io::Result<Bytes>>())
}

/// What every error is answered with, as `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProblemDetails {
    /// Names the kind of the problem, `urn:sealift:problem:` and a word; programs go by it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status of the response.
    pub status: u16,
    /// What went wrong and what to do about it.
    pub detail: String,
}

/// An error on its way to a client.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    word: &'static str,
    detail: String,
    /// Headers that go with it.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Which file or folder stands in the way, as [`Error::place`] has it.
    place: Option<String>,
}

impl Problem {
    /// A problem that no error of ours stands behind: `word` names it for programs.
    pub fn new(status: StatusCode, word: &'static str, detail: impl Into<String>) -> Self {
        debug_assert!(
            KINDS.iter().any(|(known, _)| *known == word),
            "{word} is not listed"
        );
        Self {
            status,
            word,
            detail: detail.into(),
            headers: Vec::new(),
            place: None,
        }
    }

    /// The request is malformed.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// There is no memory for even the least of an answer.
    pub fn short_of_memory() -> Self {
        let (status, word) = status(ErrorKind::Unavailable);
        let detail = "the server is short of memory; try again in a few seconds";
        let problem = Self::new(status, word, detail);
        problem.with(header::RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// Nobody has logged in.
    pub fn stranger() -> Self {
        let detail =
            "log in first: send a password (Basic), a token (Bearer) or the cookie of a session";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The word that programs know it by.
    pub fn word(&self) -> &'static str {
        self.word
    }

    /// What it says to people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The same, saying something else to people.
    #[must_use]
    pub fn saying(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Which file or folder stands in the way, as [`Error::place`] has it.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// What it is made of: the status, the word for programs, the sentence, the headers.
    pub fn into_parts(
        self,
    ) -> (
        StatusCode,
        &'static str,
        String,
        Vec<(HeaderName, HeaderValue)>,
    ) {
        (self.status, self.word, self.detail, self.headers)
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// Writes down what concerns the operator.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error.kind().concern() {
            Concern::Client => tracing::debug!(error = ?error, "a request was refused"),
            Concern::Defect => tracing::error!(error = ?error, "a request failed"),
            Concern::Outage => tracing::warn!(error = ?error, "a request failed"),
        }
        let (status, word) = status(error.kind());
        let problem = Self {
            place: error.place().map(str::to_owned),
            ..Self::new(status, word, error.context())
        };
        match error.wait() {
            Some(wait) => {
                let seconds = wait.as_millis().div_ceil(1000);
                let seconds = HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX));
                problem.with(header::RETRY_AFTER, seconds)
            }
            None => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let details = ProblemDetails {
            kind: format!("urn:sealift:problem:{}", self.word),
            title: title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        // Strings and a number: there is nothing in it that JSON could not hold.
        let text = serde_json::to_string(&details).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], text).into_response();
        response.headers_mut().extend(self.headers);
        response.extensions_mut().insert(Told(vec![self.word]));
        response
    }
}

/// The status of an error, and the word that programs know it by.
pub fn status(kind: ErrorKind) -> (StatusCode, &'static str) {
    let status = match kind {
        ErrorKind::AlreadyExists => StatusCode::CONFLICT,
        ErrorKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Changed => StatusCode::PRECONDITION_FAILED,
        ErrorKind::Corrupt => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::IsFolder => StatusCode::CONFLICT,
        ErrorKind::Locked => StatusCode::LOCKED,
        ErrorKind::NotEmpty => StatusCode::CONFLICT,
        ErrorKind::NotFolder => StatusCode::CONFLICT,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Quota => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Stale => StatusCode::CONFLICT,
        ErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
    };
    (status, kind.as_str())
}
