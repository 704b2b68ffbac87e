//! A blob store that fails on command: for tests, and for rehearsing trouble.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::BlobId;
use crate::storage::refusal;
use crate::storage::store::{
    self, BlobStore, BlobWriter, Checkpoint, Shape, SharedIntake, StoredBlob,
};

/// What a store and its writers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named after the functions")]
pub enum Operation {
    Begin,
    Checkpoint,
    Claim,
    Delete,
    Finish,
    Length,
    List,
    Owner,
    Probe,
    Put,
    Read,
    Salvage,
    Write,
}

/// Hands everything on to another store, but for the faults that [`Faults`] asks for.
pub struct FaultyStore {
    inner: Arc<dyn BlobStore>,
    faults: Faults,
}

impl FaultyStore {
    /// Stands before `inner`, and at first does nothing.
    pub fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self {
            inner,
            faults: Faults::default(),
        }
    }

    /// The switches. They may be thrown at any time, by any thread.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

/// The switches of a [`FaultyStore`]. Clones are the same switches.
#[derive(Clone, Default)]
pub struct Faults {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    released: Notify,
}

#[derive(Default)]
struct State {
    calls: HashMap<Operation, u64>,
    failures: HashMap<Operation, Failure>,
    delays: HashMap<Operation, Duration>,
    held: Vec<Operation>,
    room: Option<u64>,
    flipped: Vec<(BlobId, u64)>,
}

#[derive(Clone, Copy)]
struct Failure {
    kind: ErrorKind,
    when: When,
    times: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// The operation is done, but the answer is a failure, as when a reply is lost.
    After,
    /// The operation is not done.
    Before,
}

impl Faults {
    /// Fails the next `times` calls of `operation` (`u64::MAX`: all) without doing them.
    pub fn fail(&self, operation: Operation, kind: ErrorKind, times: u64) {
        let when = When::Before;
        let failure = Failure { kind, when, times };
        self.lock().failures.insert(operation, failure);
    }

    /// Does the next `times` calls of `operation`, but answers that they failed.
    pub fn lose_reply(&self, operation: Operation, kind: ErrorKind, times: u64) {
        let when = When::After;
        let failure = Failure { kind, when, times };
        self.lock().failures.insert(operation, failure);
    }

    /// Makes each call of `operation` take at least this long.
    pub fn delay(&self, operation: Operation, by: Duration) {
        self.lock().delays.insert(operation, by);
    }

    /// Makes calls of `operation` wait for [`Faults::release`].
    pub fn hold(&self, operation: Operation) {
        self.lock().held.push(operation);
    }

    /// Lets the calls of `operation` that wait, and those to come, go on.
    pub fn release(&self, operation: Operation) {
        self.lock().held.retain(|held| *held != operation);
        self.inner.released.notify_waiters();
    }

    /// Takes `bytes` more, then fails puts and writes with `StorageFull`.
    pub fn fill_after(&self, bytes: u64) {
        self.lock().room = Some(bytes);
    }

    /// Flips the lowest bit of one byte of a blob in all reads from now on.
    pub fn flip(&self, id: BlobId, offset: u64) {
        self.lock().flipped.push((id, offset));
    }

    /// Mends everything; what waits goes on.
    pub fn mend(&self) {
        let mut state = self.lock();
        let calls = std::mem::take(&mut state.calls);
        *state = State {
            calls,
            ..State::default()
        };
        drop(state);
        self.inner.released.notify_waiters();
    }

    /// How often `operation` was called so far, whatever came of it.
    pub fn calls(&self, operation: Operation) -> u64 {
        let state = self.lock();
        state.calls.get(&operation).copied().unwrap_or(0)
    }

    /// Does `work` as `operation`, with the faults that are switched on.
    async fn around<T>(
        &self,
        operation: Operation,
        bytes: usize,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        *self.lock().calls.entry(operation).or_default() += 1;
        let delay = self.lock().delays.get(&operation).copied();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        self.pass(operation).await;
        self.take_room(bytes)?;
        let Some(failure) = self.take_failure(operation) else {
            return work.await;
        };
        if failure.when == When::After {
            work.await?;
        }
        let context = "the storage failed on command";
        Err(Error::new(failure.kind, context).because(format!("{operation:?}")))
    }

