//! Reading one blob: frames fetched, verified and opened.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::OnceCell;

use crate::crypto::open::{Opener, frame_range, frames};
use crate::crypto::seal::{FRAME_BYTES, HEADER_BYTES, Position, TAG_BYTES};
use crate::db::blobs::BlobInfo;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;
use crate::net::budget::Share;
use crate::vfs::service::Vfs;

/// Frames that are fetched and opened together when reading goes on in order.
const CHUNK_FRAMES: u64 = 16;
const CHUNK_BYTES: u64 = CHUNK_FRAMES * FRAME_BYTES as u64;
/// Chunks kept: as many as a client's requests in flight may lie apart.
const CHUNKS: usize = 4;
const SEALED_FRAME: usize = FRAME_BYTES + TAG_BYTES;

/// Reads one blob. Calls may run at once; those that meet in a chunk share its fetch.
pub struct BlobReader {
    vfs: Vfs,
    tenant: TenantId,
    info: BlobInfo,
    opener: OnceCell<Opener>,
    chunks: Mutex<VecDeque<(u64, Chunk)>>,
    /// Where the last read ended, to tell reading in order from jumping about.
    last_end: AtomicU64,
}

type Chunk = Arc<OnceCell<Opened>>;

/// Opened bytes and the memory they count for.
struct Opened {
    plain: Bytes,
    _share: Share,
}

impl BlobReader {
    /// A reader of a blob that the database describes by `info`.
    pub fn new(vfs: Vfs, tenant: TenantId, info: BlobInfo) -> Self {
        Self {
            vfs,
            tenant,
            info,
            opener: OnceCell::new(),
            chunks: Mutex::default(),
            last_end: AtomicU64::new(0),
        }
    }

    /// Verified plain bytes from `start`: at least one and at most `length`, fewer at the end of a
    /// chunk.
    ///
    /// # Errors
    /// Corrupt when they fail verification or lie beyond the blob; Unavailable when the store does
    /// not answer.
    pub async fn read(&self, start: u64, length: usize) -> Result<Bytes> {
        if start >= self.info.size || length == 0 {
            return Err(self.damaged(Error::internal("read beyond the end of the blob")));
        }
        let end = start.saturating_add(length as u64).min(self.info.size);
        let before = self.last_end.swap(end, Ordering::Relaxed);
        let number = start / CHUNK_BYTES;
        if let Some(chunk) = self.chunk(number, before.abs_diff(start) <= CHUNK_BYTES) {
            let opened = chunk.get_or_try_init(|| self.load_chunk(number)).await;
            match opened {
                Ok(opened) => {
                    let from = start - number * CHUNK_BYTES;
                    let to = (end - number * CHUNK_BYTES).min(opened.plain.len() as u64);
                    return Ok(opened.plain.slice(from as usize..to as usize));
                }
                Err(error) if error.kind() == ErrorKind::Busy => {}
                Err(error) => return Err(error),
            }
        }
        let first = start / FRAME_BYTES as u64;
        let last = (end - 1) / FRAME_BYTES as u64;
        let plain = self.load(first, last).await?;
        let from = (start - first * FRAME_BYTES as u64) as usize;
        let to = from + (end - start) as usize;
        Ok(plain.freeze().slice(from..to))
    }

    /// The chunk if it is kept, or a place for it if reading goes on in order.
    fn chunk(&self, number: u64, in_order: bool) -> Option<Chunk> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chunk)) = chunks.iter().find(|(n, _)| *n == number) {
            return Some(chunk.clone());
        }
        if !in_order {
            return None;
        }
        if chunks.len() >= CHUNKS {
            chunks.pop_front();
        }
        let chunk = Chunk::default();
        chunks.push_back((number, chunk.clone()));
        Some(chunk)
    }

    async fn load_chunk(&self, number: u64) -> Result<Opened> {
        let first = number * CHUNK_FRAMES;
        let last = (first + CHUNK_FRAMES).min(frames(self.info.size)) - 1;
        let bytes = (last - first + 1) as usize * SEALED_FRAME;
        let share = self
            .vfs
            .budget()
            .try_take(bytes)
            .ok_or_else(|| Error::new(ErrorKind::Busy, "no memory for a chunk"))?;
        Ok(Opened {
            plain: self.load(first, last).await?.freeze(),
            _share: share,
        })
    }

    /// Fetches and opens frames `first..=last`.
    async fn load(&self, first: u64, last: u64) -> Result<BytesMut> {
        let mut range = frame_range(self.info.size, first, last);
        let with_header = first == 0 && !self.opener.initialized();
        if with_header {
            range.start = 0;
        }
        let fetched = self
            .vfs
            .store(self.info.region)?
            .read(self.info.id, range)
            .await;
        let mut sealed = fetched.map_err(|error| self.report(error))?;
        if with_header {
            let header = sealed.split_to(HEADER_BYTES.min(sealed.len()));
            self.opener(Some(&header)).await?;
        }
        let opener = self.opener(None).await?;
        let final_frame = match self.info.finished {
            true => frames(self.info.size) - 1,
            false => u64::MAX,
        };
        let mut filled = 0;
        for (number, at) in (first..=last).zip((0..sealed.len()).step_by(SEALED_FRAME)) {
            let position = match number == final_frame {
                true => Position::Final,
                false => Position::Middle,
            };
            let end = (at + SEALED_FRAME).min(sealed.len());
            let frame = sealed
                .get_mut(at..end)
                .ok_or_else(|| Error::internal("a frame beyond what was fetched"))?;
            let plain = opener
                .open(number, position, frame)
                .map_err(|error| self.damaged(error))?
                .len();
            // Closes the gap that the tag before left.
            sealed.copy_within(at..at + plain, filled);
            filled += plain;
        }
        sealed.truncate(filled);
        Ok(sealed)
    }

    async fn opener(&self, header: Option<&[u8]>) -> Result<&Opener> {
        self.opener
            .get_or_try_init(|| async {
                let fetched;
                let header = match header {
                    Some(header) => header,
                    None => {
                        let range = 0..HEADER_BYTES as u64;
                        let read = self
                            .vfs
                            .store(self.info.region)?
                            .read(self.info.id, range)
                            .await;
                        fetched = read.map_err(|error| self.report(error))?;
                        &fetched
                    }
                };
                let version = self.info.key_version;
                let key = self.vfs.keys().version(self.tenant, version).await?;
                Opener::new(self.tenant, self.info.id, header, &key)
                    .map_err(|error| self.damaged(error))
            })
            .await
    }

    /// A blob that is gone or too short is damage too.
    fn report(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Corrupt | ErrorKind::NotFound => self.damaged(error),
            _ => error,
        }
    }

    fn damaged(&self, error: Error) -> Error {
        tracing::error!(blob = %self.info.id, tenant.id = %self.tenant, error = ?error, "a blob is damaged");
        Error::new(
            ErrorKind::Corrupt,
            "this part of the file is damaged in the store; tell the operator",
        )
        .because(error)
    }
}
