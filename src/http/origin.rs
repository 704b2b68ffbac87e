//! From which pages requests come.
//!
//! A browser sends what it keeps (a cookie, a password of Basic) with requests that the pages of other
//! sites make as well. So nothing that changes anything is done for another site's page, whatever the
//! request logs in with; and for the cookie of a session the request must prove that a page of ours made
//! it, twice: by what the browser says (`Sec-Fetch-Site` or `Origin`, which no page can set), and by
//! `X-Sealift-CSRF`, which only a page knows that has read our answers. One alone would do in the
//! browsers of today. The first fails where a browser or a proxy drops those headers; the second where
//! a page leaks what it knows; `SameSite=Strict` on the cookie, the third, does not keep off pages of
//! neighbouring hosts of the same site.

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::accounts::ticket::Ticket;
use crate::http::reply::Problem;

/// What pages send with what they change.
pub const PAGE_TOKEN: HeaderName = HeaderName::from_static("x-sealift-csrf");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The standard port, which origins leave out.
const HTTPS: u16 = 443;

/// Where a request comes from, as the browser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Another site's page.
    Foreign,
    /// One of ours.
    Ours,
    /// Nothing is said: programs say nothing.
    Unsaid,
}

/// Refuses what the pages of other sites would change.
pub async fn keep_off(request: Request, next: Next) -> Response {
    let source = source(request.uri(), request.headers());
    if changes(request.method()) && source == Source::Foreign {
        let detail = "the page of another site made this request; open the server's own";
        return Problem::new(StatusCode::FORBIDDEN, "cross-site", detail).into_response();
    }
    next.run(request).await
}

/// Checks what must come with a request that the cookie of a session logs in.
///
/// # Errors
/// 403 when it changes something and does not prove that a page of ours made it.
pub fn check(parts: &Parts, ticket: &Ticket) -> Result<(), Problem> {
    if !changes(&parts.method) {
        return Ok(());
    }
    let sent = parts.headers.get(PAGE_TOKEN);
    let sent = sent.and_then(|value| value.to_str().ok());
    let is_right = sent.is_some_and(|sent| ticket.is_page_token(sent));
    if is_right && source(&parts.uri, &parts.headers) == Source::Ours {
        return Ok(());
    }
    let detail = "send X-Sealift-CSRF as it was handed out at login (GET /api/v1/sessions/current tells it \
                  again), from a page of this server; programs use a token";
    Err(Problem::new(StatusCode::FORBIDDEN, "csrf", detail))
}

fn changes(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn source(uri: &Uri, headers: &HeaderMap) -> Source {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let origin = text(&header::ORIGIN).map(|origin| is_ours(origin, uri, headers));
    match (text(&FETCH_SITE), origin) {
        (Some("cross-site"), _) | (_, Some(false)) => Source::Foreign,
        (Some("same-origin"), _) | (None, Some(true)) => Source::Ours,
        // `none` is what the user typed, which changes nothing; `same-site` is a neighbour.
        (Some(_), Some(true)) => Source::Foreign,
        (Some(_) | None, None) => Source::Unsaid,
    }
}

/// Whether an origin (RFC 6454) is the host that was asked.
fn is_ours(origin: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let host = origin.strip_prefix("https://");
    let host = host.and_then(|host| host.parse().ok());
    host.is_some_and(|host| is_asked(&host, uri, headers))
}

/// Whether a host is the one that was asked, however its name is spelled. Behind a proxy that is what the
/// proxy passes on as `Host`.
pub fn is_asked(named: &Authority, uri: &Uri, headers: &HeaderMap) -> bool {
    let said = headers.get(header::HOST);
    let said = said.and_then(|host| host.to_str().ok()?.parse().ok());
    let Some(asked): Option<Authority> = uri.authority().cloned().or(said) else {
        return false;
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(HTTPS);
    named.host().eq_ignore_ascii_case(asked.host()) && port(named) == port(&asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[(&'static str, &'static str)]) -> Source {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, "files.example".parse().unwrap());
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        source(&Uri::from_static("/x"), &headers)
    }

    #[test]
    fn only_the_same_origin_is_ours() {
        assert_eq!(said(&[]), Source::Unsaid);
        for (site, origin, source) in [
            ("same-origin", "https://files.example", Source::Ours),
            ("same-origin", "https://FILES.example:443", Source::Ours),
            ("same-origin", "https://files.example:444", Source::Foreign),
            ("cross-site", "https://files.example", Source::Foreign),
            ("same-site", "https://files.example", Source::Foreign),
            ("same-origin", "https://files.example.evil", Source::Foreign),
            ("same-origin", "http://files.example", Source::Foreign),
            ("same-origin", "null", Source::Foreign),
            ("none", "null", Source::Foreign),
        ] {
            let lines = [("sec-fetch-site", site), ("origin", origin)];
            assert_eq!(said(&lines), source, "{site} {origin}");
        }
        assert_eq!(said(&[("sec-fetch-site", "same-origin")]), Source::Ours);
        assert_eq!(said(&[("sec-fetch-site", "none")]), Source::Unsaid);
        assert_eq!(said(&[("origin", "https://files.example")]), Source::Ours);
        assert_eq!(said(&[("origin", "https://evil")]), Source::Foreign);
        assert_eq!(said(&[("origin", "\u{e9}")]), Source::Foreign);
    }
}
