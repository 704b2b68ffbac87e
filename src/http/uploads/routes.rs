//! `/api/v1/uploads`: uploads that survive a broken connection (tus 1.0, <https://tus.io>).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::headers::{Instead, Piece, Tus};
use crate::http::raw::Raw;
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::uploads::answer::{
    self, EXTENSIONS, LOCKED, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_VERSION,
    UPLOAD_LENGTH, UPLOAD_OFFSET, VERSION,
};
use crate::http::uploads::checksum::ALGORITHMS;
use crate::http::uploads::create::{__path_create, create};
use crate::http::uploads::desk::Desk;
use crate::http::uploads::receive::receive;
use crate::http::uploads::request;
use crate::http::visitor::Visitor;
use crate::http::web::Web;
use crate::vfs::addressed::{MAX_SIZE, Share, Standing, no_such_upload};
use crate::vfs::session::Session;

/// The routes.
pub fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(offer, create))
        .routes(routes!(offer_one, head, patch, end, instead))
        .layer(middleware::from_fn(answer::speak))
}

/// What this server can do.
#[utoipa::path(
    options,
    path = "/uploads",
    tag = "uploads",
    responses((status = 204, description = "the headers say it", headers(("Tus-Version"), ("Tus-Extension"), ("Tus-Max-Size"), ("Tus-Checksum-Algorithm"))))
)]
async fn offer() -> Response {
    offers(MAX_SIZE)
}

/// Tells what this server can do, and how long a file may be.
pub fn offers(most: u64) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(TUS_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS));
    headers.insert(TUS_MAX_SIZE, most.into());
    let algorithms = HeaderValue::from_static(ALGORITHMS);
    headers.insert(TUS_CHECKSUM_ALGORITHM, algorithms);
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// The same, for one upload.
#[utoipa::path(
    options,
    path = "/uploads/{id}",
    tag = "uploads",
    params(("id" = String, Path, description = "the address that Location told")),
    responses((status = 204, description = "the headers say it", headers(("Tus-Version"), ("Tus-Extension"), ("Tus-Max-Size"), ("Tus-Checksum-Algorithm"))))
)]
async fn offer_one() -> Response {
    offers(MAX_SIZE)
}

/// How far is an upload?
#[utoipa::path(
    head,
    path = "/uploads/{id}",
    tag = "uploads",
    params(
        ("id" = String, Path, description = "the address that Location told"),
        Tus,
    ),
    responses(
        (status = 200, description = "Upload-Offset says how many bytes are durable", headers(("Upload-Offset"), ("Upload-Length"), ("Upload-Defer-Length"), ("Upload-Concat"), ("Upload-Metadata"), ("Upload-Expires"))),
        (status = 400, description = "malformed"),
        (status = 401, description = "nobody has logged in"),
        (status = 403, description = "the account, or its token, may write nowhere"),
        (status = 404, description = "there is no such upload, or it has expired"),
        (status = 412, description = "another version of tus"),
        (status = 429, description = "too many are logged in"),
        (status = 503, description = "the database does not answer"),
    )
)]
async fn head(State(web): State<Web>, visitor: Visitor, uri: Uri) -> Result<Response, Problem> {
    look(&Desk::own(&web, &visitor.0), &uri).await
}

