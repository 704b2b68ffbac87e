//! Spares everybody the wait for a blob store that does not answer.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::BlobId;
use crate::domain::random;
use crate::storage::refusal;
use crate::storage::store::{BlobStore, BlobWriter, Checkpoint, Shape, SharedIntake, StoredBlob};

/// So many calls in a row that nobody answers, within this time, are enough: as long as a call may take with
/// all its attempts, and a little more.
const FAILURES: u32 = 8;
const WITHIN: Duration = Duration::from_secs(80);
/// A call that was tried for so long before it failed counts as several.
const LONG: Duration = Duration::from_secs(10);
const WEIGHT_OF_LONG: u32 = FAILURES / 2;
/// How long calls fail at once before one is tried: longer each time the trial fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Hands everything on to another store until that does not answer any more; then calls fail at
/// once, with `Unavailable`, but for one now and then that is let through to see.
///
/// Only `Unavailable` is no answer: that a blob is missing or damaged is one, however long it took.
pub struct Breaker {
    inner: Arc<dyn BlobStore>,
    gate: Gate,
}

impl Breaker {
    /// Stands before `inner`, which the log calls `name`.
    pub fn new(inner: Arc<dyn BlobStore>, name: impl Into<String>) -> Self {
        Self {
            inner,
            gate: Gate {
                inner: Arc::new(Inner {
                    name: name.into(),
                    state: Mutex::new(State::quiet()),
                }),
            },
        }
    }

    /// Makes a call whose outcome tells whether the store answers.
    async fn through<T>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let pass = self.gate.enter()?;
        let outcome = call.await;
        pass.end(Evidence::of(&outcome));
        outcome
    }
}

#[async_trait]
impl BlobStore for Breaker {
    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    async fn put(&self, id: BlobId, sealed: Bytes) -> Result<()> {
        self.through(self.inner.put(id, sealed)).await
    }

    async fn begin(&self, id: BlobId) -> Result<Box<dyn BlobWriter>> {
        let pass = self.gate.enter()?;
        let begun = self.inner.begin(id).await;
        pass.end(Evidence::of(&begun).unless_good());
        Ok(Box::new(BreakerWriter {
            inner: begun?,
            gate: self.gate.clone(),
            failed: false,
            gap: false,
        }))
    }

    async fn read_into(&self, id: BlobId, range: Range<u64>, intake: SharedIntake) -> Result<()> {
        self.through(self.inner.read_into(id, range, intake)).await
    }

    async fn length(&self, id: BlobId) -> Result<Option<u64>> {
        self.through(self.inner.length(id)).await
    }

    async fn salvage(&self, id: BlobId, checkpoint: &Checkpoint) -> Result<()> {
        self.through(self.inner.salvage(id, checkpoint)).await
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        self.through(self.inner.delete(id)).await
    }

    async fn discard(&self, id: BlobId) -> Result<()> {
        self.through(self.inner.discard(id)).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        self.through(self.inner.list(after, limit)).await
    }

    async fn unfinished(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        self.through(self.inner.unfinished(after, limit)).await
    }

    async fn owner(&self) -> Result<Option<String>> {
        self.through(self.inner.owner()).await
    }

    async fn claim(&self, owner: &str) -> Result<String> {
        self.through(self.inner.claim(owner)).await
    }

    async fn look(&self) -> Result<()> {
        self.through(self.inner.look()).await
    }

    /// Somebody wants to know: it is always asked.
    async fn probe(&self) -> Result<()> {
        self.inner.probe().await
    }
}

struct BreakerWriter {
    inner: Box<dyn BlobWriter>,
    gate: Gate,
    /// A writer repeats its first failure, which is no news.
    failed: bool,
    /// A piece was not let through, so none behind it may be.
    gap: bool,
}

impl BreakerWriter {
    fn enter(&mut self) -> Result<Pass> {
        if self.gap {
            return Err(refusal::unavailable().because("an earlier piece was not let through"));
        }
        self.gate.enter().inspect_err(|_| self.gap = true)
    }

