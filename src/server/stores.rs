//! The regions of an installation: their stores and key services, opened and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use crate::config::region_values;
use crate::config::regions::{self, MAIN, RegionSettings, StoreSettings};
use crate::config::settings::Settings;
use crate::crypto::keyring::{Keeper, WrappedKey};
use crate::crypto::kms::KmsKeys;
use crate::crypto::kms_error;
use crate::db::data_keys::StoredKey;
use crate::db::database::Database;
use crate::db::{blobs, data_keys, key_copies, placement, regions as numbers, tenants};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::RegionId;
use crate::net::cloud;
use crate::server::folders;
use crate::server::owners::{self, Place};
use crate::storage::breaker::Breaker;
use crate::storage::local::LocalStore;
use crate::storage::measured::Measured;
use crate::storage::regions::Regions;
use crate::storage::s3::S3Store;
use crate::storage::s3_error;
use crate::storage::store::BlobStore;

/// What a check found that keeps no server from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The regions that cannot be used, or not in full, by their names.
    pub lacking: Vec<String>,
    /// How many there are.
    pub regions: usize,
    /// The regions that the settings do not name, or not their keys, though tenants are in them, by their names.
    pub unnamed: BTreeSet<String>,
}

/// What is wrong with a region.
struct Findings {
    store: Option<Error>,
    keys: Option<Error>,
}

impl Findings {
    /// Whether the region's tenants can work.
    fn is_usable(&self) -> bool {
        let keys = self.keys.as_ref().map(Error::kind);
        matches!(keys, None | Some(ErrorKind::Unavailable)) && self.store.is_none()
    }
}

/// Tries what the regions of the settings name, all at once: writes, reads and removes a small object
/// in each store, and has each key service wrap a key that is thrown away. Makes no folder.
///
/// One region's outage, lost bucket or lost permission keeps nobody from the others: as long as one of them
/// can be used, it is only logged; so is the outage of a key service, as servers have keys in memory.
///
/// # Errors
/// What must be mended before a start, a line for each region that is wrong; it names the setting.
pub async fn check(settings: &Settings) -> Result<Checked> {
    warn_of_listeners(settings);
    let checks = settings.regions.iter().map(|region| async move {
        let (store, keys) = tokio::join!(check_store(region), check_keys(region));
        let store = store.map_err(|error| about(settings, region, error));
        let (store, keys) = (store.err(), keys.err());
        (region, Findings { store, keys })
    });
    let all = join_all(checks).await;
    let any = all.iter().any(|(_, findings)| findings.is_usable());
    let mut fatal = Vec::new();
    let mut checked = Checked::default();
    for (region, findings) in all {
        checked.regions += 1;
        match (findings.is_usable(), &findings.keys) {
            (true, None) => {}
            (true, Some(_)) => {
                let section = regions::section(&region.name);
                checked.lacking.push(format!(
                    "{} (its key service, {section}.kms_key, does not answer)",
                    region.name
                ));
            }
            (false, _) => checked.lacking.push(region.name.clone()),
        }
        if let Some(error) = findings.store {
            fatal.extend(weigh_store(error, any, settings.regions.len() > 1));
        }
        if let Some(error) = findings.keys {
            fatal.extend(weigh_keys(error, any));
        }
    }
    // What store and key service have in common is told once.
    fatal.dedup_by(|one, other| one.context() == other.context());
    match fatal.len() {
        0 => Ok(checked),
        1 => fatal.pop().map_or(Ok(checked), Err),
        _ => {
            let lines: Vec<_> = fatal.iter().map(Error::context).collect();
            Err(Error::invalid(lines.join("\n")))
        }
    }
}

/// What is stored is sealed, but nothing keeps whoever sits on the line from changing what goes over it.
fn warn_of_listeners(settings: &Settings) {
    for region in &settings.regions {
        if let StoreSettings::S3(bucket) = &region.store
            && let Some(endpoint) = &bucket.cloud.endpoint
            && region_values::is_overheard(endpoint)
        {
            let section = regions::section(&region.name);
            tracing::warn!(
                "{section}.endpoint: {endpoint} is not encrypted: requests are signed, but what they carry \
                 can be read, changed and repeated on its way; use https"
            );
        }
    }
}

