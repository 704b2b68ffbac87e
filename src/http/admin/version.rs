//! Versions of tenants and accounts: `ETag`, and `If-Match` before a change.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::http::reply::Problem;

/// An answer that shows a version.
pub fn with_tag(version: &str, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    // Of hex digits and quotes.
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The versions that `If-Match` names; none when any will do.
///
/// # Errors
/// 400 when it is neither `*` nor a list of entity tags.
pub fn known(headers: &HeaderMap) -> Result<Option<Vec<String>>, Problem> {
    let mut versions: Option<Vec<String>> = None;
    for value in headers.get_all(header::IF_MATCH) {
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(None);
        }
        let listed = list(text).ok_or_else(|| {
            Problem::malformed("If-Match is neither '*' nor a list of entity tags")
        })?;
        versions.get_or_insert_default().extend(listed);
    }
    Ok(versions)
}

/// Those of `"a", "b"`; weak ones never match (RFC 9110 section 13.1.1).
fn list(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let strong = rest.strip_prefix("W/");
        let opened = strong.unwrap_or(rest).strip_prefix('"')?;
        let (opaque, after) = opened.split_once('"')?;
        if strong.is_none() {
            found.push(opaque.to_owned());
        }
        rest = after.trim_start_matches([' ', ',', '\t']);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_tags_are_taken_and_weak_ones_match_nothing() {
        assert_eq!(
            list("\"a\", W/\"b\",\"c\""),
            Some(vec!["a".to_owned(), "c".to_owned()])
        );
        for bad in ["a", "\"a", "W/a"] {
            assert_eq!(list(bad), None, "{bad}");
        }
    }
}
