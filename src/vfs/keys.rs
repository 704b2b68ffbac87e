//! The tenants' data keys, unwrapped and kept in memory for a bounded time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::crypto::keyring::{KeyHome, KeyRing, WrappedKey};
use crate::crypto::kms_error;
use crate::crypto::seal::DataKey;
use crate::db::audit::Happening;
use crate::db::commit::Committer;
use crate::db::data_keys::{self, StoredKey};
use crate::db::operation::{Operation, Record};
use crate::db::placement::{self, Placement};
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;
use crate::domain::principal::Actor;
use crate::vfs::key_cache::KeyCache;
use crate::vfs::key_opening;

/// How long an unwrapped key stays in memory at most, unless something else is asked for. It is
/// renewed from half of this, so that an outage of the key service of half an hour is not noticed.
pub const KEY_LIFE: Duration = Duration::from_secs(3600);
/// How long it takes until an instance notices that another has rotated or destroyed keys.
pub const STATE_LIFE: Duration = Duration::from_secs(60);
/// Most keys in memory, and most tenants.
const MOST: usize = 10_000;

/// Hands out data keys. Many who ask for one key at once make one call of the key service.
pub struct TenantKeys {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    committer: Committer,
    ring: KeyRing,
    memory: Mutex<Memory>,
}

struct Memory {
    states: KeyCache<TenantId, State>,
    keys: KeyCache<(TenantId, u32), Arc<DataKey>>,
    flights: HashMap<Wanted, Flight>,
}

/// What the database says about a tenant's keys.
#[derive(Clone, Copy)]
enum State {
    Destroyed,
    /// The version that seals new blobs, if there is one yet.
    Kept(Option<u32>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Wanted {
    First(TenantId),
    Version(TenantId, u32),
}

type Outcome = std::result::Result<Arc<DataKey>, Arc<Error>>;
/// The outcome of a call that is under way.
type Flight = watch::Receiver<Option<Outcome>>;

impl TenantKeys {
    /// Takes keys from the database, unwrapped by `ring`, and keeps them for `life` at most.
    pub fn new(committer: Committer, ring: KeyRing, life: Duration) -> Self {
        let memory = Memory {
            states: KeyCache::new(MOST, STATE_LIFE),
            keys: KeyCache::new(MOST, life),
            flights: HashMap::new(),
        };
        Self {
            shared: Arc::new(Shared {
                committer,
                ring,
                memory: Mutex::new(memory),
            }),
            tasks: Mutex::default(),
        }
    }

    /// The key that seals new blobs; a tenant without one is given its first.
    ///
    /// # Errors
    /// Unavailable when the database or the key service does not answer, or the service refuses;
    /// Corrupt when the tenant's keys were destroyed.
    pub async fn current(&self, tenant: TenantId) -> Result<Arc<DataKey>> {
        match self.shared.latest(tenant).await? {
            Some(version) => self.held(tenant, version).await,
            None => {
                let key = self.fly(Wanted::First(tenant)).await?;
                self.forget_state(tenant);
                Ok(key)
            }
        }
    }

    /// The version of the key that seals new blobs, if there is one yet: the key service is not asked.
    ///
    /// # Errors
    /// Unavailable when the database does not answer; Corrupt when the tenant's keys were destroyed.
    pub(in crate::vfs) async fn latest(&self, tenant: TenantId) -> Result<Option<u32>> {
        self.shared.latest(tenant).await
    }

    /// The key of one version, for reading.
    ///
    /// # Errors
    /// As above; Corrupt when there is no such version.
    pub async fn version(&self, tenant: TenantId, version: u32) -> Result<Arc<DataKey>> {
        self.shared.latest(tenant).await?;
        self.held(tenant, version).await
    }

    /// Ends what is under way in the background and waits until it has ended.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.shutdown().await;
    }

    /// Looks at the database again before the next key is handed out.
    pub fn forget_state(&self, tenant: TenantId) {
        self.shared.lock().states.forget(|key| *key == tenant);
    }

    /// What wraps and unwraps them.
    pub fn ring(&self) -> &KeyRing {
        &self.shared.ring
    }

    /// Commits changes of them.
    pub fn committer(&self) -> &Committer {
        &self.shared.committer
    }

    async fn held(&self, tenant: TenantId, version: u32) -> Result<Arc<DataKey>> {
        let now = self.shared.committer.database().clock().now();
        let found = self.shared.lock().keys.find(&(tenant, version), now);
        let wanted = Wanted::Version(tenant, version);
        match found {
            Some(found) => {
                if found.due {
                    self.take_off(wanted);
                }
                Ok(found.value)
            }
            None => self.fly(wanted).await,
        }
    }

    /// Waits for what is wanted.
    async fn fly(&self, wanted: Wanted) -> Result<Arc<DataKey>> {
        let mut flight = self.take_off(wanted);
        let landed = flight.wait_for(Option::is_some).await;
        let outcome = landed.map_err(|_| {
            let context = "the server is stopping; try again in a moment";
            Error::new(ErrorKind::Unavailable, context)
        })?;
        match outcome.as_ref() {
            Some(Ok(key)) => Ok(key.clone()),
            Some(Err(error)) => Err(again(error)),
            None => Err(Error::internal("a flight landed without an outcome")),
        }
    }

    /// Joins the call that is under way, or makes it. It goes on when those who wait go away.
    fn take_off(&self, wanted: Wanted) -> Flight {
        let now = self.shared.committer.database().clock().now();
        let mut memory = self.shared.lock();
        let vacant = match memory.flights.entry(wanted) {
            Entry::Occupied(flight) => return flight.get().clone(),
            Entry::Vacant(vacant) => vacant,
        };
        let (sender, flight) = watch::channel(None);
        vacant.insert(flight.clone());
        if let Wanted::Version(tenant, version) = wanted {
            memory.keys.renewing(&(tenant, version), now);
        }
        drop(memory);
        let landing = Landing {
            shared: self.shared.clone(),
            wanted,
        };
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let outcome = landing.shared.fetch(wanted).await.map_err(Arc::new);
            // Later askers find it in the cache.
            drop(landing);
            sender.send_replace(Some(outcome));
        });
        flight
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the list when it is over, however it ends.
struct Landing {
    shared: Arc<Shared>,
    wanted: Wanted,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.shared.lock().flights.remove(&self.wanted);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that seals new blobs.
    async fn latest(&self, tenant: TenantId) -> Result<Option<u32>> {
        let now = self.committer.database().clock().now();
        let known = self.lock().states.find(&tenant, now);
        let state = match known {
            Some(known) => known.value,
            None => {
                let (placement, latest) = self.look(tenant).await?;
                let state = match placement.keys_destroyed_at {
                    Some(_) => State::Destroyed,
                    None => State::Kept(latest.map(|key| key.version)),
                };
                let mut memory = self.lock();
                memory.states.keep(tenant, state, now);
                if matches!(state, State::Destroyed) {
                    memory.keys.forget(|(owner, _)| *owner == tenant);
                }
                state
            }
        };
        match state {
            State::Destroyed => Err(destroyed(tenant)),
            State::Kept(latest) => Ok(latest),
        }
    }

