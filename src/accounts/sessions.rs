//! The sessions of this process, and the task that ends those whose account changed, also when
//! another process changed it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db::accounts::{self, Account};
use crate::db::database::Database;
use crate::db::tenants::Tenant;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, SessionId, TenantId};
use crate::domain::measures;
use crate::domain::principal::{Principal, Protocol};
use crate::domain::spans;

/// How often accounts with sessions are looked at.
const EVERY: Duration = Duration::from_secs(1);

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

/// The live sessions. Cheap to clone.
#[derive(Clone)]
pub(in crate::accounts) struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    live: Mutex<HashMap<SessionId, Live>>,
    limits: SessionLimits,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Live {
    tenant: TenantId,
    account: AccountId,
    generation: i64,
    protocol: Protocol,
    ended: CancellationToken,
}

impl Sessions {
    /// Starts the task that watches.
    pub(in crate::accounts) fn start(db: Database, limits: SessionLimits) -> Self {
        let sessions = Self {
            shared: Arc::new(Shared {
                live: Mutex::default(),
                limits,
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
    ) -> Result<()> {
        let added = Live {
            tenant: principal.tenant,
            account: principal.account,
            generation: principal.generation,
            protocol: principal.protocol,
            ended: CancellationToken::new(),
        };
        let mut all = self.lock();
        if all.contains_key(&principal.session) {
            return Ok(());
        }
        let (mut of_tenant, mut of_account) = (0, 0);
        for live in all.values().filter(|live| live.tenant == added.tenant) {
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

    /// Forgets a session; false when it was not there.
    pub(in crate::accounts) fn remove(&self, session: SessionId) -> bool {
        self.take(session).is_some()
    }

    /// Ends a session and forgets it.
    pub(in crate::accounts) fn end(&self, session: SessionId) {
        if let Some(live) = self.take(session) {
            live.ended.cancel();
        }
    }

    fn take(&self, session: SessionId) -> Option<Live> {
        let live = self.lock().remove(&session)?;
        measures::session_ended(live.protocol);
        spans::session_ended(session);
        Some(live)
    }

    /// Returns when the session must end; at once when it is not there.
    pub(in crate::accounts) async fn ended(&self, session: SessionId) {
        let ended = self.lock().get(&session).map(|live| live.ended.clone());
        if let Some(ended) = ended {
            ended.cancelled().await;
        }
    }

    async fn watch(&self, db: Database) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.look(&db).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!(error = ?error, "accounts with sessions cannot be looked at; trying again");
                    failing = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn look(&self, db: &Database) -> Result<()> {
        let mut by_tenant: BTreeMap<TenantId, Vec<Live>> = BTreeMap::new();
        for live in self
            .lock()
            .values()
            .filter(|live| !live.ended.is_cancelled())
        {
            by_tenant.entry(live.tenant).or_default().push(live.clone());
        }
        for (tenant, sessions) in by_tenant {
            let mut ids: Vec<_> = sessions.iter().map(|live| live.account).collect();
            ids.sort_unstable();
            ids.dedup();
            let standings = {
                let mut tx = db.read(tenant).await?;
                accounts::standings(&mut tx, &ids).await?
            };
            for live in sessions {
                let goes_on = standings.get(&live.account).is_some_and(|standing| {
                    !standing.disabled && standing.generation == live.generation
                });
                if !goes_on {
                    live.ended.cancel();
                }
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
