//! The database's time, as a process knows it between two times that it asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::clock::{Clock, Timestamp};

/// Tells the time of a database that has been asked for it: what that said, and what has passed since by a
/// clock that nobody sets. How wrong the machine's own clock is, and whether that is put right meanwhile, makes
/// no difference.
///
/// It follows the database each time that is asked, and is right to within the time that the quickest answer
/// took. While it is not asked, as when it cannot be reached, it goes on; on a machine that sleeps it stands
/// still until the next answer, so that what is another's lasts longer and never less.
pub struct Timekeeper {
    own: Arc<dyn Clock>,
    origin: Instant,
    /// The database's time at the origin; [`UNTOLD`] before the first answer.
    then: AtomicI64,
}

const UNTOLD: i64 = i64::MIN;

impl Timekeeper {
    /// Goes by `own` until the database has told its time.
    pub fn new(own: Arc<dyn Clock>) -> Self {
        Self {
            own,
            origin: Instant::now(),
            then: AtomicI64::new(UNTOLD),
        }
    }

    /// Notes what the database told when it was asked at `asked` and had answered at `heard`.
    pub fn told(&self, told: Timestamp, asked: Instant, heard: Instant) {
        let since = |moment: Instant| moment.saturating_duration_since(self.origin);
        // It was told at some moment between the two.
        let (least, most) = (told.minus(since(heard)).0, told.minus(since(asked)).0);
        let follow = |known: i64| match (least..=most).contains(&known) {
            true => None,
            false => Some(least),
        };
        // None: what is known agrees with what was told.
        let _ = self
            .then
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, follow);
    }

    /// How far the machine's own clock is ahead of the database's, and whether it is behind it instead.
    pub fn off(&self) -> (Duration, Side) {
        let (own, theirs) = (self.own.now(), self.now());
        match own >= theirs {
            true => (own.since(theirs), Side::Ahead),
            false => (theirs.since(own), Side::Behind),
        }
    }
}

impl Clock for Timekeeper {
    fn now(&self) -> Timestamp {
        match self.then.load(Ordering::SeqCst) {
            UNTOLD => self.own.now(),
            then => Timestamp(then).plus(self.origin.elapsed()),
        }
    }
}

/// On which side of another clock a clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is later there.
    Ahead,
    /// It is earlier there, or the same time.
    Behind,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    /// What it takes the database's time for at its origin.
    fn then(keeper: &Timekeeper) -> Timestamp {
        Timestamp(keeper.then.load(Ordering::SeqCst))
    }

    fn keeper() -> (Timekeeper, Arc<ManualClock>) {
        let own = Arc::new(ManualClock::new(Timestamp::from_seconds(5_000)));
        (Timekeeper::new(own.clone()), own)
    }

    #[test]
    fn it_goes_by_the_database_once_that_told_its_time() {
        let (keeper, own) = keeper();
        assert_eq!(keeper.now(), own.now());
        let (told, origin) = (Timestamp::from_seconds(1_000), keeper.origin);
        keeper.told(told, origin, origin);
        assert_eq!(then(&keeper), told);
        assert!(keeper.now() >= told);
        let (off, side) = keeper.off();
        assert_eq!(side, Side::Ahead);
        assert!(off <= 4_000 * SECOND);
        // Whatever becomes of the own clock.
        own.advance(1_000_000 * SECOND);
        assert_eq!(then(&keeper), told);
    }

    #[test]
    fn it_is_not_ahead_however_slow_the_first_answer_is() {
        let (keeper, _) = keeper();
        let (told, origin) = (Timestamp::from_seconds(1_000), keeper.origin);
        keeper.told(told, origin, origin + 60 * SECOND);
        assert_eq!(then(&keeper), Timestamp::from_seconds(940));
        // A quicker one says more.
        keeper.told(
            told.plus(70 * SECOND),
            origin + 70 * SECOND,
            origin + 71 * SECOND,
        );
        assert_eq!(then(&keeper), Timestamp::from_seconds(999));
    }

    #[test]
    fn a_slow_answer_moves_nothing_that_it_agrees_with() {
        let (keeper, _) = keeper();
        let (told, origin) = (Timestamp::from_seconds(1_000), keeper.origin);
        keeper.told(told, origin, origin);
        keeper.told(told.plus(30 * SECOND), origin, origin + 60 * SECOND);
        assert_eq!(then(&keeper), told);
    }

    #[test]
    fn it_follows_a_database_whose_clock_is_set() {
        let (keeper, _) = keeper();
        let (told, origin) = (Timestamp::from_seconds(1_000), keeper.origin);
        keeper.told(told, origin, origin);
        for seconds in [2_000, 500] {
            let told = Timestamp::from_seconds(seconds);
            keeper.told(told, origin, origin);
            assert_eq!(then(&keeper), told);
        }
    }
}
