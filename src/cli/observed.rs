//! What a server tells of itself while it runs.

use crate::config::settings::Settings;
use crate::config::value::LogFormat;
use crate::domain::error::Result;
use crate::process::logging;
use crate::telemetry::start::Telemetry;

/// Runs `server` with its log, and with what it counts and traces on their way to who wants to know.
///
/// # Errors
/// The server's; Invalid when a setting of telemetry is of no use.
pub async fn observed(settings: &Settings, server: impl Future<Output = Result<u8>>) -> Result<u8> {
    let (level, is_json) = (settings.log.level, settings.log.format == LogFormat::Json);
    let mut telemetry = Telemetry::start(&settings.telemetry, level)?;
    logging::start(level, is_json, telemetry.layers());
    let ended = server.await;
    // After a second signal nobody waits.
    if !matches!(ended, Ok(code) if code != 0) {
        telemetry.stop().await;
    }
    ended
}
