//! Sweeping up: uploads that expired, blobs that nothing names, objects of blobs that are given up.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;

use crate::crypto::open::sealed_bytes;
use crate::db::blobs::{BlobInfo, BlobRecord};
use crate::db::copies::Doomed;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::{addressed, blobs, copies, kept, locks, orphans};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{BlobId, RegionId, TenantId};
use crate::domain::principal::Actor;
use crate::vfs::damage::Damaged;
use crate::vfs::service::Vfs;

const BATCH: i64 = 200;
/// So many edits of uploads go in one transaction.
const EDITS: usize = 5_000;
/// How long an upload whose address nobody knows may rest. Its request pauses for no longer than a transaction
/// takes.
const RESTS: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 16;

/// How long leftovers are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// A blob that nothing names any more: longer than the database's own backups are kept, so
    /// that a database restored from one still has its blobs. As long a blob is remembered that its writer did
    /// not finish, and might yet.
    pub blob_grace: Duration,
    /// An upload that broke off.
    pub upload_expiry: Duration,
}

/// Sweeps up after a tenant; returns how many objects were removed from the stores.
///
/// # Errors
/// Unavailable when the database or a store does not answer; the next sweep goes on. What the other
/// stores hold is removed nevertheless.
pub async fn run(vfs: &Vfs, tenant: TenantId, keep: Keep) -> Result<u64> {
    run_at(vfs, tenant, keep, vfs.database().now().await?).await
}

/// The same by a time that was read before.
///
/// # Errors
/// As [`run`].
pub async fn run_at(vfs: &Vfs, tenant: TenantId, keep: Keep, now: Timestamp) -> Result<u64> {
    let actor = Actor::job();
    let is_all = Arc::new(AtomicBool::new(false));
    while !is_all.load(Ordering::SeqCst) {
        let is_all = is_all.clone();
        let release = Release { keep, now, is_all };
        vfs.committer().run(tenant, &actor, release).await?;
    }
    end_with_links(vfs, tenant, now).await?;
    let until = now.minus(keep.blob_grace);
    let copies = sweep_copies(vfs, tenant, until).await;
    let blobs = sweep_blobs(vfs, tenant, until, now).await;
    Ok(copies? + blobs?)
}

/// Ends what was on its way by links that have ended, so that it takes no more of the quota.
async fn end_with_links(vfs: &Vfs, tenant: TenantId, now: Timestamp) -> Result<()> {
    loop {
        let mut tx = vfs.database().read(tenant).await?;
        let is_any = addressed::outlives_its_link(&mut tx, now).await?;
        drop(tx);
        if !is_any {
            return Ok(());
        }
        let ending = EndWithLinks { now };
        vfs.committer().run(tenant, &Actor::job(), ending).await?;
    }
}

async fn sweep_blobs(vfs: &Vfs, tenant: TenantId, until: Timestamp, now: Timestamp) -> Result<u64> {
    let mut removed = 0;
    let mut failed = Failed::default();
    loop {
        let mut tx = vfs.database().read(tenant).await?;
        let batch = blobs::deleting(&mut tx, until, &failed.regions, BATCH).await?;
        drop(tx);
        if batch.is_empty() {
            return failed.or(removed);
        }
        let (batch, given_up): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|blob| is_named(vfs, blob.info.region));
        warn_of_given_up(tenant, given_up.iter().map(|blob| blob.info.region));
        let gone = some_at_a_time(batch.into_iter().map(|blob| async move {
            let BlobInfo {
                id,
                finished,
                region,
                ..
            } = blob.info;
            let removing = async {
                let store = vfs.store(region)?;
                match finished {
                    true => store.delete(id).await,
                    false => store.discard(id).await,
                }
            };
            removing
                .await
                .map(|()| blob)
                .map_err(|error| (region, error))
        }));
        let (gone, errors) = gone.await;
        failed.note(errors);
        let first = gone.iter().filter(|blob| !blob.is_remembered());
        removed += first.count() as u64;
        let (remembered, forgotten): (Vec<_>, Vec<_>) = gone.into_iter().partition(may_come_late);
        let ids = |blobs: Vec<BlobRecord>| blobs.into_iter().map(|blob| blob.info.id);
        let forget = Forget {
            forgotten: ids(forgotten).chain(ids(given_up)).collect(),
            remembered: ids(remembered).collect(),
            at: now,
        };
        vfs.committer().run(tenant, &Actor::job(), forget).await?;
    }
}

