//! `sealift deleted`

use clap::{Args, Subcommand};

use crate::cli::arguments;
use crate::cli::output::{self, Format};
use crate::cli::place::Place;
use crate::domain::error::Result;
use crate::domain::id::NodeId;
use crate::domain::path::VfsPath;
use crate::domain::principal::Actor;
use crate::vfs::deleted;

/// Shows what was deleted and is still kept, and brings it back
#[derive(Subcommand, Debug)]
pub enum Deleted {
    /// Shows what was deleted out of a folder
    List(List),
    /// Brings a file back to where it was, or a folder with all that was in it
    Restore(Restore),
}

/// What to show.
#[derive(Args, Debug)]
pub struct List {
    /// The tenant
    tenant: String,
    /// The folder, as it is called now
    #[arg(default_value = "/")]
    path: String,
    /// So many at most, by name
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    place: Place,
}

/// What to bring back.
#[derive(Args, Debug)]
pub struct Restore {
    /// The tenant
    tenant: String,
    /// The file or folder, as the list shows it
    node: NodeId,
    #[command(flatten)]
    place: Place,
}

impl Deleted {
    /// Runs it.
    ///
    /// # Errors
    /// As [`deleted::list`] and [`deleted::restore`] say; NotFound when there is no such tenant.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(list) => list.run().await,
            Self::Restore(restore) => restore.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let folder = VfsPath::parse(&self.path)?;
        let installation = self.place.open().await?;
        let tenant = installation.directory().tenant_id(&self.tenant).await?;
        let (database, limit) = (installation.database(), self.limit as usize);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let missing = limit - found.len();
            let page = deleted::list(database, tenant, &folder, after, missing).await?;
            found.extend(page.items);
            after = page.next;
            if after.is_none() || found.len() == limit {
                break;
            }
        }
        let head = ["NODE", "DELETED", "BY", "KIND", "SIZE", "PATH"];
        output::list(self.place.format(), &found, head, |one| {
            [
                one.node.clone(),
                one.deleted_at.clone(),
                one.user.clone().unwrap_or_else(|| "-".to_owned()),
                one.kind.to_owned(),
                arguments::shown_amount(one.size),
                one.path.clone(),
            ]
        })?;
        if after.is_some() && self.place.format() == Format::Text {
            output::text("there may be more: raise --limit")?;
        }
        installation.close().await;
        Ok(())
    }
}

impl Restore {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let tenant = installation.directory().tenant_id(&self.tenant).await?;
        let committer = &installation.committer;
        let restored = deleted::restore(committer, tenant, &Actor::operator(), self.node).await?;
        let sentence = format!("{} is there again", output::plain(&restored.path));
        output::result(self.place.format(), &restored, &sentence)?;
        installation.close().await;
        Ok(())
    }
}
