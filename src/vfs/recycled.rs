//! Memory that is used again: to clear new memory for what is read costs as much as half of opening it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Buffers that are kept while nobody uses them, and how large they may be: 24 MiB in all.
const MOST_KEPT: usize = 6;
const MOST_BYTES: usize = 4 << 20;

/// Where buffers come from and go to. Cheap to clone.
#[derive(Clone, Default)]
pub struct Recycled {
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
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
        let kept = match bytes <= MOST_BYTES {
            true => self.lock().pop(),
            false => None,
        };
        let mut memory = kept.unwrap_or_default();
        if memory.len() < bytes {
            // Not grown: that would copy what nobody reads.
            memory = vec![0; bytes];
        }
        Buffer {
            memory,
            filled: 0,
            home: self.clone(),
        }
    }

    fn put_back(&self, memory: Vec<u8>) {
        let mut kept = self.lock();
        if kept.len() < MOST_KEPT && memory.len() <= MOST_BYTES {
            kept.push(memory);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn memory_is_used_again_and_shows_only_what_was_filled() {
        let recycled = Recycled::default();
        let mut first = recycled.take(10);
        first.room().copy_from_slice(b"0123456789");
        first.advance(4);
        first.advance(2);
        let shown = first.freeze();
        let place = shown.as_ptr();
        assert_eq!(shown, "012345");
        let part = shown.slice(2..4);
        drop(shown);
        assert_ne!(
            recycled.take(10).as_ref().as_ptr(),
            place,
            "a part is in use"
        );
        drop(part);
        let mut again = Vec::new();
        for _ in 0..2 {
            again.push(recycled.take(5));
        }
        assert!(again.iter().any(|buffer| buffer.memory.as_ptr() == place));
        assert!(again.iter().all(|buffer| buffer.as_ref().is_empty()));
    }

    #[test]
    fn only_a_few_of_them_are_kept() {
        let recycled = Recycled::default();
        let many: Vec<_> = (0..2 * MOST_KEPT).map(|_| recycled.take(1)).collect();
        drop(many);
        drop(recycled.take(MOST_BYTES + 1));
        assert_eq!(recycled.lock().len(), MOST_KEPT);
    }
}
