//! `sealift grant`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage_grants::{self, Place as Folder, SubjectName};
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::Result;
use crate::domain::rights::Rights;

/// Gives and takes rights on folders
#[derive(Subcommand, Debug)]
pub enum Grant {
    /// Gives rights on a folder and what is below it, in place of those given there before
    Add(Add),
    /// Shows all grants of a tenant
    List(List),
    /// Takes away what was given on a folder
    Remove(Remove),
}

/// New rights.
#[derive(Args, Debug)]
pub struct Add {
    /// USER@TENANT or group:NAME@TENANT
    subject: SubjectName,
    /// TENANT:/PATH; made where it is missing
    folder: Folder,
    /// Joined by commas: list, read, write, overwrite, delete, rename, make-folders,
    /// set-attributes; or all, read-only
    rights: Rights,
    #[command(flatten)]
    place: Place,
}

/// Which to show.
#[derive(Args, Debug)]
pub struct List {
    /// The tenant
    tenant: String,
    #[command(flatten)]
    place: Place,
}

/// Rights to take away.
#[derive(Args, Debug)]
pub struct Remove {
    /// USER@TENANT or group:NAME@TENANT
    subject: SubjectName,
    /// TENANT:/PATH
    folder: Folder,
    #[command(flatten)]
    place: Place,
}

impl Grant {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Remove(remove) => remove.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let given = directory.add_grant(&self.subject, &self.folder, self.rights);
        let was_there = given.await? == manage_grants::Folder::WasThere;
        let (subject, folder) = (self.subject.to_string(), self.folder.to_string());
        let rights = self.rights.to_string();
        let made = match was_there {
            true => String::new(),
            false => format!("made the folder {folder}; "),
        };
        let sentence = format!("{made}{subject} has {rights} on {folder}");
        let value =
            json!({ "subject": subject, "folder": folder, "rights": rights, "made": !was_there });
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let grants = installation.directory().grants(&self.tenant).await?;
        let head = ["SUBJECT", "FOLDER", "RIGHTS"];
        output::list(self.place.format(), &grants, head, |grant| {
            [
                grant.subject.clone(),
                grant.path.clone().unwrap_or_else(|| "(gone)".to_owned()),
                grant.rights.clone(),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}

impl Remove {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        directory.remove_grant(&self.subject, &self.folder).await?;
        let (subject, folder) = (self.subject.to_string(), self.folder.to_string());
        let sentence = format!("{subject} has nothing from {folder} any more");
        let value = json!({ "subject": subject, "folder": folder });
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}
