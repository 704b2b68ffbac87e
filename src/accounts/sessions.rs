//! The sessions of this process, and the task that ends those whose account changed, also when
//! another process changed it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db::accounts::{self, Account};
use crate::db::database::Database;
use crate::db::live_sessions::{self, LiveSession};
use crate::db::tenants::Tenant;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, InstanceId, SessionId, TenantId};
use crate::domain::measures;
use crate::domain::principal::{Principal, Protocol};
use crate::domain::spans;

/// How often accounts with sessions are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long an instance may be frozen, or without the database, and go on: what it told of its sessions is kept.
const ASLEEP: Duration = Duration::from_secs(24 * 3600);

/// How many sessions there may be at a time, on this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Of one account.
    pub per_account: u64,
    /// Of all accounts of one tenant.
    pub per_tenant: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            per_account: 1_000,
            per_tenant: 10_000,
        }
    }
}

impl SessionLimits {
    /// With what the tenant and the account have of their own.
    pub(in crate::accounts) fn over(self, tenant: &Tenant, account: &Account) -> Self {
        Self {
            per_account: account.rules.sessions.unwrap_or(self.per_account),
            per_tenant: tenant.sessions.unwrap_or(self.per_tenant),
        }
    }
}

/// Why a session must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// An operator or an administrator wanted it.
    Asked,
    /// The account was changed or disabled, or nobody is logged in.
    Changed,
}

impl Ended {
    /// What its client is told.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Asked => "an administrator ended this session",
            Self::Changed => "the account was changed or disabled; log in again",
        }
    }
}

/// The live sessions. Cheap to clone.
#[derive(Clone)]
pub(in crate::accounts) struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    live: Mutex<HashMap<SessionId, Live>>,
    limits: SessionLimits,
    /// As which instance they are told to others; until it is set, they are not.
    instance: OnceLock<InstanceId>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Live {
    tenant: TenantId,
    account: AccountId,
    generation: i64,
    /// Whether it takes one of the places that the account and the tenant have.
    counts: bool,
    protocol: Protocol,
    address: String,
    began_at: Timestamp,
    ended: CancellationToken,
    why: Arc<OnceLock<Ended>>,
}

impl Live {
    fn new(principal: &Principal, counts: bool, now: Timestamp) -> Self {
        Self {
            tenant: principal.tenant,
            account: principal.account,
            generation: principal.generation,
            counts,
            protocol: principal.protocol,
            address: principal.address.to_string(),
            began_at: now,
            ended: CancellationToken::new(),
            why: Arc::default(),
        }
    }

    fn end(&self, why: Ended) {
        // The first reason stays.
        let _ = self.why.set(why);
        self.ended.cancel();
    }
}

/// What others were told of this instance.
type Told = HashMap<SessionId, TenantId>;

impl Sessions {
    /// Starts the task that watches.
    pub(in crate::accounts) fn start(db: Database, limits: SessionLimits) -> Self {
        let sessions = Self {
            shared: Arc::new(Shared {
                live: Mutex::default(),
                limits,
                instance: OnceLock::new(),
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        };
        let watching = sessions.clone();
        sessions
            .shared
            .tasks
            .spawn(async move { watching.watch(db).await });
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

    /// Begins a session; one that is there already goes on.
    ///
    /// # Errors
    /// Busy when the account or the tenant has as many as it may have.
    pub(in crate::accounts) fn add(
        &self,
        principal: &Principal,
        limits: SessionLimits,
        now: Timestamp,
    ) -> Result<()> {
        let added = Live::new(principal, true, now);
        let mut all = self.lock();
        if all.contains_key(&principal.session) {
            return Ok(());
        }
        let (mut of_tenant, mut of_account) = (0, 0);
        let counted = all.values().filter(|live| live.counts);
        for live in counted.filter(|live| live.tenant == added.tenant) {
            of_tenant += 1;
            of_account += u64::from(live.account == added.account);
        }
        if of_account >= limits.per_account {
            return Err(too_many("account", limits.per_account));
        }
        if of_tenant >= limits.per_tenant {
            return Err(too_many("tenant", limits.per_tenant));
        }
        measures::session_began(added.protocol);
        spans::session_began(principal.session, added.protocol, principal.address);
        all.insert(principal.session, added);
        Ok(())
    }

    /// Begins the session of somebody who came by a link: such must not keep the account's own out.
    pub(in crate::accounts) fn add_guest(&self, principal: &Principal, now: Timestamp) {
        let added = Live::new(principal, false, now);
        measures::session_began(added.protocol);
        spans::session_began(principal.session, added.protocol, principal.address);
        self.lock().insert(principal.session, added);
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
        measures::session_ended(live.protocol);
        spans::session_ended(session);
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

    async fn watch(&self, db: Database) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        let mut told = Told::new();
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            match self.look(&db, &mut told).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!(error = ?error, "accounts with sessions cannot be looked at; trying again");
                    failing = true;
                }
                Err(_) => {}
            }
        }
        // What stays is forgotten with the instance's lease.
        if let Err(error) = self.publish(&db, &HashMap::new(), &mut told).await {
            tracing::debug!(error = ?error, "the end of sessions was not told");
        }
    }

