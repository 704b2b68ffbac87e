//! `sealift account totp`

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::Result;
use crate::domain::principal::LoginName;
use crate::server::keys;

/// Codes of an authenticator app as a second factor
#[derive(Subcommand, Debug)]
pub enum Totp {
    /// Gives an account a new secret and recovery codes, shows them once and ends its sessions
    Add(Named),
    /// Takes them away and ends the account's sessions
    Remove(Named),
    /// Shows whether an account has a second factor, and how many recovery codes are left
    Show(Named),
}

/// An account.
#[derive(Args, Debug)]
pub struct Named {
    /// USER@TENANT
    account: LoginName,
    #[command(flatten)]
    place: Place,
}

impl Totp {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(named) => named.add().await,
            Self::Remove(named) => named.remove().await,
            Self::Show(named) => named.show().await,
        }
    }
}

impl Named {
    async fn add(self) -> Result<()> {
        let installation = self.place.open().await?;
        let tenant_keys = Arc::new(installation.keys().await?);
        let source = keys::source(tenant_keys.clone());
        let directory = installation.directory();
        let made = directory.add_second_factor(&self.account, &source).await?;
        let value = json!({
            "account": self.account.to_string(),
            "uri": made.uri.as_str(),
            "recovery_codes": made.recovery_codes,
        });
        let sentence = format!(
            "{}\n\nGive this to an authenticator app; it is not shown again. Whoever logs in as {} with a\n\
             password is asked for a code from now on; keys open it as before, unless 'sealift account\n\
             methods' says otherwise. Each of these opens it once in place of a code:\n\n    {}",
            *made.uri,
            self.account,
            made.recovery_codes.join("\n    ")
        );
        let lost = format!(
            "{} has a second factor, but it could not be shown; run the same again for another one",
            self.account
        );
        output::secret(self.place.format(), &value, &sentence, lost)?;
        tenant_keys.stop().await;
        installation.close().await;
        Ok(())
    }

    async fn remove(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        directory.remove_second_factor(&self.account).await?;
        let value = json!({ "account": self.account.to_string() });
        let sentence = format!("{} has no second factor any more", self.account);
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }

    async fn show(self) -> Result<()> {
        let installation = self.place.open().await?;
        let rules = installation.directory().login_rules(&self.account).await?;
        let value = json!({
            "account": rules.login,
            "second_factor": rules.second_factor,
            "recovery_codes": rules.recovery_codes,
        });
        let sentence = match rules.second_factor {
            true => format!(
                "{} has a second factor, and {} recovery codes are left",
                rules.login, rules.recovery_codes
            ),
            false => format!("{} has no second factor", rules.login),
        };
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}
