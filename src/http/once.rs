//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a POST that is sent again, because its
//! answer was lost, is carried out once and answered alike.
//!
//! It is carried out to its end although the client may be gone, and its answer is kept for a day, sealed,
//! since it may hold what is shown once. Answers to requests that changed nothing are not kept.

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64;
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::accounts::bearer::Means;
use crate::accounts::once::{Ours, Standing};
use crate::domain::error::Error;
use crate::domain::principal::Protocol;
use crate::http::admin::operator::AtOperators;
use crate::http::extract::{JSON_BYTES, TOO_LARGE, whole};
use crate::http::reply::Problem;
use crate::http::visitor;
use crate::http::web::{API, Web};

/// What names a request.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("x-sealift-replayed");

/// Longest key, in bytes.
const KEY_BYTES: usize = 255;
/// Longest answer that is kept, in bytes.
const ANSWER_BYTES: usize = 1 << 20;
/// Which headers of an answer are not kept: those that belong to the message and the moment. All others say something
/// of what was done.
const LEFT_OUT: [HeaderName; 5] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::DATE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];
/// What a request is about, beside its address and body: the headers that operations read.
const READ: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_UNMODIFIED_SINCE,
];

/// Carries a request that has a key out once.
pub async fn carry_out(State(web): State<Web>, request: Request, next: Next) -> Response {
    let is_meant = is_meant(request.method(), request.uri().path());
    if !is_meant || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    // Keys are those of accounts, and none is let in there. Whoever relies on a key must not be left to.
    if request.extensions().get::<AtOperators>().is_some() {
        let detail = "requests at the port for operators are carried out as often as they come, and take no \
                      Idempotency-Key; send it without, and look at what there is when an answer was lost";
        return Problem::malformed(detail).into_response();
    }
    let (parts, body) = request.into_parts();
    // The future is that of a whole login.
    match Box::pin(stand(&web, parts, body, next)).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

/// Whether keys mean something: where an account changes something by POST. Whoever logs in, or comes by a
/// link, is nobody yet whose key it could be.
pub fn is_meant(method: &Method, path: &str) -> bool {
    let area = path.strip_prefix(API).unwrap_or_default();
    let is_of = |area_of: &str| {
        let rest = area.strip_prefix(area_of);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    method == Method::POST && !area.is_empty() && !is_of("/sessions") && !is_of("/shared")
}

async fn stand(web: &Web, parts: Parts, body: Body, next: Next) -> Result<Response, Problem> {
    let key = key(&parts)?.to_owned();
    let visit = visitor::visit(&parts, web, Protocol::Https).await?.visit;
    let bytes = whole(body, JSON_BYTES, web.settings().stall_time).await;
    let bytes = bytes.map_err(too_long)?;
    let fingerprint = fingerprint(&key, &visit.means, &parts, &bytes);
    let named = Sha256::digest(key.as_bytes()).into();
    let standing = web.accounts().stand(&visit.principal, named, fingerprint);
    let standing = standing.await?;
    let ours = match standing {
        Standing::Ours(ours) => ours,
        Standing::Answered(answer) => return Answer::read(&answer),
        Standing::Lost => {
            let detail = "this request was carried out, wholly or in part, but its answer was lost; look \
                          at what there is, and use another key for what is to be done besides";
            return Err(Problem::new(StatusCode::CONFLICT, "answer-lost", detail));
        }
        Standing::Other => {
            let detail = "this Idempotency-Key belongs to another request; use a new one for each";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Problem::new(status, "key-used", detail));
        }
        Standing::UnderWay => {
            let detail = "the same request is being carried out; ask again in a moment";
            let problem = Problem::new(StatusCode::CONFLICT, "under-way", detail);
            return Err(problem.with(header::RETRY_AFTER, HeaderValue::from_static("1")));
        }
    };
    let request = Request::from_parts(parts, Body::from(bytes));
    // To its end, and its answer kept, although nobody may wait for it any more.
    let task = web.tasks().spawn(async move {
        let response = ours.run(next.run(request)).await;
        settle(&ours, response).await
    });
    task.await.map_err(|error| Error::internal(error).into())
}

/// Says that it is for the key that a body is too long: the first piece of an upload may have any length without.
fn too_long(problem: Problem) -> Problem {
    match problem.word() {
        TOO_LARGE => problem.saying(format!(
            "a body that comes with an Idempotency-Key has at most {JSON_BYTES} bytes; begin an upload without its \
             first piece, or without the key"
        )),
        _ => problem,
    }
}

/// Keeps the answer to what was carried out; forgets a request that changed nothing and failed.
async fn settle(ours: &Ours, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let body = match Limited::new(body, ANSWER_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Problem::from(Error::internal(error)).into_response(),
    };
    let is_failure = parts.status.is_client_error() || parts.status.is_server_error();
    let kept = async {
        if is_failure && ours.give_up().await? {
            return Ok(());
        }
        ours.keep(&Answer::of(&parts, &body).text()).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(error = ?error, "the answer to a request with a key was not kept");
    }
    Response::from_parts(parts, Body::from(body))
}

/// An answer, as it is kept.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn of(parts: &axum::http::response::Parts, body: &Bytes) -> Self {
        let headers = parts.headers.iter();
        let headers = headers.filter(|(name, _)| !LEFT_OUT.contains(name));
        let headers = headers.filter_map(|(name, value)| {
            let value = std::str::from_utf8(value.as_bytes()).ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        Self {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            body: BASE64.encode(body),
        }
    }

    fn text(&self) -> Vec<u8> {
        // Strings and a number: there is nothing in it that JSON could not hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn read(text: &[u8]) -> Result<Response, Problem> {
        let kept: Self = serde_json::from_slice(text).map_err(Error::internal)?;
        let status = StatusCode::from_u16(kept.status).map_err(Error::internal)?;
        let body = BASE64.decode(kept.body.as_bytes());
        let mut response = (status, body.map_err(Error::internal)?).into_response();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        for (name, value) in kept.headers {
            let name = HeaderName::try_from(name).map_err(Error::internal)?;
            headers.append(name, HeaderValue::try_from(value).map_err(Error::internal)?);
        }
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }
}

/// The key, which is a string of RFC 9651 or the same without quotes.
fn key(parts: &Parts) -> Result<&str, Problem> {
    let mut lines = parts.headers.get_all(KEY).iter();
    let line = lines.next().and_then(|line| line.to_str().ok());
    let text = line.unwrap_or_default().trim();
    let quoted = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let text = quoted.unwrap_or(text);
    let is_good = (1..=KEY_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    match is_good && lines.next().is_none() {
        true => Ok(text),
        false => Err(Problem::malformed(format!(
            "Idempotency-Key is one string of 1 to {KEY_BYTES} visible ASCII characters, such as a UUID"
        ))),
    }
}

/// What a request is, in a hash. The key is in it, which is stored nowhere: nobody guesses from the hash what a body
/// held. A token is, too: it is told no answer that was another's, who may do more.
fn fingerprint(key: &str, means: &Means, parts: &Parts, body: &Bytes) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    add(key.as_bytes());
    match means {
        Means::Password | Means::Session(_) => add(&[]),
        Means::Token(grant) => add(grant.token.to_string().as_bytes()),
    }
    let address = parts.uri.path_and_query();
    add(address.map_or("", |address| address.as_str()).as_bytes());
    let mut said: Vec<_> = parts
        .headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            READ.iter().any(|read| read == name)
                || name.starts_with("upload-")
                || name == "x-http-method-override"
        })
        .collect();
    said.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in said {
        add(name.as_str().as_bytes());
        add(value.as_bytes());
    }
    add(body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_something_where_an_account_makes_something() {
        for (path, meant) in [
            ("/api/v1/shares", true),
            ("/api/v1/tokens", true),
            ("/api/v1/folders/shared", true),
            ("/api/v1/sessions", false),
            ("/api/v1/sessions/x", false),
            ("/api/v1/shared/x/password", false),
            ("/healthz", false),
        ] {
            assert_eq!(is_meant(&Method::POST, path), meant, "{path}");
            assert!(!is_meant(&Method::PUT, path));
        }
    }

    #[test]
    fn a_key_may_be_quoted_and_must_be_one() {
        let of = |lines: &[&str]| {
            let mut request = Request::new(Body::empty());
            for line in lines {
                let line = HeaderValue::from_str(line).unwrap();
                request.headers_mut().append(KEY, line);
            }
            key(&request.into_parts().0).ok().map(str::to_owned)
        };
        assert_eq!(of(&["\"a-1\""]), of(&["a-1"]));
        assert!(of(&["a-1"]).is_some());
        let long = "x".repeat(256);
        for bad in [&[""][..], &["\"\""], &["a b"], &["a", "b"], &[&long]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
