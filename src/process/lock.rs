//! A lock on a data folder, so that two servers never work on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::domain::error::{Error, ErrorKind, Result};

const NAME: &str = "sealift.lock";

/// Held as long as this lives; the system frees it however the process ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks `folder`, making the lock file when it is missing.
    ///
    /// # Errors
    /// Busy when another process holds it; Unavailable when the file cannot be made.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|error| failed(&path, error))?;
        Self::lock(folder, file)
    }

    /// Locks `folder` if it has a lock file; changes nothing. None when there is no lock file.
    ///
    /// # Errors
    /// As [`FolderLock::take`].
    pub fn take_existing(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(NAME);
        match OpenOptions::new().write(true).open(&path) {
            Ok(file) => Self::lock(folder, file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, error)),
        }
    }

    fn lock(folder: &Path, file: File) -> Result<Self> {
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Busy,
                format!(
                    "another sealift server runs on '{}'; stop it first",
                    folder.display()
                ),
            )),
            Err(TryLockError::Error(error)) => Err(failed(folder, error)),
        }
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "'{}' cannot be written; check the folder's owner and its disk",
            path.display()
        ),
    )
    .because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random;

    #[test]
    fn a_folder_is_locked_once_and_free_again_after_that() {
        let name = data_encoding::HEXLOWER.encode(&random::bytes::<8>());
        let folder = std::env::temp_dir().join(format!("sealift-lock-{name}"));
        std::fs::create_dir(&folder).unwrap();
        assert!(FolderLock::take_existing(&folder).unwrap().is_none());
        let lock = FolderLock::take(&folder).unwrap();
        assert_eq!(
            FolderLock::take(&folder).unwrap_err().kind(),
            ErrorKind::Busy
        );
        drop(lock);
        assert!(FolderLock::take_existing(&folder).unwrap().is_some());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
