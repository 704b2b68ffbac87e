//! What the operator does to a tenant's data keys while they are in use; no blob is touched.

use async_trait::async_trait;
use serde::Serialize;

use crate::crypto::keyring::Keeper;
use crate::db::audit::Happening;
use crate::db::data_keys::{self, StoredKey};
use crate::db::database::Database;
use crate::db::key_copies::{self, KeyCopy};
use crate::db::operation::{Operation, Record};
use crate::db::placement::{self, Placement};
use crate::db::regions;
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{RegionId, TenantId};
use crate::domain::principal::Actor;
use crate::vfs::key_copies::{self as second, shown};
use crate::vfs::key_opening::{self, wrapped};
use crate::vfs::keys::{AddKey, TenantKeys, home, stored};

/// Attempts at what another instance may do at the same time.
const ATTEMPTS: usize = 4;

/// A version of a tenant's data key as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// 1, 2, 3, ...
    pub version: u32,
    /// Whether new blobs are sealed with it.
    pub current: bool,
    /// Who can unwrap it: `local` or `aws-kms`.
    pub provider: String,
    /// The region of the key service.
    pub region: Option<String>,
    /// The service's key.
    pub kms_key: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// What can unwrap it as well, if the first cannot: for the tenant's replica.
    pub copies: Vec<KeyCopyView>,
}

/// A further wrapping of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyCopyView {
    /// The region that it is for.
    pub region: String,
    /// Who can unwrap it: `local` or `aws-kms`.
    pub provider: String,
    /// The service's key.
    pub kms_key: Option<String>,
}

/// A new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// Its number.
    pub version: u32,
    /// By what it is wrapped.
    pub wrapped_by: String,
}

/// Has the key service of a tenant's region, or of the one it moves `to`, make a key with `key` that is thrown away, before
/// that becomes the tenant's own; false when nothing there can be asked. Errors call the key `named`.
///
/// # Errors
/// Invalid when it cannot be used; Unavailable when the service or the database does not answer.
pub async fn try_kms_key(
    keys: &TenantKeys,
    tenant: TenantId,
    to: Option<RegionId>,
    key: &str,
    named: &str,
) -> Result<bool> {
    let db = keys.committer().database();
    let region = match to {
        Some(region) => region,
        None => placement::find(db, tenant).await?.region,
    };
    let mut services = keys.ring().services();
    let Some((_, service)) = services.find(|(of, _)| *of == region) else {
        return Ok(false);
    };
    service.probe_key(key, named).await?;
    Ok(true)
}

/// Sees to it that a tenant that moves `to` a region may use its own key of the key service there too, if it has one:
/// else nothing new could be sealed after the next rotation.
///
/// # Errors
/// Invalid, saying what to do first, when the key cannot be used there; Unavailable when the service or the database does
/// not answer.
pub async fn try_own_key(keys: &TenantKeys, tenant: TenantId, to: RegionId) -> Result<()> {
    let placement = placement::find(keys.committer().database(), tenant).await?;
    let own = placement.kms_key.filter(|_| to != placement.region);
    let Some(key) = own else { return Ok(()) };
    let named = "the tenant's own KMS key, in that region";
    let cure = "name one that can be used there, or give it up (kms_key none) before the move";
    match try_kms_key(keys, tenant, Some(to), &key, named).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::invalid(format!(
            "{named}: there is no key service in the settings of that region, and '{key}' could wrap nothing; {cure}"
        ))),
        Err(error) if error.kind() == ErrorKind::Invalid => {
            let sentence = format!("{}; {cure}", error.context());
            Err(error.saying(sentence))
        }
        Err(error) => Err(error),
    }
}

/// All versions of a tenant's key, the oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(db: &Database, tenant: TenantId) -> Result<Vec<KeyView>> {
    let names = regions::list(db).await?;
    let mut tx = db.read(tenant).await?;
    let rows = data_keys::list(&mut tx).await?;
    let copies = key_copies::list(&mut tx).await?;
    drop(tx);
    let name = |id: RegionId| {
        let name = names.iter().find(|(known, _)| *known == id);
        name.map_or_else(|| id.to_string(), |(_, name)| name.clone())
    };
    let copy = |copy: &KeyCopy| KeyCopyView {
        region: name(copy.region),
        provider: copy.key.provider.clone(),
        kms_key: kept_at(wrapped(&copy.key).keeper(), &names).1,
    };
    let latest = rows.last().map(|(key, _)| key.version);
    let view = |(key, created_at): (StoredKey, Timestamp)| {
        let (region, kms_key) = kept_at(wrapped(&key).keeper(), &names);
        KeyView {
            version: key.version,
            current: Some(key.version) == latest,
            copies: copies
                .iter()
                .filter(|copy| copy.key.version == key.version)
                .map(copy)
                .collect(),
            provider: key.provider,
            region,
            kms_key,
            created_at: created_at.to_string(),
        }
    };
    Ok(rows.into_iter().map(view).collect())
}

