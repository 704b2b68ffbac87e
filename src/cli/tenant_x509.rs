//! `sealift tenant x509`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::account_certificate::read_file;
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::Result;

/// Authorities (X.509) whose certificates open a tenant's accounts over TLS
#[derive(Subcommand, Debug)]
pub enum X509 {
    /// Lets an authority's certificates open the accounts that are mapped to them
    Add(Add),
    /// Shows the authorities that a tenant trusts
    List(List),
    /// Trusts an authority no more and ends the sessions of accounts that certificates open
    Remove(Remove),
    /// Takes an authority's newest list of revoked certificates; without one, shows all lists
    Crl(Crl),
}

/// An authority to trust.
#[derive(Args, Debug)]
pub struct Add {
    /// The tenant
    tenant: String,
    /// The file of the authority's own certificate, in PEM or DER
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Whose authorities to show.
#[derive(Args, Debug)]
pub struct List {
    /// The tenant
    tenant: String,
    #[command(flatten)]
    place: Place,
}

/// An authority to trust no more.
#[derive(Args, Debug)]
pub struct Remove {
    /// The tenant
    tenant: String,
    /// Its fingerprint (SHA-256, in hex) as the list shows it
    fingerprint: String,
    #[command(flatten)]
    place: Place,
}

/// What was revoked.
#[derive(Args, Debug)]
pub struct Crl {
    /// The tenant
    tenant: String,
    /// The file of the list, in PEM or DER
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

impl X509 {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Remove(remove) => remove.run().await,
            Self::Crl(crl) => crl.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let file = read_file(&self.file)?;
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let (fingerprint, subject) = directory.add_x509_authority(&self.tenant, &file).await?;
        let value = json!({
            "tenant": self.tenant, "fingerprint": fingerprint, "subject": subject
        });
        let sentence = format!(
            "certificates of {} open the accounts of {} that are mapped to them",
            subject.escape_debug(),
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
        let directory = installation.directory();
        let all = directory.x509_authorities(&self.tenant).await?;
        let head = ["FINGERPRINT", "SUBJECT", "ENDS", "ADDED"];
        output::list(self.place.format(), &all, head, |one| {
            [
                one.fingerprint.clone(),
                one.subject.clone(),
                one.valid_to.clone(),
                one.added_at.clone(),
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
            .remove_x509_authority(&self.tenant, &self.fingerprint)
            .await?;
        let value = json!({ "tenant": self.tenant, "fingerprint": self.fingerprint });
        let sentence = format!(
            "certificates of {} open nothing of {} any more",
            self.fingerprint, self.tenant
        );
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl Crl {
    async fn run(self) -> Result<()> {
        let file = self.file.as_deref().map(read_file).transpose()?;
        let installation = self.place.open().await?;
        let directory = installation.directory();
        if let Some(file) = file {
            directory.set_x509_crls(&self.tenant, &file).await?;
        }
        let all = directory.x509_crls(&self.tenant).await?;
        let head = ["AUTHORITY", "REVOKED", "MADE", "NEXT"];
        output::list(self.place.format(), &all, head, |one| {
            [
                one.issuer.clone(),
                one.revoked.to_string(),
                one.made_at.clone(),
                one.next_at.clone(),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}
