//! Locks on files and folders (RFC 4918 section 6): taking them, keeping them, giving them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::superseded::supersede;
use crate::db::usage::{self, Amount};
use crate::db::{entries, locks};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{LockToken, NodeId};
use crate::domain::lock::Lock;
use crate::domain::node::{Attributes, Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{Access, below, follow, parent_of, path_of};
use crate::vfs::held::{Held, locked, on_chain, something_below};
use crate::vfs::session::Session;

/// Most locks of one account, and most on one file or folder: all of them are shown together.
const MOST: u64 = 10_000;
const MOST_ON_ONE: usize = 32;

/// What lock is wanted.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Whether all below is to be locked, too.
    pub deep: bool,
    /// Whether others may lock it so as well.
    pub shared: bool,
    /// XML in which the client says who holds it.
    pub owner: String,
    /// How long it is to hold.
    pub length: Duration,
}

/// A lock that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What it is known by.
    pub token: LockToken,
    /// Whether an empty file was made for it, since nothing was there.
    pub is_new: bool,
}

/// A lock, and where it is.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The lock.
    pub lock: Lock,
    /// What it was taken on.
    pub root: VfsPath,
}

/// The locks that hold at a path.
#[derive(Clone, Debug)]
pub struct Locks {
    /// The locks, the outermost first.
    pub locks: Vec<Placed>,
    /// The time at which they hold.
    pub now: Timestamp,
}

impl Locks {
    /// None were looked for.
    pub fn unknown() -> Self {
        Self {
            locks: Vec::new(),
            now: Timestamp(0),
        }
    }
}

impl Session {
    /// The same, but what others hold locks on is not changed; these are its own.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn holding(&self, tokens: Vec<LockToken>) -> Result<Self> {
        let held = Held {
            account: self.principal().account,
            tokens: tokens.into(),
            now: self.vfs().database().now().await?,
        };
        let mut session = self.clone();
        session.held = Some(held);
        Ok(session)
    }

    /// Takes a lock on what is at a path. Where nothing is, an empty file is made in the same change (RFC 4918
    /// section 7.3), of which others are told when somebody puts something there.
    ///
    /// # Errors
    /// Locked when another lock does not allow it, which is named where it does not allow to make a file;
    /// Busy when the account has too many; NotFound, NotFolder, Denied, Quota; Unavailable when the database
    /// does not answer.
    pub async fn lock(&self, path: &VfsPath, wish: Wish) -> Result<Taken> {
        let token = minted();
        let now = self.vfs().database().now().await?;
        let made = Arc::new(AtomicBool::new(false));
        let operation = Take {
            principal: self.principal().clone(),
            held: self.held.clone(),
            path: path.clone(),
            until: now.plus(wish.length),
            wish,
            token,
            now,
            made: made.clone(),
        };
        let taken = self.run(operation).await;
        self.noted(taken, "lock", path)?;
        let is_new = made.load(Ordering::SeqCst);
        Ok(Taken { token, is_new })
    }

    /// Has a lock that holds at a path hold for `length` from now on.
    ///
    /// # Errors
    /// Changed when this account has no such lock there; as looking.
    pub async fn keep_lock(
        &self,
        path: &VfsPath,
        token: LockToken,
        length: Duration,
    ) -> Result<()> {
        let now = self.vfs().database().now().await?;
        self.on_lock(path, token, now, Then::Extend(now.plus(length)))
            .await
    }

    /// Gives a lock that holds at a path back.
    ///
    /// # Errors
    /// Changed when there is no such lock; Denied when it is another account's; as looking.
    pub async fn unlock(&self, path: &VfsPath, token: LockToken) -> Result<()> {
        let now = self.vfs().database().now().await?;
        self.on_lock(path, token, now, Then::Remove).await
    }

    /// The locks that hold at a path, or would hold for what is made there.
    ///
    /// # Errors
    /// NotFolder, Denied; Unavailable when the database does not answer.
    pub async fn locks_at(&self, path: &VfsPath) -> Result<Locks> {
        let now = self.vfs().database().now().await?;
        let mut tx = self.vfs().database().read(self.principal().tenant).await?;
        let (chain, access) = follow(&mut tx, self.principal(), path).await?;
        match access.see(&mut tx, path, &chain).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            seen => drop(seen?),
        }
        let is_there = chain.len() > path.names().len();
        let mut placed = Vec::new();
        for (at, lock) in on_chain(&mut tx, &chain, now).await? {
            let is_own = is_there && at + 1 == chain.len();
            if is_own || lock.deep {
                let root = root(chain.get(..=at).unwrap_or(&chain))?;
                placed.push(Placed { lock, root });
            }
        }
        placed.sort_by_key(|placed| placed.root.names().len());
        Ok(Locks { locks: placed, now })
    }

    /// The locks on any of these files and folders themselves.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn locks_on(&self, entries: &[&Entry], now: Timestamp) -> Result<Vec<Lock>> {
        let nodes: Vec<_> = entries.iter().map(|entry| entry.node).collect();
        let mut tx = self.vfs().database().read(self.principal().tenant).await?;
        locks::on(&mut tx, &nodes, now).await
    }

    async fn on_lock(
        &self,
        path: &VfsPath,
        token: LockToken,
        now: Timestamp,
        then: Then,
    ) -> Result<()> {
        let operation = OnLock {
            principal: self.principal().clone(),
            path: path.clone(),
            token,
            now,
            then,
        };
        self.run(operation).await.map(drop)
    }
}

/// A random UUID (RFC 9562 section 5.4), since tokens are shown as such.
fn minted() -> LockToken {
    let mut bytes = *LockToken::random().as_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    LockToken::from_slice(&bytes).unwrap_or(LockToken::NIL)
}