    fn evidence<T>(&mut self, outcome: &Result<T>) -> Evidence {
        let evidence = match self.failed {
            true => Evidence::None,
            false => Evidence::of(outcome),
        };
        self.failed |= outcome.is_err();
        evidence
    }
}

#[async_trait]
impl BlobWriter for BreakerWriter {
    async fn write(&mut self, sealed: Bytes) -> Result<()> {
        let pass = self.enter()?;
        let written = self.inner.write(sealed).await;
        // It may be anywhere on its way.
        pass.end(self.evidence(&written).unless_good());
        written
    }

    async fn relieve(&mut self) -> Result<bool> {
        let relieved = self.inner.relieve().await;
        let evidence = match self.evidence(&relieved) {
            Evidence::Good if !matches!(relieved, Ok(true)) => Evidence::None,
            evidence => evidence,
        };
        self.gate.learn(evidence, Duration::ZERO);
        relieved
    }

    /// What is durable is told at all times: nothing needs it more than an upload that breaks off.
    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        let checkpoint = self.inner.checkpoint().await;
        let evidence = self.evidence(&checkpoint).unless_good();
        self.gate.learn(evidence, Duration::ZERO);
        checkpoint
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let pass = self.enter()?;
        let finished = self.inner.finish().await;
        pass.end(match self.failed {
            true => Evidence::None,
            false => Evidence::of(&finished),
        });
        finished
    }
}

/// What an outcome tells of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// It does not answer.
    Bad,
    /// It answers.
    Good,
    /// Nothing.
    None,
}

impl Evidence {
    fn of<T>(outcome: &Result<T>) -> Self {
        match outcome {
            Err(error) if error.kind() == ErrorKind::Unavailable => Self::Bad,
            _ => Self::Good,
        }
    }

    /// For calls that may succeed without asking the store.
    fn unless_good(self) -> Self {
        match self {
            Self::Bad => Self::Bad,
            Self::Good | Self::None => Self::None,
        }
    }
}

/// Lets calls through, or not. Clones are the same gate.
#[derive(Clone)]
struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Calls go through; this many failed in a row since then, by weight.
    Open { failures: u32, since: Instant },
    /// Calls fail until then; the next one is the trial.
    Shut { until: Instant, pause: Duration },
    /// One call is on trial.
    Trial { pause: Duration },
}

impl State {
    fn quiet() -> Self {
        Self::Open {
            failures: 0,
            since: Instant::now(),
        }
    }

    /// Shut for a time around `pause`, so that instances do not all try at the same moment.
    fn shut(pause: Duration) -> Self {
        let half = pause / 2;
        let jitter = random::below(u64::try_from(half.as_millis()).unwrap_or(0) + 1);
        Self::Shut {
            until: Instant::now() + half + Duration::from_millis(jitter),
            pause,
        }
    }
}

impl Gate {
    fn enter(&self) -> Result<Pass> {
        let mut state = self.lock();
        let trial = match *state {
            State::Open { .. } => false,
            State::Shut { until, pause } if Instant::now() >= until => {
                *state = State::Trial { pause };
                true
            }
            State::Shut { .. } | State::Trial { .. } => {
                let name = &self.inner.name;
                let cause = format!("{name} did not answer {FAILURES} times and is spared for now");
                return Err(refusal::unavailable().because(cause));
            }
        };
        drop(state);
        let gate = self.clone();
        let began = Instant::now();
        Ok(Pass { gate, trial, began })
    }

