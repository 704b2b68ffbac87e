//! A blob being written: plain bytes in, sealed frames out to the store.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sha2::Sha256;

use crate::crypto::seal::{FRAME_BYTES, HEADER_BYTES, Sealer, TAG_BYTES};
use crate::db::blobs::BlobInfo;
use crate::domain::error::Result;
use crate::domain::id::{BlobId, RegionId, TenantId};
use crate::net::budget::{Budget, Share};
use crate::storage::store::{BlobStore, Checkpoint, Shape};
use crate::vfs::feed::Feed;
use crate::vfs::hasher::Hasher;
use crate::vfs::piece::Piece;
use crate::vfs::recycled::Recycled;
use crate::vfs::service::Vfs;

const SEALED_FRAME: usize = FRAME_BYTES + TAG_BYTES;
/// What an upload holds at least, in bytes: a plain frame and a sealed one.
pub const GRANTED: usize = FRAME_BYTES + SEALED_FRAME + HEADER_BYTES;
/// The first step beyond what an upload is granted at admission, in sealed bytes.
const FIRST_STEP: usize = 4 * SEALED_FRAME + HEADER_BYTES;

/// Seals what is appended and stores it as it comes, in pieces of the store's liking.
///
/// Holds what the budget spares and at least a plain frame and a sealed one, which the upload was
/// granted at admission. When memory is short and the store takes no piece that small, the blob ends
/// there and the content goes on in another: nothing waits for memory but for what this blob itself
/// has on its way.
pub struct BlobSink {
    store: Arc<dyn BlobStore>,
    shape: Shape,
    budget: Budget,
    sealer: Sealer,
    id: BlobId,
    key_version: u32,
    region: RegionId,
    /// Plain bytes of the frame that is not full yet, or full and perhaps the last.
    tail: BytesMut,
    /// Memory for pieces.
    memory: Recycled,
    /// Sealed bytes that the store has not been given yet.
    out: Piece,
    /// What `out` may hold beyond one frame.
    share: Option<Share>,
    /// Sealed bytes that the store has been given, and in how many pieces.
    given: u64,
    pieces: usize,
    size: u64,
    /// Whether the blob has to end.
    full: bool,
    feed: Option<Feed>,
    /// Runs over the frames as they are sealed; its marks are the ends of pieces, in sealed bytes.
    hash: Option<Hasher>,
}

/// How much of a blob is durable.
pub struct Durable {
    /// The blob, with the plain bytes that are durable.
    pub info: BlobInfo,
    /// The state of the hash after them.
    pub hash_state: Option<Vec<u8>>,
    /// The store's notes, with which another instance can make them readable.
    pub checkpoint: Checkpoint,
}

impl BlobSink {
    /// Starts a blob that the database knows already. `hash` goes on over what is appended.
    ///
    /// # Errors
    /// Unavailable when the database or the key service does not answer.
    pub async fn open(vfs: &Vfs, tenant: TenantId, hash: Option<Sha256>) -> Result<Self> {
        let announced = vfs.sealers().take(tenant).await?;
        let store = vfs.store(announced.region)?.clone();
        Ok(Self {
            shape: store.shape(),
            store,
            budget: vfs.budget().clone(),
            id: announced.sealer.id(),
            key_version: announced.key_version,
            region: announced.region,
            memory: vfs.recycled().clone(),
            out: Piece::first(&announced.sealer),
            sealer: announced.sealer,
            tail: BytesMut::new(),
            share: None,
            given: 0,
            pieces: 0,
            size: 0,
            full: false,
            feed: None,
            hash: hash.map(|state| Hasher::new(vfs.hands().clone(), state)),
        })
    }

    /// Gives the hash up, because the content no longer follows the order of the blob.
    pub fn stop_hashing(&mut self) {
        self.hash = None;
    }

    /// Whether the blob is stored by one `put`, in a store that takes pieces of any size: one that is near.
    pub fn is_small(&self) -> bool {
        self.feed.is_none() && self.shape.least_piece == 0
    }

    /// The blob's id.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// Appends plain bytes; returns where in the blob they start, and how many of them it took. When
    /// these are not all, the blob is full: the rest belongs into another.
    ///
    /// # Errors
    /// StorageFull or Unavailable, as the store says.
    pub async fn append(&mut self, bytes: &Bytes) -> Result<(u64, usize)> {
        let start = self.size;
        let room = match self.tail.is_empty() {
            true => 0,
            false => FRAME_BYTES - self.tail.len(),
        };
        let mut rest = bytes.clone();
        let head = rest.split_to(room.min(rest.len()));
        hold(&mut self.tail, &head, start == 0);
        while !rest.is_empty() {
            if !self.tail.is_empty() {
                if !self.make_room().await? {
                    break;
                }
                let tail = self.tail.split().freeze();
                self.seal(tail).await?;
            }
            // The last frame is held back: it may be the final one, which is sealed differently.
            let frame = rest.split_to(rest.len().min(FRAME_BYTES));
            if rest.is_empty() || !self.make_room().await? {
                hold(&mut self.tail, &frame, start == 0);
            } else {
                self.seal(frame).await?;
            }
        }
        let taken = bytes.len() - rest.len();
        self.size += taken as u64;
        Ok((start, taken))
    }

