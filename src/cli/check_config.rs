//! `sealift check-config`

use std::path::PathBuf;

use clap::Args;

use crate::cli::{output, place};
use crate::domain::error::Result;

/// Says all that is wrong with a settings file, with line and key
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
    pub fn run(self) -> Result<()> {
        place::served(&self.config)?;
        output::text(&format!(
            "{}: all settings are right",
            self.config.display()
        ));
        Ok(())
    }
}
