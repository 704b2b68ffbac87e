//! What an upload in progress has written down: its row, its reservation, its checkpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::db::uploads::{Progress, Upload};
use crate::db::usage::Amount;
use crate::domain::clock::Timestamp;
use crate::domain::content::Edit;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{BlobId, ContentId, InstanceId, UploadId};
use crate::domain::principal::Principal;
use crate::vfs::draft::Draft;
use crate::vfs::service::Vfs;
use crate::vfs::target::Target;
use crate::vfs::upload::{Advance, Begin, Leave, Remains, Rename, Reservation, Settle};

/// The first reservation, and how much later ones grow to, in bytes.
const FIRST_RESERVE: u64 = 8 << 20;
const MAX_RESERVE: u64 = 64 << 20;
/// How much may have to be sent again after the server died: a part, or on a fast line what comes
/// in so much time.
const PART: u64 = 8 << 20;
const PAUSE: Duration = Duration::from_millis(250);

/// An upload's claim on its tenant's quota, and on its own remains. Without a row until it is made.
pub struct Claim {
    vfs: Vfs,
    principal: Principal,
    /// Whether what breaks off is kept under its name. Else no name leads to it: who loses the instance that writes it
    /// finds nothing of it.
    is_kept: bool,
    row: Option<Row>,
    /// The row that was asked for: it is made also when whoever asked did not wait for it.
    begun: Option<UploadId>,
    /// What was durable at the last checkpoint, and when that was.
    last: (u64, Timestamp),
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
            is_kept: true,
            row: None,
            begun: None,
            last: (0, Timestamp(0)),
        }
    }

    /// The same, for what may only be published as a whole unless it `is_kept`.
    pub fn keeping(self, is_kept: bool) -> Self {
        Self { is_kept, ..self }
    }

    /// Takes the row of an upload that broke off and was taken over.
    pub fn go_on(&mut self, upload: &Upload) {
        self.row = Some(Row {
            id: upload.id,
            epoch: upload.epoch,
            reserved: upload.reserved.bytes,
            files: upload.reserved.files,
            durable: true,
        });
        self.last = (upload.size, self.vfs.database().clock().now());
    }

    /// Whether it is time to write down what is durable of a file of `size` bytes.
    pub fn is_due(&self, size: u64, now: Timestamp) -> bool {
        let (last, at) = self.last;
        // On S3 parts grow with the file, and no less than one is durable.
        self.row.is_some()
            && size.saturating_sub(last) >= PART.max(size / 100)
            && now >= at.plus(PAUSE)
    }

    /// Notes that `durable` bytes are written down as such. What was on its way then is when it
    /// arrived, soon.
    pub fn checkpointed(&mut self, durable: u64, now: Timestamp) {
        self.last = (durable, now);
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

    /// Makes the row for what was opened: its place and its content. `whole`: it starts from nothing.
    ///
    /// # Errors
    /// Quota when there is no room.
    pub async fn begin(
        &mut self,
        (target, content): (&Target, Option<ContentId>),
        whole: bool,
        size: Size,
    ) -> Result<()> {
        let now = self.vfs.database().clock().now();
        let reservation = self.reservation(size);
        let granted = reservation.granted.clone();
        let id = *self.begun.get_or_insert_with(|| UploadId::mint(now));
        let upload = Upload {
            id,
            epoch: 1,
            instance: self.vfs.instance(),
            account: self.principal.account,
            parent: target.parent,
            name: target.name.clone(),
            node: target.node,
            base: content,
            whole,
            size: 0,
            hash_state: None,
            reserved: Amount::default(),
            touched_at: now,
        };
        let begin = Begin {
            upload: match self.is_kept {
                true => upload,
                // As if it had been overtaken already.
                false => upload.superseded(),
            },
            since: target.since,
            reservation,
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
        self.move_on(progress, size, reservation).await
    }

    async fn move_on(
        &mut self,
        progress: Progress,
        size: Size,
        reservation: Reservation,
    ) -> Result<()> {
        let Some(row) = &mut self.row else {
            return Ok(());
        };
        row.durable = !progress.edits.is_empty();
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

    /// Notes what is durable and lets the upload go, for whoever goes on with it; gives up `blobs` that
    /// nothing names.
    ///
    /// # Errors
    /// Quota when there is no room; Stale when the upload goes on elsewhere.
    pub async fn settle(&self, progress: Progress, size: Size, blobs: Vec<BlobId>) -> Result<()> {
        let Some(row) = self.row else {
            return Ok(());
        };
        let settle = Settle {
            advance: Advance {
                id: row.id,
                epoch: row.epoch,
                progress,
                reservation: self.rest(size),
            },
            blobs,
        };
        let (tenant, actor) = (self.principal.tenant, self.principal.actor());
        let settled = self.vfs.committer().run(tenant, &actor, settle);
        settled.await.map(drop)
    }

    /// Makes durable what there is of an upload that breaks off, and notes it. One that was to replace a
    /// file is noted also when that is nothing, since its sender takes the file for begun anew.
    ///
    /// # Errors
    /// As [`Draft::halt`] and [`Claim::advance`].
    pub async fn keep_all(
        &mut self,
        opened: (&Target, Option<ContentId>),
        draft: &mut Draft,
        size: Size,
    ) -> Result<()> {
        let replaces = draft.is_whole() && opened.0.node.is_some();
        if draft.edits().is_empty() && !replaces {
            return Ok(());
        }
        let progress = draft.halt().await?;
        if progress.edits.is_empty() && !replaces {
            return Ok(());
        }
        let (noted, _) = self.last;
        if self.is_durable() && progress.size < noted && is_in_order(draft.edits()) {
            // What is noted already is more of the same.
            return Ok(());
        }
        if self.row.is_none() {
            self.begin(opened, draft.is_whole(), size).await?;
        }
        let rest = self.rest(size);
        self.move_on(progress, size, rest).await?;
        if let Some(row) = &mut self.row {
            row.durable |= replaces;
        }
        Ok(())
    }

    /// Lets an upload that was gone on with go as it was before, and gives up `blobs` that nothing names.
    /// What cannot be put back ends.
    pub async fn revert(self, before: Progress, size: Size, blobs: Vec<BlobId>) {
        let remains = match self.last.0 == before.size {
            // Nothing else was noted since.
            true => Remains::Keep,
            false => Remains::Discard,
        };
        let reverted = self.settle(before, size, blobs.clone()).await;
        if let Err(error) = reverted {
            tracing::warn!(error = ?error, "what an upload was before cannot be put back");
            self.leave(remains, blobs).await;
        }
    }

    /// Gives the row another place, where `content` is.
    ///
    /// # Errors
    /// Stale when the upload goes on elsewhere.
    pub async fn rename(&self, target: &Target, content: Option<ContentId>) -> Result<()> {
        let Some((id, epoch)) = self.row().filter(|_| self.is_kept) else {
            return Ok(());
        };
        let rename = Rename {
            id,
            epoch,
            parent: target.parent,
            name: target.name.clone(),
            node: target.node,
            base: content,
        };
        let (tenant, actor) = (self.principal.tenant, self.principal.actor());
        let renamed = self.vfs.committer().run(tenant, &actor, rename);
        renamed.await.map(drop)
    }

    /// Ends the upload without publishing it, and gives up `blobs` that nothing names.
    pub async fn leave(self, remains: Remains, blobs: Vec<BlobId>) {
        let remains = match self.is_durable() {
            true => remains,
            false => Remains::Discard,
        };
        self.run(remains, blobs, None).await;
    }

    /// Ends the upload without publishing it, and holds on to `blobs` for now: somebody copies from them.
    /// What is returned is to give them up later.
    pub async fn leave_lent(mut self, blobs: Vec<BlobId>) -> Self {
        let instance = self.vfs.instance();
        self.run(Remains::Discard, blobs, Some(instance)).await;
        (self.row, self.begun) = (None, None);
        self
    }

    async fn run(&self, remains: Remains, blobs: Vec<BlobId>, lent_by: Option<InstanceId>) {
        let leave = Leave {
            upload: self.row().or(self.begun.map(|id| (id, 1))),
            remains,
            blobs,
            lent_by,
        };
        if leave.upload.is_none() && leave.blobs.is_empty() {
            return;
        }
        let (tenant, actor) = (self.principal.tenant, self.principal.actor());
        let left = self.vfs.stranded().leave(tenant, &actor, leave).await;
        if let Err(error) = left
            && error.kind() != ErrorKind::Stale
        {
            tracing::warn!(error = ?error, "an upload was not cleaned up; that is done later");
        }
    }

    /// Lets an upload go as it is written down, also when nothing of it is; gives up `blobs` that nothing
    /// names.
    pub async fn let_go(mut self, blobs: Vec<BlobId>) {
        if let Some(row) = &mut self.row {
            row.durable = true;
        }
        self.leave(Remains::Keep, blobs).await;
    }

    /// For what is left alone for a while: nobody knows when it goes on, so that it takes what it has.
    fn rest(&self, size: Size) -> Reservation {
        Reservation {
            need: Amount {
                bytes: size.need(),
                files: i64::from(size.new),
            },
            want_bytes: size.need(),
            ..self.reservation(size)
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

impl Size {
    fn need(self) -> i64 {
        (signed(self.bytes) - signed(self.credit)).max(0)
    }
}

/// Whether each piece was written just behind the one before it.
fn is_in_order(edits: &[Edit]) -> bool {
    let follows = |(before, edit): (&Edit, &Edit)| match (before.run(), edit.run()) {
        (Some(before), Some(run)) => run.start == before.end(),
        _ => false,
    };
    let is_cut = edits.iter().any(|edit| edit.run().is_none());
    !is_cut && edits.iter().zip(edits.iter().skip(1)).all(follows)
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
