//! The parts of an installation that servers and admin commands have in common.

use std::sync::Arc;

use crate::accounts::manage::Directory;
use crate::config::settings::{DatabaseSettings, Settings};
use crate::config::value::KeyKind;
use crate::db::commit::Committer;
use crate::db::database::{Database, Location};
use crate::db::migrate::{self, SchemaState};
use crate::db::regions;
use crate::db::server_role::{self, Excess};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{InstanceId, RegionId};
use crate::ftp::options;
use crate::net::budget::Budget;
use crate::server::stores::Checked;
use crate::server::{keys, stores};
use crate::telemetry::start;
use crate::vfs::keys::{KEY_LIFE, TenantKeys};
use crate::vfs::service::Vfs;

/// An installation whose database is open and has the schema that this program needs.
#[derive(Clone)]
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
            committer: Committer::hiding(db, settings.webhooks.temporary.clone()),
            settings,
        })
    }

    /// The number of a region, which the settings must name.
    ///
    /// # Errors
    /// NotFound when they do not; Unavailable.
    pub async fn region(&self, name: &str) -> Result<RegionId> {
        if self.settings.region(name).is_none() {
            let all: Vec<_> = self
                .settings
                .regions
                .iter()
                .map(|r| r.name.as_str())
                .collect();
            return Err(Error::not_found(format!(
                "the settings name no region '{name}'; there are {}",
                all.join(", ")
            )));
        }
        regions::number(self.database(), name).await
    }

    /// The number of the region of a new tenant; none names the one that the settings name.
    ///
    /// # Errors
    /// NotFound when they do not name it; Invalid when nothing would wrap the tenant's keys there.
    pub async fn home(&self, name: Option<&str>) -> Result<RegionId> {
        let name = name.unwrap_or(&self.settings.home);
        let region = self.region(name).await?;
        let wrapped = self
            .settings
            .region(name)
            .is_some_and(|r| r.key_service.is_some());
        match self.settings.keys == KeyKind::AwsKms && !wrapped {
            true => Err(Error::invalid(format!(
                "region '{name}' has no kms_key, and keys.kind is \"aws-kms\": nothing would wrap \
                 the tenant's keys; set kms_key there, or choose another region"
            ))),
            false => Ok(region),
        }
    }

    /// The database.
    pub fn database(&self) -> &Database {
        self.committer.database()
    }

    /// What the operator may do to tenants and accounts.
    pub fn directory(&self) -> Directory {
        Directory::new(self.committer.clone(), self.settings.password_rounds)
            .with_least_length(self.settings.password_length)
            .knowing_doors(options::check)
    }

    /// The file system over the installation's blobs and keys.
    ///
    /// # Errors
    /// Invalid when the key file or the blobs are not this installation's; Unavailable.
    pub async fn vfs(&self) -> Result<Vfs> {
        let keys = self.keys().await?;
        let regions = stores::open(&self.settings, self.database()).await?;
        let budget = Budget::new(usize::try_from(self.settings.memory.0).unwrap_or(usize::MAX));
        let instance = start::announced_instance();
        let instance = instance.unwrap_or_else(|| InstanceId::mint(self.database().clock().now()));
        Ok(Vfs::new(
            self.committer.clone(),
            regions,
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
        let ring = keys::ring(&self.settings, self.database()).await?;
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
    opened.map_err(|error| refused(database, error))
}

/// Names the database in an error of its opening, and what there is to do.
fn refused(database: &DatabaseSettings, error: Error) -> Error {
    let setting = match database.url == database.owner_url {
        true => "database.owner_url",
        false => "database.url",
    };
    let file = database.path.display();
    let (kind, sentence) = match (error.kind(), &database.url) {
        (ErrorKind::Unavailable, Some(_)) => (
            ErrorKind::Unavailable,
            format!(
                "{setting}: the PostgreSQL database cannot be opened; check that it is there and reachable"
            ),
        ),
        (ErrorKind::Unavailable, None) => (
            ErrorKind::Unavailable,
            format!(
                "database.path: the database '{file}' cannot be opened; check that it and its folder are there \
                 and belong to the server's user"
            ),
        ),
        (ErrorKind::Internal, Some(_)) => (
            ErrorKind::Unavailable,
            format!(
                "{setting}: PostgreSQL does not let that role into that database; check its name, its password \
                 and the database's name"
            ),
        ),
        (ErrorKind::Internal, None) => (
            ErrorKind::Corrupt,
            format!(
                "database.path: '{file}' is no database that can be used; check that it belongs to the server's \
                 user, or put it back from your backup"
            ),
        ),
        _ => return error,
    };
    Error::new(kind, sentence).because(error)
}

async fn open_existing(settings: &Settings) -> Result<Database> {
    match is_missing(settings)? {
        true => Err(missing(settings)),
        false => open(settings).await,
    }
}

fn missing(settings: &Settings) -> Error {
    let path = settings.database.path.display();
    Error::not_found(format!(
        "there is no database '{path}'; run 'sealift up' or 'sealift migrate' first, or name another folder by \
         --data"
    ))
}

/// Whether SQLite's file is not there yet.
fn is_missing(settings: &Settings) -> Result<bool> {
    let path = &settings.database.path;
    if settings.database.url.is_some() {
        return Ok(false);
    }
    let there = path.try_exists().map_err(|error| {
        let sentence = format!(
            "nobody can tell whether the database '{}' is there; run this as the server's user",
            path.display()
        );
        Error::new(ErrorKind::Unavailable, sentence).because(error)
    });
    Ok(!there?)
}

/// What a start does about a schema that is missing or older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// It makes the one that it needs.
    Made,
    /// It is refused.
    Required,
}

/// Checks that database, keys and regions fit together and can be used; changes nothing. Returns what keeps no server
/// from its start. A schema that is missing is told last.
///
/// # Errors
/// With what to do.
pub async fn check(settings: &Settings, schema: Schema) -> Result<Checked> {
    if is_missing(settings)? {
        keys::check_file(settings)?;
        let checked = stores::check(settings).await?;
        let path = settings.database.path.display();
        let lack = format!("the database '{path}' is missing");
        stores::require_empty(settings, &lack).await?;
        return match schema {
            Schema::Made => Ok(checked),
            Schema::Required => Err(missing(settings)),
        };
    }
    let db = open(settings).await?;
    let mut checked = check_open(settings, &db).await;
    if schema == Schema::Required && checked.is_ok() {
        checked = migrate::require_current(&db).await.and(checked);
    }
    db.close().await;
    checked
}

async fn check_open(settings: &Settings, db: &Database) -> Result<Checked> {
    require_bound(db).await?;
    let state = migrate::state(db).await?;
    match state {
        SchemaState::Newer => migrate::require_current(db).await?,
        SchemaState::Empty => keys::check_file(settings)?,
        SchemaState::Current | SchemaState::Older => keys::check(settings, db).await?,
    }
    let mut checked = stores::check(settings).await?;
    match state {
        SchemaState::Current => {
            checked.unnamed = stores::warn_of_strangers(settings, db).await?;
            stores::check_owners(settings, db).await?;
        }
        SchemaState::Empty => stores::require_empty(settings, "the database is empty").await?,
        // What the start of this program looks at may not be there before 'sealift migrate'.
        SchemaState::Newer | SchemaState::Older => {}
    }
    Ok(checked)
}

/// Refuses a role that row security does not bind: it keeps tenants apart where the program forgets to.
async fn require_bound(db: &Database) -> Result<()> {
    let what = match server_role::excess(db).await? {
        None => return Ok(()),
        Some(Excess::Exempt) => "is exempt from row security (BYPASSRLS)",
        Some(Excess::Owner) => "owns the tables",
        Some(Excess::Superuser) => "is a superuser",
    };
    Err(Error::new(
        ErrorKind::Denied,
        format!(
            "database.url: the role that it names {what}, itself or by a membership, so that nothing keeps one \
             tenant's rows from another; name a role that owns nothing, has neither SUPERUSER nor BYPASSRLS and is a \
             member of none that does, and run 'sealift migrate' with that role as database.server_role"
        ),
    ))
}
