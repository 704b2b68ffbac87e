//! What requests about uploads say in their headers.

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};

use crate::domain::id::UploadAddress;
use crate::http::reply::Problem;
use crate::http::uploads::answer::{UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH};
use crate::vfs::addressed::MAX_SIZE;

const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// What pieces come as.
pub const PIECE: &str = "application/offset+octet-stream";
/// Most parts that a file is joined of; a head does not hold many more.
const MOST_PARTS: usize = 1_000;

/// How long an upload will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// The client says it later.
    Deferred,
    /// So many bytes.
    Known(u64),
}

/// What an upload is a share of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concat {
    /// It is joined of these.
    Final(Vec<UploadAddress>),
    /// It is one of them.
    Partial,
}

/// A header as text.
///
/// # Errors
/// 400 when it is there and is none.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let text = headers.get(name).map(|value| value.to_str());
    text.transpose()
        .map_err(|_| Problem::malformed(format!("{name} is not ASCII")))
}

/// A header as a number of bytes.
///
/// # Errors
/// 400 when it is there and is none.
pub fn bytes(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let Some(text) = text(headers, name)? else {
        return Ok(None);
    };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        let detail = format!("{name} must be a number of bytes, in digits");
        return Err(Problem::malformed(detail));
    }
    // What is longer than any number of ours is too large, not malformed.
    Ok(Some(text.parse().unwrap_or(u64::MAX)))
}

/// How long an upload will be, as the request that begins it says.
///
/// # Errors
/// 400 when it does not say, 413 when that is too long.
pub fn length(headers: &HeaderMap) -> Result<Length, Problem> {
    let deferred = text(headers, &UPLOAD_DEFER_LENGTH)?;
    match (bytes(headers, &UPLOAD_LENGTH)?, deferred) {
        (Some(length), None) if length > MAX_SIZE => Err(too_long()),
        (Some(length), None) => Ok(Length::Known(length)),
        (None, Some("1")) => Ok(Length::Deferred),
        _ => Err(Problem::malformed(
            "say how long the file is in Upload-Length, or 'Upload-Defer-Length: 1', and not both",
        )),
    }
}

/// Whether a request carries a piece.
pub fn carries_piece(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().eq_ignore_ascii_case(PIECE.as_bytes()))
}

/// What stands in Upload-Concat.
///
/// # Errors
/// 400 when it is malformed, 413 when there are too many parts, 404 when a part is not ours.
pub fn concat(headers: &HeaderMap, api: &str) -> Result<Option<Concat>, Problem> {
    let Some(text) = text(headers, &UPLOAD_CONCAT)? else {
        return Ok(None);
    };
    if text == "partial" {
        return Ok(Some(Concat::Partial));
    }
    let urls = text.strip_prefix("final;").ok_or_else(|| {
        Problem::malformed("Upload-Concat is 'partial' or 'final;' and the addresses of the parts")
    })?;
    let urls: Vec<_> = urls.split_ascii_whitespace().collect();
    if urls.is_empty() {
        let detail = "'final;' needs the addresses of the parts, with a space between them";
        return Err(Problem::malformed(detail));
    }
    if urls.len() > MOST_PARTS {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-many-parts",
            format!("a file is joined of {MOST_PARTS} parts at most; send larger parts"),
        ));
    }
    let parts = urls.iter().map(|url| part(url, api));
    Ok(Some(Concat::Final(parts.collect::<Result<_, _>>()?)))
}

/// The part that an address of one leads to, and of nothing else.
fn part(url: &str, api: &str) -> Result<UploadAddress, Problem> {
    let uri: Uri = url.parse().map_err(|_| nowhere())?;
    let id = uri.path().strip_prefix(api).ok_or_else(nowhere)?;
    match id.parse() {
        Ok(part) => Ok(part),
        Err(_) if id.contains([',', ';']) => Err(Problem::malformed(
            "the addresses of the parts stand behind 'final;' with a space between them, and nothing else",
        )),
        Err(_) => Err(nowhere()),
    }
}

