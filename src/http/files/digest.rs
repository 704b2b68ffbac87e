//! Checksums in headers: `Repr-Digest` and `Content-Digest` (RFC 9530), and `X-Checksum-Sha256`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use crate::http::reply::Problem;

/// The checksum of the whole file, whatever part of it is sent.
pub const REPR: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT: HeaderName = HeaderName::from_static("content-digest");
const PLAIN: HeaderName = HeaderName::from_static("x-checksum-sha256");

/// A SHA-256 as RFC 9530 writes it.
pub fn header(sum: &[u8; 32]) -> HeaderValue {
    let text = format!("sha-256=:{}:", BASE64.encode(sum));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// The SHA-256 that a client says its file has, if it says one.
///
/// # Errors
/// 400 when it is malformed, or two do not agree.
pub fn expected(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Problem> {
    let mut expected = None;
    for name in [REPR, CONTENT, PLAIN] {
        for value in headers.get_all(&name) {
            let text = value.to_str().unwrap_or_default();
            let said = match name == PLAIN {
                true => Some(hex(text)),
                false => dictionary(text),
            };
            // Other algorithms may be there, too; nobody has to know them (RFC 9530 section 2).
            let Some(sum) = said else { continue };
            let sum = sum.ok_or_else(|| malformed(&name))?;
            if expected.replace(sum).is_some_and(|other| other != sum) {
                return Err(Problem::malformed(
                    "two checksums of the same file do not agree",
                ));
            }
        }
    }
    Ok(expected)
}

/// 422: what came is not what the client meant to send.
pub fn mismatch() -> Problem {
    let detail = "what came does not have the SHA-256 that you say, so that nothing was changed; \
                  send it again";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "checksum", detail)
}

/// The member `sha-256` of a dictionary (RFC 9651); none within when it is malformed.
fn dictionary(text: &str) -> Option<Option<[u8; 32]>> {
    let member = text.split(',').map(str::trim).find_map(|member| {
        let (key, value) = member.split_once('=')?;
        (key == "sha-256").then_some(value)
    })?;
    let value = member.split(';').next().unwrap_or_default().trim();
    let inner = value
        .strip_prefix(':')
        .and_then(|value| value.strip_suffix(':'));
    let decoded = inner.and_then(|text| BASE64.decode(text.as_bytes()).ok());
    Some(decoded.and_then(|sum| sum.try_into().ok()))
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let decoded = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?;
    decoded.try_into().ok()
}

fn malformed(name: &HeaderName) -> Problem {
    let form = match *name == PLAIN {
        true => "64 hex digits",
        false => "sha-256=:BASE64: of 32 bytes",
    };
    Problem::malformed(format!("{name} is not {form}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&HeaderName, &str)]) -> Result<Option<[u8; 32]>, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        expected(&headers)
    }

    #[test]
    fn checksums_are_read_in_each_form() {
        let sum = [7; 32];
        let dictionary = format!("md5=:AAAA:, {}", header(&sum).to_str().unwrap());
        let hex = data_encoding::HEXUPPER.encode(&sum);
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[(&REPR, &dictionary)]).unwrap(), Some(sum));
        assert_eq!(
            of(&[(&CONTENT, &dictionary), (&PLAIN, &hex)]).unwrap(),
            Some(sum)
        );
        assert_eq!(of(&[(&REPR, "sha-512=:AAAA:")]).unwrap(), None);
        let other = data_encoding::HEXLOWER.encode(&[8; 32]);
        assert!(of(&[(&REPR, &dictionary), (&PLAIN, &other)]).is_err());
        assert!(of(&[(&PLAIN, "abc")]).is_err());
        assert!(of(&[(&REPR, "sha-256=:AAAA:")]).is_err());
        assert!(of(&[(&REPR, "sha-256=abc")]).is_err());
    }
}
