//! Renaming and moving: one row, however much is below.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::commit::{Operation, Record};
use crate::db::entries::Moment;
use crate::db::sql::TenantTx;
use crate::db::{contents, entries};
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{below, follow, is_a_folder, no_such, not_a_folder, parent_of};
use crate::vfs::remove::kill;

/// What happens when the new name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// A file replaces a file, a folder an empty folder, as rename(2) of POSIX does.
    Allow,
    /// The rename fails.
    Forbid,
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
}

#[async_trait]
impl Operation for Rename {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.from).await?;
        let (from_chain, found) = parent_of(tx, &access, &self.from, chain).await?;
        let Some(entry) = found else {
            access.require(&from_chain, Rights::LIST)?;
            return Err(no_such(&self.from));
        };
        access.require(&below(&from_chain, &entry), Rights::RENAME)?;
        let chain = entries::resolve(tx, self.to.names(), Moment::Now).await?;
        let (to_chain, target) = parent_of(tx, &access, &self.to, chain).await?;
        access.require(&to_chain, Rights::RENAME)?;
        if to_chain.last().is_some_and(|to| to.node != entry.parent) {
            // A move must not do what copying and deleting would be denied.
            let left = Rights::LIST | Rights::READ | Rights::DELETE;
            access.require(&below(&from_chain, &entry), left)?;
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
        if let Some(target) = target {
            if target.node == entry.node {
                return Ok(Record::Nothing);
            }
            access.require(&below(&to_chain, &target), Rights::OVERWRITE)?;
            self.make_way(tx, &entry, &target, next).await?;
        }
        let (Some(parent), Some(name)) = (to_chain.last(), self.to.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let moved = Entry {
            parent: parent.node,
            name: name.as_str().to_owned(),
            born: next.seq,
            ..entry.clone()
        };
        entries::bury(tx, entry.node, next.seq).await?;
        entries::replace(tx, &moved).await?;
        if let Some(content) = entry.content {
            contents::add_use(tx, content).await?;
        }
        let detail = format!("{} -> {}", self.from, self.to);
        Ok(Record::Change(Happening::new("rename", detail)))
    }
}

impl Rename {
    async fn make_way(
        &self,
        tx: &mut TenantTx,
        entry: &Entry,
        target: &Entry,
        next: Committed,
    ) -> Result<()> {
        let path = self.to.to_string();
        if self.overwrite == Overwrite::Forbid {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("'{path}' exists already; delete it first or choose another name"),
            ));
        }
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
        kill(tx, target, next).await
    }
}
