//! Begins uploads, and joins parts.

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::domain::error::{Error, ErrorKind};
use crate::domain::id::UploadAddress;
use crate::http::files::condition;
use crate::http::headers::{Beginning, Tus};
use crate::http::raw::Raw;
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::tags::Tags;
use crate::http::uploads::answer::{self, UPLOAD_METADATA, UPLOAD_OFFSET};
use crate::http::uploads::desk::Desk;
use crate::http::uploads::metadata::{self, Metadata};
use crate::http::uploads::receive::receive;
use crate::http::uploads::request::{self, Concat, Length};
use crate::http::visitor::Visitor;
use crate::http::web::Web;
use crate::vfs::addressed::NewUpload;
use crate::vfs::addressed_join::Joining;
use crate::vfs::addressed_piece::{Trust, Verdict};
use crate::vfs::rename::Overwrite;
use crate::vfs::session::Session;

/// Begins an upload, or joins parts to a file.
#[utoipa::path(
    post,
    path = "/uploads",
    tag = "uploads",
    params(
        Tus,
        Beginning,
        ("Upload-Metadata" = Option<String>, Header, description = "pairs of a key and base64: `path`, or `filename` and `folder`; `overwrite`; `modified`"),
    ),
    request_body(content = Raw, content_type = "application/offset+octet-stream", description = "the first piece, if any"),
    responses(
        (status = 201, description = "begun; Location says where, Upload-Offset how far it is", headers(("Location"), ("Upload-Offset"), ("Upload-Expires"))),
        (status = 400, description = "malformed, or parts that are not complete", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "a right is missing", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the folder or a part is not there", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 405, description = "X-HTTP-Method-Override names another method", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "nothing came for too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "a file or folder is in the way", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 412, description = "another version of tus", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "too long, or too many parts", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the body is no piece", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 423, description = "another request writes to it", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many are under way", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 460, description = "the sum does not fit the body", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the store or the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 507, description = "the quota or the store is full", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(web): State<Web>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut body = body.into_data_stream();
    let desk = Desk::own(&web, &visitor.0);
    begin(&desk, &headers, &mut body).await
}

/// Begins an upload, or joins parts.
///
/// # Errors
/// As the operation has them.
pub async fn begin(
    desk: &Desk<'_>,
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<Response, Problem> {
    let (web, session) = (desk.web, desk.session);
    request::require_post(headers)?;
    let said = request::text(headers, &UPLOAD_METADATA)?.unwrap_or_default();
    let metadata = Metadata::parse(said)?;
    let modified = metadata.modified()?;
    let is_new = must_be_new(headers)?;
    let overwrite = match is_new {
        true => Overwrite::Forbid,
        false => metadata.overwrite()?,
    };
    let taken = |error: Error| match is_new && error.kind() == ErrorKind::AlreadyExists {
        true => condition::changed(),
        false => error.into(),
    };
    let concat = request::concat(headers, &desk.base)?;
    if let Some(Concat::Final(parts)) = concat {
        let whole = request::text(headers, &answer::UPLOAD_CONCAT)?;
        let joining = Joining {
            parts,
            said: whole.unwrap_or_default().to_owned(),
            path: desk.place(&metadata)?,
            overwrite,
            sender: desk.sender(&metadata),
            metadata: said.to_owned(),
            modified,
        };
        let id = session.join_uploads(joining).await.map_err(taken)?;
        let mut answer = desk.location(id);
        answer.extend(desk.name_of(id).await?);
        return Ok((StatusCode::CREATED, answer).into_response());
    }
    let length = match request::length(headers)? {
        Length::Deferred => None,
        Length::Known(length) => Some(length),
    };
    desk.check_length(length)?;
    let carries = request::carries_piece(headers);
    let announced = request::bytes(headers, &header::CONTENT_LENGTH)?;
    if !carries && announced.is_some_and(|announced| announced > 0) {
        return Err(request::no_piece());
    }
    if carries && announced > length.or(Some(u64::MAX)) {
        return Err(request::too_long());
    }
    let path = match concat {
        Some(Concat::Partial) => None,
        _ => Some(desk.place(&metadata)?),
    };
    let new = NewUpload {
        path,
        overwrite,
        length,
        sender: desk.sender(&metadata),
        metadata: said.to_owned(),
        is_told: true,
    };
    let id = session.create_upload(new).await.map_err(taken)?;
    let mut answer = desk.location(id);
    let first = match carries {
        true => receive(web, session, (id, 0, length), headers, body).await,
        false if length == Some(0) => nothing(session, id).await,
        false => Ok(0),
    };
    let offset = match first {
        Ok(offset) => offset,
        Err(problem) => {
            // Its address was never told.
            if let Err(error) = session.end_upload(id).await {
                tracing::debug!(error = ?error, "an upload that failed at once is left to expire");
            }
            return Err(problem);
        }
    };
    if carries {
        answer.insert(UPLOAD_OFFSET, offset.into());
    }
    if Some(offset) == length {
        answer.extend(desk.name_of(id).await?);
    } else {
        let now = web.clock().now();
        answer.extend(answer::expires(now, web.settings().upload_expiry));
    }
    Ok((StatusCode::CREATED, answer).into_response())
}

/// Whether the file must not be there: the one condition that is kept with an upload, until it is published.
///
/// # Errors
/// 400 for any other.
fn must_be_new(headers: &HeaderMap) -> Result<bool, Problem> {
    match (
        condition::if_match(headers)?,
        condition::if_none_match(headers)?,
    ) {
        (None, None) => Ok(false),
        (None, Some(Tags::Any)) => Ok(true),
        _ => Err(Problem::malformed(
            "an upload keeps no other condition than 'If-None-Match: *'; send the file by PUT, or look at what is \
             there before you begin",
        )),
    }
}

/// An empty file is complete when it is begun.
async fn nothing(session: &Session, id: UploadAddress) -> Result<u64, Problem> {
    let writer = session.write_piece(id, 0, None, Trust::AsItComes, metadata::modified);
    let writer = writer.await?;
    Ok(writer.finish(Verdict::Counts).await?)
}
