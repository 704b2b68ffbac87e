//! What `sealift up` makes where there is nothing yet, so that one command is enough.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::accounts::manage_accounts::{NewAccount, NewPassword};
use crate::config::settings::Settings;
use crate::db::commit::Committer;
use crate::db::sql::Dialect;
use crate::db::tenants::NewTenant;
use crate::db::{installation as facts, instances, migrate};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::path::VfsPath;
use crate::domain::random;
use crate::domain::secret::Secret;
use crate::net::tls;
use crate::process::lock::FolderLock;
use crate::server::doors::{Doors, Ports};
use crate::server::installation::{self, Installation, Schema};
use crate::server::{folders, keys};

/// The tenant that is made.
pub const TENANT: &str = "demo";
/// The account that is made.
pub const ACCOUNT: &str = "demo@demo";
/// Where its password is, in the data folder.
pub const PASSWORD_FILE: &str = "demo-password";
/// What a running server keeps in the data folder.
pub const READY_FILE: &str = "ready.json";
const DATABASE: &str = "sealift.db";
const KEYS: &str = "keys";

/// An installation in one folder, complete and locked, its ports open.
pub struct Prepared {
    /// The installation.
    pub installation: Installation,
    /// The open ports.
    pub doors: Doors,
    /// Keeps other servers off the folder.
    pub lock: FolderLock,
}

/// Checks all that can be checked without changing anything, then makes what is missing in `data`.
///
/// May be repeated after it was cut short anywhere.
///
/// # Errors
/// With what to do.
pub async fn prepare(data: &Path, settings: Settings, ports: Ports) -> Result<Prepared> {
    let held = look(data)?;
    let doors = Doors::open(&settings, ports).map_err(|error| match error.kind() {
        ErrorKind::Unavailable => error.hinting("'sealift up --any-port' takes free ones"),
        _ => error,
    })?;
    installation::check(&settings, Schema::Made).await?;

    folders::make(data)?;
    let lock = match held {
        Some(lock) => lock,
        None => FolderLock::take(data)?,
    };
    let owner_only = fs::Permissions::from_mode(0o700);
    fs::set_permissions(data, owner_only).map_err(|error| cannot_write(data, error))?;
    remove(&data.join(READY_FILE))?;
    let db = installation::open(&settings).await?;
    migrate::migrate(&db, &settings.database.server_role).await?;
    if db.dialect() == Dialect::Sqlite {
        // Killed a moment ago, perhaps: what it broke off can be gone on with at once.
        instances::release_all(&db).await?;
    }
    keys::ring(&settings, &db).await?;
    certificate(data, db.clock().now())?;
    let installation = Installation {
        committer: Committer::hiding(db, settings.webhooks.temporary.clone()),
        settings,
    };
    demo(data, &installation).await?;
    Ok(Prepared {
        installation,
        doors,
        lock,
    })
}

/// Refuses a folder that is not ours to use; locks one that was used before.
fn look(data: &Path) -> Result<Option<FolderLock>> {
    let shown = data.display();
    match fs::metadata(data) {
        Ok(about) if !about.is_dir() => Err(Error::invalid(format!(
            "'{shown}' is a file; choose a folder by --data"
        ))),
        Ok(_) => {
            let held = FolderLock::take_existing(data)?;
            if held.is_none() {
                refuse_strange(data)?;
            }
            let probe = data.join(".sealift-probe");
            let made = File::create(&probe).and_then(|_| fs::remove_file(&probe));
            made.map_err(|error| {
                let sentence = format!(
                    "the folder '{shown}' cannot be written; \
                     check its owner and its disk, or choose another one"
                );
                Error::new(ErrorKind::Unavailable, sentence).because(error)
            })?;
            Ok(held)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let sentence = format!("the folder '{shown}' cannot be used");
            Err(Error::new(ErrorKind::Unavailable, sentence).because(error))
        }
    }
}

/// A folder that was never ours must be empty: it is closed to others, and the names in it are ours.
fn refuse_strange(data: &Path) -> Result<()> {
    const OURS: [&str; 4] = [DATABASE, KEYS, "blobs", "lost+found"];
    let names = fs::read_dir(data).and_then(|entries| {
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        names.collect::<io::Result<Vec<_>>>()
    });
    let shown = data.display();
    let names = names.map_err(|error| {
        let sentence = format!("the folder '{shown}' cannot be read; choose another one");
        Error::new(ErrorKind::Unavailable, sentence).because(error)
    })?;
    let ours = |name: &OsString| OURS.iter().any(|ours| name == ours);
    match names.is_empty() || names.iter().any(ours) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "'{shown}' holds other things than a sealift installation; choose an empty folder"
        ))),
    }
}

/// The certificate of the front ends that speak TLS.
fn certificate(data: &Path, now: Timestamp) -> Result<()> {
    let folder = data.join("tls");
    folders::make(&folder)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    tls::ensure_self_signed(&certificate, &key, &names, now)
}

/// The password comes first: an account that exists has one that somebody can read.
async fn demo(data: &Path, installation: &Installation) -> Result<()> {
    const MADE: &str = "demo-made";
    let db = installation.database();
    if facts::find(db, MADE).await?.is_some() {
        return Ok(());
    }
    let password = password(&data.join(PASSWORD_FILE))?;
    let directory = installation.directory();
    let tenant = NewTenant {
        name: TENANT.to_owned(),
        retention: installation.settings.retention,
        quota_bytes: None,
        quota_files: None,
        region: installation.home(None).await?,
    };
    there_already(directory.add_tenant(&tenant).await.map(drop))?;
    let mut account = NewAccount::new(ACCOUNT.parse()?);
    account.password = NewPassword::Plain(Secret::new(password));
    account.home = Some(VfsPath::parse("/")?);
    // Plain FTP is there to be tried: `up` listens on this machine only.
    account.clear_text = true;
    there_already(directory.add_account(account).await.map(drop))?;
    facts::keep(db, MADE, "yes").await.map(drop)
}

/// What an earlier start made before it was cut short is there, and good.
fn there_already(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

fn password(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(cannot_write(path, error));
        }
        _ => {}
    }
    let password = generate();
    write_private(path, &format!("{password}\n"))?;
    Ok(password)
}

/// A password of 120 random bits, easy to type.
pub fn generate() -> String {
    data_encoding::BASE32_NOPAD
        .encode(&random::bytes::<15>())
        .to_ascii_lowercase()
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    remove(&temporary)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|error| cannot_write(path, error))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(path, error)),
        _ => Ok(()),
    }
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    let sentence = format!("'{}' cannot be written", path.display());
    Error::new(ErrorKind::Unavailable, sentence).because(error)
}
