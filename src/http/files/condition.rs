//! Conditional requests (RFC 9110 section 13): which version the client knows.

use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp as Instant;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

use crate::domain::clock::Timestamp;
use crate::domain::id::NodeId;
use crate::domain::node::{Entry, Version};
use crate::http::reply::Problem;
use crate::http::tags::{self, Comparison, Tags};
use crate::vfs::condition::{Condition, Except};

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

/// The time that a date of HTTP names, in its form of today or in one of its two old ones (RFC 9110 section 5.6.7).
pub fn time(text: &str) -> Option<Timestamp> {
    let seconds = match DateTimeParser::new().parse_timestamp(text) {
        Ok(parsed) => parsed.as_second(),
        Err(_) => {
            let parsed = httpdate::parse_http_date(text).ok()?;
            let since = parsed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_secs()).ok()?
        }
    };
    Some(Timestamp::from_seconds(seconds))
}

/// The versions of `If-Match`, if the request has it.
///
/// # Errors
/// 400 when it is not a list of entity tags.
pub fn if_match(headers: &HeaderMap) -> Result<Option<Tags<Version>>, Problem> {
    versions(headers, &header::IF_MATCH, Comparison::Strong)
}

/// The versions of `If-None-Match`, if the request has it.
///
/// # Errors
/// 400 when it is not a list of entity tags.
pub fn if_none_match(headers: &HeaderMap) -> Result<Option<Tags<Version>>, Problem> {
    versions(headers, &header::IF_NONE_MATCH, Comparison::Weak)
}

/// The condition of a change (RFC 9110 section 13.2.2). That of `*` in `If-Match` needs no more than that
/// something is there, which what is done to it needs anyway.
///
/// # Errors
/// 400 when one is malformed.
pub fn of_change(headers: &HeaderMap) -> Result<Condition, Problem> {
    let except = match if_none_match(headers)? {
        None => None,
        Some(Tags::Any) => Some(Except::Anything),
        Some(Tags::Of(versions)) => Some(Except::Of(versions)),
    };
    let (only, unmodified_since) = match if_match(headers)? {
        None => (None, unmodified_since(headers)),
        Some(Tags::Any) => (None, None),
        Some(Tags::Of(versions)) => (Some(versions), None),
    };
    Ok(Condition {
        at: None,
        only,
        except,
        unmodified_since,
    })
}

/// What the conditions of a read come to (RFC 9110 section 13.2.2).
///
/// # Errors
/// 400 when one is malformed, 412 when one does not hold.
pub fn of_read(headers: &HeaderMap, entry: &Entry) -> Result<Verdict, Problem> {
    let is = |tags: &Tags<Version>| match tags {
        Tags::Any => true,
        Tags::Of(versions) => versions.contains(&entry.version()),
    };
    let modified = entry.attributes.modified.seconds();
    match if_match(headers)? {
        Some(tags) if !is(&tags) => return Err(changed()),
        Some(_) => {}
        None => {
            let since = unmodified_since(headers);
            if since.is_some_and(|since| modified > since.seconds()) {
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

/// The time of `If-Unmodified-Since`; one that cannot be read says nothing (RFC 9110 section 13.1.4).
fn unmodified_since(headers: &HeaderMap) -> Option<Timestamp> {
    seconds(headers, &header::IF_UNMODIFIED_SINCE).map(Timestamp::from_seconds)
}

fn seconds(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    Some(time(headers.get(name)?.to_str().ok()?)?.seconds())
}

/// The versions of a header; what cannot be one of ours is left out.
fn versions(
    headers: &HeaderMap,
    name: &HeaderName,
    comparison: Comparison,
) -> Result<Option<Tags<Version>>, Problem> {
    let tags = tags::tags(headers, name, comparison)?;
    Ok(tags.map(|tags| match tags {
        Tags::Any => Tags::Any,
        Tags::Of(all) => Tags::Of(all.iter().filter_map(|tag| version(tag)).collect()),
    }))
}

/// The version that an entity tag stands for, without its quotes, if it is one of ours.
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
    fn tags_that_are_not_ours_are_left_out() {
        let node = NodeId::NIL;
        let mut headers = HeaderMap::new();
        let text = format!("\"other, thing\",W/\"{node}-7\" , \"{node}-x\"");
        headers.insert(header::IF_NONE_MATCH, text.parse().unwrap());
        let ours = Version { node, born: 7 };
        assert_eq!(if_none_match(&headers).unwrap(), Some(Tags::Of(vec![ours])));
        headers.insert(header::IF_MATCH, text.parse().unwrap());
        assert_eq!(if_match(&headers).unwrap(), Some(Tags::Of(Vec::new())));
    }

    #[test]
    fn dates_are_those_of_http() {
        let date = date(Timestamp::from_seconds(784_111_777)).unwrap();
        assert_eq!(date, "Sun, 06 Nov 1994 08:49:37 GMT");
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MODIFIED_SINCE, text.parse().unwrap());
            let read = seconds(&headers, &header::IF_MODIFIED_SINCE);
            assert_eq!(read, Some(784_111_777), "{text}");
        }
        assert_eq!(time("yesterday"), None);
    }
}
