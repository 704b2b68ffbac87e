//! Uploading: `PUT` of a whole file, which is seen by others when all of it came and is stored.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind};
use crate::domain::node::{AttributeUpdate, Entry};
use crate::domain::path::VfsPath;
use crate::http::extract::{Params, next_piece};
use crate::http::failures::{Asking, Changing};
use crate::http::files::condition;
use crate::http::files::place::{self, Place};
use crate::http::files::view::{self, EntryView};
use crate::http::files::{digest, entries};
use crate::http::headers::{Sums, Versions};
use crate::http::raw::Raw;
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::tags::Tags;
use crate::http::uploads::request;
use crate::http::visitor::Visitor;
use crate::http::web::Web;
use crate::vfs::options::{Create, WriteOptions};
use crate::vfs::rename::Overwrite;
use crate::vfs::session::Session;
use crate::vfs::write::FileWriter;

/// How a file is put.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct How {
    /// Make the folders that are missing on the way.
    #[serde(default)]
    #[param(required = false)]
    parents: bool,
    /// Time of last modification, RFC 3339; `X-Modified` says the same in a header.
    modified: Option<String>,
}

/// Upload a file.
///
/// The body is the file, whatever its Content-Type. It replaces what is there; `If-Match: "..."` has it
/// replace only that version, `If-None-Match: *` only make a new file. `Repr-Digest` or
/// `Content-Digest: sha-256=:...:` or `X-Checksum-Sha256` is compared with what came. A body that breaks
/// off changes nothing.
#[utoipa::path(
    put,
    path = "/files/{*path}",
    tag = "files",
    params(
        ("path" = String, Path, description = "path of the file"),
        How,
        ("X-Modified" = Option<String>, Header, description = "time of last modification, RFC 3339"),
        Sums,
        Versions,
    ),
    request_body(content = Raw, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "stored as a new version of the file", body = EntryView, headers(("ETag"), ("Location"))),
        (status = 201, description = "stored as a new file", body = EntryView, headers(("ETag"), ("Location"))),
        (status = 408, description = "the body did not come", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the file comes with Content-Encoding, which is not kept", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "what came does not have the checksum that the request says", body = ProblemDetails, content_type = "application/problem+json"),
        Asking,
        Changing,
    )
)]
pub async fn upload(
    State(web): State<Web>,
    visitor: Visitor,
    Place(path): Place,
    Params(how): Params<How>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let modified = match (&how.modified, headers.get("x-modified")) {
        (Some(text), _) => Some(view::time(text)?),
        (None, Some(value)) => Some(view::time(value.to_str().unwrap_or_default())?),
        (None, None) => None,
    };
    let incoming = Incoming {
        modified,
        parents: how.parents,
        length: None,
    };
    let stored = store(&web, &visitor.0, &path, incoming, &headers, body).await?;
    let status = match stored.is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let told = [
        (header::ETAG, condition::tag_header(&stored.entry)),
        (header::LOCATION, place::location("files", &stored.path)),
    ];
    let view = EntryView::new(&stored.path, &stored.entry).with_sum(stored.sum);
    Ok((status, told, Json(view)).into_response())
}

/// What is said of a file that comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incoming {
    /// Time of last modification that it gets.
    pub modified: Option<Timestamp>,
    /// Whether the folders are made that are missing on the way.
    pub parents: bool,
    /// Its length, where the request says it elsewhere than in its framing.
    pub length: Option<u64>,
}

/// A file that was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The version that it is.
    pub entry: Entry,
    /// Where it is: elsewhere than it was sent to when the file was renamed meanwhile.
    pub path: VfsPath,
    /// Whether nothing was there before.
    pub is_new: bool,
    /// Its SHA-256.
    pub sum: Option<[u8; 32]>,
}

