//! `sealift serve`

use std::path::PathBuf;

use clap::Args;

use crate::cli::observed::observed;
use crate::cli::place;
use crate::config::settings::Settings;
use crate::domain::error::Result;
use crate::process::lock::FolderLock;
use crate::server::doors::{Doors, Ports};
use crate::server::installation::Installation;
use crate::server::{checks, run};

/// Serves a configured installation
#[derive(Args, Debug)]
pub struct Serve {
    /// The settings file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Listen on free ports, whatever settings and environment say of ports, those for operators and
    /// metrics as well
    #[arg(long)]
    any_port: bool,
}

impl Serve {
    /// Runs it until a signal asks for the end.
    ///
    /// # Errors
    /// What kept it from starting, with what to do.
    pub async fn run(self) -> Result<u8> {
        let settings = place::served(&self.config)?;
        let server = self.serve(settings.clone());
        observed(&settings, Box::pin(server)).await
    }

    async fn serve(&self, settings: Settings) -> Result<u8> {
        let ports = match self.any_port {
            true => Ports::Any,
            false => Ports::Set,
        };
        let doors = Doors::open(&settings, ports)?;
        checks::check(&settings).await?;
        let ready_file = settings.ready_file.clone();
        // Several instances may share PostgreSQL; a SQLite file has one server.
        let folder = settings.database.path.parent().map(PathBuf::from);
        let embedded = settings.database.url.is_none();
        let installation = Installation::open(settings).await?;
        let lock = match folder {
            Some(folder) if embedded => Some(FolderLock::take(&folder)?),
            _ => None,
        };
        // The future is that of the whole server.
        let code = Box::pin(run::run(installation, doors, ready_file, |_| {})).await;
        drop(lock);
        code
    }
}
