//! What knowing the pieces of a file in the making takes of the memory budget.

use crate::crypto::seal::FRAME_BYTES;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::net::budget::{Budget, Share};
use crate::vfs::read::PIECE_BYTES;

/// In how many pieces a file may be written out of order before it is closed: each is kept in
/// memory until then, and becomes a row.
pub(in crate::vfs) const MAX_EDITS: usize = 100_000;

/// So many pieces are known without counting the memory that takes, and of more so many are counted at once.
const STEP: usize = 1024;

/// The memory that counts for the pieces that are known.
#[derive(Default)]
pub struct PieceMemory {
    share: Option<Share>,
    /// Bytes that were stored for those pieces.
    stored: u64,
}

impl PieceMemory {
    /// Notes that more bytes were stored for the pieces.
    pub fn stored(&mut self, bytes: u64) {
        self.stored = self.stored.saturating_add(bytes);
    }

    /// Sees to it that so many pieces are counted. A piece for each frame that was stored need not be: where memory
    /// is short a file that comes in order is stored in blobs of one frame.
    ///
    /// # Errors
    /// Busy when there is no memory for them.
    pub fn cover(&mut self, budget: &Budget, pieces: usize) -> Result<()> {
        let bytes = self.share.as_ref().map_or(0, Share::bytes);
        let Some(more) = pieces.checked_sub(STEP + bytes / PIECE_BYTES + 1) else {
            return Ok(());
        };
        let more = (more + 1).next_multiple_of(STEP) * PIECE_BYTES;
        match (budget.try_take_spare(more), &mut self.share) {
            (Some(share), Some(own)) => own.merge(share),
            (Some(share), none) => *none = Some(share),
            (None, _) if (pieces - STEP) as u64 <= self.stored / FRAME_BYTES as u64 => {}
            (None, _) => {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!(
                        "the server is short of memory for a file that is written in more than {} pieces out \
                         of order; write it from the start to the end, or try again in a moment",
                        pieces - 1
                    ),
                ));
            }
        }
        Ok(())
    }

    /// What counts for them, for whoever knows them from now on.
    pub fn into_share(self) -> Option<Share> {
        self.share
    }

    /// Gives back what so many pieces do not need.
    pub fn shrink_to(&mut self, pieces: usize) {
        let bytes = pieces.saturating_sub(STEP).next_multiple_of(STEP) * PIECE_BYTES;
        match &mut self.share {
            Some(share) if bytes > 0 => share.shrink_to(bytes),
            _ => self.share = None,
        }
    }
}

/// The error for a file that is written in more pieces than may be.
pub(in crate::vfs) fn too_many() -> Error {
    Error::new(
        ErrorKind::Busy,
        format!(
            "the file is written in more than {MAX_EDITS} pieces out of order, so that \
             nothing of it is stored; write it from the start to the end, or let fsync \
             store it before there are so many, which starts the count anew"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_beyond_the_first_are_counted_and_given_back() {
        let budget = Budget::new(PIECE_BYTES * STEP * 8);
        let mut known = PieceMemory::default();
        for (pieces, counted) in [
            (0, 0),
            (1024, 0),
            (1025, 1),
            (2048, 1),
            (2049, 2),
            (4096, 3),
        ] {
            known.cover(&budget, pieces).unwrap();
            assert_eq!(budget.used(), counted * STEP * PIECE_BYTES, "{pieces}");
        }
        // Three eighths are to be spared, no more.
        let refused = known.cover(&budget, 4097).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Busy);
        known.stored(3073 * FRAME_BYTES as u64);
        known.cover(&budget, 4097).unwrap();
        assert!(known.cover(&budget, 4098).is_err());
        known.shrink_to(2048);
        assert_eq!(budget.used(), STEP * PIECE_BYTES);
        known.shrink_to(1024);
        assert_eq!(budget.used(), 0);
        known.cover(&budget, 4096).unwrap();
        drop(known);
        assert_eq!(budget.used(), 0);
    }
}
