//! GET, HEAD and PUT: as the API has them, with the answers that clients of WebDAV expect.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::domain::clock::Timestamp;
use crate::http::dav::asked::Asked;
use crate::http::dav::fault::Fault;
use crate::http::dav::proppatch;
use crate::http::extract::Params;
use crate::http::files::condition;
use crate::http::files::download::{self, Wish};
use crate::http::files::place::Place;
use crate::http::files::upload::{self, Incoming};
use crate::http::reply::Problem;
use crate::http::uploads::request;
use crate::http::visitor::Visitor;

/// How long Finder's file will be, since it sends it in chunks.
const EXPECTED_LENGTH: HeaderName = HeaderName::from_static("x-expected-entity-length");
/// When a file was modified, as clients of ownCloud say it.
const MODIFIED: HeaderName = HeaderName::from_static("x-oc-mtime");

/// Answers a GET or HEAD.
///
/// # Errors
/// As the API's; 405 for a folder, which PROPFIND tells of.
pub async fn get(asked: Asked, method: &Method) -> Result<Response, Fault> {
    let Asked {
        web,
        session,
        path,
        headers,
        ..
    } = asked;
    let (visitor, place) = (Visitor(session), Place(path));
    let wish = Params(Wish::default());
    let sent = match *method == Method::HEAD {
        true => download::describe_file(visitor, place, wish, headers).await,
        false => download::download(State(web), visitor, place, wish, headers).await,
    };
    sent.map_err(|problem| {
        let fault = Fault::from(problem);
        match fault.is("is-folder") {
            true => fault.with_status(StatusCode::METHOD_NOT_ALLOWED),
            false => fault.of_looking(),
        }
    })
}

/// Answers a PUT.
///
/// # Errors
/// As the API's; 400 for a part of a file, 405 for a folder, 409 where the folder is missing.
pub async fn put(asked: Asked, body: Body) -> Result<Response, Fault> {
    let incoming = Incoming {
        modified: modified(&asked.headers)?,
        parents: false,
        length: request::bytes(&asked.headers, &EXPECTED_LENGTH)?,
    };
    let (web, session) = (&asked.web, asked.conditioned()?);
    let stored = upload::store(web, &session, &asked.path, incoming, &asked.headers, body).await;
    let stored = stored.map_err(|problem| {
        let fault = Fault::from(problem);
        match fault.is("is-folder") || asked.path.is_root() {
            true => fault.with_status(StatusCode::METHOD_NOT_ALLOWED),
            false => fault.of_making(),
        }
    })?;
    let status = match stored.is_new {
        true => StatusCode::CREATED,
        false => StatusCode::NO_CONTENT,
    };
    let told = [(header::ETAG, condition::tag_header(&stored.entry))];
    let mut response = (status, told).into_response();
    if incoming.modified.is_some() {
        let accepted = HeaderValue::from_static("accepted");
        response.headers_mut().insert(MODIFIED, accepted);
    }
    Ok(response)
}

/// The time that the file is to have.
fn modified(headers: &HeaderMap) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = request::text(headers, &MODIFIED)? else {
        return Ok(None);
    };
    let time = proppatch::seconds(text);
    let malformed = || Problem::malformed(format!("{MODIFIED} must be seconds since 1970"));
    time.map(Some).ok_or_else(malformed)
}
