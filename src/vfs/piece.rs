//! Sealed bytes that pile up until the store is given them.

use bytes::{Bytes, BytesMut};

use crate::crypto::seal::{FRAME_BYTES, HEADER_BYTES, Sealer, TAG_BYTES};
use crate::domain::error::Result;
use crate::vfs::recycled::{Buffer, Recycled};

const SEALED_FRAME: usize = FRAME_BYTES + TAG_BYTES;

/// A piece of a blob in the making.
#[derive(Default)]
pub struct Piece {
    /// Memory that was used before and need not be cleared, for a piece of which it is known how long it gets.
    sized: Option<Buffer>,
    /// What is in the others, which take what they need.
    grown: BytesMut,
}

impl Piece {
    /// The first piece of the blob that `sealer` seals, with room for a frame.
    pub fn first(sealer: &Sealer) -> Self {
        let mut grown = BytesMut::with_capacity(HEADER_BYTES + SEALED_FRAME);
        grown.extend_from_slice(sealer.header());
        Self { sized: None, grown }
    }

    /// One with room for so many bytes.
    pub fn sized(memory: &Recycled, bytes: usize) -> Self {
        Self {
            sized: Some(memory.take(bytes)),
            grown: BytesMut::new(),
        }
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        let sized = self.sized.as_ref();
        sized.map_or(self.grown.len(), |sized| sized.as_ref().len())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sees to it that so many more bytes have room.
    pub fn reserve(&mut self, more: usize) {
        if self.room(more).is_none() {
            // To the byte: left to itself it would double.
            let grown = self.grow();
            if grown.capacity() - grown.len() < more {
                grown.reserve(more);
            }
        }
    }

    /// Seals the next frame of a blob.
    ///
    /// # Errors
    /// Internal unless `frame` is full.
    pub fn seal(&mut self, sealer: &mut Sealer, frame: &[u8]) -> Result<()> {
        self.reserve(SEALED_FRAME);
        match self.room(SEALED_FRAME) {
            Some(room) => sealer.seal_to(frame, room)?,
            None => return sealer.seal(frame, &mut self.grown),
        }
        self.advance(SEALED_FRAME);
        Ok(())
    }

    /// Seals the last frame of a blob; what is in the piece then.
    ///
    /// # Errors
    /// Internal when `frame` is more than full, or empty although the blob is not.
    pub fn finish(mut self, sealer: Sealer, frame: &[u8]) -> Result<Bytes> {
        let sealed = frame.len() + TAG_BYTES;
        self.reserve(sealed);
        match self.room(sealed) {
            Some(room) => {
                sealer.finish_to(frame, room)?;
                self.advance(sealed);
            }
            None => sealer.finish(frame, &mut self.grown)?,
        }
        Ok(self.freeze())
    }

    /// What is in it.
    pub fn freeze(self) -> Bytes {
        match self.sized {
            Some(sized) => sized.freeze(),
            None => self.grown.freeze(),
        }
    }

    /// Room for so many bytes in memory that was used before.
    fn room(&mut self, bytes: usize) -> Option<&mut [u8]> {
        self.sized.as_mut()?.room().get_mut(..bytes)
    }

    fn advance(&mut self, bytes: usize) {
        if let Some(sized) = &mut self.sized {
            sized.advance(bytes);
        }
    }

    /// The same as one that takes what it needs.
    fn grow(&mut self) -> &mut BytesMut {
        if let Some(full) = self.sized.take() {
            self.grown.extend_from_slice(full.as_ref());
        }
        &mut self.grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::open::Opener;
    use crate::crypto::seal::{DataKey, Position};
    use crate::domain::id::TenantId;

    #[test]
    fn a_piece_holds_the_same_in_either_memory_and_beyond_its_size() {
        let (tenant, key, memory) = (TenantId(1), DataKey::new(1, [7; 32]), Recycled::default());
        let frames: Vec<Vec<u8>> = (0..4u8).map(|frame| vec![frame; FRAME_BYTES]).collect();
        let pieces = [
            Piece::default(),
            Piece::sized(&memory, 5 * SEALED_FRAME),
            Piece::sized(&memory, 3 * SEALED_FRAME),
            Piece::sized(&memory, SEALED_FRAME - 1),
        ];
        for mut piece in pieces {
            let mut sealer = Sealer::new(tenant, &key);
            let opener = Opener::new(tenant, sealer.id(), sealer.header(), &key).unwrap();
            for frame in &frames {
                piece.seal(&mut sealer, frame).unwrap();
            }
            assert_eq!(piece.len(), 4 * SEALED_FRAME);
            let sealed = piece.finish(sealer, b"the end").unwrap();
            let mut plain = vec![0; FRAME_BYTES];
            for (at, frame) in sealed.chunks(SEALED_FRAME).enumerate() {
                let position = match at {
                    4 => Position::Final,
                    _ => Position::Middle,
                };
                let opened = opener.open(at as u64, position, frame, &mut plain).unwrap();
                let wanted = frames.get(at).map_or(&b"the end"[..], |frame| &frame[..]);
                assert_eq!(&plain[..opened], wanted);
            }
        }
    }
}
