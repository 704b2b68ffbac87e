//! Commits that wait for the disk on a thread that serves others, as long as they take less time than
//! waking another thread and being woken by it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::domain::error::{Error, Result};
use crate::domain::thread;

/// How long a commit may keep a thread that serves others. With a disk that writes into memory of its own,
/// or a file system in memory, it takes less; with one that has to wait for flash or a platter, more.
const QUICK: Duration = Duration::from_micros(500);
/// How many in a row must have been quick before the next is trusted to be.
const PROOFS: u32 = 64;

/// Whether commits may be done in place. One at a time is, so that a disk that ceases to answer stops one
/// thread, and others take over what it served. Cheap to clone.
#[derive(Clone)]
pub struct InPlace {
    shared: Arc<Shared>,
}

struct Shared {
    is_taken: AtomicBool,
    /// How many more have to be quick.
    doubts: AtomicU32,
}

impl Default for InPlace {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                is_taken: AtomicBool::new(false),
                doubts: AtomicU32::new(PROOFS),
            }),
        }
    }
}

impl InPlace {
    /// Does what a commit to a disk and to SQLite takes: here if that is quick, else on a thread of `tasks`.
    /// What has to wait goes on when the caller goes away: it may be what others wait for.
    ///
    /// # Errors
    /// The work's own.
    pub async fn run<T: Send + 'static>(
        &self,
        tasks: &TaskTracker,
        mut work: Pin<Box<dyn Future<Output = Result<T>> + Send>>,
    ) -> Result<T> {
        if let Some(turn) = self.turn() {
            let begun = thread::begin_alone(&mut work).await;
            drop(turn);
            return match begun {
                Poll::Ready(done) => done,
                Poll::Pending => tasks.spawn(work).await.map_err(Error::internal)?,
            };
        }
        let (this, runtime) = (self.clone(), Handle::current());
        let on_thread = move || {
            let since = Instant::now();
            let begun = runtime.block_on(thread::begin_alone(&mut work));
            this.took(since.elapsed());
            match begun {
                Poll::Ready(done) => done,
                Poll::Pending => thread::alone(|| runtime.block_on(work)),
            }
        };
        let done = tasks.spawn_blocking(on_thread).await;
        done.map_err(Error::internal)?
    }

    /// Leave to commit on this thread, which serves others; none when that may take long, or another has it.
    pub(in crate::db) fn turn(&self) -> Option<Turn<'_>> {
        let is_trusted = self.shared.doubts.load(Ordering::Relaxed) == 0;
        // Somebody has to be there who goes on with the rest.
        if !is_trusted || Handle::current().metrics().num_workers() < 2 {
            return None;
        }
        let is_free = !self.shared.is_taken.swap(true, Ordering::Acquire);
        is_free.then(|| Turn {
            place: self,
            since: Instant::now(),
        })
    }

    /// Notes for how long a commit kept a thread.
    pub(in crate::db) fn took(&self, time: Duration) {
        let doubts = match time < QUICK {
            true => self.shared.doubts.load(Ordering::Relaxed).saturating_sub(1),
            false => PROOFS,
        };
        self.shared.doubts.store(doubts, Ordering::Relaxed);
    }
}

/// Held while a commit waits for the disk on a thread that serves others.
pub(in crate::db) struct Turn<'a> {
    place: &'a InPlace,
    since: Instant,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.place.took(self.since.elapsed());
        self.place.shared.is_taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_has_to_wait_goes_on_without_its_caller() {
        let (place, tasks) = (InPlace::default(), TaskTracker::new());
        for _ in 0..PROOFS {
            place.took(Duration::ZERO);
        }
        let (go, waits) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut running = Box::pin(place.run(
            &tasks,
            Box::pin(async move {
                waits.await.map_err(Error::internal)?;
                done.send(())
                    .map_err(|()| Error::internal("nobody listens"))
            }),
        ));
        assert!(poll!(&mut running).is_pending());
        drop(running);
        go.send(()).unwrap();
        is_done.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_disk_is_trusted_when_it_was_quick_often_and_by_one_at_a_time() {
        let place = InPlace::default();
        for _ in 0..PROOFS {
            assert!(place.turn().is_none());
            place.took(Duration::from_micros(100));
        }
        let turn = place.turn().unwrap();
        assert!(place.turn().is_none());
        drop(turn);
        place.took(QUICK);
        for _ in 0..PROOFS {
            assert!(place.turn().is_none());
            place.took(Duration::ZERO);
        }
        assert!(place.turn().is_some());
    }

    #[tokio::test]
    async fn the_only_thread_is_never_kept() {
        let place = InPlace::default();
        for _ in 0..=PROOFS {
            place.took(Duration::ZERO);
            assert!(place.turn().is_none());
        }
    }
}
