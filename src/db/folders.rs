//! Folders made along a path, for homes and grants.

use crate::db::entries::{self, Moment};
use crate::db::sql::TenantTx;
use crate::db::usage::{self, Amount};
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, NodeId};
use crate::domain::node::{Attributes, Entry, NodeKind};
use crate::domain::path::{Name, VfsPath};

/// The folder at `path`, made with all folders above it where they are missing, and whether
/// anything was made. To be called under the tenant's lock, in a change.
///
/// # Errors
/// NotFolder when a file is in the way; Quota.
pub async fn ensure(
    tx: &mut TenantTx,
    path: &VfsPath,
    owner: Option<AccountId>,
    next: Committed,
) -> Result<(NodeId, bool)> {
    let chain = entries::resolve(tx, path.names(), Moment::Now).await?;
    let deepest = chain
        .last()
        .ok_or_else(|| Error::internal("a tenant without a root folder"))?;
    if deepest.kind == NodeKind::File {
        return Err(Error::new(
            ErrorKind::NotFolder,
            format!("'{}' is a file, not a folder", deepest.name),
        ));
    }
    let missing = path.names().get(chain.len() - 1..).unwrap_or_default();
    let made = make_below(tx, deepest.node, missing, owner, next).await?;
    let folder = made.last().map_or(deepest.node, |last| last.node);
    Ok((folder, !made.is_empty()))
}

/// Makes folders, each in the one before it and the first in `parent`; says them from above.
///
/// # Errors
/// Quota; Unavailable when the database does not answer.
pub async fn make_below(
    tx: &mut TenantTx,
    mut parent: NodeId,
    names: &[Name],
    owner: Option<AccountId>,
    next: Committed,
) -> Result<Vec<Entry>> {
    let mut made = Vec::with_capacity(names.len());
    for name in names {
        let entry = Entry {
            node: NodeId::mint(next.at),
            parent,
            name: name.as_str().to_owned(),
            kind: NodeKind::Folder,
            content: None,
            size: 0,
            owner,
            attributes: Attributes::folder(next.at),
            born: next.seq,
            died: None,
        };
        usage::charge(tx, owner, Amount::one(0), Amount::default()).await?;
        entries::insert(tx, &entry).await?;
        parent = entry.node;
        made.push(entry);
    }
    Ok(made)
}
