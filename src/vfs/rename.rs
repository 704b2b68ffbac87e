//! Renaming and moving: one row, however much is below.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::entries::Moment;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::superseded::supersede;
use crate::db::{contents, entries, kept};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::news::News;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{Access, below, follow, is_a_folder, no_such, not_a_folder, parent_of};
use crate::vfs::news;
use crate::vfs::options::BrokenOff;
use crate::vfs::remove::{not_within, replace};
use crate::vfs::resume;
use crate::vfs::target::Target;

/// What happens when the new name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// A file replaces a file, a folder an empty folder, as rename(2) of POSIX does.
    Allow,
    /// The rename fails.
    Forbid,
    /// What is there is deleted, with all that is below it, in the same change. A file that is copied to where
    /// a file is becomes another version of that.
    Replace,
}

/// Gives a node another name or another folder.
pub struct Rename {
    /// Who.
    pub principal: Principal,
    /// From where.
    pub from: VfsPath,
    /// To where.
    pub to: VfsPath,
    /// What happens when the name is taken.
    pub overwrite: Overwrite,
    /// Whether it may be what its own account broke off.
    pub broken_off: BrokenOff,
    /// What leases are compared with.
    pub now: Timestamp,
}

#[async_trait]
impl Operation for Rename {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.from).await?;
        let (from_chain, found) = parent_of(tx, &access, &self.from, chain).await?;
        let Some(entry) = found else {
            access.require(&from_chain, Rights::LIST)?;
            return self.rename_broken_off(tx, &access, &from_chain).await;
        };
        access.require(&from_chain, Rights::RENAME)?;
        let chain = entries::resolve(tx, self.to.names(), Moment::Now).await?;
        let (to_chain, target) = parent_of(tx, &access, &self.to, chain).await?;
        access.require(&to_chain, Rights::RENAME)?;
        if to_chain.last().is_some_and(|to| to.node != entry.parent) {
            // A move must not do what copying and deleting would be denied.
            let read = Rights::LIST | Rights::READ;
            access.require(&below(&from_chain, &entry), read)?;
            access.require(&from_chain, Rights::DELETE)?;
            access.require(
                &to_chain,
                match entry.kind {
                    NodeKind::File => Rights::WRITE,
                    NodeKind::Folder => Rights::WRITE | Rights::MAKE_FOLDERS,
                },
            )?;
        }
        if to_chain.iter().any(|above| above.node == entry.node) {
            return Err(Error::invalid("a folder cannot be moved into itself"));
        }
        let over = target.as_ref().map(|target| target.node);
        let replaced = over.is_some();
        let mut gone = None;
        if let Some(target) = target {
            if target.node == entry.node {
                return Ok(Record::Nothing);
            }
            access.require(&below(&to_chain, &target), Rights::OVERWRITE)?;
            if self.overwrite == Overwrite::Replace {
                not_within(&from_chain, &target)?;
                if target.kind == NodeKind::Folder || entry.kind == NodeKind::Folder {
                    access.require(&to_chain, Rights::DELETE)?;
                }
            }
            gone = self.make_way(tx, &entry, &target, next).await?;
        }
        let (Some(parent), Some(name)) = (to_chain.last(), self.to.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let untold = news::is_untold(tx, &entry).await?;
        let moved = Entry {
            parent: parent.node,
            name: name.as_str().to_owned(),
            born: next.seq,
            ..entry.clone()
        };
        entries::bury(tx, entry.node, next.seq).await?;
        entries::replace(tx, &moved).await?;
        if entry.kind == NodeKind::File {
            let (account, place) = (self.principal.account, (moved.parent, moved.name.as_str()));
            supersede(tx, account, place, over, next.at).await?;
            kept::follow(tx, moved.node, place).await?;
        }
        if let Some(content) = entry.content {
            contents::add_use(tx, content).await?;
        }
        let places = (&self.from, &self.to);
        let before = (replaced, untold);
        let news = news::renamed(tx, &self.principal, &moved, before, places).await?;
        let detail = format!("{} -> {}", self.from, self.to);
        Ok(Record::Change(
            Happening::new(AuditKind::Rename, detail)
                .telling(gone)
                .telling(news),
        ))
    }
}

