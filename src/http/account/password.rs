//! `/api/v1/me/password`: a new password, for who knows the old one.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::door::Door;
use crate::accounts::manage_accounts::NewPassword;
use crate::domain::principal::Protocol;
use crate::domain::secret::Secret;
use crate::http::account::owner::Owner;
use crate::http::extract::JsonBody;
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::web::Web;
use crate::http::{cookie, visitor};

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(change))
}

/// A change of the password.
#[derive(Deserialize, ToSchema)]
#[schema(as = PasswordChange)]
#[serde(deny_unknown_fields)]
struct Change {
    /// The one that the account has.
    #[schema(format = Password)]
    old: String,
    /// The one that it is to have.
    #[schema(format = Password)]
    new: String,
}

/// Change my password
///
/// All sessions of the account end, this one too; tokens stay good.
#[utoipa::path(
    post,
    path = "/me/password",
    tag = "account",
    params(("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login")),
    request_body = Change,
    responses(
        (status = 204, description = "changed; log in with the new one", headers(("Set-Cookie"))),
        (status = 400, description = "the request is malformed, or the new password breaks a rule", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in, or the old password is wrong", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "no page of this server made the request, or the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn change(
    State(web): State<Web>,
    owner: Owner,
    Whence(from): Whence,
    JsonBody(change): JsonBody<Change>,
) -> Result<Response, Problem> {
    let principal = &owner.principal;
    let old = Secret::new(change.old);
    Box::pin(web.accounts().confirm(principal, &old, from)).await?;
    let new = NewPassword::Plain(Secret::new(change.new));
    let directory = web.directory().by_account(principal);
    directory.set_password(&principal.login, new).await?;
    let cookie = [(header::SET_COOKIE, cookie::forgotten())];
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}

/// The door through which a request came.
struct Whence(Door);

impl FromRequestParts<Web> for Whence {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let (from, _) = visitor::whence(parts, web, Protocol::Https).await?;
        Ok(Self(from))
    }
}
