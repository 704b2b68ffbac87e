//! `/api/v1/me/keys`: the SSH keys that open the account.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::bearer::Means;
use crate::accounts::manage_accounts::KeyView;
use crate::accounts::public_key::PublicKey;
use crate::domain::error::Error;
use crate::http::account::owner::Owner;
use crate::http::extract::{JsonBody, PathOf};
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::web::Web;

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(add, list))
        .routes(routes!(remove))
}

/// A key to be added.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewOwnKey)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// As it stands in a `.pub` file: `ssh-ed25519 AAAA... comment`.
    key: String,
}

/// A key of the account.
#[derive(Serialize, ToSchema)]
struct Key {
    /// `SHA256:...`, as OpenSSH prints it.
    fingerprint: String,
    /// `ssh-ed25519`, ...
    algorithm: String,
    /// What the owner wrote behind it.
    comment: String,
    /// When it was added.
    added_at: String,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
struct KeyPage {
    /// The keys, oldest first.
    items: Vec<Key>,
    /// Where the next page begins; there never is one.
    next: Option<String>,
}

/// Let a key open my account
///
/// Not by a token: a key may do more and lasts longer.
#[utoipa::path(
    post,
    path = "/me/keys",
    tag = "account",
    params(("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login")),
    request_body = NewKey,
    responses(
        (status = 201, description = "it does", body = Key),
        (status = 400, description = "the request is malformed, or it is no key that opens accounts", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "no page of this server made the request, or the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "the account has the key already", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn add(
    State(web): State<Web>,
    owner: Owner,
    JsonBody(new): JsonBody<NewKey>,
) -> Result<(StatusCode, Json<Key>), Problem> {
    if let Means::Token(_) = owner.means {
        let detail = "a key opens the whole account and does not end with the token: log in with the password to \
                      add one";
        return Err(Problem::new(StatusCode::FORBIDDEN, "scope", detail));
    }
    let (login, key) = (&owner.principal.login, PublicKey::parse(&new.key)?);
    let directory = web.directory().by_account(&owner.principal);
    directory.add_key(login, &key).await?;
    let fingerprint = key.fingerprint();
    let all = directory.keys(login).await?;
    let added = all.into_iter().find(|key| key.fingerprint == fingerprint);
    let added = added.ok_or_else(|| Error::not_found("the key was removed at the same time"))?;
    Ok((StatusCode::CREATED, Json(view(added))))
}

/// The keys that open my account
#[utoipa::path(
    get,
    path = "/me/keys",
    tag = "account",
    responses(
        (status = 200, description = "the keys", body = KeyPage),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn list(State(web): State<Web>, owner: Owner) -> Result<Json<KeyPage>, Problem> {
    let keys = web.directory().keys(&owner.principal.login).await?;
    Ok(Json(KeyPage {
        items: keys.into_iter().map(view).collect(),
        next: None,
    }))
}

/// Take a key from my account
///
/// All sessions of the account end, this one too; tokens stay good.
#[utoipa::path(
    delete,
    path = "/me/keys/{fingerprint}",
    tag = "account",
    params(
        ("fingerprint" = String, Path, description = "SHA256:..., with / written as %2F"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    responses(
        (status = 204, description = "it opens the account no more"),
        (status = 400, description = "the request is malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "no page of this server made the request, or the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the account has no such key", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn remove(
    State(web): State<Web>,
    owner: Owner,
    PathOf(fingerprint): PathOf<String>,
) -> Result<StatusCode, Problem> {
    let directory = web.directory().by_account(&owner.principal);
    let removed = directory.remove_key(&owner.principal.login, &fingerprint);
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(key: KeyView) -> Key {
    Key {
        fingerprint: key.fingerprint,
        algorithm: key.algorithm,
        comment: key.comment,
        added_at: key.added_at,
    }
}
