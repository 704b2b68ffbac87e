//! An upload beyond one buffer: what it reserves, checkpoints and leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;

use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::uploads::{self, Progress, Upload};
use crate::db::usage::{self, Amount};
use crate::db::{blobs, entries, kept, superseded};
use crate::domain::change::Committed;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, BlobId, ContentId, InstanceId, NodeId, UploadId};
use crate::domain::node::Entry;

/// What an upload asks the quota for.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Who pays.
    pub account: AccountId,
    /// What is reserved already.
    pub held: Amount,
    /// What must be reserved from now on, in all.
    pub need: Amount,
    /// What it would like to have reserved, so that it asks less often.
    pub want_bytes: i64,
    /// Bytes that were granted, in all; set when the operation is committed.
    pub granted: Arc<AtomicI64>,
}

impl Reservation {
    /// As much as it wants while there is plenty, less and less near the limit, never less than it
    /// needs: the charge that follows refuses that.
    async fn grant(&self, tx: &mut TenantTx) -> Result<Amount> {
        let room = usage::room(tx, Some(self.account)).await?;
        let bytes = match room {
            None => self.want_bytes.max(self.need.bytes),
            Some(room) => {
                let most = self.held.bytes.saturating_add(room / 8);
                self.need.bytes.max(self.want_bytes.min(most))
            }
        };
        self.granted.store(bytes, Ordering::SeqCst);
        Ok(Amount {
            bytes,
            files: self.need.files,
        })
    }
}

/// Writes an upload down for the first time.
pub struct Begin {
    /// The upload; what it reserves is set here.
    pub upload: Upload,
    /// The latest change that was seen when it was opened.
    pub since: i64,
    /// What it asks for.
    pub reservation: Reservation,
}

#[async_trait]
impl Operation for Begin {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let mut upload = self.upload.clone();
        if let Some(begun) = uploads::find(tx, upload.id).await? {
            let granted = &self.reservation.granted;
            granted.store(begun.reserved.bytes, Ordering::SeqCst);
            return Ok(Record::Nothing);
        }
        upload.reserved = self.reservation.grant(tx).await?;
        upload.touched_at = next.at;
        // What is new since then may be all that is to be found of it.
        if next.seq > self.since + 1 {
            let place = (upload.parent, upload.name.as_str());
            let (account, node) = (upload.account, upload.node);
            if superseded::is_superseded(tx, account, place, node, self.since).await? {
                upload = upload.superseded();
            } else if let Some(entry) = live(tx, node).await? {
                (upload.parent, upload.name) = (entry.parent, entry.name);
            }
        }
        uploads::begin(tx, &upload).await?;
        Ok(Record::Nothing)
    }
}

/// Moves an upload on: more is durable, more is reserved.
pub struct Advance {
    /// Which.
    pub id: UploadId,
    /// Under which epoch.
    pub epoch: i64,
    /// What is durable now.
    pub progress: Progress,
    /// What it asks for.
    pub reservation: Reservation,
}

#[async_trait]
impl Operation for Advance {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let progress = Progress {
            reserved: self.reservation.grant(tx).await?,
            ..self.progress.clone()
        };
        uploads::checkpoint(tx, self.id, self.epoch, &progress, next.at).await?;
        Ok(Record::Nothing)
    }
}

/// Moves an upload on for the last time and lets it go.
pub struct Settle {
    /// How it moves on.
    pub advance: Advance,
    /// All blobs that were made for it; those that nothing names are given up.
    pub blobs: Vec<BlobId>,
}

#[async_trait]
impl Operation for Settle {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        if !self.is_done(tx).await? {
            self.advance.apply(tx, next).await?;
            uploads::keep(tx, self.advance.id, self.advance.epoch, next.at).await?;
        }
        for blob in &self.blobs {
            blobs::discard(tx, *blob, next.at).await?;
        }
        Ok(Record::Nothing)
    }
}

