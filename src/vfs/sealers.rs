//! Sealers whose blob ids the database knows already, made ahead in batches, so that a small file
//! costs one commit and not two.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::crypto::seal::Sealer;
use crate::db::blobs;
use crate::db::commit::Committer;
use crate::db::operation::{Operation, Record};
use crate::db::placement;
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{BlobId, InstanceId, RegionId, TenantId};
use crate::domain::principal::Actor;
use crate::vfs::keys::TenantKeys;

const FIRST_BATCH: usize = 4;
const MAX_BATCH: usize = 256;
/// How soon a tenant's new blobs go to its new region, and are sealed with its new key.
const CHECK: Duration = Duration::from_secs(10);

/// A sealer whose blob is announced.
pub struct Announced {
    /// Seals the blob.
    pub sealer: Sealer,
    /// The version of the key it seals with.
    pub key_version: u32,
    /// Where the blob is to be stored.
    pub region: RegionId,
}

/// Makes and hands out announced sealers.
pub struct Sealers {
    committer: Committer,
    keys: Arc<TenantKeys>,
    instance: InstanceId,
    ready: Mutex<HashMap<TenantId, Shelf>>,
}

struct Shelf {
    sealers: Vec<Announced>,
    batch: usize,
    /// When it was last looked up where the tenant is, and with which key it seals.
    checked_at: Timestamp,
    /// Held by who fills the shelf.
    filling: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            sealers: Vec::new(),
            batch: 0,
            checked_at: Timestamp(0),
            filling: Arc::default(),
        }
    }
}

impl Sealers {
    /// Announces blobs as this instance's.
    pub fn new(committer: Committer, keys: Arc<TenantKeys>, instance: InstanceId) -> Self {
        Self {
            committer,
            keys,
            instance,
            ready: Mutex::default(),
        }
    }

    /// A sealer for a new blob of a tenant. Each is handed out once.
    ///
    /// # Errors
    /// Unavailable when the database or the key service does not answer.
    pub async fn take(&self, tenant: TenantId) -> Result<Announced> {
        if let Some(announced) = self.ready_made(tenant) {
            return Ok(announced);
        }
        // One fills the shelf; a thousand that find it empty at once wait for that instead of
        // announcing a batch each.
        let filling = self.lock().entry(tenant).or_default().filling.clone();
        let _filling = filling.lock().await;
        if let Some(announced) = self.ready_made(tenant) {
            return Ok(announced);
        }
        let now = self.committer.database().clock().now();
        let placement = placement::find(self.committer.database(), tenant).await?;
        let region = placement.region;
        let latest = self.keys.latest(tenant).await?;
        if let Some(announced) = self.still_good(tenant, (region, latest), now) {
            return Ok(announced);
        }
        let key = self.keys.current(tenant).await?;
        let make = || Announced {
            sealer: Sealer::new(tenant, &key),
            key_version: key.version,
            region,
        };
        let one = make();
        let batch = {
            let mut ready = self.lock();
            let shelf = ready.entry(tenant).or_default();
            shelf.batch = (shelf.batch * 2).clamp(FIRST_BATCH, MAX_BATCH);
            shelf.batch
        };
        let mut more: Vec<_> = (1..batch).map(|_| make()).collect();
        let announcement = Announcement {
            instance: self.instance,
            key_version: key.version,
            region,
            ids: more.iter().chain([&one]).map(|a| a.sealer.id()).collect(),
        };
        self.committer
            .run(tenant, &Actor::job(), announcement)
            .await?;
        let mut ready = self.lock();
        let shelf = ready.entry(tenant).or_default();
        shelf.checked_at = now;
        shelf.sealers.append(&mut more);
        Ok(one)
    }

    /// Takes from the shelf, unless it has been too long that the tenant's region and key were looked up.
    fn ready_made(&self, tenant: TenantId) -> Option<Announced> {
        let now = self.committer.database().clock().now();
        let mut ready = self.lock();
        let shelf = ready.get_mut(&tenant)?;
        match shelf.checked_at.plus(CHECK) > now {
            true => shelf.sealers.pop(),
            false => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Shelf>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes from the shelf if the tenant is still where it was, with the same key; if not, empties it.
    fn still_good(
        &self,
        tenant: TenantId,
        (region, latest): (RegionId, Option<u32>),
        now: Timestamp,
    ) -> Option<Announced> {
        let mut ready = self.lock();
        let shelf = ready.entry(tenant).or_default();
        shelf.checked_at = now;
        let is_good = |made: &Announced| made.region == region && Some(made.key_version) == latest;
        shelf.sealers.retain(is_good);
        shelf.sealers.pop()
    }

    /// Throws away what is made ahead for a tenant: this instance's lease was over for a while, and others
    /// may have swept its blobs.
    pub fn discard(&self, tenant: TenantId) {
        self.lock().remove(&tenant);
    }
}

struct Announcement {
    instance: InstanceId,
    key_version: u32,
    region: RegionId,
    ids: Vec<BlobId>,
}

#[async_trait]
impl Operation for Announcement {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        blobs::announce(
            tx,
            self.instance,
            self.key_version,
            self.region,
            &self.ids,
            next.at,
        )
        .await?;
        Ok(Record::Nothing)
    }
}