    /// Says how many plain bytes are durable, after making them so where the store can.
    ///
    /// # Errors
    /// StorageFull or Unavailable, as the store says.
    pub async fn checkpoint(&mut self) -> Result<Durable> {
        if self.shape.least_piece == 0 {
            self.pass_on().await?;
        }
        let checkpoint = match &mut self.feed {
            Some(feed) => feed.checkpoint().await?,
            None => Checkpoint::default(),
        };
        let frames = checkpoint.length.saturating_sub(HEADER_BYTES as u64) / SEALED_FRAME as u64;
        let hash_state = match &mut self.hash {
            Some(hash) => hash.marked(checkpoint.length).await?,
            None => None,
        };
        Ok(Durable {
            info: self.info(frames * FRAME_BYTES as u64, false),
            hash_state,
            checkpoint,
        })
    }

    /// Ends the blob without its last frame, because its upload broke off: the object holds all full
    /// frames but the last, and is durable when this returns. What the last one holds is dropped, so
    /// that whoever goes on has something to send and comes to the end of the upload.
    ///
    /// # Errors
    /// StorageFull or Unavailable, as the store says.
    pub async fn halt(mut self) -> Result<Durable> {
        let length = self.given + self.out.len() as u64;
        let frames = length.saturating_sub(HEADER_BYTES as u64) / SEALED_FRAME as u64;
        let durable = Durable {
            info: self.info(frames * FRAME_BYTES as u64, false),
            hash_state: match &mut self.hash {
                Some(hash) => Some(hash.now().await?),
                None => None,
            },
            checkpoint: Checkpoint {
                length,
                state: Vec::new(),
            },
        };
        let last = counted(self.out.freeze(), self.share.take());
        match self.feed.take() {
            None if frames == 0 => {}
            None => self.store.put(self.id, last).await?,
            Some(feed) => feed.finish(last).await?,
        }
        Ok(durable)
    }

