//! Logs go to standard error, as text or as one JSON object a line.

use std::io;

use tracing::Level;
use tracing_subscriber::EnvFilter;

/// The lines of other crates that are written besides warnings.
const QUIET: &str = "russh=warn,sqlx=warn";

/// Starts logging for the whole process. Later calls change nothing.
pub fn start(level: Level, json: bool) {
    let filter = EnvFilter::builder()
        .parse_lossy(format!("{},{QUIET}", level.as_str().to_ascii_lowercase()));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        // Else a line that cannot be written, on a full disk say, is a panic where it is logged.
        .log_internal_errors(false)
        .with_target(level >= Level::DEBUG);
    // Fails only when logging was started before.
    let _ = match json {
        true => lines.json().flatten_event(true).try_init(),
        false => lines.try_init(),
    };
}
