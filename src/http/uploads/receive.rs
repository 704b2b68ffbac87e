//! Takes a piece of an upload as it comes.

use std::pin::pin;

use axum::body::BodyDataStream;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use futures_util::StreamExt as _;

use crate::accounts::live::Ended;
use crate::domain::error::{Error, ErrorKind};
use crate::domain::id::UploadAddress;
use crate::http::reply::Problem;
use crate::http::uploads::answer::locked;
use crate::http::uploads::checksum::Check;
use crate::http::uploads::metadata;
use crate::http::uploads::request::{self, too_long};
use crate::http::web::Web;
use crate::vfs::addressed_piece::{Trust, Verdict};
use crate::vfs::session::Session;

const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// How a body ended.
enum Ending {
    /// The client went away in the middle.
    BrokeOff,
    /// All of it came.
    Complete,
    /// The session, or the link, must end.
    Over(Ended),
    /// Nothing moved any more.
    Stalled,
}

/// Writes a body behind the first `offset` bytes of an upload and says how long that is then; `length`
/// is what it will be, if that is known. What came is durable by then, however the body ended.
///
/// # Errors
/// 408, 409, 413, 423, 460; as storing files.
pub async fn receive(
    web: &Web,
    session: &Session,
    (id, offset, length): (UploadAddress, u64, Option<u64>),
    headers: &HeaderMap,
    body: &mut BodyDataStream,
) -> Result<u64, Problem> {
    let said = request::text(headers, &UPLOAD_CHECKSUM)?;
    let check = said.map(Check::parse).transpose()?;
    receive_checked(web, session, (id, offset, length), headers, (body, check)).await
}

/// The same, compared with a sum that the request says in its own way.
///
/// # Errors
/// As [`receive`].
pub async fn receive_checked(
    web: &Web,
    session: &Session,
    (id, offset, length): (UploadAddress, u64, Option<u64>),
    headers: &HeaderMap,
    (body, mut check): (&mut BodyDataStream, Option<Check>),
) -> Result<u64, Problem> {
    request::require_uncoded(headers)?;
    let announced = request::bytes(headers, &header::CONTENT_LENGTH)?;
    let room = length.map(|length| length.saturating_sub(offset));
    if announced > room.or(Some(u64::MAX)) {
        return Err(too_long());
    }
    let trust = match check {
        Some(_) => Trust::Checked,
        None => Trust::AsItComes,
    };
    let writer = session.write_piece(id, offset, length, trust, metadata::modified);
    let mut writer = writer.await.map_err(locked)?;
    let mut came = 0_u64;
    let mut over = pin!(web.accounts().ended(session.principal()));
    let ending = loop {
        let next = tokio::time::timeout(web.settings().stall_time, body.next());
        let next = tokio::select! {
            next = next => next,
            why = over.as_mut() => break Ending::Over(why),
        };
        let bytes = match next {
            Err(_) => break Ending::Stalled,
            Ok(Some(Err(_))) => break Ending::BrokeOff,
            Ok(None) if announced.is_some_and(|announced| came < announced) => {
                break Ending::BrokeOff;
            }
            Ok(None) => break Ending::Complete,
            Ok(Some(Ok(bytes))) => bytes,
        };
        came += bytes.len() as u64;
        if let Some(check) = &mut check {
            check.update(&bytes);
        }
        if !writer.write(bytes).await {
            break Ending::Complete;
        }
    };
    // What cannot be compared does not count.
    let cut = match trust {
        Trust::AsItComes => Verdict::BrokeOff,
        Trust::Checked => Verdict::Discard,
    };
    let (verdict, refused) = match ending {
        Ending::BrokeOff => (cut, Some(broke_off())),
        Ending::Over(why) => {
            let over = Error::new(ErrorKind::Unauthenticated, why.sentence());
            (cut, Some(over.into()))
        }
        Ending::Stalled => (cut, Some(stalled())),
        Ending::Complete => match check.is_none_or(Check::holds) {
            true => (Verdict::Counts, None),
            false => (Verdict::Discard, Some(mismatch())),
        },
    };
    let stored = match writer.finish(verdict).await {
        // Somebody may have ended it meanwhile.
        Err(error) if error.kind() == ErrorKind::Stale => {
            session.upload_standing(id).await?;
            return Err(error.into());
        }
        stored => stored?,
    };
    refused.map_or(Ok(stored), Err)
}

fn mismatch() -> Problem {
    let status = StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new(
        status,
        "checksum-mismatch",
        "the bytes that came are not those that the sum is of; they were dropped, send them again",
    )
}

fn broke_off() -> Problem {
    Problem::malformed("the body broke off; ask how far the upload is, and go on from there")
}

fn stalled() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "stalled",
        "nothing came for too long; ask how far the upload is, and go on from there",
    )
}