    async fn look(&self, tenant: TenantId) -> Result<(Placement, Option<StoredKey>)> {
        let mut tx = self.committer.database().read(tenant).await?;
        let placement = placement::of(&mut tx).await?;
        Ok((placement, data_keys::latest(&mut tx).await?))
    }

    async fn fetch(&self, wanted: Wanted) -> Result<Arc<DataKey>> {
        let (tenant, fetched) = match wanted {
            Wanted::First(tenant) => (tenant, self.first(tenant).await),
            Wanted::Version(tenant, version) => (tenant, self.unwrap(tenant, version).await),
        };
        let now = self.committer.database().clock().now();
        match (fetched, wanted) {
            (Ok(key), _) => {
                let key = Arc::new(key);
                self.lock()
                    .keys
                    .keep((tenant, key.version), key.clone(), now);
                Ok(key)
            }
            (Err(error), Wanted::Version(_, version)) => {
                let what = match kms_error::is_outage(&error) {
                    true => "a key in memory goes on being used until its life is over",
                    false => {
                        let one = (tenant, version);
                        self.lock().keys.forget(|key| *key == one);
                        "a key is not kept in memory any longer"
                    }
                };
                tracing::warn!(tenant.id = %tenant, version, error = ?error, "a data key was not unwrapped: {what}");
                Err(error)
            }
            (Err(error), Wanted::First(_)) => Err(error),
        }
    }

    async fn unwrap(&self, tenant: TenantId, version: u32) -> Result<DataKey> {
        key_opening::open(&self.ring, self.committer.database(), tenant, version).await
    }

    async fn first(&self, tenant: TenantId) -> Result<DataKey> {
        let (placement, latest) = self.look(tenant).await?;
        if let Some(latest) = latest {
            return self.unwrap(tenant, latest.version).await;
        }
        let home = home(&placement);
        let (key, wrapped) = self.ring.generate(tenant, 1, &home).await?;
        let add = AddKey {
            stored: stored(1, wrapped),
            happening: None,
        };
        match self.committer.run(tenant, &Actor::job(), add).await {
            Ok(_) => Ok(key),
            // Another instance was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.unwrap(tenant, 1).await,
            Err(error) => Err(error),
        }
    }
}

/// Adds a version unless the tenant's keys were destroyed.
pub(in crate::vfs) struct AddKey {
    pub(in crate::vfs) stored: StoredKey,
    pub(in crate::vfs) happening: Option<Happening>,
}

#[async_trait]
impl Operation for AddKey {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        if placement::of(tx).await?.keys_destroyed_at.is_some() {
            return Err(destroyed(tx.tenant()));
        }
        match data_keys::find(tx, self.stored.version).await? {
            Some(found) if found == self.stored => {}
            Some(_) => {
                let context = "another key was added at the same time; try again";
                return Err(Error::new(ErrorKind::AlreadyExists, context));
            }
            None => data_keys::insert(tx, &self.stored, next.at).await?,
        }
        Ok(self
            .happening
            .clone()
            .map_or(Record::Nothing, Record::Event))
    }
}

/// By what a tenant's new keys are wrapped.
pub(in crate::vfs) fn home(placement: &Placement) -> KeyHome {
    KeyHome {
        region: placement.region,
        kms_key: placement.kms_key.clone(),
    }
}

/// A key as the database takes it.
pub(in crate::vfs) fn stored(version: u32, wrapped: WrappedKey) -> StoredKey {
    StoredKey {
        version,
        provider: wrapped.provider,
        wrapped: wrapped.bytes,
    }
}

pub(in crate::vfs) fn destroyed(tenant: TenantId) -> Error {
    let context = "the keys of this tenant were destroyed; its files cannot be read any more";
    Error::new(ErrorKind::Corrupt, context).because(format!("tenant {tenant}"))
}

/// The same error for each who waited.
fn again(error: &Arc<Error>) -> Error {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    Error::new(error.kind(), error.context()).because(causes.join(": "))
}
