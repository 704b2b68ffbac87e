//! The file that says a server takes connections, and where.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::InstanceId;

/// A server that takes connections.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// Its process.
    pub pid: u32,
    /// Its instance, as the database knows it.
    pub instance: String,
    /// Where each protocol listens.
    pub listeners: BTreeMap<&'static str, SocketAddr>,
}

impl Ready {
    /// This process.
    pub fn new(instance: InstanceId, listeners: BTreeMap<&'static str, SocketAddr>) -> Self {
        Self {
            pid: std::process::id(),
            instance: instance.to_string(),
            listeners,
        }
    }

    /// Writes it down, whole or not at all, until the result is dropped.
    ///
    /// # Errors
    /// Unavailable when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<ReadyFile> {
        let failed = |error: std::io::Error| {
            let sentence = format!("'{}' cannot be written", path.display());
            Error::new(ErrorKind::Unavailable, sentence).because(error)
        };
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let text = serde_json::to_vec(self).map_err(Error::internal)?;
        fs::write(&temporary, text).map_err(failed)?;
        fs::rename(&temporary, path).map_err(failed)?;
        Ok(ReadyFile(path.to_owned()))
    }
}

/// The written file; removed when dropped.
#[must_use = "the file is removed when this is dropped"]
pub struct ReadyFile(PathBuf);

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Whoever reads a file that stayed finds a pid that is gone.
        let _ = fs::remove_file(&self.0);
    }
}