    /// Takes what calls told that are not on trial.
    fn learn(&self, evidence: Evidence, took: Duration) {
        let mut state = self.lock();
        let now = Instant::now();
        match (evidence, *state) {
            (Evidence::None, _) => {}
            (Evidence::Good, State::Open { .. }) => *state = State::quiet(),
            (Evidence::Good, _) => self.recover(&mut state),
            (Evidence::Bad, State::Open { failures, since }) => {
                let weight = if took < LONG { 1 } else { WEIGHT_OF_LONG };
                // Those that ran at once end at once, each after as long a time.
                let goes_on = failures > 0 && now - since <= WITHIN;
                let (failures, since) = match goes_on {
                    true => (failures.saturating_add(weight), since),
                    false => (weight, now),
                };
                *state = match failures < FAILURES {
                    true => State::Open { failures, since },
                    false => {
                        let store = &self.inner.name;
                        tracing::warn!(store, "the blob store does not answer; calls fail at once");
                        State::shut(FIRST_PAUSE)
                    }
                };
            }
            // A writer's piece was let through and failed later.
            (Evidence::Bad, State::Shut { until, pause }) if now >= until => {
                *state = State::shut((pause * 2).min(LONGEST_PAUSE));
            }
            (Evidence::Bad, State::Shut { .. } | State::Trial { .. }) => {}
        }
    }

    fn end_trial(&self, evidence: Evidence) {
        let mut state = self.lock();
        let State::Trial { pause } = *state else {
            return;
        };
        match evidence {
            Evidence::Bad => *state = State::shut((pause * 2).min(LONGEST_PAUSE)),
            Evidence::Good => self.recover(&mut state),
            // The next call is the trial.
            Evidence::None => {
                let until = Instant::now();
                *state = State::Shut { until, pause };
            }
        }
    }

