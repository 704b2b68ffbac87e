//! Who administers a tenant: an operator at their port, or an account that administers its own.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::accounts::bearer::Means;
use crate::accounts::manage::Directory;
use crate::accounts::manage_groups::{GroupName, GroupView};
use crate::domain::error::Error;
use crate::domain::id::{TenantId, TokenId};
use crate::domain::principal::{Actor, LoginName, Protocol};
use crate::domain::role::Role;
use crate::domain::scope::Scopes;
use crate::http::admin::operator::{self, AtOperators};
use crate::http::admin::power::Demand;
use crate::http::reply::Problem;
use crate::http::visitor;
use crate::http::web::Web;

/// What is noted of a token that was to open an account that administers, or to widen its own.
const OFFICE: &str = "changing by a token what opens an account that administers the tenant";
const OWN: &str = "changing by a token what opens its own account";

/// Somebody who may do to a tenant what `P` says. Others are refused with 401 and 403, and that is
/// written down in the tenant's audit log.
///
/// At the port for operators the tenant is the one in the path; at the public one it is the account's
/// own, and no other can be named.
pub struct Admin<P> {
    /// What is done is written down in their name.
    pub directory: Directory,
    /// The tenant's name.
    pub tenant: String,
    /// The tenant.
    pub id: TenantId,
    /// In whose name.
    pub actor: Actor,
    /// What they are called: the operator's name, or that of the account within its tenant.
    pub who: String,
    /// The operator's token; none is an account.
    pub operator: Option<TokenId>,
    /// The account has a token speak for it.
    by_token: bool,
    demand: PhantomData<P>,
}

impl<P> Admin<P> {
    /// An account of the tenant by its name in it.
    ///
    /// # Errors
    /// 404 when no account can be called so.
    pub fn login(&self, user: &str) -> Result<LoginName, Problem> {
        let login = LoginName {
            user: user.to_owned(),
            tenant: self.tenant.clone(),
        };
        match LoginName::check_user(user) {
            Ok(()) => Ok(login),
            Err(_) => {
                let shown = user.escape_debug();
                let sentence = format!("there is no account '{shown}@{}'", login.tenant);
                Err(Error::not_found(sentence).into())
            }
        }
    }

    /// A group of the tenant by its name in it.
    ///
    /// # Errors
    /// 404 when no group can be called so.
    pub fn group(&self, name: &str) -> Result<GroupName, Problem> {
        let group = GroupName {
            name: name.to_owned(),
            tenant: self.tenant.clone(),
        };
        match LoginName::check_group(name) {
            Ok(()) => Ok(group),
            Err(_) => {
                let shown = name.escape_debug();
                let sentence = format!("there is no group '{shown}@{}'", group.tenant);
                Err(Error::not_found(sentence).into())
            }
        }
    }

    /// Fails unless it is an operator.
    ///
    /// # Errors
    /// 403, naming what only operators do.
    pub fn insist_on_operator(&self, what: &str) -> Result<(), Problem> {
        if self.operator.is_some() {
            return Ok(());
        }
        self.directory.note_refusal(self.id, what);
        let detail = format!("only operators may do this: {what}");
        Err(Problem::new(StatusCode::FORBIDDEN, "denied", detail))
    }

    /// The account that is to be opened otherwise than before: for who shows a token not the own one, which must not
    /// become the whole account, nor any other that administers the tenant.
    ///
    /// # Errors
    /// 403 for such an account; 404 when no account can be called so; 503.
    pub async fn login_to_open(&self, user: &str) -> Result<LoginName, Problem> {
        let login = self.login_to_widen(user)?;
        if self.by_token && self.directory.administers(&login).await? {
            self.insist_on_login(OFFICE)?;
        }
        Ok(login)
    }

    /// The account that is to reach or do more: not the own one of who shows a token.
    ///
    /// # Errors
    /// 403 for the token's own account; 404 when no account can be called so.
    pub fn login_to_widen(&self, user: &str) -> Result<LoginName, Problem> {
        if user == self.who {
            self.insist_on_login(OWN)?;
        }
        self.login(user)
    }

