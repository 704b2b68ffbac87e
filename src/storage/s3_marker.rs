//! The object of a bucket that says whose the place is.

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use data_encoding::HEXLOWER;

use crate::domain::error::Result;
use crate::domain::random;
use crate::storage::refusal;
use crate::storage::s3_blob::pause;
use crate::storage::s3_bucket::Bucket;
use crate::storage::s3_error::{Fault, Trouble};

const CALL: &str = "GetObject";
/// No marker is longer, in bytes.
const MOST: u64 = 4096;
/// How often it is written that meets somebody else who writes it.
const ATTEMPTS: u32 = 6;

/// The marker of a place in a bucket.
pub struct Marker<'a> {
    /// The bucket.
    pub bucket: &'a Bucket,
    /// The marker's name.
    pub key: String,
}

impl Marker<'_> {
    /// What it says; none when there is none.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn read(&self) -> Result<Option<String>> {
        match self.bucket.get(&self.key, 0, MOST - 1).await {
            Ok(answer) => self.body(answer.body).await.map(Some),
            Err(fault) if *fault.trouble() == Trouble::Missing => Ok(None),
            Err(fault) => Err(fault.refusal()),
        }
    }

    /// Writes it if there is none; returns what it says then.
    ///
    /// # Errors
    /// `StorageFull` or Unavailable.
    pub async fn write(&self, text: &str) -> Result<String> {
        let attempt = HEXLOWER.encode(&random::bytes::<16>());
        for after in 1..=ATTEMPTS {
            let content = Bytes::copy_from_slice(text.as_bytes());
            match self.bucket.put(&self.key, content, &attempt).await {
                Ok(()) => return Ok(text.to_owned()),
                Err(fault) => match fault.trouble() {
                    Trouble::Conflict | Trouble::Occupied | Trouble::Sum => {}
                    _ => return Err(fault.refusal()),
                },
            }
            if let Some(told) = self.read().await? {
                return Ok(told);
            }
            pause(after).await;
        }
        Err(refusal::unavailable().because(format!("{} could not be written", self.key)))
    }

    async fn body(&self, mut body: ByteStream) -> Result<String> {
        let limit = self.bucket.limits().chunk;
        let mut read = Vec::new();
        loop {
            match tokio::time::timeout(limit, body.next()).await {
                Ok(None) => break,
                Ok(Some(Ok(chunk))) => read.extend_from_slice(&chunk),
                Ok(Some(Err(error))) => return Err(Fault::broken(CALL, error).refusal()),
                Err(_) => return Err(Fault::broken(CALL, "the answer stands still").refusal()),
            }
        }
        Ok(String::from_utf8_lossy(&read).into_owned())
    }
}
