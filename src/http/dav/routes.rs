//! WebDAV (RFC 4918, classes 1 and 2) below `/dav`: which method is answered where.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;

use crate::domain::principal::Protocol;
use crate::http::dav::asked::Asked;
use crate::http::dav::condition::If;
use crate::http::dav::fault::Fault;
use crate::http::dav::{copy, locking, place, propfind, proppatch, transfer, tree, xml};
use crate::http::reply::Problem;
use crate::http::visitor;
use crate::http::web::Web;

const METHODS: &str =
    "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, LOCK, UNLOCK";
/// Those of them that folders have.
const OF_FOLDERS: &str = "OPTIONS, DELETE, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, LOCK, UNLOCK";

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/dav", any(serve))
        .route("/dav/", any(serve))
        .route("/dav/{*path}", any(serve))
        .route("/", any(front))
}

/// Answers a request.
async fn serve(State(web): State<Web>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // The future is that of whatever is asked for.
    let answered = Box::pin(answer(web, parts, body)).await;
    answered.unwrap_or_else(Fault::into_response)
}

/// The root of the server, at which Explorer looks first: it leads to the files.
async fn front(State(web): State<Web>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method.as_str() {
        "OPTIONS" => options(),
        "PROPFIND" => {
            let known = Box::pin(visitor::principal(&parts, &web, Protocol::Webdav)).await;
            match known {
                Ok(_) => propfind::of_responses(&signpost(&parts)),
                Err(problem) => Fault::from(problem).into_response(),
            }
        }
        _ => {
            let detail = "there is nothing at this address; /api/v1/openapi.json lists what there is, and \
                          files are at /dav/";
            Problem::new(StatusCode::NOT_FOUND, "no-such-address", detail).into_response()
        }
    }
}

async fn answer(web: Web, parts: Parts, body: Body) -> Result<Response, Fault> {
    if parts.method == Method::OPTIONS {
        return Ok(options());
    }
    let principal = visitor::principal(&parts, &web, Protocol::Webdav).await?;
    let session = web.vfs().session(principal).as_published();
    let path = place::path(parts.uri.path())?;
    let href = place::href(&path, parts.uri.path().ends_with('/'));
    let condition = If::read(&parts.headers)?;
    let version = match &condition {
        None => None,
        Some(condition) => {
            let request = (&parts.uri, &parts.headers);
            condition.check(&session, &path, request).await?
        }
    };
    let method = parts.method;
    let session = match method.as_str() {
        "GET" | "HEAD" | "PROPFIND" => session,
        _ => {
            let tokens = condition.as_ref().map(If::tokens);
            session.holding(tokens.unwrap_or_default()).await?
        }
    };
    let asked = Asked {
        web,
        session,
        path,
        uri: parts.uri,
        headers: parts.headers,
        condition,
        version,
    };
    let answered = match method.as_str() {
        "GET" | "HEAD" => transfer::get(asked, &method).await,
        "PUT" => transfer::put(asked, body).await,
        "DELETE" => tree::delete(asked).await,
        "PROPFIND" => propfind::answer(asked, body).await,
        "PROPPATCH" => proppatch::answer(asked, body).await,
        "MKCOL" => tree::make(asked, body).await,
        "COPY" => copy::answer(asked).await,
        "MOVE" => tree::rename(asked).await,
        "LOCK" => locking::lock(asked, body).await,
        "UNLOCK" => locking::unlock(asked).await,
        _ => {
            let detail = format!("this is not done here; what is: {METHODS}");
            let problem =
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
            Err(problem.into())
        }
    };
    answered
        .map_err(|fault| fault.about(&href))
        .or_else(
            |fault| match fault.status() == StatusCode::METHOD_NOT_ALLOWED {
                true => {
                    let mut response = fault.into_response();
                    let allow = HeaderValue::from_static(match method.as_str() {
                        // Of a folder, and nothing else is refused so.
                        "GET" | "HEAD" | "PUT" => OF_FOLDERS,
                        _ => METHODS,
                    });
                    response.headers_mut().insert(header::ALLOW, allow);
                    Ok(response)
                }
                false => Err(fault),
            },
        )
}

/// What there is here: said to strangers as well, since clients ask before they log in.
fn options() -> Response {
    let told = [
        ("allow", METHODS),
        ("dav", "1, 2"),
        ("ms-author-via", "DAV"),
        ("accept-ranges", "bytes"),
    ];
    (StatusCode::OK, told).into_response()
}

/// That the root is a folder, and files are in a folder of it.
fn signpost(parts: &Parts) -> String {
    let is_deep = parts.headers.get("depth").is_none_or(|depth| depth != "0");
    let folders = [("/", "Sealift", true), ("/dav/", "dav", is_deep)];
    let shown = folders.into_iter().filter(|(.., shown)| *shown);
    let told = shown.map(|(href, name, _)| {
        format!(
            "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:displayname>{}</D:displayname>\
             <D:resourcetype><D:collection/></D:resourcetype></D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n",
            xml::escaped(name)
        )
    });
    told.collect()
}
