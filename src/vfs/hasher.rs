//! SHA-256 of what is written, reckoned beside the work that receives, seals and stores it.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use bytes::Bytes;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::domain::error::{Error, Result};
use crate::net::budget::{Budget, Share};

/// What is worth a thread's waking, and the most that waits while two other batches are under way.
const BATCH_BYTES: usize = 512 << 10;
const MOST_BYTES: usize = 1 << 20;
/// So many batches a thread reckons one after the other before another upload may have it.
const BATCHES: usize = 16;
/// States that are kept for pieces on their way.
const MARKS: usize = 16;

/// The threads on which sums are reckoned, for all uploads: one less than there are processors, since
/// where all are busy with bytes another thread only costs. Cheap to clone.
#[derive(Clone)]
pub struct Hands {
    free: Arc<Semaphore>,
    budget: Budget,
    tasks: TaskTracker,
}

impl Hands {
    /// As many as this machine is good for. What waits for them counts against `budget`; `tasks` owns
    /// what they do.
    pub fn new(budget: Budget, tasks: TaskTracker) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self::with(processors - 1, budget, tasks)
    }

    fn with(count: usize, budget: Budget, tasks: TaskTracker) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count)),
            budget,
            tasks,
        }
    }
}

/// A SHA-256 that runs behind what it is given by so much as the budget spares, and at most by
/// `MOST_BYTES` and twice as much under way. Without memory or a free hand it is reckoned at once.
pub struct Hasher {
    hands: Hands,
    state: State,
    waiting: Batch,
    /// The states that were asked for, the last ones.
    marks: VecDeque<(u64, Vec<u8>)>,
}

enum State {
    /// A batch is under way, and perhaps the next.
    Away(JoinHandle<Done>, Arc<Slot>),
    /// Up to what waits.
    Here(Sha256),
    /// A batch was not brought to its end, because the process ends.
    Lost,
}

/// Where the batch lies that comes next, so that the thread that reckons has to wait for nobody.
#[derive(Default)]
struct Slot {
    next: Mutex<Next>,
    /// Told when the thread took it, or takes none any more.
    taken: Notify,
}

#[derive(Default)]
enum Next {
    #[default]
    Free,
    Full(Batch),
    /// The thread takes no more.
    Closed,
}

#[derive(Default)]
struct Batch {
    steps: Vec<Step>,
    bytes: usize,
    share: Option<Share>,
}

enum Step {
    Bytes(Bytes),
    Mark(u64),
}

struct Done {
    state: Sha256,
    marks: Vec<(u64, Vec<u8>)>,
}

impl Hasher {
    /// Goes on from a state, which is marked as 0.
    pub fn new(hands: Hands, state: Sha256) -> Self {
        Self {
            hands,
            marks: VecDeque::from([(0, stored(&state))]),
            state: State::Here(state),
            waiting: Batch::default(),
        }
    }

    /// Takes what follows.
    ///
    /// # Errors
    /// Internal when the process is ending.
    pub async fn update(&mut self, bytes: Bytes) -> Result<()> {
        let share = self.hands.budget.try_take_spare(bytes.len());
        let is_counted = share.is_some();
        self.waiting.push(bytes, share);
        match is_counted {
            // Nothing may wait that does not count.
            false => self.settle().await,
            true if self.waiting.bytes >= BATCH_BYTES => self.pass_on().await,
            true => Ok(()),
        }
    }

    /// Keeps the state after what was given so far, to be found under `mark`. The last few are kept.
    pub fn mark(&mut self, mark: u64) {
        self.waiting.steps.push(Step::Mark(mark));
    }

    /// The state that is kept under `mark`, in the form that checkpoints store.
    ///
    /// # Errors
    /// Internal when the process is ending.
    pub async fn marked(&mut self, mark: u64) -> Result<Option<Vec<u8>>> {
        self.settle().await?;
        let mut marks = self.marks.iter();
        let found = marks.find(|(marked, _)| *marked == mark);
        Ok(found.map(|(_, state)| state.clone()))
    }

    /// The state after all that was given, in the form that checkpoints store.
    ///
    /// # Errors
    /// Internal when the process is ending.
    pub async fn now(&mut self) -> Result<Vec<u8>> {
        self.settle().await?;
        match &self.state {
            State::Here(state) => Ok(stored(state)),
            State::Away(..) | State::Lost => Err(lost()),
        }
    }

    /// The state after all that was given and `last`.
    ///
    /// # Errors
    /// Internal when the process is ending.
    pub async fn finish(mut self, last: &[u8]) -> Result<Sha256> {
        self.settle().await?;
        match self.state {
            State::Here(state) => Ok(state.chain_update(last)),
            State::Away(..) | State::Lost => Err(lost()),
        }
    }

    /// Starts with what waits, unless there is enough under way.
    async fn pass_on(&mut self) -> Result<()> {
        while let State::Away(job, slot) = &mut self.state {
            let is_busy = !job.is_finished();
            if is_busy && (slot.lay(&mut self.waiting) || self.waiting.bytes < MOST_BYTES) {
                return Ok(());
            }
            tokio::select! {
                () = slot.taken.notified() => {}
                done = job => {
                    self.state = State::Lost;
                    self.note(done.map_err(Error::internal)?);
                }
            }
        }
        let Ok(hand) = self.hands.free.clone().try_acquire_owned() else {
            return self.settle().await;
        };
        let State::Here(state) = mem::replace(&mut self.state, State::Lost) else {
            return Err(lost());
        };
        let (batch, slot) = (mem::take(&mut self.waiting), Arc::<Slot>::default());
        let own = Arc::clone(&slot);
        let job = self.hands.tasks.spawn_blocking(move || {
            let mut done = batch.run(Done::from(state));
            for left in (0..BATCHES).rev() {
                match own.take(left > 0) {
                    Some(batch) => done = batch.run(done),
                    None => break,
                }
            }
            drop(hand);
            done
        });
        self.state = State::Away(job, slot);
        Ok(())
    }