/// Stores a body as a file, on the conditions and with the checksums that the headers name. A body that
/// breaks off changes nothing.
///
/// # Errors
/// As writing; 400 and 408 when the body does not come, 412, 422.
pub async fn store(
    web: &Web,
    session: &Session,
    path: &VfsPath,
    incoming: Incoming,
    headers: &HeaderMap,
    body: Body,
) -> Result<Stored, Problem> {
    if headers.contains_key(header::CONTENT_RANGE) {
        // RFC 9110 section 14.5; curl's --continue-at sends it.
        let detail = "PUT takes whole files only: send all of it, without Content-Range, or go on with an \
                      upload that was begun at /api/v1/uploads";
        return Err(Problem::malformed(detail));
    }
    request::require_uncoded(headers)?;
    let expected = digest::expected(headers)?;
    let (session, create) = target(session, headers)?;
    let (mut writer, is_apart) = open(&session, path, create, incoming.parents).await?;
    let attributes = AttributeUpdate {
        modified: incoming.modified,
        ..AttributeUpdate::default()
    };
    writer.set_attributes(attributes).await?;
    let announced = match incoming.length {
        Some(length) => Some(length),
        None => request::bytes(headers, &header::CONTENT_LENGTH)?,
    };
    let stall = web.settings().stall_time;
    let receiving = receive(&mut writer, announced, body, stall);
    let accounts = web.accounts();
    let received = accounts.while_logged_in(session.principal(), receiving);
    let received = received.await.map_err(Problem::from).flatten();
    let whole = received.and_then(|came| match incoming.length {
        Some(length) if length != came => Err(Problem::malformed(format!(
            "{came} bytes came and {length} were announced; nothing was changed, send it again"
        ))),
        _ => Ok(()),
    });
    if let Err(problem) = whole {
        writer.discard().await;
        return Err(problem);
    }
    let sum = match writer.sha256().await {
        Ok(sum) => sum,
        Err(error) => return Err(error.into()),
    };
    if expected.is_some() && expected != sum {
        writer.discard().await;
        return Err(digest::mismatch());
    }
    let mut folders = None;
    if is_apart {
        let overwrite = match create {
            Create::New => Overwrite::Forbid,
            Create::IfMissing | Create::Never => Overwrite::Allow,
        };
        match session.settle(&mut writer, path, overwrite).await {
            Ok(made) => folders = Some(made),
            Err(error) => {
                writer.discard().await;
                return Err(unmet(error, create));
            }
        }
    }
    let report = writer.report();
    let committed = writer.commit().await;
    match (folders, committed.is_ok()) {
        (Some(made), true) => made.keep(),
        (Some(made), false) => made.take_back().await,
        (None, _) => {}
    }
    let entry = committed.map_err(|error| unmet(error, create))?;
    // Only now it is known what was there, and where the file is: others go on while it comes.
    let (path, is_new) = match report.read() {
        Some(published) => (VfsPath::shown(&published.path)?, published.is_new),
        None => (path.clone(), false),
    };
    Ok(Stored {
        entry,
        path,
        is_new,
        sum,
    })
}

/// Whose conditions hold when it is opened and when it is published.
fn target(session: &Session, headers: &HeaderMap) -> Result<(Session, Create), Problem> {
    let is_new = condition::if_none_match(headers)? == Some(Tags::Any);
    let create = match (condition::if_match(headers)?, is_new) {
        (None, false) => Create::IfMissing,
        (None, true) => Create::New,
        (Some(_), true) => return Err(condition::changed()),
        (Some(_), false) => Create::Never,
    };
    Ok((entries::conditioned(session, headers)?, create))
}

/// Opens it; says whether apart from folders that are to be made on the way to it, when it came.
async fn open(
    session: &Session,
    path: &VfsPath,
    create: Create,
    parents: bool,
) -> Result<(FileWriter, bool), Problem> {
    let options = WriteOptions {
        create,
        truncate: true,
        append: false,
        resumable: false,
        attributes: AttributeUpdate::default(),
    };
    let opened = session.open_write(path, options).await;
    match opened {
        Err(error) if error.kind() == ErrorKind::NotFound && parents && create != Create::Never => {
            Ok((session.open_apart(path, options).await?, true))
        }
        Ok(writer) => Ok((writer, false)),
        Err(error) => Err(unmet(error, create)),
    }
}

/// An error that says that a condition does not hold, as such.
fn unmet(error: Error, create: Create) -> Problem {
    match (create, error.kind()) {
        // One that may exist must not only where it did not before the time of a condition.
        (Create::New | Create::IfMissing, ErrorKind::AlreadyExists)
        | (Create::Never, ErrorKind::NotFound) => condition::changed(),
        _ => error.into(),
    }
}

/// Writes a body, and tells how long it was. It is asked for (100 Continue) when there is room for all of it.
async fn receive(
    writer: &mut FileWriter,
    announced: Option<u64>,
    mut body: Body,
    stall: std::time::Duration,
) -> Result<u64, Problem> {
    if let Some(length) = announced {
        writer.expect(length).await?;
    }
    let mut at = 0;
    while let Some(piece) = next_piece(&mut body, stall).await? {
        let length = piece.len() as u64;
        writer.write_at(at, piece).await?;
        at += length;
    }
    Ok(at)
}
