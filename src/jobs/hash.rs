//! SHA-256 of contents that were written out of order.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::db::{contents, leases, placement};
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
/// How long one instance has a tenant's hashing to itself: as long as it lives and does not give it back, since one
/// content may take hours, and another instance would read it too.
const LEASE: Duration = Duration::from_secs(30 * 24 * 3600);
const KIND: &str = "hashing";

/// How far each tenant's contents were gone through: what cannot be read is passed over until all others had their
/// turn.
#[derive(Default)]
pub struct Hashing {
    after: Mutex<HashMap<TenantId, ContentId>>,
}

impl Hashing {
    /// Reads up to 16 contents of a tenant and notes their SHA-256; says how many. The next call goes on behind them,
    /// and at the end begins anew. Nothing is done while another instance does it.
    ///
    /// # Errors
    /// Unavailable when the database or the store does not answer; the next call goes on behind what could not be
    /// read. A damaged content is logged where it is read and passed over.
    pub async fn run(&self, vfs: &Vfs, tenant: TenantId) -> Result<usize> {
        let after = self.lock().get(&tenant).copied();
        let after = after.unwrap_or(ContentId::NIL);
        let mut tx = vfs.database().read(tenant).await?;
        if placement::of(&mut tx).await?.keys_destroyed_at.is_some() {
            return Ok(0);
        }
        let ids = contents::unhashed(&mut tx, after, MOST_HOLES, CONTENTS_A_ROUND).await?;
        drop(tx);
        if ids.is_empty() {
            self.lock().remove(&tenant);
            return Ok(0);
        }
        let (db, instance) = (vfs.database(), vfs.instance());
        if !leases::take(db, tenant, KIND, instance, LEASE).await? {
            return Ok(0);
        }
        let done = self.hash(vfs, tenant, ids).await;
        // If this does not get through, it is this instance's until it ends.
        let released = leases::release(db, tenant, KIND, instance).await;
        let done = done?;
        released.map(|()| done)
    }

    async fn hash(&self, vfs: &Vfs, tenant: TenantId, ids: Vec<ContentId>) -> Result<usize> {
        let mut done = 0;
        for id in ids {
            self.lock().insert(tenant, id);
            match read(vfs, tenant, id).await {
                Ok((hash, _)) => {
                    let (actor, kind) = (Actor::job(), SumKind::Sha256);
                    sums::keep(vfs, tenant, &actor, id, kind, hash.to_vec()).await?;
                    done += 1;
                }
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, ContentId>> {
        self.after.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
