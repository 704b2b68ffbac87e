//! The sessions of this process, and the task that ends those whose account changed, also when
//! another process changed it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db::accounts;
use crate::db::database::Database;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, SessionId, TenantId};
use crate::domain::principal::Principal;

/// How often accounts with sessions are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The live sessions. Cheap to clone.
#[derive(Clone)]
pub(in crate::accounts) struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    live: Mutex<HashMap<SessionId, Live>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Live {
    tenant: TenantId,
    account: AccountId,
    generation: i64,
    ended: CancellationToken,
}

impl Sessions {
    /// Starts the task that watches.
    pub(in crate::accounts) fn start(db: Database) -> Self {
        let sessions = Self {
            shared: Arc::new(Shared {
                live: Mutex::default(),
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

    pub(in crate::accounts) fn add(&self, principal: &Principal) {
        let live = Live {
            tenant: principal.tenant,
            account: principal.account,
            generation: principal.generation,
            ended: CancellationToken::new(),
        };
        self.lock().insert(principal.session, live);
    }

    /// Forgets a session; false when it was not there.
    pub(in crate::accounts) fn remove(&self, session: SessionId) -> bool {
        self.lock().remove(&session).is_some()
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
