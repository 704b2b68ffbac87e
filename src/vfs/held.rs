//! Going by locks: what a client may change although there are locks, and what it may not.
//!
//! Locks hold among the sessions that go by them, which are those of WebDAV.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::db::entries::{self, Moment};
use crate::db::locks;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, LockToken, NodeId};
use crate::domain::lock::Lock;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{follow, path_of, place_of};

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
    /// A file as [`Touch::Node`], since it becomes another version; a folder as [`Touch::Tree`].
    Replaced,
    /// Itself and all that is below, and that it is there at all.
    Tree,
}

impl Held {
    /// Fails when the last entry of a chain is locked by others. Where there is nothing yet that is the
    /// folder, which gets one more name.
    ///
    /// # Errors
    /// Locked; Unavailable when the database does not answer.
    pub(in crate::vfs) async fn check(&self, tx: &mut TenantTx, chain: &[Entry]) -> Result<()> {
        let found = on_chain(tx, chain, self.now).await?;
        self.check_from(&found, chain, chain.len().saturating_sub(1))
    }

    /// The same for the entries of a chain from `first` on, with the locks on all of the chain.
    fn check_from(&self, found: &[(usize, Lock)], chain: &[Entry], first: usize) -> Result<()> {
        for at in first..chain.len() {
            let locks = found
                .iter()
                .filter(|(on, lock)| *on == at || (*on < at && lock.deep));
            let locks: Vec<_> = locks.map(|(on, lock)| (*on, lock)).collect();
            if self.may_pass(locks.iter().map(|(_, lock)| *lock)) {
                continue;
            }
            let foreign = locks.iter().find(|(_, lock)| !self.is_own(lock));
            if let Some((on, lock)) = foreign.or(locks.first()) {
                let on = chain.get(..=*on).unwrap_or(chain);
                return Err(locked(lock, self.account, &path_of(on)).at(place_of(on)));
            }
        }
        Ok(())
    }

    /// Whether something may be changed on which these are all locks, taken on itself or on folders above:
    /// one of its own is enough among shared ones (RFC 4918 section 6.2). An exclusive one of others can only
    /// be beside its own when that ended after this client had said that it holds it, or came with what was
    /// moved by clients that go by no locks.
    fn may_pass<'a>(&self, locks: impl Iterator<Item = &'a Lock>) -> bool {
        let (mut count, mut own, mut shared) = (0, 0, 0);
        for lock in locks {
            count += 1;
            own += usize::from(self.is_own(lock));
            shared += usize::from(lock.shared);
        }
        own == count || (own > 0 && shared == count)
    }

    fn is_own(&self, lock: &Lock) -> bool {
        lock.account == self.account && self.tokens.contains(&lock.token)
    }
}

/// What replacing the content of a file takes: to one that was made for a lock which the client holds, as much
/// as making it took.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn to_replace(
    tx: &mut TenantTx,
    held: Option<&Held>,
    entry: &Entry,
) -> Result<Rights> {
    let Some(held) = held.filter(|held| !held.tokens.is_empty()) else {
        return Ok(Rights::OVERWRITE);
    };
    let mut locks = locks::on(tx, &[entry.node], held.now).await?.into_iter();
    let is_blank = locks.any(|lock| held.is_own(&lock) && lock.made == Some(entry.born));
    Ok(match is_blank {
        true => Rights::WRITE,
        false => Rights::OVERWRITE,
    })
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

/// The error of what a lock is on that keeps an account from something.
pub(in crate::vfs) fn locked(lock: &Lock, account: AccountId, path: &str) -> Error {
    refused(lock, account, &format!("'{path}'"))
}

/// The same for what a lock further down is on: its name may be one that the client must not see.
pub(in crate::vfs) fn something_below(lock: &Lock, account: AccountId, path: &VfsPath) -> Error {
    refused(lock, account, &format!("something below '{path}'"))
}

fn refused(lock: &Lock, account: AccountId, what: &str) -> Error {
    let (whose, first) = match lock.account == account {
        true => ("this account itself", "show the token of that lock, or "),
        false => ("another", ""),
    };
    Error::new(
        ErrorKind::Locked,
        format!(
            "{what} is locked by {whose}; {first}try again when that lock was given back or has ended"
        ),
    )
}

/// An operation that is applied only if nobody else holds a lock on what it changes. The locks on what
/// it takes away end with it.
pub(in crate::vfs) struct Unlocked<O> {
    principal: Principal,
    held: Held,
    touched: Vec<(VfsPath, Touch)>,
    operation: O,
}

impl<O> Unlocked<O> {
    pub(in crate::vfs) fn new(
        principal: Principal,
        held: Held,
        touched: &[(&VfsPath, Touch)],
        operation: O,
    ) -> Self {
        let touched = touched
            .iter()
            .map(|(path, touch)| ((*path).clone(), *touch));
        Self {
            principal,
            held,
            touched: touched.collect(),
            operation,
        }
    }
}

#[async_trait]
impl<O: Operation> Operation for Unlocked<O> {
    fn grows(&self) -> bool {
        self.operation.grows()
    }

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
        let last = match chain.last() {
            // Further up than the folder nothing is changed, and the operation says what is missing.
            Some(last) if missing <= 1 => last,
            _ => return Ok(()),
        };
        let is_folder = last.kind == NodeKind::Folder;
        if missing == 1 || touch == Touch::Node || (touch == Touch::Replaced && !is_folder) {
            return self.held.check(tx, &chain).await;
        }
        // The folder loses a name, which a lock on it forbids as well.
        let found = on_chain(tx, &chain, self.held.now).await?;
        let first = chain.len().saturating_sub(2);
        self.held.check_from(&found, &chain, first)?;
        let own = found.iter().filter(|(on, _)| on + 1 == chain.len());
        over.extend(own.map(|(_, lock)| lock.token));
        if !is_folder {
            return Ok(());
        }
        let from_above = found.iter().filter(|(_, lock)| lock.deep);
        let from_above: Vec<&Lock> = from_above.map(|(_, lock)| lock).collect();
        let mut by_node: BTreeMap<NodeId, Vec<Lock>> = BTreeMap::new();
        for lock in locks::within(tx, last.node, self.held.now).await? {
            if lock.node != last.node {
                over.push(lock.token);
                by_node.entry(lock.node).or_default().push(lock);
            }
        }
        let may_pass = |locks: &Vec<Lock>| {
            let all = locks.iter().chain(from_above.iter().copied());
            self.held.may_pass(all)
        };
        match by_node.values().find(|locks| !may_pass(locks)) {
            None => Ok(()),
            Some(locks) => Err(self.below(tx, (path, &chain), locks).await?),
        }
    }

    /// The error of locks on something below a folder, which is named if it may be seen.
    async fn below(
        &self,
        tx: &mut TenantTx,
        (path, chain): (&VfsPath, &[Entry]),
        locks: &[Lock],
    ) -> Result<Error> {
        let foreign = locks.iter().find(|lock| !self.held.is_own(lock));
        let lock = foreign.or(locks.first());
        let lock = lock.ok_or_else(|| Error::internal("no locks where something is locked"))?;
        let mut down = entries::ancestors(tx, lock.node).await?;
        down.reverse();
        let (_, access) = follow(tx, &self.principal, path).await?;
        Ok(match access.rights(&down).contains(Rights::LIST) {
            true => locked(lock, self.held.account, &path_of(&down)).at(place_of(&down)),
            false => something_below(lock, self.held.account, path).at(place_of(chain)),
        })
    }
}
