//! Purge: the past beyond retention goes, then content that nothing names, then its blobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::contents::Left;
use crate::db::entries::Moment;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::tenants::Tenant;
use crate::db::{clocks, contents, detached, entries, properties};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{NodeId, TenantId};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::principal::Actor;
use crate::vfs::service::Vfs;

const BATCH: usize = 500;
const FOLDERS: i64 = 100;
/// A transaction begins with no further version once those before have had so many runs, and takes no more than these
/// of one: others wait for it.
const RUNS: usize = 5_000;

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
        let versions = entries::past_until(&mut tx, until, 1).await?.len();
        let folders = detached::over(&mut tx, until, 1).await?.len();
        let doomed = detached::doomed(&mut tx, 1).await?.len();
        drop(tx);
        if versions > 0 {
            let versions = Versions {
                until,
                gone: Arc::default(),
            };
            let counted = versions.gone.clone();
            step(vfs, tenant.id, versions).await?;
            gone += counted.load(Ordering::SeqCst);
        } else if folders > 0 {
            step(vfs, tenant.id, Folders { until }).await?;
        } else if doomed > 0 {
            step(vfs, tenant.id, Doomed).await?;
        } else {
            return Ok(gone);
        }
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
    /// How many that were; set when the operation is applied.
    gone: Arc<AtomicU64>,
}

#[async_trait]
impl Operation for Versions {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let versions = entries::past_until(tx, self.until, BATCH).await?;
        let (mut nodes, mut runs) = (Vec::new(), 0);
        for version in &versions {
            if runs >= RUNS {
                break;
            }
            entries::forget(tx, version.node, version.died.unwrap_or(0)).await?;
            nodes.push(version.node);
            let Some(content) = version.content else {
                continue;
            };
            match contents::drop_use(tx, content, next.at, RUNS).await? {
                Left::Gone(some) => runs += some,
                Left::Rest(size) => {
                    put_away(tx, version, size, next).await?;
                    break;
                }
            }
        }
        properties::forget(tx, &nodes).await?;
        self.gone.store(nodes.len() as u64, Ordering::SeqCst);
        let detail = format!(
            "{} versions ended at or before change {}",
            nodes.len(),
            self.until
        );
        Ok(Record::Event(Happening::new(AuditKind::Purge, detail)))
    }
}

/// Puts what is left of a version into a doomed folder of its own, where nobody finds it and the rest of it goes
/// piece by piece.
async fn put_away(tx: &mut TenantTx, version: &Entry, size: u64, next: Committed) -> Result<()> {
    let folder = NodeId::mint(next.at);
    detached::doom(tx, folder).await?;
    let rest = Entry {
        node: NodeId::mint(next.at),
        parent: folder,
        size,
        died: None,
        ..version.clone()
    };
    entries::insert(tx, &rest).await
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
        let (mut room, mut runs) = (BATCH, 0);
        for folder in detached::doomed(tx, FOLDERS).await? {
            let children = entries::page(tx, folder, "", room, Moment::Now).await?;
            let mut nodes = Vec::new();
            for child in &children {
                if runs >= RUNS {
                    break;
                }
                if let Some(content) = child.content {
                    match contents::drop_use(tx, content, next.at, RUNS).await? {
                        Left::Gone(some) => runs += some,
                        Left::Rest(size) => {
                            let rest = Entry {
                                size,
                                ..child.clone()
                            };
                            entries::replace(tx, &rest).await?;
                            runs = RUNS;
                            break;
                        }
                    }
                }
                if child.kind == NodeKind::Folder {
                    detached::doom(tx, child.node).await?;
                }
                entries::remove(tx, child.node).await?;
                nodes.push(child.node);
            }
            properties::forget(tx, &nodes).await?;
            if nodes.len() == children.len() && children.len() < room {
                detached::done(tx, folder).await?;
            }
            room -= nodes.len();
            if room == 0 || runs >= RUNS {
                break;
            }
        }
        Ok(Record::Nothing)
    }
}
