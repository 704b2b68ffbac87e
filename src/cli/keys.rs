//! `sealift keys`

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::output::{self, Format};
use crate::cli::place::Place;
use crate::db::database::Database;
use crate::db::placement;
use crate::db::tenants::{self, Tenant};
use crate::domain::error::{Error, Result};
use crate::domain::principal::Actor;
use crate::server::own_keys;
use crate::vfs::key_care::{self, KeyCopyView, KeyView};
use crate::vfs::key_destroy::{self, KmsKey};

/// Shows, renews and destroys the keys that seal a tenant's files
#[derive(Subcommand, Debug)]
pub enum Keys {
    /// Shows the versions of a tenant's key and what wraps them, or the installation's own keys
    List(Listed),
    /// Seals new files with a new version; those that are stored stay as they are
    Rotate(Named),
    /// Wraps all versions anew by what now keeps the tenant's keys; no file is touched
    Rewrap(Rewrap),
    /// Destroys a tenant's keys: nobody can read its files any more, nor its backups
    Destroy(Destroy),
}

/// Whose to show.
#[derive(Args, Debug)]
pub struct Listed {
    /// The tenant; without one, the keys of the installation itself are shown
    tenant: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// A tenant.
#[derive(Args, Debug)]
pub struct Named {
    /// The tenant
    tenant: String,
    #[command(flatten)]
    place: Place,
}

/// Whose.
#[derive(Args, Debug)]
pub struct Rewrap {
    /// The tenant
    tenant: Option<String>,
    /// All tenants, and the installation's own keys
    #[arg(long, conflicts_with = "tenant")]
    all: bool,
    #[command(flatten)]
    place: Place,
}

/// Whose, and how surely.
#[derive(Args, Debug)]
pub struct Destroy {
    /// The tenant
    #[arg(required_unless_present = "yes_destroy")]
    tenant: Option<String>,
    /// Destroy this tenant's keys without asking
    #[arg(long, value_name = "TENANT")]
    yes_destroy: Option<String>,
    /// Days until a KMS key that only this tenant has is deleted for good, 7 to 30
    #[arg(long, value_name = "DAYS", default_value_t = 30,
        value_parser = clap::value_parser!(u8).range(7..=30))]
    window: u8,
    /// Leave the tenant's own KMS key as it is
    #[arg(long)]
    keep_kms_key: bool,
    #[command(flatten)]
    place: Place,
}

impl Keys {
    /// Runs it.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; what the key service refuses; Unavailable.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(listed) => listed.run().await,
            Self::Rotate(named) => named.rotate().await,
            Self::Rewrap(rewrap) => rewrap.run().await,
            Self::Destroy(destroy) => destroy.run().await,
        }
    }
}

async fn named(db: &Database, name: &str) -> Result<Tenant> {
    tenants::by_name(db, name).await?.ok_or_else(|| {
        Error::not_found(format!(
            "there is no tenant '{name}'; 'sealift tenant list' shows all"
        ))
    })
}

