//! Checking that database and blob store agree; safe beside running servers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::db::blobs;
use crate::db::sql::TenantTx;
use crate::db::tenants::{self, Tenant};
use crate::db::usage::{self, Amount};
use crate::db::{contents, entries, placement, uploads};
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{AccountId, ContentId};
use crate::jobs::fsck_damage;
use crate::jobs::fsck_report::{Depth, FsckReport, Repair};
use crate::jobs::fsck_stores::Stores;
use crate::jobs::hash;
use crate::jobs::sweep::{self, Keep};
use crate::vfs::service::Vfs;

const BATCH: i64 = 1000;

/// Checks all tenants: every entry has its content, every content its blobs, every blob its
/// object, sizes, sums and counters agree. A region that does not answer is a problem, and the others are
/// checked.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn check(vfs: &Vfs, repair: Repair, depth: Depth) -> Result<FsckReport> {
    let mut report = FsckReport::default();
    let mut stores = Stores::new(vfs, repair, depth).await?;
    let tenants = tenants::list(vfs.database()).await?;
    for tenant in &tenants {
        check_tenant(vfs, tenant, &mut report).await?;
        stores.check_tenant(tenant, &mut report).await?;
        if depth == Depth::Bytes {
            check_bytes(vfs, tenant, &stores, &mut report).await?;
        }
        if repair == Repair::Yes {
            let keep = Keep {
                blob_grace: Duration::MAX,
                upload_expiry: Duration::MAX,
            };
            match sweep::run(vfs, tenant.id, keep).await {
                Ok(removed) => report.swept += removed,
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    let (name, why) = (&tenant.name, error.context());
                    let problem = format!("{name}: not all leftovers were removed: {why}");
                    report.problems.push(problem);
                    report.unchecked += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
    stores.check_leavings(&mut report).await?;
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
    for content in contents::miscounted(&mut tx).await? {
        let (id, uses, named) = (content.id, content.uses, content.named);
        if uses != named {
            let problem = format!("{name}: content {id} counts {uses} uses and has {named}");
            report.problems.push(problem);
        }
        if content.has_other_size {
            let problem = format!("{name}: entries give content {id} another size");
            report.problems.push(problem);
        }
    }
    check_counters(&mut tx, name, report).await?;
    for (blob, uses, named) in blobs::miscounted(&mut tx).await? {
        let problem = format!("{name}: blob {blob} counts {uses} uses and has {named}");
        report.problems.push(problem);
    }
    Ok(())
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
            if content.size != content.extents {
                report.problems.push(format!(
                    "{name}: content {id} is {} bytes long and its extents {}",
                    content.size, content.extents
                ));
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
async fn check_bytes(
    vfs: &Vfs,
    tenant: &Tenant,
    stores: &Stores<'_>,
    report: &mut FsckReport,
) -> Result<()> {
    let mut unread = 0_u64;
    let mut why = String::new();
    let mut damaged = BTreeMap::new();
    let placement = placement::find(vfs.database(), tenant.id).await?;
    let has_keys = placement.keys_destroyed_at.is_none();
    let mut after = ContentId::NIL;
    loop {
        let mut tx = vfs.database().read(tenant.id).await?;
        let page = contents::scan(&mut tx, after, BATCH).await?;
        let unreadable = contents::with_holes(&mut tx, after, hash::MOST_HOLES).await?;
        drop(tx);
        let Some(last) = page.last() else {
            break;
        };
        after = last.id;
        if !has_keys {
            report.keyless += page.len() as u64;
            continue;
        }
        for content in page {
            if unreadable.contains(&content.id) {
                continue;
            }
            let read = hash::read(vfs, tenant.id, content.id).await;
            // What was read from a copy is right, and yet something is wrong.
            for found in vfs.damage().taken() {
                let (id, home) = (found.info.id, stores.name(found.info.region));
                let problem = format!("{}: blob {id} is damaged in region {home}", tenant.name);
                let left = stores.mend(found, problem, report).await;
                report.problems.extend(left);
            }
            let wrong = match read {
                Ok((sum, stored)) if stored.is_none_or(|stored| stored == sum) => {
                    report.bytes += content.size;
                    continue;
                }
                Ok(_) => "holds other bytes than were stored",
                Err(error) if error.kind() == ErrorKind::Corrupt => "is damaged in the store",
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    unread += 1;
                    error.context().clone_into(&mut why);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let where_from = fsck_damage::told(vfs, tenant.id, content.id, stores).await?;
            let problem = format!(
                "{}: content {} {wrong}{where_from}",
                tenant.name, content.id
            );
            damaged.insert(content.id, report.problems.len());
            report.problems.push(problem);
        }
    }
    fsck_damage::name_files(vfs, tenant.id, damaged, &mut report.problems).await?;
    if unread > 0 {
        let problem = format!(
            "{}: {unread} contents could not be read: {why}",
            tenant.name
        );
        report.problems.push(problem);
    }
    Ok(())
}
