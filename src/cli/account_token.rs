//! `sealift account token` and `sealift account link`

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage::Directory;
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{LinkId, TokenId};
use crate::domain::principal::LoginName;

/// So many are read at a time.
const PAGE: usize = 1000;

/// Tokens that programs log in with as an account
#[derive(Subcommand, Debug)]
pub enum Token {
    /// Shows the tokens of an account or of a tenant, without their text
    List(List),
    /// Revokes tokens of an account, and what was made by them
    Revoke(Revoke),
}

/// Links that an account has made for people who have none
#[derive(Subcommand, Debug)]
pub enum Link {
    /// Shows the links of an account or of a tenant, without their text
    List(List),
    /// Revokes links of an account
    Revoke(Revoke),
}

/// Whose to show.
#[derive(Args, Debug)]
pub struct List {
    /// USER@TENANT, or TENANT for those of all its accounts
    whose: Whose,
    #[command(flatten)]
    place: Place,
}

/// What to revoke.
#[derive(Args, Debug)]
pub struct Revoke {
    /// USER@TENANT
    account: LoginName,
    /// Their ids as the list shows them
    ids: Vec<String>,
    /// All that the account has
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    place: Place,
}

/// An account, or all of a tenant.
#[derive(Clone, Debug)]
enum Whose {
    Account(LoginName),
    Tenant(String),
}

impl Whose {
    fn tenant(&self) -> &str {
        match self {
            Self::Account(login) => &login.tenant,
            Self::Tenant(tenant) => tenant,
        }
    }

    fn login(&self) -> Option<&LoginName> {
        match self {
            Self::Account(login) => Some(login),
            Self::Tenant(_) => None,
        }
    }
}

impl FromStr for Whose {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.contains('@') {
            true => text.parse().map(Self::Account),
            false => LoginName::check_tenant(text).map(|()| Self::Tenant(text.to_owned())),
        }
    }
}

impl Token {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`] says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(list) => list.tokens().await,
            Self::Revoke(revoke) => revoke.tokens().await,
        }
    }
}

impl Link {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`] says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(list) => list.links().await,
            Self::Revoke(revoke) => revoke.links().await,
        }
    }
}

impl List {
    async fn tokens(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let (tenant, login) = (self.whose.tenant(), self.whose.login());
        let mut all = Vec::new();
        let mut before = None;
        loop {
            let page = directory.tokens_page(tenant, login, before, PAGE).await?;
            let last = page.last().map(|token| token.id.parse::<TokenId>());
            let last = last.transpose()?;
            all.extend(page);
            match last {
                Some(last) => before = Some(last),
                None => break,
            }
        }
        let head = [
            "ID", "ACCOUNT", "NAME", "SCOPES", "MADE", "EXPIRES", "USED", "MADE BY",
        ];
        output::list(self.place.format(), &all, head, |token| {
            let or = |text: &Option<String>, none: &str| text.as_deref().unwrap_or(none).to_owned();
            [
                token.id.clone(),
                token.login.clone(),
                token.name.clone(),
                token.scopes.join(","),
                token.made_at.clone(),
                or(&token.expires_at, "never"),
                or(&token.used_at, "never"),
                or(&token.made_by, "-"),
            ]
        })?;
        installation.close().await;
        Ok(())
    }

    async fn links(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let (tenant, login) = (self.whose.tenant(), self.whose.login());
        let mut all = Vec::new();
        let mut before = None;
        loop {
            let page = directory.links_page(tenant, login, before, PAGE).await?;
            let last = page.last().map(|link| link.id.parse::<LinkId>());
            let last = last.transpose()?;
            all.extend(page);
            match last {
                Some(last) => before = Some(last),
                None => break,
            }
        }
        let head = [
            "ID", "ACCOUNT", "KIND", "PATH", "NAME", "STATE", "MADE", "EXPIRES", "USES",
        ];
        output::list(self.place.format(), &all, head, |link| {
            [
                link.id.clone(),
                link.login.clone(),
                link.kind.to_owned(),
                link.path.clone().unwrap_or_else(|| "(gone)".to_owned()),
                link.name.clone(),
                link.state.to_owned(),
                link.made_at.clone(),
                link.expires_at
                    .clone()
                    .unwrap_or_else(|| "never".to_owned()),
                link.uses.to_string(),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}

impl Revoke {
    fn check(&self, listing: &str) -> Result<()> {
        match self.ids.is_empty() && !self.all {
            true => Err(Error::invalid(format!(
                "name ids, which '{listing} {}' shows, or give --all for all that the account has",
                self.account
            ))),
            false => Ok(()),
        }
    }

    async fn tokens(self) -> Result<()> {
        self.check("sealift account token list")?;
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let (tenant, account) = (&self.account.tenant, &self.account);
        let mut ids = parsed::<TokenId>(&self.ids)?;
        if self.all {
            // One account has few.
            let all = directory.tokens_page(tenant, Some(account), None, PAGE);
            let all = all.await?;
            let all = all.iter().map(|token| token.id.parse::<TokenId>());
            ids = all.collect::<Result<_>>()?;
        }
        let (mut tokens, mut links) = (0, 0);
        for id in ids {
            match directory.revoke_token(tenant, Some(account), id).await {
                Ok(ended) => {
                    tokens += ended.tokens.len();
                    links += ended.links.len();
                }
                // It ended with one before it.
                Err(error) if self.all && error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let value = json!({ "account": account.to_string(), "tokens": tokens, "links": links });
        let sentence = format!(
            "revoked {tokens} tokens of {account}, and with them {links} links; servers refuse them within two \
             seconds"
        );
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }

    async fn links(self) -> Result<()> {
        self.check("sealift account link list")?;
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let account = &self.account;
        let mut revoked = 0;
        for id in parsed::<LinkId>(&self.ids)? {
            revoke_link(&directory, account, id).await?;
            revoked += 1;
        }
        if self.all {
            loop {
                let some = directory.links_page(&account.tenant, Some(account), None, PAGE);
                let some = some.await?;
                if some.is_empty() {
                    break;
                }
                for link in some {
                    revoke_link(&directory, account, link.id.parse()?).await?;
                    revoked += 1;
                }
            }
        }
        let value = json!({ "account": account.to_string(), "links": revoked });
        let sentence = format!("revoked {revoked} links of {account}");
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

fn parsed<I: FromStr<Err = Error>>(ids: &[String]) -> Result<Vec<I>> {
    ids.iter().map(|id| id.parse()).collect()
}

async fn revoke_link(directory: &Directory, account: &LoginName, id: LinkId) -> Result<()> {
    let revoked = directory.revoke_link(&account.tenant, Some(account), id);
    revoked.await
}
