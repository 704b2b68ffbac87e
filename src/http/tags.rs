//! Lists of entity tags (RFC 9110 sections 8.8.3 and 13.1), whatever the tags stand for.

use axum::http::{HeaderMap, HeaderName};

use crate::http::reply::Problem;

/// What a list of entity tags asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags<T> {
    /// `*`: whatever there is.
    Any,
    /// One of these.
    Of(Vec<T>),
}

/// Whether a weak tag stands for the version that it names (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It does not.
    Strong,
    /// It does.
    Weak,
}

/// What stands between the quotes of the tags of a header, if the request has it; of weak ones only if they count.
///
/// # Errors
/// 400 when it is neither `*` nor a list of entity tags.
pub fn tags(
    headers: &HeaderMap,
    name: &HeaderName,
    comparison: Comparison,
) -> Result<Option<Tags<String>>, Problem> {
    let mut found: Option<Vec<String>> = None;
    for value in headers.get_all(name) {
        let text = value.to_str().ok();
        if text.is_some_and(|text| text.trim() == "*") {
            return Ok(Some(Tags::Any));
        }
        let listed = text.and_then(|text| list(text, comparison));
        let listed = listed.ok_or_else(|| {
            Problem::malformed(format!("{name} is neither '*' nor a list of entity tags"))
        })?;
        found.get_or_insert_default().extend(listed);
    }
    Ok(found.map(Tags::Of))
}

/// Those of `"a", W/"b"`.
fn list(text: &str, comparison: Comparison) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let weak = rest.strip_prefix("W/");
        let opened = weak.unwrap_or(rest).strip_prefix('"')?;
        let (opaque, after) = opened.split_once('"')?;
        if weak.is_none() || comparison == Comparison::Weak {
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
    fn lists_of_tags_are_read_whatever_is_in_them() {
        let owned = |all: &[&str]| Some(all.iter().map(|one| (*one).to_owned()).collect());
        let text = "\"a, b\",W/\"c\" , \"d\"";
        assert_eq!(list(text, Comparison::Weak), owned(&["a, b", "c", "d"]));
        assert_eq!(list(text, Comparison::Strong), owned(&["a, b", "d"]));
        assert_eq!(list("", Comparison::Strong), owned(&[]));
        for bad in ["abc", "\"a", "W/a", "\"a\" b"] {
            assert_eq!(list(bad, Comparison::Weak), None, "{bad}");
        }
    }
}
