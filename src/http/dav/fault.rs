//! How requests fail: the status of the standard, its name for what was broken, and our sentence.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::domain::error::Error;
use crate::domain::path::VfsPath;
use crate::http::dav::{place, xml};
use crate::http::reply::Problem;
use crate::http::tally::Told;

/// What the standard calls what was broken (RFC 4918 section 16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A property is not the client's to change.
    CannotModifyProtectedProperty,
    /// The token is not that of a lock on what the request is about.
    LockTokenMatchesRequestUri,
    /// What is at this address is locked, and no token was shown that opens it.
    LockTokenSubmitted(String),
    /// Another lock does not allow this one.
    NoConflictingLock,
    /// Properties are shown of a folder and what is directly in it, no further.
    PropfindFiniteDepth,
}

/// An error on its way to a client of WebDAV.
#[derive(Clone, Debug)]
pub struct Fault {
    status: StatusCode,
    word: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    condition: Option<Condition>,
}

impl Fault {
    /// One that the standard has a name for.
    pub fn of(status: StatusCode, condition: Condition, detail: impl Into<String>) -> Self {
        let problem = Problem::new(status, condition.word(), detail);
        Self {
            condition: Some(condition),
            ..Self::from(problem)
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The same, for something that was to be made: what is missing is the folder that would hold it
    /// (RFC 4918 section 9.3.1 and others).
    #[must_use]
    pub fn of_making(self) -> Self {
        match self.status {
            StatusCode::NOT_FOUND => self.with_status(StatusCode::CONFLICT),
            _ => self,
        }
    }

    /// The same, for something that was to be looked at: below a file there is nothing.
    #[must_use]
    pub fn of_looking(self) -> Self {
        match self.word {
            "not-folder" => self.with_status(StatusCode::NOT_FOUND),
            _ => self,
        }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with the standard's name for it.
    #[must_use]
    pub fn naming(self, condition: Condition) -> Self {
        Self {
            condition: Some(condition),
            ..self
        }
    }

    /// The same, saying what it is about where that is needed.
    #[must_use]
    pub fn about(self, href: &str) -> Self {
        match (self.status, &self.condition) {
            (StatusCode::LOCKED, None) => {
                self.naming(Condition::LockTokenSubmitted(href.to_owned()))
            }
            _ => self,
        }
    }

    /// The word that programs of the API know it by.
    pub fn word(&self) -> &'static str {
        self.word
    }

    /// Whether it is for the reason that programs know by this word.
    pub fn is(&self, word: &str) -> bool {
        self.word == word
    }

    /// The element that says so.
    pub fn element(&self) -> String {
        let condition = self.condition.as_ref().map(Condition::element);
        format!(
            "<D:error xmlns:D=\"DAV:\">{}<s:message xmlns:s=\"urn:sealift\">{}</s:message></D:error>",
            condition.unwrap_or_default(),
            xml::escaped(&self.detail)
        )
    }
}

impl Condition {
    fn word(&self) -> &'static str {
        match self {
            Self::CannotModifyProtectedProperty | Self::PropfindFiniteDepth => "denied",
            Self::LockTokenMatchesRequestUri => "changed",
            Self::LockTokenSubmitted(_) | Self::NoConflictingLock => "locked",
        }
    }

    fn element(&self) -> String {
        match self {
            Self::CannotModifyProtectedProperty => {
                "<D:cannot-modify-protected-property/>".to_owned()
            }
            Self::LockTokenMatchesRequestUri => "<D:lock-token-matches-request-uri/>".to_owned(),
            Self::LockTokenSubmitted(href) => format!(
                "<D:lock-token-submitted><D:href>{}</D:href></D:lock-token-submitted>",
                xml::escaped(href)
            ),
            Self::NoConflictingLock => "<D:no-conflicting-lock/>".to_owned(),
            Self::PropfindFiniteDepth => "<D:propfind-finite-depth/>".to_owned(),
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let in_the_way = problem.place().and_then(address_of);
        let (status, word, detail, headers) = problem.into_parts();
        Self {
            status,
            word,
            detail,
            headers,
            condition: in_the_way
                .filter(|_| status == StatusCode::LOCKED)
                .map(Condition::LockTokenSubmitted),
        }
    }
}

/// The address of a path as errors name it.
fn address_of(path: &str) -> Option<String> {
    let parsed = VfsPath::parse(path).ok()?;
    Some(place::href(&parsed, path.ends_with('/')))
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/xml; charset=utf-8");
        let text = format!("{}{}\n", xml::HEAD, self.element());
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], text).into_response();
        response.extensions_mut().insert(Told(vec![self.word]));
        let headers = response.headers_mut();
        headers.extend(self.headers);
        if self.status == StatusCode::UNAUTHORIZED {
            // Explorer and Finder ask their user only when this says so.
            let how = HeaderValue::from_static("Basic realm=\"Sealift\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, how);
        }
        response
    }
}
