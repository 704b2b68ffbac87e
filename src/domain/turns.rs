//! Turns: of all who want the same, one goes on at a time, and the others wait without holding anything else.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use crate::domain::error::{Error, ErrorKind, Result};

/// How long anybody waits for a turn: as long as for a lock of the database.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Who is at what, and who waits for it. What nobody wants is not kept. Cheap to clone.
pub struct Turns<K>(Arc<Mutex<HashMap<K, Queue>>>);

/// Those who want the same.
struct Queue {
    lock: Arc<Lock<()>>,
    long: usize,
}

/// A turn: it lasts until this is dropped.
#[must_use = "a turn is over when this is dropped"]
pub struct Turn<K: Eq + Hash> {
    // In this order: whoever is next goes on before the place is given up.
    _lock: OwnedMutexGuard<()>,
    _place: Place<K>,
}

/// A place in a queue.
struct Place<K: Eq + Hash> {
    turns: Turns<K>,
    key: K,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Returns when nobody who came before wants `key` any more. Whoever gives up before has left nothing.
    ///
    /// # Errors
    /// Unavailable when those who came before take more than [`PATIENCE`].
    pub async fn take(&self, key: K) -> Result<Turn<K>> {
        let (lock, place) = self.stand_in_line(key);
        let locked = tokio::time::timeout(PATIENCE, lock.lock_owned()).await;
        let lock = locked.map_err(|_| {
            let sentence = "those who came before are not served yet; try again in a moment";
            Error::new(ErrorKind::Unavailable, sentence)
        })?;
        Ok(Turn {
            _lock: lock,
            _place: place,
        })
    }

    fn stand_in_line(&self, key: K) -> (Arc<Lock<()>>, Place<K>) {
        let mut queues = self.lock();
        let queue = queues.entry(key.clone()).or_insert_with(|| Queue {
            lock: Arc::default(),
            long: 0,
        });
        queue.long += 1;
        let lock = queue.lock.clone();
        let turns = self.clone();
        (lock, Place { turns, key })
    }
}

impl<K> Turns<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for Turns<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.long -= 1;
            if queue.long == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn of_those_who_want_the_same_one_goes_on_at_a_time() {
        let turns = Turns::default();
        let first = turns.take("one").await.unwrap();
        let mut second = pin!(turns.take("one"));
        let mut third = pin!(turns.take("one"));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(turns.take("other").now_or_never().is_some());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        let second = second.now_or_never().unwrap().unwrap();
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_nobody_wants_is_not_kept() {
        let turns = Turns::default();
        let first = turns.take(1).await.unwrap();
        assert!(turns.take(1).now_or_never().is_none(), "it has given up");
        assert_eq!(turns.lock().len(), 1);
        {
            let mut second = pin!(turns.take(1));
            assert!(second.as_mut().now_or_never().is_none());
            drop(first);
            assert_eq!(turns.lock().len(), 1);
        }
        assert!(turns.lock().is_empty());
    }
}
