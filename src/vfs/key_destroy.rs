//! Destroying a tenant's data keys: what they sealed can then be read by nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::crypto::keyring::{self, Keeper, KeyHome};
use crate::db::audit::{self, Happening};
use crate::db::data_keys;
use crate::db::database::Database;
use crate::db::key_copies;
use crate::db::operation::{Operation, Record};
use crate::db::placement::{self, Placement};
use crate::db::sql::TenantTx;
use crate::db::tenants;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;
use crate::domain::principal::Actor;
use crate::vfs::key_care::REWRAP;
use crate::vfs::key_copies::REMOVED;
use crate::vfs::key_opening::wrapped;
use crate::vfs::keys::{TenantKeys, home};

/// Fewest and most days for which a key service lets one think again.
pub const WINDOW_DAYS: std::ops::RangeInclusive<u8> = 7..=30;

/// What else becomes of a key of the key service that only this tenant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KmsKey {
    /// It is deleted after this many days, 7 to 30.
    Delete(u8),
    /// It stays.
    Keep,
}

/// What was destroyed, and when that is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Destroyed {
    /// How many versions there were.
    pub versions: u64,
    /// From then on nobody can bring them back.
    pub final_at: String,
    /// The key of the key service that is deleted.
    pub kms_key: Option<String>,
    /// What makes it final, and what does not.
    pub explanation: String,
}

/// Removes all versions of a tenant's key and keeps its accounts out; has the tenant's own key of the
/// key service deleted. Other instances notice within [`STATE_LIFE`](crate::vfs::keys::STATE_LIFE).
///
/// `backups` is how long backups of the database are kept, which still hold the wrapped keys. May be
/// repeated, above all when the key service did not answer.
///
/// # Errors
/// Invalid when the days are not 7 to 30. Unavailable when the database or the key service does not answer, or the
/// service refuses; the sentence says whether the wrapped keys are gone.
pub async fn destroy(
    keys: &TenantKeys,
    actor: &Actor,
    tenant: TenantId,
    kms_key: KmsKey,
    backups: Duration,
) -> Result<Destroyed> {
    let db = keys.committer().database();
    let mut tx = db.read(tenant).await?;
    let placement = placement::of(&mut tx).await?;
    let versions = data_keys::list(&mut tx).await?.len() as u64;
    let keepers = keepers(&mut tx).await?;
    let rewrapped_at = audit::last_event(&mut tx, REWRAP).await?;
    let removed_at = audit::last_event(&mut tx, REMOVED).await?;
    drop(tx);

    let doomed = doomed_key(keys, tenant, &placement, kms_key).await;
    let doomed = doomed.map_err(|error| match error.kind() {
        ErrorKind::Unavailable => {
            let context = format!(
                "nothing was destroyed: whether the tenant's KMS key can be deleted cannot be told, since {}; \
                 try again later, or have that key left as it is (--keep-kms-key), and the data keys are \
                 destroyed at once",
                error.context()
            );
            Error::new(ErrorKind::Unavailable, context).because(error)
        }
        _ => error,
    })?;
    let former = match kms_key {
        KmsKey::Delete(_) => former_keys(keys, tenant, &keepers, &doomed).await?,
        KmsKey::Keep => String::new(),
    };
    let removed = Remove {
        before: placement.keys_destroyed_at,
    };
    keys.committer().run(tenant, actor, removed).await?;
    keys.forget_state(tenant);
    let destroyed_at = placement::find(db, tenant).await?.keys_destroyed_at;
    let destroyed_at = destroyed_at.ok_or_else(|| Error::internal("no time of destruction"))?;
    let until_backups = destroyed_at.plus(backups);
    let mut outcome = Destroyed {
        versions,
        final_at: until_backups.to_string(),
        kms_key: None,
        explanation: "it is final once no backup of the database holds the wrapped keys any more"
            .to_owned(),
    };
    let (key_id, days) = match doomed {
        Doomed::Key(key_id, days) => (key_id, days),
        Doomed::Shared(why) => {
            outcome.explanation += &format!("; the tenant's KMS key stays, since {why}{former}");
            return Ok(outcome);
        }
        Doomed::None => {
            outcome.explanation += &former;
            return Ok(outcome);
        }
    };
    let deletion = keys
        .ring()
        .schedule_deletion(placement.region, &key_id, days)
        .await
        .map_err(|error| {
            let context = format!(
                "the tenant's data keys are destroyed, but its KMS key '{key_id}' could not be \
                 scheduled for deletion; run the same again"
            );
            Error::new(error.kind(), context).because(error)
        })?;
    let all_under_it = !keepers.is_empty()
        && keepers.iter().all(
            |keeper| matches!(keeper, Keeper::Kms { key_id, .. } if *key_id == deletion.key_id),
        );
    let other_wrappings_until = match all_under_it {
        true => rewrapped_at.max(removed_at).map(|at| at.plus(backups)),
        false => Some(until_backups),
    };
    let final_at = other_wrappings_until.map_or(deletion.at, |until| until.max(deletion.at));
    let detail = format!("{}, by {}", deletion.key_id, deletion.at);
    let note = Note(Happening::new(AuditKind::KmsKeyDeletion, detail));
    keys.committer().run(tenant, actor, note).await?;
    outcome.explanation = format!("the tenant's KMS key is deleted at {}", deletion.at);
    if final_at > deletion.at {
        outcome.explanation += "; backups of the database hold the data keys wrapped by another key as well until then";
    }
    outcome.explanation += &former;
    outcome.final_at = final_at.to_string();
    outcome.kms_key = Some(deletion.key_id);
    Ok(outcome)
}

