//! Sweeping up: uploads that expired, blobs that nothing names, objects of blobs that are given up.

use std::time::Duration;

use async_trait::async_trait;

use crate::db::commit::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::{blobs, uploads};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{BlobId, TenantId};
use crate::domain::principal::Actor;
use crate::vfs::service::Vfs;

const BATCH: i64 = 200;

/// How long leftovers are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// A blob that nothing names any more: longer than the database's own backups are kept, so
    /// that a database restored from one still has its blobs.
    pub blob_grace: Duration,
    /// An upload that broke off.
    pub upload_expiry: Duration,
}

/// Sweeps up after a tenant; returns how many blobs were removed from the store.
///
/// # Errors
/// Unavailable when the database or the store does not answer; the next sweep goes on.
pub async fn run(vfs: &Vfs, tenant: TenantId, keep: Keep) -> Result<u64> {
    let actor = Actor::job();
    let now = vfs.database().now().await?;
    let release = Release { keep, now };
    vfs.committer().run(tenant, &actor, release).await?;
    let mut removed = 0;
    loop {
        let mut tx = vfs.database().read(tenant).await?;
        let batch = blobs::deleting(&mut tx, BATCH).await?;
        drop(tx);
        if batch.is_empty() {
            return Ok(removed);
        }
        removed += batch.len() as u64;
        for blob in &batch {
            let store = vfs.store(blob.info.region)?;
            match blob.info.finished {
                true => store.delete(blob.info.id).await?,
                false => store.discard(blob.info.id).await?,
            }
        }
        let forget = Forget(batch.iter().map(|blob| blob.info.id).collect());
        vfs.committer().run(tenant, &actor, forget).await?;
    }
}

struct Release {
    keep: Keep,
    /// Not the change's time: a look at the future raises that above all leases.
    now: Timestamp,
}

#[async_trait]
impl Operation for Release {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let Self { keep, now } = *self;
        uploads::keep_orphans(tx, now).await?;
        uploads::expire(tx, now.minus(keep.upload_expiry), now, BATCH).await?;
        blobs::release_orphans(tx, now).await?;
        blobs::release_condemned(tx, now.minus(keep.blob_grace), now).await?;
        Ok(Record::Nothing)
    }
}

struct Forget(Vec<BlobId>);

#[async_trait]
impl Operation for Forget {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        for id in &self.0 {
            blobs::forget(tx, *id).await?;
        }
        Ok(Record::Nothing)
    }
}