/// The address of an upload: the last part of a path.
///
/// # Errors
/// 404 when it is none.
pub fn address(uri: &Uri) -> Result<UploadAddress, Problem> {
    let last = uri.path().rsplit('/').next();
    let address = last.and_then(|last| last.parse().ok());
    address.ok_or_else(nowhere)
}

/// Fails when a body is coded: bytes are stored as they come.
///
/// # Errors
/// 415 (RFC 9110 section 15.5.16).
pub fn require_uncoded(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    match codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "coded",
            "bytes are stored as they come, and what they are coded in is not kept; send them without \
             Content-Encoding",
        )),
    }
}

/// The answer to more than a file may hold.
pub fn too_long() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-long",
        "this is more than the upload may hold; OPTIONS says how long a file may be, and HEAD how long \
         this one was to be",
    )
}

/// The method that is meant instead of POST.
pub fn method(headers: &HeaderMap) -> Option<Method> {
    let named = headers.get(METHOD_OVERRIDE)?;
    Method::from_bytes(named.as_bytes()).ok()
}

/// Fails when another method than POST is meant.
///
/// # Errors
/// 405.
pub fn require_post(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.contains_key(METHOD_OVERRIDE) && method(headers) != Some(Method::POST) {
        true => Err(no_such_method()),
        false => Ok(()),
    }
}

/// The answer to a method that is not offered.
pub fn no_such_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "say PATCH, HEAD or DELETE in X-HTTP-Method-Override, to the address of an upload",
    )
}

/// The answer to a body that is no piece.
pub fn no_piece() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "no-piece",
        format!("pieces come as 'Content-Type: {PIECE}'"),
    )
}

fn nowhere() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        "there is no such upload, or it has expired; begin a new one",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_length_is_said_once() {
        let known = headers(&[(&UPLOAD_LENGTH, "5")]);
        assert_eq!(length(&known).ok(), Some(Length::Known(5)));
        let deferred = headers(&[(&UPLOAD_DEFER_LENGTH, "1")]);
        assert_eq!(length(&deferred).ok(), Some(Length::Deferred));
        for (said, status) in [
            (&[][..], 400),
            (&[(&UPLOAD_LENGTH, "-1")], 400),
            (&[(&UPLOAD_LENGTH, "+1")], 400),
            (&[(&UPLOAD_LENGTH, "")], 400),
            (&[(&UPLOAD_LENGTH, "9223372036854775808")], 413),
            (&[(&UPLOAD_LENGTH, "99999999999999999999999")], 413),
            (&[(&UPLOAD_DEFER_LENGTH, "2")], 400),
            (&[(&UPLOAD_DEFER_LENGTH, "1"), (&UPLOAD_LENGTH, "1")], 400),
        ] {
            let refused = length(&headers(said)).err().unwrap();
            assert_eq!(refused.status().as_u16(), status, "{said:?}");
        }
    }

    #[test]
    fn parts_are_found_by_their_addresses() {
        let id = UploadAddress::random();
        let said = format!("final;/api/v1/uploads/{id} https://host:1/api/v1/uploads/{id}");
        let found = concat(&headers(&[(&UPLOAD_CONCAT, &said)]), "/api/v1/uploads/");
        assert_eq!(found.ok(), Some(Some(Concat::Final(vec![id, id]))));
        let joined = format!("final;/api/v1/uploads/{id},/api/v1/uploads/{id}");
        let below = format!("final;/api/v1/uploads/x/{id}");
        let many = format!("final;{}", "/a ".repeat(1001));
        for (said, status) in [
            ("final", 400),
            ("final;", 400),
            ("whole", 400),
            ("final;/x", 404),
            ("final;/api/v1/uploads/x", 404),
            (joined.as_str(), 400),
            (below.as_str(), 404),
            (many.as_str(), 413),
        ] {
            let refused = concat(&headers(&[(&UPLOAD_CONCAT, said)]), "/api/v1/uploads/");
            assert_eq!(refused.err().unwrap().status().as_u16(), status, "{said}");
        }
    }
}
