//! Moving and copying.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::node::NodeKind;
use crate::domain::path::VfsPath;
use crate::http::extract::JsonBody;
use crate::http::failures::{Asking, Changing, Reading};
use crate::http::files::view::EntryView;
use crate::http::files::{entries, place};
use crate::http::headers::Versions;
use crate::http::reply::Problem;
use crate::http::visitor::Visitor;
use crate::http::web::Web;
use crate::vfs::copy_tree::Failure;
use crate::vfs::rename;
use crate::vfs::selection::Purpose;
use crate::vfs::session::Session;

/// From where to where.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// Path of what there is.
    #[schema(example = "/reports/2026.pdf")]
    from: String,
    /// Path that it gets, its own name included.
    #[schema(example = "/archive/2026.pdf")]
    to: String,
    /// Whether a file may replace a file that is there, and a folder an empty folder.
    #[serde(default)]
    #[schema(required = false)]
    overwrite: bool,
}

impl Way {
    fn overwrite(&self) -> rename::Overwrite {
        match self.overwrite {
            true => rename::Overwrite::Allow,
            false => rename::Overwrite::Forbid,
        }
    }
}

/// Move or rename a file or folder.
///
/// One change, however much is below. `If-Match` has it moved only if it is that version.
#[utoipa::path(
    post,
    path = "/move",
    tag = "entries",
    params(Versions),
    request_body = Way,
    responses(
        (status = 200, description = "where it is now", body = EntryView, headers(("ETag"))),
        Asking,
        Changing,
        Reading,
    )
)]
pub async fn move_entry(
    visitor: Visitor,
    headers: HeaderMap,
    JsonBody(way): JsonBody<Way>,
) -> Result<Response, Problem> {
    let (from, to) = (VfsPath::parse(&way.from)?, VfsPath::parse(&way.to)?);
    let (session, told) = entries::conditioned(&visitor.0, &headers)?.telling();
    session.rename(&from, &to, way.overwrite()).await?;
    Ok(entries::done(told.take().as_ref(), &to, StatusCode::OK))
}

/// Copy a file or folder.
///
/// No bytes move, whatever the size. A folder is copied with all that is in it at one moment to a name that is free,
/// file by file: when some of it cannot be copied, the rest is there, and the answer says how many and why the first.
/// `If-Match` has it copied only if it is that version.
#[utoipa::path(
    post,
    path = "/copy",
    tag = "entries",
    params(Versions),
    request_body = Way,
    responses(
        (status = 201, description = "the copy", body = EntryView, headers(("ETag"), ("Location"))),
        Asking,
        Changing,
        Reading,
    )
)]
pub async fn copy(
    State(web): State<Web>,
    visitor: Visitor,
    headers: HeaderMap,
    JsonBody(way): JsonBody<Way>,
) -> Result<Response, Problem> {
    let (from, to) = (VfsPath::parse(&way.from)?, VfsPath::parse(&way.to)?);
    let (session, told) = entries::conditioned(&visitor.0, &headers)?.telling();
    let seen = visitor.0.look(&from).await;
    if seen.is_ok_and(|seen| seen.entry.kind == NodeKind::Folder) {
        copy_folder(&web, (&visitor.0, &session), &from, &to).await?;
    } else {
        session.copy_file(&from, &to, way.overwrite()).await?;
    }
    let mut response = entries::done(told.take().as_ref(), &to, StatusCode::CREATED);
    let location = place::location("files", &to);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Copies a folder with what is in it; the folder itself by the session that knows the request's conditions.
async fn copy_folder(
    web: &Web,
    (session, conditioned): (&Session, &Session),
    from: &VfsPath,
    to: &VfsPath,
) -> Result<(), Problem> {
    if to.starts_with(from) || from.starts_with(to) {
        let detail = "nothing can be copied onto itself, into itself, or onto a folder above";
        return Err(Problem::malformed(detail));
    }
    // Seen before anything is there that could be seen.
    let selection = session
        .select(std::slice::from_ref(from), Purpose::Copy)
        .await?;
    let made = conditioned
        .copy_folder(from, to, rename::Overwrite::Forbid)
        .await?;
    let copied = Box::pin(session.copy_into(&selection, from, (to, made)));
    let copied = web
        .accounts()
        .while_logged_in(session.principal(), copied)
        .await;
    let failures = copied.flatten()?;
    let count = failures.len();
    let Some(Failure { path, error, .. }) = failures.into_iter().next() else {
        return Ok(());
    };
    let problem = Problem::from(error);
    let detail = format!(
        "{count} of what is in '{from}' could not be copied, the rest is in '{to}'; the first is '{path}': {}",
        problem.detail()
    );
    Err(problem.saying(detail))
}
