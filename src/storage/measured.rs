//! Notes how long a blob store takes, and how its calls end.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use tracing::Instrument as _;

use crate::domain::error::Result;
use crate::domain::id::BlobId;
use crate::domain::measures;
use crate::domain::spans;
use crate::storage::store::{BlobStore, BlobWriter, Checkpoint, Shape, SharedIntake, StoredBlob};

/// Hands everything on to another store, and notes it as one of a region.
pub struct Measured {
    inner: Arc<dyn BlobStore>,
    region: Arc<str>,
}

impl Measured {
    /// Stands before `inner`, the store of the region of this name.
    pub fn new(inner: Arc<dyn BlobStore>, region: &str) -> Self {
        let region = region.into();
        measures::store_begins(&region);
        Self { inner, region }
    }
}

async fn noted<T>(
    region: &Arc<str>,
    operation: &'static str,
    call: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let began = Instant::now();
    let outcome = call.instrument(spans::store(region, operation)).await;
    measures::store(region, operation, began, &outcome);
    outcome
}

#[async_trait]
impl BlobStore for Measured {
    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    async fn put(&self, id: BlobId, sealed: Bytes) -> Result<()> {
        noted(&self.region, "put", self.inner.put(id, sealed)).await
    }

    async fn begin(&self, id: BlobId) -> Result<Box<dyn BlobWriter>> {
        let begun = noted(&self.region, "begin", self.inner.begin(id)).await?;
        Ok(Box::new(MeasuredWriter {
            inner: begun,
            region: self.region.clone(),
        }))
    }

    async fn read_into(&self, id: BlobId, range: Range<u64>, intake: SharedIntake) -> Result<()> {
        let read = self.inner.read_into(id, range, intake);
        noted(&self.region, "read", read).await
    }

    async fn length(&self, id: BlobId) -> Result<Option<u64>> {
        noted(&self.region, "length", self.inner.length(id)).await
    }

    async fn salvage(&self, id: BlobId, checkpoint: &Checkpoint) -> Result<()> {
        noted(&self.region, "salvage", self.inner.salvage(id, checkpoint)).await
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        noted(&self.region, "delete", self.inner.delete(id)).await
    }

    async fn discard(&self, id: BlobId) -> Result<()> {
        noted(&self.region, "discard", self.inner.discard(id)).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        noted(&self.region, "list", self.inner.list(after, limit)).await
    }

    async fn unfinished(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        noted(&self.region, "list", self.inner.unfinished(after, limit)).await
    }

    async fn owner(&self) -> Result<Option<String>> {
        noted(&self.region, "owner", self.inner.owner()).await
    }

    async fn claim(&self, owner: &str) -> Result<String> {
        noted(&self.region, "claim", self.inner.claim(owner)).await
    }

    async fn look(&self) -> Result<()> {
        noted(&self.region, "look", self.inner.look()).await
    }

    async fn probe(&self) -> Result<()> {
        noted(&self.region, "probe", self.inner.probe()).await
    }
}

struct MeasuredWriter {
    inner: Box<dyn BlobWriter>,
    region: Arc<str>,
}

#[async_trait]
impl BlobWriter for MeasuredWriter {
    async fn write(&mut self, sealed: Bytes) -> Result<()> {
        noted(&self.region, "write", self.inner.write(sealed)).await
    }

    async fn relieve(&mut self) -> Result<bool> {
        self.inner.relieve().await
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        noted(&self.region, "checkpoint", self.inner.checkpoint()).await
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        let Self { inner, region } = *self;
        noted(&region, "finish", inner.finish()).await
    }
}