    /// Seals the last frame and completes the blob; it is durable when this returns.
    ///
    /// # Errors
    /// StorageFull or Unavailable, as the store says.
    pub async fn finish(mut self) -> Result<(BlobInfo, Option<Sha256>)> {
        let info = self.info(self.size, true);
        if self.feed.is_some()
            && self.shape.least_piece == 0
            && self.out.len() + SEALED_FRAME > self.held()
        {
            self.pass_on().await?;
        }
        let last = self.out.finish(self.sealer, &self.tail)?;
        let last = counted(last, self.share.take());
        match self.feed.take() {
            None => self.store.put(self.id, last).await?,
            Some(feed) => feed.finish(last).await?,
        }
        let hash = match self.hash {
            Some(hash) => Some(hash.finish(&self.tail).await?),
            None => None,
        };
        Ok((info, hash))
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

    async fn seal(&mut self, frame: Bytes) -> Result<()> {
        self.out.seal(&mut self.sealer, &frame)?;
        match &mut self.hash {
            Some(hash) => hash.update(frame).await,
            None => Ok(()),
        }
    }

    /// Sees to it that `out` may take another frame; false when the blob has to end instead, which
    /// leaves room for its last frame.
    async fn make_room(&mut self) -> Result<bool> {
        while !self.full {
            let wanted = match self.feed {
                None => self.shape.whole,
                Some(_) => self.shape.piece(self.given),
            };
            // A store that takes no small piece is given the blob's last frame with the others.
            let last = match self.shape.least_piece {
                0 => 0,
                _ => SEALED_FRAME,
            };
            let more = self.out.len() + SEALED_FRAME + last;
            let is_held = more <= self.held();
            // Later pieces take all that they need before they begin, so that it is memory used before.
            let begins = self.feed.is_some() && self.out.is_empty();
            let has_room = match begins {
                true => self.grow(wanted) || is_held,
                false => is_held || (self.out.len() < wanted && self.grow(wanted)),
            };
            if has_room && self.out.len() < wanted {
                return Ok(true);
            }
            let length = self.given + self.out.len() as u64;
            // The last piece is still to come.
            if length >= self.shape.most || self.pieces + 1 >= self.shape.most_pieces {
                self.full = true;
            } else if self.out.len() >= self.shape.least_piece && !self.out.is_empty() {
                self.pass_on().await?;
            } else if let Some(feed) = &mut self.feed
                && feed.relieve().await?
            {
                // What has arrived gave its memory back; others may have been quicker to take it.
            } else {
                self.full = true;
            }
        }
        Ok(false)
    }

    /// What `out` may hold: a frame and its share.
    fn held(&self) -> usize {
        let share = self.share.as_ref().map_or(0, Share::bytes);
        HEADER_BYTES + SEALED_FRAME + share
    }

    /// Takes memory for a piece of `wanted` bytes and the frame that passes it, by and by for the
    /// first.
    fn grow(&mut self, wanted: usize) -> bool {
        let most = wanted + 2 * SEALED_FRAME;
        let step = match self.feed {
            None => (2 * self.held()).max(FIRST_STEP).min(most),
            Some(_) => most,
        };
        for target in [step, (2 * self.held()).min(most)] {
            let missing = target.saturating_sub(self.held());
            if missing > 0
                && let Some(share) = self.budget.try_take_spare(missing)
            {
                match &mut self.share {
                    Some(held) => held.merge(share),
                    none => *none = Some(share),
                }
                // The first grows by and by, and later ones to what they will be.
                if self.feed.is_some() && self.out.is_empty() {
                    self.out = Piece::sized(&self.memory, target);
                }
                self.out.reserve(target - self.out.len());
                return true;
            }
        }
        false
    }

    /// Gives the store what has piled up.
    async fn pass_on(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let feed = match &mut self.feed {
            Some(feed) => feed,
            none => none.insert(Feed::new(self.store.begin(self.id).await?)),
        };
        let share = self.share.take();
        let is_short = share.is_none();
        let piece = counted(std::mem::take(&mut self.out).freeze(), share);
        self.given += piece.len() as u64;
        self.pieces += 1;
        if let Some(hash) = &mut self.hash {
            hash.mark(self.given);
        }
        feed.give(piece).await?;
        if is_short {
            // What nobody counts must not pile up on its way.
            feed.relieve().await?;
        }
        Ok(())
    }
}

/// What has piled up, with the memory that it counts for.
fn counted(piece: Bytes, share: Option<Share>) -> Bytes {
    match share {
        None => piece,
        Some(share) => share.around(piece),
    }
}

/// Keeps bytes of a frame that is not full yet. Takes no more than a frame, as was granted: left to
/// itself it would double beyond it. The very first bytes, which may be all, take what they need.
fn hold(tail: &mut BytesMut, bytes: &[u8], is_first: bool) {
    let needed = tail.len() + bytes.len();
    if tail.capacity() < needed {
        let capacity = match is_first && tail.is_empty() {
            true => needed,
            false => FRAME_BYTES,
        };
        let before = std::mem::replace(tail, BytesMut::with_capacity(capacity));
        tail.extend_from_slice(&before);
    }
    tail.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::AccountId;
    use crate::vfs::admission::Admissions;

    #[test]
    fn a_thousand_uploads_of_one_account_have_room_in_the_default_budget() {
        let (admissions, budget) = (Arc::<Admissions>::default(), Budget::new(256 << 20));
        let _spared: Vec<_> = std::iter::from_fn(|| budget.try_take_spare(GRANTED)).collect();
        let whose = (TenantId(1), AccountId(1));
        let _open: Vec<_> = (0..1000)
            .map(|_| admissions.admit(&budget, whose, GRANTED).unwrap())
            .collect();
        let neighbour = (TenantId(1), AccountId(2));
        assert!(admissions.admit(&budget, neighbour, GRANTED).is_ok());
    }

    #[test]
    fn a_frame_that_comes_in_odd_pieces_takes_no_more_than_a_frame() {
        let whole: Vec<u8> = (0..FRAME_BYTES).map(|at| at as u8).collect();
        for length in [1, 1_000, 16_371, 16_384, 40_000] {
            let mut tail = BytesMut::new();
            for piece in whole.chunks(length) {
                let is_first = tail.is_empty();
                hold(&mut tail, piece, is_first);
                assert!(
                    tail.capacity() <= FRAME_BYTES,
                    "{length}: {}",
                    tail.capacity()
                );
            }
            assert_eq!(tail, whole);
        }
    }

    #[test]
    fn a_small_file_takes_what_it_has() {
        let mut tail = BytesMut::new();
        hold(&mut tail, &[7; 1_000], true);
        assert_eq!(tail.capacity(), 1_000);
    }
}
