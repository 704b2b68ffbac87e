//! What is copied: what is at a path by then, or what a selection has seen.

use crate::db::entries;
use crate::db::sql::TenantTx;
use crate::domain::error::{Error, Result};
use crate::domain::id::NodeId;
use crate::domain::node::Entry;
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{Access, follow, no_such};

/// What is copied.
pub(in crate::vfs) enum Original {
    /// What is at a path when it is copied.
    At(VfsPath),
    /// A version that was in a folder when that was selected, wherever it is now.
    Seen {
        /// The folder, whose rights hold for all that was below.
        folder: NodeId,
        /// Where the version was.
        path: VfsPath,
        /// The version.
        entry: Box<Entry>,
    },
}

/// An original that was found.
pub(in crate::vfs) struct Found {
    /// The way from the root to it, or to the folder that was selected.
    pub(in crate::vfs) chain: Vec<Entry>,
    /// What who copies it may do.
    pub(in crate::vfs) access: Access,
    /// The version.
    pub(in crate::vfs) entry: Entry,
}

impl Original {
    /// Where it is, or was.
    pub(in crate::vfs) fn path(&self) -> &VfsPath {
        match self {
            Self::At(path) | Self::Seen { path, .. } => path,
        }
    }

    /// Finds it, if `needed` is held on it.
    ///
    /// # Errors
    /// NotFound, NotFolder, Denied; Unavailable when the database does not answer.
    pub(in crate::vfs) async fn find(
        &self,
        tx: &mut TenantTx,
        principal: &Principal,
        needed: Rights,
    ) -> Result<Found> {
        match self {
            Self::At(path) => {
                let (chain, access) = follow(tx, principal, path).await?;
                let missing = chain.len() <= path.names().len();
                if missing || !access.rights(&chain).contains(needed) {
                    access.see(tx, path, &chain).await?;
                }
                access.require(&chain, needed)?;
                let entry = chain.last().cloned().ok_or_else(|| no_such(path))?;
                Ok(Found {
                    chain,
                    access,
                    entry,
                })
            }
            Self::Seen {
                folder,
                path,
                entry,
            } => {
                let (_, access) = follow(tx, principal, &VfsPath::root()).await?;
                let mut chain = entries::ancestors(tx, *folder).await?;
                chain.reverse();
                if chain.first().is_none_or(|top| top.parent != NodeId::NIL) {
                    return Err(Error::not_found(format!(
                        "'{path}' was not copied, since the folder that is copied was deleted meanwhile"
                    )));
                }
                access.require(&chain, needed)?;
                Ok(Found {
                    chain,
                    access,
                    entry: Entry::clone(entry),
                })
            }
        }
    }
}

/// Where a copy goes.
pub(in crate::vfs) struct Goal {
    /// Its path.
    pub(in crate::vfs) path: VfsPath,
    /// The folder that is there, if it must be a certain one.
    pub(in crate::vfs) folder: Option<NodeId>,
}

impl Goal {
    /// Fails unless `chain` leads to the folder that it must be.
    ///
    /// # Errors
    /// NotFound.
    pub(in crate::vfs) fn check(&self, chain: &[Entry]) -> Result<()> {
        let is_there = |folder| chain.last().is_some_and(|last| last.node == folder);
        match self.folder.is_none_or(is_there) {
            true => Ok(()),
            false => Err(Error::not_found(format!(
                "'{}' was not made, since the folder that is copied into was moved meanwhile",
                self.path
            ))),
        }
    }
}
