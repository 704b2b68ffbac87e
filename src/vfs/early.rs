//! Writes that came before their turn: clients that write concurrently (rclone, WinSCP) send offsets
//! slightly out of order.

use std::collections::BTreeMap;

use bytes::Bytes;

/// How far ahead of its turn a write may be, and how much of such is held.
const REACH: u64 = 4 << 20;
const MOST_BYTES: usize = 2 << 20;
const MOST_WRITES: usize = 512;

/// Bytes held until what belongs before them is there, by their offset. No two overlap.
#[derive(Default)]
pub struct Early {
    writes: BTreeMap<u64, Bytes>,
    bytes: usize,
}

impl Early {
    /// Holds bytes that start beyond `next`; gives them back when they are no case for this.
    pub fn hold(&mut self, next: u64, offset: u64, bytes: Bytes) -> Option<Bytes> {
        let soon = offset > next && offset - next <= REACH;
        let fits = self.bytes + bytes.len() <= MOST_BYTES && self.writes.len() < MOST_WRITES;
        if !soon || !fits || self.meets(offset, offset + bytes.len() as u64) {
            return Some(bytes);
        }
        self.bytes += bytes.len();
        self.writes.insert(offset, bytes);
        None
    }

    /// Whether any of `from..to` is held.
    pub fn meets(&self, from: u64, to: u64) -> bool {
        let before = self.writes.range(..to).next_back();
        before.is_some_and(|(offset, bytes)| offset + bytes.len() as u64 > from)
    }

    /// Takes the bytes whose turn it is when `next` is the end of the others.
    pub fn take_due(&mut self, next: u64) -> Option<(u64, Bytes)> {
        let first = self.writes.first_entry()?;
        if *first.key() != next {
            return None;
        }
        let (offset, bytes) = first.remove_entry();
        self.bytes -= bytes.len();
        Some((offset, bytes))
    }

    /// Takes all, in order.
    pub fn take(&mut self) -> BTreeMap<u64, Bytes> {
        std::mem::take(self).writes
    }

    /// Where the last of them ends; 0 when there are none.
    pub fn end(&self) -> u64 {
        let last = self.writes.last_key_value();
        last.map_or(0, |(offset, bytes)| offset + bytes.len() as u64)
    }
}
