//! Conditional requests (RFC 9110 section 13): which version the client knows.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp as Instant;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

use crate::domain::clock::Timestamp;
use crate::domain::id::NodeId;
use crate::domain::node::{Entry, Version};
use crate::http::reply::Problem;

/// What a list of entity tags asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: whatever there is.
    Any,
    /// One of these; what cannot be one of ours is left out.
    Of(Vec<Version>),
}

/// How a conditional read is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As if there were no condition.
    Go,
    /// 304.
    NotModified,
}

/// The entity tag of a version: strong, since no version changes.
pub fn tag(entry: &Entry) -> String {
    let Version { node, born } = entry.version();
    format!("\"{node}-{born}\"")
}

/// The same, as a header.
pub fn tag_header(entry: &Entry) -> HeaderValue {
    // Of ASCII letters, digits and quotes.
    HeaderValue::try_from(tag(entry)).unwrap_or(HeaderValue::from_static("\"\""))
}

/// A time as HTTP writes it, to the second.
pub fn date(time: Timestamp) -> Option<HeaderValue> {
    let instant = Instant::from_second(time.seconds()).ok()?;
    let text = DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&instant)
        .ok()?;
    HeaderValue::try_from(text).ok()
}

/// The versions of `If-Match`, if the request has it.
///
/// # Errors
/// 400 when it is not a list of entity tags.
pub fn if_match(headers: &HeaderMap) -> Result<Option<Tags>, Problem> {
    tags(headers, &header::IF_MATCH, Comparison::Strong)
}

/// The versions of `If-None-Match`, if the request has it.
///
/// # Errors
/// 400 when it is not a list of entity tags.
pub fn if_none_match(headers: &HeaderMap) -> Result<Option<Tags>, Problem> {
    tags(headers, &header::IF_NONE_MATCH, Comparison::Weak)
}

/// What the conditions of a read come to (RFC 9110 section 13.2.2).
///
/// # Errors
/// 400 when one is malformed, 412 when one does not hold.
pub fn of_read(headers: &HeaderMap, entry: &Entry) -> Result<Verdict, Problem> {
    let is = |tags: &Tags| match tags {
        Tags::Any => true,
        Tags::Of(versions) => versions.contains(&entry.version()),
    };
    let modified = entry.attributes.modified.seconds();
    match if_match(headers)? {
        Some(tags) if !is(&tags) => return Err(changed()),
        Some(_) => {}
        None => {
            let since = seconds(headers, &header::IF_UNMODIFIED_SINCE);
            if since.is_some_and(|since| modified > since) {
                return Err(changed());
            }
        }
    }
    let is_known = match if_none_match(headers)? {
        Some(tags) => is(&tags),
        None => seconds(headers, &header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since),
    };
    Ok(match is_known {
        true => Verdict::NotModified,
        false => Verdict::Go,
    })
}

/// Whether a range may be sent: `If-Range` is missing, or names this version. Dates never do, since
/// clients set them.
pub fn range_holds(headers: &HeaderMap, entry: &Entry) -> bool {
    let asked = headers.get(header::IF_RANGE);
    asked.is_none_or(|asked| asked.as_bytes() == tag(entry).as_bytes())
}

/// 412.
pub fn changed() -> Problem {
    let detail = "this is not the version that you know any more; look at it again, then decide";
    Problem::new(StatusCode::PRECONDITION_FAILED, "changed", detail)
}

fn seconds(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    let parsed = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(parsed.as_second())
}

/// Whether a weak tag stands for the version that it names (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn tags(
    headers: &HeaderMap,
    name: &HeaderName,
    comparison: Comparison,
) -> Result<Option<Tags>, Problem> {
    let mut found: Option<Vec<Version>> = None;
    for value in headers.get_all(name) {
        let text = value.to_str().ok();
        if text.is_some_and(|text| text.trim() == "*") {
            return Ok(Some(Tags::Any));
        }
        let parsed = text
            .and_then(|text| list(text, comparison))
            .ok_or_else(|| {
                Problem::malformed(format!("{name} is neither '*' nor a list of entity tags"))
            })?;
        found.get_or_insert_default().extend(parsed);
    }
    Ok(found.map(Tags::Of))
}

/// Those of `"a", W/"b"` that are ours.
fn list(text: &str, comparison: Comparison) -> Option<Vec<Version>> {
    let mut versions = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let weak = rest.strip_prefix("W/");
        let opened = weak.unwrap_or(rest).strip_prefix('"')?;
        let (opaque, after) = opened.split_once('"')?;
        if weak.is_none() || comparison == Comparison::Weak {
            versions.extend(version(opaque));
        }
        rest = after.trim_start_matches([' ', ',', '\t']);
    }
    Some(versions)
}

fn version(opaque: &str) -> Option<Version> {
    let (node, born) = opaque.split_once('-')?;
    let node: NodeId = node.parse().ok()?;
    let born = born.parse().ok()?;
    Some(Version { node, born })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags_are_read_whatever_else_is_in_them() {
        let node = NodeId::NIL;
        let ours = Version { node, born: 7 };
        let text = format!("\"other, thing\",W/\"{node}-7\" , \"{node}-x\"");
        assert_eq!(list(&text, Comparison::Weak), Some(vec![ours]));
        assert_eq!(list(&text, Comparison::Strong), Some(Vec::new()));
        assert_eq!(list("", Comparison::Strong), Some(Vec::new()));
        for bad in ["abc", "\"a", "W/a", "\"a\" b"] {
            assert_eq!(list(bad, Comparison::Weak), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        let date = date(Timestamp::from_seconds(784_111_777)).unwrap();
        assert_eq!(date, "Sun, 06 Nov 1994 08:49:37 GMT");
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MODIFIED_SINCE, date);
        assert_eq!(
            seconds(&headers, &header::IF_MODIFIED_SINCE),
            Some(784_111_777)
        );
    }
}