enum Doomed {
    Key(String, u8),
    None,
    /// Others need it: why.
    Shared(String),
}

/// The tenant's own key of the key service, if nobody else needs it.
async fn doomed_key(
    keys: &TenantKeys,
    tenant: TenantId,
    placement: &Placement,
    kms_key: KmsKey,
) -> Result<Doomed> {
    let KmsKey::Delete(days) = kms_key else {
        return Ok(Doomed::None);
    };
    if !WINDOW_DAYS.contains(&days) {
        return Err(Error::invalid("a KMS key is deleted after 7 to 30 days"));
    }
    if placement.kms_key.is_none() {
        return Ok(Doomed::None);
    }
    let key_id = keys.ring().key_id(&home(placement)).await?;
    Ok(match needed_by(keys, tenant, &key_id).await? {
        Some(who) => Doomed::Shared(format!("{who} needs it")),
        None => Doomed::Key(key_id, days),
    })
}

/// Keys of key services that wrap a tenant's data keys, are not the one that is deleted and are needed by nobody
/// else as far as is known, as the end of a sentence: they may be the tenant's own from before, or a region's, which
/// backups of others need.
async fn former_keys(
    keys: &TenantKeys,
    tenant: TenantId,
    keepers: &[Keeper],
    doomed: &Doomed,
) -> Result<String> {
    let mut former = BTreeSet::new();
    for keeper in keepers {
        let Keeper::Kms { key_id, .. } = keeper else {
            continue;
        };
        if matches!(doomed, Doomed::Key(doomed, _) if doomed == key_id) {
            continue;
        }
        let needed = match needed_by(keys, tenant, key_id).await {
            // A key to look at rather than one to forget.
            Err(error) if error.kind() == ErrorKind::Unavailable => None,
            needed => needed?,
        };
        if needed.is_none() {
            former.insert(key_id.clone());
        }
    }
    let former: Vec<_> = former.into_iter().collect();
    Ok(match former.as_slice() {
        [] => String::new(),
        former => format!(
            "; its data keys are wrapped by {} as well, which stays: delete it at the key service if nobody else \
             needs it",
            former.join(" and ")
        ),
    })
}

/// Who besides a tenant has keys wrapped by a key of the key service, or will have.
async fn needed_by(keys: &TenantKeys, tenant: TenantId, key_id: &str) -> Result<Option<String>> {
    let (ring, db) = (keys.ring(), keys.committer().database());
    for (region, kms) in ring.services() {
        if is_key(kms.key_id(None).await, key_id)? {
            return Ok(Some(format!("region {region}")));
        }
    }
    let mut seen = BTreeSet::new();
    for other in tenants::list(db).await? {
        if other.id == tenant {
            continue;
        }
        let needs = || Ok(Some(format!("tenant {}", other.name)));
        let (placement, keepers) = wrappings(db, other.id).await?;
        if keepers.iter().any(|keeper| keeper == key_id) {
            return needs();
        }
        if placement.keys_destroyed_at.is_some() {
            continue;
        }
        if let Some(named) = &placement.kms_key
            && seen.insert((placement.region, named.clone()))
            && is_named(keys, &home(&placement), key_id).await?
        {
            return needs();
        }
    }
    Ok(None)
}

async fn is_named(keys: &TenantKeys, home: &KeyHome, key_id: &str) -> Result<bool> {
    match keys.ring().key_id(home).await {
        Err(error) if keyring::is_not_set_up(&error) => Ok(false),
        found => is_key(found, key_id),
    }
}

/// A key that is not there is another one; when that is not known, nothing is deleted.
fn is_key(found: Result<String>, key_id: &str) -> Result<bool> {
    match found {
        Ok(found) => Ok(found == key_id),
        Err(error) if crate::crypto::kms_error::is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn wrappings(db: &Database, tenant: TenantId) -> Result<(Placement, Vec<String>)> {
    let mut tx = db.read(tenant).await?;
    let placement = placement::of(&mut tx).await?;
    let keepers = keepers(&mut tx).await?.into_iter();
    let key_ids = keepers.filter_map(|keeper| match keeper {
        Keeper::Kms { key_id, .. } => Some(key_id),
        Keeper::Local | Keeper::Unknown => None,
    });
    Ok((placement, key_ids.collect()))
}

/// What wraps each of a tenant's keys, and what does for its replica.
async fn keepers(tx: &mut TenantTx) -> Result<Vec<Keeper>> {
    let firsts = data_keys::list(tx).await?.into_iter().map(|(key, _)| key);
    let copies = key_copies::list(tx).await?.into_iter().map(|copy| copy.key);
    let all = firsts.chain(copies);
    Ok(all.map(|key| wrapped(&key).keeper()).collect())
}

struct Remove {
    /// When they were destroyed already.
    before: Option<Timestamp>,
}

#[async_trait]
impl Operation for Remove {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let versions = data_keys::remove_all(tx).await?;
        key_copies::remove_all(tx).await?;
        placement::set_keys_destroyed(tx, self.before.unwrap_or(next.at)).await?;
        let detail = format!("{versions} versions");
        Ok(Record::Event(Happening::new(
            AuditKind::KeysDestroy,
            detail,
        )))
    }
}

struct Note(Happening);

#[async_trait]
impl Operation for Note {
    async fn apply(&self, _tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        Ok(Record::Event(self.0.clone()))
    }
}
