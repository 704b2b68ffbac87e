//! `/api/v1/sessions`: logging in and out, in a browser.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::attempt::{Attempt, Question, Step};
use crate::accounts::bearer::Means;
use crate::accounts::door::Door;
use crate::accounts::own_sessions::OwnSession;
use crate::accounts::ticket::Ticket;
use crate::domain::error::{Error, ErrorKind};
use crate::domain::id::SessionId;
use crate::domain::principal::{Principal, Protocol};
use crate::domain::secret::Secret;
use crate::http::account::owner::Owner;
use crate::http::account::pending::Waiting;
use crate::http::extract::{PathOf, StrangersJson};
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::web::Web;
use crate::http::{cookie, visitor};

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(log_in, list, end_others))
        .routes(routes!(current, log_out))
        .routes(routes!(end))
}

/// A login: name and password, with the code if one is at hand; or the code that a login waits for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    /// The name, `user@tenant`; without the tenant where the host stands for one.
    login: Option<String>,
    /// The password.
    #[schema(format = Password)]
    password: Option<String>,
    /// A code of the second factor, or a recovery code.
    code: Option<String>,
    /// What the answer to the password called the login.
    pending: Option<String>,
}

/// A login that waits for more.
#[derive(Serialize, ToSchema)]
struct More {
    /// What to send with the rest, within three minutes.
    pending: String,
    /// What is wanted: `code`.
    wants: &'static str,
}

/// A session.
#[derive(Serialize, ToSchema)]
struct SessionView {
    /// What it is ended by.
    id: String,
    /// When it began.
    began_at: String,
    /// When it was used last, to the minute or so.
    seen_at: String,
    /// When it ends, however much it is used.
    ends_at: String,
    /// From where it began.
    address: String,
    /// What the browser called itself then.
    agent: String,
    /// It is the one that this request came by.
    current: bool,
}

