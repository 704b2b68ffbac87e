//! The cookie of a session (RFC 6265, and its successor's `__Host-`).

use axum::http::{HeaderMap, HeaderValue, header};

use crate::accounts::ticket::{Ticket, TicketKind};

/// Browsers take a cookie of such a name from this very host only, over TLS only, for all paths.
pub const NAME: &str = "__Host-sealift";
/// Scripts do not read it, and other sites do not have it sent.
const ALWAYS: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// The session that a request shows.
pub fn shown(headers: &HeaderMap) -> Option<Ticket> {
    Ticket::parse(TicketKind::Session, value(headers, NAME)?)
}

/// Has the browser keep a session until it is closed.
pub fn kept(ticket: &Ticket) -> HeaderValue {
    let text = format!("{NAME}={}; {ALWAYS}", *ticket.text());
    // Letters, digits and punctuation: there is nothing in it that a header could not hold.
    let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Has the browser forget it.
pub fn forgotten() -> HeaderValue {
    let text = format!("{NAME}=; Max-Age=0; {ALWAYS}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// The cookie of a name.
pub fn value<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    // As bytes: other programs of the host may have set cookies that are no text.
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let (name, value) = std::str::from_utf8(pair).ok()?.trim().split_once('=')?;
        (name == wanted).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_beside_others_that_are_no_text() {
        for line in [
            &b"one=1; sought=2"[..],
            b"sought=2; city=M\xc3\xbcnchen",
            b"city=M\xfcnchen; sought=2;",
            b"\xff; sought=2",
        ] {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_static("other=0"));
            headers.append(header::COOKIE, HeaderValue::from_bytes(line).unwrap());
            assert_eq!(value(&headers, "sought"), Some("2"), "{line:?}");
            assert_eq!(value(&headers, "ought"), None);
        }
    }
}
