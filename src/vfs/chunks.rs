//! Opened chunks of a content that is read in order, fetched ahead of their turn.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::BlobId;
use crate::net::budget::Budget;
use crate::vfs::blob_reader::BlobReader;

/// A run of a blob that is fetched and opened at one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    /// The first byte, of the blob's plain text.
    pub start: u64,
    /// The first byte after it.
    pub end: u64,
}

/// Keeps opened chunks as far as the budget spares the memory.
pub struct Chunks {
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: VecDeque<Kept>,
    /// Fetches ahead of their turn; they end with the reader.
    ahead: JoinSet<()>,
}

struct Kept {
    blob: BlobId,
    range: ChunkRange,
    chunk: Chunk,
}

/// Opened bytes, which count for the memory they take until the last slice of them is dropped: an answer may
/// wait for its client longer than its file is read.
type Chunk = Arc<OnceCell<Bytes>>;

impl Chunks {
    /// Keeps nothing yet.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            state: Mutex::default(),
        }
    }

    /// The plain bytes of a chunk: those that are kept, or fetched now and kept, as one of the last `kept`.
    ///
    /// # Errors
    /// Busy when there is no memory to keep them; as reading the blob.
    pub async fn get(&self, blob: &BlobReader, range: ChunkRange, kept: usize) -> Result<Bytes> {
        let chunk = self.place(blob.info().id, range, kept);
        let opened = chunk
            .get_or_try_init(|| load(&self.budget, blob, range))
            .await?;
        Ok(opened.clone())
    }

    /// The plain bytes of a chunk if they are kept or on their way.
    pub async fn find(&self, blob: &BlobReader, range: ChunkRange) -> Option<Bytes> {
        let chunk = self.lock().find(blob.info().id, range)?;
        let opened = chunk.get_or_try_init(|| load(&self.budget, blob, range));
        opened.await.ok().cloned()
    }

    /// Starts to fetch a chunk, to keep it as one of the last `kept`, unless it is kept or `most` are being
    /// fetched; false in that case.
    pub fn fetch_ahead(
        &self,
        blob: &Arc<BlobReader>,
        range: ChunkRange,
        most: usize,
        kept: usize,
    ) -> bool {
        let mut state = self.lock();
        while state.ahead.try_join_next().is_some() {}
        if state.find(blob.info().id, range).is_some() {
            return true;
        }
        if state.ahead.len() >= most {
            return false;
        }
        let chunk = state.place(blob.info().id, range, kept);
        let (budget, blob) = (self.budget.clone(), blob.clone());
        state.ahead.spawn(async move {
            // Whoever wants the chunk tries again and is told what is wrong.
            let _ = chunk.get_or_try_init(|| load(&budget, &blob, range)).await;
        });
        true
    }

    fn place(&self, blob: BlobId, range: ChunkRange, most: usize) -> Chunk {
        let mut state = self.lock();
        match state.find(blob, range) {
            Some(chunk) => chunk,
            None => state.place(blob, range, most),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, blob: BlobId, range: ChunkRange) -> Option<Chunk> {
        let kept = &mut self.kept.iter();
        let kept = kept.find(|kept| kept.blob == blob && kept.range == range)?;
        Some(kept.chunk.clone())
    }

    fn place(&mut self, blob: BlobId, range: ChunkRange, most: usize) -> Chunk {
        while self.kept.len() >= most {
            self.kept.pop_front();
        }
        let chunk = Chunk::default();
        self.kept.push_back(Kept {
            blob,
            range,
            chunk: chunk.clone(),
        });
        chunk
    }
}

async fn load(budget: &Budget, blob: &BlobReader, range: ChunkRange) -> Result<Bytes> {
    // With what its frames have around them.
    let bytes = usize::try_from(range.end - range.start).map_err(Error::internal)?;
    let share = budget
        .try_take_spare(bytes + bytes / 1024)
        .ok_or_else(|| Error::new(ErrorKind::Busy, "no memory for a chunk"))?;
    Ok(share.around(blob.read(range.start, range.end).await?))
}
