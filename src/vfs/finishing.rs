//! A blob that is being completed.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use sha2::Sha256;

use crate::db::blobs::BlobInfo;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::vfs::sink::BlobSink;

type Finish = dyn Future<Output = Result<(BlobInfo, Option<Sha256>)>> + Send;

/// A blob that is being completed. Whoever gives up waiting for it loses nothing: the next goes on.
pub struct Finishing {
    given_up: BlobInfo,
    /// Reached through `&mut` alone; what holds this may be looked at by several threads all the same.
    finish: Mutex<Pin<Box<Finish>>>,
    is_hashed: bool,
}

impl Finishing {
    /// Will complete what a sink makes.
    pub fn of(sink: BlobSink) -> Self {
        Self {
            given_up: sink.info(0, false),
            finish: Mutex::new(Box::pin(sink.finish())),
            is_hashed: true,
        }
    }

    /// The blob as it is unless it is completed.
    pub fn given_up(&self) -> BlobInfo {
        self.given_up
    }

    /// Gives the hash up, because the content no longer follows the order of the blob.
    pub fn stop_hashing(&mut self) {
        self.is_hashed = false;
    }

    /// Waits until it is durable; then this is of no use any more. May be dropped and called again before.
    ///
    /// # Errors
    /// As [`BlobSink::finish`].
    pub async fn done(&mut self) -> Result<(BlobInfo, Option<Sha256>)> {
        let finish = self.finish.get_mut();
        let (info, hash) = finish.unwrap_or_else(PoisonError::into_inner).await?;
        Ok((info, hash.filter(|_| self.is_hashed)))
    }
}

/// A blob in the making that is gone or finished by another: whoever took the upload over did that.
pub fn taken_over(error: Error) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotFound => Error::new(
            ErrorKind::Stale,
            "this upload has expired or goes on elsewhere; open the file again",
        )
        .because(error),
        _ => error,
    }
}
