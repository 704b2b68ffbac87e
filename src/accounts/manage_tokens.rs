//! Tokens of programs, of a tenant's accounts: seen without their text, and revoked, by whoever looks after them.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::accounts::manage::Directory;
use crate::accounts::manage_accounts::{Names, account};
use crate::accounts::own_tokens::{Ended, Remove};
use crate::db::api_tokens;
use crate::domain::error::{Error, Result};
use crate::domain::id::TokenId;
use crate::domain::principal::LoginName;

/// A token as it is shown to others than its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenOfAccount {
    /// What it is revoked by.
    pub id: String,
    /// The account, `user@tenant`.
    pub login: String,
    /// What its owner calls it.
    pub name: String,
    /// What it is for.
    pub scopes: Vec<&'static str>,
    /// When it was made.
    pub made_at: String,
    /// When it ends; none is never.
    pub expires_at: Option<String>,
    /// When it was used last, to the minute or so; none is never.
    pub used_at: Option<String>,
    /// The token by which it was made, and with which it ends.
    pub made_by: Option<String>,
}

impl Directory {
    /// Up to `limit` tokens of a tenant's accounts, or of one of them, newest first, made before `before`; expired
    /// ones too.
    ///
    /// # Errors
    /// NotFound when there is no such tenant or account.
    pub async fn tokens_page(
        &self,
        tenant: &str,
        login: Option<&LoginName>,
        before: Option<TokenId>,
        limit: usize,
    ) -> Result<Vec<TokenOfAccount>> {
        let tenant = self.tenant(tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let of = match login {
            Some(login) => Some(account(&mut tx, login).await?.id),
            None => None,
        };
        // Minted ids grow, and none is all ones.
        let before = before.unwrap_or(TokenId::from_slice(&[0xff; 16])?);
        let mut names = Names::default();
        let mut views = Vec::new();
        for token in api_tokens::page(&mut tx, of, before, limit).await? {
            views.push(TokenOfAccount {
                id: token.id.to_string(),
                login: names.login(&mut tx, token.account, &tenant.name).await?,
                name: token.name,
                scopes: token.scopes.words(),
                made_at: token.made_at.to_string(),
                expires_at: token.expires_at.map(|end| end.to_string()),
                used_at: token.used_at.map(|used| used.to_string()),
                made_by: token.made_by.map(|id| id.to_string()),
            });
        }
        Ok(views)
    }

    /// Revokes a token of a tenant's account, or of this one, and with it what was made by it, as its owner does.
    ///
    /// # Errors
    /// NotFound when there is none by this id.
    pub async fn revoke_token(
        &self,
        tenant: &str,
        login: Option<&LoginName>,
        id: TokenId,
    ) -> Result<Ended> {
        let tenant = self.tenant(tenant).await?;
        let (owner, name) = {
            let mut tx = self.db().read(tenant.id).await?;
            let of = match login {
                Some(login) => Some(account(&mut tx, login).await?.id),
                None => None,
            };
            let token = api_tokens::by_id(&mut tx, id).await?;
            let token = token.filter(|token| of.is_none_or(|of| of == token.account));
            let owner = token.ok_or_else(|| Error::not_found("there is no such token"))?;
            let owner = owner.account;
            let name = Names::default().login(&mut tx, owner, &tenant.name).await?;
            (owner, name)
        };
        let ended = Arc::<Mutex<Ended>>::default();
        let removing = Remove {
            login: name,
            account: owner,
            id,
            ended: ended.clone(),
        };
        self.run(tenant.id, removing).await?;
        let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut ended))
    }
}
