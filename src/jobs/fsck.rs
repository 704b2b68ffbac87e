//! Checking that database and blob store agree; safe beside running servers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::crypto::open::sealed_bytes;
use crate::db::blobs::{self, BlobRecord, BlobState};
use crate::db::sql::TenantTx;
use crate::db::tenants::{self, Tenant};
use crate::db::usage::{self, Amount};
use crate::db::{contents, copies, entries, placement, uploads};
use crate::domain::clock::Timestamp;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{AccountId, BlobId, ContentId};
use crate::jobs::hash;
use crate::jobs::orphans::{Objects, Part};
use crate::jobs::sweep::{self, Keep};
use crate::vfs::service::Vfs;

const BATCH: i64 = 1000;

/// Whether leftovers are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing is changed.
    No,
    /// Orphans are removed, nothing else.
    Yes,
}

/// Whether stored bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All of them, and compared with their SHA-256.
    Bytes,
    /// None: records and the lengths of objects are compared.
    Records,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FsckReport {
    /// Whether there are no problems. Orphans are leftovers, not problems.
    pub clean: bool,
    /// Versions looked at, live and past.
    pub entries: u64,
    /// Contents looked at.
    pub contents: u64,
    /// Blobs looked at.
    pub blobs: u64,
    /// Bytes read and found as they were written.
    pub bytes: u64,
    /// What does not agree, a sentence each.
    pub problems: Vec<String>,
    /// Objects and blob rows that nothing needs.
    pub orphans: u64,
    /// Orphans that were removed.
    pub removed: u64,
}

/// Checks all tenants: every entry has its content, every content its blobs, every blob its
/// object, sizes, sums and counters agree.
///
/// # Errors
/// Unavailable when the database or the store does not answer.
pub async fn check(vfs: &Vfs, repair: Repair, depth: Depth) -> Result<FsckReport> {
    let mut report = FsckReport::default();
    let tenants = tenants::list(vfs.database()).await?;
    for tenant in &tenants {
        check_tenant(vfs, tenant, &mut report).await?;
        if depth == Depth::Bytes {
            check_bytes(vfs, tenant, &mut report).await?;
        }
        if repair == Repair::Yes {
            let keep = Keep {
                blob_grace: Duration::MAX,
                upload_expiry: Duration::MAX,
            };
            report.removed += sweep::run(vfs, tenant.id, keep).await?;
        }
    }
    check_objects(vfs, repair, &mut report).await?;
    report.clean = report.problems.is_empty();
    Ok(report)
}

async fn check_tenant(vfs: &Vfs, tenant: &Tenant, report: &mut FsckReport) -> Result<()> {
    let mut tx = vfs.database().snapshot(tenant.id).await?;
    let name = &tenant.name;
    let (count, lost) = entries::census(&mut tx).await?;
    report.entries += count;
    for node in lost {
        let problem = format!("{name}: node {node} has lost its content");
        report.problems.push(problem);
    }
    check_contents(&mut tx, name, report).await?;
    check_counters(&mut tx, name, report).await?;
    for (blob, uses, named) in blobs::miscounted(&mut tx).await? {
        let problem = format!("{name}: blob {blob} counts {uses} uses and has {named}");
        report.problems.push(problem);
    }
    drop(tx);
    check_blobs(vfs, tenant, report).await?;
    check_copies(vfs, tenant, report).await
}

async fn check_contents(tx: &mut TenantTx, name: &str, report: &mut FsckReport) -> Result<()> {
    let mut after = ContentId::NIL;
    loop {
        let page = contents::scan(tx, after, BATCH).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.id;
        report.contents += page.len() as u64;
        for content in page {
            let id = content.id;
            if content.uses != content.named {
                report.problems.push(format!(
                    "{name}: content {id} counts {} uses and has {}",
                    content.uses, content.named
                ));
            }
            if content.size != content.extents {
                report.problems.push(format!(
                    "{name}: content {id} is {} bytes long and its extents {}",
                    content.size, content.extents
                ));
            }
            if content.other_size != 0 {
                let problem = format!("{name}: entries give content {id} another size");
                report.problems.push(problem);
            }
            if content.dangling != 0 {
                let problem = format!("{name}: content {id} names bytes that no blob has");
                report.problems.push(problem);
            }
        }
    }
}

async fn check_counters(tx: &mut TenantTx, name: &str, report: &mut FsckReport) -> Result<()> {
    let mut real: BTreeMap<Option<AccountId>, (Amount, Amount)> = BTreeMap::new();
    let mut add = |account: Option<AccountId>, used: Amount, reserved: Amount| {
        let mut keys = vec![None];
        keys.extend(account.map(Some));
        for key in keys {
            let (u, r) = real.entry(key).or_default();
            u.bytes += used.bytes;
            u.files += used.files;
            r.bytes += reserved.bytes;
            r.files += reserved.files;
        }
    };
    for (account, used) in usage::recount(tx).await? {
        add(account, used, Amount::default());
    }
    for (account, reserved) in uploads::reserved(tx).await? {
        add(Some(account), Amount::default(), reserved);
    }
    for (account, used, reserved) in usage::list(tx).await? {
        let (real_used, real_reserved) = real.remove(&account).unwrap_or_default();
        if (used, reserved) != (real_used, real_reserved) {
            let whose = account.map_or_else(|| "tenant".to_owned(), |id| format!("account {id}"));
            report.problems.push(format!(
                "{name}: the counter of the {whose} says {used:?} and {reserved:?}, \
                 but it is {real_used:?} and {real_reserved:?}"
            ));
        }
    }
    for account in real.keys() {
        let problem = format!("{name}: there is no counter for {account:?}");
        report.problems.push(problem);
    }
    Ok(())
}