impl Rename {
    /// Nothing is published under the old name, but there may be what the principal broke off.
    async fn rename_broken_off(
        &self,
        tx: &mut TenantTx,
        access: &Access,
        from_chain: &[Entry],
    ) -> Result<Record> {
        let (Some(parent), Some(name)) = (from_chain.last(), self.from.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let place = (parent.node, name.as_str());
        let broken = match self.broken_off {
            BrokenOff::Hidden => None,
            BrokenOff::Shown => resume::find(tx, &self.principal, self.now, place, None).await?,
        };
        let upload = broken.ok_or_else(|| no_such(&self.from))?;
        let chain = entries::resolve(tx, self.to.names(), Moment::Now).await?;
        let (chain, found) = parent_of(tx, access, &self.to, chain).await?;
        let target = place_for_new(access, &chain, found.as_ref(), &self.to, self.overwrite)?;
        let place = (target.parent, target.name.as_str());
        let over = (target.node, found.and_then(|entry| entry.content));
        kept::rename(tx, upload.id, upload.epoch, place, over).await?;
        // Written down, so that it is not done again when nobody knows whether it was.
        let detail = format!("{} -> {}, which broke off", self.from, self.to);
        Ok(Record::Event(Happening::new(AuditKind::Rename, detail)))
    }

    /// Ends what has the name. Says what is told of a folder; of a file, what comes in its place is.
    async fn make_way(
        &self,
        tx: &mut TenantTx,
        entry: &Entry,
        target: &Entry,
        next: Committed,
    ) -> Result<Option<News>> {
        let path = self.to.to_string();
        if self.overwrite == Overwrite::Forbid {
            return Err(taken(&self.to));
        }
        if self.overwrite == Overwrite::Allow {
            match (entry.kind, target.kind) {
                (NodeKind::File, NodeKind::Folder) => return Err(is_a_folder(&path)),
                (NodeKind::Folder, NodeKind::File) => return Err(not_a_folder(&path)),
                (NodeKind::Folder, NodeKind::Folder)
                    if entries::has_children(tx, target.node).await? =>
                {
                    return Err(Error::new(
                        ErrorKind::NotEmpty,
                        format!("the folder '{path}' is not empty"),
                    ));
                }
                _ => {}
            }
        }
        let told = replace(tx, &self.principal, (target, &self.to), next).await?;
        Ok(told.filter(|_| target.kind == NodeKind::Folder))
    }
}

/// Where a file that was never published is published in the end, when it is renamed before.
///
/// # Errors
/// AlreadyExists, IsFolder, Denied.
pub(in crate::vfs) fn place_for_new(
    access: &Access,
    chain: &[Entry],
    found: Option<&Entry>,
    to: &VfsPath,
    overwrite: Overwrite,
) -> Result<Target> {
    let (Some(parent), Some(name)) = (chain.last(), to.name()) else {
        return Err(Error::internal("a path with a parent and no name"));
    };
    match found {
        None => access.require(chain, Rights::RENAME | Rights::WRITE)?,
        Some(entry) => {
            access.require(chain, Rights::RENAME)?;
            access.require(&below(chain, entry), Rights::OVERWRITE)?;
            if overwrite == Overwrite::Forbid {
                return Err(taken(to));
            }
            if entry.kind == NodeKind::Folder {
                return Err(is_a_folder(&to.to_string()));
            }
        }
    }
    Ok(Target {
        parent: parent.node,
        name: name.as_str().to_owned(),
        node: found.map(|entry| entry.node),
        exclusive: overwrite == Overwrite::Forbid,
        only: None,
        held: None,
        since: access.seq(),
    })
}

/// The error for a name that is taken.
pub(in crate::vfs) fn taken(path: &VfsPath) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("'{path}' exists already; delete it first or choose another name"),
    )
}
