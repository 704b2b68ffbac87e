//! Copying a folder as such, without what is in it.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::entries::{self, Moment};
use crate::db::operation::{Operation, Record};
use crate::db::properties;
use crate::db::sql::TenantTx;
use crate::db::usage::{self, Amount};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{Attributes, Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{below, not_a_folder, parent_of};
use crate::vfs::held::Touch;
use crate::vfs::original::{Found, Goal, Original};
use crate::vfs::remove::{not_within, replace};
use crate::vfs::rename::{Overwrite, taken};
use crate::vfs::session::Session;

impl Session {
    /// Makes a folder with the mode and the properties of another, and says which; what is in that is not copied.
    /// What is to be replaced is so in the same change.
    ///
    /// # Errors
    /// AlreadyExists unless it is to be replaced, NotFound, NotFolder, Changed, Invalid (it lies in what it would
    /// replace), Denied, Quota, Locked, Unavailable.
    pub async fn copy_folder(
        &self,
        from: &VfsPath,
        to: &VfsPath,
        overwrite: Overwrite,
    ) -> Result<NodeId> {
        let new_node = NodeId::mint(self.now());
        let operation = CopyFolder {
            principal: self.principal().clone(),
            original: Original::At(from.clone()),
            goal: Goal {
                path: to.clone(),
                folder: None,
            },
            overwrite,
            new_node,
        };
        let copied = self.run_on(from, &[(to, Touch::Tree)], operation).await;
        self.noted(copied, "copy", from).map(|_| new_node)
    }
}

/// Copies a folder as such.
pub(in crate::vfs) struct CopyFolder {
    /// Who.
    pub(in crate::vfs) principal: Principal,
    /// What.
    pub(in crate::vfs) original: Original,
    /// To where.
    pub(in crate::vfs) goal: Goal,
    /// What happens when the name is taken.
    pub(in crate::vfs) overwrite: Overwrite,
    /// The node that the new folder will be.
    pub(in crate::vfs) new_node: NodeId,
}

#[async_trait]
impl Operation for CopyFolder {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let found = self.original.find(tx, &self.principal, Rights::LIST);
        let Found {
            chain,
            access,
            entry: source,
        } = found.await?;
        let (from, to) = (self.original.path(), &self.goal.path);
        if source.kind == NodeKind::File {
            return Err(not_a_folder(&from.to_string()));
        }
        let to_chain = entries::resolve(tx, to.names(), Moment::Now).await?;
        let (to_chain, found) = parent_of(tx, &access, to, to_chain).await?;
        self.goal.check(&to_chain)?;
        access.require(&to_chain, Rights::MAKE_FOLDERS)?;
        let gone = match &found {
            None => None,
            Some(_) if self.overwrite != Overwrite::Replace => return Err(taken(to)),
            Some(target) => {
                access.require(&below(&to_chain, target), Rights::OVERWRITE)?;
                access.require(&to_chain, Rights::DELETE)?;
                not_within(&chain, target)?;
                replace(tx, &self.principal, (target, to), next).await?
            }
        };
        let (Some(parent), Some(name)) = (to_chain.last(), to.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let owner = Some(self.principal.account);
        usage::charge(tx, owner, Amount::one(0), Amount::default()).await?;
        let copy = Entry {
            node: self.new_node,
            parent: parent.node,
            name: name.as_str().to_owned(),
            kind: NodeKind::Folder,
            content: None,
            size: 0,
            owner,
            attributes: Attributes {
                mode: source.attributes.mode,
                ..Attributes::folder(next.at)
            },
            born: next.seq,
            died: None,
        };
        entries::insert(tx, &copy).await?;
        properties::copy(tx, source.node, copy.node).await?;
        let detail = format!("{from} -> {to}");
        Ok(Record::Change(
            Happening::new(AuditKind::Copy, detail).telling(gone),
        ))
    }
}
