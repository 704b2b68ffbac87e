//! Blobs in a folder of this machine.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::BlobId;
use crate::domain::thread;
use crate::storage::disk::{Disk, Then};
use crate::storage::open_files::OpenFiles;
use crate::storage::refusal;
use crate::storage::store::{
    self, BlobStore, BlobWriter, Checkpoint, Shape, SharedIntake, StoredBlob,
};

/// A writer collects at most about this much while the disk is busy.
const PIECE_BYTES: usize = 1 << 20;
/// A blob ends there although a file could go on, so that any store can take a copy of it.
const MOST_BYTES: u64 = 256 << 30;
/// A blob up to about this long is written at one go.
const WHOLE_BYTES: usize = 260 << 10;
/// What is read at a time and taken while it is in the processor's cache: four frames, since ranges
/// begin with one.
const STEP_BYTES: usize = 4 * ((64 << 10) + 16);
/// How many buffers for that are kept.
const STEPS: usize = 4;
/// How many blobs that are read stay open.
const OPEN_FILES: usize = 256;

/// Keeps blobs in `DIR/blobs`. Clones share the folder.
///
/// Several processes may use one folder, as long as ids are drawn at random.
#[derive(Clone)]
pub struct LocalStore {
    disk: Arc<Disk>,
    open: Arc<OpenFiles>,
    steps: Arc<Steps>,
}

/// Buffers for steps of reading, kept while nobody uses them: new ones would have to be cleared.
#[derive(Default)]
struct Steps(Mutex<Vec<Vec<u8>>>);

impl LocalStore {
    /// The most bytes that a writer holds on top of the last `write`: one piece that is being
    /// written, one that is being collected.
    pub const WRITER_BYTES: usize = 2 * PIECE_BYTES;

    /// Uses `folder`, which is made when it is missing (but not the folders above). Blocks.
    ///
    /// # Errors
    /// Unavailable, with a sentence for the operator, when the folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            disk: Arc::new(Disk::open(folder)?),
            open: Arc::new(OpenFiles::new(OPEN_FILES)),
            steps: Arc::default(),
        })
    }

    fn read_blocking(&self, id: BlobId, range: &Range<u64>, intake: &SharedIntake) -> Result<()> {
        let kept = match self.open.find(id) {
            Some(kept) => kept,
            None => {
                let file = self.disk.open_blob(id)?;
                let kept = self.open.keep(id, file);
                kept.map_err(|error| refusal::io(id, error))?
            }
        };
        refusal::check_range(id, range, kept.length)?;
        let mut step = self.steps.take();
        let mut at = range.start;
        while at < range.end {
            let length = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let length = length.min(STEP_BYTES);
            let bytes = step.get_mut(..length).unwrap_or_default();
            kept.file
                .read_exact_at(bytes, at)
                .map_err(|error| match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => refusal::too_short(id, kept.length),
                    _ => refusal::io(id, error),
                })?;
            store::give(intake, bytes)?;
            at += length as u64;
        }
        self.steps.put_back(step);
        Ok(())
    }
}

impl Steps {
    fn take(&self) -> Vec<u8> {
        let kept = self.lock().pop();
        kept.unwrap_or_else(|| vec![0; STEP_BYTES])
    }

    fn put_back(&self, step: Vec<u8>) {
        let mut kept = self.lock();
        if kept.len() < STEPS {
            kept.push(step);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BlobStore for LocalStore {
    fn shape(&self) -> Shape {
        Shape {
            whole: WHOLE_BYTES,
            least_piece: 0,
            first_piece: PIECE_BYTES,
            most_piece: PIECE_BYTES,
            most: MOST_BYTES,
            most_pieces: usize::MAX,
            read: PIECE_BYTES,
            reads_ahead: 2,
        }
    }

    async fn put(&self, id: BlobId, sealed: Bytes) -> Result<()> {
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.put(id, &sealed)).await
    }

    async fn begin(&self, id: BlobId) -> Result<Box<dyn BlobWriter>> {
        let disk = Arc::clone(&self.disk);
        let file = blocking(move || disk.begin(id)).await?;
        Ok(Box::new(LocalWriter {
            disk: Arc::clone(&self.disk),
            id,
            file: Arc::new(file),
            collected: Vec::new(),
            collected_bytes: 0,
            handed_over: 0,
            durable: 0,
            writing: None,
            failed: None,
        }))
    }

    async fn read_into(&self, id: BlobId, range: Range<u64>, intake: SharedIntake) -> Result<()> {
        let store = self.clone();
        blocking(move || store.read_blocking(id, &range, &intake)).await
    }

    async fn length(&self, id: BlobId) -> Result<Option<u64>> {
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.length(id)).await
    }

    async fn salvage(&self, id: BlobId, checkpoint: &Checkpoint) -> Result<()> {
        let disk = Arc::clone(&self.disk);
        let checkpoint = checkpoint.clone();
        blocking(move || disk.salvage(id, &checkpoint)).await
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        let store = self.clone();
        blocking(move || {
            let deleted = store.disk.delete(id);
            store.open.forget(id);
            deleted
        })
        .await
    }

    async fn discard(&self, id: BlobId) -> Result<()> {
        self.delete(id).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.list(after, limit, true)).await
    }

