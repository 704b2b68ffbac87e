//! Telling the operator that the machine's clock and the database's are not the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::db::database::Database;
use crate::db::timekeeper::Side;

/// From where on it is told. Far above what an answer of the database takes, and far below the minutes that
/// signatures and one-time codes may be off.
const MOST: Duration = Duration::from_secs(5);

/// Tells once that the clocks differ, and once that they agree again.
#[derive(Debug, Default)]
pub struct ClockWatch {
    has_told: AtomicBool,
}

impl ClockWatch {
    /// Compares this machine's clock with what is known of the database's.
    pub fn look(&self, db: &Database) {
        let Some((off, side)) = db.clock_off() else {
            return;
        };
        let is_off = off > MOST;
        if self.has_told.swap(is_off, Ordering::SeqCst) == is_off {
            return;
        }
        let (seconds, side) = match side {
            Side::Ahead => (off.as_secs(), "ahead of"),
            Side::Behind => (off.as_secs(), "behind"),
        };
        if is_off {
            tracing::warn!(
                seconds,
                "this machine's clock is {seconds} s {side} the database's; set both by NTP: leases, one-time codes and certificates go by the database's, signatures to S3 and key services by this one"
            );
        } else {
            tracing::info!("this machine's clock and the database's agree again");
        }
    }
}
