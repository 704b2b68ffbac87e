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
use crate::http::failures::{Administering, Reading};
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

const USUAL: usize = 200;
const MOST: usize = 1_000;

/// Which part of the list.
#[derive(Deserialize)]
struct Part {
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
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
        ("state" = Option<String>, Query, description = "only these: waiting, delivered or dead"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "so many at most"),
        ("cursor" = Option<String>, Query, description = "where the page before said that this one begins"),
    ),
    responses(
        (status = 200, description = "what was sent and what waits, the newest news first", body = SentPage),
        Administering,
    )
)]
async fn sent(
    admin: Admin<Seeing>,
    PathOf(Named { webhook }): PathOf<Named>,
    Params(part): Params<Part>,
) -> Result<Json<SentPage>, Problem> {
    let which = Which::Id(webhook.parse()?);
    let state = part.state.as_deref().map(state).transpose()?;
    let limit = part.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::malformed(format!("'limit' is 1 to {MOST}")));
    }
    let before = part.cursor.as_deref().map(place).transpose()?;
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
            .map(|last| format!("{}-{}", last.number, last.part)),
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
        Administering,
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
        Administering,
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

fn place(cursor: &str) -> Result<Place, Problem> {
    let numbers = cursor.split_once('-');
    let place = numbers.and_then(|(number, part)| {
        Some(Place {
            number: number.parse().ok()?,
            part: part.parse().ok()?,
        })
    });
    place.ok_or_else(|| Problem::malformed("'cursor' is what the page before said"))
}
