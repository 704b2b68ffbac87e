//! Group commit: what waits for one tenant's clock row goes through in one transaction.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::db::attempt::{Attempt, commit_known};
use crate::db::audit::{self, Happening};
use crate::db::clocks::Clock;
use crate::db::database::Database;
use crate::db::in_place::{InPlace, Turn};
use crate::db::known::{Known, Question};
use crate::db::once::{self, Attempt as Once};
use crate::db::operation::{Operation, Record};
use crate::db::queue::Queues;
use crate::db::sql::{Dialect, TenantTx};
use crate::db::together::{self, Member, Outcome, Planned};
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{ChangeId, TenantId};
use crate::domain::measures;
use crate::domain::principal::Actor;
use crate::domain::random;
use crate::domain::spans;
use crate::domain::temporary::TemporaryNames;
use crate::domain::thread;

/// Most operations in one transaction.
const MAX_BATCH: usize = 64;
/// Attempts at a transaction whose outcome is unknown, with growing pauses: about 12 s in all.
const ATTEMPTS: u32 = 9;
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// How long attempts go on at a SQLite file, each of which waits for whoever else writes to it.
const LOCKED: Duration = Duration::from_secs(12);
/// How long an event for which nobody waits is kept for others to come with it.
const SOON: Duration = Duration::from_millis(5);

/// Runs operations, those that wait together in one transaction. Cheap to clone.
#[derive(Clone)]
pub struct Committer {
    shared: Arc<Shared>,
}

struct Shared {
    db: Database,
    /// As the tasks use it, which may block where they do.
    writer: Database,
    /// Events for which nobody waits are what may wait a little.
    queues: Mutex<Queues<Waiting>>,
    /// Told when what need not be committed at once shall be.
    hurry: Notify,
    in_place: InPlace,
    tasks: TaskTracker,
    /// Names of which nothing is told, where tenants have none of their own.
    temporary: Arc<TemporaryNames>,
    /// Tenants of which there is something to tell, until somebody asks.
    told: Mutex<BTreeSet<TenantId>>,
    told_something: Notify,
}

struct Waiting {
    tenant: TenantId,
    actor: Actor,
    id: ChangeId,
    operation: Arc<dyn Operation>,
    /// The request that it is part of, if that is carried out once.
    once: Option<Once>,
    reply: oneshot::Sender<Result<Committed>>,
}

impl Waiting {
    fn planned(&self) -> Option<&dyn Planned> {
        match self.once {
            Some(_) => None,
            None => self.operation.planned(),
        }
    }
}

impl Committer {
    /// Makes a committer over a database.
    pub fn new(db: Database) -> Self {
        Self::hiding(db, TemporaryNames::default())
    }

    /// The same, with names of which nothing is told where tenants have none of their own.
    pub fn hiding(db: Database, temporary: TemporaryNames) -> Self {
        Self {
            shared: Arc::new(Shared {
                writer: match db.dialect() {
                    Dialect::Postgres => db.clone(),
                    Dialect::Sqlite => db.blocking(),
                },
                db,
                queues: Mutex::default(),
                hurry: Notify::new(),
                in_place: InPlace::default(),
                tasks: TaskTracker::new(),
                temporary: Arc::new(temporary),
                told: Mutex::default(),
                told_something: Notify::new(),
            }),
        }
    }

    /// Names of which nothing is told, where tenants have none of their own.
    pub fn temporary(&self) -> &TemporaryNames {
        &self.shared.temporary
    }

    /// Where what waits for the disk may do so.
    pub fn in_place(&self) -> &InPlace {
        &self.shared.in_place
    }

    /// The database it commits to.
    pub fn database(&self) -> &Database {
        &self.shared.db
    }

    /// Applies one operation and returns once it is committed. For an operation that is no change
    /// the result is the number and time of the latest change.
    ///
    /// # Errors
    /// What the operation returned, or Unavailable when the database did not confirm the commit
    /// in several attempts under the same change id.
    pub fn run(
        &self,
        tenant: TenantId,
        actor: &Actor,
        operation: impl Operation,
    ) -> impl Future<Output = Result<Committed>> + Send {
        let running = self.submit(tenant, actor, operation);
        running.instrument(spans::commit())
    }

