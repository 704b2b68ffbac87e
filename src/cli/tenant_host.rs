//! `sealift tenant host`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::Result;
use crate::domain::host::HostName;

/// Names of hosts that lead to one tenant only
#[derive(Subcommand, Debug)]
pub enum Host {
    /// Gives a name to a tenant: whoever asks for it reaches this tenant, without naming it
    Add(Named),
    /// Shows the names that a tenant has
    List(List),
    /// Takes a name from a tenant
    Remove(Named),
}

/// A name of a tenant.
#[derive(Args, Debug)]
pub struct Named {
    /// The tenant
    tenant: String,
    /// The name, as in files.example.org
    host: HostName,
    #[command(flatten)]
    place: Place,
}

/// Whose names to show.
#[derive(Args, Debug)]
pub struct List {
    /// The tenant
    tenant: String,
    #[command(flatten)]
    place: Place,
}

impl Host {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(named) => named.add().await,
            Self::List(list) => list.run().await,
            Self::Remove(named) => named.remove().await,
        }
    }
}

impl Named {
    async fn add(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        directory.add_host(&self.tenant, &self.host).await?;
        self.tell(&format!("{} leads to {} now", self.host, self.tenant))?;
        installation.close().await;
        Ok(())
    }

    async fn remove(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        directory.remove_host(&self.tenant, &self.host).await?;
        self.tell(&format!("{} leads to no tenant any more", self.host))?;
        installation.close().await;
        Ok(())
    }

    fn tell(&self, sentence: &str) -> Result<()> {
        let value = json!({ "tenant": self.tenant, "host": self.host.as_str() });
        output::result(self.place.format(), &value, sentence)
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let hosts = installation.directory().hosts(&self.tenant).await?;
        output::list(self.place.format(), &hosts, ["HOST"], |host| [host.clone()])?;
        installation.close().await;
        Ok(())
    }
}
