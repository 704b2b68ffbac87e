//! `sealift group`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage_groups::GroupName;
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::Result;
use crate::domain::principal::LoginName;

/// Adds, shows and changes groups of accounts
#[derive(Subcommand, Debug)]
pub enum Group {
    /// Adds a group
    Add(Named),
    /// Shows a tenant's groups and their members
    List(List),
    /// Removes a group and what it was granted
    Remove(Named),
    /// Puts an account into a group
    Join(Member),
    /// Takes an account out of a group
    Leave(Member),
}

/// A group.
#[derive(Args, Debug)]
pub struct Named {
    /// NAME@TENANT
    group: GroupName,
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

/// An account and a group.
#[derive(Args, Debug)]
pub struct Member {
    /// NAME@TENANT
    group: GroupName,
    /// USER@TENANT
    account: LoginName,
    #[command(flatten)]
    place: Place,
}

impl Group {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(named) => {
                let installation = named.place.open().await?;
                installation.directory().add_group(&named.group).await?;
                named.done("added")?;
                installation.close().await;
            }
            Self::List(list) => {
                let installation = list.place.open().await?;
                let groups = installation.directory().groups(&list.tenant).await?;
                output::list(
                    list.place.format(),
                    &groups,
                    ["GROUP", "MEMBERS"],
                    |group| [group.group.clone(), group.members.join(", ")],
                )?;
                installation.close().await;
            }
            Self::Remove(named) => {
                let installation = named.place.open().await?;
                installation.directory().remove_group(&named.group).await?;
                named.done("removed")?;
                installation.close().await;
            }
            Self::Join(member) => {
                let installation = member.place.open().await?;
                let directory = installation.directory();
                directory.add_member(&member.group, &member.account).await?;
                member.done("is in")?;
                installation.close().await;
            }
            Self::Leave(member) => {
                let installation = member.place.open().await?;
                let directory = installation.directory();
                directory
                    .remove_member(&member.group, &member.account)
                    .await?;
                member.done("is no longer in")?;
                installation.close().await;
            }
        }
        Ok(())
    }
}

impl Named {
    fn done(&self, what: &str) -> Result<()> {
        let value = json!({ "group": self.group.to_string() });
        let sentence = format!("{what} group {}", self.group);
        output::result(self.place.format(), &value, &sentence)
    }
}

impl Member {
    fn done(&self, what: &str) -> Result<()> {
        let (group, account) = (self.group.to_string(), self.account.to_string());
        let sentence = format!("{account} {what} {group}");
        let value = json!({ "group": group, "account": account });
        output::result(self.place.format(), &value, &sentence)
    }
}
