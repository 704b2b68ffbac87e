//! Logs go to standard error, as text or as one JSON object a line, and to whoever else is to hear them.

use std::io;

use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use crate::telemetry::otlp::Layer;

/// The lines of other crates that are written besides warnings; and spans are for who traces.
const QUIET: &str = "russh=warn,sqlx=warn,sealift::spans=off";

/// Starts logging for the whole process, also to `others`. Later calls change nothing.
pub fn start(level: Level, json: bool, others: Vec<Layer>) {
    let filter = EnvFilter::builder()
        .parse_lossy(format!("{},{QUIET}", level.as_str().to_ascii_lowercase()));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        // Else a line that cannot be written, on a full disk say, is a panic where it is logged.
        .log_internal_errors(false)
        .with_target(json || level >= Level::DEBUG);
    let lines = match json {
        true => lines.json().flatten_event(true).boxed(),
        false => lines.boxed(),
    };
    let mut all: Vec<Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>> = others;
    all.push(lines.with_filter(filter).boxed());
    // Fails only when logging was started before.
    let _ = Registry::default().with(all).try_init();
}
