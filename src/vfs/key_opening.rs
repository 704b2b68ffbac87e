//! Unwrapping a tenant's data key: by what wraps it in the first place, and where that is lost by what does in its replica.

use std::time::Duration;

use crate::crypto::keyring::{KeyRing, WrappedKey};
use crate::crypto::kms_error;
use crate::crypto::seal::DataKey;
use crate::db::data_keys::{self, StoredKey};
use crate::db::database::Database;
use crate::db::{key_copies, placement};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;

/// How long the first key service may take before the other one is asked as well.
const PATIENCE: Duration = Duration::from_secs(3);

/// Unwraps a version of a tenant's key, whichever of its wrappings can be opened.
///
/// A KMS key of the tenant's own is its lock: when that is disabled or may not be used, no other wrapping opens it.
///
/// # Errors
/// Corrupt when there is no such version, or its first wrapping is of something else; else what the first key service
/// said, or Unavailable when it did not answer.
pub(in crate::vfs) async fn open(
    ring: &KeyRing,
    db: &Database,
    tenant: TenantId,
    version: u32,
) -> Result<DataKey> {
    let mut tx = db.read(tenant).await?;
    let Some(stored) = data_keys::find(&mut tx, version).await? else {
        let context = "the key of this file is gone; tell the operator";
        let cause = format!("no data key {version} of tenant {tenant}");
        return Err(Error::new(ErrorKind::Corrupt, context).because(cause));
    };
    let copies = key_copies::of_version(&mut tx, version).await?;
    let has_own = placement::of(&mut tx).await?.kms_key.is_some();
    drop(tx);
    let stored = wrapped(&stored);
    let mut first = Box::pin(ring.unwrap(tenant, version, &stored));
    if copies.is_empty() {
        return first.await;
    }
    let told = match has_own {
        true => Some(first.as_mut().await),
        false => tokio::time::timeout(PATIENCE, first.as_mut()).await.ok(),
    };
    let refusal = match told {
        Some(Err(error)) if gives_way(&error, has_own) => Some(error),
        Some(told) => return told,
        None => None,
    };
    for copy in &copies {
        let copy = wrapped(copy);
        match Box::pin(ring.unwrap(tenant, version, &copy)).await {
            Ok(key) => {
                let error = refusal.as_ref();
                tracing::warn!(tenant.id = %tenant, version, error = ?error, "a data key was unwrapped by what keeps it for the replica, as its own key service did not");
                return Ok(key);
            }
            Err(error) => {
                tracing::warn!(tenant.id = %tenant, version, error = ?error, "a data key was not unwrapped by what keeps it for the replica either");
            }
        }
    }
    match refusal {
        Some(error) => Err(error),
        None => first.await,
    }
}

/// Whether another wrapping may be tried after such an error.
fn gives_way(error: &Error, has_own: bool) -> bool {
    error.kind() == ErrorKind::Unavailable && !(has_own && kms_error::is_refusal(error))
}

/// A key as the ring takes it.
pub(in crate::vfs) fn wrapped(stored: &StoredKey) -> WrappedKey {
    WrappedKey {
        provider: stored.provider.clone(),
        bytes: stored.wrapped.clone(),
    }
}
