//! Blobs in memory, for tests.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::domain::clock::{Clock, SystemClock, Timestamp};
use crate::domain::error::{Error, Result};
use crate::domain::id::BlobId;
use crate::storage::refusal;
use crate::storage::store::{
    self, BlobStore, BlobWriter, Checkpoint, Shape, SharedIntake, StoredBlob,
};

/// Keeps blobs until the last clone is dropped. Clones share what they keep.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    shape: Shape,
    blobs: Arc<Mutex<Blobs>>,
}

#[derive(Default)]
struct Blobs {
    finished: BTreeMap<BlobId, Blob>,
    unfinished: BTreeMap<BlobId, Blob>,
    owner: Option<String>,
}

struct Blob {
    sealed: BytesMut,
    modified: Timestamp,
}

impl MemoryStore {
    /// Makes an empty store that dates blobs by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            shape: Shape {
                whole: 260 << 10,
                least_piece: 0,
                first_piece: 1 << 20,
                most_piece: 1 << 20,
                most: 1 << 40,
                most_pieces: usize::MAX,
                read: 1 << 20,
                reads_ahead: 1,
            },
            blobs: Arc::default(),
        }
    }

    /// Likes its blobs otherwise, and insists on it.
    #[must_use]
    pub fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, Blobs> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blob(&self, sealed: &[u8]) -> Blob {
        Blob {
            sealed: sealed.into(),
            modified: self.clock.now(),
        }
    }
}

/// An empty store on the machine's clock.
impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    fn shape(&self) -> Shape {
        self.shape
    }

    async fn put(&self, id: BlobId, sealed: Bytes) -> Result<()> {
        let blob = self.blob(&sealed);
        self.lock().finish(id, blob)
    }

    async fn begin(&self, id: BlobId) -> Result<Box<dyn BlobWriter>> {
        let blob = self.blob(&[]);
        let mut blobs = self.lock();
        if blobs.finished.contains_key(&id) || blobs.unfinished.contains_key(&id) {
            return Err(refusal::taken(id));
        }
        blobs.unfinished.insert(id, blob);
        let store = self.clone();
        Ok(Box::new(MemoryWriter {
            store,
            id,
            ended: false,
        }))
    }

    async fn read_into(&self, id: BlobId, range: Range<u64>, intake: SharedIntake) -> Result<()> {
        let part = {
            let blobs = self.lock();
            let blob = blobs.finished.get(&id);
            let blob = blob.ok_or_else(|| refusal::missing(id))?;
            let length = blob.sealed.len() as u64;
            refusal::check_range(id, &range, length)?;
            let part = blob.sealed.get(index(range.start)..index(range.end));
            BytesMut::from(part.ok_or_else(|| refusal::too_short(id, length))?)
        };
        store::give(&intake, &part)
    }

    async fn length(&self, id: BlobId) -> Result<Option<u64>> {
        let blobs = self.lock();
        Ok(blobs.finished.get(&id).map(|blob| blob.sealed.len() as u64))
    }

    async fn salvage(&self, id: BlobId, checkpoint: &Checkpoint) -> Result<()> {
        let mut blobs = self.lock();
        let Blobs {
            finished,
            unfinished,
            ..
        } = &mut *blobs;
        let blob = match (finished.get(&id), unfinished.get(&id)) {
            (Some(blob), _) | (None, Some(blob)) => blob,
            (None, None) => return Err(refusal::missing(id)),
        };
        let length = blob.sealed.len() as u64;
        if length < checkpoint.length {
            return Err(refusal::too_short(id, length));
        }
        if let Some(mut blob) = unfinished.remove(&id) {
            blob.sealed.truncate(index(checkpoint.length));
            finished.entry(id).or_insert(blob);
        }
        Ok(())
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        let mut blobs = self.lock();
        blobs.finished.remove(&id);
        blobs.unfinished.remove(&id);
        Ok(())
    }

    async fn discard(&self, id: BlobId) -> Result<()> {
        self.delete(id).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        Ok(page(&self.lock().finished, after, limit, true))
    }

    async fn unfinished(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        Ok(page(&self.lock().unfinished, after, limit, false))
    }

    async fn owner(&self) -> Result<Option<String>> {
        Ok(self.lock().owner.clone())
    }

    async fn claim(&self, owner: &str) -> Result<String> {
        let mut blobs = self.lock();
        Ok(blobs.owner.get_or_insert_with(|| owner.to_owned()).clone())
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

fn page(
    blobs: &BTreeMap<BlobId, Blob>,
    after: Option<BlobId>,
    limit: usize,
    finished: bool,
) -> Vec<StoredBlob> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let range = blobs.range((from, Bound::Unbounded));
    range
        .take(limit)
        .map(|(id, blob)| StoredBlob {
            id: *id,
            length: blob.sealed.len() as u64,
            modified: blob.modified,
            finished,
        })
        .collect()
}

impl Blobs {
    fn finish(&mut self, id: BlobId, blob: Blob) -> Result<()> {
        if self.finished.contains_key(&id) {
            return Err(refusal::taken(id));
        }
        self.finished.insert(id, blob);
        Ok(())
    }
}

struct MemoryWriter {
    store: MemoryStore,
    id: BlobId,
    /// Whether a piece came that only the last may be as small as.
    ended: bool,
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, sealed: Bytes) -> Result<()> {
        let now = self.store.clock.now();
        if std::mem::replace(&mut self.ended, sealed.len() < self.store.shape.least_piece) {
            return Err(Error::internal("a piece follows one that is too small"));
        }
        if let Some(blob) = self.store.lock().unfinished.get_mut(&self.id) {
            blob.sealed.extend_from_slice(&sealed);
            blob.modified = now;
        }
        Ok(())
    }

    async fn relieve(&mut self) -> Result<bool> {
        Ok(false)
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        let blobs = self.store.lock();
        let blob = blobs.unfinished.get(&self.id);
        let length = blob.map(|blob| blob.sealed.len() as u64);
        Ok(Checkpoint {
            length: length.ok_or_else(|| gone(&blobs, self.id))?,
            state: Vec::new(),
        })
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        let mut blobs = self.store.lock();
        match blobs.unfinished.remove(&self.id) {
            Some(blob) => blobs.finish(self.id, blob),
            None => Err(gone(&blobs, self.id)),
        }
    }
}

/// Why there is no unfinished blob to go on with.
fn gone(blobs: &Blobs, id: BlobId) -> Error {
    match blobs.finished.contains_key(&id) {
        true => refusal::taken(id),
        false => refusal::missing(id),
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
