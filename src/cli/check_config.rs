//! `sealift check-config`

use std::path::PathBuf;

use clap::Args;
use tracing::Level;

use crate::cli::{output, place};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::process::logging;
use crate::server::{checks, doors};

/// Says all that is wrong with a settings file, with line and key
///
/// If nothing is, all is looked at as a server does at its start, and refused by the same sentence: the files of
/// certificates and keys, the database and what its role may do, and each region. A small object is written to its
/// bucket (or folder, if that is there), read and removed, and its key service wraps a key that is thrown
/// away. Whose the places of blobs are is compared with what the database says. Last, the database must have been
/// brought up to date by 'sealift migrate', as for 'sealift serve'. Nothing else is
/// changed, and no port is opened; that the addresses are of this machine is looked at. While other regions can be used, one that cannot is a warning, as it is to a server.
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
        doors::check_addresses(&settings)?;
        let checked = checks::check(&settings).await?;
        let file = self.config.display();
        if !checked.unnamed.is_empty() {
            let unnamed: Vec<_> = checked.unnamed.into_iter().collect();
            output::text(&format!(
                "{file}: a server starts, but the settings lack regions or keys that tenants need (see the warnings): {}",
                unnamed.join(", ")
            ))?;
        } else if checked.lacking.is_empty() {
            output::text(&format!("{file}: all settings are right"))?;
        }
        if checked.lacking.is_empty() {
            return Ok(());
        }
        let sentence = format!(
            "{file}: a server starts, but not all regions can be used now: {}",
            checked.lacking.join(", ")
        );
        output::text(&sentence)?;
        match checked.lacking.len() < checked.regions {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Unavailable,
                "no region can be used in full now; try again when what is named above answers",
            )),
        }
    }
}
