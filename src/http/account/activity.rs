//! `/api/v1/me/activity`: what the audit log says of the account.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::account::owner::Owner;
use crate::http::extract::Params;
use crate::http::paging::{self, Paging};
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::web::Web;

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
struct Record {
    /// Its place in the tenant's log.
    number: i64,
    /// When.
    at: String,
    /// A word: `login`, `login-failed`, `store`, `rename`, ...
    kind: String,
    /// In which session.
    session: Option<String>,
    /// By which protocol.
    protocol: String,
    /// From which address.
    address: Option<String>,
    /// About what.
    detail: String,
}

/// A page of records.
#[derive(Serialize, ToSchema)]
struct RecordPage {
    /// The records, newest first; a page may be short, and more may follow all the same.
    items: Vec<Record>,
    /// Where the next page begins; none at the end.
    next: Option<String>,
}

/// What happened in my account
#[utoipa::path(
    get,
    path = "/me/activity",
    tag = "account",
    params(Paging),
    responses(
        (status = 200, description = "what the account did, and what was tried in its name", body = RecordPage),
        (status = 400, description = "the query does not fit", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(web): State<Web>,
    owner: Owner,
    Params(paging): Params<Paging>,
) -> Result<Json<RecordPage>, Problem> {
    let (limit, before) = (paging.limit()?, paging.place::<i64>()?);
    let activity = web.accounts().activity(&owner.principal, before, limit);
    let activity = activity.await?;
    let items = activity.records.into_iter().map(|record| Record {
        number: record.number,
        at: record.at.to_string(),
        kind: record.kind,
        session: record.session,
        protocol: record.protocol,
        address: record.address,
        detail: record.detail,
    });
    Ok(Json(RecordPage {
        items: items.collect(),
        next: activity
            .next
            .map(|number| paging::cursor(&number.to_string())),
    }))
}
