//! What is kept in memory for a bounded time and in a bounded number.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::domain::clock::Timestamp;

/// Between two attempts at renewing a value.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// Values that are forgotten at the end of their life, and before that those least recently used
/// when there are too many.
pub struct KeyCache<K, T> {
    entries: HashMap<K, Entry<T>>,
    capacity: usize,
    life: Duration,
    uses: u64,
}

struct Entry<T> {
    value: T,
    until: Timestamp,
    renew: Timestamp,
    used: u64,
}

/// A value, and whether it is time to renew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The value.
    pub value: T,
    /// Half of its life is over, and its renewal was not begun within the last minute.
    pub due: bool,
}

impl<K: Hash + Eq + Clone, T: Clone> KeyCache<K, T> {
    /// An empty cache.
    pub fn new(capacity: usize, life: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            capacity,
            life,
            uses: 0,
        }
    }

    /// The value, unless its life is over.
    pub fn find(&mut self, key: &K, now: Timestamp) -> Option<Found<T>> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        // A clock that was set back must not lengthen a life.
        if entry.until <= now || entry.until > now.plus(self.life) {
            self.entries.remove(key);
            return None;
        }
        entry.used = self.uses;
        let due = entry.renew <= now;
        let value = entry.value.clone();
        Some(Found { value, due })
    }

    /// Its renewal begins: the next is due in a minute at the earliest.
    pub fn renewing(&mut self, key: &K, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.renew = now.plus((self.life / 16).min(MOST_PAUSE));
        }
    }

    /// Keeps a value for a whole life from `now`.
    pub fn keep(&mut self, key: K, value: T, now: Timestamp) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.uses += 1;
        let entry = Entry {
            value,
            until: now.plus(self.life),
            renew: now.plus(self.life / 2),
            used: self.uses,
        };
        self.entries.insert(key, entry);
    }

    /// Forgets those that `which` names.
    pub fn forget(&mut self, which: impl Fn(&K) -> bool) {
        self.entries.retain(|key, _| !which(key));
    }

    fn make_room(&mut self, now: Timestamp) {
        self.entries.retain(|_, entry| entry.until > now);
        if self.entries.len() >= self.capacity {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(3600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn cache(capacity: usize) -> KeyCache<u32, char> {
        KeyCache::new(capacity, LIFE)
    }

    fn found(value: char, due: bool) -> Option<Found<char>> {
        Some(Found { value, due })
    }

    #[test]
    fn a_value_is_due_from_half_of_its_life_and_gone_after_it() {
        let mut cache = cache(9);
        cache.keep(1, 'a', at(0));
        assert_eq!(cache.find(&1, at(1799)), found('a', false));
        assert_eq!(cache.find(&1, at(1800)), found('a', true));
        assert_eq!(cache.find(&1, at(1801)), found('a', true));
        cache.renewing(&1, at(1800));
        assert_eq!(cache.find(&1, at(1859)), found('a', false));
        assert_eq!(cache.find(&1, at(1860)), found('a', true));
        assert_eq!(cache.find(&1, at(3599)), found('a', true));
        assert_eq!(cache.find(&1, at(3600)), None);
        assert_eq!(cache.find(&1, at(0)), None, "and stays gone");
    }

    #[test]
    fn a_clock_that_is_set_back_lengthens_no_life() {
        let mut cache = cache(9);
        cache.keep(1, 'a', at(7200));
        assert_eq!(cache.find(&1, at(0)), None);
    }

    #[test]
    fn the_least_recently_used_gives_way() {
        let mut cache = cache(2);
        cache.keep(1, 'a', at(0));
        cache.keep(2, 'b', at(0));
        cache.find(&1, at(1));
        cache.keep(3, 'c', at(2));
        assert_eq!(cache.find(&2, at(3)), None);
        assert_eq!(cache.find(&1, at(3)), found('a', false));
        cache.forget(|key| *key == 1);
        assert_eq!(cache.find(&1, at(3)), None);
        assert_eq!(cache.find(&3, at(3)), found('c', false));
    }
}
