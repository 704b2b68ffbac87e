//! What holds for every response, whoever made it.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::reply::Problem;
use crate::http::web::Web;

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

/// Has browsers come to this host by TLS from now on (RFC 6797), and to all hosts below it where the operator says
/// so; means nothing where there is no TLS.
pub async fn insist(State(web): State<Web>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let year = HeaderValue::from_static(match web.settings().hsts_subdomains {
        true => "max-age=31536000; includeSubDomains",
        false => "max-age=31536000",
    });
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

/// Refuses requests of which proxies on the way may think otherwise than we do: without one host (RFC 9112 section
/// 3.2, RFC 9113 section 8.3.1), for a path that is not encoded, in a coding that nobody takes apart or takes apart
/// twice (RFC 9112 section 6.1), or by two logins.
pub async fn unambiguous(request: Request, next: Next) -> Response {
    let mut logins = request.headers().get_all(header::AUTHORIZATION).iter();
    if logins.nth(1).is_some() {
        let detail = "the request logs in more than once; send 'Authorization' once";
        return Problem::malformed(detail).into_response();
    }
    if !is_encoded(request.uri().path()) {
        let detail = "a '%' in the path begins no encoded byte; write '%25' for one that is meant";
        return Problem::malformed(detail).into_response();
    }
    if let Err(detail) = one_host(&request) {
        return Problem::malformed(detail).into_response();
    }
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        let detail = "the only transfer coding that is taken is chunked";
        return Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported", detail).into_response();
    }
    let codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    if codings.count() > 1 {
        let detail = "the request is chunked twice; send 'Transfer-Encoding' once";
        return Problem::malformed(detail).into_response();
    }
    next.run(request).await
}

/// Whether each `%` begins an encoded byte (RFC 3986 section 2.1).
fn is_encoded(path: &str) -> bool {
    let mut parts = path.split('%');
    // What stands before the first.
    let _ = parts.next();
    parts.all(|part| {
        let mut digits = part.bytes();
        let mut is_digit = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_digit() && is_digit()
    })
}

/// Checks that a request is for one host, whichever version of HTTP says it: in `Host`, in the address (what HTTP/2
/// says in `:authority`), or the same in both.
fn one_host(request: &Request) -> Result<(), &'static str> {
    let scheme = request.uri().scheme_str();
    if scheme.is_some_and(|scheme| !["http", "https"].contains(&scheme)) {
        return Err(
            "the request is for an address of another kind; ask for one that begins with https",
        );
    }
    let address = request.uri().authority();
    let mut lines = request.headers().get_all(header::HOST).iter();
    let (line, is_more) = (lines.next(), lines.next().is_some());
    let is_missing = match request.version() {
        Version::HTTP_09 | Version::HTTP_10 => false,
        Version::HTTP_11 => line.is_none(),
        _ => line.is_none() && address.is_none(),
    };
    let line = line.map(|line| line.to_str().ok()?.parse::<Authority>().ok());
    let are_hosts = line.iter().all(|line| line.as_ref().is_some_and(is_host));
    if is_missing || is_more || !are_hosts || address.is_some_and(|address| !is_host(address)) {
        return Err(
            "a request names its host once, as in 'Host: files.example.com', and its port by a number",
        );
    }
    // The port of https may be left out.
    let plain = |host: &Authority| {
        let host = host.as_str().to_ascii_lowercase();
        host.strip_suffix(":443").map(str::to_owned).unwrap_or(host)
    };
    match (address, line.flatten()) {
        (Some(address), Some(line)) if plain(address) != plain(&line) => {
            Err(match request.version() {
                Version::HTTP_2 => {
                    "the request names two hosts; let 'Host' be what ':authority' is, or leave it out"
                }
                _ => {
                    "the request names two hosts; let 'Host' be the one of the address, or ask for the path alone"
                }
            })
        }
        _ => Ok(()),
    }
}

/// Whether it is a host and perhaps a port: neither a user before it, nor several, nor a port that is none.
fn is_host(named: &Authority) -> bool {
    let text = named.as_str();
    let port = text.strip_prefix(named.host()).unwrap_or(text);
    !text.contains(['@', ',']) && (matches!(port, "" | ":") || named.port_u16().is_some())
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
