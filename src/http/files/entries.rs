//! Files and folders as such: looking at them, deleting them, setting attributes.

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::error::ErrorKind;
use crate::domain::node::AttributeUpdate;
use crate::domain::path::VfsPath;
use crate::http::extract::{JsonBody, Params};
use crate::http::failures::{Asking, Changing, Reading};
use crate::http::files::condition;
use crate::http::files::place::Place;
use crate::http::files::view::{self, EntryView};
use crate::http::headers::Versions;
use crate::http::reply::Problem;
use crate::http::visitor::Visitor;
use crate::vfs::condition::Condition;
use crate::vfs::seen::Seen;
use crate::vfs::session::Session;

/// Look at the root folder.
#[utoipa::path(
    get,
    path = "/entries",
    tag = "entries",
    responses((status = 200, description = "the root folder", body = EntryView, headers(("ETag"))), Asking)
)]
pub async fn look_at_root(visitor: Visitor) -> Result<Response, Problem> {
    look(visitor, Place(VfsPath::root())).await
}

/// Look at a file or folder.
#[utoipa::path(
    get,
    path = "/entries/{*path}",
    tag = "entries",
    params(("path" = String, Path, description = "path of the file or folder")),
    responses((status = 200, description = "what is there", body = EntryView, headers(("ETag"))), Asking)
)]
pub async fn look(visitor: Visitor, Place(path): Place) -> Result<Response, Problem> {
    let seen = visitor.0.look(&path).await?;
    Ok(shown(&seen, &path, StatusCode::OK))
}

/// How something is deleted.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct How {
    /// Delete a folder with all that is below it, as one change.
    #[serde(default)]
    #[param(required = false)]
    recursive: bool,
}

/// Delete a file or folder.
///
/// `If-Match` has it deleted only if it is that version.
#[utoipa::path(
    delete,
    path = "/entries/{*path}",
    tag = "entries",
    params(("path" = String, Path, description = "path of the file or folder"), How, Versions),
    responses((status = 204, description = "deleted"), Asking, Changing)
)]
pub async fn delete(
    visitor: Visitor,
    Place(path): Place,
    Params(how): Params<How>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let session = conditioned(&visitor.0, &headers)?;
    if how.recursive {
        session.remove_tree(&path).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    match session.remove_file(&path).await {
        Err(error) if error.kind() == ErrorKind::IsFolder => session.remove_folder(&path).await?,
        removed => removed?,
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Attributes to set; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// Time of last modification, RFC 3339.
    #[schema(format = "date-time")]
    modified: Option<String>,
    /// Time of last access, RFC 3339.
    #[schema(format = "date-time")]
    accessed: Option<String>,
    /// Time of creation, RFC 3339.
    #[schema(format = "date-time")]
    created: Option<String>,
    /// Unix permission bits, in octal.
    #[schema(pattern = "^[0-7]{1,4}$")]
    mode: Option<String>,
}

/// Set attributes of a file or folder.
///
/// `If-Match` has them set only if it is that version.
#[utoipa::path(
    patch,
    path = "/entries/{*path}",
    tag = "entries",
    params(("path" = String, Path, description = "path of the file or folder"), Versions),
    request_body = Attributes,
    responses(
        (status = 200, description = "what is there now", body = EntryView, headers(("ETag"))),
        Asking,
        Changing,
        Reading,
    )
)]
pub async fn set(
    visitor: Visitor,
    Place(path): Place,
    headers: HeaderMap,
    JsonBody(attributes): JsonBody<Attributes>,
) -> Result<Response, Problem> {
    let (session, told) = conditioned(&visitor.0, &headers)?.telling();
    let update = AttributeUpdate {
        mode: attributes.mode.as_deref().map(mode).transpose()?,
        modified: attributes.modified.as_deref().map(view::time).transpose()?,
        accessed: attributes.accessed.as_deref().map(view::time).transpose()?,
        created: attributes.created.as_deref().map(view::time).transpose()?,
    };
    session.set_attributes(&path, update).await?;
    Ok(done(told.take().as_ref(), &path, StatusCode::OK))
}

/// The session that changes what the request is about only if its conditions hold.
///
/// # Errors
/// 400 when one is malformed.
pub fn conditioned(session: &Session, headers: &HeaderMap) -> Result<Session, Problem> {
    let condition = condition::of_change(headers)?;
    Ok(match condition == Condition::default() {
        true => session.clone(),
        false => session.provided(condition),
    })
}

/// Answers that something was done: with what came of it at a path, as far as whoever did it may look.
pub fn done(made: Option<&Seen>, path: &VfsPath, status: StatusCode) -> Response {
    match made {
        Some(seen) => shown(seen, path, status),
        None => status.into_response(),
    }
}

fn shown(seen: &Seen, path: &VfsPath, status: StatusCode) -> Response {
    let told = [(header::ETAG, condition::tag_header(&seen.entry))];
    (status, told, Json(EntryView::seen(path, seen))).into_response()
}

fn mode(text: &str) -> Result<u32, Problem> {
    let mode = u32::from_str_radix(text, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o7777 && !text.starts_with('+'));
    mode.ok_or_else(|| Problem::malformed("a mode is up to four octal digits, such as 0644"))
}
