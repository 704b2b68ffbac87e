//! Memory that is used again: to clear new memory for what is read or sealed costs as much as half of opening
//! or sealing it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// What may be kept while nobody uses it, in bytes.
const MOST_KEPT: usize = 24 << 20;
/// A buffer with less room is not worth keeping.
const LEAST_BYTES: usize = 32 << 10;

/// Where buffers come from and go to. Cheap to clone.
#[derive(Clone, Default)]
pub struct Recycled {
    kept: Arc<Mutex<Kept>>,
}

/// Buffers, the last used at the end.
#[derive(Default)]
struct Kept {
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    /// The smallest with room for so many bytes, and not for many more.
    fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let lengths = self.buffers.iter().map(Vec::len).enumerate().rev();
        let most = bytes.saturating_add(bytes / 4);
        let fits = lengths.filter(|(_, length)| (bytes..=most).contains(length));
        let (at, length) = fits.min_by_key(|(_, length)| *length)?;
        self.bytes -= length;
        self.buffers.remove(at)
    }

    /// Keeps one more, and gives up those that nobody used for the longest.
    fn put(&mut self, memory: Vec<u8>) {
        self.bytes += memory.len();
        self.buffers.push_back(memory);
        while self.bytes > MOST_KEPT {
            let given_up = self.buffers.pop_front();
            self.bytes -= given_up.map_or(0, |memory| memory.len());
        }
    }
}

/// A buffer. Nobody ever sees more of it than was filled.
pub struct Buffer {
    /// What was used before stands in it.
    memory: Vec<u8>,
    filled: usize,
    home: Recycled,
}

impl Recycled {
    /// A buffer with room for so many bytes.
    pub fn take(&self, bytes: usize) -> Buffer {
        let kept = self.lock().take(bytes);
        Buffer {
            memory: kept.unwrap_or_else(|| vec![0; roomy(bytes)]),
            filled: 0,
            home: self.clone(),
        }
    }

    fn put_back(&self, memory: Vec<u8>) {
        if (LEAST_BYTES..=MOST_KEPT).contains(&memory.len()) {
            self.lock().put(memory);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to a quarter more, so that a buffer serves as well when the next pieces are a little larger: those of a
/// file on S3 grow with it. What nobody touches takes no memory.
fn roomy(bytes: usize) -> usize {
    match bytes < LEAST_BYTES {
        true => bytes,
        false => bytes.next_multiple_of(bytes.next_power_of_two() / 8),
    }
}

impl Buffer {
    /// The room that is left.
    pub fn room(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.filled..).unwrap_or_default()
    }

    /// So many bytes of the room hold something now.
    pub fn advance(&mut self, bytes: usize) {
        self.filled = self.filled.saturating_add(bytes).min(self.memory.len());
    }

    /// What was filled; its memory is used again when the last clone of it is gone.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.put_back(std::mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = LEAST_BYTES;

    #[test]
    fn memory_is_used_again_and_shows_only_what_was_filled() {
        let recycled = Recycled::default();
        let mut first = recycled.take(ROOM);
        first.room()[..10].copy_from_slice(b"0123456789");
        first.advance(4);
        first.advance(2);
        let shown = first.freeze();
        let place = shown.as_ptr();
        assert_eq!(shown, "012345");
        let part = shown.slice(2..4);
        drop(shown);
        assert_ne!(
            recycled.take(ROOM).memory.as_ptr(),
            place,
            "a part is in use"
        );
        drop(part);
        let mut again = Vec::new();
        for _ in 0..2 {
            again.push(recycled.take(ROOM - 10));
        }
        assert!(again.iter().any(|buffer| buffer.memory.as_ptr() == place));
        assert!(again.iter().all(|buffer| buffer.as_ref().is_empty()));
    }

    #[test]
    fn what_is_taken_fits() {
        let recycled = Recycled::default();
        let sizes = [44 * ROOM, 40 * ROOM, 48 * ROOM];
        let taken = sizes.map(|size| recycled.take(size));
        let [_, place, _] = taken.each_ref().map(|buffer| buffer.memory.as_ptr());
        drop(taken);
        // The smallest that does.
        let again = recycled.take(40 * ROOM - 1);
        assert_eq!(again.memory.as_ptr(), place);
        for bytes in [
            1,
            ROOM - 1,
            ROOM,
            20 * ROOM,
            41 * ROOM,
            45 * ROOM + 1,
            100 * ROOM,
        ] {
            let length = recycled.take(bytes).memory.len();
            assert!(
                (bytes..=bytes + bytes / 4).contains(&length),
                "{bytes}: {length}"
            );
        }
    }

    #[test]
    fn pieces_that_grow_a_little_use_the_same_memory() {
        let recycled = Recycled::default();
        let mut places = std::collections::HashSet::new();
        for bytes in (8_400_000..10_400_000).step_by(84_000) {
            places.insert(recycled.take(bytes).memory.as_ptr());
        }
        assert_eq!(places.len(), 1);
    }

    #[test]
    fn what_was_used_last_is_kept() {
        let recycled = Recycled::default();
        let sizes = [MOST_KEPT / 4, MOST_KEPT / 2, MOST_KEPT / 12 * 5];
        drop(sizes.map(|bytes| recycled.take(bytes)));
        drop(recycled.take(MOST_KEPT + 1));
        drop(recycled.take(LEAST_BYTES - 1));
        let kept = recycled.lock();
        let lengths: Vec<_> = kept.buffers.iter().map(Vec::len).collect();
        assert_eq!(lengths, [MOST_KEPT / 2, MOST_KEPT / 12 * 5]);
        assert_eq!(kept.bytes, MOST_KEPT / 12 * 11);
    }
}
