//! How the tokens of locks are written: `urn:uuid:` (RFC 4918 section 6.5).

use axum::http::HeaderMap;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use crate::domain::id::LockToken;

const URN: &str = "urn:uuid:";

/// The token as an address.
pub fn text(token: LockToken) -> String {
    let hex = HEXLOWER.encode(token.as_bytes());
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    let groups: Vec<_> = groups
        .into_iter()
        .filter_map(|group| hex.get(group))
        .collect();
    format!("{URN}{}", groups.join("-"))
}

/// The token that an address is, if it is one of ours.
pub fn parse(text: &str) -> Option<LockToken> {
    let uuid = text.strip_prefix(URN)?;
    let shape = |(at, c): (usize, char)| (c == '-') == matches!(at, 8 | 13 | 18 | 23);
    if uuid.len() != 36 || !uuid.char_indices().all(shape) {
        return None;
    }
    let hex = uuid.replace('-', "");
    let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
    LockToken::from_slice(&bytes).ok()
}

/// The token of the header `Lock-Token`, if that is one.
pub fn of_header(headers: &HeaderMap) -> Option<LockToken> {
    let said = headers.get("lock-token")?.to_str().ok()?.trim();
    parse(said.strip_prefix('<')?.strip_suffix('>')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_their_text() {
        let token = LockToken::random();
        assert_eq!(parse(&text(token)), Some(token));
        for other in [
            "opaquelocktoken:x",
            "urn:uuid:",
            "urn:uuid:00000000x0000-0000-0000-000000000000",
        ] {
            assert_eq!(parse(other), None);
        }
    }
}