/// Regions in which something could not be removed: what is there waits for the next sweep, and keeps nobody from what
/// is elsewhere.
#[derive(Default)]
struct Failed {
    regions: BTreeSet<RegionId>,
    first: Option<Error>,
}

impl Failed {
    fn note(&mut self, errors: Vec<(RegionId, Error)>) {
        for (region, error) in errors {
            self.regions.insert(region);
            self.first.get_or_insert(error);
        }
    }

    /// What was done, or the first error.
    fn or(self, done: u64) -> Result<u64> {
        self.first.map_or(Ok(done), Err)
    }
}

/// Whether an object that was just removed may be stored after that: its writer did not say that it is done.
fn may_come_late(blob: &BlobRecord) -> bool {
    !blob.info.finished && !blob.is_remembered()
}

/// Whether the settings name a region: nobody can remove anything in another one.
fn is_named(vfs: &Vfs, region: RegionId) -> bool {
    vfs.store(region).is_ok()
}

/// What was to be removed in regions that the settings do not name any more is forgotten, or a region that is lost
/// for good would be asked for ever.
fn warn_of_given_up(tenant: TenantId, regions: impl Iterator<Item = RegionId>) {
    let mut objects: BTreeMap<RegionId, u64> = BTreeMap::new();
    for region in regions {
        *objects.entry(region).or_default() += 1;
    }
    for (region, objects) in objects {
        tracing::warn!(%region, tenant.id = %tenant, objects, "objects that were to be removed stay where they are: the settings do not name their region any more; if it is there again one day, 'sealift fsck --repair' removes them");
    }
}

/// Copies go before their blobs, whose rows lead to them.
async fn sweep_copies(vfs: &Vfs, tenant: TenantId, until: Timestamp) -> Result<u64> {
    let mut failed = Failed {
        first: doom_copies(vfs, tenant, until).await?,
        ..Failed::default()
    };
    let mut removed = 0;
    loop {
        let mut tx = vfs.database().read(tenant).await?;
        let batch = copies::doomed(&mut tx, &failed.regions, BATCH).await?;
        drop(tx);
        if batch.is_empty() {
            return failed.or(removed);
        }
        let (batch, given_up): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|doomed| is_named(vfs, doomed.region));
        warn_of_given_up(tenant, given_up.iter().map(|doomed| doomed.region));
        let gone = some_at_a_time(batch.into_iter().map(|doomed| async move {
            let removing = async { vfs.store(doomed.region)?.discard(doomed.id).await };
            let removed = removing.await.map(|()| doomed);
            removed.map_err(|error| (doomed.region, error))
        }));
        let (mut gone, errors) = gone.await;
        failed.note(errors);
        removed += gone.len() as u64;
        gone.extend(given_up);
        let forget = ForgetCopies(gone);
        vfs.committer().run(tenant, &Actor::job(), forget).await?;
    }
}

/// Decides which copies go: none whose blob has lost its own object. Returns what kept others.
async fn doom_copies(vfs: &Vfs, tenant: TenantId, until: Timestamp) -> Result<Option<Error>> {
    let mut kept = HashSet::new();
    let mut failed = None;
    loop {
        let mut tx = vfs.database().read(tenant).await?;
        let limit = BATCH.saturating_add(i64::try_from(kept.len()).unwrap_or(i64::MAX));
        let batch = copies::removable(&mut tx, until, limit).await?;
        drop(tx);
        let batch = batch.into_iter();
        let looks = batch
            .filter(|(id, region, _)| kept.insert((*id, *region)))
            .map(|(id, region, blob)| async move {
                let spare = match blob {
                    Some(info) => is_spare(vfs, tenant, region, info).await?,
                    None => true,
                };
                Ok(spare.then_some((id, region)))
            });
        let looks: Vec<_> = looks.collect();
        if looks.is_empty() {
            return Ok(failed);
        }
        let (spare, errors) = some_at_a_time(looks.into_iter()).await;
        failed = failed.or(errors.into_iter().next());
        let copies = spare.into_iter().flatten().collect();
        let doom = Doom { copies, until };
        vfs.committer().run(tenant, &Actor::job(), doom).await?;
    }
}

