//! SHA-256 of contents that were written out of order.

use sha2::{Digest, Sha256};

use crate::db::contents;
use crate::db::placement;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{ContentId, TenantId};
use crate::domain::principal::Actor;
use crate::domain::sum::SumKind;
use crate::vfs::read::{ContentReader, MAX_READ};
use crate::vfs::service::Vfs;
use crate::vfs::sums;

const CONTENTS_A_ROUND: i64 = 16;
/// Contents with more bytes of holes stay without a SHA-256.
pub const MOST_HOLES: i64 = 1 << 30;

/// Reads up to 16 contents of a tenant and notes their SHA-256; says how many.
///
/// # Errors
/// Unavailable when the database or the store does not answer. A damaged content is logged where it is read and
/// passed over.
pub async fn run(vfs: &Vfs, tenant: TenantId) -> Result<usize> {
    let mut tx = vfs.database().read(tenant).await?;
    if placement::of(&mut tx).await?.keys_destroyed_at.is_some() {
        return Ok(0);
    }
    let ids = contents::unhashed(&mut tx, MOST_HOLES, CONTENTS_A_ROUND).await?;
    drop(tx);
    let mut done = 0;
    for id in ids {
        match read(vfs, tenant, id).await {
            Ok((hash, _)) => {
                sums::keep(
                    vfs,
                    tenant,
                    &Actor::job(),
                    id,
                    SumKind::Sha256,
                    hash.to_vec(),
                )
                .await?;
                done += 1;
            }
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Reads a content: its SHA-256, and the one that is stored for it.
///
/// # Errors
/// Corrupt when it is damaged, NotFound when it was purged; Unavailable.
pub async fn read(
    vfs: &Vfs,
    tenant: TenantId,
    id: ContentId,
) -> Result<([u8; 32], Option<[u8; 32]>)> {
    let mut tx = vfs.database().snapshot(tenant).await?;
    let content = contents::load(&mut tx, id).await?;
    drop(tx);
    let stored = content.sha256;
    let reader = ContentReader::new(vfs, tenant, content);
    let mut hash = Sha256::new();
    let mut offset = 0;
    while offset < reader.size() {
        let bytes = reader.read_at(offset, MAX_READ).await?;
        offset += bytes.len() as u64;
        hash.update(&bytes);
    }
    Ok((hash.finalize().into(), stored))
}
