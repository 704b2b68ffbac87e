//! Copying a file: one more name for the same content, whatever its length.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::entries::{self, Moment};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::superseded::supersede;
use crate::db::{contents, properties};
use crate::domain::change::Committed;
use crate::domain::error::{Error, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{Attributes, Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{Access, below, follow, is_a_folder, no_such, parent_of};
use crate::vfs::news::{self, By, Stored};
use crate::vfs::publish;
use crate::vfs::remove::{not_within, replace};
use crate::vfs::rename::{Overwrite, taken};

/// Copies a file as it is published.
pub struct CopyFile {
    /// Who.
    pub principal: Principal,
    /// What.
    pub from: VfsPath,
    /// To where.
    pub to: VfsPath,
    /// What happens when the name is taken.
    pub overwrite: Overwrite,
    /// The node that a new file will be.
    pub new_node: NodeId,
}

#[async_trait]
impl Operation for CopyFile {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.from).await?;
        let missing = chain.len() <= self.from.names().len();
        if missing || !access.rights(&chain).contains(Rights::READ) {
            access.see(tx, &self.from, &chain).await?;
        }
        access.require(&chain, Rights::READ)?;
        let source = chain.last().ok_or_else(|| no_such(&self.from))?;
        if source.kind == NodeKind::Folder {
            return Err(is_a_folder(&self.from.to_string()));
        }
        let to_chain = entries::resolve(tx, self.to.names(), Moment::Now).await?;
        let (to_chain, target) = parent_of(tx, &access, &self.to, to_chain).await?;
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
        let (Some(parent), Some(name)) = (to_chain.last(), self.to.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let gone = match gone {
            Some(folder) => replace(tx, &self.principal, (&folder, &self.to), next).await?,
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
            ..source.clone()
        };
        if let Some(content) = source.content {
            contents::add_use(tx, content).await?;
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
            path: &self.to.to_string(),
            from: Some(self.from.to_string()),
            entry: &copy,
            replaced,
            sha256: match &listening {
                Some(listening) => news::sum_of(tx, listening, &copy).await?,
                None => None,
            },
        };
        let news = news::stored(listening.as_ref(), &self.principal, news);
        let detail = format!("{} -> {} {} bytes", self.from, self.to, copy.size);
        let happening = Happening::new("copy", detail);
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
        let path = self.to.to_string();
        if self.overwrite == Overwrite::Forbid {
            access.require(to_chain, Rights::WRITE)?;
            return Err(taken(&self.to));
        }
        let is_folder = target.kind == NodeKind::Folder;
        let needed = match self.overwrite == Overwrite::Replace && is_folder {
            true => Rights::OVERWRITE | Rights::DELETE,
            false => Rights::OVERWRITE,
        };
        access.require(&below(to_chain, target), needed)?;
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