/// Whether a blob can do without a copy that was given up: its own object is there. If not, it is
/// mended.
async fn is_spare(vfs: &Vfs, tenant: TenantId, region: RegionId, info: BlobInfo) -> Result<bool> {
    let length = vfs.store(info.region)?.length(info.id).await?;
    // An unfinished one may be longer than what is read of it.
    let there = match info.finished {
        true => length == Some(sealed_bytes(info.size)),
        false => length >= Some(sealed_bytes(info.size)),
    };
    if !there {
        tracing::error!(blob = %info.id, tenant.id = %tenant, region = %info.region, copy_in = %region, "a blob is missing where it was moved; its copy is kept and put back");
        vfs.damage().report(Damaged {
            tenant,
            info,
            whole_in: region,
        });
    }
    Ok(there)
}

/// Looks at or removes some at a time; returns what is done, and what went wrong.
async fn some_at_a_time<T, E>(
    removals: impl Iterator<Item = impl Future<Output = std::result::Result<T, E>>>,
) -> (Vec<T>, Vec<E>) {
    let mut removals = futures_util::stream::iter(removals).buffer_unordered(AT_ONCE);
    let (mut gone, mut failed) = (Vec::new(), Vec::new());
    while let Some(removed) = removals.next().await {
        match removed {
            Ok(one) => gone.push(one),
            Err(error) => failed.push(error),
        }
    }
    (gone, failed)
}

/// Releases what nobody holds any more. Of uploads that go there may be so much that it takes several.
struct Release {
    keep: Keep,
    /// Not the change's time: a look at the future raises that above all leases.
    now: Timestamp,
    /// Whether that was all; set when the operation is applied.
    is_all: Arc<AtomicBool>,
}

#[async_trait]
impl Operation for Release {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let (keep, now, mut room) = (self.keep, self.now, EDITS);
        let expired = now.minus(keep.upload_expiry);
        let is_all = orphans::release(tx, now, BATCH, &mut room).await?
            & orphans::discard_lost(tx, now, BATCH, &mut room).await?
            & kept::expire(tx, expired, now, BATCH, &mut room).await?;
        self.is_all.store(is_all, Ordering::SeqCst);
        if !is_all {
            return Ok(Record::Nothing);
        }
        addressed::end_untold(tx, now.minus(RESTS), now, BATCH).await?;
        addressed::expire(tx, expired).await?;
        locks::forget(tx, now).await?;
        blobs::release_orphans(tx, now).await?;
        blobs::release_condemned(tx, now.minus(keep.blob_grace), now).await?;
        Ok(Record::Nothing)
    }
}

struct EndWithLinks {
    now: Timestamp,
}

#[async_trait]
impl Operation for EndWithLinks {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        addressed::end_with_links(tx, self.now, BATCH).await?;
        Ok(Record::Nothing)
    }
}

struct Forget {
    forgotten: Vec<BlobId>,
    remembered: Vec<BlobId>,
    at: Timestamp,
}

#[async_trait]
impl Operation for Forget {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        for id in &self.forgotten {
            blobs::forget(tx, *id).await?;
        }
        for id in &self.remembered {
            blobs::remember(tx, *id, self.at).await?;
        }
        Ok(Record::Nothing)
    }
}

struct Doom {
    copies: Vec<(BlobId, RegionId)>,
    until: Timestamp,
}

#[async_trait]
impl Operation for Doom {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        for (id, region) in &self.copies {
            copies::doom(tx, *id, *region, self.until).await?;
        }
        Ok(Record::Nothing)
    }
}

struct ForgetCopies(Vec<Doomed>);

#[async_trait]
impl Operation for ForgetCopies {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        for doomed in &self.0 {
            copies::forget(tx, doomed).await?;
        }
        Ok(Record::Nothing)
    }
}
