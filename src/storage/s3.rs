//! Blobs in an S3 bucket.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use aws_config::SdkConfig;
use bytes::Bytes;

use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::BlobId;
use crate::storage::refusal;
use crate::storage::s3_blob::S3Blob;
use crate::storage::s3_bucket::{Bucket, timestamp};
use crate::storage::s3_check::Check;
use crate::storage::s3_key::Keys;
use crate::storage::s3_marker::Marker;
use crate::storage::s3_read::Reading;
use crate::storage::s3_settings::S3Settings;
use crate::storage::s3_writer::S3Writer;
use crate::storage::store::{BlobStore, BlobWriter, Checkpoint, Shape, SharedIntake, StoredBlob};

/// The first and the least size of a part, which is passed by less than 64 KiB and a little: a part is no
/// longer than 8 MiB, or servers that store it in pieces of 4 MiB (SeaweedFS) would each time be left with a
/// tiny one. S3's own limit is 5 MiB.
const FIRST_PART: usize = (8 << 20) - (66 << 10);
const MOST_PART: usize = 32 << 20;
/// So many parts a blob may be made of; S3 takes 10,000.
const PARTS: u32 = 9_000;

/// Keeps blobs in a bucket, each an object. Clones share the connections.
///
/// Several processes may use one bucket and prefix, as long as ids are drawn at random. What
/// [`BlobStore::unfinished`] lists has a length of zero: telling it would take a call each.
#[derive(Clone)]
pub struct S3Store {
    bucket: Arc<Bucket>,
    keys: Keys,
    check: Arc<Check>,
    shape: Shape,
}

impl S3Store {
    /// Will speak to the bucket that `settings` names, with the login and the limits of `config`.
    /// Calls nobody: [`BlobStore::probe`] does.
    pub fn new(config: &SdkConfig, settings: S3Settings) -> Self {
        Self {
            bucket: Arc::new(Bucket::new(config, &settings)),
            keys: Keys::new(&settings.prefix),
            check: Arc::new(Check::new(config, settings)),
            shape: shape(),
        }
    }

    fn blob(&self, id: BlobId) -> S3Blob {
        S3Blob::new(&self.bucket, id, self.keys.key(id))
    }

    fn marker(&self) -> Marker<'_> {
        Marker {
            bucket: &self.bucket,
            key: self.keys.marker(),
        }
    }
}

#[async_trait]
impl BlobStore for S3Store {
    fn shape(&self) -> Shape {
        self.shape
    }

    async fn put(&self, id: BlobId, sealed: Bytes) -> Result<()> {
        self.blob(id).put(sealed).await
    }

    async fn begin(&self, id: BlobId) -> Result<Box<dyn BlobWriter>> {
        Ok(Box::new(S3Writer::new(self.blob(id))))
    }

    async fn read_into(&self, id: BlobId, range: Range<u64>, intake: SharedIntake) -> Result<()> {
        if range.is_empty() {
            let length = self.length(id).await?;
            let length = length.ok_or_else(|| refusal::missing(id))?;
            return refusal::check_range(id, &range, length);
        }
        let reading = Reading {
            bucket: &self.bucket,
            id,
            key: &self.keys.key(id),
            left: range,
        };
        reading.run(&intake).await
    }

    async fn length(&self, id: BlobId) -> Result<Option<u64>> {
        let head = self.blob(id).head().await?;
        Ok(head.map(|head| head.length))
    }

    async fn salvage(&self, id: BlobId, checkpoint: &Checkpoint) -> Result<()> {
        self.blob(id).salvage(checkpoint).await
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        self.blob(id).delete().await
    }

    async fn discard(&self, id: BlobId) -> Result<()> {
        self.blob(id).discard().await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        let mut list = Vec::new();
        let mut after = after.map(|id| self.keys.key(id));
        while list.len() < limit {
            let left = limit - list.len();
            let page = self.bucket.list(self.keys.prefix(), after.take(), left);
            let page = page.await.map_err(|fault| fault.refusal())?;
            let objects = page.contents.unwrap_or_default();
            let last = objects.last().and_then(|object| object.key.clone());
            list.extend(objects.into_iter().filter_map(|object| {
                Some(StoredBlob {
                    id: self.keys.id(object.key()?)?,
                    length: u64::try_from(object.size?).ok()?,
                    modified: object
                        .last_modified
                        .map_or(Timestamp(0), |at| timestamp(&at)),
                    finished: true,
                })
            }));
            if page.is_truncated != Some(true) || last.is_none() {
                break;
            }
            after = last;
        }
        Ok(list)
    }

    async fn unfinished(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        let uploads = self.bucket.uploads(self.keys.prefix()).await;
        let uploads = uploads.map_err(|fault| fault.refusal())?;
        let mut found = BTreeMap::new();
        for begun in uploads {
            let id = self.keys.id(&begun.key);
            if let Some(id) = id.filter(|id| after.is_none_or(|after| *id > after)) {
                let modified = found.entry(id).or_insert(begun.initiated);
                *modified = begun.initiated.max(*modified);
                if found.len() > limit {
                    found.pop_last();
                }
            }
        }
        Ok(found
            .into_iter()
            .map(|(id, modified)| StoredBlob {
                id,
                length: 0,
                modified,
                finished: false,
            })
            .collect())
    }

    async fn owner(&self) -> Result<Option<String>> {
        self.marker().read().await
    }

    async fn claim(&self, owner: &str) -> Result<String> {
        self.marker().write(owner).await
    }

    async fn probe(&self) -> Result<()> {
        self.check.run().await
    }
}

fn shape() -> Shape {
    let mut shape = Shape {
        whole: FIRST_PART,
        least_piece: FIRST_PART,
        first_piece: FIRST_PART,
        most_piece: MOST_PART,
        most: 0,
        most_pieces: PARTS as usize + 500,
        read: 4 << 20,
        reads_ahead: 4,
    };
    for _ in 0..PARTS {
        shape.most += shape.piece(shape.most) as u64;
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_of_the_shapes_pieces_is_within_the_limits_of_s3() {
        let shape = shape();
        assert!(shape.most < 5 << 40);
        assert!(shape.most > 256 << 30);
        let (mut written, mut parts) = (0, 0);
        while written < shape.most {
            written += shape.piece(written) as u64;
            parts += 1;
        }
        assert_eq!(parts, PARTS);
    }
}