/// Gives a tenant a new version, which seals new blobs: here at once, elsewhere within
/// [`STATE_LIFE`](crate::vfs::keys::STATE_LIFE). What is stored stays as it is.
///
/// # Errors
/// Unavailable when the database or the key service does not answer, or the service refuses; Invalid
/// when the tenant's keys were destroyed.
pub async fn rotate(keys: &TenantKeys, actor: &Actor, tenant: TenantId) -> Result<Rotated> {
    let mut attempt = 1;
    loop {
        match rotate_once(keys, actor, tenant).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS => {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn rotate_once(keys: &TenantKeys, actor: &Actor, tenant: TenantId) -> Result<Rotated> {
    let (placement, rows) = look(keys.committer().database(), tenant).await?;
    let version = rows.last().map_or(0, |key| key.version) + 1;
    let home = home(&placement);
    let (_, wrapped) = keys.ring().generate(tenant, version, &home).await?;
    let wrapped_by = shown(&wrapped);
    let detail = format!("version {version}, wrapped by {wrapped_by}");
    let add = AddKey {
        stored: stored(version, wrapped),
        happening: Some(Happening::new(AuditKind::KeysRotate, detail)),
    };
    keys.committer().run(tenant, actor, add).await?;
    keys.forget_state(tenant);
    Ok(Rotated {
        version,
        wrapped_by,
    })
}

/// Wraps every version of a tenant's key anew, by what now keeps its keys and those of its replica; says how many.
///
/// All or none: until the new wrappings are stored, and each was seen to open, the old ones stay.
///
/// # Errors
/// As [`rotate`].
pub async fn rewrap(keys: &TenantKeys, actor: &Actor, tenant: TenantId) -> Result<usize> {
    let mut attempt = 1;
    loop {
        match rewrap_once(keys, actor, tenant).await {
            Err(error) if error.kind() == ErrorKind::Stale && attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}

async fn rewrap_once(keys: &TenantKeys, actor: &Actor, tenant: TenantId) -> Result<usize> {
    let (ring, db) = (keys.ring(), keys.committer().database());
    let (placement, rows) = look(db, tenant).await?;
    let (home, replica) = (home(&placement), second::replica(&placement));
    let (mut changes, mut copies) = (Vec::with_capacity(rows.len()), Vec::new());
    let mut by = String::new();
    for before in rows {
        let key = key_opening::open(ring, db, tenant, before.version).await?;
        let anew = ring.wrap(tenant, &key, &home).await?;
        if let Some(replica) = replica.filter(|replica| !anew.opens_in(*replica)) {
            copies.push(second::wrap(ring, tenant, &key, replica).await?);
        }
        by = shown(&anew);
        let after = stored(before.version, anew);
        changes.push((before, after));
    }
    let count = changes.len();
    if count > 0 {
        let detail = format!("{count} versions, wrapped by {by}");
        let replace = Replace {
            placement,
            changes,
            copies,
            detail,
        };
        keys.committer().run(tenant, actor, replace).await?;
    }
    Ok(count)
}

/// Where a tenant's keys are to be, and those it has.
async fn look(db: &Database, tenant: TenantId) -> Result<(Placement, Vec<StoredKey>)> {
    let mut tx = db.read(tenant).await?;
    let placement = placement::of(&mut tx).await?;
    placement.require_keys()?;
    let rows = data_keys::list(&mut tx).await?;
    Ok((placement, rows.into_iter().map(|(key, _)| key).collect()))
}

struct Replace {
    /// Where the tenant was.
    placement: Placement,
    changes: Vec<(StoredKey, StoredKey)>,
    /// Those that are needed beside them.
    copies: Vec<KeyCopy>,
    detail: String,
}

#[async_trait]
impl Operation for Replace {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let now = placement::of(tx).await?;
        if second::replica(&now) != second::replica(&self.placement)
            || home(&now) != home(&self.placement)
        {
            let context = "the tenant was moved at the same time; try again";
            return Err(Error::new(ErrorKind::Stale, context));
        }
        for (before, after) in &self.changes {
            data_keys::replace(tx, before, after).await?;
        }
        key_copies::remove_all(tx).await?;
        for copy in &self.copies {
            key_copies::add(tx, copy, next.at).await?;
        }
        let happening = Happening::new(REWRAP, self.detail.as_str());
        Ok(Record::Event(happening))
    }
}

/// The audit log's word for wrapping anew.
pub(in crate::vfs) const REWRAP: AuditKind = AuditKind::KeysRewrap;

/// The region of the key service that keeps a key, by its name among `names`, and the service's key; nothing of
/// one that a key file keeps.
pub fn kept_at(keeper: Keeper, names: &[(RegionId, String)]) -> (Option<String>, Option<String>) {
    match keeper {
        Keeper::Kms { region, key_id } => {
            let name = names.iter().find(|(id, _)| *id == region);
            let name = name.map_or_else(|| region.to_string(), |(_, name)| name.clone());
            (Some(name), Some(key_id))
        }
        Keeper::Local | Keeper::Unknown => (None, None),
    }
}
