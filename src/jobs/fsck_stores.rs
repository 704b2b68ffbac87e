//! What the check of an installation finds in its stores: objects of blobs, copies, and leavings.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::open::sealed_bytes;
use crate::db::blobs::{self, BlobRecord, BlobState};
use crate::db::tenants::Tenant;
use crate::db::{copies, regions};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{BlobId, RegionId};
use crate::jobs::fsck::{FsckReport, Repair};
use crate::jobs::orphans::{Objects, Part};
use crate::vfs::service::Vfs;

const BATCH: i64 = 1000;

/// The stores of all regions. One that does not answer is told once, and not asked again.
pub(in crate::jobs) struct Stores<'a> {
    vfs: &'a Vfs,
    repair: Repair,
    names: BTreeMap<RegionId, String>,
    silent: BTreeSet<RegionId>,
}

impl<'a> Stores<'a> {
    /// Looks the regions' names up.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub(in crate::jobs) async fn new(vfs: &'a Vfs, repair: Repair) -> Result<Self> {
        Ok(Self {
            vfs,
            repair,
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
                report.orphans += orphans.len() as u64;
                if self.repair == Repair::No {
                    continue;
                }
                for id in orphans {
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
        report.problems.push(match found {
            None => format!("{name}: blob {id} is missing in region {place}"),
            Some(found) => {
                format!("{name}: blob {id} has {found} bytes in region {place}, not {expected}")
            }
        });
        Ok(())
    }

    /// Copies that are noted to be there are as long as their blobs.
    async fn check_copies(&mut self, tenant: &Tenant, report: &mut FsckReport) -> Result<()> {
        let name = &tenant.name;
        let mut after = BlobId::NIL;
        loop {
            let mut tx = self.vfs.database().read(tenant.id).await?;
            let page = copies::scan(&mut tx, after, BATCH).await?;
            drop(tx);
            let Some((last, ..)) = page.last() else {
                return Ok(());
            };
            after = *last;
            for (id, region, size) in page {
                let Some(found) = self.length(region, id, report).await? else {
                    continue;
                };
                if found != Some(sealed_bytes(size)) {
                    let place = self.name(region);
                    let problem =
                        format!("{name}: the copy of blob {id} in region {place} is not whole");
                    report.problems.push(problem);
                }
            }
        }
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
        }
    }
}
