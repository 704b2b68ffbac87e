//! What the check of an installation finds in its stores: objects of blobs, copies, and leavings.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::crypto::open::sealed_bytes;
use crate::db::blobs::{self, BlobRecord, BlobState};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::tenants::Tenant;
use crate::db::{copies, placement, regions};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{BlobId, RegionId};
use crate::domain::principal::Actor;
use crate::jobs::fsck_report::{Depth, FsckReport, Repair};
use crate::jobs::mend;
use crate::jobs::orphans::{Objects, Part};
use crate::vfs::blob_reader::BlobReader;
use crate::vfs::damage::Damaged;
use crate::vfs::service::Vfs;

const BATCH: i64 = 1000;
/// So many objects that nobody knows for each that somebody does are no leavings any more.
const MOST_ORPHANS: u64 = 10;

/// The stores of all regions. One that does not answer is told once, and not asked again.
pub(in crate::jobs) struct Stores<'a> {
    vfs: &'a Vfs,
    repair: Repair,
    depth: Depth,
    names: BTreeMap<RegionId, String>,
    silent: BTreeSet<RegionId>,
}

impl<'a> Stores<'a> {
    /// Looks the regions' names up.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub(in crate::jobs) async fn new(vfs: &'a Vfs, repair: Repair, depth: Depth) -> Result<Self> {
        Ok(Self {
            vfs,
            repair,
            depth,
            names: regions::list(vfs.database()).await?.into_iter().collect(),
            silent: BTreeSet::new(),
        })
    }

    /// What operators call a region.
    pub(in crate::jobs) fn name(&self, region: RegionId) -> String {
        let name = self.names.get(&region).cloned();
        name.unwrap_or_else(|| format!("number {region}"))
    }

    /// Looks at the objects of a tenant's blobs, and at their copies.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub(in crate::jobs) async fn check_tenant(
        &mut self,
        tenant: &Tenant,
        report: &mut FsckReport,
    ) -> Result<()> {
        self.check_blobs(tenant, report).await?;
        self.check_copies(tenant, report).await
    }

    /// Looks for objects that nobody knows, and removes them if that is asked for.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub(in crate::jobs) async fn check_leavings(&mut self, report: &mut FsckReport) -> Result<()> {
        for (region, store) in self.vfs.regions().iter() {
            for part in [Part::Finished, Part::Unfinished] {
                if self.silent.contains(&region) {
                    continue;
                }
                let objects = Objects {
                    region,
                    store: store.clone(),
                    part,
                };
                let orphans = objects.orphans(self.vfs, Timestamp(i64::MAX)).await;
                let orphans = self.answer(region, orphans, report)?.unwrap_or_default();
                let unknown = orphans.unknown.len() as u64;
                report.orphans += unknown;
                if part == Part::Finished && unknown > orphans.known.saturating_mul(MOST_ORPHANS) {
                    report.problems.push(format!(
                        "region {}: {unknown} objects there are known to no tenant, and only {} are known to any, as \
                         if the place were another installation's, or the database not the one that belongs to it; \
                         nothing was removed there: look which it is, put the right database back, or remove by \
                         hand what is of no use",
                        self.name(region),
                        orphans.known
                    ));
                    break;
                }
                if self.repair == Repair::No {
                    continue;
                }
                for id in orphans.unknown {
                    let discarded = store.discard(id).await;
                    match self.answer(region, discarded, report)? {
                        Some(()) => report.removed += 1,
                        None => break,
                    }
                }
            }
        }
        Ok(())
    }

    async fn check_blobs(&mut self, tenant: &Tenant, report: &mut FsckReport) -> Result<()> {
        let mut after = BlobId::NIL;
        loop {
            let mut tx = self.vfs.database().read(tenant.id).await?;
            let page = blobs::scan(&mut tx, after, BATCH).await?;
            drop(tx);
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.info.id;
            report.blobs += page.len() as u64;
            for blob in page {
                match blob.state {
                    BlobState::Live | BlobState::Condemned => {
                        self.check_object(tenant, &blob, report).await?;
                    }
                    // What is only remembered has no object, or one that its writer stored late.
                    BlobState::Deleting if blob.is_remembered() => {}
                    BlobState::Deleting => report.orphans += 1,
                    BlobState::Writing => {}
                }
            }
        }
    }

    async fn check_object(
        &mut self,
        tenant: &Tenant,
        blob: &BlobRecord,
        report: &mut FsckReport,
    ) -> Result<()> {
        if !blob.info.finished {
            return Ok(());
        }
        let (id, region) = (blob.info.id, blob.info.region);
        let expected = sealed_bytes(blob.info.size);
        let Some(found) = self.length(region, id, report).await? else {
            return Ok(());
        };
        if found == Some(expected) {
            return Ok(());
        }
        // It may have been purged since the page was read, or moved.
        let mut tx = self.vfs.database().read(tenant.id).await?;
        let now = blobs::find(&mut tx, id).await?;
        drop(tx);
        if now.is_none_or(|now| now.state == BlobState::Deleting || now.info.region != region) {
            return Ok(());
        }
        let (name, place) = (&tenant.name, self.name(region));
        let problem = match found {
            None => {
                let object = object(id);
                format!("{name}: blob {id} is missing in region {place} (object {object})")
            }
            Some(found) => {
                format!("{name}: blob {id} has {found} bytes in region {place}, not {expected}")
            }
        };
        let mut tx = self.vfs.database().read(tenant.id).await?;
        let places = copies::whereabouts(&mut tx, id).await?;
        drop(tx);
        let mut problem = Some(problem);
        for whole_in in places.into_iter().filter(|place| *place != region) {
            match self.length(whole_in, id, report).await? {
                Some(Some(length)) if length == expected => {}
                Some(_) => continue,
                None => {
                    let (told, place) = (problem.take(), self.name(whole_in));
                    let told = told.unwrap_or_default();
                    problem = Some(format!(
                        "{told}; whether its copy in region {place} is there cannot be told"
                    ));
                    continue;
                }
            }
            let damaged = Damaged {
                tenant: tenant.id,
                info: blob.info,
                whole_in,
            };
            let told = problem.take().unwrap_or_default();
            problem = self.mend(damaged, told, report).await;
            if problem.is_none() {
                return Ok(());
            }
        }
        report.problems.extend(problem);
        Ok(())
    }

    /// Mends a blob from a copy if that is asked for, and else tells that it can be; gives the problem back
    /// when that copy does not help.
    pub(in crate::jobs) async fn mend(
        &self,
        damaged: Damaged,
        problem: String,
        report: &mut FsckReport,
    ) -> Option<String> {
        let from = self.name(damaged.whole_in);
        if self.repair == Repair::No {
            report.mendable += 1;
            let problem = format!("{problem}; there is a copy in region {from}");
            report.problems.push(problem);
            return None;
        }
        match mend::mend(self.vfs, &damaged).await {
            Ok(()) => {
                report.mended += 1;
                let problem = format!("{problem}; it was mended from region {from}");
                report.problems.push(problem);
                None
            }
            Err(error) => {
                tracing::warn!(blob = %damaged.info.id, from, error = ?error, "a blob was not mended");
                Some(problem)
            }
        }
    }

    /// Copies that are noted to be there are as long as their blobs, and open if they are to be read. Those
    /// that do not count as missing from then on, if that is asked for, so that they are made anew.
    async fn check_copies(&mut self, tenant: &Tenant, report: &mut FsckReport) -> Result<()> {
        let placement = placement::find(self.vfs.database(), tenant.id).await?;
        let reads = self.depth == Depth::Bytes && placement.keys_destroyed_at.is_none();
        let mut after = BlobId::NIL;
        loop {
            let mut tx = self.vfs.database().read(tenant.id).await?;
            let page = copies::scan(&mut tx, after, BATCH).await?;
            drop(tx);
            let Some((last, ..)) = page.last() else {
                return Ok(());
            };
            after = *last;
            let mut wrong = Vec::new();
            for (id, region, size) in page {
                let Some(found) = self.length(region, id, report).await? else {
                    continue;
                };
                let what = match found {
                    None => "is missing",
                    Some(found) if found != sealed_bytes(size) => "is not whole",
                    Some(_) if reads && !self.opens(tenant, id, region, report).await? => {
                        "is damaged"
                    }
                    Some(_) => continue,
                };
                wrong.push((id, region, size, what));
            }
            self.doubt(tenant, wrong, report).await?;
        }
    }

    /// Reads a copy; true also when nobody can tell.
    async fn opens(
        &mut self,
        tenant: &Tenant,
        id: BlobId,
        region: RegionId,
        report: &mut FsckReport,
    ) -> Result<bool> {
        let mut tx = self.vfs.database().read(tenant.id).await?;
        let blob = blobs::find(&mut tx, id).await?;
        drop(tx);
        let Some(blob) = blob else {
            return Ok(true);
        };
        let reader = BlobReader::new(self.vfs.clone(), tenant.id, blob.info);
        match reader.check(region).await {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                Ok(false)
            }
            checked => {
                let checked = self.answer(region, checked, report)?;
                report.bytes += checked.map_or(0, |()| blob.info.size);
                Ok(true)
            }
        }
    }

    async fn doubt(
        &mut self,
        tenant: &Tenant,
        wrong: Vec<(BlobId, RegionId, u64, &str)>,
        report: &mut FsckReport,
    ) -> Result<()> {
        let mut doubted = Vec::new();
        for (id, region, size, what) in wrong {
            // It may have been purged since the page was read.
            let mut tx = self.vfs.database().read(tenant.id).await?;
            let places = copies::whereabouts(&mut tx, id).await?;
            drop(tx);
            if !places.contains(&region) {
                continue;
            }
            let (name, place) = (&tenant.name, self.name(region));
            let problem = format!("{name}: the copy of blob {id} in region {place} {what}");
            let home = match places.first().filter(|home| **home != region) {
                Some(home) => self.length(*home, id, report).await?,
                None => Some(None),
            };
            let next = match (home, self.repair) {
                (None, _) => "whether the blob's own region has it cannot be told",
                // One that was never finished may be longer than what is read of it.
                (Some(found), _) if found < Some(sealed_bytes(size)) => {
                    let problem = format!("{problem}; nor has the blob's own region got it whole");
                    report.problems.push(problem);
                    continue;
                }
                (_, Repair::No) => "the blob's own region has it",
                (_, Repair::Yes) => "the next round of copying makes it anew",
            };
            doubted.push((id, region));
            report.problems.push(format!("{problem}; {next}"));
        }
        match self.repair {
            Repair::No => report.mendable += doubted.len() as u64,
            Repair::Yes if doubted.is_empty() => {}
            Repair::Yes => {
                report.mended += doubted.len() as u64;
                let committer = self.vfs.committer();
                let doubt = Doubt(doubted);
                committer.run(tenant.id, &Actor::job(), doubt).await?;
            }
        }
        Ok(())
    }

    /// The length of an object, if its region answers.
    async fn length(
        &mut self,
        region: RegionId,
        id: BlobId,
        report: &mut FsckReport,
    ) -> Result<Option<Option<u64>>> {
        if self.silent.contains(&region) {
            return Ok(None);
        }
        let found = match self.vfs.store(region) {
            Ok(store) => store.length(id).await,
            Err(error) => Err(error),
        };
        self.answer(region, found, report)
    }

    /// What a region answered; none when it did not, which is then noted.
    fn answer<T>(
        &mut self,
        region: RegionId,
        answer: Result<T>,
        report: &mut FsckReport,
    ) -> Result<Option<T>> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.note_silent(region, &error, report);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn note_silent(&mut self, region: RegionId, error: &Error, report: &mut FsckReport) {
        if self.silent.insert(region) {
            let (name, why) = (self.name(region), error.context());
            let problem = format!("region {name} cannot be checked: {why}");
            tracing::warn!(region = name, error = ?error, "a region cannot be checked");
            report.problems.push(problem);
            report.unchecked += 1;
        }
    }
}

/// What a blob's object is called behind a bucket's prefix, or in the folder of blobs.
pub(in crate::jobs) fn object(id: BlobId) -> String {
    let digits = id.to_string();
    let first: String = digits.chars().take(2).collect();
    format!("{first}/{digits}")
}

/// Copies that are not whole after all.
struct Doubt(Vec<(BlobId, RegionId)>);

#[async_trait]
impl Operation for Doubt {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        for (id, region) in &self.0 {
            copies::doubt(tx, *id, *region, next.at).await?;
        }
        placement::replicate_anew(tx).await?;
        Ok(Record::Nothing)
    }
}
