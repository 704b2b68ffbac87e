//! Keeps the keys of TLS session tickets, which all instances share, and makes new ones in time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::crypto::keyring::{KeyHome, KeyRing, WrappedKey};
use crate::crypto::seal::DataKey;
use crate::db::database::Database;
use crate::db::ticket_keys::{self, StoredTicketKey};
use crate::domain::clock::Timestamp;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::RegionId;
use crate::domain::random;
use crate::net::tickets::{LIFETIME_S, TicketKey, TicketKeys};
use crate::server::own_keys::NOBODY;

/// How long a key seals tickets.
const TERM: Duration = Duration::from_secs(4 * 60 * 60);
/// How often an instance looks for keys that others made.
const LOOK: Duration = Duration::from_secs(60);
/// A key seals nothing before all instances have seen it.
const SETTLED: Duration = Duration::from_secs(150);
/// A key opens tickets as long as those that it sealed last may be used.
const KEPT: Duration = Duration::from_secs(4 * 60 * 60 + 150 + LIFETIME_S as u64);

/// The installation's keys as this instance knows them.
pub struct SharedTicketKeys {
    db: Database,
    ring: KeyRing,
    home: RegionId,
    keys: TicketKeys,
    /// What was unwrapped, so that a key service is asked once for each.
    known: BTreeMap<u32, DataKey>,
    /// The last failure, said once.
    failure: Option<String>,
}

impl SharedTicketKeys {
    /// Wrapped by `ring` for `home`. Until the first look, tickets are sealed by a key that only this
    /// instance has.
    pub fn new(db: Database, ring: KeyRing, home: RegionId) -> Self {
        Self {
            db,
            ring,
            home,
            keys: TicketKeys::new(vec![TicketKey::random()]),
            known: BTreeMap::new(),
            failure: None,
        }
    }

    /// What seals and opens tickets: follows the installation's keys.
    pub fn keys(&self) -> TicketKeys {
        self.keys.clone()
    }

    /// Looks for keys until `stop`, and makes them when it is time.
    pub async fn follow(mut self, stop: CancellationToken) {
        let rounds = async {
            loop {
                let jitter = Duration::from_millis(random::below(5_000));
                tokio::time::sleep(LOOK + jitter).await;
                Box::pin(self.try_look()).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Looks once. What fails is logged, and the keys stay as they are: clients whose tickets do not
    /// open only shake hands in full.
    pub async fn try_look(&mut self) {
        let Err(error) = self.look().await else {
            self.failure = None;
            return;
        };
        let said = Some(error.context().to_owned());
        if self.failure != said {
            tracing::warn!(?error, "keys of TLS session tickets cannot be shared now");
            self.failure = said;
        }
    }

    /// Looks once, and makes a key when the newest has served its term. Keys that can be had are used,
    /// whatever becomes of the others.
    ///
    /// # Errors
    /// Unavailable when database or key service do not answer, or nothing wraps keys;
    /// Corrupt when a key was wrapped by something else.
    pub async fn look(&mut self) -> Result<()> {
        let now = self.db.now().await?;
        let mut stored = ticket_keys::list(&self.db).await?;
        let mut outcome = Ok(());
        let newest = stored.first();
        if newest.is_none_or(|key| now.since(key.made_at) >= TERM) {
            let id = newest.map_or(1, |key| key.id.saturating_add(1));
            match self.make(id, now).await {
                // Another instance was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => outcome = made,
            }
            stored = ticket_keys::list(&self.db).await?;
        }
        stored.retain(|key| now.since(key.made_at) < KEPT);
        self.known
            .retain(|id, _| stored.iter().any(|key| key.id == *id));
        for key in &stored {
            if let Err(error) = self.learn(key).await {
                outcome = Err(error);
            }
        }
        let order = in_order(&stored, now);
        let keys = order.into_iter().filter_map(|id| self.known.get(&id));
        let keys: Vec<_> = keys.map(|key| TicketKey::new(key.expose())).collect();
        if !keys.is_empty() {
            self.keys.replace(keys);
        }
        outcome
    }

    async fn make(&self, id: u32, now: Timestamp) -> Result<()> {
        let home = KeyHome {
            region: self.home,
            kms_key: None,
        };
        let (_, wrapped) = self.ring.generate(NOBODY, id, &home).await?;
        let key = StoredTicketKey {
            id,
            provider: wrapped.provider,
            wrapped: wrapped.bytes,
            made_at: now,
        };
        ticket_keys::add(&self.db, &key, now.minus(KEPT)).await
    }

    async fn learn(&mut self, key: &StoredTicketKey) -> Result<()> {
        if self.known.contains_key(&key.id) {
            return Ok(());
        }
        let wrapped = WrappedKey {
            provider: key.provider.clone(),
            bytes: key.wrapped.clone(),
        };
        let unwrapped = self.ring.unwrap(NOBODY, key.id, &wrapped).await?;
        self.known.insert(key.id, unwrapped);
        Ok(())
    }
}

/// The ids of the keys: first the one that seals.
fn in_order(newest_first: &[StoredTicketKey], now: Timestamp) -> Vec<u32> {
    let mut ids: Vec<_> = newest_first.iter().map(|key| key.id).collect();
    let settled = newest_first
        .iter()
        .position(|key| now.since(key.made_at) >= SETTLED);
    // Where none is settled, the oldest is the one that others have.
    let sealing = settled.unwrap_or(ids.len().saturating_sub(1));
    if let Some(first) = ids.get_mut(..=sealing) {
        first.rotate_right(1);
    }
    ids
}
