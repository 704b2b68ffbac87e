//! Work that waits for a disk in place, on the thread that asks, instead of handing over to another and being
//! woken by it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

thread_local! {
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` on this thread, which was made for it, or may be kept from others for so long.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    let _before = Before(IS_ALONE.replace(true));
    work()
}

/// Whether the thread is inside of [`alone`].
pub fn is_alone() -> bool {
    IS_ALONE.get()
}

/// Polls `work` once, as far as it gets without waiting for anything but a disk.
pub async fn begin_alone<F: Future + Unpin>(work: &mut F) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(alone(|| Pin::new(&mut *work).poll(context)))).await
}

/// Puts back what was, also when the work panics.
struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        IS_ALONE.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_alone_for_as_long_as_the_work_takes() {
        assert!(!is_alone());
        assert!(alone(|| alone(is_alone) && is_alone()));
        assert!(!is_alone());
    }
}
