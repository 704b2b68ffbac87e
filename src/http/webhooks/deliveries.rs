//! `/api/v1/webhooks/…/deliveries`: what was sent, what waits, and sending again.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::webhook_views::{self, Which};
use crate::db::deliveries::{DeliveryState, Place};
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Altering, Seeing};
use crate::http::extract::{JsonBody, Params, PathOf};
use crate::http::failures::{Asking, Reading};
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;
use crate::http::web::Web;
use crate::http::webhooks::wanted::{Named, ReplayWanted, Replayed, SentNews, SentPage};

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(sent))
        .routes(routes!(test))
        .routes(routes!(replay))
}

/// Which of the list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only these: waiting, delivered or dead.
    #[param(required = false)]
    state: Option<String>,
}

/// What was sent
///
/// Dead are those that were given up: after three days, or because the receiver was gone.
#[utoipa::path(
    get,
    path = "/webhooks/{webhook}/deliveries",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "the webhook"),
        Wanted,
        Paging,
    ),
    responses(
        (status = 200, description = "what was sent and what waits, the newest news first", body = SentPage),
        Asking,
    )
)]
async fn sent(
    admin: Admin<Seeing>,
    PathOf(Named { webhook }): PathOf<Named>,
    Params(wanted): Params<Wanted>,
    Params(paging): Params<Paging>,
) -> Result<Json<SentPage>, Problem> {
    let which = Which::Id(webhook.parse()?);
    let state = wanted.state.as_deref().map(state).transpose()?;
    let (limit, before) = (paging.limit()?, paging.place::<Place>()?);
    let tenant = &admin.tenant;
    let (items, last) = admin
        .directory
        .webhook_deliveries(tenant, &which, state, before, limit)
        .await?;
    let is_more = items.len() == limit;
    Ok(Json(SentPage {
        items: items.into_iter().map(SentNews::from).collect(),
        next: last
            .filter(|_| is_more)
            .map(|last| paging::cursor(&last.to_string())),
    }))
}

/// Send a test
///
/// The webhook is told `webhook.test`; the list of deliveries shows what came of it.
#[utoipa::path(
    post,
    path = "/webhooks/{webhook}/test",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "the webhook"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    responses(
        (status = 202, description = "it is on its way"),
        Asking,
    )
)]
async fn test(
    admin: Admin<Altering>,
    PathOf(Named { webhook }): PathOf<Named>,
) -> Result<StatusCode, Problem> {
    let which = Which::Id(webhook.parse()?);
    let tenant = &admin.tenant;
    admin.directory.test_webhook(tenant, &which).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Send again
///
/// All that was given up, or one event, which then keeps its id.
#[utoipa::path(
    post,
    path = "/webhooks/{webhook}/replay",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "the webhook"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    request_body = ReplayWanted,
    responses(
        (status = 200, description = "they are on their way", body = Replayed),
        Asking,
        Reading,
    )
)]
async fn replay(
    admin: Admin<Altering>,
    PathOf(Named { webhook }): PathOf<Named>,
    JsonBody(wanted): JsonBody<ReplayWanted>,
) -> Result<Json<Replayed>, Problem> {
    let which = Which::Id(webhook.parse()?);
    let event = wanted.event.as_deref().map(webhook_views::event_id);
    let event = event.transpose()?;
    let tenant = &admin.tenant;
    let directory = &admin.directory;
    let replayed = directory.replay_webhook(tenant, &which, event).await?;
    Ok(Json(Replayed { replayed }))
}

fn state(word: &str) -> Result<DeliveryState, Problem> {
    let found = DeliveryState::ALL
        .into_iter()
        .find(|state| state.word() == word);
    found.ok_or_else(|| Problem::malformed("'state' is waiting, delivered or dead"))
}
