//! The sessions of this process, their places among those of all instances, and the task that ends those whose
//! account changed, also when another process changed it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{self, TryStreamExt as _};
use tokio::sync::{Notify, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::live::{Ended, Live, Place, Told, taken_here};
use crate::accounts::places::{Elsewhere, SessionLimits, Taken};
use crate::db::accounts;
use crate::db::database::Database;
use crate::db::live_sessions::{self, LiveSession};
use crate::db::sql::Dialect;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{InstanceId, SessionId, TenantId};
use crate::domain::measures;
use crate::domain::principal::Principal;
use crate::domain::spans;
use crate::domain::turns::{Turn, Turns};

/// How often accounts with sessions are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long an instance may be frozen, or without the database, and go on: what it told of its sessions is kept.
const ASLEEP: Duration = Duration::from_secs(24 * 3600);

/// Tenants that are looked at, or told of, at the same time: each takes one of the connections that all share.
const AT_ONCE: usize = 4;

/// The live sessions. Cheap to clone.
#[derive(Clone)]
pub(in crate::accounts) struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    db: Database,
    live: Mutex<HashMap<SessionId, Live>>,
    /// What others were told, or may have been. It is live, or has ended: see [`Sessions::publish`].
    told: Mutex<HashMap<SessionId, Told>>,
    elsewhere: Mutex<Elsewhere>,
    limits: SessionLimits,
    /// As which instance they are told to others; until it is set, they are not.
    instance: OnceLock<InstanceId>,
    /// Those who begin: of one session, and where places are few, of one tenant.
    beginning: Turns<SessionId>,
    reserving: Turns<TenantId>,
    /// Those who tell others: what two tell at a time of one session may arrive in the wrong order.
    telling: Turns<()>,
    /// A place is free that somebody may be waiting for at another instance.
    freed: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A session that waits for its place, or for whoever wanted one. Dropped, it leaves the place; until then nobody else
/// begins it.
struct Reserved {
    sessions: Sessions,
    session: Option<SessionId>,
    _turn: Turn<SessionId>,
}

impl Reserved {
    /// Somebody has it now.
    fn hand_over(mut self) {
        self.session = None;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            self.sessions.take(session);
        }
    }
}

