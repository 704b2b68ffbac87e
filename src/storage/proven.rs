//! Lets nobody at a blob store that was not seen to be the right one.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::BlobId;
use crate::storage::store::{BlobStore, BlobWriter, Checkpoint, Shape, SharedIntake, StoredBlob};

/// Looks whether a store is the right one. May be asked again until it says so.
pub type Proof = Box<dyn Fn(Arc<dyn BlobStore>) -> Look + Send + Sync>;
/// A look that goes on.
pub type Look = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Hands everything on to another store, from when that was seen to be the right one; until then each call
/// looks first. So a store that did not answer at the start is looked at when it does.
pub struct Proven {
    inner: Arc<dyn BlobStore>,
    proof: Proof,
    passed: OnceCell<()>,
}

impl Proven {
    /// Stands before `inner`, and asks nobody yet.
    pub fn new(inner: Arc<dyn BlobStore>, proof: Proof) -> Self {
        Self {
            inner,
            proof,
            passed: OnceCell::new(),
        }
    }

    /// Looks now, unless it was seen before.
    ///
    /// # Errors
    /// The proof's own.
    pub async fn prove(&self) -> Result<()> {
        let look = || (self.proof)(self.inner.clone());
        self.passed.get_or_try_init(look).await.copied()
    }

    async fn store(&self) -> Result<&Arc<dyn BlobStore>> {
        let proven = self.prove().await;
        proven.map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::Unavailable => error,
            _ => {
                let context =
                    "the server cannot use its storage; tell the operator, and try again later";
                Error::new(ErrorKind::Unavailable, context).because(error)
            }
        })?;
        Ok(&self.inner)
    }
}

#[async_trait]
impl BlobStore for Proven {
    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    async fn put(&self, id: BlobId, sealed: Bytes) -> Result<()> {
        self.store().await?.put(id, sealed).await
    }

    async fn begin(&self, id: BlobId) -> Result<Box<dyn BlobWriter>> {
        self.store().await?.begin(id).await
    }

    async fn read_into(&self, id: BlobId, range: Range<u64>, intake: SharedIntake) -> Result<()> {
        self.store().await?.read_into(id, range, intake).await
    }

    async fn length(&self, id: BlobId) -> Result<Option<u64>> {
        self.store().await?.length(id).await
    }

    async fn salvage(&self, id: BlobId, checkpoint: &Checkpoint) -> Result<()> {
        self.store().await?.salvage(id, checkpoint).await
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        self.store().await?.delete(id).await
    }

    async fn discard(&self, id: BlobId) -> Result<()> {
        self.store().await?.discard(id).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        self.store().await?.list(after, limit).await
    }

    async fn unfinished(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        self.store().await?.unfinished(after, limit).await
    }

    async fn owner(&self) -> Result<Option<String>> {
        self.inner.owner().await
    }

    async fn claim(&self, owner: &str) -> Result<String> {
        self.inner.claim(owner).await
    }

    async fn look(&self) -> Result<()> {
        self.store().await?.look().await
    }

    async fn probe(&self) -> Result<()> {
        self.inner.probe().await
    }
}
