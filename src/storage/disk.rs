//! Where a local store keeps its files, and the order in which they become durable.
//!
//! Everything here blocks: callers run it on threads made for that.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use nix::fcntl::OFlag;

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::BlobId;
use crate::domain::random;
use crate::storage::disk_root::{self, DiskRoot};
use crate::storage::refusal;
use crate::storage::store::{Checkpoint, StoredBlob};

/// The folder of a local store: finished blobs in `ab/<id>`, those begun in `ab/<id>.part`, those
/// being put in `ab/<id>.put`, where `ab` are the id's first two digits.
pub struct Disk {
    root: DiskRoot,
    /// Subfolders that this process made sure of; the others may not survive a power cut yet.
    durable: Mutex<HashSet<PathBuf>>,
    claimed: Mutex<HashSet<BlobId>>,
    released: Condvar,
}

/// What follows the bytes of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// They, and the unfinished file's name, are made to survive a power cut.
    Checkpoint,
    /// The blob is complete: file sync, link, folder sync.
    Finish,
    /// More bytes.
    GoOn,
}

impl Disk {
    /// Uses `folder/blobs`, made durably when it is missing.
    ///
    /// # Errors
    /// Unavailable, naming the folder, when it cannot be made.
    pub fn open(folder: &Path) -> Result<Self> {
        let blobs = folder.join("blobs");
        let made = match folder.is_dir() {
            true => Ok(()),
            false => make_folder(folder),
        };
        let opened = made
            .and_then(|()| make_folder(&blobs))
            .and_then(|()| DiskRoot::open(&blobs));
        let root = opened.map_err(|error| {
            let shown = blobs.display();
            let context = format!("the storage folder {shown} cannot be made; check who owns {shown} and the folders above");
            Error::new(ErrorKind::Unavailable, context).because(error)
        })?;
        Ok(Self {
            root,
            durable: Mutex::default(),
            claimed: Mutex::default(),
            released: Condvar::new(),
        })
    }

