//! Going by locks: what a client may change although there are locks, and what it may not.
//!
//! Locks hold among the sessions that go by them, which are those of WebDAV.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::db::commit::{Operation, Record};
use crate::db::entries::{self, Moment};
use crate::db::locks;
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, LockToken, NodeId};
use crate::domain::lock::Lock;
use crate::domain::node::Entry;
use crate::domain::path::VfsPath;
use crate::vfs::access::path_of;

/// The locks that a client holds, as it says.
#[derive(Clone, Debug)]
pub struct Held {
    /// Who it is: a token is worth nothing in other hands.
    pub account: AccountId,
    /// Their tokens.
    pub tokens: Arc<[LockToken]>,
    /// When it said so, by the database's clock: what had ended by then is no lock any more.
    pub now: Timestamp,
}

/// How much of what is at a path is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Itself: what it holds, or that it comes to be.
    Node,
    /// Itself and all that is below, and that it is there at all.
    Tree,
}

impl Held {
    /// Fails when a lock of others is on the last entry of a chain, or on a folder above with all below
    /// it; and on the folder itself when a name is added to it (`is_there` is false).
    ///
    /// # Errors
    /// Locked; Unavailable when the database does not answer.
    pub(in crate::vfs) async fn check(
        &self,
        tx: &mut TenantTx,
        chain: &[Entry],
        is_there: bool,
    ) -> Result<()> {
        let depth = chain.len() - usize::from(is_there);
        self.check_chain(tx, chain, depth).await
    }

    /// The same; the entries from `whole` on are locked by whatever lock is on them, those above by
    /// locks on all below.
    async fn check_chain(&self, tx: &mut TenantTx, chain: &[Entry], whole: usize) -> Result<()> {
        let whole = whole.min(chain.len().saturating_sub(1));
        let found = on_chain(tx, chain, self.now).await?;
        let counts = found
            .into_iter()
            .filter(|(at, lock)| *at >= whole || lock.deep);
        let mut by_entry: BTreeMap<usize, Vec<Lock>> = BTreeMap::new();
        for (at, lock) in counts {
            by_entry.entry(at).or_default().push(lock);
        }
        for (at, locks) in by_entry {
            if !self.may_pass(&locks) {
                return Err(locked(&path_of(chain.get(..=at).unwrap_or(chain))));
            }
        }
        Ok(())
    }

    /// Whether one of the locks on a file or folder is its own: of exclusive ones there is only one.
    fn may_pass(&self, locks: &[Lock]) -> bool {
        let own = |lock: &Lock| lock.account == self.account && self.tokens.contains(&lock.token);
        locks.iter().any(own)
    }
}

/// The locks on the entries of a chain, with the place of each in the chain.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn on_chain(
    tx: &mut TenantTx,
    chain: &[Entry],
    now: Timestamp,
) -> Result<Vec<(usize, Lock)>> {
    let nodes: Vec<NodeId> = chain.iter().map(|entry| entry.node).collect();
    let found = locks::on(tx, &nodes, now).await?.into_iter();
    let placed = found.filter_map(|lock| {
        let at = nodes.iter().position(|node| *node == lock.node)?;
        Some((at, lock))
    });
    Ok(placed.collect())
}

/// The error of what a lock is on.
pub(in crate::vfs) fn locked(path: &str) -> Error {
    Error::new(
        ErrorKind::Locked,
        format!(
            "'{path}' is locked by another; try again when that lock was given back or has ended"
        ),
    )
}

/// The same for what a lock further down is on: its name may be one that the client must not see.
pub(in crate::vfs) fn something_below(path: &VfsPath) -> Error {
    locked(path.to_string().as_str()).saying(format!(
        "something below '{path}' is locked by another; try again when that lock was given back or has \
         ended"
    ))
}

/// An operation that is applied only if nobody else holds a lock on what it changes. The locks on what
/// it takes away end with it.
pub(in crate::vfs) struct Unlocked<O> {
    held: Held,
    touched: Vec<(VfsPath, Touch)>,
    operation: O,
}

impl<O> Unlocked<O> {
    pub(in crate::vfs) fn new(held: Held, touched: &[(&VfsPath, Touch)], operation: O) -> Self {
        let touched = touched
            .iter()
            .map(|(path, touch)| ((*path).clone(), *touch));
        Self {
            held,
            touched: touched.collect(),
            operation,
        }
    }
}

#[async_trait]
impl<O: Operation> Operation for Unlocked<O> {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let mut over = Vec::new();
        let mut refused = None;
        for (path, touch) in &self.touched {
            let checked = self.check(tx, path, *touch, &mut over).await;
            match checked {
                Err(error) if error.kind() == ErrorKind::Locked => {
                    refused = refused.or(Some(error))
                }
                checked => checked?,
            }
        }
        // Whoever may not do it at all must not learn of locks.
        let record = self.operation.apply(tx, next).await?;
        if let Some(refused) = refused {
            return Err(refused);
        }
        for token in over {
            locks::remove(tx, token).await?;
        }
        Ok(record)
    }
}

impl<O> Unlocked<O> {
    async fn check(
        &self,
        tx: &mut TenantTx,
        path: &VfsPath,
        touch: Touch,
        over: &mut Vec<LockToken>,
    ) -> Result<()> {
        let chain = entries::resolve(tx, path.names(), Moment::Now).await?;
        let missing = (path.names().len() + 1).saturating_sub(chain.len());
        let is_there = missing == 0;
        match (touch, chain.last()) {
            (Touch::Tree, Some(last)) if is_there => {
                // The folder loses a name, which a lock on it forbids as well.
                self.held
                    .check_chain(tx, &chain, chain.len().saturating_sub(2))
                    .await?;
                let mut by_node: BTreeMap<NodeId, Vec<Lock>> = BTreeMap::new();
                for lock in locks::within(tx, last.node, self.held.now).await? {
                    over.push(lock.token);
                    by_node.entry(lock.node).or_default().push(lock);
                }
                match by_node.values().all(|locks| self.held.may_pass(locks)) {
                    true => Ok(()),
                    false => Err(something_below(path)),
                }
            }
            // Further up than the folder nothing is changed, and the operation says what is missing.
            _ if missing > 1 => Ok(()),
            _ => self.held.check(tx, &chain, is_there).await,
        }
    }
}