    async fn submit(
        &self,
        tenant: TenantId,
        actor: &Actor,
        operation: impl Operation,
    ) -> Result<Committed> {
        if operation.grows() {
            self.shared.db.check_room()?;
        }
        let (key, mut waiting, mut answer) = self.waiting(tenant, actor, Arc::new(operation));
        waiting.once = once::current();
        let shared = &self.shared;
        if shared.lock().add(key, Some(waiting)) {
            let is_sqlite = shared.db.dialect() == Dialect::Sqlite;
            if is_sqlite && thread::is_alone() {
                if let Some(answer) = shared.lead(key, &mut answer).await {
                    return answer;
                }
            } else if is_sqlite && let Some(turn) = shared.in_place.turn() {
                shared.begin(key, turn).await;
            } else {
                shared.spawn(key);
            }
        }
        answer
            .await
            .unwrap_or_else(|_| Err(Error::internal("a commit task ended without an answer")))
    }

    /// Writes an event down, soon and before what is submitted later; does not wait.
    pub fn note(&self, tenant: TenantId, actor: &Actor, happening: Happening) {
        let note = Arc::new(Note(happening));
        let (key, waiting, _) = self.waiting(tenant, actor, note);
        let soon = self.shared.lock().add_soon(key, waiting);
        match soon {
            1 => {
                let shared = self.shared.clone();
                self.shared.tasks.spawn(async move {
                    tokio::select! {
                        () = tokio::time::sleep(SOON) => {}
                        () = shared.hurry.notified() => {}
                    }
                    shared.start(key);
                });
            }
            MAX_BATCH.. => self.shared.start(key),
            _ => {}
        }
    }

    /// Waits until there is something to tell that was committed here, and says of which tenants. For one
    /// caller at a time; what is forgotten between two calls, others find in the database.
    pub async fn told(&self) -> BTreeSet<TenantId> {
        loop {
            let told = std::mem::take(&mut *self.shared.lock_told());
            if !told.is_empty() {
                return told;
            }
            self.shared.told_something.notified().await;
        }
    }

    /// Waits until everything submitted so far is committed or refused.
    pub async fn drain(&self) {
        let keys = self.shared.lock().soon();
        for key in keys {
            self.shared.start(key);
        }
        self.shared.hurry.notify_waiters();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.tasks.reopen();
    }

    fn waiting(
        &self,
        tenant: TenantId,
        actor: &Actor,
        operation: Arc<dyn Operation>,
    ) -> (i64, Waiting, oneshot::Receiver<Result<Committed>>) {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            tenant,
            actor: actor.clone(),
            id: ChangeId::mint(self.shared.db.clock().now()),
            operation,
            once: None,
            reply,
        };
        let key = match self.shared.db.dialect() {
            Dialect::Postgres => tenant.0,
            Dialect::Sqlite => 0,
        };
        (key, waiting, answer)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues<Waiting>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_told(&self) -> MutexGuard<'_, BTreeSet<TenantId>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has whoever waits in [`Committer::told`] know of what was committed.
    fn tell(&self, clocks: &BTreeMap<TenantId, Clock>) {
        let told = clocks.iter().filter(|(_, clock)| clock.has_told());
        let mut told = told.map(|(tenant, _)| *tenant).peekable();
        if told.peek().is_some() {
            self.lock_told().extend(told);
            self.told_something.notify_one();
        }
    }

    /// Sees to it that what waits is worked off.
    fn start(self: &Arc<Self>, key: i64) {
        if self.lock().add(key, None) {
            self.spawn(key);
        }
    }

    /// Works a queue off in a task.
    fn spawn(self: &Arc<Self>, key: i64) {
        let shared = self.clone();
        match self.db.dialect() {
            Dialect::Postgres => {
                let work = async move { while shared.step(key).await > 0 {} };
                self.tasks.spawn(work);
            }
            // Its statements wait for nobody, so that a batch of them is one long call.
            Dialect::Sqlite => {
                let runtime = Handle::current();
                let work = move || {
                    loop {
                        let since = Instant::now();
                        match runtime.block_on(shared.step(key)) {
                            0 => return,
                            1 => shared.in_place.took(since.elapsed()),
                            _ => {}
                        }
                    }
                };
                self.tasks.spawn_blocking(work);
            }
        }
    }

    /// Commits the first of a queue on this thread, and leaves the rest to a task.
    async fn begin(self: &Arc<Self>, key: i64, turn: Turn<'_>) {
        let shared = self.clone();
        let mut step = Box::pin(async move { shared.step(key).await });
        let begun = thread::begin_alone(&mut step).await;
        drop(turn);
        if begun.is_pending() {
            // It must be gone on with also when the caller goes away.
            let shared = self.clone();
            self.tasks.spawn(async move {
                step.await;
                shared.go_on(key);
            });
        } else {
            self.go_on(key);
        }
    }