    /// The group whose members are to do more: none that the own account of who shows a token is in.
    ///
    /// # Errors
    /// 403 for a group of the token's own account; 404 when no group can be called so; 503.
    pub async fn group_to_widen(&self, name: &str) -> Result<GroupName, Problem> {
        let group = self.group(name)?;
        if self.by_token {
            let (full, own) = (group.to_string(), self.login(&self.who)?.to_string());
            let all = self.directory.groups(&self.tenant).await?;
            let is_in = |one: &GroupView| one.group == full && one.members.contains(&own);
            if all.iter().any(is_in) {
                self.insist_on_login(OWN)?;
            }
        }
        Ok(group)
    }

    /// Fails for who shows an account's token: what opens that account, too, must not be added by it.
    ///
    /// # Errors
    /// 403; the audit log says what was refused.
    pub fn insist_on_login(&self, what: &str) -> Result<(), Problem> {
        if !self.by_token {
            return Ok(());
        }
        self.directory.note_refusal(self.id, what);
        let detail = "what this opens does not end with the token: log in with the password for it";
        Err(Problem::new(StatusCode::FORBIDDEN, "scope", detail))
    }
}

impl<P: Demand> FromRequestParts<Web> for Admin<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        match parts.extensions.get::<AtOperators>() {
            Some(AtOperators) => operator_of(parts, web).await,
            None => Box::pin(account_of(parts, web)).await,
        }
    }
}

async fn operator_of<P: Demand>(parts: &mut Parts, web: &Web) -> Result<Admin<P>, Problem> {
    let (who, address) = operator::shown(parts, web).await?;
    let tenant = tenant_in_path(parts).await?;
    let actor = Actor::operator_at(&who.name, address);
    let directory = web.directory().by(actor.clone());
    let id = directory.tenant_id(&tenant).await;
    if !who.role.may(P::POWER) {
        match id {
            // It would have a part in every tenant's log for good, and sees to none of them.
            Ok(_) if who.role == Role::Monitor => operator::log_refusal(&who, address, parts),
            Ok(id) => directory.note_refusal(id, &asked(parts)),
            Err(_) => {}
        }
        return Err(operator::not_for(&who));
    }
    Ok(Admin {
        id: id?,
        directory,
        tenant,
        actor,
        who: who.name,
        operator: Some(who.id),
        by_token: false,
        demand: PhantomData,
    })
}

async fn account_of<P: Demand>(parts: &mut Parts, web: &Web) -> Result<Admin<P>, Problem> {
    let visit = visitor::visit(parts, web, Protocol::Https).await?.visit;
    let principal = visit.principal;
    let actor = principal.actor();
    let directory = web.directory().by_account(&principal);
    let refuse = |word, detail: &str| {
        directory.note_refusal(principal.tenant, &asked(parts));
        Err(Problem::new(StatusCode::FORBIDDEN, word, detail))
    };
    if !visit.means.scopes().contains(Scopes::ADMIN) {
        let detail = "the token is not for administration; make one with the scope admin";
        return refuse("scope", detail);
    }
    if !principal.administrator {
        return refuse("denied", "the account does not administer its tenant");
    }
    if !P::POWER.is_of_administrators() {
        return refuse("denied", "only operators may do this");
    }
    Ok(Admin {
        directory,
        who: principal.login.user,
        tenant: principal.login.tenant,
        id: principal.tenant,
        actor,
        operator: None,
        by_token: matches!(visit.means, Means::Token(_)),
        demand: PhantomData,
    })
}

/// What an account or group is called within its tenant, whose name in full is `NAME@TENANT`.
pub fn within(full: &str) -> String {
    let name = full.rsplit_once('@').map_or("", |(name, _)| name);
    name.to_owned()
}

/// The tenant that the path names; one that cannot be is found nowhere.
async fn tenant_in_path(parts: &mut Parts) -> Result<String, Problem> {
    let named = RawPathParams::from_request_parts(parts, &()).await;
    let named = named.map_err(|error| Problem::malformed(error.to_string()))?;
    let tenant = named.iter().find(|(name, _)| *name == "tenant");
    let tenant = tenant.map(|(_, tenant)| tenant.to_owned());
    let tenant = tenant.ok_or_else(|| Problem::from(Error::internal("a path without a tenant")))?;
    match LoginName::check_tenant(&tenant) {
        Ok(()) => Ok(tenant),
        Err(_) => {
            let sentence = format!("there is no tenant '{}'", tenant.escape_debug());
            Err(Error::not_found(sentence).into())
        }
    }
}

/// What was asked for, for the audit log.
fn asked(parts: &Parts) -> String {
    format!("{} {}", parts.method, operator::asked(parts))
}
