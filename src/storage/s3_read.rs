//! Reading a range of an object, whatever happens on the way.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::BytesMut;
use tokio::time::{Instant, timeout, timeout_at};

use crate::domain::error::{Error, Result};
use crate::domain::id::BlobId;
use crate::storage::refusal;
use crate::storage::s3_blob::pause;
use crate::storage::s3_bucket::Bucket;
use crate::storage::s3_error::{Fault, Trouble};

const CALL: &str = "GetObject";
/// How often a read is begun whose bytes break off; that nobody answers at all the SDK repeats.
const ATTEMPTS: u32 = 4;
/// How often an answer of the wrong length is asked for again.
const ODD_ANSWERS: u32 = 2;
/// No object is longer, and some servers cannot count further than 63 bits.
const FARTHEST: u64 = 1 << 60;

/// What came of one attempt.
enum Attempt {
    /// All of it.
    Done(BytesMut),
    /// Another attempt may help.
    Failed(Fault),
    /// The answer is not what was asked for.
    Odd(Fault),
}

/// Reads `range`, which must not be empty, of the object `key`.
///
/// # Errors
/// As [`BlobStore::read`](crate::storage::store::BlobStore::read).
pub async fn read(bucket: &Bucket, id: BlobId, key: &str, range: &Range<u64>) -> Result<BytesMut> {
    let deadline = Instant::now() + bucket.limits().whole;
    let mut odd = 0;
    let mut attempt = 1;
    loop {
        let ended = timeout_at(deadline, once(bucket, id, key, range)).await;
        let (fault, tries, most) = match ended {
            Ok(ended) => match ended? {
                Attempt::Done(bytes) => return Ok(bytes),
                Attempt::Failed(fault) => (fault, attempt, ATTEMPTS),
                Attempt::Odd(fault) => {
                    odd += 1;
                    (fault, odd, ODD_ANSWERS)
                }
            },
            Err(_) => return Err(Fault::broken(CALL, "the time is over").refusal()),
        };
        if tries >= most {
            return Err(fault.refusal());
        }
        pause(attempt).await;
        attempt += 1;
    }
}

async fn once(bucket: &Bucket, id: BlobId, key: &str, range: &Range<u64>) -> Result<Attempt> {
    let last = range.end.min(FARTHEST) - 1;
    let answer = match bucket.get(key, range.start.min(last), last).await {
        Ok(answer) => answer,
        Err(fault) if *fault.trouble() == Trouble::Range => {
            // What the answer says of the length is not worth parsing: this does not happen to
            // blobs that are whole.
            let head = bucket.head(key).await.map_err(|fault| fault.about(id))?;
            return match head.length < range.end {
                true => Err(refusal::too_short(id, head.length)),
                false => Ok(Attempt::Odd(fault)),
            };
        }
        Err(fault) => return Err(fault.about(id)),
    };
    if let Some((_, whole)) = content_range(&answer)
        && whole < range.end
    {
        return Err(refusal::too_short(id, whole));
    }
    let told = answer
        .content_length
        .and_then(|length| u64::try_from(length).ok());
    let first = content_range(&answer).map(|(first, _)| first);
    let wanted = range.end - range.start;
    if told != Some(wanted) || first != Some(range.start) {
        let what = format!("{told:?} bytes from {first:?} on were sent, not {range:?}");
        return Ok(Attempt::Odd(Fault::odd(CALL, &what)));
    }
    let length = usize::try_from(wanted).map_err(Error::internal)?;
    Ok(body(answer, length, bucket.limits().chunk).await)
}

async fn body(mut answer: GetObjectOutput, length: usize, limit: Duration) -> Attempt {
    let mut bytes = BytesMut::with_capacity(length);
    loop {
        let chunk = match timeout(limit, answer.body.next()).await {
            Ok(None) => break,
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(error))) => {
                let what = format!("the answer broke off after {} bytes: {error}", bytes.len());
                return Attempt::Failed(Fault::broken(CALL, what));
            }
            Err(_) => {
                let what = format!("the answer stands still after {} bytes", bytes.len());
                return Attempt::Failed(Fault::broken(CALL, what));
            }
        };
        if bytes.len() + chunk.len() > length {
            return Attempt::Odd(Fault::odd(CALL, "more bytes came than were announced"));
        }
        bytes.extend_from_slice(&chunk);
    }
    match bytes.len() == length {
        true => Attempt::Done(bytes),
        false => Attempt::Odd(Fault::odd(CALL, "fewer bytes came than were announced")),
    }
}

/// The first byte and the whole length that `bytes 0-99/1000` tells.
fn content_range(answer: &GetObjectOutput) -> Option<(u64, u64)> {
    let range = answer.content_range()?.strip_prefix("bytes ")?;
    let (sent, whole) = range.split_once('/')?;
    let (first, _) = sent.split_once('-')?;
    Some((first.parse().ok()?, whole.parse().ok()?))
}