    /// Stores a whole blob: file sync, link, folder sync.
    ///
    /// # Errors
    /// As [`BlobStore::put`](crate::storage::store::BlobStore::put).
    pub fn put(&self, id: BlobId, sealed: &Bytes) -> Result<()> {
        let claim = Claim::take(self, id);
        self.make_subfolder(id)?;
        self.check_room(id, std::slice::from_ref(sealed))?;
        let path = self.path(id, ".put");
        let created = match create(&path) {
            // What lies here was left by a put that died. It may be a second name of a blob, so it
            // must not be written to.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove(&path).and_then(|()| create(&path))
            }
            created => created,
        };
        let stored = created
            .and_then(|mut file| {
                file.write_all(sealed)?;
                file.sync_all()
            })
            .map_err(|error| refusal::io(id, error))
            .and_then(|()| self.publish(id, &path));
        if stored.is_err() {
            discard(&path);
        }
        drop(claim);
        stored
    }

    /// Starts a blob that comes in pieces.
    ///
    /// # Errors
    /// As [`BlobStore::begin`](crate::storage::store::BlobStore::begin).
    pub fn begin(&self, id: BlobId) -> Result<File> {
        self.make_subfolder(id)?;
        if self.length(id)?.is_some() {
            return Err(refusal::taken(id));
        }
        self.check_room(id, &[])?;
        create(&self.path(id, ".part")).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => refusal::taken(id),
            _ => refusal::io(id, error),
        })
    }

    /// Appends `pieces` to a blob in the making, and does what comes `then`. When they cannot be written, the
    /// room of all but the first `durable` bytes is given back: the database may need it to say so.
    ///
    /// # Errors
    /// `AlreadyExists` or `NotFound` when it was salvaged or deleted meanwhile, `StorageFull` or
    /// Unavailable; nothing can follow then.
    pub fn append(
        &self,
        id: BlobId,
        file: &File,
        (pieces, durable): (&[Bytes], u64),
        then: Then,
    ) -> Result<()> {
        let failed = |error| refusal::io(id, error);
        let path = self.path(id, ".part");
        let claim = Claim::take(self, id);
        if !path.try_exists().map_err(failed)? {
            return Err(self.lost(id));
        }
        let written = match pieces {
            [] => Ok(()),
            _ => self.check_room(id, pieces),
        };
        let written = written.and_then(|()| write_all(file, pieces).map_err(failed));
        if let Err(error) = written {
            if let Err(second) = file.set_len(durable) {
                tracing::debug!(error = ?second, blob = %id, "the room of an upload that failed is not free yet");
            }
            return Err(error);
        }
        match then {
            Then::Checkpoint => {
                file.sync_data().map_err(failed)?;
                self.sync_subfolder(id)?;
            }
            Then::Finish => {
                file.sync_all().map_err(failed)?;
                self.publish(id, &path)?;
            }
            Then::GoOn => {}
        }
        drop(claim);
        Ok(())
    }

    /// Opens a finished blob.
    ///
    /// # Errors
    /// `NotFound` or Unavailable.
    pub fn open_blob(&self, id: BlobId) -> Result<File> {
        let mut options = OpenOptions::new();
        // Or opening what is no file may wait for ever.
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let file = options.open(self.path(id, ""));
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.missing(id),
            _ => refusal::io(id, error),
        })?;
        let about = file.metadata().map_err(|error| refusal::io(id, error))?;
        match about.is_file() {
            true => Ok(file),
            false => Err(refusal::no_file(id)),
        }
    }

    /// The length of a finished blob.
    ///
    /// # Errors
    /// Unavailable.
    pub fn length(&self, id: BlobId) -> Result<Option<u64>> {
        match fs::metadata(self.path(id, "")) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            // Nothing can be read of it, and nothing stored in its place.
            Ok(_) => Ok(Some(0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.check()?;
                Ok(None)
            }
            Err(error) => Err(refusal::io(id, error)),
        }
    }

    /// Makes the checkpointed part of an unfinished blob a blob.
    ///
    /// # Errors
    /// As [`BlobStore::salvage`](crate::storage::store::BlobStore::salvage).
    pub fn salvage(&self, id: BlobId, checkpoint: &Checkpoint) -> Result<()> {
        let claim = Claim::take(self, id);
        if let Some(length) = self.length(id)? {
            return match length < checkpoint.length {
                true => Err(refusal::too_short(id, length)),
                false => self.sync_subfolder(id),
            };
        }
        let path = self.path(id, ".part");
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.missing(id),
            _ => refusal::io(id, error),
        })?;
        let length = file
            .metadata()
            .map_err(|error| refusal::io(id, error))?
            .len();
        if length < checkpoint.length {
            return Err(refusal::too_short(id, length));
        }
        file.set_len(checkpoint.length)
            .and_then(|()| file.sync_all())
            .map_err(|error| refusal::io(id, error))?;
        self.publish(id, &path)?;
        drop(claim);
        Ok(())
    }

    /// Removes all that is kept under an id. A folder that somebody put in a file's place is not the store's, and stays.
    ///
    /// # Errors
    /// Unavailable.
    pub fn delete(&self, id: BlobId) -> Result<()> {
        self.check()?;
        ["", ".part", ".put"].iter().try_for_each(|suffix| {
            remove(&self.path(id, suffix)).map_err(|error| refusal::io(id, error))
        })
    }

    /// Lists blobs by id: those that are finished, or those that are not.
    ///
    /// # Errors
    /// Unavailable.
    pub fn list(
        &self,
        after: Option<BlobId>,
        limit: usize,
        finished: bool,
    ) -> Result<Vec<StoredBlob>> {
        let unlisted = |error| refusal::unavailable().because(error);
        let first = after.map_or(0, |id| id.as_bytes()[0]);
        let mut list = Vec::new();
        for prefix in first..=u8::MAX {
            if list.len() >= limit {
                break;
            }
            let folder = self.root.folder().join(HEXLOWER.encode(&[prefix]));
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.check()?;
                    continue;
                }
                Err(error) => return Err(unlisted(error)),
            };
            let mut found = Vec::new();
            for entry in entries {
                let name = entry.map_err(unlisted)?.file_name();
                found.extend(parse_name(&name.to_string_lossy()));
            }
            found.retain(|(id, suffix)| {
                after.is_none_or(|after| *id > after) && suffix.is_empty() == finished
            });
            found.sort_unstable_by_key(|(id, _)| *id);
            found.dedup_by_key(|(id, _)| *id);
            for (id, suffix) in found {
                if list.len() >= limit {
                    break;
                }
                list.extend(self.describe(id, suffix)?);
            }
        }
        Ok(list)
    }

    /// Writes, syncs, reads and removes a small file.
    ///
    /// # Errors
    /// `StorageFull` or Unavailable, naming the folder.
    pub fn probe(&self) -> Result<()> {
        let suffix = HEXLOWER.encode(&random::bytes::<8>());
        let path = self.root.folder().join(format!(".probe-{suffix}"));
        let tried = create(&path)
            .and_then(|mut file| {
                file.write_all(b"probe")?;
                file.sync_all()
            })
            .and_then(|()| fs::read(&path))
            .and_then(|read| match read == b"probe" {
                true => Ok(()),
                false => Err(io::ErrorKind::InvalidData.into()),
            });
        discard(&path);
        let tried = tried.and_then(|()| self.root.check_room(0));
        tried.map_err(|error| {
            let shown = self.root.folder().display();
            let (kind, remedy) = match disk_root::is_full(&error) {
                true => (ErrorKind::StorageFull, "is full; free some space"),
                false => (
                    ErrorKind::Unavailable,
                    "cannot be read and written; check its disk, mount and owner",
                ),
            };
            Error::new(kind, format!("the storage folder {shown} {remedy}")).because(error)
        })
    }

    /// What is written of whose the folder is; none when nothing is.
    ///
    /// # Errors
    /// Unavailable.
    pub fn owner(&self) -> Result<Option<String>> {
        self.root.owner().map_err(|error| self.gone(error))
    }

    /// Writes whose the folder is, unless that is written already; returns what is written there now.
    ///
    /// # Errors
    /// `StorageFull` or Unavailable.
    pub fn claim(&self, owner: &str) -> Result<String> {
        let claimed = self.root.claim(owner);
        claimed.map_err(|error| match disk_root::is_full(&error) {
            true => refusal::full().because(error),
            false => self.gone(error),
        })
    }

    /// Looks whether the folder is there and takes what is written; writes nothing.
    ///
    /// # Errors
    /// Unavailable.
    pub fn look(&self) -> Result<()> {
        self.root.look().map_err(|error| self.gone(error))
    }

    /// Gives a synced file the blob's name, unless that is taken.
    fn publish(&self, id: BlobId, from: &Path) -> Result<()> {
        let to = self.path(id, "");
        match fs::hard_link(from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.sync_subfolder(id)?;
                discard(from);
                return Err(refusal::taken(id));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.lost(id)),
            Err(error) => return Err(refusal::io(id, error)),
        }
        if let Err(error) = self.sync_subfolder(id) {
            discard(&to);
            return Err(error);
        }
        discard(from);
        Ok(())
    }

    /// Why an unfinished file is not there any more.
    fn lost(&self, id: BlobId) -> Error {
        match self.length(id) {
            Ok(Some(_)) => refusal::taken(id),
            Ok(None) => refusal::missing(id),
            Err(error) => error,
        }
    }

    /// Why a blob is not there: with its folder everything is gone, and nothing is known of any blob.
    fn missing(&self, id: BlobId) -> Error {
        self.check().err().unwrap_or_else(|| refusal::missing(id))
    }

    /// That nothing is there under an id means something only in the folder that was opened.
    fn check(&self) -> Result<()> {
        self.root.check().map_err(|error| self.gone(error))
    }

    fn gone(&self, error: io::Error) -> Error {
        let folder = self.root.folder().display();
        refusal::unavailable().because(format!("the storage folder {folder}: {error}"))
    }

    fn describe(&self, id: BlobId, suffix: &str) -> Result<Option<StoredBlob>> {
        let metadata = match fs::metadata(self.path(id, suffix)) {
            Ok(metadata) if metadata.is_dir() => return Ok(None),
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refusal::io(id, error)),
        };
        let seconds = Timestamp::from_seconds(metadata.mtime());
        Ok(Some(StoredBlob {
            id,
            length: metadata.len(),
            modified: Timestamp(seconds.0.saturating_add(metadata.mtime_nsec() / 1000)),
            finished: suffix.is_empty(),
        }))
    }

    fn make_subfolder(&self, id: BlobId) -> Result<()> {
        let folder = self.subfolder(id);
        if lock(&self.durable).contains(&folder) {
            return Ok(());
        }
        // Or it would be made, and written to, on the disk below the one that is lost.
        self.check()?;
        make_folder(&folder).map_err(|error| refusal::io(id, error))?;
        lock(&self.durable).insert(folder);
        Ok(())
    }

    fn check_room(&self, id: BlobId, pieces: &[Bytes]) -> Result<()> {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        let room = self.root.check_room(bytes);
        room.map_err(|error| refusal::io(id, error))
    }

    fn sync_subfolder(&self, id: BlobId) -> Result<()> {
        sync_folder(&self.subfolder(id)).map_err(|error| refusal::io(id, error))
    }

    fn subfolder(&self, id: BlobId) -> PathBuf {
        let [prefix, ..] = id.as_bytes();
        self.root.folder().join(HEXLOWER.encode(&[*prefix]))
    }

    fn path(&self, id: BlobId, suffix: &str) -> PathBuf {
        self.subfolder(id).join(format!("{id}{suffix}"))
    }
}

