//! One tenant as a whole: shown with what it uses and its version, and changed in one step.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::accounts::manage::{
    Access, Directory, Limit, TenantLimits, TenantView, quota_text, view,
};
use crate::accounts::manage_alter::changed;
use crate::accounts::manage_placement::{PlacedTenant, PlacementChange, Region};
use crate::db::audit::Happening;
use crate::db::login_guard;
use crate::db::placement;
use crate::db::tenants::{self, Tenant};
use crate::db::usage;
use crate::domain::audit_kind::AuditKind;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;

/// How often a change begins anew when somebody else changed the same tenant.
const ATTEMPTS: usize = 8;

/// A tenant, where it is and what it uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WholeTenant {
    /// The tenant and where it is.
    #[serde(flatten)]
    pub placed: PlacedTenant,
    /// Bytes of its live files.
    pub used_bytes: u64,
    /// Its live files and folders.
    pub used_files: u64,
    /// Bytes promised to uploads in progress.
    pub reserved_bytes: u64,
    /// Its version: another one after each change.
    #[serde(skip)]
    pub version: String,
}

/// What becomes of a tenant; what is not said stays.
#[derive(Clone, Debug, Default)]
pub struct TenantChange<'a> {
    /// Whether its accounts are let in.
    pub access: Option<Access>,
    /// Its quota and retention.
    pub limits: TenantLimits,
    /// Most sessions of its accounts at a time.
    pub sessions: Limit<u64>,
    /// Words for the doors; `Some(None)` is what the settings say.
    pub door_options: Option<Option<String>>,
    /// Where it is.
    pub placement: PlacementChange<'a>,
}

impl Directory {
    /// One tenant.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn whole_tenant(&self, name: &str) -> Result<WholeTenant> {
        let tenant = self.tenant(name).await?;
        let placed = self.placed_tenant(name).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let counters = usage::counters(&mut tx, None).await?;
        let counter = counters.first();
        let count = |amount: Option<i64>| amount.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Ok(WholeTenant {
            version: version(&tenant, &placed),
            placed,
            used_bytes: count(counter.map(|counter| counter.used.bytes)),
            used_files: count(counter.map(|counter| counter.used.files)),
            reserved_bytes: count(counter.map(|counter| counter.reserved.bytes)),
        })
    }

    /// Up to `limit` tenants whose names come after `after`, by name.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn tenants_page(&self, after: &str, limit: usize) -> Result<Vec<TenantView>> {
        let page = tenants::page(self.db(), after, limit).await?;
        Ok(page.iter().map(view).collect())
    }

    /// Changes a tenant, all at once; if `known` is given, only while it is one of those versions.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Changed when it is another version; Invalid when it cannot
    /// be stored, its keys were destroyed, or its copies would be where it lives.
    pub async fn alter_tenant(
        &self,
        name: &str,
        change: &TenantChange<'_>,
        known: Option<&Vec<String>>,
    ) -> Result<()> {
        self.check_options(change.door_options.as_ref().and_then(Option::as_deref))?;
        for _ in 0..ATTEMPTS {
            let before = self.tenant(name).await?;
            let from = placement::find(self.db(), before.id).await?;
            if let Some(known) = known {
                let placed = self.placed_tenant(name).await?;
                if !known.contains(&version(&before, &placed)) {
                    return Err(changed());
                }
            }
            let (after, happenings) = change.over(&before);
            let (to, moves) = change.placement.over(name, &from)?;
            if change.access == Some(Access::Allow) {
                // What is stored from now on could not be read either.
                from.require_keys()?;
            }
            if tenants::replace(self.db(), (&before, &from), (&after, &to)).await? {
                if before.disabled && !after.disabled {
                    self.forget_failures(before.id).await?;
                }
                for happening in happenings.into_iter().chain(moves) {
                    self.write_down(before.id, happening).await?;
                }
                return Ok(());
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            "others change the same tenant; try again",
        ))
    }

    /// Whoever came with the right password while a tenant was disabled need not wait for it then.
    async fn forget_failures(&self, tenant: TenantId) -> Result<()> {
        let mut tx = self.db().write(tenant).await?;
        login_guard::clear_tenant(&mut tx).await?;
        tx.commit().await
    }

    /// Sends a tenant's new blobs to a region; jobs bring the others there.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Invalid when its keys were destroyed.
    pub async fn move_tenant(&self, name: &str, to: Region<'_>) -> Result<PlacedTenant> {
        let placement = PlacementChange {
            region: Some(to),
            ..PlacementChange::default()
        };
        self.place(name, placement).await?;
        self.placed_tenant(name).await
    }

    /// Has jobs keep copies of a tenant's blobs in a region, or nowhere.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Invalid when it lives in that region, or its keys were destroyed.
    pub async fn set_tenant_replica(&self, name: &str, to: Option<Region<'_>>) -> Result<()> {
        let placement = PlacementChange {
            replica: Some(to),
            ..PlacementChange::default()
        };
        self.place(name, placement).await
    }

    /// Names the key of the key service that wraps a tenant's new data keys, or none for its
    /// region's. Those it has stay wrapped as they are.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn set_kms_key(&self, name: &str, key: Option<&str>) -> Result<()> {
        let placement = PlacementChange {
            kms_key: Some(key),
            ..PlacementChange::default()
        };
        self.place(name, placement).await
    }

    async fn place(&self, name: &str, placement: PlacementChange<'_>) -> Result<()> {
        let change = TenantChange {
            placement,
            ..TenantChange::default()
        };
        self.alter_tenant(name, &change, None).await
    }

    /// Lets a tenant's accounts in, or keeps them out and ends their sessions.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Invalid when they are to be let in although its keys were destroyed.
    pub async fn set_tenant_access(&self, name: &str, access: Access) -> Result<()> {
        let change = TenantChange {
            access: Some(access),
            ..TenantChange::default()
        };
        self.alter_tenant(name, &change, None).await
    }

    /// Sets how many sessions a tenant's accounts may have at a time.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn set_sessions(&self, name: &str, sessions: Limit<u64>) -> Result<()> {
        let change = TenantChange {
            sessions,
            ..TenantChange::default()
        };
        self.alter_tenant(name, &change, None).await
    }

    /// Sets a tenant's quota and retention.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn set_tenant_limits(&self, name: &str, limits: TenantLimits) -> Result<TenantView> {
        let change = TenantChange {
            limits,
            ..TenantChange::default()
        };
        self.alter_tenant(name, &change, None).await?;
        Ok(view(&self.tenant(name).await?))
    }

    /// Sets the words for the doors of a tenant's accounts, for logins from now on. Sessions go on as they began.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Invalid when they are too long or not plain text.
    pub async fn set_door_options(&self, tenant: &str, options: Option<&str>) -> Result<()> {
        let change = TenantChange {
            door_options: Some(options.map(str::to_owned)),
            ..TenantChange::default()
        };
        self.alter_tenant(tenant, &change, None).await
    }
}