impl Settle {
    /// Whether it was done already, and the answer was lost: nobody but who had the epoch lets it go under the next.
    async fn is_done(&self, tx: &mut TenantTx) -> Result<bool> {
        let Advance {
            id,
            epoch,
            progress,
            ..
        } = &self.advance;
        let upload = uploads::find(tx, *id).await?;
        Ok(
            upload
                .is_some_and(|upload| was_let_go(&upload, *epoch) && upload.size == progress.size),
        )
    }
}

/// Whether whoever had an upload under an epoch has let it go.
fn was_let_go(upload: &Upload, epoch: i64) -> bool {
    upload.epoch == epoch + 1 && upload.instance == InstanceId::NIL
}

/// Gives an upload another place.
pub struct Rename {
    /// Which.
    pub id: UploadId,
    /// Under which epoch.
    pub epoch: i64,
    /// The folder it will be in.
    pub parent: NodeId,
    /// The name it will have.
    pub name: String,
    /// The file that is there.
    pub node: Option<NodeId>,
    /// What that holds.
    pub base: Option<ContentId>,
}

#[async_trait]
impl Operation for Rename {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let place = (self.parent, self.name.as_str());
        kept::rename(tx, self.id, self.epoch, place, (self.node, self.base)).await?;
        Ok(Record::Nothing)
    }
}

/// What is to become of an upload that is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing of it is of use.
    Discard,
    /// It broke off: what is checkpointed is kept for a while.
    Keep,
}

/// Ends an upload that is not published, and gives up blobs that nothing names.
#[derive(Clone)]
pub struct Leave {
    /// The upload, with its epoch, if it was written down.
    pub upload: Option<(UploadId, i64)>,
    /// What is to become of it.
    pub remains: Remains,
    /// All blobs that were made for it.
    pub blobs: Vec<BlobId>,
    /// Which instance holds on to those for now, if somebody copies from them.
    pub lent_by: Option<InstanceId>,
}

#[async_trait]
impl Operation for Leave {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        if let Some((id, epoch)) = self.upload
            && let Some(upload) = uploads::find(tx, id).await?
        {
            match self.remains {
                // It was done already, and the answer was lost.
                Remains::Keep if was_let_go(&upload, epoch) => {}
                Remains::Keep if !is_overtaken(tx, &upload).await? => {
                    uploads::keep(tx, id, epoch, next.at).await?;
                    // It was written by an instance that is gone, perhaps, which meant to send more.
                    let own = live(tx, upload.node).await?;
                    let own = own.filter(|entry| entry.owner == Some(upload.account));
                    let credit = own.map_or(0, |entry| entry.size);
                    uploads::hold_back_durable(tx, &upload, credit).await?;
                }
                Remains::Discard | Remains::Keep => uploads::end(tx, id, epoch, next.at).await?,
            }
        }
        for blob in &self.blobs {
            match self.lent_by {
                Some(instance) => blobs::spare(tx, *blob, instance, next.at).await?,
                None => blobs::discard(tx, *blob, next.at).await?,
            }
        }
        Ok(Record::Nothing)
    }
}

/// Whether its account has published the file since it was opened: what broke off is then not what
/// the account means by the name.
pub fn is_superseded_by(upload: &Upload, entry: &Entry) -> bool {
    entry.owner == Some(upload.account) && entry.content != upload.base
}

async fn is_overtaken(tx: &mut TenantTx, upload: &Upload) -> Result<bool> {
    if upload.is_superseded() {
        return Ok(true);
    }
    let entry = match live(tx, upload.node).await? {
        Some(entry) => Some(entry),
        None => entries::child(tx, upload.parent, &upload.name).await?,
    };
    Ok(entry.is_some_and(|entry| is_superseded_by(upload, &entry)))
}

async fn live(tx: &mut TenantTx, node: Option<NodeId>) -> Result<Option<Entry>> {
    match node {
        Some(node) => entries::live(tx, node).await,
        None => Ok(None),
    }
}
