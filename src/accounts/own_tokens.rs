//! The tokens that an account has for its programs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::accounts::bearer::{self, Means};
use crate::accounts::login::Accounts;
use crate::accounts::ticket::{Ticket, TicketKind};
use crate::db::api_tokens::{self, ApiToken};
use crate::db::audit::Happening;
use crate::db::links;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, LinkId, TokenId};
use crate::domain::principal::Principal;
use crate::domain::scope::Scopes;

/// Most tokens of one account.
const MOST: usize = 100;
/// Longest name of a token, in bytes.
const NAME_BYTES: usize = 100;
/// So many links are named in the record of a revocation that ends them; of more, it says how many.
const LINKS_NAMED: usize = 100;

/// A token as it is shown to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnToken {
    /// What it is revoked by.
    pub id: TokenId,
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
    pub made_by: Option<TokenId>,
}

/// What a revocation ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The token, and those that were made by it, and by these.
    pub tokens: HashSet<TokenId>,
    /// The links that were made or changed by any of them.
    pub links: Vec<LinkId>,
}

/// What a new token is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What its owner calls it.
    pub name: String,
    /// What it is for.
    pub scopes: Scopes,
    /// How long it is good; none is for ever.
    pub life: Option<Duration>,
}

impl Accounts {
    /// Makes a token. Its text is returned and can never be shown again. By a token, none is made that
    /// could do more or would last longer than itself.
    ///
    /// # Errors
    /// Invalid for a bad name, no scopes, or too many tokens; Denied when it would do more than
    /// `means`; Unauthenticated when the account was changed since the login; Unavailable.
    pub async fn add_token(
        &self,
        principal: &Principal,
        means: &Means,
        new: NewToken,
    ) -> Result<(Zeroizing<String>, OwnToken)> {
        let name_is_good =
            (1..=NAME_BYTES).contains(&new.name.len()) && !new.name.chars().any(char::is_control);
        if !name_is_good {
            return Err(Error::invalid(format!(
                "give the token a name of at most {NAME_BYTES} bytes of plain text"
            )));
        }
        if new.scopes.is_empty() {
            return Err(Error::invalid("say what the token is for: give it scopes"));
        }
        if !means.scopes().contains(new.scopes) {
            return Err(Error::new(
                ErrorKind::Denied,
                "a token makes none that may do more than itself; log in to make this one",
            ));
        }
        if new.scopes.contains(Scopes::ADMIN) && !principal.administrator {
            return Err(Error::new(
                ErrorKind::Denied,
                "the account does not administer its tenant, so that its tokens cannot; leave the scope admin \
                 out",
            ));
        }
        let now = self.inner.now();
        let expires_at = means.end_of("token", new.life.map(|life| now.plus(life)))?;
        let ticket = Ticket::random(TicketKind::Token, principal.tenant);
        let token = ApiToken {
            id: TokenId::mint(now),
            account: principal.account,
            name: new.name,
            scopes: new.scopes,
            made_at: now,
            expires_at,
            used_at: None,
            made_by: means.token(),
        };
        let adding = Add {
            login: principal.login.to_string(),
            generation: principal.generation,
            token: token.clone(),
            hash: ticket.hash(),
        };
        let committer = &self.inner.committer;
        committer
            .run(principal.tenant, &principal.actor(), adding)
            .await?;
        Ok((ticket.text(), view(token)))
    }

    /// The tokens of an account, newest first, expired ones too.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn own_tokens(&self, principal: &Principal) -> Result<Vec<OwnToken>> {
        let mut tx = self.inner.db().read(principal.tenant).await?;
        let all = api_tokens::list(&mut tx, principal.account).await?;
        Ok(all.into_iter().map(view).collect())
    }

    /// Revokes a token of an account, and with it what was made by it: tokens, those that were made by them, and
    /// so on, and the links that any of them made or changed.
    ///
    /// # Errors
    /// NotFound when the account has none by this id; Unavailable.
    pub async fn remove_token(&self, principal: &Principal, id: TokenId) -> Result<Ended> {
        let ended = Arc::<Mutex<Ended>>::default();
        let removing = Remove {
            login: principal.login.to_string(),
            account: principal.account,
            id,
            ended: ended.clone(),
        };
        let committer = &self.inner.committer;
        committer
            .run(principal.tenant, &principal.actor(), removing)
            .await?;
        let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut ended))
    }
}

struct Add {
    login: String,
    /// The account's, at the login.
    generation: i64,
    token: ApiToken,
    hash: [u8; 32],
}

#[async_trait]
impl Operation for Add {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let token = &self.token;
        bearer::require(tx, token.made_by).await?;
        bearer::require_unchanged(tx, token.account, self.generation).await?;
        if api_tokens::list(tx, token.account).await?.len() >= MOST {
            return Err(Error::invalid(format!(
                "the account has {MOST} tokens, as many as it may have; revoke one first"
            )));
        }
        api_tokens::insert(tx, token, &self.hash).await?;
        let until = token
            .expires_at
            .map_or("for ever".to_owned(), |end| format!("until {end}"));
        let detail = format!(
            "{}: '{}', {}, {until}",
            self.login, token.name, token.scopes
        );
        Ok(Record::Event(Happening::new(AuditKind::TokenAdd, detail)))
    }
}

/// The end of a token, and of what was made by it.
pub(in crate::accounts) struct Remove {
    /// The account's name in full.
    pub(in crate::accounts) login: String,
    /// Whose it is.
    pub(in crate::accounts) account: AccountId,
    /// Which.
    pub(in crate::accounts) id: TokenId,
    /// What the last attempt ended.
    pub(in crate::accounts) ended: Arc<Mutex<Ended>>,
}

#[async_trait]
impl Operation for Remove {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let all = api_tokens::list(tx, self.account).await?;
        let kin = kin(&all, self.id);
        let (first, made) = kin
            .split_first()
            .ok_or_else(|| Error::not_found("there is no such token of this account"))?;
        let mut ended = Ended::default();
        for token in &kin {
            api_tokens::remove(tx, token.id).await?;
            ended.tokens.insert(token.id);
            let links = links::revoke_made_by(tx, token.id, next.at).await?;
            ended.links.extend(links);
        }
        let mut detail = format!("{}: '{}'", self.login, first.name);
        for token in made {
            detail.push_str(&format!(", with it '{}'", token.name));
        }
        for link in ended.links.iter().take(LINKS_NAMED) {
            detail.push_str(&format!(", link {link}"));
        }
        match ended.links.len().saturating_sub(LINKS_NAMED) {
            0 => {}
            more => detail.push_str(&format!(", {more} more links")),
        }
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = ended;
        Ok(Record::Event(Happening::new(
            AuditKind::TokenRemove,
            detail,
        )))
    }
}

/// A token, and after it those that were made by it, by these, and so on; nothing when it is not there.
fn kin(all: &[ApiToken], id: TokenId) -> Vec<&ApiToken> {
    let mut kin: Vec<_> = all.iter().filter(|token| token.id == id).collect();
    let mut at = 0;
    while let Some(parent) = kin.get(at).map(|token| token.id) {
        // Nobody is made by who is made later: there are no circles.
        kin.extend(all.iter().filter(|token| token.made_by == Some(parent)));
        at += 1;
    }
    kin
}

fn view(token: ApiToken) -> OwnToken {
    OwnToken {
        id: token.id,
        name: token.name,
        scopes: token.scopes.words(),
        made_at: token.made_at.to_string(),
        expires_at: token.expires_at.map(|end| end.to_string()),
        used_at: token.used_at.map(|used| used.to_string()),
        made_by: token.made_by,
    }
}
