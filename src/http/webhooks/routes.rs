//! `/api/v1/webhooks`: who is told what happens in a tenant.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::webhook_views::{NewWebhook, WebhookChange, Which};
use crate::http::extract::{JsonBody, PathOf};
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::web::Web;
use crate::http::webhooks::administrator::Administrator;
use crate::http::webhooks::deliveries;
use crate::http::webhooks::wanted::{
    Hook, HookChange, HookPage, HookWithSecret, NewHook, SecretWanted, topics,
};

const DAY: u64 = 86_400;
/// Longest time in which two secrets sign, in seconds.
const LONGEST_OVERLAP: u64 = 30 * DAY;

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(add, list))
        .routes(routes!(show, alter, remove))
        .routes(routes!(renew))
        .merge(deliveries::routes())
}

/// Add a webhook
///
/// It is told what happens from now on.
#[utoipa::path(
    post,
    path = "/webhooks",
    tag = "webhooks",
    params(
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    request_body = NewHook,
    responses(
        (status = 201, description = "added", body = HookWithSecret),
        (status = 400, description = "the request is malformed, the address may not be reached, or there are too many webhooks", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the account does not administer its tenant, or no page of this server made the request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "the name is taken", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database or the key service does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn add(
    State(web): State<Web>,
    administrator: Administrator,
    JsonBody(wanted): JsonBody<NewHook>,
) -> Result<(StatusCode, Json<HookWithSecret>), Problem> {
    let new = NewWebhook {
        topics: topics(&wanted.events)?,
        name: wanted.name,
        url: wanted.url,
        path: wanted.path.unwrap_or_else(|| "/".to_owned()),
        made_by: administrator.principal.login.user.clone(),
    };
    let (tenant, reach) = (&administrator.principal.login.tenant, &web.settings().reach);
    let directory = &administrator.directory;
    let added = directory.add_webhook(tenant, new, reach, web.accounts().keys());
    let (secret, view) = added.await?;
    let made = HookWithSecret::new(&secret, view);
    Ok((StatusCode::CREATED, Json(made)))
}

/// The tenant's webhooks
#[utoipa::path(
    get,
    path = "/webhooks",
    tag = "webhooks",
    responses(
        (status = 200, description = "the tenant's webhooks", body = HookPage),
        (status = 400, description = "the request is malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the account does not administer its tenant, or no page of this server made the request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database or the key service does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn list(administrator: Administrator) -> Result<Json<HookPage>, Problem> {
    let tenant = &administrator.principal.login.tenant;
    let all = administrator.directory.webhooks(tenant).await?;
    Ok(Json(HookPage {
        items: all.into_iter().map(Hook::from).collect(),
        next: None,
    }))
}

/// A webhook
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    tag = "webhooks",
    params(
        ("id" = String, Path, description = "the webhook"),
    ),
    responses(
        (status = 200, description = "the webhook", body = Hook),
        (status = 400, description = "the request is malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the account does not administer its tenant, or no page of this server made the request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the tenant has no such webhook", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database or the key service does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn show(
    administrator: Administrator,
    PathOf(id): PathOf<String>,
) -> Result<Json<Hook>, Problem> {
    let which = Which::Id(id.parse()?);
    let tenant = &administrator.principal.login.tenant;
    let found = administrator.directory.webhook(tenant, &which).await?;
    Ok(Json(found.into()))
}

/// Change a webhook
///
/// One that is disabled is not told what happens meanwhile; what waited before goes on when it is enabled.
#[utoipa::path(
    patch,
    path = "/webhooks/{id}",
    tag = "webhooks",
    params(
        ("id" = String, Path, description = "the webhook"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    request_body = HookChange,
    responses(
        (status = 200, description = "changed", body = Hook),
        (status = 400, description = "the request is malformed, or the address may not be reached", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the account does not administer its tenant, or no page of this server made the request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the tenant has no such webhook", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "the name is taken", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database or the key service does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn alter(
    State(web): State<Web>,
    administrator: Administrator,
    PathOf(id): PathOf<String>,
    JsonBody(wanted): JsonBody<HookChange>,
) -> Result<Json<Hook>, Problem> {
    let which = Which::Id(id.parse()?);
    let change = WebhookChange {
        topics: wanted.events.as_deref().map(topics).transpose()?,
        name: wanted.name,
        url: wanted.url,
        path: wanted.path,
        enabled: wanted.enabled,
    };
    let (tenant, reach) = (&administrator.principal.login.tenant, &web.settings().reach);
    let directory = &administrator.directory;
    let altered = directory
        .alter_webhook(tenant, which, change, reach)
        .await?;
    Ok(Json(altered.into()))
}

/// Remove a webhook
///
/// What was not delivered yet is not sent any more.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    tag = "webhooks",
    params(
        ("id" = String, Path, description = "the webhook"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    responses(
        (status = 204, description = "removed"),
        (status = 400, description = "the request is malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the account does not administer its tenant, or no page of this server made the request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the tenant has no such webhook", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database or the key service does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn remove(
    administrator: Administrator,
    PathOf(id): PathOf<String>,
) -> Result<StatusCode, Problem> {
    let which = Which::Id(id.parse()?);
    let tenant = &administrator.principal.login.tenant;
    administrator
        .directory
        .remove_webhook(tenant, &which)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Renew the secret
///
/// For a while what is sent carries two signatures, one by each secret.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/secret",
    tag = "webhooks",
    params(
        ("id" = String, Path, description = "the webhook"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    request_body = SecretWanted,
    responses(
        (status = 200, description = "renewed", body = HookWithSecret),
        (status = 400, description = "the request is malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the account does not administer its tenant, or no page of this server made the request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the tenant has no such webhook", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database or the key service does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn renew(
    State(web): State<Web>,
    administrator: Administrator,
    PathOf(id): PathOf<String>,
    JsonBody(wanted): JsonBody<SecretWanted>,
) -> Result<Json<HookWithSecret>, Problem> {
    let which = Which::Id(id.parse()?);
    let overlap = wanted.overlap.unwrap_or(DAY);
    if overlap > LONGEST_OVERLAP {
        let detail = format!("'overlap' is at most {LONGEST_OVERLAP} seconds");
        return Err(Problem::malformed(detail));
    }
    let tenant = &administrator.principal.login.tenant;
    let (directory, overlap) = (&administrator.directory, Duration::from_secs(overlap));
    let renewed = directory.renew_webhook_secret(tenant, &which, overlap, web.accounts().keys());
    let (secret, view) = renewed.await?;
    Ok(Json(HookWithSecret::new(&secret, view)))
}