/// The session of a request.
#[derive(Serialize, ToSchema)]
struct Current {
    /// The account, `user@tenant`.
    login: String,
    /// What pages send as `X-Sealift-CSRF` with each request that changes something.
    csrf: String,
    /// The session.
    session: SessionView,
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
struct SessionPage {
    /// The sessions, newest first.
    items: Vec<SessionView>,
    /// Where the next page begins; there never is one.
    next: Option<String>,
}

/// How many were ended.
#[derive(Serialize, ToSchema)]
struct Ended {
    /// Sessions.
    ended: u64,
}

/// Log in
///
/// Whatever session the browser shows is ended, and a new one begins under a name that nobody knew before.
#[utoipa::path(
    post,
    path = "/sessions",
    tag = "sessions",
    request_body = Login,
    responses(
        (status = 201, description = "logged in; the cookie of the session comes with it", body = Current, headers(("Set-Cookie"))),
        (status = 202, description = "the password is right, and more is wanted", body = More),
        (status = 400, description = "the request is malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "name, password or code is wrong", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "another site's page made the request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "the body is too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn log_in(
    State(web): State<Web>,
    arrival: Arrival,
    StrangersJson(body): StrangersJson<Login>,
) -> Result<Response, Problem> {
    let code = body.code.map(Secret::new);
    let (attempt, login, step) = match (body.pending, body.login, body.password) {
        (Some(pending), None, None) => {
            let code = code.ok_or_else(|| Problem::malformed("send the code with 'pending'"))?;
            let waiting = web.pending().take(&pending, arrival.from.address);
            let mut waiting = waiting.ok_or_else(|| {
                let sentence = "the login waited for too long, or began elsewhere; begin anew with name, password and code";
                Problem::from(Error::new(ErrorKind::Unauthenticated, sentence))
            })?;
            let step = Box::pin(waiting.attempt.answer(&waiting.login, &code)).await?;
            (waiting.attempt, waiting.login, step)
        }
        (None, Some(login), Some(password)) => {
            let mut attempt = Attempt::new(web.accounts().clone(), arrival.from);
            attempt.in_tenant(arrival.tenant.clone());
            let password = Secret::new(password);
            let mut step = Box::pin(attempt.password_line(&login, &password)).await?;
            if let (Step::Ask(Question::Code), Some(code)) = (&step, &code) {
                step = Box::pin(attempt.answer(&login, code)).await?;
            }
            (attempt, login, step)
        }
        _ => {
            let detail = "send 'login' and 'password' (and 'code'), or 'pending' and 'code'";
            return Err(Problem::malformed(detail));
        }
    };
    match step {
        Step::Admitted(principal) => admitted(&web, &arrival, &principal).await,
        Step::Ask(Question::Code) => {
            let address = arrival.from.address;
            let waiting = Waiting {
                attempt,
                login,
                address,
            };
            let more = More {
                pending: web.pending().add(waiting)?,
                wants: "code",
            };
            Ok((StatusCode::ACCEPTED, Json(more)).into_response())
        }
        Step::Ask(Question::Password) | Step::Further(_) => {
            let sentence = "this account needs a proof that no browser can give; use a token";
            Err(Error::new(ErrorKind::Unauthenticated, sentence).into())
        }
    }
}

async fn admitted(
    web: &Web,
    arrival: &Arrival,
    principal: &Principal,
) -> Result<Response, Problem> {
    if let Some(before) = &arrival.before {
        // Nobody is to go on by what was known before the login.
        if let Ok(visit) = web.visits().of(before, arrival.from).await {
            let _gone = end_one(web, &visit.principal, visit.principal.session).await;
        }
    }
    let life = web.settings().sessions;
    let accounts = web.accounts();
    let kept = accounts.keep_session(principal, &arrival.agent, life).await;
    let (ticket, session) = kept?;
    web.visits()
        .logged_in(&ticket, arrival.from, principal)
        .await?;
    let current = Current {
        login: principal.login.to_string(),
        csrf: ticket.page_token(),
        session: view(session, principal.session),
    };
    let cookie = [(header::SET_COOKIE, cookie::kept(&ticket))];
    Ok((StatusCode::CREATED, cookie, Json(current)).into_response())
}

/// My sessions
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "sessions",
    responses(
        (status = 200, description = "the sessions of the account that go on", body = SessionPage),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn list(State(web): State<Web>, owner: Owner) -> Result<Json<SessionPage>, Problem> {
    let principal = &owner.principal;
    let life = web.settings().sessions;
    let sessions = web.accounts().own_sessions(principal, life).await?;
    let items = sessions.into_iter();
    let items = items.map(|session| view(session, principal.session));
    Ok(Json(SessionPage {
        items: items.collect(),
        next: None,
    }))
}

/// The session of this request
#[utoipa::path(
    get,
    path = "/sessions/current",
    tag = "sessions",
    responses(
        (status = 200, description = "the session that the cookie stands for", body = Current),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the request came by a password or a token", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn current(State(web): State<Web>, owner: Owner) -> Result<Json<Current>, Problem> {
    let (id, ticket) = own_session(&owner)?;
    let life = web.settings().sessions;
    let sessions = web.accounts().own_sessions(&owner.principal, life).await?;
    let session = sessions.into_iter().find(|session| session.id == id);
    let session = session.ok_or_else(Problem::stranger)?;
    Ok(Json(Current {
        login: owner.principal.login.to_string(),
        csrf: ticket.page_token(),
        session: view(session, id),
    }))
}

/// Log out
#[utoipa::path(
    delete,
    path = "/sessions/current",
    tag = "sessions",
    params(("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login")),
    responses(
        (status = 204, description = "logged out", headers(("Set-Cookie"))),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "no page of this server made the request", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the request came by a password or a token", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn log_out(State(web): State<Web>, owner: Owner) -> Result<Response, Problem> {
    let (id, _) = own_session(&owner)?;
    end_one(&web, &owner.principal, id).await?;
    let cookie = [(header::SET_COOKIE, cookie::forgotten())];
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}

/// End one of my sessions
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "the session"),
        ("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login"),
    ),
    responses(
        (status = 204, description = "it has ended"),
        (status = 400, description = "the request is malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "no page of this server made the request, or the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "the account has no such session", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn end(
    State(web): State<Web>,
    owner: Owner,
    PathOf(id): PathOf<String>,
) -> Result<StatusCode, Problem> {
    let id: SessionId = id.parse()?;
    end_one(&web, &owner.principal, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End my other sessions
///
/// All but the one of the request; all, when it came by a password or a token.
#[utoipa::path(
    delete,
    path = "/sessions",
    tag = "sessions",
    params(("x-sealift-csrf" = Option<String>, Header, description = "as it was handed out at login")),
    responses(
        (status = 200, description = "they have ended", body = Ended),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "no page of this server made the request, or the token is not for this", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many failed logins or sessions", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn end_others(State(web): State<Web>, owner: Owner) -> Result<Json<Ended>, Problem> {
    let principal = &owner.principal;
    let ended = web.accounts().end_other_sessions(principal).await?;
    let is_other = |means: &Means| matches!(means, Means::Session(id) if *id != principal.session);
    let visits = web.visits();
    visits
        .revoked(|visit| {
            let owned = &visit.principal;
            let is_own = owned.tenant == principal.tenant && owned.account == principal.account;
            is_own && is_other(&visit.means)
        })
        .await;
    Ok(Json(Ended { ended }))
}

async fn end_one(web: &Web, owner: &Principal, id: SessionId) -> Result<(), Problem> {
    web.accounts().end_session(owner, id).await?;
    let is_it = Means::Session(id);
    web.visits().revoked(|visit| visit.means == is_it).await;
    Ok(())
}

fn own_session(owner: &Owner) -> Result<(SessionId, &Ticket), Problem> {
    match (&owner.means, &owner.ticket) {
        (Means::Session(id), Some(ticket)) => Ok((*id, ticket)),
        _ => {
            let detail = "this request came by a password or a token, and has no session";
            Err(Error::not_found(detail).into())
        }
    }
}

fn view(session: OwnSession, current: SessionId) -> SessionView {
    SessionView {
        current: session.id == current,
        id: session.id.to_string(),
        began_at: session.began_at,
        seen_at: session.seen_at,
        ends_at: session.ends_at,
        address: session.address,
        agent: session.agent,
    }
}

/// Somebody who comes to log in.
struct Arrival {
    from: Door,
    /// The tenant that the name of the host stands for.
    tenant: Option<String>,
    agent: String,
    /// The session that the browser shows.
    before: Option<Ticket>,
}

impl FromRequestParts<Web> for Arrival {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Problem> {
        let (from, tenant) = visitor::whence(parts, web, Protocol::Https).await?;
        let agent = parts.headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Ok(Self {
            from,
            tenant,
            agent: agent.unwrap_or_default().to_owned(),
            before: cookie::shown(&parts.headers),
        })
    }
}
