//! `sealift account`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage::{Access, Limit};
use crate::accounts::manage_accounts::{Home, NewAccount};
use crate::accounts::manage_alter::AccountChange;
use crate::accounts::manage_logins::LoginChange;
use crate::cli::account_certificate::Certificate;
use crate::cli::account_key::Key;
use crate::cli::account_login::{Addresses, Methods, Principals};
use crate::cli::account_token::{Link, Token};
use crate::cli::account_totp::Totp;
use crate::cli::arguments::{self, Quota};
use crate::cli::ftp_options::OfAccount;
use crate::cli::output;
use crate::cli::password::PasswordFrom;
use crate::cli::place::Place;
use crate::domain::error::{Error, Result};
use crate::domain::path::VfsPath;
use crate::domain::principal::LoginName;
use crate::domain::rights::Rights;

/// Adds, shows and changes accounts
#[derive(Subcommand, Debug)]
pub enum Account {
    /// Adds an account with its home folder and all rights there
    Add(Box<Add>),
    /// Shows the accounts of a tenant, or of all
    List(List),
    /// Keeps an account out and ends its sessions
    Disable(Named),
    /// Lets an account in again
    Enable(Named),
    /// Removes an account with all that opens it and that it was granted; its files stay
    Remove(Named),
    /// Forgets an account's failed logins, so that nobody has to wait for them
    Unlock(Named),
    /// Sets a new password and ends the account's sessions
    Passwd(Passwd),
    /// Changes an account's home, quota, ceiling or sessions, or has it administer its tenant
    Set(Box<Set>),
    /// Public keys that open an account
    #[command(subcommand)]
    Key(Key),
    /// Certificates (X.509) that open an account over TLS
    #[command(subcommand)]
    Certificate(Certificate),
    /// Sets or shows the methods that open an account, in their order; ends its sessions
    Methods(Methods),
    /// Sets or shows the networks that an account may log in from; ends its sessions
    Addresses(Addresses),
    /// Sets or shows the names in certificates that open an account; ends its sessions
    Principals(Principals),
    /// Codes of an authenticator app as a second factor
    #[command(subcommand)]
    Totp(Totp),
    /// Sets or shows what FTP does for an account; ends its sessions
    Ftp(OfAccount),
    /// Tokens that programs log in with as an account
    #[command(subcommand)]
    Token(Token),
    /// Links that an account has made for people who have none
    #[command(subcommand)]
    Link(Link),
}

/// A new account.
#[derive(Args, Debug)]
pub struct Add {
    /// USER@TENANT
    account: LoginName,
    #[command(flatten)]
    password: PasswordFrom,
    /// Its home folder, made where it is missing; /home/USER when not given
    #[arg(long, value_name = "PATH", value_parser = path)]
    home: Option<VfsPath>,
    /// It may list and read, whatever else it is granted
    #[arg(long)]
    read_only: bool,
    /// It administers its tenant
    #[arg(long)]
    administrator: bool,
    #[command(flatten)]
    quota: Quota,
    #[command(flatten)]
    place: Place,
}

