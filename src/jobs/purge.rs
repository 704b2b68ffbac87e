//! Purge: the past beyond retention goes, then content that nothing names, then its blobs.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::entries::Moment;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::tenants::Tenant;
use crate::db::{clocks, contents, detached, entries, properties};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::TenantId;
use crate::domain::node::NodeKind;
use crate::domain::principal::Actor;
use crate::vfs::service::Vfs;

const BATCH: usize = 500;
const FOLDERS: i64 = 100;

/// Removes what died longer ago than the tenant keeps; returns how many versions went.
///
/// First the versions, then what lies below folders that are beyond retention: a folder whose
/// last version is still there can be brought back whole.
///
/// # Errors
/// Unavailable when the database does not answer; what is purged stays purged.
pub async fn run(vfs: &Vfs, tenant: &Tenant) -> Result<u64> {
    run_at(vfs, tenant, vfs.database().now().await?).await
}

/// The same by a time that was read before.
///
/// # Errors
/// As [`run`].
pub async fn run_at(vfs: &Vfs, tenant: &Tenant, now: Timestamp) -> Result<u64> {
    let horizon = now.minus(tenant.retention);
    let mut tx = vfs.database().read(tenant.id).await?;
    let until = clocks::seq_at(&mut tx, horizon).await?;
    drop(tx);
    let mut gone = 0;
    loop {
        let mut tx = vfs.database().read(tenant.id).await?;
        let versions = entries::past_until(&mut tx, until, BATCH).await?.len();
        let folders = detached::over(&mut tx, until, FOLDERS).await?.len();
        let doomed = detached::doomed(&mut tx, 1).await?.len();
        drop(tx);
        if versions > 0 {
            step(vfs, tenant.id, Versions { until }).await?;
        } else if folders > 0 {
            step(vfs, tenant.id, Folders { until }).await?;
        } else if doomed > 0 {
            step(vfs, tenant.id, Doomed).await?;
        } else {
            return Ok(gone);
        }
        gone += versions as u64;
    }
}

async fn step(vfs: &Vfs, tenant: TenantId, operation: impl Operation) -> Result<()> {
    let committer = vfs.committer();
    committer.run(tenant, &Actor::job(), operation).await?;
    Ok(())
}

/// Forgets versions that died at or before a change.
struct Versions {
    until: i64,
}

#[async_trait]
impl Operation for Versions {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let versions = entries::past_until(tx, self.until, BATCH).await?;
        for version in &versions {
            entries::forget(tx, version.node, version.died.unwrap_or(0)).await?;
            if let Some(content) = version.content {
                contents::drop_use(tx, content, next.at).await?;
            }
        }
        let nodes: Vec<_> = versions.iter().map(|version| version.node).collect();
        properties::forget(tx, &nodes).await?;
        let detail = format!(
            "{} versions ended at or before change {}",
            versions.len(),
            self.until
        );
        Ok(Record::Event(Happening::new("purge", detail)))
    }
}

/// Dooms what lies below folders that died at or before a change.
struct Folders {
    until: i64,
}

#[async_trait]
impl Operation for Folders {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        for folder in detached::over(tx, self.until, FOLDERS).await? {
            detached::doom(tx, folder).await?;
        }
        Ok(Record::Nothing)
    }
}

/// Removes children of doomed folders, and dooms those that are folders.
struct Doomed;

#[async_trait]
impl Operation for Doomed {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let mut room = BATCH;
        for folder in detached::doomed(tx, FOLDERS).await? {
            let children = entries::page(tx, folder, "", room, Moment::Now).await?;
            for child in &children {
                if child.kind == NodeKind::Folder {
                    detached::doom(tx, child.node).await?;
                }
                entries::remove(tx, child.node).await?;
                if let Some(content) = child.content {
                    contents::drop_use(tx, content, next.at).await?;
                }
            }
            let nodes: Vec<_> = children.iter().map(|child| child.node).collect();
            properties::forget(tx, &nodes).await?;
            if children.len() < room {
                detached::done(tx, folder).await?;
            }
            room -= children.len();
            if room == 0 {
                break;
            }
        }
        Ok(Record::Nothing)
    }
}
