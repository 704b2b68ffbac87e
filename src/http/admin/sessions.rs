//! `.../sessions`: what goes on now, by every protocol and at every server.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::id::SessionId;
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Helping, Seeing};
use crate::http::extract::{Params, PathOf};
use crate::http::failures::Asking;
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;
use crate::http::web::Web;

/// A session in progress.
#[derive(Serialize, ToSchema)]
pub struct LiveSession {
    /// What it is ended by; the audit log names it as well.
    id: String,
    /// The account, `user@tenant`.
    login: String,
    /// `sftp`, `ftp`, `ftps`, `https` or `webdav`.
    protocol: String,
    /// From where.
    address: String,
    /// Since when.
    began_at: String,
    /// At which server, as its ready.json calls it.
    instance: String,
}

/// A part of the sessions.
#[derive(Serialize, ToSchema)]
pub struct LivePage {
    /// The sessions, in no order that means anything.
    items: Vec<LiveSession>,
    /// What `cursor` is for the next part; null at the end.
    next: Option<String>,
}

/// Which sessions are wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Of this account, by its name within the tenant.
    #[param(required = false)]
    user: Option<String>,
}

/// A session in a path.
#[derive(Deserialize)]
pub struct Named {
    session: String,
}

/// List sessions in progress.
///
/// What begins is shown within about a second.
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "sessions in progress",
    params(Which, Paging),
    responses((status = 200, description = "a part of them", body = LivePage), Asking)
)]
pub async fn list(
    admin: Admin<Seeing>,
    Params(which): Params<Which>,
    Params(paging): Params<Paging>,
) -> Result<Json<LivePage>, Problem> {
    let (limit, after) = (paging.limit()?, paging.after()?);
    let login = which.user.as_deref().map(|user| admin.login(user));
    let login = login.transpose()?;
    let found =
        admin
            .directory
            .sessions_page(&admin.tenant, login.as_ref(), after.as_deref(), limit);
    let (sessions, next) = found.await?;
    let items = sessions.into_iter().map(|session| LiveSession {
        id: session.id,
        login: session.login,
        protocol: session.protocol,
        address: session.address,
        began_at: session.began_at,
        instance: session.instance,
    });
    Ok(Json(LivePage {
        items: items.collect(),
        next: next.as_deref().map(paging::cursor),
    }))
}

/// End a session wherever it goes on.
///
/// At this server it ends at once, at others within about a second; a transfer in it is broken off. A
/// browser is logged out. Whoever logs in with each request (a password, a token) may begin a new one:
/// disable the account, or revoke the token, to keep them out.
#[utoipa::path(
    delete,
    path = "/sessions/{session}",
    tag = "sessions in progress",
    params(("session" = String, Path, description = "the session, as the list shows it")),
    responses((status = 204, description = "it ends"), Asking)
)]
pub async fn end(
    State(web): State<Web>,
    admin: Admin<Helping>,
    PathOf(named): PathOf<Named>,
) -> Result<StatusCode, Problem> {
    let id: SessionId = named.session.parse()?;
    admin.directory.end_session(&admin.tenant, id).await?;
    web.accounts().ask_end(id);
    Ok(StatusCode::NO_CONTENT)
}
