//! Memory for work in the background, which may wait for it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::domain::error::{Error, ErrorKind, Result};
use crate::net::budget::{Budget, Share};

/// How long work waits for memory that others hold.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes `bytes` that can be spared, as soon as they can. Whoever waits must hold nothing that somebody else
/// may be waiting for.
///
/// # Errors
/// Busy when there is no memory for a minute.
pub async fn take(budget: &Budget, bytes: usize) -> Result<Share> {
    let until = Instant::now() + PATIENCE;
    loop {
        let freed = budget.freed();
        if let Some(share) = budget.try_take_spare(bytes) {
            return Ok(share);
        }
        if timeout_at(until, freed).await.is_err() {
            let context = "the server is short of memory; this is tried again";
            return Err(Error::new(ErrorKind::Busy, context));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_others_give_back_is_taken_and_not_waited_for_without_end() {
        let budget = Budget::new(80);
        let held = budget.try_take_spare(30).unwrap();
        let mut waiting = Box::pin(take(&budget, 20));
        assert!(poll!(&mut waiting).is_pending());
        drop(held);
        let share = waiting.await.unwrap();
        assert_eq!(budget.used(), 20);
        let refused = take(&budget, 20).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Busy);
        drop(share);
    }
}