    /// Waits while `operation` is held.
    async fn pass(&self, operation: Operation) {
        loop {
            let mut released = std::pin::pin!(self.inner.released.notified());
            released.as_mut().enable();
            if !self.lock().held.contains(&operation) {
                return;
            }
            released.await;
        }
    }

    fn take_room(&self, bytes: usize) -> Result<()> {
        let mut state = self.lock();
        if let Some(room) = state.room.as_mut() {
            *room = room.checked_sub(bytes as u64).ok_or_else(refusal::full)?;
        }
        Ok(())
    }

    fn take_failure(&self, operation: Operation) -> Option<Failure> {
        let mut state = self.lock();
        let failure = state.failures.get_mut(&operation)?;
        if failure.times == 0 {
            return None;
        }
        if failure.times != u64::MAX {
            failure.times -= 1;
        }
        Some(*failure)
    }

    fn damage(&self, id: BlobId, start: u64, bytes: &mut [u8]) {
        for (_, offset) in self.lock().flipped.iter().filter(|(of, _)| *of == id) {
            let at = offset.checked_sub(start).map(usize::try_from);
            if let Some(byte) = at.and_then(|at| bytes.get_mut(at.ok()?)) {
                *byte ^= 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.inner.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BlobStore for FaultyStore {
    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    async fn put(&self, id: BlobId, sealed: Bytes) -> Result<()> {
        let bytes = sealed.len();
        let work = self.inner.put(id, sealed);
        self.faults.around(Operation::Put, bytes, work).await
    }

    async fn begin(&self, id: BlobId) -> Result<Box<dyn BlobWriter>> {
        let work = self.inner.begin(id);
        let inner = self.faults.around(Operation::Begin, 0, work).await?;
        let faults = self.faults();
        Ok(Box::new(FaultyWriter { inner, faults }))
    }

    async fn read_into(&self, id: BlobId, range: Range<u64>, intake: SharedIntake) -> Result<()> {
        let start = range.start;
        let work = self.inner.read(id, range);
        let mut bytes = self.faults.around(Operation::Read, 0, work).await?;
        self.faults.damage(id, start, &mut bytes);
        store::give(&intake, &bytes)
    }

    async fn length(&self, id: BlobId) -> Result<Option<u64>> {
        let work = self.inner.length(id);
        self.faults.around(Operation::Length, 0, work).await
    }

    async fn salvage(&self, id: BlobId, checkpoint: &Checkpoint) -> Result<()> {
        let work = self.inner.salvage(id, checkpoint);
        self.faults.around(Operation::Salvage, 0, work).await
    }

    async fn delete(&self, id: BlobId) -> Result<()> {
        let work = self.inner.delete(id);
        self.faults.around(Operation::Delete, 0, work).await
    }

    async fn discard(&self, id: BlobId) -> Result<()> {
        let work = self.inner.discard(id);
        self.faults.around(Operation::Delete, 0, work).await
    }

    async fn unfinished(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        let work = self.inner.unfinished(after, limit);
        self.faults.around(Operation::List, 0, work).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<StoredBlob>> {
        let work = self.inner.list(after, limit);
        self.faults.around(Operation::List, 0, work).await
    }

    async fn owner(&self) -> Result<Option<String>> {
        let work = self.inner.owner();
        self.faults.around(Operation::Owner, 0, work).await
    }

    async fn claim(&self, owner: &str) -> Result<String> {
        let work = self.inner.claim(owner);
        self.faults.around(Operation::Claim, 0, work).await
    }

    async fn probe(&self) -> Result<()> {
        let work = self.inner.probe();
        self.faults.around(Operation::Probe, 0, work).await
    }
}

struct FaultyWriter {
    inner: Box<dyn BlobWriter>,
    faults: Faults,
}

#[async_trait]
impl BlobWriter for FaultyWriter {
    async fn write(&mut self, sealed: Bytes) -> Result<()> {
        let bytes = sealed.len();
        let work = self.inner.write(sealed);
        self.faults.around(Operation::Write, bytes, work).await
    }

    async fn relieve(&mut self) -> Result<bool> {
        self.inner.relieve().await
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        let work = self.inner.checkpoint();
        self.faults.around(Operation::Checkpoint, 0, work).await
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        let work = self.inner.finish();
        self.faults.around(Operation::Finish, 0, work).await
    }
}
