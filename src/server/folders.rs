//! Folders that only their owner can read.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::domain::error::{Error, ErrorKind, Result};

/// Makes the folder that `path` is to lie in, for its owner only.
///
/// # Errors
/// Unavailable when it cannot be made.
pub fn make_above(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => make(folder),
        _ => Ok(()),
    }
}

/// Makes a folder, for its owner only, with those above it.
///
/// # Errors
/// Unavailable when it cannot be made.
pub fn make(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|error| {
        let sentence = format!(
            "the folder '{}' cannot be made; choose another one",
            folder.display()
        );
        Error::new(ErrorKind::Unavailable, sentence).because(error)
    })
}