/// Reads every content and compares its sum. One that is purged meanwhile is passed over, and so
/// are holes too large to read, and what nobody can read since the tenant's keys were destroyed.
async fn check_bytes(vfs: &Vfs, tenant: &Tenant, report: &mut FsckReport) -> Result<()> {
    let placement = placement::find(vfs.database(), tenant.id).await?;
    if placement.keys_destroyed_at.is_some() {
        return Ok(());
    }
    let mut after = ContentId::NIL;
    loop {
        let mut tx = vfs.database().read(tenant.id).await?;
        let page = contents::scan(&mut tx, after, BATCH).await?;
        let unreadable = contents::with_holes(&mut tx, after, hash::MOST_HOLES).await?;
        drop(tx);
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.id;
        for content in page {
            if unreadable.contains(&content.id) {
                continue;
            }
            let read = hash::read(vfs, tenant.id, content.id).await;
            // What was read from a copy is right, and yet something is wrong.
            for damaged in vfs.damage().taken() {
                let (id, home) = (damaged.info.id, damaged.info.region);
                report.problems.push(format!(
                    "{}: blob {id} is damaged in region {home} and whole in region {}; a running \
                     server mends it when it is read",
                    tenant.name, damaged.whole_in
                ));
            }
            let wrong = match read {
                Ok((sum, stored)) if stored.is_none_or(|stored| stored == sum) => {
                    report.bytes += content.size;
                    continue;
                }
                Ok(_) => "holds other bytes than were stored",
                Err(error) if error.kind() == ErrorKind::Corrupt => "is damaged in the store",
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let problem = format!("{}: content {} {wrong}", tenant.name, content.id);
            report.problems.push(problem);
        }
    }
}

async fn check_blobs(vfs: &Vfs, tenant: &Tenant, report: &mut FsckReport) -> Result<()> {
    let mut after = BlobId::NIL;
    loop {
        let mut tx = vfs.database().read(tenant.id).await?;
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
                    if let Some(problem) = check_object(vfs, tenant, &blob).await? {
                        report.problems.push(problem);
                    }
                }
                BlobState::Deleting => report.orphans += 1,
                BlobState::Writing => {}
            }
        }
    }
}

async fn check_object(vfs: &Vfs, tenant: &Tenant, blob: &BlobRecord) -> Result<Option<String>> {
    if !blob.info.finished {
        return Ok(None);
    }
    let id = blob.info.id;
    let expected = sealed_bytes(blob.info.size);
    let found = vfs.store(blob.info.region)?.length(id).await?;
    if found == Some(expected) {
        return Ok(None);
    }
    // It may have been purged since the page was read.
    let mut tx = vfs.database().read(tenant.id).await?;
    let now = blobs::find(&mut tx, id).await?;
    if now.is_none_or(|now| now.state == BlobState::Deleting) {
        return Ok(None);
    }
    let name = &tenant.name;
    Ok(Some(match found {
        None => format!("{name}: blob {id} is missing in the store"),
        Some(found) => format!("{name}: blob {id} has {found} bytes in the store, not {expected}"),
    }))
}

/// Copies that are noted to be there are as long as their blobs.
async fn check_copies(vfs: &Vfs, tenant: &Tenant, report: &mut FsckReport) -> Result<()> {
    let name = &tenant.name;
    let mut after = BlobId::NIL;
    loop {
        let mut tx = vfs.database().read(tenant.id).await?;
        let page = copies::scan(&mut tx, after, BATCH).await?;
        drop(tx);
        let Some((last, ..)) = page.last() else {
            return Ok(());
        };
        after = *last;
        for (id, region, size) in page {
            let problem = match vfs.store(region)?.length(id).await {
                Ok(found) if found == Some(sealed_bytes(size)) => continue,
                Ok(_) => format!("{name}: the copy of blob {id} in region {region} is not whole"),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    let problem =
                        format!("{name}: the copies in region {region} cannot be checked");
                    report.problems.push(problem);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            report.problems.push(problem);
        }
    }
}

async fn check_objects(vfs: &Vfs, repair: Repair, report: &mut FsckReport) -> Result<()> {
    for (region, store) in vfs.regions().iter() {
        for part in [Part::Finished, Part::Unfinished] {
            let objects = Objects {
                region,
                store: store.clone(),
                part,
            };
            let orphans = objects.orphans(vfs, Timestamp(i64::MAX)).await?;
            report.orphans += orphans.len() as u64;
            if repair == Repair::Yes {
                for id in orphans {
                    store.discard(id).await?;
                    report.removed += 1;
                }
            }
        }
    }
    Ok(())
}
