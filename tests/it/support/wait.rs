//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

/// Asks again and again until the answer is there; panics naming what was awaited.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s in vain for {what}",
            within.as_secs()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same for tests with a runtime.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
