//! Setting mode and times.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::{contents, entries};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::Result;
use crate::domain::node::{AttributeUpdate, Entry};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::follow;

/// Sets attributes of what is at a path.
pub struct SetAttributes {
    /// Who.
    pub principal: Principal,
    /// What.
    pub path: VfsPath,
    /// Mode and times.
    pub update: AttributeUpdate,
}

#[async_trait]
impl Operation for SetAttributes {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.path).await?;
        let entry = access.see(tx, &self.path, &chain).await?;
        access.require(&chain, Rights::SET_ATTRIBUTES)?;
        if !set(tx, entry, self.update, next).await? {
            return Ok(Record::Nothing);
        }
        let happening = Happening::new(AuditKind::SetAttributes, self.path.to_string());
        Ok(Record::Change(happening))
    }
}

/// Gives a live entry other attributes at change `next`; false when they are what they were, so that there is
/// no change.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn set(
    tx: &mut TenantTx,
    entry: &Entry,
    update: AttributeUpdate,
    next: Committed,
) -> Result<bool> {
    let attributes = entry.attributes.with(update);
    if attributes == entry.attributes {
        return Ok(false);
    }
    entries::bury(tx, entry.node, next.seq).await?;
    let changed = Entry {
        attributes,
        born: next.seq,
        ..entry.clone()
    };
    entries::replace(tx, &changed).await?;
    if let Some(content) = entry.content {
        contents::add_use(tx, content).await?;
    }
    Ok(true)
}
