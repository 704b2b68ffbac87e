//! `sealift account key`

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::public_key::PublicKey;
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::{Error, Result};
use crate::domain::principal::LoginName;

/// Public keys that open an account
#[derive(Subcommand, Debug)]
pub enum Key {
    /// Lets a public key open an account
    Add(Add),
    /// Shows an account's keys
    List(List),
    /// Takes a key away and ends the account's sessions
    Remove(Remove),
}

/// A new key.
#[derive(Args, Debug)]
pub struct Add {
    /// USER@TENANT
    account: LoginName,
    /// The file of the public key, as ssh-keygen makes it: it ends in .pub
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Whose keys to show.
#[derive(Args, Debug)]
pub struct List {
    /// USER@TENANT
    account: LoginName,
    #[command(flatten)]
    place: Place,
}

/// A key to take away.
#[derive(Args, Debug)]
pub struct Remove {
    /// USER@TENANT
    account: LoginName,
    /// Its fingerprint as the list shows it: SHA256:...
    fingerprint: String,
    #[command(flatten)]
    place: Place,
}

impl Key {
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
        let key = read_key(&self.file)?;
        let installation = self.place.open().await?;
        installation
            .directory()
            .add_key(&self.account, &key)
            .await?;
        let fingerprint = key.fingerprint();
        let value = json!({ "account": self.account.to_string(), "fingerprint": fingerprint });
        let sentence = format!("{fingerprint} opens {}", self.account);
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let keys = installation.directory().keys(&self.account).await?;
        let head = ["FINGERPRINT", "KIND", "COMMENT", "ADDED"];
        output::list(self.place.format(), &keys, head, |key| {
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
            .remove_key(&self.account, &self.fingerprint)
            .await?;
        let value = json!({ "account": self.account.to_string(), "fingerprint": self.fingerprint });
        let sentence = format!("{} no longer opens {}", self.fingerprint, self.account);
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

/// Reads the file of a public key.
///
/// # Errors
/// NotFound when it cannot be read; Invalid when it holds no key that is taken.
pub fn read_key(file: &Path) -> Result<PublicKey> {
    let text = fs::read_to_string(file).map_err(|error| {
        let shown = file.display();
        Error::not_found(format!("the key file '{shown}' cannot be read: {error}"))
    })?;
    PublicKey::parse(&text)
}