    /// Leaves what is in a queue that is being worked off to a task.
    fn go_on(self: &Arc<Self>, key: i64) {
        if !self.lock().is_done(key) {
            self.spawn(key);
        }
    }

    /// Works a queue off until `answer` is there, and leaves the rest to a task.
    async fn lead(
        self: &Arc<Self>,
        key: i64,
        answer: &mut oneshot::Receiver<Result<Committed>>,
    ) -> Option<Result<Committed>> {
        let _counted = self.tasks.token();
        while self.step(key).await > 0 {
            if let Ok(answer) = answer.try_recv() {
                self.go_on(key);
                return Some(answer);
            }
        }
        None
    }

    /// Commits the first of a queue together; how many, none when there is nothing any more.
    async fn step(&self, key: i64) -> usize {
        if self.lock().is_done(key) {
            return 0;
        }
        let batch = self.lock().take(key, |queue| {
            let count = queue.len().min(MAX_BATCH);
            self.are_together(queue, count).unwrap_or(count)
        });
        measures::batch(batch.len());
        // A panic must not leave the queue without a task that works it off.
        let committing = AssertUnwindSafe(self.commit(&batch)).catch_unwind();
        let outcomes = committing.await.unwrap_or_else(|_| {
            let panicked = || Err(Error::internal("an operation panicked"));
            batch.iter().map(|_| panicked()).collect()
        });
        let count = batch.len();
        for (waiting, outcome) in batch.into_iter().zip(outcomes) {
            // The one who asked may have gone away; the commit stands.
            drop(waiting.reply.send(outcome));
        }
        count
    }

    async fn commit(&self, batch: &[Waiting]) -> Vec<Result<Committed>> {
        let (mut pause, since) = (FIRST_PAUSE, Instant::now());
        let mut unknown = None;
        let is_sqlite = self.db.dialect() == Dialect::Sqlite;
        for attempt in 1..=ATTEMPTS {
            match self.attempt(batch, &mut unknown).await {
                Ok(outcomes) => return outcomes,
                Err(error)
                    if error.kind() != ErrorKind::Unavailable
                        || attempt == ATTEMPTS
                        || (is_sqlite && since.elapsed() >= LOCKED) =>
                {
                    tracing::error!(error = ?error, attempt, "a transaction failed");
                    return batch
                        .iter()
                        .map(|_| Err(Error::new(error.kind(), error.context())))
                        .collect();
                }
                Err(error) => {
                    tracing::warn!(error = ?error, attempt, "a transaction failed; trying again");
                    let jitter = random::below(pause.as_millis() as u64);
                    tokio::time::sleep(pause + Duration::from_millis(jitter)).await;
                    pause *= 2;
                }
            }
        }
        Vec::new()
    }

    /// How many of the first `count` are planned together; none when they are applied, up to the first
    /// that could be planned.
    fn are_together(&self, queue: &VecDeque<Waiting>, count: usize) -> Option<usize> {
        if self.db.dialect() != Dialect::Postgres {
            return None;
        }
        let first = queue.iter().take(count);
        match together::prefix(first.clone().map(Waiting::planned)) {
            0 => Some(
                first
                    .take_while(|waiting| waiting.planned().is_none())
                    .count()
                    .max(1),
            ),
            planned => Some(planned),
        }
    }

    /// One transaction over a batch that is planned together; none when it has to be applied.
    async fn attempt_together(
        &self,
        batch: &[Waiting],
        unknown: &mut Option<Attempt>,
    ) -> Result<Option<Vec<Result<Committed>>>> {
        let Some(first) = batch.first() else {
            return Ok(None);
        };
        let members = batch.iter().map(|waiting| {
            Some(Member {
                id: waiting.id,
                actor: &waiting.actor,
                operation: waiting.planned()?,
            })
        });
        let members: Option<Vec<_>> = members.collect();
        let is_first = self.db.dialect() == Dialect::Postgres && unknown.is_none();
        let Some(members) = members.filter(|_| is_first) else {
            return Ok(None);
        };
        let mut tx = self.writer.write_locked(first.tenant).await?;
        let passed = self.db.passed_time();
        let attempt = together::attempt(&mut tx, &members, passed, &self.temporary);
        let Some((clock, outcomes)) = attempt.await? else {
            return Ok(None);
        };
        let clocks = BTreeMap::from([(first.tenant, clock)]);
        let outcomes = commit_known(tx, &clocks, outcomes, unknown).await?;
        self.tell(&clocks);
        Ok(Some(outcomes))
    }

