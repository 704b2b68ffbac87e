//! Changing something only as long as it is the version that the client knows.

use std::sync::Arc;

use async_trait::async_trait;

use crate::db::commit::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::node::{Entry, Version};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::vfs::access::follow;

/// An operation that is applied only if what is at a path is a version that the client knows.
pub(in crate::vfs) struct OnCondition<O> {
    /// Who.
    pub principal: Principal,
    /// Where.
    pub path: VfsPath,
    /// The versions.
    pub only: Arc<[Version]>,
    /// What is done then.
    pub operation: O,
}

#[async_trait]
impl<O: Operation> Operation for OnCondition<O> {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.path).await?;
        let entry = access.see(tx, &self.path, &chain).await?;
        holds(&self.only, Some(entry))?;
        self.operation.apply(tx, next).await
    }
}

/// The version that `found` is, if it is one of those.
///
/// # Errors
/// Changed.
pub(in crate::vfs) fn holds(only: &[Version], found: Option<&Entry>) -> Result<Version> {
    let found = found.map(Entry::version);
    found.filter(|found| only.contains(found)).ok_or_else(|| {
        Error::new(
            ErrorKind::Changed,
            "this is not the version that you know any more; look at it again, then decide",
        )
    })
}
