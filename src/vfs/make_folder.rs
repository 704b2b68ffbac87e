//! Making a folder.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::entries;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::usage::{self, Amount};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{AttributeUpdate, Attributes, Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{follow, parent_of};

/// Makes one folder in a folder that exists.
pub struct MakeFolder {
    /// Who.
    pub principal: Principal,
    /// Where.
    pub path: VfsPath,
    /// With which mode and times.
    pub update: AttributeUpdate,
}

#[async_trait]
impl Operation for MakeFolder {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let Some(name) = self.path.name() else {
            return Err(taken(&self.path));
        };
        let (chain, access) = follow(tx, &self.principal, &self.path).await?;
        let (chain, found) = parent_of(tx, &access, &self.path, chain).await?;
        access.require(&chain, Rights::MAKE_FOLDERS)?;
        if found.is_some() {
            return Err(taken(&self.path));
        }
        let Some(parent) = chain.last() else {
            return Err(Error::internal("a folder without a chain"));
        };
        let owner = Some(self.principal.account);
        usage::charge(tx, owner, Amount::one(0), Amount::default()).await?;
        let entry = Entry {
            node: NodeId::mint(next.at),
            parent: parent.node,
            name: name.as_str().to_owned(),
            kind: NodeKind::Folder,
            content: None,
            size: 0,
            owner,
            attributes: Attributes::folder(next.at).with(self.update),
            born: next.seq,
            died: None,
        };
        entries::insert(tx, &entry).await?;
        let happening = Happening::new(AuditKind::MakeFolder, self.path.to_string());
        Ok(Record::Change(happening))
    }
}

fn taken(path: &VfsPath) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("'{path}' exists already"))
}
