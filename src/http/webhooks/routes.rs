//! `/api/v1/webhooks`: who is told what happens in a tenant.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::webhook_views::{NewWebhook, WebhookChange, Which};
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Altering, Seeing};
use crate::http::admin::wish;
use crate::http::extract::{JsonBody, PathOf};
use crate::http::failures::{Asking, Reading};
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::web::Web;
use crate::http::webhooks::wanted::{
    Hook, HookChange, HookPage, HookWithSecret, Named, NewHook, SecretWanted, topics,
};
use crate::http::webhooks::{deliveries, temporary};

const DAY: u64 = 86_400;

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(add, list))
        .routes(routes!(show, alter, remove))
        .routes(routes!(renew))
        .merge(deliveries::routes())
        .merge(temporary::routes())
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
        (status = 409, description = "the name is taken", body = ProblemDetails, content_type = "application/problem+json"),
        Asking,
        Reading,
    )
)]
async fn add(
    State(web): State<Web>,
    admin: Admin<Altering>,
    JsonBody(wanted): JsonBody<NewHook>,
) -> Result<(StatusCode, Json<HookWithSecret>), Problem> {
    let new = NewWebhook {
        topics: topics(&wanted.events)?,
        name: wanted.name,
        url: wanted.url,
        path: wanted.path.unwrap_or_else(|| "/".to_owned()),
        made_by: admin.who.clone(),
    };
    let (tenant, reach) = (&admin.tenant, &web.settings().reach);
    let directory = &admin.directory;
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
        Asking,
    )
)]
async fn list(admin: Admin<Seeing>) -> Result<Json<HookPage>, Problem> {
    let tenant = &admin.tenant;
    let all = admin.directory.webhooks(tenant).await?;
    Ok(Json(HookPage {
        items: all.into_iter().map(Hook::from).collect(),
        next: None,
    }))
}

/// A webhook
#[utoipa::path(
    get,
    path = "/webhooks/{webhook}",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "the webhook"),
    ),
    responses(
        (status = 200, description = "the webhook", body = Hook),
        Asking,
    )
)]
async fn show(
    admin: Admin<Seeing>,
    PathOf(Named { webhook }): PathOf<Named>,
) -> Result<Json<Hook>, Problem> {
    let which = Which::Id(webhook.parse()?);
    let tenant = &admin.tenant;
    let found = admin.directory.webhook(tenant, &which).await?;
    Ok(Json(found.into()))
}

/// Change a webhook
///
/// One that is disabled is not told what happens meanwhile; what waited before goes on when it is enabled.
#[utoipa::path(
    patch,
    path = "/webhooks/{webhook}",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "the webhook"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    request_body = HookChange,
    responses(
        (status = 200, description = "changed", body = Hook),
        (status = 409, description = "the name is taken", body = ProblemDetails, content_type = "application/problem+json"),
        Asking,
        Reading,
    )
)]
async fn alter(
    State(web): State<Web>,
    admin: Admin<Altering>,
    PathOf(Named { webhook }): PathOf<Named>,
    JsonBody(wanted): JsonBody<HookChange>,
) -> Result<Json<Hook>, Problem> {
    let which = Which::Id(webhook.parse()?);
    let change = WebhookChange {
        topics: wish::never_null("events", wanted.events)?
            .as_deref()
            .map(topics)
            .transpose()?,
        name: wish::never_null("name", wanted.name)?,
        url: wish::never_null("url", wanted.url)?,
        path: wanted
            .path
            .map(|path| path.unwrap_or_else(|| "/".to_owned())),
        enabled: wish::never_null("enabled", wanted.enabled)?,
    };
    let (tenant, reach) = (&admin.tenant, &web.settings().reach);
    let directory = &admin.directory;
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
    path = "/webhooks/{webhook}",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "the webhook"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    responses(
        (status = 204, description = "removed"),
        Asking,
    )
)]
async fn remove(
    admin: Admin<Altering>,
    PathOf(Named { webhook }): PathOf<Named>,
) -> Result<StatusCode, Problem> {
    let which = Which::Id(webhook.parse()?);
    let tenant = &admin.tenant;
    admin.directory.remove_webhook(tenant, &which).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Renew the secret
///
/// For a while what is sent carries two signatures, one by each secret.
#[utoipa::path(
    post,
    path = "/webhooks/{webhook}/secret",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "the webhook"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    request_body = SecretWanted,
    responses(
        (status = 200, description = "renewed", body = HookWithSecret),
        Asking,
        Reading,
    )
)]
async fn renew(
    State(web): State<Web>,
    admin: Admin<Altering>,
    PathOf(Named { webhook }): PathOf<Named>,
    JsonBody(wanted): JsonBody<SecretWanted>,
) -> Result<Json<HookWithSecret>, Problem> {
    let which = Which::Id(webhook.parse()?);
    let overlap = wanted.overlap.unwrap_or(DAY);
    let tenant = &admin.tenant;
    let (directory, overlap) = (&admin.directory, Duration::from_secs(overlap));
    let renewed = directory.renew_webhook_secret(tenant, &which, overlap, web.accounts().keys());
    let (secret, view) = renewed.await?;
    Ok(Json(HookWithSecret::new(&secret, view)))
}
