//! `sealift account ftp` and `sealift tenant ftp`

use clap::Args;
use serde_json::json;

use crate::accounts::manage_logins::LoginChange;
use crate::cli::account_login;
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::Result;
use crate::domain::principal::LoginName;

/// What FTP does for an account.
#[derive(Args, Debug)]
pub struct OfAccount {
    /// USER@TENANT
    account: LoginName,
    /// Options as in stall=60s or login-tls=required, in place of those it has; without them they are shown
    options: Vec<String>,
    /// Takes its options away: it has those of its tenant
    #[arg(long, conflicts_with = "options")]
    clear: bool,
    #[command(flatten)]
    place: Place,
}

/// What FTP does for the accounts of a tenant.
#[derive(Args, Debug)]
pub struct OfTenant {
    /// The tenant
    tenant: String,
    /// Options as in stall=60s or login-tls=required, in place of those it has; without them they are shown
    options: Vec<String>,
    /// Takes its options away: it has what the settings say
    #[arg(long, conflicts_with = "options")]
    clear: bool,
    #[command(flatten)]
    place: Place,
}

impl OfAccount {
    /// Runs it.
    ///
    /// # Errors
    /// Invalid for options that FTP does not know; as
    /// [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        let change = LoginChange {
            door_options: change(&self.options, self.clear),
            ..LoginChange::default()
        };
        account_login::apply(&self.place, &self.account, change).await
    }
}

impl OfTenant {
    /// Runs it.
    ///
    /// # Errors
    /// As [`OfAccount::run`].
    pub async fn run(self) -> Result<()> {
        let change = change(&self.options, self.clear);
        let installation = self.place.open().await?;
        let directory = installation.directory();
        if let Some(options) = change {
            let options = options.as_deref();
            directory.set_door_options(&self.tenant, options).await?;
        }
        let options = directory.door_options(&self.tenant).await?;
        let value = json!({ "tenant": self.tenant, "door_options": options });
        let shown = options.as_deref().unwrap_or("as set for all");
        let sentence = format!("FTP for {}: {shown}", self.tenant);
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

/// What becomes of the options; none leaves them.
fn change(words: &[String], clear: bool) -> Option<Option<String>> {
    match words {
        [] => clear.then_some(None),
        words => Some(Some(words.join(" "))),
    }
}
