//! The port without TLS: sends clients on to the one with TLS, and answers who asks whether we live.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::extract::PathOf;
use crate::http::reply::Problem;
use crate::http::web::Web;
use crate::http::{guard, health, tally};
use crate::net::challenges::Challenges;

/// The standard port, which addresses leave out.
const HTTPS: u16 = 443;

/// What the port answers; clients are sent on to `port`, and authorities get the answers to their challenges.
pub fn routes(web: Web, port: u16, challenges: Option<Challenges>) -> Router {
    let prove = get(move |PathOf(token): PathOf<String>| {
        let challenges = challenges.clone();
        async move { proof(challenges, &token).await }
    });
    health::routes()
        .route("/.well-known/acme-challenge/{token}", prove)
        .fallback(move |request: Request| async move { onwards(&request, port) })
        .layer(middleware::from_fn(guard::unambiguous))
        .layer(middleware::from_fn(guard::protect))
        .layer(middleware::from_fn(tally::count))
        .with_state(web)
}

/// What an authority is answered (RFC 8555 section 8.3).
async fn proof(challenges: Option<Challenges>, token: &str) -> Response {
    let answer = match challenges {
        Some(challenges) => challenges.answer(token).await,
        None => Ok(None),
    };
    match answer {
        Ok(Some(answer)) => {
            let kind = HeaderValue::from_static("application/octet-stream");
            ([(header::CONTENT_TYPE, kind)], answer).into_response()
        }
        Ok(None) => {
            let detail = "nothing is to be proven by this token";
            Problem::new(StatusCode::NOT_FOUND, "no-such-address", detail).into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

/// The port of HTTPS as clients see it: the settings' or that of the first listener.
pub fn https_port(public: Option<u16>, listening: Option<SocketAddr>) -> u16 {
    public
        .or_else(|| listening.map(|address| address.port()))
        .unwrap_or(HTTPS)
}

/// 308 keeps the method, and so does not make a GET of an upload (RFC 9110 section 15.4.9).
fn onwards(request: &Request, port: u16) -> Response {
    let said = request.headers().get(header::HOST);
    let said = said.and_then(|host| host.to_str().ok());
    let host = said.and_then(|host| host.parse::<Authority>().ok());
    let Some(host) = host.filter(|host| !host.as_str().contains('@')) else {
        return Problem::malformed("the request names no host").into_response();
    };
    let path = request.uri().path_and_query();
    let path = path.map_or("/", |path| path.as_str());
    let to = match port {
        HTTPS => format!("https://{}{path}", host.host()),
        port => format!("https://{}:{port}{path}", host.host()),
    };
    match HeaderValue::try_from(to) {
        Ok(to) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Err(_) => Problem::malformed("the address cannot be sent on").into_response(),
    }
}
