//! Which installation a command is about.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::output::Format;
use crate::config::settings::Settings;
use crate::domain::error::{Error, Result};
use crate::server::installation::Installation;

/// The installation, and how to print what is said about it.
#[derive(Args, Debug)]
pub struct Place {
    /// The data folder of an installation made by 'sealift up'
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// The settings file of a configured installation
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Place {
    /// How to print.
    pub fn format(&self) -> Format {
        match self.json {
            true => Format::Json,
            false => Format::Text,
        }
    }

    /// Its settings.
    ///
    /// # Errors
    /// Invalid, with all that is wrong.
    pub fn settings(&self) -> Result<Settings> {
        match &self.config {
            Some(file) => served(file),
            None => embedded(&self.data),
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// As [`Installation::open`].
    pub async fn open(&self) -> Result<Installation> {
        Installation::open(self.settings()?).await
    }

    /// Opens it, on PostgreSQL as the role that owns the tables.
    ///
    /// # Errors
    /// As [`Installation::open`].
    pub async fn open_as_owner(&self) -> Result<Installation> {
        let mut settings = self.settings()?;
        settings.database.as_owner();
        Installation::open(settings).await
    }
}

/// The settings of `sealift up` in `data`, with what the environment overrides.
///
/// # Errors
/// Invalid, with all that is wrong.
pub fn embedded(data: &Path) -> Result<Settings> {
    let overlaid = Settings::embedded(data).overlaid(None, std::env::vars_os().filter_map(text));
    overlaid.map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Error::invalid(lines.join("\n"))
    })
}

/// The settings in `file`, with what the environment overrides.
///
/// # Errors
/// NotFound when it cannot be read; Invalid, with all that is wrong.
pub fn served(file: &Path) -> Result<Settings> {
    let shown = file.display();
    let content = fs::read_to_string(file).map_err(|error| {
        Error::not_found(format!(
            "the settings file '{shown}' cannot be read: {error}"
        ))
    })?;
    let variables = std::env::vars_os().filter_map(text);
    let overlaid = Settings::served().overlaid(Some(&content), variables);
    overlaid.map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|p| format!("{shown}: {p}")).collect();
        Error::invalid(lines.join("\n"))
    })
}

/// Variables that are not UTF-8 are none of ours.
fn text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}
