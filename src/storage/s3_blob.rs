//! One blob in a bucket, written once: what is to be made of S3's answers when a call was repeated
//! or somebody else was there first.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::BlobId;
use crate::domain::random;
use crate::storage::refusal;
use crate::storage::s3_bucket::{Bucket, Head};
use crate::storage::s3_error::{Fault, Trouble};
use crate::storage::s3_notes::{Notes, Part};
use crate::storage::store::Checkpoint;

/// How often a call is made that meets another one on the same object: most often its own
/// predecessor, whose answer was lost while it was still at work.
const ATTEMPTS: u32 = 6;

/// An attempt at writing (or salvaging, or removing) a blob.
pub struct S3Blob {
    bucket: Arc<Bucket>,
    id: BlobId,
    key: String,
    /// Stored with the object, so that whoever finds the place taken knows whether it was himself.
    attempt: String,
}

impl S3Blob {
    /// The blob `id`, by its name `key`.
    pub fn new(bucket: &Arc<Bucket>, id: BlobId, key: String) -> Self {
        Self {
            bucket: Arc::clone(bucket),
            id,
            key,
            attempt: HEXLOWER.encode(&random::bytes::<16>()),
        }
    }

    /// Its id.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// Stores it whole.
    pub async fn put(&self, sealed: Bytes) -> Result<()> {
        let length = sealed.len() as u64;
        let put = || self.bucket.put(&self.key, sealed.clone(), &self.attempt);
        match again(put).await {
            Ok(()) => Ok(()),
            Err(fault) if *fault.trouble() == Trouble::Occupied => {
                match self.is_ours(length, fault).await {
                    // It was removed at this moment; next time there may be room for ours.
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        Err(refusal::unavailable().because(error))
                    }
                    settled => settled,
                }
            }
            Err(fault) => Err(self.refused(fault)),
        }
    }

    /// Begins to store it in parts.
    pub async fn create_upload(&self) -> Result<String> {
        let created = self.bucket.create_upload(&self.key, &self.attempt).await;
        created.map_err(|fault| self.refused(fault))
    }

    /// Stores a part.
    pub async fn upload_part(&self, upload: &str, number: i32, sealed: Bytes) -> Result<Part> {
        let bucket = &self.bucket;
        let send = || bucket.upload_part(&self.key, upload, number, sealed.clone());
        match again(send).await {
            Ok(part) => Ok(part),
            Err(fault) if *fault.trouble() == Trouble::NoUpload => Err(self.gone(fault).await),
            Err(fault) => Err(self.refused(fault)),
        }
    }

    /// Makes it of its parts.
    pub async fn complete(&self, notes: &Notes) -> Result<()> {
        let Some(upload) = &notes.upload else {
            return self.put(Bytes::new()).await;
        };
        let complete = || self.bucket.complete(&self.key, upload, &notes.parts);
        let Err(fault) = again(complete).await else {
            return Ok(());
        };
        match fault.trouble() {
            Trouble::Missing | Trouble::NoUpload | Trouble::Occupied => {
                let settled = self.is_ours(notes.length(), fault).await;
                if settled.is_err() {
                    // Nothing can come of it any more.
                    drop(self.bucket.abort(&self.key, upload).await);
                }
                settled
            }
            _ => Err(self.refused(fault)),
        }
    }

    /// Makes it of the parts that a checkpoint names.
    pub async fn salvage(&self, checkpoint: &Checkpoint) -> Result<()> {
        if let Some(head) = self.head().await? {
            return self.long_enough(&head, checkpoint);
        }
        let notes = match checkpoint.state.is_empty() {
            true => Notes::default(),
            false => Notes::decode(&checkpoint.state)?,
        };
        let parts = notes.first(checkpoint.length);
        let parts = parts.ok_or_else(|| refusal::too_short(self.id, notes.length()))?;
        let (Some(upload), false) = (&notes.upload, parts.is_empty()) else {
            return self.salvage_nothing().await;
        };
        let complete = || self.bucket.complete(&self.key, upload, parts);
        let Err(fault) = again(complete).await else {
            return Ok(());
        };
        match fault.trouble() {
            Trouble::Missing | Trouble::NoUpload | Trouble::Occupied => match self.head().await? {
                Some(head) => self.long_enough(&head, checkpoint),
                None => Err(refusal::missing(self.id).because(fault)),
            },
            _ => Err(self.refused(fault)),
        }
    }

    /// Removes it and all uploads of it.
    pub async fn discard(&self) -> Result<()> {
        for begun in self.uploads().await? {
            match self.bucket.abort(&self.key, &begun).await {
                Ok(()) => {}
                Err(fault) if is_gone(&fault) => {}
                Err(fault) => return Err(self.refused(fault)),
            }
        }
        self.delete().await
    }

    /// Removes it.
    pub async fn delete(&self) -> Result<()> {
        match self.bucket.delete(&self.key).await {
            Err(fault) if *fault.trouble() != Trouble::Missing => Err(self.refused(fault)),
            _ => Ok(()),
        }
    }

    /// What is stored of it, if it is.
    pub async fn head(&self) -> Result<Option<Head>> {
        match self.bucket.head(&self.key).await {
            Ok(head) => Ok(Some(head)),
            Err(fault) if *fault.trouble() == Trouble::Missing => {
                // An answer to HEAD does not tell a missing object from a missing bucket, and
                // nobody must take all blobs for lost when the bucket is.
                let listed = self.bucket.list(&self.key, None, 1).await;
                listed.map(|_| None).map_err(|fault| self.refused(fault))
            }
            Err(fault) => Err(self.refused(fault)),
        }
    }

    /// An upload that holds nothing yet becomes an empty blob.
    async fn salvage_nothing(&self) -> Result<()> {
        let uploads = self.uploads().await?;
        if uploads.is_empty() {
            return Err(refusal::missing(self.id));
        }
        self.put(Bytes::new()).await?;
        for upload in uploads {
            drop(self.bucket.abort(&self.key, &upload).await);
        }
        Ok(())
    }

    async fn uploads(&self) -> Result<Vec<String>> {
        let begun = self.bucket.uploads(&self.key).await;
        let begun = begun.map_err(|fault| self.refused(fault))?;
        let ours = begun.into_iter().filter(|begun| begun.key == self.key);
        Ok(ours.map(|begun| begun.upload).collect())
    }

    /// Whether what is stored is what this attempt stored, so that only the answer was lost.
    async fn is_ours(&self, length: u64, fault: Fault) -> Result<()> {
        match self.head().await? {
            Some(head) if head.attempt.as_ref() == Some(&self.attempt) && head.length == length => {
                Ok(())
            }
            Some(_) => Err(refusal::taken(self.id).because(fault)),
            None => Err(refusal::missing(self.id).because(fault)),
        }
    }

    /// Why there is no upload to go on with.
    async fn gone(&self, fault: Fault) -> Error {
        match self.head().await {
            Ok(Some(_)) => refusal::taken(self.id).because(fault),
            Ok(None) => refusal::missing(self.id).because(fault),
            Err(error) => error,
        }
    }

    fn long_enough(&self, head: &Head, checkpoint: &Checkpoint) -> Result<()> {
        match head.length < checkpoint.length {
            true => Err(refusal::too_short(self.id, head.length)),
            false => Ok(()),
        }
    }

    fn refused(&self, fault: Fault) -> Error {
        fault.about(self.id)
    }
}

fn is_gone(fault: &Fault) -> bool {
    matches!(fault.trouble(), Trouble::Missing | Trouble::NoUpload)
}

/// Makes a call again while it meets another one on the same object, or its bytes are damaged on the
/// way: what the SDK does not repeat.
async fn again<T, F: Future<Output = std::result::Result<T, Fault>>>(
    call: impl Fn() -> F,
) -> std::result::Result<T, Fault> {
    let mut attempt = 1;
    loop {
        match call().await {
            Err(fault)
                if attempt < ATTEMPTS
                    && matches!(fault.trouble(), Trouble::Conflict | Trouble::Sum) =>
            {
                pause(attempt).await;
                attempt += 1;
            }
            ended => return ended,
        }
    }
}

/// Waits before attempt number `after` + 1: twice as long each time, with jitter.
pub async fn pause(after: u32) {
    let most_ms = 100_u64 << after.min(6);
    let wait = Duration::from_millis(most_ms / 2 + random::below(most_ms / 2));
    tokio::time::sleep(wait).await;
}