    /// Tells others which sessions have begun and ended here since the last time.
    async fn publish(
        &self,
        db: &Database,
        live: &HashMap<SessionId, Live>,
        told: &mut Told,
    ) -> Result<()> {
        let Some(instance) = self.shared.instance.get().copied() else {
            return Ok(());
        };
        let mut news: BTreeMap<TenantId, (Vec<LiveSession>, Vec<SessionId>)> = BTreeMap::new();
        for (id, live) in live.iter().filter(|(id, _)| !told.contains_key(*id)) {
            news.entry(live.tenant).or_default().0.push(LiveSession {
                id: *id,
                instance,
                account: live.account,
                protocol: live.protocol.as_str().to_owned(),
                address: live.address.clone(),
                began_at: live.began_at,
            });
        }
        for (id, tenant) in told.iter().filter(|(id, _)| !live.contains_key(*id)) {
            news.entry(*tenant).or_default().1.push(*id);
        }
        for (tenant, (begun, ended)) in news {
            let now = db.now().await?;
            let mut tx = db.write(tenant).await?;
            if !begun.is_empty() {
                live_sessions::forget_dead(&mut tx, now.minus(ASLEEP)).await?;
            }
            for session in &begun {
                live_sessions::insert(&mut tx, session).await?;
            }
            for id in &ended {
                live_sessions::remove(&mut tx, *id, instance).await?;
            }
            tx.commit().await?;
            told.extend(begun.iter().map(|session| (session.id, tenant)));
            for id in ended {
                told.remove(&id);
            }
        }
        Ok(())
    }

    async fn look(&self, db: &Database, told: &mut Told) -> Result<()> {
        let all = self.lock().clone();
        // Sessions end as well while others cannot be told of them.
        let published = self.publish(db, &all, told).await;
        let mut by_tenant: BTreeMap<TenantId, Vec<Live>> = BTreeMap::new();
        for live in all.values().filter(|live| !live.ended.is_cancelled()) {
            by_tenant.entry(live.tenant).or_default().push(live.clone());
        }
        for (tenant, sessions) in by_tenant {
            self.end_changed(db, tenant, &sessions).await?;
        }
        published
    }

    /// Ends those of a tenant whose account has changed, or whose end somebody wanted, without waiting for
    /// the next look at all.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub(in crate::accounts) async fn look_at(&self, db: &Database, tenant: TenantId) -> Result<()> {
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
            false => self.end_changed(db, tenant, &sessions).await,
        }
    }

    async fn end_changed(&self, db: &Database, tenant: TenantId, sessions: &[Live]) -> Result<()> {
        let mut ids: Vec<_> = sessions.iter().map(|live| live.account).collect();
        ids.sort_unstable();
        ids.dedup();
        let (standings, asked) = {
            let mut tx = db.read(tenant).await?;
            let asked = match self.shared.instance.get() {
                Some(instance) => live_sessions::asked(&mut tx, *instance).await?,
                None => Vec::new(),
            };
            (accounts::standings(&mut tx, &ids).await?, asked)
        };
        asked.into_iter().for_each(|id| self.ask_end(id));
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
        self.shared
            .live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(whose: &str, limit: u64) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!(
            "the {whose} has {limit} sessions, as many as it may have; close one and try again"
        ),
    )
}
