//! Forgetting what is over: sessions of browsers, links, what belongs to downloads by them, answers that are
//! kept for who asks twice.

use std::time::Duration;

use crate::db::{link_downloads, links, once, web_sessions};
use crate::domain::error::Result;
use crate::domain::id::TenantId;
use crate::vfs::service::Vfs;

/// How long a link that has ended is known: whoever still has it is told that it has.
const LINKS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a download by a link is gone on with, and an answer is kept.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Forgets what of a tenant is over; says how much that was.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn run(vfs: &Vfs, tenant: TenantId) -> Result<u64> {
    // By the clock that whoever wrote them down went by.
    let now = vfs.database().clock().now();
    let mut tx = vfs.database().write(tenant).await?;
    let mut forgotten = web_sessions::forget_ended(&mut tx, now).await?;
    forgotten += links::forget(&mut tx, now.minus(LINKS)).await?;
    forgotten += link_downloads::forget(&mut tx, now.minus(DAY)).await?;
    forgotten += once::forget(&mut tx, now.minus(DAY)).await?;
    tx.commit().await?;
    Ok(forgotten)
}
