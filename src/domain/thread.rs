//! Whether the thread that asks serves anybody else.

use std::cell::Cell;

thread_local! {
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` on this thread, which was made for it: what waits for a disk may do so in place, instead
/// of handing over to another thread and being woken by it.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    let _before = Before(IS_ALONE.replace(true));
    work()
}

/// Whether the thread is inside of [`alone`].
pub fn is_alone() -> bool {
    IS_ALONE.get()
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
