//! Whether the folder of a local store is the one that was opened: a disk that is not mounted any more leaves
//! none, or an empty one in its place.
//!
//! Everything here blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use data_encoding::HEXLOWER;
use nix::sys::statvfs::statvfs;

use crate::domain::random;
use crate::domain::reserve::Room;

/// A file that says which store the folder is, wherever the disk is mounted next.
const MARKER: &str = ".store";
/// A file that says whose the folder is.
const OWNER: &str = ".owner";

/// The folder that holds everything.
pub struct DiskRoot {
    folder: PathBuf,
    /// Device and number, as they were when the folder was opened.
    opened: (u64, u64),
    /// What the marker says; unknown while it could not be read or written.
    name: OnceLock<String>,
}

impl DiskRoot {
    /// Takes the folder that is there now for the store's.
    ///
    /// # Errors
    /// When it cannot be looked at. That it cannot be written to is no error here.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let root = Self {
            folder: folder.to_owned(),
            opened: identity(folder)?,
            name: OnceLock::new(),
        };
        // A folder that is read-only or full is known by its number.
        let _ = root.mark();
        Ok(root)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Checks that it is there, and is the one that was opened. Costs one call to the system, or a few.
    ///
    /// # Errors
    /// `NotFound` when it is not.
    pub fn check(&self) -> io::Result<()> {
        if identity(&self.folder).is_ok_and(|now| now == self.opened) {
            return Ok(());
        }
        // The same disk may be another device after it was mounted again.
        let told = fs::read_to_string(self.folder.join(MARKER))?;
        match self.name.get() == Some(&told) {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "another folder is in its place; is the disk mounted?",
            )),
        }
    }

    /// The same, and that the disk takes what is written, of which nothing is. One that is full passes: what is
    /// there can be read, and removing some of it is what makes room.
    ///
    /// # Errors
    /// As [`DiskRoot::check`], and as opening a file to write to it.
    pub fn look(&self) -> io::Result<()> {
        self.check()?;
        let marker = OpenOptions::new()
            .write(true)
            .open(self.folder.join(MARKER));
        match marker {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.mark() {
                Err(error) if is_full(&error) => Ok(()),
                marked => marked,
            },
            // A command that another user started made it, which says nothing of the folder.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            opened => opened.map(drop),
        }
    }

    /// Checks that so many bytes of content may be written: some room is kept back for what makes room, also where the
    /// database is on the same disk.
    ///
    /// # Errors
    /// `StorageFull` when they may not.
    pub fn check_room(&self, bytes: u64) -> io::Result<()> {
        let found = statvfs(&self.folder)?;
        let block = found.fragment_size();
        let room = Room {
            total: block.saturating_mul(found.blocks()),
            free: block.saturating_mul(found.blocks_available()),
        };
        match room.takes_content(bytes) {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("{} bytes are free, which are kept for deleting", room.free),
            )),
        }
    }

    /// What is written of whose the folder is; none when nothing is.
    ///
    /// # Errors
    /// As [`DiskRoot::check`], and as reading the file.
    pub fn owner(&self) -> io::Result<Option<String>> {
        self.check()?;
        match fs::read_to_string(self.folder.join(OWNER)) {
            Ok(told) => Ok(Some(told)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes whose the folder is, unless that is written already; returns what is written there now.
    ///
    /// # Errors
    /// As [`DiskRoot::check`], and as writing the file.
    pub fn claim(&self, owner: &str) -> io::Result<String> {
        self.check()?;
        let told = write_once(&self.folder.join(OWNER), owner)?;
        // Nobody may take the place for a new one after a power cut.
        File::open(&self.folder)?.sync_all()?;
        Ok(told)
    }

    /// Reads the marker, or makes one. Of several processes that make one, all go by the first.
    fn mark(&self) -> io::Result<()> {
        let marker = self.folder.join(MARKER);
        if let Ok(told) = fs::read_to_string(&marker) {
            let _ = self.name.set(told);
            return Ok(());
        }
        let random = HEXLOWER.encode(&random::bytes::<16>());
        let name = self.name.get().unwrap_or(&random);
        let _ = self.name.set(write_once(&marker, name)?);
        Ok(())
    }
}

/// Writes a file that is not there yet, whole; returns what it says then, whoever wrote it.
fn write_once(file: &Path, text: &str) -> io::Result<String> {
    let mut begun = file.as_os_str().to_owned();
    begun.push(format!("-{}", HEXLOWER.encode(&random::bytes::<16>())));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&begun)
        .and_then(|mut new| {
            new.write_all(text.as_bytes())?;
            new.sync_all()
        })
        .and_then(|()| fs::hard_link(&begun, file));
    let _ = fs::remove_file(&begun);
    match written {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::read_to_string(file),
    }
}

/// Whether the disk has no room left.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(folder)?;
    Ok((metadata.dev(), metadata.ino()))
}
