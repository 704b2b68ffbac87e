//! Holding back what cannot be undone while the time may be wrong.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::domain::clock::Timestamp;

/// How much more or less time the clock may tell than has passed. Far above what setting it by NTP changes.
const MOST: Duration = Duration::from_secs(300);
/// How long it must have gone evenly after that.
const HELD: Duration = Duration::from_secs(24 * 3600);

/// Looks whether the time that changes are dated by goes as fast as time does. A clock that is set wrong for seconds
/// would end the retention of all that was ever deleted.
pub struct Leaps {
    uptime: Box<dyn Fn() -> Option<Duration> + Send + Sync>,
    seen: Mutex<Option<Seen>>,
}

/// What was seen last.
struct Seen {
    at: Timestamp,
    uptime: Duration,
    /// When the clock was set last, if that is not long ago.
    leapt: Option<Duration>,
}

impl Default for Leaps {
    /// By the time since the machine was started, the time that it slept included, which nobody sets.
    fn default() -> Self {
        Self::by(|| {
            clock_gettime(ClockId::CLOCK_BOOTTIME)
                .ok()
                .map(Duration::from)
        })
    }
}

impl Leaps {
    /// By a clock that nobody sets; none when it tells nothing.
    pub fn by(uptime: impl Fn() -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self {
            uptime: Box::new(uptime),
            seen: Mutex::default(),
        }
    }

    /// Whether what is over at `now`, which was read just before, may be removed for good: not for a day after the clock
    /// was set. What it told at the first look is believed, for there is nothing to compare it with.
    pub fn trusts(&self, now: Timestamp) -> bool {
        let Some(uptime) = (self.uptime)() else {
            return true;
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut leapt = None;
        if let Some(before) = seen.as_ref() {
            leapt = before.leapt;
            let expected = before.at.plus(uptime.saturating_sub(before.uptime));
            let off = now.since(expected).max(expected.since(now));
            if off > MOST {
                if leapt.is_none() {
                    warn(off, now > expected);
                }
                leapt = Some(uptime);
            } else if leapt.is_some_and(|leapt| uptime.saturating_sub(leapt) >= HELD) {
                tracing::info!(
                    "the clock has gone evenly for a day; what is over is removed again"
                );
                leapt = None;
            }
        }
        *seen = Some(Seen {
            at: now,
            uptime,
            leapt,
        });
        leapt.is_none()
    }
}

fn warn(off: Duration, is_ahead: bool) {
    let (seconds, side) = match is_ahead {
        true => (off.as_secs(), "forward"),
        false => (off.as_secs(), "back"),
    };
    tracing::warn!(
        seconds,
        "the clock was set {side} by {seconds} s: if that is wrong, set it right; nothing is purged and no upload expires \
         until it has gone evenly for a day, or the server is started again"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_clock_that_was_set_is_believed_when_it_has_gone_evenly_for_a_day() {
        let uptime = Arc::new(AtomicU64::new(1_000));
        let own = uptime.clone();
        let leaps = Leaps::by(move || Some(Duration::from_secs(own.load(Ordering::SeqCst))));
        let (mut now, day) = (1_800_000_000, 24 * 3600);
        for (passed, told, trusts) in [
            (0, 0, true),
            (8, 8, true),
            // A machine that slept.
            (40 * day, 40 * day, true),
            // Set by NTP.
            (8, 70, true),
            (5, 300 * day, false),
            (8, 8, false),
            (5, -300 * day, false),
            (day - 1, day - 1, false),
            (1, 1, true),
            (8, 8, true),
            (8, -3600, false),
        ] {
            uptime.fetch_add(u64::try_from(passed).unwrap(), Ordering::SeqCst);
            now += told;
            let found = leaps.trusts(Timestamp::from_seconds(now));
            assert_eq!(found, trusts, "{passed} {told}");
        }
    }
}
