//! Sending files by a link: whole, or by tus. They land beside what is there, and nothing is seen of that.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::error::Error;
use crate::domain::link::LinkKind;
use crate::http::extract::Params;
use crate::http::failures::{Piecing, Visiting};
use crate::http::files::digest;
use crate::http::headers::{Beginning, Instead, Piece, Sums, Tus};
use crate::http::links::outsider::Outsider;
use crate::http::raw::Raw;
use crate::http::reply::{Problem, ProblemDetails};
use crate::http::uploads::answer;
use crate::http::uploads::checksum::Check;
use crate::http::uploads::desk::{self, Desk};
use crate::http::uploads::receive::receive_checked;
use crate::http::uploads::{create, request, routes as tus};
use crate::http::web::Web;
use crate::vfs::addressed::{MAX_SIZE, NewUpload};
use crate::vfs::addressed_piece::{Trust, Verdict};
use crate::vfs::rename::Overwrite;

/// The routes of tus.
pub fn tus_routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(offer, begin))
        .routes(routes!(offer_one, look, go_on, end, instead))
        .layer(middleware::from_fn(answer::speak))
}

/// How a file is sent.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct How {
    /// Who sends it, for whom it is sent to; at most 200 bytes.
    sender: Option<String>,
}

/// A file that was sent.
#[derive(Serialize, ToSchema)]
pub struct Sent {
    /// The name that it got: another than it was sent with when that was taken.
    name: String,
    /// Length in bytes.
    size: u64,
}

/// Send a file by a link.
///
/// It never replaces anything: where the name is taken, the file gets another, which the answer says.
/// `Repr-Digest` or `Content-Digest: sha-256=:...:` or `X-Checksum-Sha256` is compared with what came. A
/// body that breaks off leaves nothing; large files are better sent by tus.
#[utoipa::path(
    put,
    path = "/shared/{token}/files/{*path}",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("path" = String, Path, description = "the name of the file"),
        How,
        Sums,
    ),
    request_body(content = Raw, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "stored", body = Sent, headers(("X-Sealift-Name"))),
        (status = 411, description = "the link takes only so many bytes, and the request does not say how many come", body = ProblemDetails, content_type = "application/problem+json"),
        (status = 422, description = "what came does not have the checksum that the request says", body = ProblemDetails, content_type = "application/problem+json"),
        Visiting,
        Piecing,
    )
)]
pub async fn put(
    State(web): State<Web>,
    outsider: Outsider,
    Params(how): Params<How>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // To its end although its client may be gone: nobody else knows the upload's address, to end it.
    let sending = web.clone();
    let sent = web.tasks().spawn(async move {
        let sent = put_whole(&sending, &outsider, how, &headers, body).await;
        outsider.told(&sending, sent).await
    });
    sent.await.map_err(Error::internal)?
}

async fn put_whole(
    web: &Web,
    outsider: &Outsider,
    how: How,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    outsider.require(LinkKind::Upload)?;
    outsider.check_left(web).await?;
    let name = desk::plain_name(outsider.named().as_bytes())?;
    let expected = digest::expected(headers)?;
    let length = request::bytes(headers, &header::CONTENT_LENGTH)?;
    let desk = at(web, outsider);
    desk.check_length(length)?;
    let limits = &outsider.good.link().limits;
    if length.is_none() && limits.size.or(limits.bytes).is_some() {
        let detail =
            "this link takes only so many bytes; say in Content-Length how long the file is";
        return Err(Problem::new(
            StatusCode::LENGTH_REQUIRED,
            "no-length",
            detail,
        ));
    }
    if length.is_some_and(|length| length > MAX_SIZE) {
        return Err(request::too_long());
    }
    let session = &outsider.session;
    let new = NewUpload {
        path: Some(outsider.good.home().clone().join(name)?),
        overwrite: Overwrite::Forbid,
        length,
        metadata: String::new(),
        sender: how.sender.and_then(|said| desk::called(&said)),
        is_told: false,
    };
    let id = session.create_upload(new).await?;
    let check = expected.map(Check::sha256);
    let mut body = body.into_data_stream();
    let received = async {
        let place = (id, 0, length);
        let came = receive_checked(web, session, place, headers, (&mut body, check)).await?;
        if length.is_none() {
            // Only now is it known how long the file is.
            let last = session.write_piece(id, came, Some(came), Trust::AsItComes, |_| None);
            let last = last.await?;
            last.finish(Verdict::Counts).await?;
        }
        Ok::<_, Problem>(came)
    };
    let size = match received.await {
        Ok(size) => size,
        Err(problem) => {
            // Nobody knows its address.
            if let Err(error) = session.end_upload(id).await {
                tracing::debug!(error = ?error, "an upload that failed is left to a job to end");
            }
            return Err(match problem.word() {
                "checksum-mismatch" => digest::mismatch(),
                _ => problem,
            });
        }
    };
    let standing = session.upload_standing(id).await?;
    let name = standing.name.unwrap_or_default();
    let told = [(desk::GIVEN_NAME, desk::told(&name))];
    Ok((StatusCode::CREATED, told, Json(Sent { name, size })).into_response())
}

