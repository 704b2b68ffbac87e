//! Counts, once a minute, what only the database knows: what tenants store, what lacks a copy, which uploads
//! wait for whoever goes on with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::db::{copies, deliveries, kept, placement, regions, tenants, usage};
use crate::domain::error::Result;
use crate::domain::id::RegionId;
use crate::domain::traffic::MOST_TENANTS;
use crate::vfs::key_copies;
use crate::vfs::service::Vfs;

const EVERY: Duration = Duration::from_secs(60);

/// What was counted last. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Census {
    figures: Arc<Mutex<Figures>>,
}

/// Figures of one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// What tenants store, of those that were added first.
    pub tenants: Vec<Stored>,
    /// Uploads of these tenants that broke off and are kept.
    pub kept_uploads: u64,
    /// For each region that keeps copies, how long the oldest blob of these tenants has waited for its own.
    pub replica_lag: Vec<(Arc<str>, Duration)>,
    /// What webhooks of these tenants are still to be told.
    pub webhooks_waiting: u64,
    /// For how long the oldest of that has waited.
    pub webhooks_lag: Duration,
    /// What they were not told in the end.
    pub webhooks_dead: u64,
    /// For each region that keeps copies, how many versions of these tenants' keys cannot be unwrapped there if all
    /// others are lost.
    pub replica_keys_missing: Vec<(Arc<str>, u64)>,
}

/// What a tenant stores.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its name.
    pub tenant: Arc<str>,
    /// Bytes of its live files.
    pub bytes: i64,
    /// Its live files and folders.
    pub files: i64,
}

impl Census {
    /// Calls `tell` with what was counted last.
    pub fn with<T>(&self, tell: impl FnOnce(&Figures) -> T) -> T {
        tell(&self.lock())
    }

    /// Counts until `stop`.
    pub async fn watch(self, vfs: Vfs, stop: CancellationToken) {
        let counting = async {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                match count(&vfs).await {
                    Ok(figures) => *self.lock() = figures,
                    Err(error) => {
                        tracing::debug!(error = ?error, "tenants were not counted; trying again in a minute");
                    }
                }
            }
        };
        stop.run_until_cancelled(counting).await;
    }

    fn lock(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn count(vfs: &Vfs) -> Result<Figures> {
    let db = vfs.database();
    let now = db.now().await?;
    let names: BTreeMap<RegionId, String> = regions::list(db).await?.into_iter().collect();
    let mut figures = Figures::default();
    let mut behind: BTreeMap<RegionId, (Duration, u64)> = BTreeMap::new();
    let mut all = tenants::list(db).await?;
    all.sort_by_key(|tenant| tenant.id);
    for (number, tenant) in all.into_iter().enumerate() {
        let placement = placement::find(db, tenant.id).await?;
        let mut tx = db.read(tenant.id).await?;
        if number < MOST_TENANTS
            && let Some(total) = usage::counters(&mut tx, None).await?.first()
        {
            figures.tenants.push(Stored {
                tenant: tenant.name.into(),
                bytes: total.used.bytes,
                files: total.used.files,
            });
        }
        figures.kept_uploads += kept::count(&mut tx).await?;
        let undone = deliveries::undone(&mut tx).await?;
        figures.webhooks_waiting += undone.waiting;
        figures.webhooks_dead += undone.dead;
        let waits = undone.since.map(|since| now.since(since));
        figures.webhooks_lag = figures.webhooks_lag.max(waits.unwrap_or_default());
        let replica = placement.replica.filter(|to| *to != placement.region);
        // Nothing is copied any more of what nobody can read.
        if let Some(replica) = replica.filter(|_| placement.keys_destroyed_at.is_none()) {
            let since = placement.replicated_at;
            let missing = copies::missing(&mut tx, replica, since, 1).await?;
            let keys = key_copies::lacking(&mut tx, replica).await?;
            let blob = missing.first().map(|blob| blob.at);
            let since = blob.into_iter().chain(keys.first().map(|(_, at)| *at));
            let waits = since.map(|since| now.since(since)).max();
            let (most, count) = behind.entry(replica).or_default();
            *most = (*most).max(waits.unwrap_or_default());
            *count += keys.len() as u64;
        }
    }
    for (region, (waits, keys)) in behind {
        if let Some(name) = names.get(&region) {
            let name: Arc<str> = name.as_str().into();
            figures.replica_lag.push((name.clone(), waits));
            figures.replica_keys_missing.push((name, keys));
        }
    }
    Ok(figures)
}
