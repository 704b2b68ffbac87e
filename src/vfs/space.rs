//! Quota and use, as statvfs and AVBL tell them.

use crate::db::usage;
use crate::domain::error::Result;
use crate::domain::principal::Principal;
use crate::vfs::service::Vfs;

/// What a client that asks for free space is told when nothing limits it.
const UNLIMITED: u64 = u64::MAX >> 1;

/// The tighter of the tenant's and the account's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Most bytes.
    pub total_bytes: u64,
    /// Bytes in use, with what uploads have reserved.
    pub used_bytes: u64,
    /// Most files and folders.
    pub total_files: u64,
    /// Files and folders in use.
    pub used_files: u64,
}

impl Space {
    /// Bytes that are left; none when nothing limits them.
    pub fn bytes_left(&self) -> Option<u64> {
        let is_limited = self.total_bytes < UNLIMITED;
        is_limited.then(|| self.total_bytes.saturating_sub(self.used_bytes))
    }
}

/// The space of a principal.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn of(vfs: &Vfs, principal: &Principal) -> Result<Space> {
    let mut tx = vfs.database().read(principal.tenant).await?;
    let counters = usage::counters(&mut tx, Some(principal.account)).await?;
    let tightest = |limits: Vec<(Option<i64>, i64)>| {
        limits
            .into_iter()
            .map(|(quota, used)| (quota.map_or(UNLIMITED, count), count(used)))
            .min_by_key(|(total, used)| total.saturating_sub(*used))
            .unwrap_or((UNLIMITED, 0))
    };
    let bytes = counters
        .iter()
        .map(|c| (c.quota_bytes, c.used.bytes + c.reserved.bytes));
    let files = counters
        .iter()
        .map(|c| (c.quota_files, c.used.files + c.reserved.files));
    let (total_bytes, used_bytes) = tightest(bytes.collect());
    let (total_files, used_files) = tightest(files.collect());
    Ok(Space {
        total_bytes,
        used_bytes,
        total_files,
        used_files,
    })
}

fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
