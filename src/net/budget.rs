//! One memory budget for the whole process. What does not fit is refused and not waited for, so that
//! no client's progress ever depends on another's; only work in the background may wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::domain::measures;

/// Bytes that buffers may take in all. Cheap to clone; clones share the count.
#[derive(Clone)]
pub struct Budget {
    counts: Arc<Counts>,
}

struct Counts {
    total: usize,
    used: AtomicUsize,
    /// Of these, what was taken as [`Budget::try_take_granted`].
    granted: AtomicUsize,
    peak: AtomicUsize,
    /// Told whenever something comes back.
    freed: Notify,
}

impl Counts {
    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_waiters();
    }
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self {
            counts: Arc::new(Counts {
                total: bytes,
                used: AtomicUsize::new(0),
                granted: AtomicUsize::new(0),
                peak: AtomicUsize::new(0),
                freed: Notify::new(),
            }),
        }
    }

    /// Takes `bytes` if so many are free; never waits.
    pub fn try_take(&self, bytes: usize) -> Option<Share> {
        self.take_within(bytes, self.total())
    }

    /// Takes `bytes` if that makes no more than `most` in all.
    fn take_within(&self, bytes: usize, most: usize) -> Option<Share> {
        let taken = self.take(bytes, most);
        if taken.is_none() {
            measures::memory_refused("buffer");
        }
        taken
    }

    fn take(&self, bytes: usize, most: usize) -> Option<Share> {
        let counts = &self.counts;
        let before = counts
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= most)
            })
            .ok()?;
        counts.peak.fetch_max(before + bytes, Ordering::AcqRel);
        Some(Share {
            counts: counts.clone(),
            bytes,
        })
    }

    /// As [`Budget::try_take`], for what one cannot do without, and keeps for long: up to half of the
    /// whole, whatever others do with what is spare.
    pub fn try_take_granted(&self, bytes: usize) -> Option<Grant> {
        self.grant(bytes, self.total() / 2)
    }

    /// The same, for who has many of them: leaves a sixty-fourth of that half to others.
    pub fn try_take_many_granted(&self, bytes: usize) -> Option<Grant> {
        self.grant(bytes, self.total() / 128 * 63)
    }

    fn grant(&self, bytes: usize, most: usize) -> Option<Grant> {
        let counts = &self.counts;
        let more = |granted: usize| granted.checked_add(bytes).filter(|sum| *sum <= most);
        let order = (Ordering::AcqRel, Ordering::Acquire);
        counts.granted.fetch_update(order.0, order.1, more).ok()?;
        match self.take(bytes, self.total()) {
            Some(share) => Some(Grant { share }),
            None => {
                counts.granted.fetch_sub(bytes, Ordering::AcqRel);
                None
            }
        }
    }

    /// As [`Budget::try_take`], for what one can do without: leaves five eighths of the whole to those
    /// who cannot, of which four are for grants.
    pub fn try_take_spare(&self, bytes: usize) -> Option<Share> {
        let granted = self.counts.granted.load(Ordering::Acquire);
        let most = granted.saturating_add(self.total() / 8 * 3);
        self.take_within(bytes, most.min(self.total()))
    }

    /// As [`Budget::try_take_spare`], for the little without which nobody can be answered: leaves a quarter of
    /// the whole, or a sixteenth beside what is granted and spared.
    pub fn try_take_least(&self, bytes: usize) -> Option<Share> {
        self.take_within(bytes, self.most_least())
    }

    fn most_least(&self) -> usize {
        let (granted, total) = (self.counts.granted.load(Ordering::Acquire), self.total());
        let most = granted.saturating_add(total / 16 * 7).max(total / 4 * 3);
        most.min(total / 16 * 15)
    }

    /// As [`Budget::try_take_least`], for one of many who each keep what they take for as long as they like and
    /// have `own` bytes already: nobody gets above a quarter of what is left for others, but for the first.
    pub fn try_take_least_fair(&self, own: usize, bytes: usize) -> Option<Share> {
        let left = self.most_least().saturating_sub(self.used());
        let is_fair = own == 0 || own.saturating_add(bytes) <= left / 4;
        if !is_fair {
            measures::memory_refused("buffer");
            return None;
        }
        self.try_take_least(bytes)
    }

    /// As [`Budget::try_take_spare`], for one of many who each keep what they take for as long as they
    /// like and have `own` bytes already: nobody gets above an eighth of what is left for those who
    /// come next, so that however many take and give nothing back, the next one still gets something.
    pub fn try_take_fair(&self, own: usize, bytes: usize) -> Option<Share> {
        let spare = (self.total() / 4 * 3).saturating_sub(self.used());
        let is_fair = own.saturating_add(bytes) <= spare / 8;
        is_fair.then(|| self.try_take(bytes)).flatten()
    }

    /// Returns when something was given back after this was called.
    pub fn freed(&self) -> Notified<'_> {
        self.counts.freed.notified()
    }

    /// Bytes taken now.
    pub fn used(&self) -> usize {
        self.counts.used.load(Ordering::Acquire)
    }

    /// The most bytes that were ever taken at one moment.
    pub fn peak(&self) -> usize {
        self.counts.peak.load(Ordering::Acquire)
    }

    /// Bytes that may be taken in all.
    pub fn total(&self) -> usize {
        self.counts.total
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", self.used(), self.total())
    }
}

