//! What must be right before a configured installation is served; `sealift check-config` asks the same.

use crate::config::settings::Settings;
use crate::domain::error::{Error, Result};
use crate::server::stores::Checked;
use crate::server::{doors, installation, tls};
use crate::sftp::host_keys::HostKeys;
use crate::telemetry::start;

/// Checks all that a start needs, from the files up to the regions. Opens no port, and makes no key, folder or
/// database.
///
/// # Errors
/// The sentence by which a start is refused.
pub async fn check(settings: &Settings) -> Result<Checked> {
    doors::check(settings)?;
    let files = settings.clone();
    let looking = tokio::task::spawn_blocking(move || {
        HostKeys::check(&files.sftp.host_keys, files.sftp.front.algorithms)?;
        start::syslog_servers(&files.telemetry.syslog)?;
        tls::check(&files)
    });
    looking.await.map_err(Error::internal)??;
    installation::check(settings).await
}