    /// Reckons all that waits.
    async fn settle(&mut self) -> Result<()> {
        self.come_back().await?;
        if self.waiting.steps.is_empty() {
            return Ok(());
        }
        let State::Here(state) = mem::replace(&mut self.state, State::Lost) else {
            return Err(lost());
        };
        let done = mem::take(&mut self.waiting).run(Done::from(state));
        self.note(done);
        Ok(())
    }

    /// Waits for what is under way.
    async fn come_back(&mut self) -> Result<()> {
        if let State::Away(job, _) = &mut self.state {
            let done = job.await;
            self.state = State::Lost;
            self.note(done.map_err(Error::internal)?);
        }
        Ok(())
    }

    fn note(&mut self, done: Done) {
        self.state = State::Here(done.state);
        self.marks.extend(done.marks);
        let surplus = self.marks.len().saturating_sub(MARKS);
        self.marks.drain(..surplus);
    }
}

impl Batch {
    fn push(&mut self, bytes: Bytes, share: Option<Share>) {
        self.bytes += bytes.len();
        self.steps.push(Step::Bytes(bytes));
        match (&mut self.share, share) {
            (Some(held), Some(share)) => held.merge(share),
            (held, Some(share)) => *held = Some(share),
            (_, None) => {}
        }
    }

    fn run(self, mut done: Done) -> Done {
        for step in self.steps {
            match step {
                Step::Bytes(bytes) => done.state.update(&bytes),
                Step::Mark(mark) => done.marks.push((mark, stored(&done.state))),
            }
        }
        done
    }
}

impl From<Sha256> for Done {
    fn from(state: Sha256) -> Self {
        Self {
            state,
            marks: Vec::new(),
        }
    }
}

impl Slot {
    /// Lays a batch into it, if it is free.
    fn lay(&self, batch: &mut Batch) -> bool {
        let mut next = self.lock();
        let is_free = matches!(*next, Next::Free);
        if is_free {
            *next = Next::Full(mem::take(batch));
        }
        is_free
    }

    /// Takes the batch that lies in it. None comes any more when there is none, nor when it does not go on.
    fn take(&self, goes_on: bool) -> Option<Batch> {
        let after = match goes_on {
            true => Next::Free,
            false => Next::Closed,
        };
        let mut next = self.lock();
        let taken = match mem::replace(&mut *next, after) {
            Next::Full(batch) => Some(batch),
            Next::Free | Next::Closed => {
                *next = Next::Closed;
                None
            }
        };
        drop(next);
        self.taken.notify_one();
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stored(state: &Sha256) -> Vec<u8> {
    state.serialize().to_vec()
}

fn lost() -> Error {
    Error::internal("a sum was not reckoned to its end")
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    /// Hashes pieces of 40,000 bytes with a mark after each, and compares all of it, every so often.
    async fn compare(hands: Hands, pieces: u64, often: u64) {
        let mut hasher = Hasher::new(hands, Sha256::new());
        let mut plain = Sha256::new();
        for piece in 1..=pieces {
            let bytes = Bytes::from(vec![piece as u8; 40_000]);
            plain.update(&bytes);
            hasher.update(bytes).await.unwrap();
            hasher.mark(piece);
            if piece % often == 0 {
                let marked = hasher.marked(piece).await.unwrap();
                assert_eq!(marked, Some(stored(&plain)));
                assert_eq!(hasher.now().await.unwrap(), stored(&plain));
            }
        }
        let first = hasher.marked(0).await.unwrap();
        assert_eq!(first.is_some(), pieces < MARKS as u64);
        let sum = hasher.finish(b"last").await.unwrap();
        assert_eq!(sum.finalize(), plain.chain_update(b"last").finalize());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sums_and_marks_are_the_same_wherever_they_are_reckoned() {
        for (count, memory) in [(1, 1 << 30), (0, 1 << 30), (1, 0), (1, 1 << 20)] {
            for pieces in [0, 1, 6, 13, 40, 41, 100] {
                let budget = Budget::new(memory);
                let hands = Hands::with(count, budget.clone(), TaskTracker::new());
                compare(hands, pieces, 7).await;
                assert_eq!(budget.used(), 0);
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn batches_follow_each_other_in_their_order_however_many_wait() {
        for memory in [1 << 30, 3 << 20] {
            let budget = Budget::new(memory);
            let hands = Hands::with(1, budget.clone(), TaskTracker::new());
            let uploads: JoinSet<_> = (0..3).map(|_| compare(hands.clone(), 1500, 700)).collect();
            uploads.join_all().await;
            assert_eq!(budget.used(), 0);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_given_up_is_still_owned_and_gives_its_memory_back() {
        let (budget, tasks) = (Budget::new(1 << 30), TaskTracker::new());
        let hands = Hands::with(1, budget.clone(), tasks.clone());
        let mut hasher = Hasher::new(hands, Sha256::new());
        for _ in 0..20 {
            hasher.update(Bytes::from(vec![1; 65_536])).await.unwrap();
        }
        drop(hasher);
        tasks.close();
        tasks.wait().await;
        assert_eq!(budget.used(), 0);
    }
}
