//! Frames opened as their bytes come from a store.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::crypto::open::{Opener, frame_range, frames};
use crate::crypto::seal::{DataKey, FRAME_BYTES, HEADER_BYTES, Position, TAG_BYTES};
use crate::db::blobs::BlobInfo;
use crate::domain::error::{Error, Result};
use crate::domain::id::TenantId;
use crate::storage::store::Intake;
use crate::vfs::recycled::{Buffer, Recycled};

const SEALED_FRAME: usize = FRAME_BYTES + TAG_BYTES;

/// What a blob's frames are opened with.
pub enum Key {
    /// The header is known.
    Known(Arc<Opener>),
    /// The header comes before the first frame.
    Unread(TenantId, Arc<DataKey>),
    /// The header came before the first frame.
    Read(Arc<Opener>),
}

/// Takes sealed bytes in any portions and opens each frame as it is complete, so that no more than one
/// is held sealed.
pub struct Frames {
    info: BlobInfo,
    key: Key,
    next: u64,
    last: u64,
    /// The beginning of a header or frame whose end has not come.
    partial: BytesMut,
    plain: Buffer,
}

impl Frames {
    /// Expects the frames from `first` to `last` of a blob, of which the last must exist.
    pub fn new(info: BlobInfo, key: Key, (first, last): (u64, u64), memory: &Recycled) -> Self {
        let room = (last.saturating_add(1) - first).saturating_mul(FRAME_BYTES as u64);
        let room = room.min(info.size);
        Self {
            info,
            key,
            next: first,
            last,
            partial: BytesMut::new(),
            plain: memory.take(usize::try_from(room).unwrap_or(0)),
        }
    }

    /// The plain text of all frames, and the opener when it was made here.
    ///
    /// # Errors
    /// Internal when some frames are missing.
    pub fn finish(self) -> Result<(Bytes, Option<Arc<Opener>>)> {
        if self.next <= self.last || !self.partial.is_empty() {
            return Err(Error::internal("a store left a part of a range out"));
        }
        let made = match self.key {
            Key::Read(opener) => Some(opener),
            Key::Known(_) | Key::Unread(..) => None,
        };
        Ok((self.plain.freeze(), made))
    }

    /// How long the header or frame is that comes next; nothing when no more is expected.
    fn wanted(&self) -> usize {
        if matches!(self.key, Key::Unread(..)) {
            return HEADER_BYTES;
        }
        let range = match self.next > self.last {
            true => 0..0,
            false => frame_range(self.info.size, self.next, self.next),
        };
        usize::try_from(range.end - range.start).unwrap_or(SEALED_FRAME)
    }

    fn open(&mut self, sealed: &[u8]) -> Result<()> {
        let opener = match &self.key {
            Key::Known(opener) | Key::Read(opener) => opener,
            Key::Unread(tenant, key) => {
                let opener = Opener::new(*tenant, self.info.id, sealed, key)?;
                self.key = Key::Read(Arc::new(opener));
                return Ok(());
            }
        };
        let is_final = self.info.finished && self.next + 1 == frames(self.info.size);
        let position = match is_final {
            true => Position::Final,
            false => Position::Middle,
        };
        let opened = opener.open(self.next, position, sealed, self.plain.room())?;
        self.plain.advance(opened);
        self.next += 1;
        Ok(())
    }
}

impl Intake for Frames {
    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let wanted = self.wanted();
            if wanted == 0 {
                return Err(Error::internal("a store sent more than was asked for"));
            }
            let missing = wanted - self.partial.len();
            let Some((here, rest)) = bytes.split_at_checked(missing) else {
                self.partial.reserve(missing);
                self.partial.extend_from_slice(bytes);
                return Ok(());
            };
            if self.partial.is_empty() {
                self.open(here)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(here);
                self.open(&whole)?;
                whole.clear();
                self.partial = whole;
            }
            bytes = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::seal::Sealer;
    use crate::domain::id::RegionId;

    #[test]
    fn frames_open_whatever_portions_they_come_in() {
        let (tenant, key) = (TenantId(3), Arc::new(DataKey::new(1, [4; 32])));
        let memory = Recycled::default();
        for length in [0, 1, FRAME_BYTES, 3 * FRAME_BYTES + 17] {
            let mut plain = vec![0; length];
            fastrand::Rng::with_seed(length as u64).fill(&mut plain);
            let mut sealer = Sealer::new(tenant, &key);
            let info = BlobInfo {
                id: sealer.id(),
                region: RegionId::MAIN,
                key_version: 1,
                size: length as u64,
                finished: true,
            };
            let mut sealed = BytesMut::from(&sealer.header()[..]);
            let mut rest = &plain[..];
            while rest.len() > FRAME_BYTES {
                let (frame, left) = rest.split_at(FRAME_BYTES);
                sealer.seal(frame, &mut sealed).unwrap();
                rest = left;
            }
            sealer.finish(rest, &mut sealed).unwrap();
            let last = frames(info.size) - 1;
            let unread = || Key::Unread(tenant, key.clone());
            for portion in [1, 67, 70_000, 1 << 20] {
                let mut frames = Frames::new(info, unread(), (0, last), &memory);
                for bytes in sealed.chunks(portion) {
                    frames.take(bytes).unwrap();
                }
                assert!(frames.take(b"more").is_err());
                let (opened, opener) = frames.finish().unwrap();
                assert!(opened == plain && opener.is_some());
            }
            let mut short = Frames::new(info, unread(), (0, last), &memory);
            short.take(&sealed[..sealed.len() - 1]).unwrap();
            assert!(short.finish().is_err());
        }
    }
}