/// Sends the next piece.
#[utoipa::path(
    patch,
    path = "/uploads/{id}",
    tag = "uploads",
    params(
        ("id" = String, Path, description = "the address that Location told"),
        Tus,
        Piece,
    ),
    request_body(content = Raw, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "stored; Upload-Offset says how far it is. If it is complete, it is published", headers(("Upload-Offset"), ("Upload-Expires"))),
        (status = 400, description = "malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "a right is missing, or it was joined of parts", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "there is no such upload, or its folder is gone", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 408, description = "nothing came for too long", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 409, description = "it is not at this offset, or something is in the way of the file", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 412, description = "another version of tus", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 413, description = "more than it may hold", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 415, description = "the body is no piece", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 423, description = "another request writes to it", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many are under way", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 460, description = "the sum does not fit the body", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the store or the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 507, description = "the quota or the store is full", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn patch(
    State(web): State<Web>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    go_on(&Desk::own(&web, &visitor.0), &uri, &headers, body).await
}

/// Ends an upload and forgets it. A file that is published stays.
#[utoipa::path(
    delete,
    path = "/uploads/{id}",
    tag = "uploads",
    params(
        ("id" = String, Path, description = "the address that Location told"),
        Tus,
    ),
    responses(
        (status = 204, description = "ended"),
        (status = 400, description = "malformed", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 401, description = "nobody has logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 403, description = "the account, or its token, may write nowhere", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 404, description = "there is no such upload", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 412, description = "another version of tus", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 429, description = "too many are logged in", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 503, description = "the database does not answer", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn end(visitor: Visitor, uri: Uri) -> Result<StatusCode, Problem> {
    terminate(&visitor.0, &uri).await
}

/// What `X-HTTP-Method-Override` says, for clients that can send nothing but POST.
#[utoipa::path(
    post,
    path = "/uploads/{id}",
    tag = "uploads",
    params(
        ("id" = String, Path, description = "the address that Location told"),
        Tus,
        Instead,
    ),
    request_body(content = Raw, content_type = "application/offset+octet-stream"),
    responses(
        (status = "default", description = "as that method", headers(("Upload-Offset"), ("Upload-Length"), ("Upload-Defer-Length"), ("Upload-Concat"), ("Upload-Metadata"), ("Upload-Expires")), body = ProblemDetails, content_type = "application/problem+json"),
        (status = 405, description = "it names no method of an upload", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn instead(
    State(web): State<Web>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    go_on_instead(&Desk::own(&web, &visitor.0), &uri, &headers, body).await
}

/// What `X-HTTP-Method-Override` says.
///
/// # Errors
/// As that method; 405.
pub async fn go_on_instead(
    desk: &Desk<'_>,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    match request::method(headers) {
        Some(Method::PATCH) => go_on(desk, uri, headers, body).await,
        Some(Method::DELETE) => Ok(terminate(desk.session, uri).await?.into_response()),
        Some(Method::HEAD) => look(desk, uri).await,
        _ => Err(request::no_such_method()),
    }
}

/// Tells how far an upload is.
///
/// # Errors
/// 404.
pub async fn look(desk: &Desk<'_>, uri: &Uri) -> Result<Response, Problem> {
    let web = desk.web;
    let standing = standing(web, desk.session, uri).await?;
    let mut headers = answer::tell(&standing, web.settings().upload_expiry);
    headers.extend(desk.name_of(request::address(uri)?).await?);
    Ok((StatusCode::OK, headers).into_response())
}

/// Ends an upload.
///
/// # Errors
/// 404.
pub async fn terminate(session: &Session, uri: &Uri) -> Result<StatusCode, Problem> {
    session.end_upload(request::address(uri)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the next piece.
///
/// # Errors
/// As the operation has them.
pub async fn go_on(
    desk: &Desk<'_>,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut body = body.into_data_stream();
    let (web, session) = (desk.web, desk.session);
    if !request::carries_piece(headers) {
        return Err(request::no_piece());
    }
    let offset = request::bytes(headers, &UPLOAD_OFFSET)?;
    let offset =
        offset.ok_or_else(|| Problem::malformed("say how far the upload is in Upload-Offset"))?;
    let id = request::address(uri)?;
    let standing = standing(web, session, uri).await?;
    if matches!(standing.share, Share::Joined(_)) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "joined",
            "this upload was joined of parts and is complete",
        ));
    }
    if offset != standing.offset {
        return Err(elsewhere(standing.offset));
    }
    let length = match (standing.length, request::bytes(headers, &UPLOAD_LENGTH)?) {
        (known, None) => known,
        (Some(known), Some(said)) if known == said => Some(known),
        (None, Some(said)) if said > MAX_SIZE => return Err(request::too_long()),
        (None, Some(said)) if said >= offset => Some(said),
        _ => {
            let detail = "the length was said before, or more than that is there; leave it out";
            return Err(Problem::malformed(detail));
        }
    };
    let stored = match standing.done {
        // Nothing can follow, and the end may be asked for twice.
        true => match request::bytes(headers, &axum::http::header::CONTENT_LENGTH)? {
            Some(0) => offset,
            _ => return Err(request::too_long()),
        },
        false => match receive(web, session, (id, offset, length), headers, &mut body).await {
            Err(problem) if problem.word() == LOCKED => {
                return Err(overtaken(desk, uri, offset, problem).await);
            }
            received => received?,
        },
    };
    let mut answer = HeaderMap::new();
    answer.insert(UPLOAD_OFFSET, stored.into());
    if Some(stored) != length || standing.share == Share::Part {
        let now = web.clock().now();
        answer.extend(answer::expires(now, web.settings().upload_expiry));
    } else {
        answer.extend(desk.name_of(id).await?);
    }
    Ok((StatusCode::NO_CONTENT, answer).into_response())
}

/// How far an upload is, unless it has expired.
async fn standing(web: &Web, session: &Session, uri: &Uri) -> Result<Standing, Problem> {
    let standing = session.upload_standing(request::address(uri)?).await?;
    let ends = standing.touched_at.plus(web.settings().upload_expiry);
    match standing.done || ends > web.clock().now() {
        true => Ok(standing),
        // As it is answered when nothing is left of it.
        false => Err(no_such_upload().into()),
    }
}

/// What who came second is told: that another request is writing, or how far that has brought the upload.
async fn overtaken(desk: &Desk<'_>, uri: &Uri, offset: u64, locked: Problem) -> Problem {
    match standing(desk.web, desk.session, uri).await {
        Ok(standing) if standing.offset != offset => elsewhere(standing.offset),
        Ok(_) => locked,
        Err(problem) => problem,
    }
}

fn elsewhere(offset: u64) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "other-offset",
        format!("the upload is at offset {offset}; go on from there"),
    )
    .with(UPLOAD_OFFSET, offset.into())
}