impl Sessions {
    /// Starts the task that watches.
    pub(in crate::accounts) fn start(db: Database, limits: SessionLimits) -> Self {
        let sessions = Self {
            shared: Arc::new(Shared {
                db,
                live: Mutex::default(),
                told: Mutex::default(),
                elsewhere: Mutex::default(),
                limits,
                instance: OnceLock::new(),
                beginning: Turns::default(),
                reserving: Turns::default(),
                telling: Turns::default(),
                freed: Notify::new(),
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        };
        let watching = sessions.clone();
        sessions
            .shared
            .tasks
            .spawn(async move { watching.watch().await });
        sessions
    }

    /// Has the sessions told to other instances, as those of `instance`.
    pub(in crate::accounts) fn tell(&self, instance: InstanceId) {
        // One process is one instance.
        let _ = self.shared.instance.set(instance);
    }

    /// Stops watching and waits for it. Sessions are not ended by this.
    pub(in crate::accounts) async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// What the settings say.
    pub(in crate::accounts) fn limits(&self) -> SessionLimits {
        self.shared.limits
    }

    /// Begins a session; one that is there already goes on, and one that waits for its place is waited for. Where places
    /// are few, or nothing was heard lately of those that are taken elsewhere, it is in the database that it has one before
    /// this returns.
    ///
    /// # Errors
    /// Busy when the account or the tenant has as many as it may have, at all instances; Unavailable.
    pub(in crate::accounts) async fn begin(
        &self,
        principal: &Principal,
        limits: SessionLimits,
    ) -> Result<()> {
        let session = principal.session;
        let turn = self.shared.beginning.take(session).await?;
        let now = self.shared.db.clock().now();
        let mut added = Live::new(principal, Place::Always, limits, now);
        let elsewhere = self.known_elsewhere(&added, now);
        {
            let mut all = self.lock();
            if all.contains_key(&session) {
                return Ok(());
            }
            let here = taken_here(&all, session, &added);
            limits.check(here)?;
            let has_plenty = elsewhere.is_some_and(|taken| limits.has_plenty(here + taken));
            added.is_scarce = !has_plenty && !self.is_alone();
            added.has_begun = !added.is_scarce;
            all.insert(session, added.clone());
        }
        if added.has_begun {
            added.announce(session);
            return Ok(());
        }
        let reserved = Reserved {
            sessions: self.clone(),
            session: Some(session),
            _turn: turn,
        };
        // Not by the one who waits: whoever goes away meanwhile must leave nothing half done.
        let (mut done, waiting) = oneshot::channel();
        let asking = self.clone();
        self.shared.tasks.spawn(async move {
            // Here first: those who wait for each other must not hold the connections that all tenants share.
            let turn = tokio::select! {
                turn = asking.shared.reserving.take(added.tenant) => turn,
                () = done.closed() => return,
            };
            let asked = match turn {
                Ok(_turn) => asking.reserve(session, &added).await,
                Err(error) => Err(error),
            };
            // Where nobody waits any more, the place is free again.
            drop(done.send(asked.map(|()| reserved)));
        });
        waiting.await.map_err(Error::internal)??.hand_over();
        Ok(())
    }

    /// The places that are taken elsewhere, as far as that was heard; none when it must be asked.
    fn known_elsewhere(&self, live: &Live, now: Timestamp) -> Option<Taken> {
        match self.is_alone() {
            true => Some(Taken::default()),
            false => self.elsewhere().taken(live.tenant, live.account, now),
        }
    }

    /// Whether there can be no other instance, or none that this one is known to.
    fn is_alone(&self) -> bool {
        self.shared.db.dialect() == Dialect::Sqlite || self.shared.instance.get().is_none()
    }

    /// Begins a session, and writes it down, if there is a place for it with what all instances have.
    async fn reserve(&self, session: SessionId, added: &Live) -> Result<()> {
        let (db, tenant) = (&self.shared.db, added.tenant);
        let Some(instance) = self.shared.instance.get().copied() else {
            return Err(Error::internal("a session of no instance"));
        };
        let now = db.clock().now();
        // Of all who reserve, one is behind this at a time: what the others have, here and elsewhere, is certain.
        let mut tx = db.write_in_turn(tenant).await?;
        let (of_account, of_tenant) =
            live_sessions::places_elsewhere(&mut tx, added.account, instance, session, now).await?;
        let elsewhere = Taken {
            of_account,
            of_tenant,
        };
        {
            let mut all = self.lock();
            added
                .limits
                .check(taken_here(&all, session, added) + elsewhere)?;
            if let Some(live) = all.get_mut(&session) {
                live.has_begun = true;
            }
        }
        added.announce(session);
        let written = async {
            let told = added.told_as(session, instance, true);
            live_sessions::insert(&mut tx, &told).await?;
            tx.commit().await
        };
        let written = written.await;
        // Also where it is not certain that it was written: then it is taken back.
        let counts = written.is_ok().then_some(true);
        self.told().insert(session, Told { tenant, counts });
        written
    }

    /// Begins the session of somebody who came by a link: such must not keep the account's own out.
    pub(in crate::accounts) fn add_guest(&self, principal: &Principal, now: Timestamp) {
        let mut added = Live::new(principal, Place::Never, self.limits(), now);
        added.has_begun = true;
        added.announce(principal.session);
        self.lock().insert(principal.session, added);
    }

    /// Has a session take its place only while somebody has `in_use` beside the one who knows it.
    pub(in crate::accounts) fn hold_while(&self, session: SessionId, in_use: Weak<()>) {
        if let Some(live) = self.lock().get_mut(&session) {
            live.place = Place::While(in_use);
        }
    }

    /// Whether there is a place for a session that takes it again, with what was heard of other instances within
    /// the last second or so.
    ///
    /// # Errors
    /// Busy when the account or the tenant has as many as it may have.
    pub(in crate::accounts) fn go_on(&self, session: SessionId) -> Result<()> {
        let now = self.shared.db.clock().now();
        let (live, here) = {
            let all = self.lock();
            let Some(live) = all.get(&session) else {
                return Ok(());
            };
            (live.clone(), taken_here(&all, session, live))
        };
        let elsewhere = self.known_elsewhere(&live, now).unwrap_or_default();
        live.limits.check(here + elsewhere)
    }

    /// Forgets a session; false when it was not there.
    pub(in crate::accounts) fn remove(&self, session: SessionId) -> bool {
        self.take(session).is_some()
    }

    /// Ends a session and forgets it; false when it was not there.
    pub(in crate::accounts) fn end(&self, session: SessionId) -> bool {
        let live = self.take(session);
        live.inspect(|live| live.end(Ended::Changed)).is_some()
    }

    fn take(&self, session: SessionId) -> Option<Live> {
        let live = self.lock().remove(&session)?;
        if live.has_begun {
            measures::session_ended(live.protocol);
            spans::session_ended(session);
        }
        if live.is_scarce {
            // Whether or not it was told by now: nobody else takes its row away.
            self.told().insert(session, Told::something(live.tenant));
            self.shared.freed.notify_one();
        }
        Some(live)
    }

    /// Has a session end because somebody wants it.
    pub(in crate::accounts) fn ask_end(&self, session: SessionId) {
        if let Some(live) = self.lock().get(&session) {
            live.end(Ended::Asked);
        }
    }

    /// Returns when the session must end, and why; at once when it is not there.
    pub(in crate::accounts) async fn ended(&self, session: SessionId) -> Ended {
        let live = self.lock().get(&session).cloned();
        match live {
            Some(live) => {
                live.ended.cancelled().await;
                live.why.get().copied().unwrap_or(Ended::Changed)
            }
            None => Ended::Changed,
        }
    }

    async fn watch(&self) {
        tokio::join!(self.tell_ends(), self.look_around());
        // What stays is forgotten with the instance's lease.
        let told = self.told().clone();
        if let Err(error) = self.tell_of(&HashMap::new(), &told).await {
            tracing::debug!(error = ?error, "the end of sessions was not told");
        }
    }

    /// Tells at once, whatever else there is to look at, that a place is free which others may wait for.
    async fn tell_ends(&self) {
        let (freed, stop) = (&self.shared.freed, &self.shared.stop);
        while stop.run_until_cancelled(freed.notified()).await.is_some() {
            if let Err(error) = self.publish().await {
                tracing::debug!(error = ?error, "the end of sessions is told a moment later");
            }
        }
    }

    async fn look_around(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        let stop = &self.shared.stop;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.look().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!(error = ?error, "accounts with sessions cannot be looked at; trying again");
                    failing = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Tells others which sessions have begun and ended here since the last time, and which take places.
    async fn publish(&self) -> Result<()> {
        let _turn = self.shared.telling.take(()).await?;
        // In this order: what is told and not live any more has ended.
        let told = self.told().clone();
        let live = self.lock().clone();
        self.tell_of(&live, &told).await
    }

    async fn tell_of(
        &self,
        live: &HashMap<SessionId, Live>,
        told: &HashMap<SessionId, Told>,
    ) -> Result<()> {
        let Some(instance) = self.shared.instance.get().copied() else {
            return Ok(());
        };
        let mut news: BTreeMap<TenantId, (Vec<LiveSession>, Vec<SessionId>)> = BTreeMap::new();
        for (id, live) in live {
            // What waits for its place is told by who reserves it.
            let counts = live.counts();
            let is_news = told.get(id).is_none_or(|told| told.counts != Some(counts));
            if live.has_begun && is_news {
                let told = live.told_as(*id, instance, counts);
                news.entry(live.tenant).or_default().0.push(told);
            }
        }
        for (id, told) in told.iter().filter(|(id, _)| !live.contains_key(*id)) {
            news.entry(told.tenant).or_default().1.push(*id);
        }
        let news = stream::iter(news.into_iter().map(Ok));
        let tell = |(tenant, (here, ended))| self.tell_of_tenant(instance, tenant, here, ended);
        news.try_for_each_concurrent(AT_ONCE, tell).await
    }

    async fn tell_of_tenant(
        &self,
        instance: InstanceId,
        tenant: TenantId,
        here: Vec<LiveSession>,
        ended: Vec<SessionId>,
    ) -> Result<()> {
        let db = &self.shared.db;
        let now = db.now().await?;
        let mut tx = db.write(tenant).await?;
        live_sessions::forget_dead(&mut tx, now.minus(ASLEEP)).await?;
        for session in &here {
            live_sessions::insert(&mut tx, session).await?;
        }
        for id in &ended {
            live_sessions::remove(&mut tx, *id, instance).await?;
        }
        // Before it is certain: whose end comes while it is not must be told as well.
        let may_be_told = here.iter().map(|live| (live.id, Told::something(tenant)));
        self.told().extend(may_be_told);
        tx.commit().await?;
        let mut told = self.told();
        for session in &here {
            let counts = Some(session.counts);
            told.insert(session.id, Told { tenant, counts });
        }
        for id in ended {
            told.remove(&id);
        }
        Ok(())
    }

    async fn look(&self) -> Result<()> {
        // Sessions end as well while others cannot be told of them.
        let published = self.publish().await;
        let mut by_tenant: BTreeMap<TenantId, Vec<Live>> = BTreeMap::new();
        let all = self.lock().clone();
        for live in all.into_values().filter(|live| !live.ended.is_cancelled()) {
            by_tenant.entry(live.tenant).or_default().push(live);
        }
        // What was heard of other instances is good for seconds: one tenant after the other may take longer.
        let tenants = stream::iter(by_tenant.into_iter().map(Ok));
        let look = |(tenant, sessions): (TenantId, Vec<Live>)| async move {
            self.end_changed(tenant, &sessions).await
        };
        tenants.try_for_each_concurrent(AT_ONCE, look).await?;
        let now = self.shared.db.clock().now();
        self.elsewhere().forget_old(now);
        published
    }

    /// Ends those of a tenant whose account has changed, or whose end somebody wanted, without waiting for
    /// the next look at all.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub(in crate::accounts) async fn look_at(&self, tenant: TenantId) -> Result<()> {
        let sessions: Vec<_> = {
            let live = self.lock();
            let going_on = live.values().filter(|live| !live.ended.is_cancelled());
            going_on
                .filter(|live| live.tenant == tenant)
                .cloned()
                .collect()
        };
        match sessions.is_empty() {
            true => Ok(()),
            false => self.end_changed(tenant, &sessions).await,
        }
    }

    async fn end_changed(&self, tenant: TenantId, sessions: &[Live]) -> Result<()> {
        let mut ids: Vec<_> = sessions.iter().map(|live| live.account).collect();
        ids.sort_unstable();
        ids.dedup();
        let db = &self.shared.db;
        let now = db.clock().now();
        let (standings, news) = {
            let mut tx = db.read(tenant).await?;
            let news = match self.shared.instance.get() {
                Some(instance) => live_sessions::news(&mut tx, *instance, now).await?,
                None => live_sessions::News::default(),
            };
            (accounts::standings(&mut tx, &ids).await?, news)
        };
        self.elsewhere().hear(tenant, news.elsewhere, now);
        news.asked.into_iter().for_each(|id| self.ask_end(id));
        for live in sessions {
            let goes_on = standings.get(&live.account).is_some_and(|standing| {
                !standing.disabled && standing.generation == live.generation
            });
            if !goes_on {
                live.end(Ended::Changed);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Live>> {
        locked(&self.shared.live)
    }

    fn told(&self) -> MutexGuard<'_, HashMap<SessionId, Told>> {
        locked(&self.shared.told)
    }

    fn elsewhere(&self) -> MutexGuard<'_, Elsewhere> {
        locked(&self.shared.elsewhere)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
