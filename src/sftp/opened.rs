//! Channels that a connection ever opened.
//!
//! russh (0.65) forgets a channel only when the client closes it first: what it keeps of all others, some 4 KiB,
//! stays until the connection ends. So they count against the budget, and there is a most.

use crate::net::budget::{Budget, Share};

/// What russh keeps of a channel that we closed, in bytes; measured.
const CHANNEL_BYTES: usize = 4096;
/// So many are paid for at once, and the first are free.
const STEP: usize = 256;
/// Most of one connection: clients that start a command for each of a hundred thousand files do so
/// over several.
const MAX_CHANNELS: usize = 16_384;

/// The count of one connection.
pub struct Opened {
    budget: Budget,
    shares: Vec<Share>,
    count: usize,
}

impl Opened {
    /// None yet; those beyond the usual are paid for from `budget`.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            shares: Vec::new(),
            count: 0,
        }
    }

    /// Counts one more; false when there have been too many.
    pub fn add(&mut self) -> bool {
        let next = self.count + 1;
        if next > MAX_CHANNELS {
            return false;
        }
        if next.is_multiple_of(STEP) {
            let Some(share) = self.budget.try_take(STEP * CHANNEL_BYTES) else {
                return false;
            };
            self.shares.push(share);
        }
        self.count = next;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_paid_for_and_end_somewhere() {
        let budget = Budget::new(2 * STEP * CHANNEL_BYTES);
        let mut opened = Opened::new(budget.clone());
        assert!((1..3 * STEP).all(|_| opened.add()));
        assert_eq!(budget.used(), 2 * STEP * CHANNEL_BYTES);
        assert!(!opened.add());
        drop(opened);
        assert_eq!(budget.used(), 0);
        let mut opened = Opened::new(Budget::new(usize::MAX));
        assert!((0..MAX_CHANNELS).all(|_| opened.add()));
        assert!(!opened.add());
    }
}
