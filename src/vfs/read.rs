//! Reading a file: one version, from open to close.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::db::contents::{self, StoredContent};
use crate::db::sql::TenantTx;
use crate::domain::content::{Extent, ExtentMap};
use crate::domain::error::{Error, Result};
use crate::domain::id::{BlobId, TenantId};
use crate::domain::node::Entry;
use crate::vfs::blob_reader::BlobReader;
use crate::vfs::service::Vfs;

/// Most bytes that one call returns.
pub const MAX_READ: usize = 1024 * 1024;

/// The bytes of a content, wherever they lie. Cheap to clone.
#[derive(Clone)]
pub struct ContentReader {
    shared: Arc<Shared>,
}

struct Shared {
    map: ExtentMap,
    blobs: HashMap<BlobId, BlobReader>,
}

impl ContentReader {
    /// Reads what `content` describes.
    pub fn new(vfs: &Vfs, tenant: TenantId, content: StoredContent) -> Self {
        let reader = |info| BlobReader::new(vfs.clone(), tenant, info);
        let blobs = content.blobs.into_iter();
        Self {
            shared: Arc::new(Shared {
                map: content.map,
                blobs: blobs.map(|info| (info.id, reader(info))).collect(),
            }),
        }
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.shared.map.size()
    }

    /// Up to `length` bytes at `offset` ([`MAX_READ`] at most); fewer only at the end of the
    /// content; none at or past it. Calls may run at once.
    ///
    /// # Errors
    /// Corrupt when stored bytes fail verification; Unavailable when the store does not answer.
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes> {
        let wanted = length.min(MAX_READ);
        let end = offset.saturating_add(wanted as u64).min(self.size());
        if offset >= end {
            return Ok(Bytes::new());
        }
        let runs = self.shared.map.slice(offset, end);
        let mut first = None;
        let mut whole = BytesMut::new();
        for run in runs {
            let mut done = 0;
            while done < run.length {
                let piece = self.piece(&run, done).await?;
                done += piece.len() as u64;
                if first.is_none() && piece.len() as u64 == end - offset {
                    return Ok(piece);
                }
                first = Some(());
                whole.extend_from_slice(&piece);
            }
        }
        Ok(whole.freeze())
    }

    async fn piece(&self, run: &Extent, done: u64) -> Result<Bytes> {
        let left = usize::try_from(run.length - done).unwrap_or(MAX_READ);
        let Some(id) = run.blob else {
            return Ok(Bytes::from(vec![0; left.min(MAX_READ)]));
        };
        let blob = self
            .shared
            .blobs
            .get(&id)
            .ok_or_else(|| Error::internal("an extent of a blob that was not loaded"))?;
        blob.read(run.blob_start + done, left).await
    }
}

/// An open file. Cheap to clone.
#[derive(Clone)]
pub struct FileReader {
    entry: Arc<Entry>,
    content: Option<ContentReader>,
}

impl FileReader {
    /// Opens the version that `entry` is, in the transaction that found it.
    pub(in crate::vfs) async fn open(vfs: &Vfs, tx: &mut TenantTx, entry: Entry) -> Result<Self> {
        let content = match entry.content {
            Some(id) => {
                let stored = contents::load(tx, id).await?;
                Some(ContentReader::new(vfs, tx.tenant(), stored))
            }
            None => None,
        };
        Ok(Self {
            entry: Arc::new(entry),
            content,
        })
    }

    /// The version that is read.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// As [`ContentReader::read_at`].
    ///
    /// # Errors
    /// Corrupt when stored bytes fail verification; Unavailable when the store does not answer.
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes> {
        match &self.content {
            Some(content) => content.read_at(offset, length).await,
            None => Ok(Bytes::new()),
        }
    }
}