/// Which to show.
#[derive(Args, Debug)]
pub struct List {
    /// The tenant; all when not given
    tenant: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// An account.
#[derive(Args, Debug)]
pub struct Named {
    /// USER@TENANT
    account: LoginName,
    #[command(flatten)]
    place: Place,
}

/// A new password.
#[derive(Args, Debug)]
pub struct Passwd {
    /// USER@TENANT
    account: LoginName,
    #[command(flatten)]
    password: PasswordFrom,
    #[command(flatten)]
    place: Place,
}

/// What to change.
#[derive(Args, Debug)]
pub struct Set {
    /// USER@TENANT
    account: LoginName,
    /// Its home folder, made where it is missing; its rights stay as they are
    #[arg(long, value_name = "PATH", value_parser = path)]
    home: Option<VfsPath>,
    /// What no grant reaches beyond: rights joined by commas, or all, read-only
    #[arg(long, value_name = "RIGHTS")]
    ceiling: Option<Rights>,
    /// Most sessions at a time, or 'none' for what the settings say; ends its sessions
    #[arg(long, value_name = "COUNT", value_parser = arguments::count)]
    sessions: Option<Limit<u64>>,
    /// It administers its tenant: true or false; ends its sessions
    #[arg(long, value_name = "BOOL")]
    administrator: Option<bool>,
    #[command(flatten)]
    quota: Quota,
    #[command(flatten)]
    place: Place,
}

impl Account {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Disable(named) => named.run(Access::Refuse).await,
            Self::Enable(named) => named.run(Access::Allow).await,
            Self::Remove(named) => named.remove().await,
            Self::Unlock(named) => named.unlock().await,
            Self::Passwd(passwd) => passwd.run().await,
            Self::Set(set) => set.run().await,
            Self::Key(key) => key.run().await,
            Self::Certificate(certificate) => certificate.run().await,
            Self::Methods(methods) => methods.run().await,
            Self::Addresses(addresses) => addresses.run().await,
            Self::Principals(principals) => principals.run().await,
            Self::Totp(totp) => totp.run().await,
            Self::Ftp(ftp) => ftp.run().await,
            Self::Token(token) => token.run().await,
            Self::Link(link) => link.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let chosen = self.password.choose()?;
        let mut new = NewAccount::new(self.account.clone());
        new.password = chosen.password;
        new.home = self.home;
        new.quota_bytes = arguments::initial(self.quota.bytes());
        new.quota_files = arguments::initial(self.quota.files());
        new.administrator = self.administrator;
        if self.read_only {
            new.ceiling = Rights::READ_ONLY;
        }
        let home = installation.directory().add_account(new).await?;
        let account = self.account.to_string();
        let mut value = json!({ "account": account });
        let mut sentence = format!("added account {account}");
        if home == Home::WasThere {
            sentence += match self.read_only {
                true => "; its home was there already, and the account may read what is in it",
                false => "; its home was there already, and what is in it is the account's now",
            };
        }
        if let Some(made) = chosen.made {
            sentence += &format!("; its password is {made}");
            value = json!({ "account": account, "password": made });
            let lost = format!(
                "account {account} was added, but its password could not be shown; make another one by 'sealift \
                 account passwd {account} --generate'"
            );
            output::secret(self.place.format(), &value, &sentence, lost)?;
            installation.close().await;
            return Ok(());
        }
        if self.password.is_unsaid() {
            sentence += " without a password; give it a key by 'sealift account key add'";
        }
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let accounts = directory.accounts(self.tenant.as_deref()).await?;
        let head = [
            "ACCOUNT", "ID", "STATE", "OFFICE", "HOME", "CEILING", "PASSWORD", "QUOTA", "FILES",
            "ADDED",
        ];
        output::list(self.place.format(), &accounts, head, |account| {
            [
                account.login.clone(),
                account.id.to_string(),
                arguments::shown_state(account.disabled),
                match account.administrator {
                    true => "administrator".to_owned(),
                    false => "-".to_owned(),
                },
                account.home.clone().unwrap_or_else(|| "(gone)".to_owned()),
                account.ceiling.clone(),
                match account.password {
                    true => "yes".to_owned(),
                    false => "no".to_owned(),
                },
                arguments::shown_size(account.quota_bytes),
                arguments::shown_count(account.quota_files),
                account.created_at.clone(),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}

impl Named {
    async fn run(self, access: Access) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        directory.set_account_access(&self.account, access).await?;
        let disabled = access == Access::Refuse;
        let value = json!({ "account": self.account.to_string(), "disabled": disabled });
        let sentence = format!("{} is {}", self.account, arguments::shown_state(disabled));
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }

    async fn remove(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        directory.remove_account(&self.account, None).await?;
        let sentence = format!("removed account {}; its files stay", self.account);
        self.done(&sentence)?;
        installation.close().await;
        Ok(())
    }

    async fn unlock(self) -> Result<()> {
        let installation = self.place.open().await?;
        installation.directory().unlock(&self.account).await?;
        let sentence = format!("forgot the failed logins of {}", self.account);
        self.done(&sentence)?;
        installation.close().await;
        Ok(())
    }

    fn done(&self, sentence: &str) -> Result<()> {
        let value = json!({ "account": self.account.to_string() });
        output::result(self.place.format(), &value, sentence)
    }
}

impl Passwd {
    async fn run(self) -> Result<()> {
        if self.password.is_unsaid() {
            return Err(Error::invalid(
                "give --password-stdin, --hash-stdin, --generate or --no-password",
            ));
        }
        let installation = self.place.open().await?;
        let chosen = self.password.choose()?;
        let directory = installation.directory();
        directory
            .set_password(&self.account, chosen.password)
            .await?;
        let account = self.account.to_string();
        match chosen.made {
            Some(made) => {
                let value = json!({ "account": account, "password": made });
                let sentence = format!("the password of {account} is now {made}");
                let lost = format!(
                    "the password of {account} was changed, but could not be shown; run the same again"
                );
                output::secret(self.place.format(), &value, &sentence, lost)?;
            }
            None => {
                let value = json!({ "account": account });
                let what = match self.password.is_none() {
                    true => "removed",
                    false => "changed",
                };
                let sentence = format!("{what} the password of {account}");
                output::result(self.place.format(), &value, &sentence)?;
            }
        }
        installation.close().await;
        Ok(())
    }
}

impl Set {
    async fn run(self) -> Result<()> {
        let unsaid = self.quota.is_empty() && self.home.is_none() && self.ceiling.is_none();
        if unsaid && self.sessions.is_none() && self.administrator.is_none() {
            return Err(Error::invalid(
                "nothing to change; give --home, --ceiling, --sessions, --administrator, --quota or \
                 --quota-files",
            ));
        }
        let installation = self.place.open().await?;
        let change = AccountChange {
            administrator: self.administrator,
            ceiling: self.ceiling,
            home: self.home.clone(),
            quota_bytes: self.quota.bytes(),
            quota_files: self.quota.files(),
            login: LoginChange {
                sessions: self.sessions.unwrap_or_default(),
                ..LoginChange::default()
            },
            ..AccountChange::default()
        };
        let directory = installation.directory();
        directory.alter_account(&self.account, change, None).await?;
        let value = json!({ "account": self.account.to_string() });
        let mut sentence = format!("changed account {}", self.account);
        if let Some(home) = &self.home
            && !directory.reaches(&self.account, home).await?
        {
            let (account, tenant) = (&self.account, &self.account.tenant);
            sentence += &format!(
                "; it has no rights in {home} yet: 'sealift grant add {account} {tenant}:{home} all' gives them"
            );
        }
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

fn path(text: &str) -> Result<VfsPath> {
    VfsPath::parse(text)
}
