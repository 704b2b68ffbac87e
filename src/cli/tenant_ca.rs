//! `sealift tenant ca`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage_authorities::Revoked;
use crate::accounts::public_key::PublicKey;
use crate::cli::account_key::read_key;
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::{Error, Result};

/// Keys whose certificates open a tenant's accounts
#[derive(Subcommand, Debug)]
pub enum Ca {
    /// Lets certificates that a key signs open the tenant's accounts
    Add(Add),
    /// Shows the keys that a tenant trusts
    List(List),
    /// Trusts a key no more and ends the tenant's sessions
    Remove(Remove),
    /// Revokes certificates and ends the tenant's sessions; without one, shows what was revoked
    Revoke(Revoke),
}

/// A key to trust.
#[derive(Args, Debug)]
pub struct Add {
    /// The tenant
    tenant: String,
    /// The file of the public key that signs certificates, as ssh-keygen makes it: it ends in .pub
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Whose keys to show.
#[derive(Args, Debug)]
pub struct List {
    /// The tenant
    tenant: String,
    #[command(flatten)]
    place: Place,
}

/// A key to trust no more.
#[derive(Args, Debug)]
pub struct Remove {
    /// The tenant
    tenant: String,
    /// Its fingerprint as the list shows it: SHA256:...
    fingerprint: String,
    #[command(flatten)]
    place: Place,
}

/// What to revoke.
#[derive(Args, Debug)]
pub struct Revoke {
    /// The tenant
    tenant: String,
    /// The certificate with this number
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["key_id", "key"])]
    serial: Option<u64>,
    /// Certificates with this id ('ssh-keygen -I')
    #[arg(long, value_name = "ID", conflicts_with = "key")]
    key_id: Option<String>,
    /// This key: certificates about it, those that it signed, and itself; its file, or its fingerprint SHA256:...
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// Only those that the key with this fingerprint signed; without it, those of any
    #[arg(long, value_name = "FINGERPRINT")]
    ca: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Ca {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Remove(remove) => remove.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let key = read_key(&self.file)?;
        let installation = self.place.open().await?;
        let directory = installation.directory();
        directory.add_authority(&self.tenant, &key).await?;
        let fingerprint = key.fingerprint();
        let value = json!({ "tenant": self.tenant, "fingerprint": fingerprint });
        let sentence = format!(
            "certificates signed by {fingerprint} open the accounts of {} that they name",
            self.tenant
        );
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let all = installation.directory().authorities(&self.tenant).await?;
        let head = ["FINGERPRINT", "KIND", "COMMENT", "ADDED"];
        output::list(self.place.format(), &all, head, |key| {
            [
                key.fingerprint.clone(),
                key.algorithm.clone(),
                key.comment.clone(),
                key.added_at.clone(),
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
        directory
            .remove_authority(&self.tenant, &self.fingerprint)
            .await?;
        let value = json!({ "tenant": self.tenant, "fingerprint": self.fingerprint });
        let sentence = format!(
            "certificates signed by {} open nothing of {} any more",
            self.fingerprint, self.tenant
        );
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl Revoke {
    async fn run(self) -> Result<()> {
        let revoked = match (self.serial, self.key_id, self.key) {
            (Some(number), ..) => Some(Revoked::Serial(number)),
            (_, Some(id), _) => Some(Revoked::KeyId(id)),
            (.., Some(key)) if key.starts_with("SHA256:") => Some(Revoked::Key(key)),
            (.., Some(file)) => {
                let key: PublicKey = read_key(Path::new(&file))?;
                Some(Revoked::Key(key.fingerprint()))
            }
            (None, None, None) => None,
        };
        if revoked.is_none() && self.ca.is_some() {
            return Err(Error::invalid(
                "give --serial, --key-id or --key beside --ca",
            ));
        }
        let installation = self.place.open().await?;
        let directory = installation.directory();
        if let Some(revoked) = revoked {
            directory
                .revoke(&self.tenant, self.ca.as_deref(), revoked)
                .await?;
        }
        let all = directory.revocations(&self.tenant).await?;
        let head = ["REVOKED", "WHICH", "SIGNED BY", "SINCE"];
        output::list(self.place.format(), &all, head, |one| {
            [
                one.kind.clone(),
                one.value.clone(),
                one.authority.clone().unwrap_or_else(|| "any".to_owned()),
                one.revoked_at.clone(),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}
