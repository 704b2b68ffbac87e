//! Room for replies that carry data: what has been read and is not yet on its way, or not yet asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

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
    taken: Arc<Taken>,
    budget: Budget,
}

#[derive(Default)]
struct Taken {
    /// Of all places; the semaphore counts those that wait as well.
    bytes: AtomicUsize,
    given_back: Notify,
}

impl Room {
    /// Empty room, paid for from `budget` as it is taken.
    pub fn new(budget: Budget) -> Self {
        Self {
            free: Arc::new(Semaphore::new(TOTAL_BYTES)),
            taken: Arc::default(),
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
                return self.place(bytes, permit, share);
            }
            // By this connection; what others give back is found out by asking.
            let given_back = self.taken.given_back.notified();
            let _ = tokio::time::timeout(AGAIN, given_back).await;
        }
    }

    /// Takes room for `bytes`, or for fewer when the budget is short, if it is free now.
    pub fn try_take(&self, bytes: usize) -> Option<Place> {
        let bytes = bytes.min(TOTAL_BYTES);
        let wanted = u32::try_from(bytes).ok()?;
        let permit = self.free.clone().try_acquire_many_owned(wanted).ok()?;
        let (bytes, share) = self.pay(bytes)?;
        Some(self.place(bytes, Some(permit), share))
    }

    /// A client that takes no replies keeps its places: it must not be able to keep all the budget.
    fn pay(&self, bytes: usize) -> Option<(usize, Option<Share>)> {
        let own = self.taken.bytes.load(Ordering::Acquire);
        if let Some(share) = self.budget.try_take_fair(own, bytes) {
            self.taken.bytes.fetch_add(bytes, Ordering::AcqRel);
            return Some((bytes, Some(share)));
        }
        let bytes = bytes.min(FREE_BYTES);
        let alone =
            self.taken
                .bytes
                .compare_exchange(0, bytes, Ordering::AcqRel, Ordering::Acquire);
        alone.is_ok().then_some((bytes, None))
    }

    fn place(
        &self,
        bytes: usize,
        permit: Option<OwnedSemaphorePermit>,
        share: Option<Share>,
    ) -> Place {
        Place {
            bytes,
            taken: self.taken.clone(),
            _permit: permit,
            _share: share,
        }
    }
}

/// Room that is taken; free again when dropped.
#[must_use = "room that is dropped is free again"]
pub struct Place {
    bytes: usize,
    taken: Arc<Taken>,
    _permit: Option<OwnedSemaphorePermit>,
    _share: Option<Share>,
}

impl Place {
    /// How much fits.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.taken.given_back.notify_one();
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

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_together_without_any_budget_go_on_one_by_one() {
        let room = Room::new(Budget::new(0));
        let first = room.take(1000).await;
        let (second, third) = (room.take(1000), room.take(1000));
        tokio::pin!(second, third);
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        drop(second.await);
        drop(third.await);
    }

    #[tokio::test]
    async fn clients_that_take_nothing_leave_budget_for_others() {
        let budget = Budget::new(256 << 20);
        let stalled: Vec<_> = (0..40)
            .map(|_| {
                let room = Room::new(budget.clone());
                let mut places = Vec::new();
                while let Some(place) = room.try_take(255 * 1024) {
                    places.push(place);
                }
                places
            })
            .collect();
        assert!(budget.try_take(budget.total() / 4).is_some());
        let next = Room::new(budget.clone());
        assert!(next.try_take(255 * 1024).is_some());
        drop(stalled);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn what_is_taken_counts_until_it_is_dropped() {
        let budget = Budget::new(TOTAL_BYTES * 16);
        let room = Room::new(budget.clone());
        let all = room.take(TOTAL_BYTES).await;
        assert_eq!(budget.used(), TOTAL_BYTES);
        assert!(room.take(1).now_or_never().is_none());
        drop(all);
        assert!(room.take(1).now_or_never().is_some());
        assert_eq!(budget.used(), 0);
    }
}
