//! Objects that no tenant knows: multipart uploads, for the most part, that an instance began and did
//! not live to note or to end.

use std::sync::Arc;
use std::time::Duration;

use crate::db::{blobs, leases, tenants};
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{BlobId, RegionId, TenantId};
use crate::storage::store::{BlobStore, StoredBlob};
use crate::vfs::service::Vfs;

const BATCH: usize = 1000;
/// Nobody's tenant: for work on the whole installation.
const INSTALLATION: TenantId = TenantId(0);
/// How often one of the instances looks, and how old an orphan must be. Far above any difference
/// between the store's clock and the database's.
const EVERY: Duration = Duration::from_secs(3600);
/// When a region is looked at again that could not be.
const AGAIN: Duration = Duration::from_secs(300);

/// Removes what was begun in any region and is known to no tenant, about once an hour; returns how
/// much that was.
///
/// # Errors
/// The first that kept it from looking at a region, which is looked at again soon; the others were looked at.
pub async fn run(vfs: &Vfs) -> Result<u64> {
    let (db, instance) = (vfs.database(), vfs.instance());
    let mut removed = 0;
    let mut failed = None;
    for (region, store) in vfs.regions().iter() {
        // Not held by whom it is renewed: it is a clock that all instances share.
        let kind = format!("orphans-{region}");
        if !leases::claim(db, INSTALLATION, &kind, instance, EVERY).await? {
            continue;
        }
        if let Err(error) = sweep(vfs, region, store, &mut removed).await {
            tracing::warn!(%region, error = ?error, "orphans of a region were not looked for");
            failed.get_or_insert(error);
            leases::take(db, INSTALLATION, &kind, instance, AGAIN).await?;
        }
    }
    failed.map_or(Ok(removed), Err)
}

async fn sweep(
    vfs: &Vfs,
    region: RegionId,
    store: &Arc<dyn BlobStore>,
    removed: &mut u64,
) -> Result<()> {
    let objects = Objects {
        region,
        store: store.clone(),
        part: Part::Unfinished,
    };
    let before = vfs.database().now().await?.minus(EVERY);
    for id in objects.orphans(vfs, before).await?.unknown {
        tracing::info!(blob = %id, %region, "removing what was begun and is known to nobody");
        store.discard(id).await?;
        *removed += 1;
    }
    Ok(())
}

/// Which objects of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those that are finished.
    Finished,
    /// Those that were begun and not finished.
    Unfinished,
}

/// What there is of before a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// What no tenant knows to be there.
    pub unknown: Vec<BlobId>,
    /// How many objects a tenant knows.
    pub known: u64,
}

/// The objects of a region.
pub struct Objects {
    /// The region.
    pub region: RegionId,
    /// Its store.
    pub store: Arc<dyn BlobStore>,
    /// Which of its objects.
    pub part: Part,
}

impl Objects {
    /// Those of before a time that no tenant knows to be there. A tenant is there before its blobs, a
    /// blob is known before its object is made, and its object is removed before it is forgotten: so
    /// what is seen, then not known, and still there is an orphan.
    ///
    /// # Errors
    /// Unavailable when the database or the store does not answer.
    pub async fn orphans(&self, vfs: &Vfs, before: Timestamp) -> Result<Orphans> {
        let (mut orphans, mut after) = (Orphans::default(), None);
        loop {
            let from = after;
            let page = self.page(from).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else {
                return Ok(orphans);
            };
            after = Some(last.id);
            let old = page.iter().filter(|stored| stored.modified < before);
            let mut unknown: Vec<BlobId> = old.map(|stored| stored.id).collect();
            if unknown.is_empty() {
                continue;
            }
            for tenant in tenants::list(vfs.database()).await? {
                let mut tx = vfs.database().read(tenant.id).await?;
                let known = blobs::known(&mut tx, self.region, first.id, last.id).await?;
                let were = unknown.len();
                unknown.retain(|id| !known.contains(id));
                orphans.known += (were - unknown.len()) as u64;
            }
            if !unknown.is_empty() {
                let still = self.page(from).await?;
                unknown.retain(|id| still.iter().any(|stored| stored.id == *id));
                unknown.dedup();
                orphans.unknown.append(&mut unknown);
            }
        }
    }

    async fn page(&self, after: Option<BlobId>) -> Result<Vec<StoredBlob>> {
        match self.part {
            Part::Finished => self.store.list(after, BATCH).await,
            Part::Unfinished => self.store.unfinished(after, BATCH).await,
        }
    }
}
