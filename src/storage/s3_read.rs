//! Reading a range of an object, whatever happens on the way.

use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use tokio::time::{Instant, timeout, timeout_at};

use crate::domain::error::Result;
use crate::domain::id::BlobId;
use crate::storage::refusal;
use crate::storage::s3_blob::pause;
use crate::storage::s3_bucket::Bucket;
use crate::storage::s3_error::{Fault, Trouble};
use crate::storage::store::{self, SharedIntake};

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
    Done,
    /// Another attempt may help.
    Failed(Fault),
    /// The answer is not what was asked for.
    Odd(Fault),
}

/// Reads a range of an object. What broke off goes on where it did.
pub struct Reading<'a> {
    /// Where the object is.
    pub bucket: &'a Bucket,
    /// Which blob it is.
    pub id: BlobId,
    /// Its name.
    pub key: &'a str,
    /// What is still to be read; not empty at first.
    pub left: Range<u64>,
}

impl Reading<'_> {
    /// Passes the bytes on as they come.
    ///
    /// # Errors
    /// As [`BlobStore::read_into`](crate::storage::store::BlobStore::read_into).
    pub async fn run(mut self, intake: &SharedIntake) -> Result<()> {
        let deadline = Instant::now() + self.bucket.limits().whole;
        let mut odd = 0;
        let mut attempt = 1;
        loop {
            let ended = timeout_at(deadline, self.once(intake)).await;
            let (fault, tries, most) = match ended {
                Ok(ended) => match ended? {
                    Attempt::Done => return Ok(()),
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

    async fn once(&mut self, intake: &SharedIntake) -> Result<Attempt> {
        let (id, wanted) = (self.id, self.left.clone());
        let last = wanted.end.min(FARTHEST) - 1;
        let answer = match self
            .bucket
            .get(self.key, wanted.start.min(last), last)
            .await
        {
            Ok(answer) => answer,
            Err(fault) if *fault.trouble() == Trouble::Range => {
                // What the answer says of the length is not worth parsing: this does not happen to
                // blobs that are whole.
                let head = self.bucket.head(self.key).await;
                let head = head.map_err(|fault| fault.about(id))?;
                return match head.length < wanted.end {
                    true => Err(refusal::too_short(id, head.length)),
                    false => Ok(Attempt::Odd(fault)),
                };
            }
            Err(fault) => return Err(fault.about(id)),
        };
        if let Some((_, whole)) = content_range(&answer)
            && whole < wanted.end
        {
            return Err(refusal::too_short(id, whole));
        }
        let told = answer
            .content_length
            .and_then(|length| u64::try_from(length).ok());
        let first = content_range(&answer).map(|(first, _)| first);
        if told != Some(wanted.end - wanted.start) || first != Some(wanted.start) {
            let what = format!("{told:?} bytes from {first:?} on were sent, not {wanted:?}");
            return Ok(Attempt::Odd(Fault::odd(CALL, &what)));
        }
        self.body(answer, intake).await
    }

    async fn body(
        &mut self,
        mut answer: GetObjectOutput,
        intake: &SharedIntake,
    ) -> Result<Attempt> {
        let limit = self.bucket.limits().chunk;
        loop {
            let left = self.left.end - self.left.start;
            let chunk = match timeout(limit, answer.body.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                _ if left == 0 => return Ok(Attempt::Done),
                Ok(None) => {
                    let fault = Fault::odd(CALL, "fewer bytes came than were announced");
                    return Ok(Attempt::Odd(fault));
                }
                Ok(Some(Err(error))) => {
                    let what = format!("the answer broke off {left} bytes before its end: {error}");
                    return Ok(Attempt::Failed(Fault::broken(CALL, what)));
                }
                Err(_) => {
                    let what = format!("the answer stands still {left} bytes before its end");
                    return Ok(Attempt::Failed(Fault::broken(CALL, what)));
                }
            };
            if chunk.len() as u64 > left {
                let fault = Fault::odd(CALL, "more bytes came than were announced");
                return Ok(Attempt::Odd(fault));
            }
            store::give(intake, &chunk)?;
            self.left.start += chunk.len() as u64;
        }
    }
}

/// The first byte and the whole length that `bytes 0-99/1000` tells.
fn content_range(answer: &GetObjectOutput) -> Option<(u64, u64)> {
    let range = answer.content_range()?.strip_prefix("bytes ")?;
    let (sent, whole) = range.split_once('/')?;
    let (first, _) = sent.split_once('-')?;
    Some((first.parse().ok()?, whole.parse().ok()?))
}