    async fn unfinished(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.list(after, limit, false)).await
    }

    async fn owner(&self) -> Result<Option<String>> {
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.owner()).await
    }

    async fn claim(&self, owner: &str) -> Result<String> {
        let disk = Arc::clone(&self.disk);
        let owner = owner.to_owned();
        blocking(move || disk.claim(&owner)).await
    }

    async fn look(&self) -> Result<()> {
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.look()).await
    }

    async fn probe(&self) -> Result<()> {
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.probe()).await
    }
}

/// Collects pieces and writes them one after the other, while the next is being collected.
struct LocalWriter {
    disk: Arc<Disk>,
    id: BlobId,
    file: Arc<File>,
    collected: Vec<Bytes>,
    collected_bytes: usize,
    handed_over: u64,
    /// What the last checkpoint holds.
    durable: u64,
    writing: Option<JoinHandle<Result<()>>>,
    /// After a failure nobody knows what the file holds, so nothing goes on.
    failed: Option<ErrorKind>,
}

impl LocalWriter {
    /// Waits for the piece being written.
    async fn settle(&mut self) -> Result<()> {
        if let Some(kind) = self.failed {
            let refusal = match kind {
                ErrorKind::StorageFull => refusal::full(),
                _ => refusal::unavailable(),
            };
            return Err(refusal.because(format!("blob {}: an earlier write failed", self.id)));
        }
        let Some(writing) = self.writing.as_mut() else {
            return Ok(());
        };
        let written = writing.await.map_err(Error::internal).flatten();
        self.writing = None;
        written.inspect_err(|error| self.failed = Some(error.kind()))
    }

    /// Starts writing what was collected.
    async fn hand_over(&mut self, then: Then) -> Result<()> {
        self.settle().await?;
        let pieces = std::mem::take(&mut self.collected);
        self.handed_over += self.collected_bytes as u64;
        self.collected_bytes = 0;
        let (disk, id, file) = (Arc::clone(&self.disk), self.id, Arc::clone(&self.file));
        let durable = self.durable;
        self.writing = Some(spawn_blocking(move || {
            disk.append(id, &file, (&pieces, durable), then)
        }));
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for LocalWriter {
    async fn write(&mut self, sealed: Bytes) -> Result<()> {
        self.collected_bytes += sealed.len();
        self.collected.push(sealed);
        // Only what comes while the disk is busy piles up: on a slow line next to nothing.
        let idle = self.writing.as_ref().is_none_or(JoinHandle::is_finished);
        match idle || self.collected_bytes >= PIECE_BYTES {
            true => self.hand_over(Then::GoOn).await,
            false => Ok(()),
        }
    }

    async fn relieve(&mut self) -> Result<bool> {
        let busy = self.writing.is_some();
        self.settle().await?;
        Ok(busy)
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        self.hand_over(Then::Checkpoint).await?;
        self.settle().await?;
        self.durable = self.handed_over;
        Ok(Checkpoint {
            length: self.handed_over,
            state: Vec::new(),
        })
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.hand_over(Then::Finish).await?;
        self.settle().await
    }
}

/// Runs work that blocks on a thread made for it, which may be this one; the work goes on when the caller
/// goes away.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if thread::is_alone() {
        return work();
    }
    spawn_blocking(work).await.map_err(Error::internal)?
}