    /// One transaction over the batch. The outer error is of the transaction, the inner ones of
    /// single operations. `unknown` is the attempt before, when it may have been committed.
    async fn attempt(
        &self,
        batch: &[Waiting],
        unknown: &mut Option<Attempt>,
    ) -> Result<Vec<Result<Committed>>> {
        if let Some(outcomes) = self.attempt_together(batch, unknown).await? {
            return Ok(outcomes);
        }
        let Some(first) = batch.first() else {
            return Ok(Vec::new());
        };
        let mut tx = self.writer.write_locked(first.tenant).await?;
        let mut clocks: BTreeMap<TenantId, Clock> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for waiting in batch {
            tx.turn_to(waiting.tenant);
            let clock = match clocks.entry(waiting.tenant) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let passed = self.db.passed_time();
                    match Clock::lock(&mut tx, passed, &self.temporary).await {
                        Ok(clock) => {
                            // Under the lock: what was on its way is committed by now, or never.
                            if let Some(before) = unknown.as_ref()
                                && before.tenant == waiting.tenant
                            {
                                let (number, hash) = (before.number, &before.hash);
                                if audit::contains(&mut tx, number, hash).await? {
                                    // The lock makes this a commit of its own, which a standby
                                    // confirms only after the one whose answer was lost.
                                    tx.commit().await?;
                                    let before = unknown.take();
                                    return Ok(before.map(|a| a.outcomes).unwrap_or_default());
                                }
                                *unknown = None;
                            }
                            entry.insert(clock)
                        }
                        Err(error) if error.kind() == ErrorKind::NotFound => {
                            outcomes.push(Err(error));
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            // One that is alone is undone with its transaction, and saves the way there and back.
            let alone = batch.len() == 1;
            if !alone {
                tx.script("SAVEPOINT operation").await?;
            }
            let mark = clock.mark();
            tx.listen(clock.listening().cloned());
            match apply(&mut tx, clock, waiting).await {
                Ok(committed) => {
                    if !alone {
                        tx.script("RELEASE SAVEPOINT operation").await?;
                    }
                    outcomes.push(Ok(committed));
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Err(error) if alone => return Ok(vec![Err(error)]),
                Err(error) => {
                    tx.script("ROLLBACK TO SAVEPOINT operation; RELEASE SAVEPOINT operation")
                        .await?;
                    clock.restore(mark);
                    outcomes.push(Err(error));
                }
            }
        }
        for (tenant, clock) in &clocks {
            tx.turn_to(*tenant);
            clock.store(&mut tx).await?;
        }
        let outcomes = commit_known(tx, &clocks, outcomes, unknown).await?;
        self.tell(&clocks);
        Ok(outcomes)
    }
}

async fn apply(tx: &mut TenantTx, clock: &mut Clock, waiting: &Waiting) -> Result<Committed> {
    let next = clock.next();
    let record = waiting.operation.apply(tx, next).await?;
    if let Some(once) = &waiting.once {
        once::executed(tx, once).await?;
    }
    match record {
        Record::Change(happening) => {
            let happening = happening.telling(tx.take_news());
            clock
                .change(tx, waiting.id, &waiting.actor, happening)
                .await
        }
        Record::Event(happening) => {
            let happening = happening.telling(tx.take_news());
            clock.event(tx, &waiting.actor, happening).await?;
            Ok(next)
        }
        Record::Nothing => Ok(next),
        Record::Raise(to) => {
            clock.raise(to);
            Ok(next)
        }
    }
}

struct Note(Happening);

#[async_trait]
impl Operation for Note {
    async fn apply(&self, _tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        Ok(Record::Event(self.0.clone()))
    }

    fn planned(&self) -> Option<&dyn Planned> {
        Some(self)
    }
}

impl Planned for Note {
    fn question(&self) -> Option<Question<'_>> {
        None
    }

    fn plan(&self, _known: &mut Known, _next: Committed) -> Result<Outcome> {
        Ok(Outcome::Event(self.0.clone()))
    }
}
