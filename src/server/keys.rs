//! What wraps the tenants' data keys: the key file, and the key services of the regions.

use std::path::Path;
use std::sync::Arc;

use crate::accounts::second_factor::KeySource;
use crate::config::settings::Settings;
use crate::config::value::KeyKind;
use crate::crypto::keyring::{Keeper, KeyRing, WrappedKey};
use crate::db::database::Database;
use crate::db::{data_keys, installation, tenants};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::server::{folders, stores};
use crate::vfs::keys::TenantKeys;

const FINGERPRINT: &str = "key-fingerprint";

/// Opens what wraps the data keys: the key file, if it is the one that the database was used with,
/// and the key services of all regions.
///
/// Where key files are used and there never was one, it is made.
///
/// # Errors
/// Invalid when the key is another installation's; NotFound when it is missing; Unavailable.
pub async fn ring(settings: &Settings, db: &Database) -> Result<KeyRing> {
    let path = &settings.key_file;
    let used = installation::find(db, FINGERPRINT).await?;
    let mut ring = match open_file(settings, db, used.as_deref()).await? {
        Some(ring) => ring,
        None if settings.keys == KeyKind::AwsKms => KeyRing::empty(),
        None => {
            folders::make_above(path)?;
            KeyRing::create_local(path)?
        }
    };
    if let Some(fingerprint) = ring.fingerprint() {
        let kept = installation::keep(db, FINGERPRINT, fingerprint).await?;
        same(path, &ring, &kept)?;
    }
    for (number, region) in stores::numbered(settings, db).await? {
        if let Some(service) = stores::key_service(region).await? {
            ring = ring.with_kms(number, service);
        }
    }
    Ok(ring)
}

/// Tenants' data keys for those who seal what is not a file.
pub fn source(keys: Arc<TenantKeys>) -> KeySource {
    KeySource::new(move |tenant, version| {
        let keys = keys.clone();
        Box::pin(async move {
            match version {
                None => keys.current(tenant).await,
                Some(version) => keys.version(tenant, version).await,
            }
        })
    })
}

/// Checks that the key file is the one that the database was used with, if it is needed; changes
/// nothing.
///
/// # Errors
/// As [`ring`].
pub async fn check(settings: &Settings, db: &Database) -> Result<()> {
    let used = installation::find(db, FINGERPRINT).await?;
    open_file(settings, db, used.as_deref()).await.map(drop)
}

/// Checks that a key file can be used if there is one, where there is no database yet.
///
/// # Errors
/// As [`KeyRing::open_local`].
pub fn check_file(settings: &Settings) -> Result<()> {
    match KeyRing::open_local(&settings.key_file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(named(error)),
        _ => Ok(()),
    }
}

/// The key ring of the key file; none when there is no file and none is needed.
async fn open_file(
    settings: &Settings,
    db: &Database,
    used: Option<&str>,
) -> Result<Option<KeyRing>> {
    let path = &settings.key_file;
    match (KeyRing::open_local(path), used) {
        (Ok(ring), Some(used)) => same(path, &ring, used).map(|()| Some(ring)),
        (Ok(ring), None) => Ok(Some(ring)),
        (Err(error), used) if error.kind() == ErrorKind::NotFound => {
            let needed = match (used, settings.keys) {
                (None, _) => false,
                (Some(_), KeyKind::Local) => true,
                (Some(_), KeyKind::AwsKms) => wraps_anything(db).await?,
            };
            match needed {
                false => Ok(None),
                true => Err(Error::not_found(format!(
                    "keys.file: the key file '{}' is missing; put it back from your copy, since nothing that \
                     is stored can be read without it",
                    path.display()
                ))),
            }
        }
        (Err(error), _) => Err(named(error)),
    }
}

fn named(error: Error) -> Error {
    let sentence = format!("keys.file: {}", error.context());
    error.saying(sentence)
}

/// Whether any tenant's data keys are still wrapped by the key file.
async fn wraps_anything(db: &Database) -> Result<bool> {
    for tenant in tenants::list(db).await? {
        let mut tx = db.read(tenant.id).await?;
        for (key, _) in data_keys::list(&mut tx).await? {
            let wrapped = WrappedKey {
                provider: key.provider,
                bytes: key.wrapped,
            };
            if wrapped.keeper() == Keeper::Local {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn same(path: &Path, ring: &KeyRing, used: &str) -> Result<()> {
    match ring.fingerprint() == Some(used) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "this data folder belongs to another key than '{}'; put the right key file back, \
             or choose another folder",
            path.display()
        ))),
    }
}
