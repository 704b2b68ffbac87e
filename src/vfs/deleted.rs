//! What was deleted and is still kept, as those see it who administer a tenant: listed, and brought back.

use serde::Serialize;

use crate::db::commit::Committer;
use crate::db::database::Database;
use crate::db::deleted::{self, Deleted, Place};
use crate::db::entries::{self, Moment};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{NodeId, TenantId};
use crate::domain::node::NodeKind;
use crate::domain::path::VfsPath;
use crate::domain::principal::Actor;
use crate::vfs::access::path_of;
use crate::vfs::history::Restore;

/// Past versions that one look goes through, and most looks for one page: a folder whose files were replaced
/// a million times is not read as a whole for what was deleted.
const SPAN: i64 = 2_000;
const LOOKS: usize = 10;

/// A file or folder that was deleted, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeletedView {
    /// What it is brought back by.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Where it was, by the names that the folders above it have now.
    pub path: String,
    /// `file` or `folder`.
    pub kind: &'static str,
    /// Length in bytes; 0 for folders.
    pub size: u64,
    /// When it was deleted.
    pub deleted_at: String,
    /// By what: `delete`, or `rename` or `copy` when something else was put in its place.
    pub by: String,
    /// By which protocol.
    pub protocol: String,
    /// Which account did it, by its name within the tenant; none when it was none, or is removed.
    pub user: Option<String>,
}

impl DeletedView {
    fn new(deleted: Deleted, folder: &VfsPath) -> Self {
        let above = folder.to_string();
        Self {
            node: deleted.node.to_string(),
            path: format!("{}/{}", above.trim_end_matches('/'), deleted.name),
            name: deleted.name,
            kind: deleted.kind.as_str(),
            size: deleted.size,
            deleted_at: deleted.at.to_string(),
            by: deleted.by,
            protocol: deleted.protocol,
            user: deleted.account,
        }
    }
}

/// A part of what was deleted out of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedPage {
    /// By name, and those of one name in the order in which they were deleted.
    pub items: Vec<DeletedView>,
    /// Where the next part begins, if not everything has been looked at.
    pub next: Option<Place>,
}

/// What was brought back, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredView {
    /// Which: the same as before.
    pub node: String,
    /// Where it is now.
    pub path: String,
    /// `file` or `folder`.
    pub kind: &'static str,
    /// Length in bytes; 0 for folders.
    pub size: u64,
}

/// Up to `limit` files and folders that were deleted directly out of the folder that has a path now, and are
/// still kept, behind `after`. There may be none in one part and some in the next.
///
/// What has another name or folder by now is not deleted, nor is what got a new version, or was brought back.
///
/// # Errors
/// NotFound, NotFolder; Unavailable when the database does not answer.
pub async fn list(
    database: &Database,
    tenant: TenantId,
    path: &VfsPath,
    after: Option<Place>,
    limit: usize,
) -> Result<DeletedPage> {
    let mut tx = database.snapshot(tenant).await?;
    let chain = entries::resolve(&mut tx, path.names(), Moment::Now).await?;
    let folder = match chain.last() {
        Some(last) if chain.len() == path.names().len() + 1 => last,
        _ => return Err(no_folder(path)),
    };
    if folder.kind == NodeKind::File {
        return Err(Error::new(
            ErrorKind::NotFolder,
            format!("'{path}' is a file; name the folder that something was deleted from"),
        ));
    }
    let mut page = DeletedPage {
        items: Vec::new(),
        next: Some(after.unwrap_or_default()),
    };
    for _ in 0..LOOKS {
        let missing = limit - page.items.len();
        let Some(place) = page.next.take_if(|_| missing > 0) else {
            break;
        };
        let (found, next) = deleted::page(&mut tx, folder.node, &place, SPAN, missing).await?;
        let views = found.into_iter().map(|one| DeletedView::new(one, path));
        page.items.extend(views);
        page.next = next;
    }
    Ok(page)
}

/// Brings what was deleted back to where it was, with all that was below it, and says where that is.
///
/// # Errors
/// AlreadyExists when it is not deleted, or its name is taken; NotFound when it is not kept, or, with a place, when
/// a folder above it is deleted; Quota; Unavailable when the database does not answer.
pub async fn restore(
    committer: &Committer,
    tenant: TenantId,
    actor: &Actor,
    node: NodeId,
) -> Result<RestoredView> {
    committer.run(tenant, actor, Restore { node }).await?;
    let mut tx = committer.database().read(tenant).await?;
    let mut chain = entries::ancestors(&mut tx, node).await?;
    chain.reverse();
    let path = path_of(&chain);
    let is_there = chain.first().is_some_and(|top| top.parent == NodeId::NIL);
    let entry = chain.pop().filter(|_| is_there).ok_or_else(|| {
        Error::not_found("it was brought back, and deleted again since; list what is deleted")
    })?;
    Ok(RestoredView {
        node: node.to_string(),
        path,
        kind: entry.kind.as_str(),
        size: entry.size,
    })
}

fn no_folder(path: &VfsPath) -> Error {
    let above = path.parent().unwrap_or_default();
    Error::not_found(format!(
        "there is no folder '{path}' now; if it was deleted, it is listed in '{above}', from where it can be \
         brought back"
    ))
}
