//! `.../tokens`: what the programs of a tenant's accounts log in with.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::manage_tokens::TokenOfAccount;
use crate::domain::id::TokenId;
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Altering, Seeing};
use crate::http::extract::{Params, PathOf};
use crate::http::failures::Asking;
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;
use crate::http::visits::Visit;
use crate::http::web::Web;

/// A token of an account, without its text.
#[derive(Serialize, ToSchema)]
pub struct AccountToken {
    /// What it is revoked by.
    id: String,
    /// The account, `user@tenant`.
    login: String,
    /// What its owner calls it.
    name: String,
    /// What it is for.
    scopes: Vec<&'static str>,
    /// When it was made.
    made_at: String,
    /// When it ends; null is never.
    expires_at: Option<String>,
    /// When it was used last, to the minute or so; null is never.
    used_at: Option<String>,
    /// The token by which it was made, and with which it ends; null for one that a login made.
    made_by: Option<String>,
}

/// A part of the tokens.
#[derive(Serialize, ToSchema)]
pub struct AccountTokens {
    /// The tokens, newest first.
    items: Vec<AccountToken>,
    /// What `cursor` is for the next part; null at the end.
    next: Option<String>,
}

/// Whose tokens are wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Whose {
    /// Of this account, by its name within the tenant.
    #[param(required = false)]
    user: Option<String>,
}

/// A token in a path.
#[derive(Deserialize)]
pub struct Named {
    token: String,
}

/// List the tokens of accounts, expired ones too.
///
/// The text of a token was shown to its owner once, and is shown to nobody else.
#[utoipa::path(
    get,
    path = "/tokens",
    tag = "tokens and links of accounts",
    params(Whose, Paging),
    responses((status = 200, description = "a part of them", body = AccountTokens), Asking)
)]
pub async fn list(
    admin: Admin<Seeing>,
    Params(whose): Params<Whose>,
    Params(paging): Params<Paging>,
) -> Result<Json<AccountTokens>, Problem> {
    let (limit, before) = (paging.limit()?, paging.place::<TokenId>()?);
    let login = whose.user.as_deref().map(|user| admin.login(user));
    let login = login.transpose()?;
    let found = admin
        .directory
        .tokens_page(&admin.tenant, login.as_ref(), before, limit + 1);
    let mut found = found.await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().map(|token| paging::cursor(&token.id));
    Ok(Json(AccountTokens {
        items: found.into_iter().map(shown).collect(),
        next: last.filter(|_| more),
    }))
}

/// Revoke a token of an account.
///
/// With it end the tokens that were made by it, those that were made by these, and so on, and the links that any of
/// them made or changed. This server refuses them at once, others within two seconds; what goes on by them is ended
/// within five more.
#[utoipa::path(
    delete,
    path = "/tokens/{token}",
    tag = "tokens and links of accounts",
    params(("token" = String, Path, description = "the token, as the list shows it")),
    responses((status = 204, description = "it is revoked"), Asking)
)]
pub async fn revoke(
    State(web): State<Web>,
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
) -> Result<StatusCode, Problem> {
    let id: TokenId = named.token.parse()?;
    let ended = admin.directory.revoke_token(&admin.tenant, None, id);
    let ended = ended.await?;
    let is_one = |token| ended.tokens.contains(&token);
    let is_it = |visit: &Visit| visit.means.token().is_some_and(is_one);
    web.visits().revoked(is_it).await;
    for link in &ended.links {
        web.guests().revoked(*link);
    }
    Ok(StatusCode::NO_CONTENT)
}

fn shown(token: TokenOfAccount) -> AccountToken {
    AccountToken {
        id: token.id,
        login: token.login,
        name: token.name,
        scopes: token.scopes,
        made_at: token.made_at,
        expires_at: token.expires_at,
        used_at: token.used_at,
        made_by: token.made_by,
    }
}