/// Logs what is wrong with a store; returns it when nothing may start with it. `any` region can be used.
fn weigh_store(error: Error, any: bool, several: bool) -> Option<Error> {
    let is_outage = error.kind() == ErrorKind::Unavailable && several;
    if error.kind() == ErrorKind::StorageFull {
        tracing::warn!(error = ?error, "a region is full: what is there can be read and removed, but nothing can be written");
    } else if is_outage || (any && s3_error::is_fault(&error)) {
        tracing::warn!(error = ?error, "a region cannot be used: its tenants cannot write, nor read what has no copy elsewhere, until it can");
    } else {
        return Some(error);
    }
    None
}

/// The same of a key service.
fn weigh_keys(error: Error, any: bool) -> Option<Error> {
    let is_outage = error.kind() == ErrorKind::Unavailable;
    if is_outage || (any && kms_error::is_failure(&error)) {
        tracing::warn!(error = ?error, "a key service does not serve: files whose keys are not in memory cannot be read or written until it does");
        return None;
    }
    Some(error)
}

/// Tries the store of one region, before a tenant is sent there.
///
/// # Errors
/// What keeps it from being used.
pub async fn check_one(settings: &Settings, db: &Database, name: &str) -> Result<()> {
    match settings.region(name) {
        Some(region) => {
            let checked = check_store(region).await;
            checked.map_err(|error| about(settings, region, error))?;
            check_owners_of(std::iter::once(region), db).await
        }
        None => Ok(()),
    }
}

/// The number of each region that the settings name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn numbered<'a>(
    settings: &'a Settings,
    db: &Database,
) -> Result<Vec<(RegionId, &'a RegionSettings)>> {
    let mut all = Vec::new();
    for region in &settings.regions {
        all.push((numbers::number(db, &region.name).await?, region));
    }
    Ok(all)
}

/// Opens the stores of all regions, making folders that are missing.
///
/// # Errors
/// Unavailable when a folder cannot be made or the database does not answer; Invalid when a folder is empty
/// that is not to be.
pub async fn open(settings: &Settings, db: &Database) -> Result<Regions> {
    let mut all = numbered(settings, db).await?;
    // The older ones were there first, if two name the same place.
    all.sort_by_key(|(number, _)| *number);
    let opened = all.into_iter().map(|(number, region)| async move {
        require_blobs(db, number, region).await?;
        let store = open_store(region).await;
        let store = store.map_err(|error| about(settings, region, error))?;
        // A folder answers, or the machine is in trouble anyway.
        let store: Arc<dyn BlobStore> = match region.store {
            StoreSettings::Local(_) => store,
            StoreSettings::S3(_) => Arc::new(Breaker::new(store, region.name.as_str())),
        };
        let store: Arc<dyn BlobStore> = Arc::new(Measured::new(store, &region.name));
        Ok::<_, Error>(Place {
            number,
            region: region.clone(),
            store,
        })
    });
    let places = try_join_all(opened).await?;
    Ok(Regions::new(owners::proven(db, places).await?))
}

/// Looks whose the places of all regions are, as [`open`] does; changes nothing.
///
/// # Errors
/// Invalid when one is another region's or another installation's; Unavailable when the database does not answer.
pub async fn check_owners(settings: &Settings, db: &Database) -> Result<()> {
    check_owners_of(settings.regions.iter(), db).await
}

async fn check_owners_of(
    regions: impl Iterator<Item = &RegionSettings>,
    db: &Database,
) -> Result<()> {
    let known = numbers::list(db).await?;
    let mut places = Vec::new();
    for region in regions {
        let number = known.iter().find(|(_, name)| *name == region.name);
        // One that was never used has no number yet.
        let number = number.map_or(RegionId(i64::MAX), |(number, _)| *number);
        if let Some(store) = there_already(region).await? {
            let region = region.clone();
            places.push(Place {
                number,
                region,
                store,
            });
        }
    }
    owners::check(db, &places).await
}

