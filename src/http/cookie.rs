//! The cookie of a session (RFC 6265, and its successor's `__Host-`).

use axum::http::{HeaderMap, HeaderValue, header};

use crate::accounts::ticket::{Ticket, TicketKind};

/// Browsers take a cookie of such a name from this very host only, over TLS only, for all paths.
const NAME: &str = "__Host-sealift";
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
    let lines = lines.filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == wanted).then_some(value)
    })
}