impl TenantChange<'_> {
    fn over(&self, before: &Tenant) -> (Tenant, Vec<Happening>) {
        let mut after = before.clone();
        let name = before.name.as_str();
        let mut happenings = Vec::new();
        if let Some(access) = self.access {
            after.disabled = access == Access::Refuse;
            let kind = match access {
                Access::Allow => AuditKind::TenantEnable,
                Access::Refuse => AuditKind::TenantDisable,
            };
            happenings.push(Happening::new(kind, name));
        }
        if self.limits != TenantLimits::default() {
            after.quota_bytes = self.limits.quota_bytes.over(before.quota_bytes);
            after.quota_files = self.limits.quota_files.over(before.quota_files);
            after.retention = self.limits.retention.unwrap_or(before.retention);
            let detail = format!(
                "{name}: {}, past kept for {} s",
                quota_text(after.quota_bytes, after.quota_files),
                after.retention.as_secs()
            );
            happenings.push(Happening::new(AuditKind::TenantLimits, detail));
        }
        if self.sessions != Limit::Keep {
            after.sessions = self.sessions.over(before.sessions);
            let limit = after
                .sessions
                .map_or("as set".to_owned(), |limit| limit.to_string());
            happenings.push(Happening::new(
                AuditKind::TenantSessions,
                format!("{name}: {limit}"),
            ));
        }
        if let Some(options) = &self.door_options {
            after.door_options.clone_from(options);
            let detail = format!("{name}: {}", options.as_deref().unwrap_or("none"));
            happenings.push(Happening::new(AuditKind::TenantDoors, detail));
        }
        (after, happenings)
    }
}

/// What tells versions of a tenant from one another.
fn version(tenant: &Tenant, placed: &PlacedTenant) -> String {
    let text = format!(
        "{tenant:?} {} {:?} {:?} {:?}",
        placed.region, placed.replica, placed.kms_key, placed.keys_destroyed_at
    );
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    data_encoding::HEXLOWER.encode(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
}
