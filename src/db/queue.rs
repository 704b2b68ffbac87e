//! What waits to be committed, by key: one works a queue off at a time.

use std::collections::{HashMap, VecDeque};

/// Queues that are worked off, and what may wait a little where nobody does.
pub(in crate::db) struct Queues<T> {
    /// A key is present while somebody works its queue off.
    working: HashMap<i64, VecDeque<T>>,
    /// What goes before what comes next, or soon.
    soon: HashMap<i64, VecDeque<T>>,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self {
            working: HashMap::new(),
            soon: HashMap::new(),
        }
    }
}

impl<T> Queues<T> {
    /// Adds to what waits; true when nobody works it off, which the caller has to see to.
    pub(in crate::db) fn add(&mut self, key: i64, last: Option<T>) -> bool {
        if let Some(queue) = self.working.get_mut(&key) {
            queue.extend(last);
            return false;
        }
        let mut queue = self.soon.remove(&key).unwrap_or_default();
        queue.extend(last);
        if queue.is_empty() {
            return false;
        }
        self.working.insert(key, queue);
        true
    }

    /// Adds what may wait a little; how many do then, none when somebody works them off.
    pub(in crate::db) fn add_soon(&mut self, key: i64, one: T) -> usize {
        if let Some(queue) = self.working.get_mut(&key) {
            queue.push_back(one);
            return 0;
        }
        let soon = self.soon.entry(key).or_default();
        soon.push_back(one);
        soon.len()
    }

    /// Of which queues something may wait a little.
    pub(in crate::db) fn soon(&self) -> Vec<i64> {
        self.soon.keys().copied().collect()
    }

    /// Takes the first of a queue, as many as `count` says.
    pub(in crate::db) fn take(
        &mut self,
        key: i64,
        count: impl FnOnce(&VecDeque<T>) -> usize,
    ) -> Vec<T> {
        let Some(queue) = self.working.get_mut(&key) else {
            return Vec::new();
        };
        let count = count(queue).min(queue.len());
        queue.drain(..count).collect()
    }

    /// Whether a queue is empty; it then waits for somebody who works it off.
    pub(in crate::db) fn is_done(&mut self, key: i64) -> bool {
        let is_empty = self.working.get(&key).is_none_or(VecDeque::is_empty);
        if is_empty {
            self.working.remove(&key);
        }
        is_empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_worked_off_by_one_and_what_may_wait_goes_first() {
        let mut queues = Queues::default();
        assert!(!queues.add(1, None));
        assert_eq!(queues.add_soon(1, "a"), 1);
        assert_eq!(queues.add_soon(1, "b"), 2);
        assert_eq!(queues.soon(), [1]);
        assert!(queues.add(1, Some("c")));
        assert!(queues.soon().is_empty());
        assert!(!queues.add(1, Some("d")));
        assert_eq!(queues.add_soon(1, "e"), 0);
        assert!(queues.add(2, Some("other")));
        assert_eq!(
            queues.take(1, |queue| queue.len() - 1),
            ["a", "b", "c", "d"]
        );
        assert!(!queues.is_done(1));
        assert_eq!(queues.take(1, |_| 64), ["e"]);
        assert!(queues.is_done(1));
        assert!(queues.take(1, |_| 64).is_empty());
        assert!(queues.add(1, Some("f")));
    }
}
