//! `sealift webhook`

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage::Directory;
use crate::accounts::manage_grants::Place as Folder;
use crate::accounts::webhook_views::{NewWebhook, WebhookChange, Which};
use crate::cli::arguments::duration;
use crate::cli::output;
use crate::cli::place::Place;
use crate::cli::webhook_deliveries::{Deliveries, Replay};
use crate::domain::error::Result;
use crate::domain::path::VfsPath;
use crate::domain::temporary::TemporaryNames;
use crate::domain::topic::Topics;
use crate::server::keys;

/// Tells others what happens in a tenant
#[derive(Subcommand, Debug)]
pub enum Webhook {
    /// Adds a webhook and shows its secret, once
    Add(Add),
    /// Shows a tenant's webhooks
    List(Tenant),
    /// Changes a webhook
    Alter(Alter),
    /// Removes a webhook, with what was not delivered yet
    Remove(Named),
    /// Has a webhook told that this is a test
    Test(Named),
    /// Gives a webhook another secret and shows it, once
    Secret(Secret),
    /// Shows what was sent to a webhook, and what waits
    Deliveries(Deliveries),
    /// Shows what was given up
    Dead(Deliveries),
    /// Has what was given up sent again, or one event
    Replay(Replay),
    /// Shows or sets under which names nothing is told, as clients rename them when they are complete
    TemporaryNames(Temporary),
}

/// A new webhook.
#[derive(Args, Debug)]
pub struct Add {
    /// The tenant
    tenant: String,
    /// What it is called
    name: String,
    /// Where what happens is sent: https://HOST/PATH
    url: String,
    /// Which events, joined by commas: file.stored, file.deleted, file.restored, file.renamed,
    /// folder.deleted, folder.restored, folder.renamed, login.failed, quota.near; or all
    #[arg(long, default_value = "file.stored")]
    events: Topics,
    /// Only what is about this folder and what is below it
    #[arg(long, default_value = "/")]
    path: String,
    #[command(flatten)]
    place: Place,
}

/// Whose webhooks.
#[derive(Args, Debug)]
pub struct Tenant {
    /// The tenant
    tenant: String,
    #[command(flatten)]
    place: Place,
}

/// A webhook.
#[derive(Args, Debug)]
pub struct Named {
    /// The tenant
    tenant: String,
    /// What the webhook is called
    name: String,
    #[command(flatten)]
    place: Place,
}

/// What becomes of a webhook.
#[derive(Args, Debug)]
pub struct Alter {
    /// The tenant
    tenant: String,
    /// What the webhook is called
    name: String,
    /// Calls it so
    #[arg(long, value_name = "NAME")]
    rename: Option<String>,
    /// Sends there
    #[arg(long)]
    url: Option<String>,
    /// Which events, joined by commas
    #[arg(long)]
    events: Option<Topics>,
    /// Only what is about this folder and what is below it
    #[arg(long)]
    path: Option<String>,
    /// Sends again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Sends nothing any more
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    place: Place,
}

/// A webhook that gets another secret.
#[derive(Args, Debug)]
pub struct Secret {
    /// The tenant
    tenant: String,
    /// What the webhook is called
    name: String,
    /// How long the secret before signs too
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    overlap: Duration,
    #[command(flatten)]
    place: Place,
}

/// Names under which nothing is told.
#[derive(Args, Debug)]
pub struct Temporary {
    /// The tenant
    tenant: String,
    /// Patterns joined by commas, as in "*.part, .in.*"; empty for none
    #[arg(long, value_name = "PATTERNS", conflicts_with = "default")]
    set: Option<TemporaryNames>,
    /// Those of the settings
    #[arg(long)]
    default: bool,
    #[command(flatten)]
    place: Place,
}