/// What this server can do, for a link.
#[utoipa::path(
    options,
    path = "/shared/{token}/uploads",
    tag = "shared",
    params(("token" = String, Path, description = "the text of the link")),
    responses((status = 204, description = "the headers say it", headers(("Tus-Version"), ("Tus-Extension"), ("Tus-Max-Size"), ("Tus-Checksum-Algorithm"))))
)]
async fn offer() -> Response {
    tus::offers(MAX_SIZE)
}

/// The same, for one upload.
#[utoipa::path(
    options,
    path = "/shared/{token}/uploads/{id}",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("id" = String, Path, description = "the upload"),
    ),
    responses((status = 204, description = "the headers say it", headers(("Tus-Version"), ("Tus-Extension"), ("Tus-Max-Size"), ("Tus-Checksum-Algorithm"))))
)]
async fn offer_one() -> Response {
    tus::offers(MAX_SIZE)
}

/// Begins to send a file by a link, by tus, or joins parts to one.
#[utoipa::path(
    post,
    path = "/shared/{token}/uploads",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        Tus,
        Beginning,
        ("Upload-Metadata" = Option<String>, Header, description = "pairs of a key and base64: `filename`, `sender`"),
    ),
    request_body(content = Raw, content_type = "application/offset+octet-stream", description = "the first piece, if any"),
    responses(
        (status = 201, description = "begun; Location says where, Upload-Offset how far it is", headers(("Location"), ("Upload-Offset"), ("Upload-Expires"), ("X-Sealift-Name"))),
        Visiting,
        Piecing,
    )
)]
async fn begin(
    State(web): State<Web>,
    outsider: Outsider,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    outsider.require(LinkKind::Upload)?;
    outsider.check_left(&web).await?;
    let mut body = body.into_data_stream();
    let begun = create::begin(&at(&web, &outsider), &headers, &mut body).await;
    outsider.told(&web, begun).await
}

/// How far is an upload?
#[utoipa::path(
    head,
    path = "/shared/{token}/uploads/{id}",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("id" = String, Path, description = "the upload"),
        Tus,
    ),
    responses(
        (status = 200, description = "Upload-Offset says how many bytes are durable; X-Sealift-Name what the file is called, once it is complete", headers(("Upload-Offset"), ("Upload-Length"), ("Upload-Defer-Length"), ("Upload-Concat"), ("Upload-Metadata"), ("Upload-Expires"), ("X-Sealift-Name"))),
        Visiting,
        Piecing,
    )
)]
async fn look(State(web): State<Web>, outsider: Outsider, uri: Uri) -> Result<Response, Problem> {
    outsider.require(LinkKind::Upload)?;
    let looked = tus::look(&at(&web, &outsider), &uri).await;
    outsider.told(&web, looked).await
}

/// Sends the next piece.
#[utoipa::path(
    patch,
    path = "/shared/{token}/uploads/{id}",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("id" = String, Path, description = "the upload"),
        Tus,
        Piece,
    ),
    request_body(content = Raw, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "stored; Upload-Offset says how far it is. If it is complete, X-Sealift-Name says what the file is called", headers(("Upload-Offset"), ("Upload-Expires"), ("X-Sealift-Name"))),
        Visiting,
        Piecing,
    )
)]
async fn go_on(
    State(web): State<Web>,
    outsider: Outsider,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    outsider.require(LinkKind::Upload)?;
    let gone_on = tus::go_on(&at(&web, &outsider), &uri, &headers, body).await;
    outsider.told(&web, gone_on).await
}

/// Ends an upload and forgets it. A file that is complete stays.
#[utoipa::path(
    delete,
    path = "/shared/{token}/uploads/{id}",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("id" = String, Path, description = "the upload"),
        Tus,
    ),
    responses((status = 204, description = "ended"), Visiting, Piecing)
)]
async fn end(State(web): State<Web>, outsider: Outsider, uri: Uri) -> Result<StatusCode, Problem> {
    outsider.require(LinkKind::Upload)?;
    let ended = tus::terminate(&outsider.session, &uri).await;
    outsider.told(&web, ended).await
}

/// What `X-HTTP-Method-Override` says, for clients that can send nothing but POST.
#[utoipa::path(
    post,
    path = "/shared/{token}/uploads/{id}",
    tag = "shared",
    params(
        ("token" = String, Path, description = "the text of the link"),
        ("id" = String, Path, description = "the upload"),
        Tus,
        Instead,
    ),
    request_body(content = Raw, content_type = "application/offset+octet-stream"),
    responses(
        (status = "default", description = "as that method", headers(("Upload-Offset"), ("Upload-Length"), ("Upload-Defer-Length"), ("Upload-Concat"), ("Upload-Metadata"), ("Upload-Expires"), ("X-Sealift-Name")), body = ProblemDetails, content_type = "application/problem+json"),
        (status = 405, description = "it names no method of an upload", body = ProblemDetails, content_type = "application/problem+json"),
    )
)]
async fn instead(
    State(web): State<Web>,
    outsider: Outsider,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    outsider.require(LinkKind::Upload)?;
    let done = tus::go_on_instead(&at(&web, &outsider), &uri, &headers, body).await;
    outsider.told(&web, done).await
}

/// Where a link takes files.
fn at<'a>(web: &'a Web, outsider: &'a Outsider) -> Desk<'a> {
    Desk {
        web,
        session: &outsider.session,
        base: outsider.uploads(),
        most: outsider.good.link().limits.size,
    }
}
