//! `.../deleted`: what was deleted and is still kept.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db::deleted::Place;
use crate::domain::error::{Error, ErrorKind};
use crate::domain::id::NodeId;
use crate::domain::path::VfsPath;
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Helping, Seeing};
use crate::http::extract::{Params, PathOf};
use crate::http::failures::Asking;
use crate::http::paging::{self, Paging};
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::web::Web;
use crate::vfs::deleted::{self, DeletedView};

/// A file or folder that was deleted, and with a folder all that was in it then.
#[derive(Serialize, ToSchema)]
pub struct DeletedItem {
    /// What it is brought back by; webhooks are told it as well.
    node: String,
    /// Its name.
    name: String,
    /// Where it was, by the names that the folders above it have now.
    path: String,
    /// `file` or `folder`.
    kind: &'static str,
    /// Length in bytes; 0 for folders.
    size: u64,
    /// When it was deleted.
    deleted_at: String,
    /// By what: `delete`, or `rename` or `copy` when something else was put in its place.
    by: String,
    /// By which protocol.
    protocol: String,
    /// Which account did it, by its name within the tenant; none when it was none, or is removed.
    user: Option<String>,
}

/// A part of what was deleted.
#[derive(Serialize, ToSchema)]
pub struct DeletedItems {
    /// By name, and those of one name in the order in which they were deleted. A part may be short, or empty,
    /// and more may follow all the same.
    items: Vec<DeletedItem>,
    /// What `cursor` is for the next part; null at the end.
    next: Option<String>,
}

/// What was brought back.
#[derive(Serialize, ToSchema)]
pub struct RestoredItem {
    /// Which it is: the same as before.
    node: String,
    /// Where it is now.
    path: String,
    /// `file` or `folder`.
    kind: &'static str,
    /// Length in bytes; 0 for folders.
    size: u64,
}

/// Of which folder.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Out {
    /// The folder, as it is called now; the root if nobody says.
    #[param(required = false)]
    path: Option<String>,
}

/// A file or folder in a path.
#[derive(Deserialize)]
pub struct Node {
    node: String,
}

/// List what was deleted out of a folder and is still kept.
///
/// What was deleted directly out of it: what lay below comes back with the folder that was deleted. What has
/// another name or folder by now, got a new version or was brought back is not deleted. So many past versions
/// are looked at for one request, and no more: a part may be empty although `next` is not null.
#[utoipa::path(
    get,
    path = "/deleted",
    tag = "deleted files",
    params(Out, Paging),
    responses((status = 200, description = "a part of it, by name", body = DeletedItems), Asking)
)]
pub async fn list(
    State(web): State<Web>,
    admin: Admin<Seeing>,
    Params(out): Params<Out>,
    Params(paging): Params<Paging>,
) -> Result<Json<DeletedItems>, Problem> {
    let (limit, after) = (paging.limit()?, paging.place::<Place>()?);
    let folder = out.path.as_deref().map(VfsPath::parse).transpose()?;
    let folder = folder.unwrap_or_else(VfsPath::root);
    let database = web.vfs().database();
    let page = deleted::list(database, admin.id, &folder, after, limit).await?;
    Ok(Json(DeletedItems {
        items: page.items.into_iter().map(item).collect(),
        next: page.next.map(|place| paging::cursor(&place.to_string())),
    }))
}

/// Bring back what was deleted, to where it was.
///
/// A folder comes back with all that was in it when it was deleted. It counts for the quota again. While a folder
/// above it is deleted, or its name is taken, it stays deleted (409); the detail says what to do first.
#[utoipa::path(
    post,
    path = "/deleted/{node}/restore",
    tag = "deleted files",
    params(("node" = String, Path, description = "the file or folder, as the list shows it")),
    responses(
        (status = 200, description = "it is there again", body = RestoredItem),
        (status = 507, description = "a quota is reached", body = ProblemDetails, content_type = "application/problem+json"),
        Asking,
    )
)]
pub async fn restore(
    State(web): State<Web>,
    admin: Admin<Helping>,
    PathOf(Node { node }): PathOf<Node>,
) -> Result<Json<RestoredItem>, Problem> {
    let node: NodeId = node.parse()?;
    let restored = deleted::restore(web.vfs().committer(), admin.id, &admin.actor, node).await;
    let restored = restored.map_err(refused)?;
    Ok(Json(RestoredItem {
        node: restored.node,
        path: restored.path,
        kind: restored.kind,
        size: restored.size,
    }))
}

/// 409 where something else has to be brought back first, which is no less there for it.
fn refused(error: Error) -> Problem {
    match (error.kind(), error.place()) {
        (ErrorKind::NotFound, Some(_)) => {
            Problem::new(StatusCode::CONFLICT, "folder-deleted", error.context())
        }
        _ => error.into(),
    }
}

fn item(deleted: DeletedView) -> DeletedItem {
    DeletedItem {
        node: deleted.node,
        name: deleted.name,
        path: deleted.path,
        kind: deleted.kind,
        size: deleted.size,
        deleted_at: deleted.deleted_at,
        by: deleted.by,
        protocol: deleted.protocol,
        user: deleted.user,
    }
}
