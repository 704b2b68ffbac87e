//! Looking into the past of a tenant's tree, and bringing things back.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::entries::Moment;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::usage::{self, Amount};
use crate::db::{clocks, contents, detached, entries};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{NodeId, TenantId};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::{MAX_LEVELS, VfsPath};
use crate::domain::principal::Actor;
use crate::vfs::access::{below, is_a_folder, no_such, not_a_folder, path_of, place_of};
use crate::vfs::listing::Listing;
use crate::vfs::news;
use crate::vfs::read::FileReader;
use crate::vfs::service::Vfs;

/// A tenant's tree as it was at a time: what support and jobs see, without asking for rights.
#[derive(Clone)]
pub struct PastTree {
    vfs: Vfs,
    tenant: TenantId,
    seq: i64,
}

impl PastTree {
    /// The tree at `time`. If that is later than the tenant's clock, the clock is raised to it
    /// first, so that every later look at the same time shows the same.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn at(vfs: &Vfs, tenant: TenantId, time: Timestamp) -> Result<Self> {
        let mut tx = vfs.database().read(tenant).await?;
        let latest = clocks::latest(&mut tx).await?;
        drop(tx);
        if time > latest.at {
            let committer = vfs.committer();
            committer.run(tenant, &Actor::job(), Raise(time)).await?;
        }
        let mut tx = vfs.database().read(tenant).await?;
        let seq = clocks::seq_at(&mut tx, time).await?;
        Ok(Self {
            vfs: vfs.clone(),
            tenant,
            seq,
        })
    }

    /// What was at a path.
    ///
    /// # Errors
    /// NotFound; Unavailable when the database does not answer.
    pub async fn stat(&self, path: &VfsPath) -> Result<Entry> {
        let mut tx = self.vfs.database().read(self.tenant).await?;
        self.find(&mut tx, path).await
    }

    /// What was in a folder.
    ///
    /// # Errors
    /// NotFound, NotFolder; Unavailable when the database does not answer.
    pub async fn list(&self, path: &VfsPath) -> Result<Listing> {
        let folder = self.stat(path).await?;
        match folder.kind {
            NodeKind::File => Err(not_a_folder(&path.to_string())),
            NodeKind::Folder => {
                let moment = Moment::At(self.seq);
                Ok(Listing::past(&self.vfs, self.tenant, folder.node, moment))
            }
        }
    }

    /// Opens a file as it was.
    ///
    /// # Errors
    /// NotFound, IsFolder; Unavailable when the database does not answer.
    pub async fn open_read(&self, path: &VfsPath) -> Result<FileReader> {
        let mut tx = self.vfs.database().snapshot(self.tenant).await?;
        let entry = self.find(&mut tx, path).await?;
        match entry.kind {
            NodeKind::Folder => Err(is_a_folder(&path.to_string())),
            NodeKind::File => FileReader::open(&self.vfs, &mut tx, entry).await,
        }
    }

    async fn find(&self, tx: &mut TenantTx, path: &VfsPath) -> Result<Entry> {
        let mut chain = entries::resolve(tx, path.names(), Moment::At(self.seq)).await?;
        match chain.len() == path.names().len() + 1 {
            true => chain.pop().ok_or_else(|| no_such(path)),
            false => Err(no_such(path)),
        }
    }
}

struct Raise(Timestamp);

#[async_trait]
impl Operation for Raise {
    async fn apply(&self, _tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        Ok(Record::Raise(self.0))
    }
}

/// Brings a deleted node back to where it was, with all that was below it: one row.
pub struct Restore {
    /// The node.
    pub node: NodeId,
}

#[async_trait]
impl Operation for Restore {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        if let Some(live) = entries::live(tx, self.node).await? {
            let chain = way_to(tx, live.parent).await?;
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!(
                    "this is not deleted, or was brought back already: it is '{}'",
                    path_of(&below(&chain, &live))
                ),
            ));
        }
        let past = entries::last_past(tx, self.node)
            .await?
            .ok_or_else(not_kept)?;
        let chain = way_to(tx, past.parent).await?;
        let path = path_of(&below(&chain, &past));
        if entries::child(tx, past.parent, &past.name).await?.is_some() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("there is another '{path}' now; rename that first"),
            ));
        }
        let back = Amount::one(past.size);
        usage::charge(tx, past.owner, back, Amount::default()).await?;
        if past.kind == NodeKind::Folder {
            detached::reattach(tx, past.node).await?;
        }
        if let Some(content) = past.content {
            contents::add_use(tx, content).await?;
        }
        let entry = Entry {
            born: next.seq,
            died: None,
            ..past
        };
        entries::insert(tx, &entry).await?;
        let news = news::restored(tx.listening(), &entry, &chain);
        Ok(Record::Change(
            Happening::new(AuditKind::Restore, path).telling(news),
        ))
    }
}

/// The folders from the root to `folder`.
///
/// # Errors
/// NotFound when it is deleted, or one above: with the path of the uppermost, which has to be brought back
/// first, unless it is not kept.
async fn way_to(tx: &mut TenantTx, folder: NodeId) -> Result<Vec<Entry>> {
    let (mut lowest, mut deleted) = (folder, None);
    // What was deleted out of a folder was so before that was: the way leads up each time, and ends.
    for _ in 0..=MAX_LEVELS {
        let mut chain = entries::ancestors(tx, lowest).await?;
        let above = chain.last().map_or(lowest, |top| top.parent);
        if above == NodeId::NIL {
            chain.reverse();
            return match deleted {
                None => Ok(chain),
                Some(first) => Err(deleted_above(&below(&chain, &first))),
            };
        }
        let past = entries::last_past(tx, above).await?.ok_or_else(|| {
            Error::not_found(
                "a folder above it was deleted and is not kept any more: it cannot be brought back",
            )
        })?;
        lowest = past.parent;
        deleted = Some(past);
    }
    Err(Error::not_found(
        "folders above it were deleted, each out of the next; bring the uppermost back first",
    ))
}

fn deleted_above(chain: &[Entry]) -> Error {
    let node = chain.last().map_or(NodeId::NIL, |last| last.node);
    Error::not_found(format!(
        "the folder '{}' is deleted; bring that back first: it is {node}",
        path_of(chain)
    ))
    .at(place_of(chain))
}

fn not_kept() -> Error {
    Error::not_found(
        "nothing that was deleted and is still kept has this id; what is deleted is kept for the tenant's \
         retention",
    )
}
