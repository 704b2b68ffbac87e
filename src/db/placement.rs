//! Where a tenant's blobs and keys are kept.

use std::collections::BTreeSet;

use crate::db::database::Database;
use crate::db::sql::{Row, TenantTx};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{RegionId, TenantId};

/// Where a tenant's blobs and keys are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where new blobs go; older ones follow.
    pub region: RegionId,
    /// Where copies of all blobs are kept.
    pub replica: Option<RegionId>,
    /// All live blobs whose state changed before this have their copy.
    pub replicated_at: Timestamp,
    /// The key of the key service that wraps new data keys, instead of the region's.
    pub kms_key: Option<String>,
    /// When the tenant's data keys were destroyed.
    pub keys_destroyed_at: Option<Timestamp>,
}

const FIND: &str = "SELECT region, replica, replicated_at, kms_key, keys_destroyed_at \
     FROM tenants WHERE id = $1";

/// A tenant's placement.
///
/// # Errors
/// NotFound when there is no such tenant.
pub async fn find(db: &Database, tenant: TenantId) -> Result<Placement> {
    let mut tx = db.system_read().await?;
    let row = tx.row(FIND, [tenant.0.into()]).await?;
    row.as_ref()
        .map_or_else(|| Err(Error::not_found("no such tenant")), read)
}

/// The same within a transaction on the tenant's rows.
///
/// # Errors
/// NotFound when there is no such tenant.
pub async fn of(tx: &mut TenantTx) -> Result<Placement> {
    let row = tx.row(FIND, []).await?;
    row.as_ref()
        .map_or_else(|| Err(Error::not_found("no such tenant")), read)
}

/// The regions that tenants live in or keep copies in.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn in_use(db: &Database) -> Result<BTreeSet<RegionId>> {
    let mut tx = db.system_read().await?;
    let sql = "SELECT region FROM tenants UNION \
         SELECT replica FROM tenants WHERE replica IS NOT NULL";
    let rows = tx.rows(sql, []).await?;
    rows.iter().map(|row| Ok(RegionId(row.int(0)?))).collect()
}

/// Notes how far copying has come, unless another replica was named meanwhile, or none: then that stays as it is.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_replicated(
    db: &Database,
    tenant: TenantId,
    replica: RegionId,
    until: Timestamp,
) -> Result<()> {
    let sql = "UPDATE tenants SET replicated_at = $3 WHERE id = $1 AND replica = $2";
    let mut tx = db.system().await?;
    tx.execute(sql, [tenant.0.into(), replica.0.into(), until.0.into()])
        .await?;
    tx.commit().await
}

/// Has copying start from the first blob again: what is noted as copied is not all there.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn replicate_anew(tx: &mut TenantTx) -> Result<()> {
    let sql = "UPDATE tenants SET replicated_at = 0 WHERE id = $1";
    tx.execute(sql, []).await.map(drop)
}

/// Fails for a tenant whose data keys were destroyed: nothing of it can be read, wherever it is.
///
/// # Errors
/// Invalid; NotFound when there is no such tenant; Unavailable when the database does not answer.
pub async fn require_keys(db: &Database, tenant: TenantId) -> Result<()> {
    find(db, tenant).await?.require_keys()
}

impl Placement {
    /// Fails for a tenant whose data keys were destroyed.
    ///
    /// # Errors
    /// Invalid, with when they were.
    pub fn require_keys(&self) -> Result<()> {
        match self.keys_destroyed_at {
            None => Ok(()),
            Some(at) => Err(Error::invalid(format!(
                "the keys of this tenant were destroyed at {at}: nothing of it can be read any more; \
                 make a new tenant"
            ))),
        }
    }
}

/// Notes that the tenant's data keys are destroyed, and keeps its accounts out.
///
/// # Errors
/// NotFound when there is no such tenant.
pub async fn set_keys_destroyed(tx: &mut TenantTx, at: Timestamp) -> Result<()> {
    let sql = "UPDATE tenants SET keys_destroyed_at = $2, disabled = 1 WHERE id = $1";
    match tx.execute(sql, [at.0.into()]).await? {
        0 => Err(Error::not_found("no such tenant")),
        _ => Ok(()),
    }
}

fn read(row: &Row) -> Result<Placement> {
    Ok(Placement {
        region: RegionId(row.int(0)?),
        replica: row.opt_int(1)?.map(RegionId),
        replicated_at: Timestamp(row.int(2)?),
        kms_key: row.opt_text(3)?,
        keys_destroyed_at: row.opt_int(4)?.map(Timestamp),
    })
}
