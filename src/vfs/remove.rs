//! Deleting files and folders; their past stays.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::superseded::supersede;
use crate::db::usage::{self, Amount};
use crate::db::{detached, entries, kept};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::news::News;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{follow, is_a_folder, no_such, not_a_folder, parent_of};
use crate::vfs::options::BrokenOff;
use crate::vfs::{news, resume};

/// What is expected at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A folder with nothing in it.
    EmptyFolder,
    /// A file.
    File,
    /// Either, with all that is below it.
    Tree,
}

/// Deletes what is at a path.
pub struct Remove {
    /// Who.
    pub principal: Principal,
    /// What.
    pub path: VfsPath,
    /// What it must be.
    pub expect: Expect,
    /// Whether it may be what its own account broke off.
    pub broken_off: BrokenOff,
    /// What leases are compared with.
    pub now: Timestamp,
}

#[async_trait]
impl Operation for Remove {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.path).await?;
        let (chain, found) = parent_of(tx, &access, &self.path, chain).await?;
        let (Some(parent), Some(name)) = (chain.last(), self.path.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let (account, place) = (self.principal.account, (parent.node, name.as_str()));
        let Some(entry) = found else {
            access.require(&chain, Rights::LIST)?;
            let broken = match self.broken_off {
                BrokenOff::Hidden => None,
                BrokenOff::Shown => {
                    resume::find(tx, &self.principal, self.now, place, None).await?
                }
            };
            if broken.is_none() || self.expect == Expect::EmptyFolder {
                return Err(no_such(&self.path));
            }
            // Only its own account sees it, which may well undo what it did.
            kept::discard(tx, account, place, None, self.now).await?;
            // Written down, so that it is not done again when nobody knows whether it was.
            let detail = format!("{}, which broke off", self.path);
            return Ok(Record::Event(Happening::new(AuditKind::Delete, detail)));
        };
        // On the folder that it is in: rights on a folder do not make it its holder's to delete.
        access.require(&chain, Rights::DELETE)?;
        let path = self.path.to_string();
        match (self.expect, entry.kind) {
            (Expect::EmptyFolder, NodeKind::File) => return Err(not_a_folder(&path)),
            (Expect::File, NodeKind::Folder) => return Err(is_a_folder(&path)),
            (Expect::EmptyFolder, NodeKind::Folder)
                if entries::has_children(tx, entry.node).await? =>
            {
                return Err(Error::new(
                    ErrorKind::NotEmpty,
                    format!("the folder '{path}' is not empty; delete what is in it first"),
                ));
            }
            _ => {}
        }
        if entry.kind == NodeKind::File {
            supersede(tx, account, place, Some(entry.node), next.at).await?;
        }
        kill(tx, &entry, next).await?;
        let news = news::deleted(tx, &self.principal, &entry, &path).await?;
        Ok(Record::Change(
            Happening::new(AuditKind::Delete, path).telling(news),
        ))
    }
}

/// Ends a live entry at change `next`. What is below a folder stays as it is, out of reach, for
/// the settling job.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn kill(tx: &mut TenantTx, entry: &Entry, next: Committed) -> Result<()> {
    entries::bury(tx, entry.node, next.seq).await?;
    entries::remove(tx, entry.node).await?;
    let back = Amount::one(entry.size).negated();
    usage::charge(tx, entry.owner, back, Amount::default()).await?;
    if entry.kind == NodeKind::Folder && entries::has_children(tx, entry.node).await? {
        detached::add(tx, entry.node, next.seq).await?;
    }
    Ok(())
}

/// Ends what has a path that something else gets in the same change, with all that is below, and says what
/// others are told of it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn replace(
    tx: &mut TenantTx,
    principal: &Principal,
    (gone, path): (&Entry, &VfsPath),
    next: Committed,
) -> Result<Option<News>> {
    kill(tx, gone, next).await?;
    news::deleted(tx, principal, gone, &path.to_string()).await
}

/// Fails when the last entry of a chain is, or lies in, what is to be replaced by it.
///
/// # Errors
/// Invalid.
pub(in crate::vfs) fn not_within(chain: &[Entry], gone: &Entry) -> Result<()> {
    match chain.iter().any(|above| above.node == gone.node) {
        true => Err(Error::invalid(
            "this lies in the folder that it would replace",
        )),
        false => Ok(()),
    }
}
