//! Memory for work in the background, which may wait for it.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::net::budget::{Budget, Share};

/// How long work waits for memory that others hold, without getting any.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks. No client's progress depends on it.
const LOOK: Duration = Duration::from_millis(50);

/// Takes `bytes` that can be spared, as soon as they can. Whoever waits must hold nothing that somebody else
/// may be waiting for.
///
/// # Errors
/// Busy when there is no memory for a minute.
pub async fn take(budget: &Budget, bytes: usize) -> Result<Share> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(share) = budget.try_take_spare(bytes) {
            return Ok(share);
        }
        if Instant::now() >= until {
            let context = "the server is short of memory; this is tried again";
            return Err(Error::new(ErrorKind::Busy, context));
        }
        tokio::time::sleep(LOOK).await;
    }
}
