//! Where the operator has a tenant's blobs kept.

use serde::Serialize;

use crate::accounts::manage::{Directory, TenantView, view};
use crate::crypto::keyring::WrappedKey;
use crate::db::audit::Happening;
use crate::db::data_keys::StoredKey;
use crate::db::placement::{self, Placement};
use crate::db::tenants::{self, Tenant};
use crate::db::{copies, key_copies, regions};
use crate::domain::audit_kind::AuditKind;
use crate::domain::error::{Error, Result};
use crate::domain::id::RegionId;

/// A tenant, and where its blobs and keys are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacedTenant {
    /// The tenant.
    #[serde(flatten)]
    pub tenant: TenantView,
    /// Where its new blobs go, by name.
    pub region: String,
    /// Blobs that are still elsewhere.
    pub blobs_to_move: u64,
    /// Their bytes.
    pub bytes_to_move: u64,
    /// Where copies are kept, by name.
    pub replica: Option<String>,
    /// For how long what is stored has been without its copy, or its key without what opens it there; 0 when
    /// nothing is, none without a replica.
    pub replica_lag_seconds: Option<u64>,
    /// How many versions of its key cannot be unwrapped there if all other regions are lost; none without a
    /// replica.
    pub replica_keys_missing: Option<u64>,
    /// The KMS key that wraps its new data keys, instead of its region's.
    pub kms_key: Option<String>,
    /// When its data keys were destroyed.
    pub keys_destroyed_at: Option<String>,
}

/// A region by number and name.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    /// Its number.
    pub id: RegionId,
    /// Its name, for the audit log.
    pub name: &'a str,
}

/// What becomes of where a tenant is; what is not said stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlacementChange<'a> {
    /// Where its new blobs go; jobs bring the others there.
    pub region: Option<Region<'a>>,
    /// Where jobs keep copies of its blobs; `Some(None)` is nowhere.
    pub replica: Option<Option<Region<'a>>>,
    /// The key of the key service that wraps its new data keys; `Some(None)` is its region's. Those it has stay wrapped as
    /// they are.
    pub kms_key: Option<Option<&'a str>>,
}

impl PlacementChange<'_> {
    /// Where the tenant `name` is then, and what is written down of it.
    ///
    /// # Errors
    /// Invalid when its keys were destroyed, or its copies would be where it lives.
    pub(in crate::accounts) fn over(
        &self,
        name: &str,
        before: &Placement,
    ) -> Result<(Placement, Vec<Happening>)> {
        let (mut after, mut happenings) = (before.clone(), Vec::new());
        if let Some(to) = self.region.filter(|to| to.id != before.region) {
            before.require_keys()?;
            after.region = to.id;
            let detail = format!("{name}: to region {}", to.name);
            happenings.push(Happening::new(AuditKind::TenantMove, detail));
        }
        if let Some(to) = self.replica {
            if let Some(to) = to {
                not_at_home(name, to, after.region)?;
            }
            after.replica = to.map(|to| to.id);
            if after.replica != before.replica {
                if to.is_some() {
                    before.require_keys()?;
                }
                let detail = format!("{name}: {}", to.map_or("none", |to| to.name));
                happenings.push(Happening::new(AuditKind::TenantReplica, detail));
            }
        }
        if let Some(key) = self.kms_key {
            after.kms_key = key.map(str::to_owned);
            let detail = format!("{name}: {}", key.unwrap_or("the region's"));
            happenings.push(Happening::new(AuditKind::TenantKmsKey, detail));
        }
        Ok((after, happenings))
    }
}

impl Directory {
    /// All tenants by name, and where they are.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn placed_tenants(&self) -> Result<Vec<PlacedTenant>> {
        let names = regions::list(self.db()).await?;
        let mut all = Vec::new();
        for tenant in tenants::list(self.db()).await? {
            all.push(self.placed(&tenant, &names).await?);
        }
        Ok(all)
    }

    /// A tenant, and where it is.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn placed_tenant(&self, name: &str) -> Result<PlacedTenant> {
        let names = regions::list(self.db()).await?;
        let tenant = self.tenant(name).await?;
        self.placed(&tenant, &names).await
    }

    async fn placed(&self, tenant: &Tenant, names: &[(RegionId, String)]) -> Result<PlacedTenant> {
        let placement = placement::find(self.db(), tenant.id).await?;
        let replica = placement.replica.filter(|to| *to != placement.region);
        let waits = replica.filter(|_| placement.keys_destroyed_at.is_none());
        let now = self.db().now().await?;
        let mut tx = self.db().read(tenant.id).await?;
        let (blobs_to_move, bytes_to_move) = copies::left(&mut tx, placement.region).await?;
        let (mut replica_lag_seconds, mut replica_keys_missing) = (None, None);
        if let Some(to) = waits {
            let missing = copies::missing(&mut tx, to, placement.replicated_at, 1).await?;
            let mut keys = key_copies::without(&mut tx, to).await?;
            keys.retain(|(key, _)| !opens_in(key, to));
            let blob = missing.first().map(|blob| blob.at);
            let since = blob
                .into_iter()
                .chain(keys.first().map(|(_, at)| *at))
                .min();
            replica_lag_seconds = Some(since.map_or(0, |since| now.since(since).as_secs()));
            replica_keys_missing = Some(keys.len() as u64);
        }
        let name = |id: RegionId| {
            let known = names.iter().find(|(known, _)| *known == id);
            known.map_or_else(|| id.to_string(), |(_, name)| name.clone())
        };
        Ok(PlacedTenant {
            tenant: view(tenant),
            region: name(placement.region),
            blobs_to_move,
            bytes_to_move,
            replica: replica.map(name),
            replica_lag_seconds,
            replica_keys_missing,
            kms_key: placement.kms_key,
            keys_destroyed_at: placement.keys_destroyed_at.map(|at| at.to_string()),
        })
    }
}

/// Whether a key's first wrapping can be opened while all regions but this one are lost.
fn opens_in(key: &StoredKey, region: RegionId) -> bool {
    let wrapped = WrappedKey {
        provider: key.provider.clone(),
        bytes: key.wrapped.clone(),
    };
    wrapped.opens_in(region)
}

/// A region other than the one in which the tenant lives.
fn not_at_home(name: &str, to: Region<'_>, home: RegionId) -> Result<()> {
    match to.id == home {
        false => Ok(()),
        true => Err(Error::invalid(format!(
            "{name} lives in region {}; name another one for its copies",
            to.name
        ))),
    }
}
