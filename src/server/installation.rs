//! The parts of an installation that servers and admin commands have in common.

use std::path::Path;
use std::sync::Arc;

use crate::accounts::manage::Directory;
use crate::config::settings::Settings;
use crate::crypto::keyring::KeyRing;
use crate::db::commit::Committer;
use crate::db::database::{Database, Location};
use crate::db::installation;
use crate::db::migrate::{self, SchemaState};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::InstanceId;
use crate::net::budget::Budget;
use crate::storage::local::LocalStore;
use crate::storage::regions::Regions;
use crate::storage::store::BlobStore;
use crate::vfs::keys::{KEY_LIFE, TenantKeys};
use crate::vfs::service::Vfs;

const FINGERPRINT: &str = "key-fingerprint";

/// An installation whose database is open and has the schema that this program needs.
pub struct Installation {
    /// What it was set up with.
    pub settings: Settings,
    /// Commits its changes.
    pub committer: Committer,
}

impl Installation {
    /// Opens the database of an installation that was made before.
    ///
    /// # Errors
    /// NotFound when there is none; Invalid when its schema is another program's; Unavailable.
    pub async fn open(settings: Settings) -> Result<Self> {
        let db = open_existing(&settings).await?;
        migrate::require_current(&db).await?;
        Ok(Self {
            settings,
            committer: Committer::new(db),
        })
    }

    /// The database.
    pub fn database(&self) -> &Database {
        self.committer.database()
    }

    /// What the operator may do to tenants and accounts.
    pub fn directory(&self) -> Directory {
        Directory::new(self.committer.clone(), self.settings.password_rounds)
    }

    /// The file system over the installation's blobs and keys.
    ///
    /// # Errors
    /// Invalid when the key file or the blobs are not this installation's; Unavailable.
    pub async fn vfs(&self) -> Result<Vfs> {
        let keys = self.keys().await?;
        let store = store(&self.settings.storage).await?;
        let budget = Budget::new(usize::try_from(self.settings.memory.0).unwrap_or(usize::MAX));
        let instance = InstanceId::mint(self.database().clock().now());
        Ok(Vfs::new(
            self.committer.clone(),
            Regions::one(store),
            keys,
            budget,
            instance,
        ))
    }

    /// The tenants' data keys, without the blobs.
    ///
    /// # Errors
    /// Invalid when the key file is not this installation's; Unavailable.
    pub async fn keys(&self) -> Result<TenantKeys> {
        let ring = ring(&self.settings.key_file, self.database()).await?;
        Ok(TenantKeys::new(self.committer.clone(), ring, KEY_LIFE))
    }

    /// Waits for what was submitted and lets the database go.
    pub async fn close(&self) {
        self.committer.drain().await;
        self.database().close().await;
    }
}

/// Opens the database wherever the settings say, making a SQLite file that is missing.
///
/// # Errors
/// Unavailable when it does not answer, Invalid when the URL is malformed.
pub async fn open(settings: &Settings) -> Result<Database> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let database = &settings.database;
    let location = match &database.url {
        Some(url) => Location::Postgres(url.clone()),
        None => Location::Sqlite(database.path.clone()),
    };
    let opened = Database::open(&location, database.connections, clock).await;
    opened.map_err(|error| match error.kind() {
        ErrorKind::Unavailable => {
            let which = match location {
                Location::Postgres(_) => "the PostgreSQL database".to_owned(),
                Location::Sqlite(path) => format!("the database '{}'", path.display()),
            };
            let sentence =
                format!("{which} cannot be opened; check that it is there and reachable");
            Error::new(ErrorKind::Unavailable, sentence).because(error)
        }
        _ => error,
    })
}

async fn open_existing(settings: &Settings) -> Result<Database> {
    let path = &settings.database.path;
    if settings.database.url.is_none() && !path.exists() {
        return Err(Error::not_found(format!(
            "there is no database '{}'; run 'sealift up' or 'sealift migrate' first, \
             or name another folder by --data",
            path.display()
        )));
    }
    open(settings).await
}

/// Opens the key file if it is the one that the database was used with.
///
/// An installation that was never served has no key yet: one is made.
///
/// # Errors
/// Invalid when the key is another installation's; NotFound when it is missing; Unavailable.
pub async fn ring(path: &Path, db: &Database) -> Result<KeyRing> {
    let used = installation::find(db, FINGERPRINT).await?;
    let ring = match open_ring(path, used.as_deref())? {
        Some(ring) => ring,
        None => {
            make_folder_of(path)?;
            KeyRing::create_local(path)?
        }
    };
    if let Some(fingerprint) = ring.fingerprint() {
        let kept = installation::keep(db, FINGERPRINT, fingerprint).await?;
        same(path, &ring, &kept)?;
    }
    Ok(ring)
}

/// Checks that database and key file fit together and that this program can use them; changes
/// nothing.
///
/// # Errors
/// With what to do.
pub async fn check(settings: &Settings) -> Result<()> {
    let path = &settings.database.path;
    if settings.database.url.is_none() && !path.exists() {
        let folder = settings.storage.join("blobs");
        let blobs = std::fs::read_dir(&folder);
        if blobs.is_ok_and(|mut blobs| blobs.next().is_some()) {
            return Err(Error::invalid(format!(
                "'{}' holds blobs but the database '{}' is missing; put it back from your backup, \
                 or choose another folder",
                folder.display(),
                path.display()
            )));
        }
        return open_ring(&settings.key_file, None).map(drop);
    }
    let db = open(settings).await?;
    let checked = check_open(settings, &db).await;
    db.close().await;
    checked
}

async fn check_open(settings: &Settings, db: &Database) -> Result<()> {
    let used = match migrate::state(db).await? {
        SchemaState::Newer => return migrate::require_current(db).await,
        SchemaState::Empty => None,
        SchemaState::Current | SchemaState::Older => installation::find(db, FINGERPRINT).await?,
    };
    open_ring(&settings.key_file, used.as_deref()).map(drop)
}

/// The key ring of the file at `path`; none when there is no file and none is needed.
fn open_ring(path: &Path, used: Option<&str>) -> Result<Option<KeyRing>> {
    match (KeyRing::open_local(path), used) {
        (Ok(ring), Some(used)) => same(path, &ring, used).map(|()| Some(ring)),
        (Ok(ring), None) => Ok(Some(ring)),
        (Err(error), None) if error.kind() == ErrorKind::NotFound => Ok(None),
        (Err(error), Some(_)) if error.kind() == ErrorKind::NotFound => {
            Err(Error::not_found(format!(
                "the key file '{}' is missing; put it back from your copy, since nothing that is \
                 stored can be read without it",
                path.display()
            )))
        }
        (Err(error), _) => Err(error),
    }
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

async fn store(folder: &Path) -> Result<Arc<dyn BlobStore>> {
    make_folder_of(folder)?;
    let folder = folder.to_owned();
    let opened = tokio::task::spawn_blocking(move || LocalStore::open(&folder)).await;
    let store = opened.map_err(Error::internal)??;
    store.probe().await?;
    Ok(Arc::new(store))
}

/// Makes the folder that `path` is to lie in, for its owner only.
///
/// # Errors
/// Unavailable when it cannot be made.
pub fn make_folder_of(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => make_folder(folder),
        _ => Ok(()),
    }
}

/// Makes a folder, for its owner only, with those above it.
///
/// # Errors
/// Unavailable when it cannot be made.
pub fn make_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|error| {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "the folder '{}' cannot be made; choose another one",
                folder.display()
            ),
        )
        .because(error)
    })
}
