//! Copying a file: one more name for the same content, whatever its length.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::entries::{self, Moment};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::superseded::supersede;
use crate::db::{contents, properties};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{Attributes, Entry, NodeKind};
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{Access, below, is_a_folder, parent_of};
use crate::vfs::news::{self, By, Stored};
use crate::vfs::original::{Found, Goal, Original};
use crate::vfs::publish;
use crate::vfs::remove::{not_within, replace};
use crate::vfs::rename::{Overwrite, taken};

/// Copies a file as it is published.
pub(in crate::vfs) struct CopyFile {
    /// Who.
    pub(in crate::vfs) principal: Principal,
    /// What.
    pub(in crate::vfs) original: Original,
    /// To where.
    pub(in crate::vfs) goal: Goal,
    /// What happens when the name is taken.
    pub(in crate::vfs) overwrite: Overwrite,
    /// The node that a new file will be.
    pub(in crate::vfs) new_node: NodeId,
}

#[async_trait]
impl Operation for CopyFile {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let found = self.original.find(tx, &self.principal, Rights::READ);
        let Found {
            chain,
            access,
            entry: source,
        } = found.await?;
        let (from, to) = (self.original.path(), &self.goal.path);
        if source.kind == NodeKind::Folder {
            return Err(is_a_folder(&from.to_string()));
        }
        let to_chain = entries::resolve(tx, to.names(), Moment::Now).await?;
        let (to_chain, target) = parent_of(tx, &access, to, to_chain).await?;
        self.goal.check(&to_chain)?;
        if let Some(target) = &target {
            self.check_target(&access, (&chain, &to_chain), target)?;
        }
        // A file that is replaced becomes another version, a folder goes.
        let (target, gone) = match target {
            Some(folder) if folder.kind == NodeKind::Folder => (None, Some(folder)),
            target => (target, None),
        };
        if target.is_none() {
            access.require(&to_chain, Rights::WRITE)?;
        }
        let (Some(parent), Some(name)) = (to_chain.last(), to.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let gone = match gone {
            Some(folder) => replace(tx, &self.principal, (&folder, to), next).await?,
            None => None,
        };
        let account = self.principal.account;
        publish::charge(tx, account, target.as_ref(), source.size, None).await?;
        let attributes = match &target {
            Some(target) => target.attributes,
            None => Attributes {
                mode: source.attributes.mode,
                ..Attributes::file(next.at)
            },
        };
        let copy = Entry {
            node: target.as_ref().map_or(self.new_node, |target| target.node),
            parent: parent.node,
            name: name.as_str().to_owned(),
            owner: Some(account),
            attributes: Attributes {
                modified: next.at,
                ..attributes
            },
            born: next.seq,
            died: None,
            ..source.clone()
        };
        if let Some(content) = source.content
            && !contents::add_use_of_whole(tx, content, source.size).await?
        {
            return Err(Error::not_found(format!(
                "what '{from}' held is not kept any more"
            )));
        }
        let node = target.as_ref().map(|target| target.node);
        let replaced = target.is_some();
        match target {
            Some(target) => {
                entries::bury(tx, target.node, next.seq).await?;
                entries::replace(tx, &copy).await?;
            }
            None => entries::insert(tx, &copy).await?,
        }
        properties::copy(tx, source.node, copy.node).await?;
        supersede(tx, account, (parent.node, name.as_str()), node, next.at).await?;
        let listening = tx.listening().cloned();
        let news = Stored {
            by: By::Copy,
            path: &to.to_string(),
            from: Some(from.to_string()),
            entry: &copy,
            replaced,
            sha256: match &listening {
                Some(listening) => news::sum_of(tx, listening, &copy).await?,
                None => None,
            },
        };
        let news = news::stored(listening.as_ref(), &self.principal, news);
        let detail = format!("{from} -> {to} {} bytes", copy.size);
        let happening = Happening::new(AuditKind::Copy, detail);
        Ok(Record::Change(happening.telling(gone).telling(news)))
    }
}

impl CopyFile {
    fn check_target(
        &self,
        access: &Access,
        (chain, to_chain): (&[Entry], &[Entry]),
        target: &Entry,
    ) -> Result<()> {
        let path = self.goal.path.to_string();
        if self.overwrite == Overwrite::Forbid {
            access.require(to_chain, Rights::WRITE)?;
            return Err(taken(&self.goal.path));
        }
        let is_folder = target.kind == NodeKind::Folder;
        access.require(&below(to_chain, target), Rights::OVERWRITE)?;
        if self.overwrite == Overwrite::Replace && is_folder {
            access.require(to_chain, Rights::DELETE)?;
        }
        if chain
            .last()
            .is_some_and(|source| source.node == target.node)
        {
            return Err(Error::invalid("a file cannot be copied onto itself"));
        }
        if !is_folder {
            return Ok(());
        }
        match self.overwrite {
            Overwrite::Replace => not_within(chain, target),
            Overwrite::Allow | Overwrite::Forbid => Err(is_a_folder(&path)),
        }
    }
}
