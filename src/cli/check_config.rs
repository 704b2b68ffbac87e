//! `sealift check-config`

use std::path::PathBuf;

use clap::Args;
use tracing::Level;

use crate::cli::{output, place};
use crate::domain::error::Result;
use crate::process::logging;
use crate::server::stores;

/// Says all that is wrong with a settings file, with line and key
///
/// If nothing is, each region is tried as a server does at its start: a small object is written to its
/// bucket (or folder, if that is there), read and removed, and its key service wraps a key that is thrown
/// away. Nothing else is changed.
#[derive(Args, Debug)]
pub struct CheckConfig {
    /// The settings file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl CheckConfig {
    /// Runs it.
    ///
    /// # Errors
    /// Invalid, with all that is wrong.
    pub async fn run(self) -> Result<()> {
        let settings = place::served(&self.config)?;
        logging::start(Level::WARN, false, Vec::new());
        stores::check(&settings).await?;
        output::text(&format!(
            "{}: all settings are right",
            self.config.display()
        ));
        Ok(())
    }
}
