//! The tenants' data keys, unwrapped and kept in memory for a bounded time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::crypto::keyring::{KeyRing, WrappedKey};
use crate::crypto::seal::DataKey;
use crate::db::data_keys::{self, StoredKey};
use crate::db::database::Database;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;

/// How long an unwrapped key stays in memory before the key ring is asked again.
const KEEP: Duration = Duration::from_secs(3600);

/// Hands out data keys.
pub struct TenantKeys {
    db: Database,
    ring: KeyRing,
    versions: Cache<(TenantId, u32), Arc<DataKey>>,
    latest: Cache<TenantId, u32>,
}

impl TenantKeys {
    /// Takes keys from the database, unwrapped by `ring`.
    pub fn new(db: Database, ring: KeyRing) -> Self {
        Self {
            db,
            ring,
            versions: Cache::default(),
            latest: Cache::default(),
        }
    }

    /// The key that seals new blobs; a tenant without one is given its first.
    ///
    /// # Errors
    /// Unavailable when the database or the key service does not answer.
    pub async fn current(&self, tenant: TenantId) -> Result<Arc<DataKey>> {
        let now = self.db.clock().now();
        if let Some(version) = self.latest.find(&tenant, now) {
            return self.version(tenant, version).await;
        }
        let mut tx = self.db.read(tenant).await?;
        let stored = data_keys::latest(&mut tx).await?;
        drop(tx);
        let key = match stored {
            Some(stored) => self.unwrap(tenant, &stored).await?,
            None => self.first(tenant).await?,
        };
        self.latest.keep(tenant, key.version, now);
        Ok(key)
    }

    /// The key of one version, for reading.
    ///
    /// # Errors
    /// Unavailable as above; Corrupt when there is no such version.
    pub async fn version(&self, tenant: TenantId, version: u32) -> Result<Arc<DataKey>> {
        if let Some(key) = self
            .versions
            .find(&(tenant, version), self.db.clock().now())
        {
            return Ok(key);
        }
        let mut tx = self.db.read(tenant).await?;
        let stored = data_keys::find(&mut tx, version).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                "the key of this file is gone; tell the operator",
            )
            .because(format!("no data key {version} of tenant {tenant}"))
        })?;
        drop(tx);
        self.unwrap(tenant, &stored).await
    }

    async fn first(&self, tenant: TenantId) -> Result<Arc<DataKey>> {
        let (key, wrapped) = self.ring.generate(tenant, 1).await?;
        let now = self.db.clock().now();
        let stored = StoredKey {
            version: 1,
            provider: wrapped.provider,
            wrapped: wrapped.bytes,
        };
        let mut tx = self.db.write(tenant).await?;
        match data_keys::insert(&mut tx, &stored, now).await {
            Ok(()) => tx.commit().await?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                drop(tx);
                return self.version(tenant, 1).await;
            }
            Err(error) => return Err(error),
        }
        let key = Arc::new(key);
        self.versions.keep((tenant, 1), key.clone(), now);
        Ok(key)
    }

    async fn unwrap(&self, tenant: TenantId, stored: &StoredKey) -> Result<Arc<DataKey>> {
        let wrapped = WrappedKey {
            provider: stored.provider.clone(),
            bytes: stored.wrapped.clone(),
        };
        let key = Arc::new(self.ring.unwrap(tenant, stored.version, &wrapped).await?);
        let now = self.db.clock().now();
        self.versions
            .keep((tenant, stored.version), key.clone(), now);
        Ok(key)
    }
}

/// Values that are forgotten after [`KEEP`].
struct Cache<K, T>(Mutex<HashMap<K, (T, Timestamp)>>);

impl<K, T> Default for Cache<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, T: Clone> Cache<K, T> {
    fn find(&self, key: &K, now: Timestamp) -> Option<T> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, until) = map.get(key)?;
        if *until > now {
            return Some(value.clone());
        }
        map.remove(key);
        None
    }

    fn keep(&self, key: K, value: T, now: Timestamp) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(key, (value, now.plus(KEEP)));
    }
}
