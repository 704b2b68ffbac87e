//! What holds for every response, whoever made it.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::reply::Problem;

/// Sent with every response, unless a handler knows better.
const ALWAYS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    (
        "content-security-policy",
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=()",
    ),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

/// Has browsers come by TLS from now on (RFC 6797); means nothing where there is none.
pub async fn insist(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
    let headers = response.headers_mut();
    headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    response
}

/// Says how to log in where nobody has (RFC 9110 section 11.6.1): programs by Basic, for which a browser
/// would show a box of its own instead of the page's.
pub async fn challenge(request: Request, next: Next) -> Response {
    let is_browser = request.headers().contains_key("sec-fetch-mode");
    let mut response = next.run(request).await;
    let is_told = response.headers().contains_key(header::WWW_AUTHENTICATE);
    if response.status() == StatusCode::UNAUTHORIZED && !is_told {
        let how = match is_browser {
            true => "Bearer realm=\"Sealift\"",
            false => "Basic realm=\"Sealift\", charset=\"UTF-8\"",
        };
        let how = HeaderValue::from_static(how);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
    }
    response
}

/// Refuses requests of which proxies on the way may think otherwise than we do: without one host, in a coding
/// that nobody takes apart (RFC 9112 sections 3.2 and 6.1), for two hosts (RFC 9113 section 8.3.1; over HTTP/1.1
/// an address with a host beside 'Host'), or by two logins.
pub async fn unambiguous(request: Request, next: Next) -> Response {
    let mut logins = request.headers().get_all(header::AUTHORIZATION).iter();
    if logins.nth(1).is_some() {
        let detail = "the request logs in more than once; send 'Authorization' once";
        return Problem::malformed(detail).into_response();
    }
    if request.version() == Version::HTTP_11 {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let is_one = host.is_some_and(|host| !host.as_str().contains('@'));
        if !is_one || hosts.next().is_some() {
            let detail = "an HTTP/1.1 request names its host once, as in 'Host: files.example.com'";
            return Problem::malformed(detail).into_response();
        }
    }
    if is_for_two_hosts(&request) {
        let detail = match request.version() {
            Version::HTTP_2 => {
                "the request names two hosts; let 'Host' be what ':authority' is, or leave it out"
            }
            _ => {
                "the request names two hosts; let 'Host' be the one of the address, or ask for the path alone"
            }
        };
        return Problem::malformed(detail).into_response();
    }
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        let detail = "the only transfer coding that is taken is chunked";
        return Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported", detail).into_response();
    }
    next.run(request).await
}

/// Whether the host of the address (what HTTP/2 says in `:authority`) and what stands in `Host` differ.
fn is_for_two_hosts(request: &Request) -> bool {
    // The port of https may be left out.
    let plain = |host: &[u8]| {
        host.strip_suffix(b":443")
            .unwrap_or(host)
            .to_ascii_lowercase()
    };
    let authority = request.uri().authority();
    let authority = authority.map(|name| plain(name.as_str().as_bytes()));
    let hosts = request.headers().get_all(header::HOST).iter();
    let mut named = authority
        .into_iter()
        .chain(hosts.map(|host| plain(host.as_bytes())));
    let first = named.next();
    named.any(|other| Some(other) != first)
}

/// Adds the headers that keep browsers from doing harm.
pub async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        if !headers.contains_key(name) {
            let name = HeaderName::from_static(name);
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
