//! Room for replies that carry data: what has been read and is not yet on its way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::net::budget::{Budget, Share};

/// Most bytes of one connection: 64 reads of 255 KiB.
const TOTAL_BYTES: usize = 16 * 1024 * 1024;
/// The most that one reply may carry without budget.
const FREE_BYTES: usize = 32 * 1024;
/// How often a connection asks a budget that was short again.
const AGAIN: Duration = Duration::from_millis(20);

/// Room for the replies of one connection. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Room {
    free: Arc<Semaphore>,
    budget: Budget,
}

impl Room {
    /// Empty room, paid for from `budget` as it is taken.
    pub fn new(budget: Budget) -> Self {
        Self {
            free: Arc::new(Semaphore::new(TOTAL_BYTES)),
            budget,
        }
    }

    /// Waits until there is room for `bytes`, or for fewer when the budget is short. The wait ends
    /// when the client takes replies: one reply at a time always finds room, whatever others do
    /// with the budget.
    pub async fn take(&self, bytes: usize) -> Place {
        let bytes = bytes.min(TOTAL_BYTES);
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = self.free.clone().acquire_many_owned(wanted).await.ok();
        loop {
            if let Some((bytes, share)) = self.pay(bytes) {
                return Place {
                    bytes,
                    _permit: permit,
                    _share: share,
                };
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Takes room for `bytes`, or for fewer when the budget is short, if it is free now.
    pub fn try_take(&self, bytes: usize) -> Option<Place> {
        let bytes = bytes.min(TOTAL_BYTES);
        let wanted = u32::try_from(bytes).ok()?;
        let permit = self.free.clone().try_acquire_many_owned(wanted).ok()?;
        let (bytes, share) = self.pay(bytes)?;
        Some(Place {
            bytes,
            _permit: Some(permit),
            _share: share,
        })
    }

    fn pay(&self, bytes: usize) -> Option<(usize, Option<Share>)> {
        let share = self.budget.try_take(bytes);
        let is_alone = self.free.available_permits() + bytes >= TOTAL_BYTES;
        match share {
            Some(share) => Some((bytes, Some(share))),
            None => is_alone.then_some((bytes.min(FREE_BYTES), None)),
        }
    }
}

/// Room that is taken; free again when dropped.
#[must_use = "room that is dropped is free again"]
pub struct Place {
    bytes: usize,
    _permit: Option<OwnedSemaphorePermit>,
    _share: Option<Share>,
}

impl Place {
    /// How much fits.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_reply_at_a_time_goes_on_without_any_budget() {
        let room = Room::new(Budget::new(0));
        let first = room.take(1000).await;
        assert!(room.try_take(1000).is_none());
        let second = room.take(1000);
        tokio::pin!(second);
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        drop(second.await);
    }

    #[tokio::test]
    async fn what_is_taken_counts_until_it_is_dropped() {
        let budget = Budget::new(TOTAL_BYTES * 2);
        let room = Room::new(budget.clone());
        let all = room.take(TOTAL_BYTES).await;
        assert_eq!(budget.used(), TOTAL_BYTES);
        assert!(room.take(1).now_or_never().is_none());
        drop(all);
        assert!(room.take(1).now_or_never().is_some());
        assert_eq!(budget.used(), 0);
    }
}
