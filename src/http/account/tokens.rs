//! `/api/v1/tokens`: what programs log in with instead of a password.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::own_tokens::{NewToken, OwnToken};
use crate::domain::id::TokenId;
use crate::domain::scope::Scopes;
use crate::http::account::owner::Owner;
use crate::http::extract::{JsonBody, PathOf};
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::visits::Visit;
use crate::http::web::Web;

/// Longest life of a token that ends, in seconds: ten years.
const LONGEST: u64 = 10 * 365 * 24 * 3600;

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(add, list))
        .routes(routes!(remove))
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewToken)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What its owner calls it: at most 100 bytes of plain text.
    name: String,
    /// What it is for: `files:read`, `files:write`, `account`, `admin`.
    scopes: Vec<String>,
    /// How many seconds it is good; it is good for ever without.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in: Option<u64>,
}

/// A token, without its text.
#[derive(Serialize, ToSchema)]
struct TokenView {
    /// What it is revoked by.
    id: String,
    /// What its owner calls it.
    name: String,
    /// What it is for.
    scopes: Vec<&'static str>,
    /// When it was made.
    made_at: String,
    /// When it ends; none is never.
    expires_at: Option<String>,
    /// When it was used last, to the minute or so; none is never.
    used_at: Option<String>,
    /// The token by which it was made, and with which it ends; none for one that a login made.
    made_by: Option<String>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeToken)]
struct Made {
    /// What the program sends behind `Authorization: Bearer`. It is shown this once.
    token: String,
    /// The rest.
    #[serde(flatten)]
    view: TokenView,
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
struct TokenPage {
    /// The tokens, newest first.
    items: Vec<TokenView>,
    /// Where the next page begins; there never is one.
    next: Option<String>,
}

/// Make a token
///
/// By a token, none is made that may do more, or lasts longer, than itself.
#[utoipa::path(
    post,
    path = "/tokens",
    tag = "tokens",
    params(("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login")),
    request_body = Wanted,
    responses(
        (status = 201, description = "made", body = Made),
        (status = 400, description = "the request is malformed, or there are too many tokens", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "no page of this server made the request, or the token may do less", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn add(
    State(web): State<Web>,
    owner: Owner,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let mut scopes = Scopes::NONE;
    for word in &wanted.scopes {
        scopes = scopes | word.parse()?;
    }
    if wanted
        .expires_in
        .is_some_and(|life| !(1..=LONGEST).contains(&life))
    {
        let detail = format!("'expires_in' is 1 to {LONGEST} seconds; leave it out for ever");
        return Err(Problem::malformed(detail));
    }
    let new = NewToken {
        name: wanted.name,
        scopes,
        life: wanted.expires_in.map(Duration::from_secs),
    };
    let made = web
        .accounts()
        .add_token(&owner.principal, &owner.means, new);
    let (text, token) = made.await?;
    let made = Made {
        token: text.to_string(),
        view: view(token),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// My tokens
#[utoipa::path(
    get,
    path = "/tokens",
    tag = "tokens",
    responses(
        (status = 200, description = "the tokens of the account, expired ones too", body = TokenPage),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn list(State(web): State<Web>, owner: Owner) -> Result<Json<TokenPage>, Problem> {
    let tokens = web.accounts().own_tokens(&owner.principal).await?;
    Ok(Json(TokenPage {
        items: tokens.into_iter().map(view).collect(),
        next: None,
    }))
}

/// Revoke a token
///
/// With it end the tokens that were made by it, those that were made by these, and so on, and the links that any of
/// them made or changed. This instance refuses them at once, others within two seconds; what goes on by them is
/// ended within five more.
#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    tag = "tokens",
    params(
        ("id" = String, Path, description = "the token"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    responses(
        (status = 204, description = "it is revoked"),
        (status = 400, description = "the request is malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "no page of this server made the request, or the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the account has no such token", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn remove(
    State(web): State<Web>,
    owner: Owner,
    PathOf(id): PathOf<String>,
) -> Result<StatusCode, Problem> {
    let id: TokenId = id.parse()?;
    let ended = web.accounts().remove_token(&owner.principal, id).await?;
    let is_one = |token| ended.tokens.contains(&token);
    let is_it = |visit: &Visit| visit.means.token().is_some_and(is_one);
    web.visits().revoked(is_it).await;
    for link in ended.links {
        web.guests().revoked(link);
    }
    Ok(StatusCode::NO_CONTENT)
}

fn view(token: OwnToken) -> TokenView {
    TokenView {
        id: token.id.to_string(),
        name: token.name,
        scopes: token.scopes,
        made_at: token.made_at,
        expires_at: token.expires_at,
        used_at: token.used_at,
        made_by: token.made_by.map(|id| id.to_string()),
    }
}