/// The key service of a region; none when the key file wraps its keys.
///
/// # Errors
/// When its certificates cannot be used.
pub async fn key_service(region: &RegionSettings) -> Result<Option<KmsKeys>> {
    let Some(settings) = &region.key_service else {
        return Ok(None);
    };
    let config = cloud::sdk_config(&settings.cloud).await;
    let config = config.map_err(|error| in_section(region, error))?;
    Ok(Some(KmsKeys::new(&config, settings.key.clone())))
}

/// Logs which tenants cannot be served because the settings do not name their regions, or the key services that
/// wrap their keys. Returns these regions' names.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn warn_of_strangers(settings: &Settings, db: &Database) -> Result<BTreeSet<String>> {
    let all = numbers::list(db).await?;
    let is_strange = |name: &String| settings.region(name).is_none();
    let serves = |name: &String| {
        let region = settings.region(name);
        region.is_some_and(|region| region.key_service.is_some())
    };
    let name_of = |number| all.iter().find(|(known, _)| *known == number);
    let mut lost: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut locked: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for tenant in tenants::list(db).await? {
        let mut tx = db.read(tenant.id).await?;
        let placement = placement::of(&mut tx).await?;
        let mut keys = data_keys::list(&mut tx).await?;
        let copies = key_copies::list(&mut tx).await?;
        drop(tx);
        let places = [Some(placement.region), placement.replica].into_iter();
        let places = places.flatten().filter_map(name_of);
        for (_, name) in places.filter(|(_, name)| is_strange(name)) {
            lost.entry(name).or_default().push(tenant.name.clone());
        }
        let opens_for_replica = |version| {
            let is_used = |region| region == placement.region || Some(region) == placement.replica;
            let copies = copies.iter().filter(|copy| copy.key.version == version);
            let mut used = copies.filter(|copy| is_used(copy.region));
            used.any(|copy| match keeper(&copy.key) {
                Keeper::Kms { region, .. } => name_of(region).is_some_and(|(_, name)| serves(name)),
                Keeper::Local => true,
                Keeper::Unknown => false,
            })
        };
        keys.retain(|(key, _)| !opens_for_replica(key.version));
        let keepers = keys.iter().filter_map(|(key, _)| match keeper(key) {
            Keeper::Kms { region, .. } => Some(region),
            Keeper::Local | Keeper::Unknown => None,
        });
        let keepers: BTreeSet<_> = keepers.collect();
        let keepers = keepers.into_iter().filter_map(name_of);
        for (_, name) in keepers.filter(|(_, name)| !serves(name)) {
            locked.entry(name).or_default().push(tenant.name.clone());
        }
    }
    let unnamed = lost.keys().chain(locked.keys());
    let unnamed = unnamed.map(|name| (*name).to_owned()).collect();
    for (name, tenants) in lost {
        let tenants = tenants.join(", ");
        tracing::warn!(
            region = name,
            %tenants,
            "the settings name no [region.{name}], which tenants are in: nothing there can be used"
        );
    }
    for (name, tenants) in locked {
        let tenants = tenants.join(", ");
        tracing::warn!(
            region = name,
            %tenants,
            "the settings name no kms_key of [region.{name}], which wraps keys of tenants: nothing that they seal can be read or written; put it back, and run 'sealift keys rewrap' before you remove it"
        );
    }
    Ok(unnamed)
}

/// By what a key is wrapped.
fn keeper(key: &StoredKey) -> Keeper {
    let wrapped = WrappedKey {
        provider: key.provider.clone(),
        bytes: key.wrapped.clone(),
    };
    wrapped.keeper()
}

/// A start from nothing must not hide what was stored before, nor take it for leavings. `lack` says of the
/// database that there is nothing in it.
///
/// # Errors
/// Invalid when a store was used already; Unavailable when one cannot be asked.
pub async fn require_empty(settings: &Settings, lack: &str) -> Result<()> {
    for region in &settings.regions {
        let unused = is_unused(region).await;
        if !unused.map_err(|error| about(settings, region, error))? {
            return Err(Error::invalid(format!(
                "{} holds blobs, or did before, but {lack}; put the database back from your backup, or choose \
                 another place for the blobs (region {})",
                owners::shown(region),
                region.name
            )));
        }
    }
    Ok(())
}

