//! What an upload in progress has written down: its row, its reservation, its checkpoints.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::db::blobs::BlobInfo;
use crate::db::uploads::{Progress, Upload};
use crate::db::usage::Amount;
use crate::domain::content::{Extent, ExtentMap};
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{BlobId, UploadId};
use crate::domain::principal::Principal;
use crate::vfs::publish::Target;
use crate::vfs::service::Vfs;
use crate::vfs::sink::{BlobSink, Durable};
use crate::vfs::upload::{Advance, Begin, Leave, Remains, Reservation};

/// The first reservation, and how much later ones grow to, in bytes.
const FIRST_RESERVE: u64 = 8 << 20;
const MAX_RESERVE: u64 = 64 << 20;

/// An upload's claim on its tenant's quota, and on its own remains. Without a row until it is made.
pub struct Claim {
    vfs: Vfs,
    principal: Principal,
    row: Option<Row>,
}

#[derive(Clone, Copy)]
struct Row {
    id: UploadId,
    epoch: i64,
    /// Bytes for which the quota has been asked.
    reserved: i64,
    /// Whether the file counts as a new one.
    files: i64,
    /// Whether anything of it could be gone on from.
    durable: bool,
}

/// What was written of a file so far.
#[derive(Clone, Copy)]
pub struct Written<'a> {
    /// All of it, in order.
    pub view: &'a ExtentMap,
    /// The blobs that are complete.
    pub stored: &'a [BlobInfo],
    /// Whether it is all that the file will hold.
    pub from_nothing: bool,
}

/// What a claim is to be good for.
#[derive(Clone, Copy)]
pub struct Size {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes that come free when it is published.
    pub credit: u64,
    /// Whether it will be a new file.
    pub new: bool,
}

impl Claim {
    /// No claim yet.
    pub fn new(vfs: Vfs, principal: Principal) -> Self {
        Self {
            vfs,
            principal,
            row: None,
        }
    }

    /// The row and its epoch, once it is made.
    pub fn row(&self) -> Option<(UploadId, i64)> {
        self.row.map(|row| (row.id, row.epoch))
    }

    /// Whether anything could be gone on from if the upload broke off now.
    pub fn is_durable(&self) -> bool {
        self.row.is_some_and(|row| row.durable)
    }

    /// Whether so much is claimed already.
    pub fn covers(&self, size: Size) -> bool {
        self.row
            .is_some_and(|row| size.need() <= row.reserved && row.files >= i64::from(size.new))
    }

    /// Makes the row. `afresh`: what the account broke off under the name is discarded.
    ///
    /// # Errors
    /// Quota when there is no room.
    pub async fn begin(&mut self, target: &Target, afresh: bool, size: Size) -> Result<()> {
        let now = self.vfs.database().clock().now();
        let reservation = self.reservation(size);
        let (id, granted) = (UploadId::mint(now), reservation.granted.clone());
        let begin = Begin {
            upload: Upload {
                id,
                epoch: 1,
                instance: self.vfs.instance(),
                account: self.principal.account,
                parent: target.parent,
                name: target.name.clone(),
                size: 0,
                hash_state: None,
                reserved: Amount::default(),
                touched_at: now,
            },
            reservation,
            afresh,
        };
        let (tenant, actor) = (self.principal.tenant, self.principal.actor());
        self.vfs.committer().run(tenant, &actor, begin).await?;
        self.row = Some(Row {
            id,
            epoch: 1,
            reserved: granted.load(Ordering::SeqCst),
            files: i64::from(size.new),
            durable: false,
        });
        Ok(())
    }

    /// Notes what is durable and claims more.
    ///
    /// # Errors
    /// Quota when there is no room; Stale when the upload goes on elsewhere.
    pub async fn advance(&mut self, progress: Progress, size: Size) -> Result<()> {
        let reservation = self.reservation(size);
        let Some(row) = &mut self.row else {
            return Ok(());
        };
        row.durable = progress.size > 0;
        let granted = reservation.granted.clone();
        let advance = Advance {
            id: row.id,
            epoch: row.epoch,
            progress,
            reservation,
        };
        let (tenant, actor) = (self.principal.tenant, self.principal.actor());
        self.vfs.committer().run(tenant, &actor, advance).await?;
        row.reserved = granted.load(Ordering::SeqCst);
        row.files = i64::from(size.new);
        Ok(())
    }

