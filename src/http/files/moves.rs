//! Moving and copying.

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
use crate::http::reply::Problem;
use crate::http::visitor::Visitor;
use crate::vfs::rename;

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
    request_body = Way,
    responses(
        (status = 200, description = "where it is now", body = EntryView),
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
    let session = entries::conditioned(&visitor.0, &headers)?;
    session.rename(&from, &to, way.overwrite()).await?;
    entries::show(&visitor.0, &to, StatusCode::OK).await
}

/// Copy a file.
///
/// No bytes move, whatever its size. Folders are not copied. `If-Match` has it copied only if it is
/// that version.
#[utoipa::path(
    post,
    path = "/copy",
    tag = "entries",
    request_body = Way,
    responses(
        (status = 201, description = "the copy", body = EntryView),
        Asking,
        Changing,
        Reading,
    )
)]
pub async fn copy(
    visitor: Visitor,
    headers: HeaderMap,
    JsonBody(way): JsonBody<Way>,
) -> Result<Response, Problem> {
    let (from, to) = (VfsPath::parse(&way.from)?, VfsPath::parse(&way.to)?);
    let session = entries::conditioned(&visitor.0, &headers)?;
    let seen = visitor.0.look(&from).await;
    if seen.is_ok_and(|seen| seen.entry.kind == NodeKind::Folder) {
        let detail = format!("'{from}' is a folder; only files are copied, one by one");
        return Err(Problem::new(StatusCode::CONFLICT, "is-folder", detail));
    }
    session.copy_file(&from, &to, way.overwrite()).await?;
    let mut response = entries::show(&visitor.0, &to, StatusCode::CREATED).await?;
    let location = place::location("files", &to);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
