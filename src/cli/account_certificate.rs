//! `sealift account certificate`

use std::fs;
use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage_x509::read_certificate;
use crate::accounts::x509::CertificateRule;
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::{Error, Result};
use crate::domain::principal::LoginName;

/// Certificates (X.509) that open an account over TLS
#[derive(Subcommand, Debug)]
pub enum Certificate {
    /// Lets certificates open an account
    Add(Named),
    /// Shows which certificates open an account
    List(List),
    /// Takes it back and ends the account's sessions
    Remove(Named),
}

/// Which certificates, of whose account.
#[derive(Args, Debug)]
pub struct Named {
    /// USER@TENANT
    account: LoginName,
    /// What an authority of the tenant must have put into the certificate: email:ADDRESS, dns:NAME, uri:URI or
    /// cn:NAME; or one certificate, whoever made it: its file, or fingerprint:SHA-256
    certificate: String,
    #[command(flatten)]
    place: Place,
}

/// Whose certificates to show.
#[derive(Args, Debug)]
pub struct List {
    /// USER@TENANT
    account: LoginName,
    #[command(flatten)]
    place: Place,
}

impl Certificate {
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
        let rule = self.rule()?;
        let installation = self.place.open().await?;
        let directory = installation.directory();
        directory.add_certificate(&self.account, &rule).await?;
        self.say(&rule, &format!("{rule} opens {}", self.account))?;
        installation.close().await;
        Ok(())
    }

    async fn remove(self) -> Result<()> {
        let rule = self.rule()?;
        let installation = self.place.open().await?;
        let directory = installation.directory();
        directory.remove_certificate(&self.account, &rule).await?;
        self.say(&rule, &format!("{rule} no longer opens {}", self.account))?;
        installation.close().await;
        Ok(())
    }

    fn rule(&self) -> Result<CertificateRule> {
        const KINDS: [&str; 5] = ["email:", "dns:", "uri:", "cn:", "fingerprint:"];
        let text = &self.certificate;
        match KINDS.iter().any(|kind| text.starts_with(kind)) {
            true => text.parse(),
            false => {
                let der = read_certificate(&read_file(Path::new(text))?)?;
                Ok(CertificateRule::pinned(&der))
            }
        }
    }

    fn say(&self, rule: &CertificateRule, sentence: &str) -> Result<()> {
        let value = json!({
            "account": self.account.to_string(), "certificate": rule.to_string()
        });
        output::result(self.place.format(), &value, sentence)
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let all = installation.directory().certificates(&self.account).await?;
        let head = ["CERTIFICATE", "ADDED"];
        output::list(self.place.format(), &all, head, |one| {
            [one.rule.clone(), one.added_at.clone()]
        })?;
        installation.close().await;
        Ok(())
    }
}

/// Reads a file that is named on the command line.
///
/// # Errors
/// NotFound when it cannot be read.
pub fn read_file(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| {
        let shown = file.display();
        Error::not_found(format!("the file '{shown}' cannot be read: {error}"))
    })
}
