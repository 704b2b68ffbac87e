//! What a blob store promises.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::BlobId;

/// Memory taken at once for what is read whole, in bytes: a range may be longer than the blob.
const MOST_RESERVED: usize = 4 << 20;

/// Keeps sealed blobs under opaque ids. Knows nothing of tenants, names or keys.
///
/// A blob is written once: a second `put` or `finish` under an id that holds a finished blob fails
/// with [`AlreadyExists`](crate::domain::error::ErrorKind::AlreadyExists) and leaves the first as it
/// was. `AlreadyExists` from `put` means that a blob is there as durably as after `Ok`; so whoever
/// repeats a `put` whose answer was lost may take it for success. Before `put` or `finish`
/// returns, readers see nothing of the blob or all of it; after it returned `Ok`, the bytes survive
/// a crash of the process and of the machine. Errors are `StorageFull` when there is no room,
/// `Unavailable` when a retry may help, `NotFound`, `Corrupt` or `Internal`.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// How it likes its blobs fed and read.
    fn shape(&self) -> Shape;

    /// Stores a whole blob.
    async fn put(&self, id: BlobId, sealed: Bytes) -> Result<()>;

    /// Starts a blob that comes in pieces. `AlreadyExists`, where the store can tell before `finish`,
    /// when the id holds a finished blob or was begun before.
    async fn begin(&self, id: BlobId) -> Result<Box<dyn BlobWriter>>;

    /// Reads bytes of a finished (or salvaged) blob and passes them on as they come: all of `range`, in
    /// order, or an error, after which some of them may have been passed on.
    ///
    /// `NotFound` when there is no such blob, `Corrupt` when it ends before the range does; what the
    /// intake says, as it says it.
    async fn read_into(&self, id: BlobId, range: Range<u64>, intake: SharedIntake) -> Result<()>;

    /// As [`BlobStore::read_into`], with all of it in memory.
    async fn read(&self, id: BlobId, range: Range<u64>) -> Result<BytesMut> {
        let length = range.end.saturating_sub(range.start);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let whole = BytesMut::with_capacity(length.min(MOST_RESERVED));
        let whole = Arc::new(Mutex::new(whole));
        self.read_into(id, range, whole.clone()).await?;
        let mut whole = whole.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut whole))
    }

    /// The length of a finished blob in bytes; none when there is no such blob.
    async fn length(&self, id: BlobId) -> Result<Option<u64>>;

    /// Makes the first `checkpoint.length` bytes of a blob that was begun and never finished
    /// readable, as durably as `finish` does; what follows is dropped. May be repeated; also succeeds
    /// when the blob was finished after all. `Corrupt` when there are fewer bytes, `NotFound` when
    /// nothing of the blob is left. A writer that is still there can do nothing more.
    async fn salvage(&self, id: BlobId, checkpoint: &Checkpoint) -> Result<()>;

    /// Removes a finished blob. Succeeds when there is none.
    async fn delete(&self, id: BlobId) -> Result<()>;

    /// Removes whatever there is of a blob that may never have been finished. Succeeds when there is
    /// nothing.
    async fn discard(&self, id: BlobId) -> Result<()>;

    /// Lists up to `limit` finished blobs with ids above `after`, in order.
    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>>;

    /// Lists up to `limit` blobs that were begun and not finished, with ids above `after`, in order.
    /// A store may know of one only since its first piece.
    /// A blob that was begun twice may be listed twice.
    async fn unfinished(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>>;

    /// What is written at the store's place of whose it is; none when nothing is. No listing shows it.
    async fn owner(&self) -> Result<Option<String>>;

    /// Writes whose the store's place is, unless that is written already, as durably as a blob; returns what is
    /// written there now.
    async fn claim(&self, owner: &str) -> Result<String>;

    /// Looks whether the store answers, and takes what is written where that can be told without writing:
    /// asked every few seconds. By default it is asked for a blob that nobody has: that it is not there is an
    /// answer. A store that is full answers.
    async fn look(&self) -> Result<()> {
        self.length(BlobId::random()).await.map(drop)
    }

    /// Checks that the store can be read and written; the error names what to mend.
    async fn probe(&self) -> Result<()>;
}

/// An intake and whoever waits for what becomes of it. Locked only while it takes bytes.
pub type SharedIntake = Arc<Mutex<dyn Intake>>;

/// Takes the bytes of a read as they come, on whatever thread they come on.
pub trait Intake: Send {
    /// Takes the next ones. An error ends the read.
    ///
    /// # Errors
    /// The intake's own.
    fn take(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Gives the next bytes to an intake.
///
/// # Errors
/// The intake's own.
pub fn give(intake: &SharedIntake, bytes: &[u8]) -> Result<()> {
    let mut intake = intake.lock().unwrap_or_else(PoisonError::into_inner);
    intake.take(bytes)
}

impl Intake for BytesMut {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// How a store likes its blobs fed and read, in sealed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// A blob up to this long is best stored by one `put`.
    pub whole: usize,
    /// The least that [`BlobWriter::write`] takes, but for the last piece of a blob.
    pub least_piece: usize,
    /// The piece that a blob best starts with; later ones grow with it.
    pub first_piece: usize,
    /// The largest piece worth its memory.
    pub most_piece: usize,
    /// A blob ends before it is longer than this.
    pub most: u64,
    /// A blob ends before it has more pieces than this.
    pub most_pieces: usize,
    /// What one read fetches best when reading goes on in order.
    pub read: usize,
    /// How many such reads are best on their way at a time.
    pub reads_ahead: usize,
}

impl Shape {
    /// The best size of the next piece of a blob of which `written` bytes are stored: about a
    /// hundredth of it, so that their number grows slower than the blob.
    pub fn piece(&self, written: u64) -> usize {
        let hundredth = usize::try_from(written / 100).unwrap_or(usize::MAX);
        hundredth.clamp(self.first_piece, self.most_piece)
    }
}

/// A blob in the making. Dropped without `finish`, it leaves what it wrote to
/// [`BlobStore::salvage`] or [`BlobStore::delete`].
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends a piece; it may be anywhere on its way when this returns. The bytes are held no longer
    /// than they are needed.
    async fn write(&mut self, sealed: Bytes) -> Result<()>;

    /// Waits until a piece that is on its way has arrived; false when none is.
    async fn relieve(&mut self) -> Result<bool>;

    /// Says how much of what was written is durable. A store that can make all of it durable does so
    /// first; one that takes pieces at its own pace (S3) does not wait for those on their way.
    async fn checkpoint(&mut self) -> Result<Checkpoint>;

    /// Completes the blob: see [`BlobStore`].
    async fn finish(self: Box<Self>) -> Result<()>;
}

/// How much of an unfinished blob is durable, and what the store needs to make it readable.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Durable bytes from the start.
    pub length: u64,
    /// The store's own notes (for S3: upload id and parts), opaque to others. Empty when there is
    /// nothing to note.
    pub state: Vec<u8>,
}

/// A blob as [`BlobStore::list`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Its id.
    pub id: BlobId,
    /// Its length in bytes, or that of the unfinished part; zero where the store does not tell.
    pub length: u64,
    /// When it was last written.
    pub modified: Timestamp,
    /// Whether `finish`, `put` or `salvage` completed it.
    pub finished: bool,
}
