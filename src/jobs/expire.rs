//! Forgetting what is over: sessions of browsers, links, what belongs to downloads by them, answers that are
//! kept for who asks twice.

use std::time::Duration;

use crate::accounts::link_downloads::GOES_ON_FOR;
use crate::accounts::once::KEPT_FOR;
use crate::db::{link_downloads, links, once, web_sessions};
use crate::domain::error::Result;
use crate::domain::id::TenantId;
use crate::vfs::service::Vfs;

/// How long a link that has ended is known: whoever still has it is told that it has.
const LINKS: Duration = Duration::from_secs(30 * 24 * 3600);

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
    forgotten += link_downloads::forget(&mut tx, now.minus(GOES_ON_FOR)).await?;
    forgotten += once::forget(&mut tx, now.minus(KEPT_FOR)).await?;
    tx.commit().await?;
    Ok(forgotten)
}