    fn recover(&self, state: &mut State) {
        tracing::info!(store = self.inner.name, "the blob store answers again");
        *state = State::quiet();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.inner.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let through. One on trial that is given up tells nothing, and the next is tried.
struct Pass {
    gate: Gate,
    trial: bool,
    began: Instant,
}

impl Pass {
    fn end(mut self, evidence: Evidence) {
        match std::mem::take(&mut self.trial) {
            true => self.gate.end_trial(evidence),
            false => self.gate.learn(evidence, self.began.elapsed()),
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.trial {
            self.gate.end_trial(Evidence::None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::faulty::{Faults, FaultyStore, Operation};
    use crate::storage::memory::MemoryStore;

    const ID: BlobId = BlobId::NIL;

    fn faulty() -> (Breaker, Faults) {
        let store = FaultyStore::new(Arc::new(MemoryStore::default()));
        let faults = store.faults();
        (Breaker::new(Arc::new(store), "test"), faults)
    }

    /// Asks for a length: whether the store was asked, and what came of it.
    async fn ask(breaker: &Breaker, faults: &Faults) -> (bool, Result<Option<u64>>) {
        let before = faults.calls(Operation::Length);
        let answer = breaker.length(ID).await;
        (faults.calls(Operation::Length) > before, answer)
    }

    async fn shut(breaker: &Breaker, faults: &Faults) {
        faults.fail(Operation::Length, ErrorKind::Unavailable, u64::MAX);
        for _ in 0..FAILURES {
            let (asked, answer) = ask(breaker, faults).await;
            assert!(asked && answer.is_err());
        }
        assert!(!ask(breaker, faults).await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_store_is_spared_and_tried_again() {
        let (breaker, faults) = faulty();
        shut(&breaker, &faults).await;
        let (_, answer) = ask(&breaker, &faults).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);

        tokio::time::advance(FIRST_PAUSE).await;
        assert!(ask(&breaker, &faults).await.0, "the trial, which fails");
        assert!(!ask(&breaker, &faults).await.0);
        faults.mend();
        tokio::time::advance(2 * FIRST_PAUSE).await;
        for _ in 0..3 {
            let (asked, answer) = ask(&breaker, &faults).await;
            assert!(asked && answer.unwrap().is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_ten_seconds() {
        let (breaker, faults) = faulty();
        shut(&breaker, &faults).await;
        for seconds in [1, 2, 4, 8, 10, 10] {
            tokio::time::advance(Duration::from_millis(seconds * 500 - 1)).await;
            assert!(
                !ask(&breaker, &faults).await.0,
                "half of {seconds} s is spared"
            );
            tokio::time::advance(Duration::from_millis(seconds * 500 + 1)).await;
            assert!(
                ask(&breaker, &faults).await.0,
                "after {seconds} s it is tried"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_of_any_kind_are_answers() {
        let (breaker, faults) = faulty();
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::Corrupt,
            ErrorKind::AlreadyExists,
        ] {
            faults.fail(Operation::Length, kind, u64::MAX);
            for _ in 0..3 * FAILURES {
                assert!(ask(&breaker, &faults).await.0);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_far_apart_or_between_answers_do_not_count() {
        let (breaker, faults) = faulty();
        for _ in 0..3 * FAILURES {
            faults.fail(Operation::Length, ErrorKind::Unavailable, 1);
            assert!(ask(&breaker, &faults).await.1.is_err());
            assert!(ask(&breaker, &faults).await.1.is_ok());
        }
        faults.fail(Operation::Length, ErrorKind::Unavailable, u64::MAX);
        for _ in 0..3 * FAILURES {
            tokio::time::advance(WITHIN / (FAILURES - 2)).await;
            assert!(ask(&breaker, &faults).await.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_calls_in_a_row_that_fail_after_a_minute_are_enough() {
        let (breaker, faults) = faulty();
        faults.delay(Operation::Length, Duration::from_secs(75));
        faults.fail(Operation::Length, ErrorKind::Unavailable, u64::MAX);
        for _ in 0..2 {
            assert!(ask(&breaker, &faults).await.0);
        }
        assert!(!ask(&breaker, &faults).await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_an_answer() {
        let (breaker, faults) = faulty();
        shut(&breaker, &faults).await;
        tokio::time::advance(FIRST_PAUSE).await;
        faults.mend();
        faults.delay(Operation::Length, Duration::from_secs(60));
        assert!(ask(&breaker, &faults).await.1.is_ok());
        faults.mend();
        assert!(ask(&breaker, &faults).await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_is_tried_at_a_time_and_one_given_up_makes_room() {
        let (breaker, faults) = faulty();
        shut(&breaker, &faults).await;
        tokio::time::advance(FIRST_PAUSE).await;
        faults.mend();
        faults.hold(Operation::Length);
        let mut trial = Box::pin(breaker.length(ID));
        assert!(futures_util::poll!(&mut trial).is_pending());
        assert!(!ask(&breaker, &faults).await.0);
        drop(trial);
        faults.release(Operation::Length);
        assert!(ask(&breaker, &faults).await.1.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_alone_shut_it_and_open_it_again() {
        let (breaker, faults) = faulty();
        faults.fail(Operation::Write, ErrorKind::Unavailable, u64::MAX);
        for _ in 0..FAILURES {
            let mut writer = breaker.begin(BlobId::random()).await.unwrap();
            assert!(writer.write(Bytes::from_static(b"a")).await.is_err());
        }
        assert!(breaker.begin(BlobId::random()).await.is_err());
        faults.mend();
        tokio::time::advance(FIRST_PAUSE).await;
        let mut writer = breaker.begin(BlobId::random()).await.unwrap();
        writer.write(Bytes::from_static(b"a")).await.unwrap();
        writer.finish().await.unwrap();
        assert!(ask(&breaker, &faults).await.0);
        assert!(ask(&breaker, &faults).await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_checkpoint_is_taken_while_nothing_goes_through() {
        let (breaker, faults) = faulty();
        let mut writer = breaker.begin(ID).await.unwrap();
        writer.write(Bytes::from_static(b"abc")).await.unwrap();
        shut(&breaker, &faults).await;
        assert!(writer.write(Bytes::from_static(b"d")).await.is_err());
        assert_eq!(writer.checkpoint().await.unwrap().length, 3);

        // What comes behind the piece that was not let through is not either.
        faults.mend();
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(ask(&breaker, &faults).await.1.is_ok());
        assert!(writer.write(Bytes::from_static(b"e")).await.is_err());
        assert!(writer.finish().await.is_err());
    }
}
