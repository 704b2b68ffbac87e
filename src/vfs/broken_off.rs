//! Reading what its own account broke off, where nothing is published.

use async_trait::async_trait;
use tokio_util::task::TaskTracker;

use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::uploads::{self, Progress, Upload};
use crate::db::usage::Amount;
use crate::domain::change::Committed;
use crate::domain::content::Edit;
use crate::domain::error::{Error, Result};
use crate::domain::id::UploadId;
use crate::domain::node::Entry;
use crate::domain::path::VfsPath;
use crate::vfs::access::no_such;
use crate::vfs::claim::Claim;
use crate::vfs::draft::Draft;
use crate::vfs::piece_memory::PieceMemory;
use crate::vfs::read::FileReader;
use crate::vfs::resume::{self, Resumed};
use crate::vfs::session::Session;
use crate::vfs::source::Loan;
use crate::vfs::upload::Remains;

impl Session {
    /// Nothing is published under the name, but its own account may read what it has stored, also when that
    /// is gone on with or discarded meanwhile.
    pub(in crate::vfs) async fn read_broken_off(
        &self,
        upload: Upload,
        shown: Entry,
        path: &VfsPath,
    ) -> Result<FileReader> {
        let session = self.clone();
        // Owned by the file system: who asks may go away before it is let go again.
        let borrowing = async move { session.borrow_broken_off(upload).await };
        let borrowed = self.vfs.tasks().spawn(borrowing).await;
        let borrowed = borrowed.unwrap_or_else(|error| Err(Error::internal(error)))?;
        let (resumed, loan) = borrowed.ok_or_else(|| no_such(path))?;
        let (vfs, tenant) = (self.vfs.clone(), self.principal.tenant);
        let mut draft = Draft::new(vfs, tenant, true, None);
        let pieces = (resumed.edits, PieceMemory::default());
        draft.replay(pieces, &resumed.blobs, None);
        let content = draft.reader().clone();
        let reader = FileReader::of(tenant, shown, content);
        Ok(reader.counted(resumed.known.into_share()).lent(loan))
    }

    /// What an upload has stored, with what keeps that; none when it is lost. The upload stays as it is.
    async fn borrow_broken_off(&self, upload: Upload) -> Result<Option<(Resumed, Loan)>> {
        let taken = resume::take_over(&self.vfs, &self.principal, upload).await?;
        let Some(resumed) = taken else {
            return Ok(None);
        };
        let mut claim = Claim::new(self.vfs.clone(), self.principal.clone());
        claim.go_on(&resumed.upload);
        let loan = self.hold_on(&resumed.upload, &resumed.edits).await;
        claim.leave(Remains::Keep, Vec::new()).await;
        Ok(Some((resumed, loan?)))
    }

    /// Names the blobs of an upload that was taken over once more, as long as somebody reads or copies them.
    async fn hold_on(&self, upload: &Upload, edits: &[Edit]) -> Result<Loan> {
        let held = Upload {
            id: UploadId::mint(self.now()),
            epoch: 1,
            instance: self.vfs.instance(),
            reserved: Amount::default(),
            hash_state: None,
            ..upload.clone().superseded()
        };
        let edits = edits.to_vec();
        let hold = HoldOn {
            upload: held.clone(),
            edits,
        };
        self.run(hold).await?;
        let mut claim = Claim::new(self.vfs.clone(), self.principal.clone());
        claim.go_on(&held);
        let readers = TaskTracker::new();
        let own = readers.token();
        readers.close();
        self.vfs.tasks().spawn(async move {
            readers.wait().await;
            claim.leave(Remains::Discard, Vec::new()).await;
        });
        Ok(Loan {
            own,
            of_others: Default::default(),
        })
    }
}

struct HoldOn {
    upload: Upload,
    edits: Vec<Edit>,
}

#[async_trait]
impl Operation for HoldOn {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let Upload { id, epoch, .. } = self.upload;
        if uploads::find(tx, id).await?.is_some() {
            return Ok(Record::Nothing);
        }
        uploads::begin(tx, &self.upload).await?;
        let progress = Progress {
            size: self.upload.size,
            hash_state: None,
            edits: self.edits.clone(),
            blobs: Vec::new(),
            made: Vec::new(),
            unfinished: None,
            reserved: Amount::default(),
        };
        uploads::checkpoint(tx, id, epoch, &progress, next.at).await?;
        Ok(Record::Nothing)
    }
}
