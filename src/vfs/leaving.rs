//! What becomes of an upload that is not published.

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::BlobId;
use crate::vfs::claim::Claim;
use crate::vfs::draft::Draft;
use crate::vfs::service::Vfs;
use crate::vfs::upload::Remains;
use crate::vfs::write::FileWriter;

impl FileWriter {
    /// Whether an error ended this upload: nothing of it is published any more.
    pub fn has_ended(&self) -> bool {
        self.over
    }

    /// Gives up what was written since the upload was opened: what broke off before, and was gone on with,
    /// is kept as it was, and the file too.
    pub async fn revert(mut self) {
        let before = self.draft.before().filter(|_| self.claim.row().is_some());
        let Some(before) = before else {
            return self.discard().await;
        };
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let size = self.claimed(before.size);
        let nothing = Claim::new(self.vfs.clone(), self.principal.clone());
        let claim = std::mem::replace(&mut self.claim, nothing);
        let blobs = self.draft.made();
        let (vfs, tenant) = (self.vfs.clone(), self.principal.tenant);
        self.draft = Draft::new(vfs, tenant, true, None);
        let leaving = self.vfs.tasks().spawn(claim.revert(before, size, blobs));
        // What a task left that ended in a panic is found by the sweep.
        let _ = leaving.await;
    }

    /// Ends the upload when something failed. What only a store or database in trouble keeps from
    /// going on is kept as far as it is durable.
    pub(in crate::vfs) async fn checked<T>(&mut self, outcome: Result<T>) -> Result<T> {
        match outcome {
            Ok(done) => Ok(done),
            Err(error) => {
                Box::pin(self.fail(error.kind())).await;
                Err(error)
            }
        }
    }

    async fn fail(&mut self, kind: ErrorKind) {
        self.transfer.failed();
        if kind == ErrorKind::Unavailable {
            // Nobody knows how long that lasts.
            drop(self.end(Remains::Keep, false));
        } else if let Some(leaving) = self.end(Remains::Discard, false) {
            // Whoever is told of the error finds that nothing is being sent any more.
            let _ = leaving.await;
        }
    }

    /// Ends the upload without publishing it, in the background; the file stays as it was.
    pub(in crate::vfs) fn leave(&mut self, remains: Remains) -> Option<JoinHandle<()>> {
        self.end(remains, remains == Remains::Keep && !self.is_untouched)
    }

    /// The same, and waits for it, so that whoever asks next finds what there is then.
    pub(in crate::vfs) async fn left(&mut self, remains: Remains) {
        if let Some(leaving) = self.leave(remains) {
            // What a task left that ended in a panic is found by the sweep.
            let _ = leaving.await;
        }
    }

    /// The same; `halt` says whether what is on its way may be brought to an end.
    pub(in crate::vfs) fn end(&mut self, remains: Remains, halt: bool) -> Option<JoinHandle<()>> {
        if std::mem::replace(&mut self.over, true) {
            return None;
        }
        let remains = match self.resumable && !self.is_unlinked {
            true => remains,
            false => Remains::Discard,
        };
        let size = self.claimed(self.draft.size());
        let (vfs, tenant) = (self.vfs.clone(), self.principal.tenant);
        let mut draft = std::mem::replace(&mut self.draft, Draft::new(vfs, tenant, true, None));
        let nothing = Claim::new(self.vfs.clone(), self.principal.clone());
        let mut claim = std::mem::replace(&mut self.claim, nothing);
        let (target, content) = (self.publish.target.clone(), self.entry.content);
        let may_be_kept = remains == Remains::Keep && draft.is_lent();
        let (vfs, sending) = (self.vfs.clone(), self.sending.take());
        let leaving = self.vfs.tasks().spawn(async move {
            let blobs = draft.made();
            if halt && remains == Remains::Keep {
                let kept = claim.keep_all((&target, content), &mut draft, size).await;
                if let Err(error) = kept {
                    tracing::debug!(error = ?error, "what an upload had on its way is not kept");
                }
            }
            // It is found in the database from here on.
            drop(sending);
            let lent = draft.into_lent();
            if remains == Remains::Discard && !lent.is_empty() {
                let later = claim.leave_lent(blobs.clone()).await;
                give_up_later(&vfs, later, lent, blobs);
                return;
            }
            // What is kept may be gone on with or ended by anybody once it is let go.
            lent.wait().await;
            claim.leave(remains, blobs).await;
        });
        // Whoever waits may be who borrowed.
        (!may_be_kept).then_some(leaving)
    }

    /// Gives up blobs that no version names, when nobody borrows from them any more. Nothing can be written
    /// after this.
    pub(in crate::vfs) fn give_up(&mut self, blobs: Vec<BlobId>) {
        let (vfs, tenant) = (self.vfs.clone(), self.principal.tenant);
        let draft = std::mem::replace(&mut self.draft, Draft::new(vfs, tenant, true, None));
        let claim = Claim::new(self.vfs.clone(), self.principal.clone());
        give_up_later(&self.vfs, claim, draft.into_lent(), blobs);
    }
}

fn give_up_later(vfs: &Vfs, claim: Claim, lent: TaskTracker, blobs: Vec<BlobId>) {
    vfs.tasks().spawn(async move {
        lent.wait().await;
        claim.leave(Remains::Discard, blobs).await;
    });
}
