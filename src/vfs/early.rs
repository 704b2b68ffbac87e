//! Writes that came before their turn: clients that write concurrently (rclone, WinSCP) send offsets
//! slightly out of order. They count against the memory budget until then, since their senders have their
//! answer; without memory they are not held but written as they come.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::net::budget::{Budget, Share};

/// How far ahead of its turn a write may be, and how much of such is held.
const REACH: u64 = 4 << 20;
const MOST_BYTES: usize = 2 << 20;
const MOST_WRITES: usize = 512;
/// What each costs beside its bytes.
const WRITE_BYTES: usize = 128;

/// Bytes held until what belongs before them is there, by their offset. No two overlap.
pub struct Early {
    budget: Budget,
    writes: BTreeMap<u64, Held>,
    bytes: usize,
}

/// Bytes that count as long as they are held.
pub struct Held {
    /// The bytes.
    pub bytes: Bytes,
    _share: Share,
}

impl Early {
    /// Nothing yet; what is held will be taken from what `budget` can spare.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            writes: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Holds bytes that start beyond `next`; gives them back when they are no case for this.
    pub fn hold(&mut self, next: u64, offset: u64, bytes: Bytes) -> Option<Bytes> {
        let soon = offset > next && offset - next <= REACH;
        let fits = self.bytes + bytes.len() <= MOST_BYTES && self.writes.len() < MOST_WRITES;
        if !soon || !fits || self.meets(offset, offset + bytes.len() as u64) {
            return Some(bytes);
        }
        let Some(share) = self.budget.try_take_spare(bytes.len() + WRITE_BYTES) else {
            return Some(bytes);
        };
        self.bytes += bytes.len();
        let held = Held {
            bytes,
            _share: share,
        };
        self.writes.insert(offset, held);
        None
    }

    /// Whether any of `from..to` is held.
    pub fn meets(&self, from: u64, to: u64) -> bool {
        let before = self.writes.range(..to).next_back();
        before.is_some_and(|(offset, held)| offset + held.bytes.len() as u64 > from)
    }

    /// Takes the bytes whose turn it is when `next` is the end of the others.
    pub fn take_due(&mut self, next: u64) -> Option<(u64, Held)> {
        let first = self.writes.first_entry()?;
        if *first.key() != next {
            return None;
        }
        let (offset, held) = first.remove_entry();
        self.bytes -= held.bytes.len();
        Some((offset, held))
    }

    /// Takes all, in order.
    pub fn take(&mut self) -> BTreeMap<u64, Held> {
        self.bytes = 0;
        std::mem::take(&mut self.writes)
    }

    /// Where the last of them ends; 0 when there are none.
    pub fn end(&self) -> u64 {
        let last = self.writes.last_key_value();
        last.map_or(0, |(offset, held)| offset + held.bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_its_turn_and_is_given_back_when_there_is_no_memory() {
        let budget = Budget::new(80_000);
        let mut early = Early::new(budget.clone());
        let bytes = Bytes::from_static(&[7; 10_000]);
        assert!(early.hold(0, 10_000, bytes.clone()).is_none());
        assert!(early.hold(0, 20_000, bytes.clone()).is_none());
        assert_eq!(budget.used(), 2 * (10_000 + WRITE_BYTES));
        // Three eighths are to be spared, no more.
        assert_eq!(early.hold(0, 30_000, bytes.clone()), Some(bytes));
        let (offset, held) = early.take_due(10_000).unwrap();
        assert_eq!(
            (offset, held.bytes.len(), early.end()),
            (10_000, 10_000, 30_000)
        );
        drop((held, early.take()));
        assert_eq!(budget.used(), 0);
    }
}