/// A part of a budget; given back when dropped.
#[must_use = "a share that is dropped is given back"]
pub struct Share {
    counts: Arc<Counts>,
    bytes: usize,
}

impl Share {
    /// How much it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what is above `bytes`; a smaller share stays as it is.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.counts.give_back(surplus);
        self.bytes -= surplus;
    }

    /// Bytes that count for this share until the last of their clones is dropped.
    pub fn around(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Counted {
            bytes,
            _share: self,
        })
    }

    /// Adds another share of the same budget.
    pub fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Takes `bytes` out as a share of its own, or as much as there is.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            counts: self.counts.clone(),
            bytes,
        }
    }
}

/// What was granted; given back when dropped.
#[must_use = "a grant that is dropped is given back"]
pub struct Grant {
    share: Share,
}

impl Drop for Grant {
    fn drop(&mut self) {
        let counts = &self.share.counts;
        counts.granted.fetch_sub(self.share.bytes, Ordering::AcqRel);
    }
}

struct Counted {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.counts.give_back(self.bytes);
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({})", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_dropped_comes_back() {
        let budget = Budget::new(100);
        let first = budget.try_take(60).unwrap();
        assert!(budget.try_take(41).is_none());
        assert!(budget.try_take(usize::MAX).is_none());
        let second = budget.try_take(40).unwrap();
        assert_eq!(budget.used(), 100);
        drop(first);
        drop(second);
        assert_eq!((budget.used(), budget.peak()), (0, 100));
    }

    #[test]
    fn parts_of_a_share_come_back_on_their_own() {
        let budget = Budget::new(100);
        let mut share = budget.try_take(100).unwrap();
        let part = share.split(30);
        share.shrink_to(50);
        assert_eq!((part.bytes(), share.bytes(), budget.used()), (30, 50, 80));
        drop(share);
        assert_eq!(budget.used(), 30);
        drop(part);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn who_keeps_all_that_one_can_get_leaves_something_for_the_next() {
        let budget = Budget::new(1 << 20);
        let mut kept = Vec::new();
        for _ in 0..30 {
            let mut own = 0;
            while let Some(share) = budget.try_take_fair(own, 16) {
                own += share.bytes();
                kept.push(share);
            }
            assert!(own >= 1024, "{own}");
        }
        assert!(budget.used() <= budget.total() / 4 * 3);
    }

    #[test]
    fn half_is_for_grants_whatever_is_spared() {
        let budget = Budget::new(800);
        let spared: Vec<_> = std::iter::from_fn(|| budget.try_take_spare(10)).collect();
        assert_eq!((spared.len(), budget.used()), (30, 300));
        let granted: Vec<_> = std::iter::from_fn(|| budget.try_take_granted(10)).collect();
        assert_eq!((granted.len(), budget.used()), (40, 700));
        drop(spared);
        assert!(budget.try_take_granted(10).is_none());
        assert!(budget.try_take_spare(300).is_some());
        drop(granted);
        assert!(budget.try_take_granted(400).is_some());
        // What was granted in vain counts for nothing.
        let all = budget.try_take(800).unwrap();
        assert!(budget.try_take_granted(10).is_none());
        drop(all);
        assert!(budget.try_take_granted(400).is_some());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn little_is_left_for_those_who_come_when_all_is_granted_and_spared() {
        let budget = Budget::new(1600);
        let granted = budget.try_take_granted(800).unwrap();
        let spared = budget.try_take_spare(600).unwrap();
        let least = budget.try_take_least(100).unwrap();
        assert!(budget.try_take_least(1).is_none());
        drop((granted, spared));
        let more = budget.try_take_least(1100).unwrap();
        assert!(budget.try_take_least(1).is_none());
        drop((least, more));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn many_threads_never_take_more_than_there_is() {
        let budget = Budget::new(1000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for size in 1..2000 {
                        drop(budget.try_take(size % 400));
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
        assert!(budget.peak() <= 1000);
    }
}
