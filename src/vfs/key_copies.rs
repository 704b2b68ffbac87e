//! A second wrapping of each data key, by what the region of the tenant's replica has for that: without the first
//! region's key service the copies there could not be read.

use async_trait::async_trait;

use crate::crypto::keyring::{Keeper, KeyHome, KeyRing, WrappedKey};
use crate::crypto::kms_error;
use crate::crypto::seal::DataKey;
use crate::db::audit::Happening;
use crate::db::data_keys::{self, StoredKey};
use crate::db::key_copies::{self, KeyCopy};
use crate::db::operation::{Operation, Record};
use crate::db::placement::{self, Placement};
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{RegionId, TenantId};
use crate::domain::principal::Actor;
use crate::vfs::key_opening::{self, wrapped};
use crate::vfs::keys::{TenantKeys, stored};

/// The audit log's word for a second wrapping.
const COPIED: AuditKind = AuditKind::KeysCopy;
/// And for its end.
pub(in crate::vfs) const REMOVED: AuditKind = AuditKind::KeysCopyRemove;

/// Where a tenant keeps copies, unless it lives there.
pub(in crate::vfs) fn replica(placement: &Placement) -> Option<RegionId> {
    placement.replica.filter(|to| *to != placement.region)
}

/// The versions that cannot be unwrapped in a replica while all other regions are lost, the oldest first, each with the
/// time that it was added.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn lacking(tx: &mut TenantTx, replica: RegionId) -> Result<Vec<(StoredKey, Timestamp)>> {
    let mut keys = key_copies::without(tx, replica).await?;
    keys.retain(|(key, _)| !wrapped(key).opens_in(replica));
    Ok(keys)
}

/// Has every version of a tenant's key that needs it wrapped for its replica too.
///
/// # Errors
/// Unavailable when the database or a key service does not answer, or refuses; Corrupt when a key cannot be unwrapped. The
/// others were still tried, unless what wraps keys for the replica does not answer.
pub async fn make(keys: &TenantKeys, tenant: TenantId, replica: RegionId) -> Result<()> {
    let (ring, db) = (keys.ring(), keys.committer().database());
    let mut tx = db.read(tenant).await?;
    let lacking = lacking(&mut tx, replica).await?;
    let copies = key_copies::list(&mut tx).await?;
    drop(tx);
    let mut outcome = Ok(());
    // Versions may be of several key services: one that is lost keeps none from the others, and is asked once.
    let mut silent = Vec::new();
    for (key, _) in lacking {
        let keeper = wrapped(&key).keeper();
        let has_other = copies.iter().any(|copy| copy.key.version == key.version);
        if silent.contains(&keeper) && !has_other {
            continue;
        }
        let opened = match key_opening::open(ring, db, tenant, key.version).await {
            Ok(opened) => opened,
            Err(error) => {
                if kms_error::is_outage(&error) {
                    silent.push(keeper);
                }
                outcome = outcome.and(Err(error));
                continue;
            }
        };
        match wrap(ring, tenant, &opened, replica).await {
            Ok(copy) => {
                let add = Add { copy };
                keys.committer().run(tenant, &Actor::job(), add).await?;
            }
            Err(error) if kms_error::is_outage(&error) => return Err(error),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome
}

/// Wraps a key by what a region has for the keys of all its tenants.
pub(in crate::vfs) async fn wrap(
    ring: &KeyRing,
    tenant: TenantId,
    key: &DataKey,
    region: RegionId,
) -> Result<KeyCopy> {
    let home = KeyHome {
        region,
        kms_key: None,
    };
    let wrapped = ring.wrap(tenant, key, &home).await.map_err(|error| {
        let context = format!(
            "a data key was not wrapped for the tenant's replica: {}",
            error.context()
        );
        error.saying(context)
    })?;
    Ok(KeyCopy {
        region,
        key: stored(key.version, wrapped),
    })
}

/// Removes wrappings for regions where the tenant neither is nor keeps copies any more. Until the first wrapping of the
/// same version was seen to open, one stays, though nothing is read by it: the replica may be named again.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn tidy(keys: &TenantKeys, tenant: TenantId) -> Result<()> {
    let mut tx = keys.committer().database().read(tenant).await?;
    let mut firsts = Vec::new();
    for version in key_copies::unwanted(&mut tx).await? {
        firsts.extend(data_keys::find(&mut tx, version).await?);
    }
    drop(tx);
    for first in firsts {
        let version = first.version;
        if let Err(error) = keys.ring().unwrap(tenant, version, &wrapped(&first)).await {
            tracing::warn!(tenant.id = %tenant, version, error = ?error, "a wrapping of a data key for a former replica is kept, since the first cannot be opened");
            continue;
        }
        let remove = Remove { version };
        keys.committer().run(tenant, &Actor::job(), remove).await?;
    }
    Ok(())
}

/// By what a key is wrapped, in the audit log.
pub(in crate::vfs) fn shown(wrapped: &WrappedKey) -> String {
    match wrapped.keeper() {
        Keeper::Kms { key_id, .. } => key_id,
        Keeper::Local | Keeper::Unknown => "the key file".to_owned(),
    }
}

struct Add {
    copy: KeyCopy,
}

#[async_trait]
impl Operation for Add {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        // As it is now: the keys may have been destroyed, and the replica taken away.
        let placement = placement::of(tx).await?;
        let key = &self.copy.key;
        let wanted = placement.keys_destroyed_at.is_none()
            && replica(&placement) == Some(self.copy.region)
            && data_keys::find(tx, key.version).await?.is_some();
        if !wanted || !key_copies::add(tx, &self.copy, next.at).await? {
            return Ok(Record::Nothing);
        }
        let by = shown(&wrapped(key));
        let detail = format!("version {}, wrapped by {by} as well", key.version);
        Ok(Record::Event(Happening::new(COPIED, detail)))
    }
}

struct Remove {
    version: u32,
}

#[async_trait]
impl Operation for Remove {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        match key_copies::remove_unwanted(tx, self.version).await? {
            0 => Ok(Record::Nothing),
            _ => {
                let detail = format!("version {}", self.version);
                Ok(Record::Event(Happening::new(REMOVED, detail)))
            }
        }
    }
}
