//! A blob being written: plain bytes in, sealed frames out to the store.

use std::sync::Arc;

use bytes::BytesMut;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};

use crate::crypto::seal::{FRAME_BYTES, HEADER_BYTES, Sealer, TAG_BYTES};
use crate::db::blobs::BlobInfo;
use crate::domain::error::{Error, Result};
use crate::domain::id::{BlobId, RegionId, TenantId};
use crate::net::budget::{Budget, Share};
use crate::storage::store::{BlobStore, BlobWriter};
use crate::vfs::service::Vfs;

/// A blob of up to this many sealed bytes is stored by one call.
pub const WHOLE_BYTES: usize = 4 * (FRAME_BYTES + TAG_BYTES) + HEADER_BYTES;
/// Sealed bytes that go to the store at once, when memory allows; the store may be writing as many
/// while the next are sealed.
const PIECE_BYTES: usize = 16 * (FRAME_BYTES + TAG_BYTES);
const SEALED_FRAME: usize = FRAME_BYTES + TAG_BYTES;

/// Seals what is appended and stores it as it comes.
///
/// Holds at most a plain frame and a piece of sixteen sealed ones, and as much on its way into the
/// store; when the budget is short, a plain frame
/// and a sealed one, which the upload was granted at admission: it never waits for memory.
pub struct BlobSink {
    store: Arc<dyn BlobStore>,
    budget: Budget,
    sealer: Sealer,
    id: BlobId,
    key_version: u32,
    region: RegionId,
    /// Plain bytes of the frame that is not full yet, or full and perhaps the last.
    tail: BytesMut,
    /// Sealed bytes that the store has not been given yet.
    out: BytesMut,
    size: u64,
    writer: Option<Box<dyn BlobWriter>>,
    share: Option<Share>,
    /// Runs over the frames as they are sealed.
    hash: Option<Sha256>,
}

/// How much of a blob is durable.
pub struct Durable {
    /// The blob, with the plain bytes that are durable.
    pub info: BlobInfo,
    /// The state of the hash after them.
    pub hash_state: Option<Vec<u8>>,
}

impl BlobSink {
    /// Starts a blob that the database knows already. `hash` goes on over what is appended.
    ///
    /// # Errors
    /// Unavailable when the database or the key service does not answer.
    pub async fn open(vfs: &Vfs, tenant: TenantId, hash: Option<Sha256>) -> Result<Self> {
        let announced = vfs.sealers().take(tenant).await?;
        let mut out = BytesMut::with_capacity(HEADER_BYTES + SEALED_FRAME);
        out.extend_from_slice(announced.sealer.header());
        Ok(Self {
            store: vfs.store(announced.region)?.clone(),
            budget: vfs.budget().clone(),
            id: announced.sealer.id(),
            key_version: announced.key_version,
            region: announced.region,
            sealer: announced.sealer,
            tail: BytesMut::new(),
            out,
            size: 0,
            writer: None,
            share: None,
            hash,
        })
    }

    /// Gives the hash up, because the content no longer follows the order of the blob.
    pub fn stop_hashing(&mut self) {
        self.hash = None;
    }

    /// The blob's id.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// Plain bytes appended so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends plain bytes and returns where in the blob they start.
    ///
    /// # Errors
    /// StorageFull or Unavailable, as the store says.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let start = self.size;
        let room = match self.tail.is_empty() {
            true => 0,
            false => FRAME_BYTES - self.tail.len(),
        };
        let (head, mut rest) = bytes.split_at(room.min(bytes.len()));
        self.tail.extend_from_slice(head);
        while !rest.is_empty() {
            if !self.tail.is_empty() {
                let tail = std::mem::take(&mut self.tail);
                self.seal(&tail)?;
                self.tail = tail;
                self.tail.clear();
                self.pass_on().await?;
            }
            // The last frame is held back: it may be the final one, which is sealed differently.
            if rest.len() <= FRAME_BYTES {
                self.tail.extend_from_slice(rest);
                break;
            }
            let (frame, after) = rest.split_at(FRAME_BYTES);
            self.seal(frame)?;
            self.pass_on().await?;
            rest = after;
        }
        self.size += bytes.len() as u64;
        Ok(start)
    }

    /// Makes the full frames durable and says how many plain bytes that is.
    ///
    /// # Errors
    /// StorageFull or Unavailable, as the store says.
    pub async fn checkpoint(&mut self) -> Result<Durable> {
        self.flush().await?;
        let durable = match &mut self.writer {
            Some(writer) => writer.checkpoint().await?.length,
            None => 0,
        };
        let frames = durable.saturating_sub(HEADER_BYTES as u64) / SEALED_FRAME as u64;
        let size = frames * FRAME_BYTES as u64;
        // A store may keep less than it was given; then there is no hash of just that.
        let all = size + self.tail.len() as u64 == self.size;
        let hash = self.hash.as_ref().filter(|_| all);
        Ok(Durable {
            info: self.info(size, false),
            hash_state: hash.map(|hash| hash.serialize().to_vec()),
        })
    }

    /// Seals the last frame and completes the blob; it is durable when this returns.
    ///
    /// # Errors
    /// StorageFull or Unavailable, as the store says.
    pub async fn finish(mut self) -> Result<(BlobInfo, Option<Sha256>)> {
        let info = self.info(self.size, true);
        if let Some(hash) = &mut self.hash {
            hash.update(&self.tail);
        }
        self.sealer.finish(&self.tail, &mut self.out)?;
        match self.writer.take() {
            None => self.store.put(self.id, self.out.freeze()).await?,
            Some(mut writer) => {
                writer.write(self.out.freeze()).await?;
                writer.finish().await?;
            }
        }
        Ok((info, self.hash))
    }

    fn seal(&mut self, frame: &[u8]) -> Result<()> {
        if let Some(hash) = &mut self.hash {
            hash.update(frame);
        }
        self.sealer.seal(frame, &mut self.out)
    }

    /// Gives the store what has piled up, if it is enough.
    async fn pass_on(&mut self) -> Result<()> {
        let (most, held) = match self.writer {
            None => (WHOLE_BYTES, WHOLE_BYTES),
            Some(_) => (PIECE_BYTES, 2 * PIECE_BYTES),
        };
        if self.share.as_ref().is_none_or(|share| share.bytes() < held) {
            self.share = None;
            self.share = self.budget.try_take(held);
        }
        let most = match self.share {
            Some(_) => most,
            None => SEALED_FRAME,
        };
        match self.out.len() >= most {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.store.begin(self.id).await?),
        };
        let size = self.out.len();
        writer.write(self.out.split().freeze()).await?;
        self.out.reserve(size);
        Ok(())
    }

    /// The blob, with so many plain bytes.
    pub fn info(&self, size: u64, finished: bool) -> BlobInfo {
        BlobInfo {
            id: self.id,
            size,
            finished,
            key_version: self.key_version,
            region: self.region,
        }
    }
}

/// What an upload holds at least: a plain frame and a sealed one.
///
/// # Errors
/// Busy when the process has no memory left for another upload.
pub fn admit(budget: &Budget) -> Result<Share> {
    budget.try_take(FRAME_BYTES + SEALED_FRAME).ok_or_else(|| {
        Error::new(
            crate::domain::error::ErrorKind::Busy,
            "the server is short of memory; try again in a moment",
        )
    })
}