impl Listed {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let dash = || "-".to_owned();
        let Some(tenant) = &self.tenant else {
            let keys = own_keys::list(&installation).await?;
            let head = ["FOR", "WRAPPED BY", "REGION"];
            output::list(self.place.format(), &keys, head, |key| {
                [
                    key.purpose.clone(),
                    key.kms_key.clone().unwrap_or_else(|| key.provider.clone()),
                    key.region.clone().unwrap_or_else(dash),
                ]
            })?;
            installation.close().await;
            return Ok(());
        };
        let tenant = named(installation.database(), tenant).await?;
        let keys = key_care::list(installation.database(), tenant.id).await?;
        let head = [
            "VERSION",
            "STATE",
            "WRAPPED BY",
            "REGION",
            "FOR THE REPLICA",
            "ADDED",
        ];
        output::list(self.place.format(), &keys, head, |key| {
            [
                key.version.to_string(),
                match key.current {
                    true => "seals new files".to_owned(),
                    false => "old".to_owned(),
                },
                key.kms_key.clone().unwrap_or_else(|| key.provider.clone()),
                key.region.clone().unwrap_or_else(dash),
                copies(key),
                key.created_at.clone(),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}

/// What wraps a version for the replica as well.
fn copies(key: &KeyView) -> String {
    let copy = |copy: &KeyCopyView| {
        let by = copy.kms_key.as_ref().unwrap_or(&copy.provider);
        format!("{by} ({})", copy.region)
    };
    let copies: Vec<_> = key.copies.iter().map(copy).collect();
    match copies.is_empty() {
        true => "-".to_owned(),
        false => copies.join(", "),
    }
}

impl Named {
    async fn rotate(self) -> Result<()> {
        let installation = self.place.open().await?;
        let tenant = named(installation.database(), &self.tenant).await?;
        let keys = installation.keys().await?;
        let rotated = key_care::rotate(&keys, &Actor::operator(), tenant.id).await?;
        let sentence = format!(
            "new files of {} are sealed with version {} within a minute; it is wrapped by {}",
            tenant.name, rotated.version, rotated.wrapped_by
        );
        output::result(self.place.format(), &rotated, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl Rewrap {
    async fn run(self) -> Result<()> {
        if self.tenant.is_none() && !self.all {
            return Err(Error::invalid(
                "name a tenant, or give --all for all of them and the installation's own keys",
            ));
        }
        let installation = self.place.open().await?;
        let db = installation.database();
        let chosen = match &self.tenant {
            Some(name) => vec![named(db, name).await?],
            None => tenants::list(db).await?,
        };
        let keys = installation.keys().await?;
        let mut done = Vec::new();
        let mut failed = Vec::new();
        // Where it cannot be said, it is done all the same.
        let mut said = Ok(());
        if self.all {
            match own_keys::rewrap(&installation).await {
                Ok(count) => {
                    if self.place.format() == Format::Text {
                        said = output::text(&format!("the installation itself: {count} keys"));
                    }
                    done.push(json!({ "installation": true, "versions": count }));
                }
                Err(error) => {
                    let own = "the installation itself".to_owned();
                    output::refusal_of(&own, &error);
                    failed.push(own);
                }
            }
        }
        for tenant in chosen {
            let destroyed = placement::find(db, tenant.id).await?.keys_destroyed_at;
            if self.all && destroyed.is_some() {
                continue;
            }
            match key_care::rewrap(&keys, &Actor::operator(), tenant.id).await {
                Ok(versions) => {
                    let value = json!({ "tenant": tenant.name, "versions": versions });
                    if self.place.format() == Format::Text {
                        let line = format!("{}: {versions} versions", tenant.name);
                        said = said.and(output::text(&line));
                    }
                    done.push(value);
                }
                Err(error) if self.all => {
                    output::refusal_of(&tenant.name, &error);
                    failed.push(tenant.name);
                }
                Err(error) => return Err(error),
            }
        }
        if self.place.format() == Format::Json {
            said = output::json(&done);
        }
        installation.close().await;
        said?;
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "the keys of {} stay wrapped as they were; run the same again",
                failed.join(", ")
            ))),
        }
    }
}

impl Destroy {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        if let (Some(named), Some(sure)) = (&self.tenant, &self.yes_destroy)
            && named != sure
        {
            return Err(Error::invalid(format!(
                "--yes-destroy names {sure} and not {named}; nothing was destroyed"
            )));
        }
        let name = self.tenant.as_ref().or(self.yes_destroy.as_ref());
        let name = name.map_or("", String::as_str);
        let tenant = named(installation.database(), name).await?;
        if self.yes_destroy.is_none() {
            ask_twice(&tenant.name)?;
        }
        let keys = installation.keys().await?;
        let kms_key = match self.keep_kms_key {
            true => KmsKey::Keep,
            false => KmsKey::Delete(self.window),
        };
        let backups = installation.settings.jobs.blob_grace;
        let actor = Actor::operator();
        let done = key_destroy::destroy(&keys, &actor, tenant.id, kms_key, backups).await?;
        let sentence = format!(
            "destroyed {} versions of the key of {}; servers forget them within a minute, its \
             accounts are kept out, and this is final from {} on: {}",
            done.versions, tenant.name, done.final_at, done.explanation
        );
        output::result(self.place.format(), &done, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

fn ask_twice(tenant: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Error::invalid(format!(
            "this asks before it destroys, and there is no terminal; if it is meant, give \
             --yes-destroy {tenant}"
        )));
    }
    output::prompt(&format!(
        "Nobody will ever read the files of {tenant} again, nor its backups.\nType the tenant's name: "
    ));
    expect(tenant)?;
    output::prompt("Type 'destroy' to destroy its keys now: ");
    expect("destroy")
}

fn expect(word: &str) -> Result<()> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match read.is_ok() && line.trim() == word {
        true => Ok(()),
        false => Err(Error::invalid("nothing was destroyed")),
    }
}
