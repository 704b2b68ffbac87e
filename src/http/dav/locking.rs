//! LOCK and UNLOCK (RFC 4918 sections 9.10 and 9.11).

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::domain::error::ErrorKind;
use crate::domain::id::LockToken;
use crate::domain::node::NodeKind;
use crate::http::dav::asked::{Asked, Depth};
use crate::http::dav::fault::{Condition, Fault};
use crate::http::dav::{body, live, place, token, xml};
use crate::http::reply::Problem;
use crate::vfs::locks::Wish;

/// How long a lock holds if the client does not say, and at most; clients ask again before it ends.
const USUAL: Duration = Duration::from_secs(10 * 60);
const LONGEST: Duration = Duration::from_secs(60 * 60);
const LOCK_TOKEN: HeaderName = HeaderName::from_static("lock-token");

/// Answers a LOCK: takes a lock, on an empty file that is made for it where nothing is, or keeps one for longer
/// when there is no body.
///
/// # Errors
/// 400, 409, 412, 413, 423; as looking and writing.
pub async fn lock(asked: Asked, body: Body) -> Result<Response, Fault> {
    let stall = asked.web.settings().stall_time;
    let bytes = body::read(body, stall).await?;
    if bytes.is_empty() {
        return keep(asked).await;
    }
    let info = body::lock(&bytes)?;
    let deep = match asked.depth()?.unwrap_or(Depth::Infinity) {
        Depth::Infinity => true,
        Depth::Zero => false,
        Depth::One => return Err(Problem::malformed("Depth of a LOCK is 0 or infinity").into()),
    };
    let wish = Wish {
        deep,
        shared: info.shared,
        owner: info.owner,
        length: length(&asked),
    };
    let taken = asked.session.lock(&asked.path, wish).await;
    let taken = taken.map_err(|error| match (error.kind(), error.place()) {
        (ErrorKind::Locked, None) => Fault::from(error).naming(Condition::NoConflictingLock),
        _ => Fault::from(error).of_making(),
    })?;
    let token = taken.token;
    let status = match taken.is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let mut response = told(&asked, token, status).await?;
    let shown = format!("<{}>", token::text(token));
    if let Ok(shown) = HeaderValue::try_from(shown) {
        response.headers_mut().insert(LOCK_TOKEN, shown);
    }
    Ok(response)
}

/// Answers an UNLOCK.
///
/// # Errors
/// 400, 403, 409; as looking.
pub async fn unlock(asked: Asked) -> Result<Response, Fault> {
    if !asked.headers.contains_key(LOCK_TOKEN) {
        let detail = "the header Lock-Token is missing, which says what lock is given back";
        return Err(Problem::malformed(detail).into());
    }
    let no_such = |detail: String| {
        Fault::of(
            StatusCode::CONFLICT,
            Condition::LockTokenMatchesRequestUri,
            detail,
        )
    };
    let Some(token) = token::of_header(&asked.headers) else {
        return Err(no_such(format!(
            "there is no such lock on '{}'",
            asked.path
        )));
    };
    match asked.session.unlock(&asked.path, token).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) if error.kind() == ErrorKind::Changed => {
            Err(no_such(error.context().to_owned()))
        }
        Err(error) => Err(Fault::from(error).of_looking()),
    }
}

/// Keeps the one lock that `If` names.
async fn keep(asked: Asked) -> Result<Response, Fault> {
    let tokens = asked.condition.as_ref().map(|condition| condition.tokens());
    let tokens = tokens.unwrap_or_default();
    let [token] = tokens.as_slice() else {
        let detail =
            "a LOCK without a body keeps one lock for longer; name that one in the header If";
        return Err(Problem::malformed(detail).into());
    };
    let kept = asked.session.keep_lock(&asked.path, *token, length(&asked));
    match kept.await {
        Ok(()) => told(&asked, *token, StatusCode::OK).await,
        Err(error) if error.kind() == ErrorKind::Changed => Err(Fault::of(
            StatusCode::PRECONDITION_FAILED,
            Condition::LockTokenMatchesRequestUri,
            error.context(),
        )),
        Err(error) => Err(Fault::from(error).of_looking()),
    }
}

/// What is known of a lock.
async fn told(asked: &Asked, token: LockToken, status: StatusCode) -> Result<Response, Fault> {
    let locks = asked.session.locks_at(&asked.path).await?;
    let seen = asked.session.look(&asked.path).await?;
    let is_folder = seen.entry.kind == NodeKind::Folder;
    let placed = locks
        .locks
        .iter()
        .filter(|placed| placed.lock.token == token);
    let shown: Vec<_> = placed
        .map(|placed| {
            let is_own = placed.lock.node == seen.entry.node;
            let root = place::href(&placed.root, is_folder || !is_own);
            (&placed.lock, root)
        })
        .collect();
    let text = format!(
        "{}<D:prop xmlns:D=\"DAV:\"><D:lockdiscovery>{}</D:lockdiscovery></D:prop>\n",
        xml::HEAD,
        live::active(&shown, locks.now)
    );
    let kind = HeaderValue::from_static("application/xml; charset=utf-8");
    Ok((status, [(header::CONTENT_TYPE, kind)], text).into_response())
}

/// The first of `Timeout` that we understand, as far as we allow it.
fn length(asked: &Asked) -> Duration {
    let said = asked.headers.get("timeout");
    let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
    let lengths = said.split(',').filter_map(|one| {
        let one = one.trim();
        match one.eq_ignore_ascii_case("infinite") {
            true => Some(LONGEST),
            false => {
                let seconds = one
                    .get(7..)
                    .filter(|_| one.to_ascii_lowercase().starts_with("second-"));
                let seconds = seconds?.parse::<u64>().ok()?;
                Some(Duration::from_secs(seconds))
            }
        }
    });
    let length = lengths.into_iter().next().unwrap_or(USUAL);
    length.clamp(Duration::from_secs(1), LONGEST)
}
