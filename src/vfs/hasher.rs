//! SHA-256 of what is written, reckoned beside the work that receives, seals and stores it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::available_parallelism;

use bytes::Bytes;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::domain::error::{Error, Result};
use crate::net::budget::{Budget, Share};

/// What is worth a thread's waking, and the most that waits while another batch is under way.
const BATCH_BYTES: usize = 512 << 10;
const MOST_BYTES: usize = 1 << 20;
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
/// `MOST_BYTES` and as much under way. Without memory or a free hand it is reckoned at once.
pub struct Hasher {
    hands: Hands,
    state: State,
    waiting: Batch,
    /// The states that were asked for, the last ones.
    marks: VecDeque<(u64, Vec<u8>)>,
}

enum State {
    /// A batch is under way.
    Away(JoinHandle<Done>),
    /// Up to what waits.
    Here(Sha256),
    /// A batch was not brought to its end, because the process ends.
    Lost,
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
            State::Away(_) | State::Lost => Err(lost()),
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
            State::Away(_) | State::Lost => Err(lost()),
        }
    }

    /// Starts with what waits, unless there is enough under way.
    async fn pass_on(&mut self) -> Result<()> {
        if let State::Away(batch) = &self.state
            && !batch.is_finished()
            && self.waiting.bytes < MOST_BYTES
        {
            return Ok(());
        }
        self.come_back().await?;
        let Ok(hand) = self.hands.free.clone().try_acquire_owned() else {
            return self.settle().await;
        };
        let State::Here(state) = std::mem::replace(&mut self.state, State::Lost) else {
            return Err(lost());
        };
        let batch = std::mem::take(&mut self.waiting);
        self.state = State::Away(self.hands.tasks.spawn_blocking(move || {
            let done = batch.run(state);
            drop(hand);
            done
        }));
        Ok(())
    }

    /// Reckons all that waits.
    async fn settle(&mut self) -> Result<()> {
        self.come_back().await?;
        if self.waiting.steps.is_empty() {
            return Ok(());
        }
        let State::Here(state) = std::mem::replace(&mut self.state, State::Lost) else {
            return Err(lost());
        };
        let done = std::mem::take(&mut self.waiting).run(state);
        self.note(done);
        Ok(())
    }

    /// Waits for what is under way.
    async fn come_back(&mut self) -> Result<()> {
        if let State::Away(batch) = &mut self.state {
            let done = batch.await;
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

    fn run(self, mut state: Sha256) -> Done {
        let mut marks = Vec::new();
        for step in self.steps {
            match step {
                Step::Bytes(bytes) => state.update(&bytes),
                Step::Mark(mark) => marks.push((mark, stored(&state))),
            }
        }
        Done { state, marks }
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
    use super::*;

    /// Hashes pieces of 40,000 bytes with a mark after each, and compares all of it.
    async fn compare(hands: Hands, pieces: u64) {
        let mut hasher = Hasher::new(hands, Sha256::new());
        let mut plain = Sha256::new();
        for piece in 1..=pieces {
            let bytes = Bytes::from(vec![piece as u8; 40_000]);
            plain.update(&bytes);
            hasher.update(bytes).await.unwrap();
            hasher.mark(piece);
            if piece % 7 == 0 {
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
                compare(hands, pieces).await;
                assert_eq!(budget.used(), 0);
            }
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
