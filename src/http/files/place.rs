//! Which file or folder a request is about.

use std::fmt::Write as _;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Path};
use axum::http::HeaderValue;
use axum::http::request::Parts;

use crate::domain::path::VfsPath;
use crate::http::reply::Problem;
use crate::http::web::API;

/// The path behind the operation's name, as it is when it is decoded. Refused with 400.
pub struct Place(pub VfsPath);

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path =
            <Path<String> as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await;
        let path = path.map_err(|error| {
            Problem::malformed(format!("the path does not fit: {}", error.body_text()))
        })?;
        let text = path.map_or_else(String::new, |Path(text)| text);
        let text = format!("/{}", text.trim_start_matches('/'));
        Ok(Self(VfsPath::parse(&text)?))
    }
}

/// Where `kind` (`files`, `folders`) of a path is to be asked for.
pub fn address(kind: &str, path: &VfsPath) -> String {
    let mut address = format!("{API}/{kind}");
    for name in path.names() {
        address.push('/');
        address.push_str(&percent(name.as_str()));
    }
    address
}

/// The same, as a header.
pub fn location(kind: &str, path: &VfsPath) -> HeaderValue {
    // Of ASCII letters, digits, slashes and percent signs.
    HeaderValue::try_from(address(kind, path)).unwrap_or(HeaderValue::from_static(API))
}

/// A name as it stands in URLs and in RFC 8187: all but unreserved characters are encoded.
pub fn percent(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_decoding() {
        let path = VfsPath::parse("/a b/\u{e4}%?#/.x~").unwrap();
        assert_eq!(
            address("files", &path),
            "/api/v1/files/a%20b/%C3%A4%25%3F%23/.x~"
        );
        assert_eq!(address("folders", &VfsPath::root()), "/api/v1/folders");
    }
}