async fn is_unused(region: &RegionSettings) -> Result<bool> {
    match there_already(region).await? {
        Some(store) => Ok(is_empty(region).await? && store.owner().await?.is_none()),
        None => Ok(true),
    }
}

/// What is stored while a disk is not mounted would be out of sight when it is: an empty folder must not pass
/// for the one whose blobs the database knows.
async fn require_blobs(db: &Database, number: RegionId, region: &RegionSettings) -> Result<()> {
    if matches!(region.store, StoreSettings::S3(_)) || !is_empty(region).await? {
        return Ok(());
    }
    for tenant in tenants::list(db).await? {
        let mut tx = db.read(tenant.id).await?;
        if blobs::needs_any(&mut tx, number).await? {
            let folder = owners::shown(region);
            return Err(Error::invalid(format!(
                "{folder} is empty, and files of tenant {} have their content there: mount its disk, or put \
                 the folder back from your backup; if that content is lost for good, make a folder '00' in \
                 it, and `sealift fsck` tells what is missing",
                tenant.name
            )));
        }
    }
    Ok(())
}

async fn is_empty(region: &RegionSettings) -> Result<bool> {
    match &region.store {
        StoreSettings::Local(folder) => {
            let entries = std::fs::read_dir(folder.join("blobs"));
            // The store's own files begin with a dot.
            let is_blobs = |entry: std::io::Result<DirEntry>| {
                !entry.is_ok_and(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."))
            };
            Ok(!entries.is_ok_and(|mut entries| entries.any(is_blobs)))
        }
        StoreSettings::S3(_) => {
            let store = open_store(region).await?;
            Ok(store.list(None, 1).await?.is_empty())
        }
    }
}

async fn check_store(region: &RegionSettings) -> Result<()> {
    match there_already(region).await? {
        Some(store) => store.probe().await,
        None => Ok(()),
    }
}

async fn check_keys(region: &RegionSettings) -> Result<()> {
    match key_service(region).await? {
        Some(service) => service.probe(&regions::section(&region.name)).await,
        None => Ok(()),
    }
}

/// A region's store; none when it is a folder that nobody made yet.
async fn there_already(region: &RegionSettings) -> Result<Option<Arc<dyn BlobStore>>> {
    match &region.store {
        StoreSettings::Local(folder) if !folder.join("blobs").exists() => Ok(None),
        _ => open_store(region).await.map(Some),
    }
}

async fn open_store(region: &RegionSettings) -> Result<Arc<dyn BlobStore>> {
    match &region.store {
        StoreSettings::Local(folder) => open_folder(folder).await,
        StoreSettings::S3(bucket) => {
            let config = cloud::sdk_config(&bucket.cloud).await?;
            Ok(Arc::new(S3Store::new(&config, bucket.s3.clone())))
        }
    }
}

async fn open_folder(folder: &Path) -> Result<Arc<dyn BlobStore>> {
    folders::make_above(folder)?;
    let folder = folder.to_owned();
    let opened = tokio::task::spawn_blocking(move || LocalStore::open(&folder)).await;
    Ok(Arc::new(opened.map_err(Error::internal)??))
}

/// Names the region in an error, unless there is but one folder, which the sentence names.
fn about(settings: &Settings, region: &RegionSettings, error: Error) -> Error {
    match settings.regions.as_slice() {
        [only] if only.name == MAIN && matches!(only.store, StoreSettings::Local(_)) => error,
        _ => in_section(region, error),
    }
}

fn in_section(region: &RegionSettings, error: Error) -> Error {
    let section = regions::section(&region.name);
    let sentence = match cloud::SETTINGS
        .iter()
        .any(|key| error.context().starts_with(key))
    {
        true => format!("{section}.{}", error.context()),
        false => format!("{section}: {}", error.context()),
    };
    error.saying(sentence)
}
