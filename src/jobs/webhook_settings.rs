//! Settings of what is told to others.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::temporary::TemporaryNames;
use crate::net::reach::Reach;

/// How what happens is told to others.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// What may be reached.
    pub reach: Reach,
    /// Certificates that are trusted beside the system's.
    pub authorities: Option<PathBuf>,
    /// Names of which nothing is told.
    pub temporary: TemporaryNames,
    /// How long an answer may take.
    pub time: Duration,
    /// How long after a first failure it is tried again; each time twice as long.
    pub first_delay: Duration,
    /// The longest time between two tries.
    pub longest_delay: Duration,
    /// How long it is tried.
    pub give_up_after: Duration,
    /// How long what was delivered is remembered.
    pub keep_delivered: Duration,
    /// How long what was given up is kept.
    pub keep_dead: Duration,
    /// Most that is on its way at a time, in all.
    pub at_once: usize,
    /// The same for one webhook.
    pub at_once_each: usize,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            reach: Reach::default(),
            authorities: None,
            temporary: TemporaryNames::default(),
            time: Duration::from_secs(10),
            first_delay: Duration::from_secs(5),
            longest_delay: Duration::from_secs(3_600),
            give_up_after: 3 * DAY,
            keep_delivered: 3 * DAY,
            keep_dead: 30 * DAY,
            at_once: 64,
            at_once_each: 4,
        }
    }
}