fn root(chain: &[Entry]) -> Result<VfsPath> {
    let mut names = chain.iter().skip(1);
    names.try_fold(VfsPath::root(), |path, entry| path.child(&entry.name))
}

struct Take {
    principal: Principal,
    held: Option<Held>,
    path: VfsPath,
    wish: Wish,
    token: LockToken,
    now: Timestamp,
    until: Timestamp,
    /// Whether a file was made for it; set when the operation is committed.
    made: Arc<AtomicBool>,
}

#[async_trait]
impl Operation for Take {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (mut chain, access) = follow(tx, &self.principal, &self.path).await?;
        let is_new = chain.len() <= self.path.names().len();
        if is_new {
            chain = self.make(tx, &access, chain, next).await?;
        }
        self.made.store(is_new, Ordering::SeqCst);
        let entry = access.see(tx, &self.path, &chain).await?;
        access.require(
            &chain,
            match entry.kind {
                // Making it was what it took.
                NodeKind::File if !is_new => Rights::OVERWRITE,
                NodeKind::File | NodeKind::Folder => Rights::WRITE,
            },
        )?;
        let last = chain.len() - 1;
        let mut count = 0;
        for (at, lock) in on_chain(tx, &chain, self.now).await? {
            let applies = at == last || lock.deep;
            if applies && !(lock.shared && self.wish.shared) {
                let on = path_of(chain.get(..=at).unwrap_or(&chain));
                return Err(locked(&lock, self.principal.account, &on));
            }
            count += usize::from(at == last);
        }
        if count >= MOST_ON_ONE {
            return Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "there are {MOST_ON_ONE} locks on '{}', which is the most; wait until one is given back",
                    self.path
                ),
            ));
        }
        if self.wish.deep && entry.kind == NodeKind::Folder {
            let within = locks::within(tx, entry.node, self.now).await?;
            let mut below = within.iter().filter(|lock| lock.node != entry.node);
            if let Some(lock) = below.find(|lock| !(lock.shared && self.wish.shared)) {
                return Err(something_below(lock, self.principal.account, &self.path));
            }
        }
        let account = self.principal.account;
        if locks::count(tx, account, self.now).await? >= MOST {
            return Err(Error::new(
                ErrorKind::Busy,
                format!("this account holds {MOST} locks, which is the most; give some back"),
            ));
        }
        let lock = Lock {
            token: self.token,
            node: entry.node,
            account,
            deep: self.wish.deep,
            shared: self.wish.shared,
            owner: self.wish.owner.clone(),
            made: is_new.then_some(next.seq),
            expires_at: self.until,
        };
        locks::insert(tx, &lock).await?;
        Ok(match is_new {
            true => {
                let detail = format!("{}, an empty file made for it", self.path);
                Record::Change(Happening::new(AuditKind::Lock, detail))
            }
            false => Record::Event(Happening::new(AuditKind::Lock, self.path.to_string())),
        })
    }
}

impl Take {
    /// Makes the empty file; says the chain that leads to it.
    async fn make(
        &self,
        tx: &mut TenantTx,
        access: &Access,
        chain: Vec<Entry>,
        next: Committed,
    ) -> Result<Vec<Entry>> {
        let (chain, _) = parent_of(tx, access, &self.path, chain).await?;
        access.require(&chain, Rights::WRITE)?;
        if let Some(held) = &self.held {
            held.check(tx, &chain).await?;
        }
        let (Some(parent), Some(name)) = (chain.last(), self.path.name()) else {
            return Err(Error::internal("a path with a parent and no name"));
        };
        let account = self.principal.account;
        if access.may_have_uploads() {
            let place = (parent.node, name.as_str());
            supersede(tx, account, place, None, next.at).await?;
        }
        usage::charge(tx, Some(account), Amount::one(0), Amount::default()).await?;
        let entry = Entry {
            node: NodeId::mint(next.at),
            parent: parent.node,
            name: name.as_str().to_owned(),
            kind: NodeKind::File,
            content: None,
            size: 0,
            owner: Some(account),
            attributes: Attributes::file(next.at),
            born: next.seq,
            died: None,
        };
        entries::insert(tx, &entry).await?;
        Ok(below(&chain, &entry))
    }
}

enum Then {
    Extend(Timestamp),
    Remove,
}

struct OnLock {
    principal: Principal,
    path: VfsPath,
    token: LockToken,
    now: Timestamp,
    then: Then,
}

#[async_trait]
impl Operation for OnLock {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.path).await?;
        access.see(tx, &self.path, &chain).await?;
        let last = chain.len() - 1;
        let found = on_chain(tx, &chain, self.now).await?.into_iter();
        let mut found = found.filter(|(at, lock)| *at == last || lock.deep);
        let lock = found.find(|(_, lock)| lock.token == self.token);
        let Some((_, lock)) = lock else {
            return Err(Error::new(
                ErrorKind::Changed,
                format!(
                    "there is no such lock on '{}'; it may have ended",
                    self.path
                ),
            ));
        };
        if lock.account != self.principal.account {
            return Err(Error::new(
                ErrorKind::Denied,
                "this lock is another account's; only that one may give it back",
            ));
        }
        match self.then {
            Then::Extend(until) => {
                locks::extend(tx, self.token, until).await?;
                Ok(Record::Nothing)
            }
            Then::Remove => {
                locks::remove(tx, self.token).await?;
                let path = self.path.to_string();
                Ok(Record::Event(Happening::new(AuditKind::Unlock, path)))
            }
        }
    }
}
