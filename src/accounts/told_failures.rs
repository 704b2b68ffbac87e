//! How often failures are told to others: a few a minute of each account that somebody tries passwords of, or of each
//! address that shows wrong tokens, so that no receiver is flooded. What is not told is counted with the next that is.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::clock::Timestamp;

/// So many in so long.
const MOST: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Of so many is remembered at most.
const REMEMBERED: usize = 20_000;

/// What was told lately, by whose it was.
pub(in crate::accounts) struct ToldFailures<Whose> {
    told: Mutex<HashMap<Whose, Told>>,
}

struct Told {
    since: Timestamp,
    times: u32,
    untold: u64,
}

impl<Whose> Default for ToldFailures<Whose> {
    fn default() -> Self {
        Self {
            told: Mutex::default(),
        }
    }
}

impl<Whose: Eq + Hash> ToldFailures<Whose> {
    /// Counts a failure. If it is to be told: how many there were since the last that was.
    pub(in crate::accounts) fn count(&self, whose: Whose, now: Timestamp) -> Option<u64> {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED && !all.contains_key(&whose) {
            all.retain(|_, told| told.since.plus(WINDOW) > now);
        }
        if all.len() >= REMEMBERED && !all.contains_key(&whose) {
            all.clear();
        }
        let told = all.entry(whose).or_insert(Told {
            since: now,
            times: 0,
            untold: 0,
        });
        told.untold += 1;
        if told.since.plus(WINDOW) <= now {
            (told.since, told.times) = (now, 0);
        }
        if told.times >= MOST {
            return None;
        }
        told.times += 1;
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_is_told_a_few_times_a_minute_and_counted_in_full() {
        let failures = ToldFailures::default();
        let whose = "ann";
        let at = Timestamp::from_seconds;
        let told = |seconds| failures.count(whose, at(seconds));
        let first: Vec<_> = (0..50).filter_map(told).collect();
        assert_eq!(first, [1; 5]);
        assert_eq!(failures.count("ben", at(50)), Some(1));
        let told = |seconds| failures.count(whose, at(seconds));
        assert_eq!(told(61), Some(46));
        assert_eq!(told(62), Some(1));
    }
}
