//! The installation's own keys: of TLS session tickets, and of what came by ACME. They are wrapped as a tenant's
//! are, by what serves the region of new tenants.

use serde::Serialize;

use crate::crypto::keyring::{KeyHome, WrappedKey};
use crate::db::own_keys::{self, OwnKey, Purpose};
use crate::db::regions;
use crate::domain::error::Result;
use crate::domain::id::TenantId;
use crate::server::installation::Installation;
use crate::server::keys;
use crate::vfs::key_care::kept_at;

/// What is sealed belongs to no tenant.
pub const NOBODY: TenantId = TenantId(0);
/// The version of the keys that seal what came by ACME, apart from those of tickets.
pub const ACME_VERSION: u32 = 0xACE0_0001;

/// A key of the installation as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnKeyView {
    /// What it is for.
    pub purpose: String,
    /// Who can unwrap it: `local` or `aws-kms`.
    pub provider: String,
    /// The region of the key service.
    pub region: Option<String>,
    /// The service's key.
    pub kms_key: Option<String>,
}

/// All keys of the installation.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(installation: &Installation) -> Result<Vec<OwnKeyView>> {
    let db = installation.database();
    let names = regions::list(db).await?;
    let view = |key: OwnKey| {
        let purpose = match &key.purpose {
            Purpose::AcmeAccount { directory } => format!("ACME account at {directory}"),
            Purpose::AcmeCertificate { host, .. } => format!("certificate of {host}"),
            Purpose::Tickets { id } => format!("TLS session tickets {id}"),
        };
        let (region, kms_key) = kept_at(wrapped(&key).keeper(), &names);
        OwnKeyView {
            purpose,
            provider: key.provider,
            region,
            kms_key,
        }
    };
    Ok(own_keys::list(db).await?.into_iter().map(view).collect())
}

/// Wraps each key of the installation anew, by what now keeps those of new tenants; says how many.
///
/// # Errors
/// Unavailable when the database or the key service does not answer, or the service refuses; Corrupt when a key
/// was wrapped by something else. Those before it are wrapped anew; it may be repeated.
pub async fn rewrap(installation: &Installation) -> Result<usize> {
    let db = installation.database();
    let ring = keys::ring(&installation.settings, db).await?;
    let home = KeyHome {
        region: installation.region(&installation.settings.home).await?,
        kms_key: None,
    };
    let mut count = 0;
    for key in own_keys::list(db).await? {
        let version = match &key.purpose {
            Purpose::AcmeAccount { .. } | Purpose::AcmeCertificate { .. } => ACME_VERSION,
            Purpose::Tickets { id } => *id,
        };
        let opened = ring.unwrap(NOBODY, version, &wrapped(&key)).await?;
        let anew = ring.wrap(NOBODY, &opened, &home).await?;
        // One that a server put in its place meanwhile is wrapped by what serves now.
        own_keys::replace(db, &key, (&anew.provider, &anew.bytes)).await?;
        count += 1;
    }
    Ok(count)
}

fn wrapped(key: &OwnKey) -> WrappedKey {
    WrappedKey {
        provider: key.provider.clone(),
        bytes: key.wrapped.clone(),
    }
}
