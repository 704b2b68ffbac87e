//! What must be right before a configured installation is served; `sealift check-config` asks the same.

use std::path::Path;

use nix::unistd::{AccessFlags, access};

use crate::config::settings::Settings;
use crate::domain::error::{Error, Result};
use crate::server::installation::Schema;
use crate::server::stores::Checked;
use crate::server::{doors, installation, tls};
use crate::sftp::host_keys::HostKeys;
use crate::telemetry::start;

/// Checks all that a start needs, from the files and folders up to the regions. Opens no port, and makes no key, folder or
/// database.
///
/// # Errors
/// The sentence by which a start is refused.
pub async fn check(settings: &Settings) -> Result<Checked> {
    doors::check(settings)?;
    let files = settings.clone();
    let looking = tokio::task::spawn_blocking(move || {
        if !files.sftp.listen.is_empty() {
            can_be_made("sftp.host_keys", &files.sftp.host_keys)?;
        }
        HostKeys::check(&files.sftp.host_keys, files.sftp.front.algorithms)?;
        if let Some(file) = &files.ready_file {
            is_in_a_folder("server.ready_file", file)?;
        }
        start::syslog_servers(&files.telemetry.syslog)?;
        tls::check(&files)
    });
    looking.await.map_err(Error::internal)??;
    installation::check(settings, Schema::Required).await
}

/// Checks that a folder is there, or that it can be made in the nearest one above it that is; makes nothing.
fn can_be_made(setting: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    let above = folder.ancestors().skip(1).find(|above| above.exists());
    let above = above.unwrap_or(Path::new("."));
    let may = access(above, AccessFlags::W_OK | AccessFlags::X_OK);
    match above.is_dir() && may.is_ok() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{setting}: the folder '{}' cannot be made in '{}'; make it, or choose another one",
            folder.display(),
            above.display()
        ))),
    }
}

/// Checks that the folder is there in which a file is to be written.
fn is_in_a_folder(setting: &str, file: &Path) -> Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match folder.is_dir() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{setting}: there is no folder '{}'; make it, or name a file in another one",
            folder.display()
        ))),
    }
}
