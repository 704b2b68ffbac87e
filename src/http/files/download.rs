//! Downloading: `GET` and `HEAD` of a file, or of a part of it.

use std::ops::Range;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::http::extract::Params;
use crate::http::failures::{Asking, Ranging};
use crate::http::files::condition::{self, Verdict};
use crate::http::files::media::{self, Showing};
use crate::http::files::place::Place;
use crate::http::files::pump::{self, Allowance, Begun};
use crate::http::files::range::{self, Part};
use crate::http::files::{digest, disposition};
use crate::http::headers::{Partly, Since, Versions};
use crate::http::raw::Raw;
use crate::http::reply::{self, Problem};
use crate::http::visitor::Visitor;
use crate::http::web::Web;
use crate::vfs::read::FileReader;

/// How a file is wanted.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wish {
    /// Whether browsers may show it, if nothing in files of its kind runs: pictures, sound, video,
    /// plain text. All else is stored, whatever this says.
    #[serde(default)]
    #[param(required = false)]
    inline: bool,
}

/// How a file is sent, for the OpenAPI document.
#[derive(utoipa::IntoResponses)]
pub enum Sending {
    /// The file.
    #[response(
        status = 200,
        description = "the file",
        content_type = "*/*",
        headers(
            ("ETag"),
            ("Last-Modified"),
            ("Accept-Ranges"),
            ("Content-Disposition"),
            ("Repr-Digest"),
        )
    )]
    Whole(Raw),
    /// The part of the file that Range asks for.
    #[response(
        status = 206,
        description = "the part of the file that Range asks for",
        content_type = "*/*",
        headers(
            ("ETag"),
            ("Last-Modified"),
            ("Accept-Ranges"),
            ("Content-Disposition"),
            ("Repr-Digest"),
            ("Content-Range"),
        )
    )]
    Part(Raw),
    /// The client knows this version.
    #[response(
        status = 304,
        description = "the client knows this version",
        headers(
            ("ETag"),
            ("Last-Modified"),
        )
    )]
    Known,
}

/// How a file is told of without its content, for the OpenAPI document.
#[derive(utoipa::IntoResponses)]
pub enum Telling {
    /// The headers of the file.
    #[response(
        status = 200,
        description = "the headers of the file",
        headers(
            ("ETag"),
            ("Last-Modified"),
            ("Accept-Ranges"),
            ("Content-Disposition"),
            ("Repr-Digest"),
        )
    )]
    Whole,
    /// The client knows this version.
    #[response(
        status = 304,
        description = "the client knows this version",
        headers(
            ("ETag"),
            ("Last-Modified"),
        )
    )]
    Known,
    /// Another version.
    #[response(
        status = 412,
        description = "it is another version than If-Match names"
    )]
    Changed,
}

/// Download a file.
///
/// One range can be asked for; several are answered with the whole file. Nothing that a file holds
/// runs in a browser: it comes as a download, in a sandbox.
#[utoipa::path(
    get,
    path = "/files/{*path}",
    tag = "files",
    params(("path" = String, Path, description = "path of the file"), Wish, Partly, Since, Versions),
    responses(
        Sending,
        Asking,
        Ranging,
    )
)]
pub async fn download(
    State(web): State<Web>,
    visitor: Visitor,
    Place(path): Place,
    Params(wish): Params<Wish>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = visitor.0.open_published(&path).await?;
    let (mut response, part) = match head(&file, &headers, &wish)? {
        Head::Complete(response) => return Ok(response),
        Head::Precedes(response, part) => (response, part),
    };
    let allowance = Allowance::take(&web, visitor.principal())?;
    let begun = Begun::read(&allowance, file, part).await?;
    visitor.0.note_download(&path);
    let principal = visitor.principal();
    *response.body_mut() = pump::body(&web, principal, allowance, |outlet| async move {
        outlet.send_begun(begun, |_| ()).await
    });
    Ok(response)
}