/// The right to change what is under an id: held by one thread of the process at a time, and
/// only while it works.
struct Claim<'a> {
    disk: &'a Disk,
    id: BlobId,
}

impl<'a> Claim<'a> {
    fn take(disk: &'a Disk, id: BlobId) -> Self {
        let mut claimed = lock(&disk.claimed);
        while !claimed.insert(id) {
            let waited = disk.released.wait(claimed);
            claimed = waited.unwrap_or_else(PoisonError::into_inner);
        }
        Self { disk, id }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        lock(&self.disk.claimed).remove(&self.id);
        self.disk.released.notify_all();
    }
}

fn parse_name(name: &str) -> Option<(BlobId, &'static str)> {
    let (id, suffix) = match name.split_once('.') {
        None => (name, ""),
        Some((id, "part")) => (id, ".part"),
        Some((id, "put")) => (id, ".put"),
        Some(_) => return None,
    };
    Some((id.parse().ok()?, suffix))
}

fn write_all(mut file: &File, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = slices.as_mut_slice();
    // Drops empty pieces at the front, which would look like a file that takes no more.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes one folder, or takes it as it is; either way its name is durable afterwards.
fn make_folder(path: &Path) -> io::Result<()> {
    let made = DirBuilder::new().mode(0o700).create(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => {
            return Err(error);
        }
        _ => {}
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            let shown = path.display();
            tracing::warn!(
                "{shown} is a folder where the file of a blob should be; look what put it there, and remove it"
            );
            Ok(())
        }
        removed => removed,
    }
}

/// Removes what is of no use any more; when that fails, `delete` gets it later.
fn discard(path: &Path) {
    drop(remove(path));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