impl Webhook {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`] says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Alter(alter) => alter.run().await,
            Self::Remove(named) => named.remove().await,
            Self::Test(named) => named.test().await,
            Self::Secret(secret) => secret.run().await,
            Self::Deliveries(deliveries) => deliveries.run(None).await,
            Self::Dead(deliveries) => deliveries.dead().await,
            Self::Replay(replay) => replay.run().await,
            Self::TemporaryNames(names) => names.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let tenant_keys = Arc::new(installation.keys().await?);
        let source = keys::source(tenant_keys.clone());
        let warning = nothing_there(&installation.directory(), &self.tenant, &self.path).await?;
        let new = NewWebhook {
            name: self.name,
            url: self.url,
            topics: self.events,
            path: self.path,
            made_by: "operator".to_owned(),
        };
        let (directory, reach) = (
            installation.directory(),
            &installation.settings.webhooks.reach,
        );
        let added = directory.add_webhook(&self.tenant, new, reach, &source);
        let (secret, view) = added.await?;
        let sentence = format!(
            "added webhook {} of {}{warning}\nits secret, which is not shown again: {}",
            view.name, self.tenant, *secret
        );
        let value = json!({ "secret": secret.as_str(), "webhook": view });
        let lost = format!(
            "webhook {} has a secret that could not be shown; make another one by 'sealift webhook secret {} {}'",
            view.name, self.tenant, view.name
        );
        output::secret(self.place.format(), &value, &sentence, lost)?;
        tenant_keys.stop().await;
        installation.close().await;
        Ok(())
    }
}

/// The end of a sentence about a webhook whose folder is not there (yet): it is told nothing until one is.
async fn nothing_there(directory: &Directory, tenant: &str, path: &str) -> Result<String> {
    let folder = Folder {
        tenant: tenant.to_owned(),
        path: VfsPath::parse(path)?,
    };
    Ok(match directory.is_there(&folder).await? {
        true => String::new(),
        false => format!(
            "; warning: there is no {} now",
            output::plain(&folder.to_string())
        ),
    })
}

impl Tenant {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let all = installation.directory().webhooks(&self.tenant).await?;
        let head = ["NAME", "URL", "EVENTS", "FOLDER", "STATE"];
        output::list(self.place.format(), &all, head, |one| {
            [
                one.name.clone(),
                one.url.clone(),
                one.events.join(","),
                one.path.clone(),
                one.state.to_owned(),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}

impl Named {
    async fn remove(self) -> Result<()> {
        let installation = self.place.open().await?;
        let which = Which::Name(self.name.clone());
        let directory = installation.directory();
        directory.remove_webhook(&self.tenant, &which).await?;
        self.done("removed webhook")?;
        installation.close().await;
        Ok(())
    }

    async fn test(self) -> Result<()> {
        let installation = self.place.open().await?;
        let which = Which::Name(self.name.clone());
        let directory = installation.directory();
        directory.test_webhook(&self.tenant, &which).await?;
        self.done("a test is on its way; 'sealift webhook deliveries' shows what comes of it, at")?;
        installation.close().await;
        Ok(())
    }

    fn done(&self, what: &str) -> Result<()> {
        let value = json!({ "tenant": self.tenant, "webhook": self.name });
        let sentence = format!("{what} {} of {}", self.name, self.tenant);
        output::result(self.place.format(), &value, &sentence)
    }
}

impl Alter {
    async fn run(self) -> Result<()> {
        let change = WebhookChange {
            name: self.rename,
            url: self.url,
            topics: self.events,
            path: self.path,
            enabled: match (self.enable, self.disable) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
        };
        let installation = self.place.open().await?;
        let (directory, reach) = (
            installation.directory(),
            &installation.settings.webhooks.reach,
        );
        let warning = match &change.path {
            Some(path) => nothing_there(&directory, &self.tenant, path).await?,
            None => String::new(),
        };
        let which = Which::Name(self.name);
        let altered = directory.alter_webhook(&self.tenant, which, change, reach);
        let view = altered.await?;
        let (name, state) = (&view.name, view.state);
        let sentence = format!("webhook {name} of {} is {state}{warning}", self.tenant);
        output::result(self.place.format(), &view, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl Secret {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let tenant_keys = Arc::new(installation.keys().await?);
        let source = keys::source(tenant_keys.clone());
        let directory = installation.directory();
        let which = Which::Name(self.name);
        let renewed = directory.renew_webhook_secret(&self.tenant, &which, self.overlap, &source);
        let (secret, view) = renewed.await?;
        let until = view.old_secret_until.as_ref().map_or_else(
            || "the one before signs no more".to_owned(),
            |until| format!("the one before signs too until {until}"),
        );
        let sentence = format!(
            "the secret of webhook {}, which is not shown again: {}\n{until}",
            view.name, *secret
        );
        let value = json!({ "secret": secret.as_str(), "webhook": view });
        let lost = format!(
            "webhook {} has a secret that could not be shown; make another one by 'sealift webhook secret {} {}'",
            view.name, self.tenant, view.name
        );
        output::secret(self.place.format(), &value, &sentence, lost)?;
        tenant_keys.stop().await;
        installation.close().await;
        Ok(())
    }
}

impl Temporary {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        if self.set.is_some() || self.default {
            directory
                .set_temporary_names(&self.tenant, self.set)
                .await?;
        }
        let own = directory.temporary_names(&self.tenant).await?;
        let is_own = own.is_some();
        let names = own.unwrap_or_else(|| installation.settings.webhooks.temporary.clone());
        let names = names.to_string();
        let value = json!({ "tenant": self.tenant, "temporary_names": names, "is_own": is_own });
        let sentence = match is_own {
            true => format!("nothing is told in {} of names like {names}", self.tenant),
            false => format!(
                "nothing is told in {} of names like {names}, as in the settings",
                self.tenant
            ),
        };
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}