/// Ask about a file as a download would, without its content.
#[utoipa::path(
    head,
    path = "/files/{*path}",
    tag = "files",
    params(("path" = String, Path, description = "path of the file"), Wish, Since, Versions),
    responses(
        Telling,
        Asking,
    )
)]
pub async fn describe_file(
    visitor: Visitor,
    Place(path): Place,
    Params(wish): Params<Wish>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = visitor.0.open_published(&path).await?;
    told(&file, headers, &wish)
}

/// The answer to HEAD, to which ranges mean nothing (RFC 9110 section 14.2).
///
/// # Errors
/// 400, 412.
pub fn told(file: &FileReader, mut headers: HeaderMap, wish: &Wish) -> Result<Response, Problem> {
    headers.remove(header::RANGE);
    Ok(match head(file, &headers, wish)? {
        Head::Complete(response) | Head::Precedes(response, _) => response,
    })
}

/// The head of an answer with a file.
pub enum Head {
    /// No body follows.
    Complete(Response),
    /// This part of the file follows.
    Precedes(Response, Range<u64>),
}

/// How a request for a file is answered, short of its body.
///
/// # Errors
/// 400, 412, 416.
pub fn head(file: &FileReader, headers: &HeaderMap, wish: &Wish) -> Result<Head, Problem> {
    let mut response = match condition::of_read(headers, file.entry())? {
        Verdict::NotModified => return Ok(Head::Complete(not_modified(file))),
        Verdict::Go => answer(file, headers)?,
    };
    describe(&mut response, file, wish);
    let part = match asked(headers, file) {
        Part::Some(part) => part,
        Part::Nothing | Part::Whole => 0..file.entry().size,
    };
    Ok(Head::Precedes(response, part))
}

fn asked(headers: &HeaderMap, file: &FileReader) -> Part {
    let entry = file.entry();
    let range = headers.get(header::RANGE).map(HeaderValue::to_str);
    let range = range.and_then(Result::ok);
    let range = range.filter(|_| condition::range_holds(headers, entry));
    range::part(range, entry.size)
}

/// Status and length.
fn answer(file: &FileReader, headers: &HeaderMap) -> Result<Response, Problem> {
    let size = file.entry().size;
    let (status, length, range) = match asked(headers, file) {
        Part::Nothing => {
            let detail = format!("the file has {size} bytes, and none of them is in this range");
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "no-such-range", detail);
            return Err(problem.with(header::CONTENT_RANGE, text(&format!("bytes */{size}"))));
        }
        Part::Some(part) => {
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            (
                StatusCode::PARTIAL_CONTENT,
                part.end - part.start,
                Some(range),
            )
        }
        Part::Whole => (StatusCode::OK, size, None),
    };
    let mut response = (status, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(range) = range {
        headers.insert(header::CONTENT_RANGE, text(&range));
    }
    Ok(response)
}

/// What is to be known of the file.
fn describe(response: &mut Response, file: &FileReader, wish: &Wish) {
    let entry = file.entry();
    let headers = response.headers_mut();
    validators(headers, file);
    let (kind, showing) = media::kind(&entry.name);
    let disposition = match wish.inline && showing == Showing::Inline {
        true => disposition::inline(&entry.name),
        false => disposition::attachment(&entry.name),
    };
    let sandbox = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; \
                   style-src 'unsafe-inline'; frame-ancestors 'none'";
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    let policy = HeaderValue::from_static(sandbox);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    if let Some(sum) = file.sha256() {
        headers.insert(digest::REPR, digest::header(&sum));
    }
}

fn validators(headers: &mut HeaderMap, file: &FileReader) {
    let entry = file.entry();
    headers.insert(header::ETAG, condition::tag_header(entry));
    if let Some(date) = condition::date(entry.attributes.modified) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    // A browser may keep it, and asks each time whether it is still the same.
    let keep = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, keep);
}

fn not_modified(file: &FileReader) -> Response {
    let mut response = (StatusCode::NOT_MODIFIED, reply::unsaid()).into_response();
    validators(response.headers_mut(), file);
    response
}

fn text(text: &str) -> HeaderValue {
    // Of ASCII letters, digits and punctuation.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}
