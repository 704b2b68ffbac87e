//! What is published at a path: by itself, or as a change made it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::db::contents;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::node::Entry;
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{follow, no_such};

/// A file or folder as it is published.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The version that is current.
    pub entry: Entry,
    /// What whoever looks may do with it.
    pub rights: Rights,
    /// SHA-256 of its content, if it is known.
    pub sha256: Option<[u8; 32]>,
}

impl Seen {
    /// What is at a path.
    ///
    /// # Errors
    /// NotFound, NotFolder, Denied; Unavailable when the database does not answer.
    pub(in crate::vfs) async fn at(
        tx: &mut TenantTx,
        principal: &Principal,
        path: &VfsPath,
    ) -> Result<Self> {
        let (chain, access) = follow(tx, principal, path).await?;
        let entry = access.see(tx, path, &chain).await?.clone();
        let rights = access.rights(&chain);
        let mut seen = Self::all(tx, vec![(entry, rights)]).await?;
        seen.pop().ok_or_else(|| no_such(path))
    }

    /// Entries that were found, with their checksums.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub(in crate::vfs) async fn all(
        tx: &mut TenantTx,
        found: Vec<(Entry, Rights)>,
    ) -> Result<Vec<Self>> {
        let contents: Vec<_> = found
            .iter()
            .filter_map(|(entry, _)| entry.content)
            .collect();
        let known = contents::sha256_of(tx, &contents).await?;
        let seen = found.into_iter().map(|(entry, rights)| Self {
            sha256: entry.content.and_then(|id| known.get(&id).copied()),
            entry,
            rights,
        });
        Ok(seen.collect())
    }
}

/// Where it is told what a change made. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Mutex<Option<Seen>>>);

impl Told {
    /// What the last change made, and forgets it; none when whoever made it may not look.
    pub fn take(&self) -> Option<Seen> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operation of which it is told what it made.
pub(in crate::vfs) struct Telling<O> {
    principal: Principal,
    /// Where it is.
    path: VfsPath,
    told: Told,
    operation: O,
}

impl<O: Operation> Telling<O> {
    /// Tells what `operation` makes at `path`.
    pub(in crate::vfs) fn new(
        principal: Principal,
        path: &VfsPath,
        told: Told,
        operation: O,
    ) -> Self {
        Self {
            principal,
            path: path.clone(),
            told,
            operation,
        }
    }
}

#[async_trait]
impl<O: Operation> Operation for Telling<O> {
    fn grows(&self) -> bool {
        self.operation.grows()
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let record = self.operation.apply(tx, next).await?;
        // Others come after this transaction: what is seen in it is what it made.
        let seen = match Seen::at(tx, &self.principal, &self.path).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            seen => seen.ok(),
        };
        *self.told.lock() = seen;
        Ok(record)
    }
}