    /// Notes all that can be made durable of an upload that broke off.
    ///
    /// # Errors
    /// As [`BlobSink::settle`] and [`Claim::advance`].
    pub async fn keep_all(
        &mut self,
        sink: Option<BlobSink>,
        written: Written<'_>,
        size: Size,
    ) -> Result<()> {
        let durable = match sink {
            Some(mut sink) => Some(sink.settle().await?),
            None => None,
        };
        self.advance(written.progress(durable), size).await
    }

    /// Ends the upload without publishing it, and gives up `blobs` that nothing names.
    pub async fn leave(self, remains: Remains, blobs: Vec<BlobId>) {
        let leave = Leave {
            upload: self.row(),
            remains: match self.is_durable() {
                true => remains,
                false => Remains::Discard,
            },
            blobs,
        };
        if leave.upload.is_none() && leave.blobs.is_empty() {
            return;
        }
        let (tenant, actor) = (self.principal.tenant, self.principal.actor());
        let left = self.vfs.committer().run(tenant, &actor, leave).await;
        if let Err(error) = left
            && error.kind() != ErrorKind::Stale
        {
            tracing::warn!(error = ?error, "an upload was not cleaned up; the sweep will do it");
        }
    }

    fn reservation(&self, size: Size) -> Reservation {
        let (held, files) = self.row.map_or((0, 0), |row| (row.reserved, row.files));
        let step = size.bytes.clamp(FIRST_RESERVE, MAX_RESERVE);
        let want = Size {
            bytes: size.bytes.saturating_add(step),
            ..size
        };
        Reservation {
            account: self.principal.account,
            held: Amount { bytes: held, files },
            need: Amount {
                bytes: size.need().max(held),
                files: i64::from(size.new),
            },
            want_bytes: want.need(),
            granted: Arc::new(AtomicI64::new(0)),
        }
    }
}

impl Written<'_> {
    /// What another instance could go on from, with what is durable of the last blob.
    pub fn progress(&self, durable: Option<Durable>) -> Progress {
        let mut blobs = self.stored.to_vec();
        blobs.extend(durable.as_ref().map(|durable| durable.info));
        let runs = match self.from_nothing {
            true => durable_prefix(self.view, &blobs),
            false => Vec::new(),
        };
        let named: HashSet<_> = runs.iter().filter_map(|run| run.blob).collect();
        blobs.retain(|info| named.contains(&info.id));
        let (hash_state, checkpoint) = match durable {
            Some(last) => (
                last.hash_state,
                named
                    .contains(&last.info.id)
                    .then_some((last.info.id, last.checkpoint.state)),
            ),
            None => (None, None),
        };
        Progress {
            size: runs.last().map_or(0, Extent::end),
            hash_state,
            runs,
            blobs,
            checkpoint,
            reserved: Amount::default(),
        }
    }
}

/// The runs from the start of the content that lie in what is durable of `blobs`.
fn durable_prefix(view: &ExtentMap, blobs: &[BlobInfo]) -> Vec<Extent> {
    let durable: HashMap<_, _> = blobs.iter().map(|info| (info.id, info.size)).collect();
    let mut runs = Vec::new();
    for run in view.runs() {
        let durable = match run.blob {
            None => run.length,
            Some(id) => durable
                .get(&id)
                .map_or(0, |size| size.saturating_sub(run.blob_start)),
        };
        let length = run.length.min(durable);
        if length > 0 {
            runs.push(Extent { length, ..*run });
        }
        if length < run.length {
            break;
        }
    }
    runs
}

impl Size {
    fn need(self) -> i64 {
        (signed(self.bytes) - signed(self.credit)).max(0)
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
