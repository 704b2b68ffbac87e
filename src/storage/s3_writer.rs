//! A blob that goes to S3 in parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::storage::s3_blob::S3Blob;
use crate::storage::s3_notes::{Notes, Part};
use crate::storage::store::{BlobWriter, Checkpoint};

/// How many parts are on their way at a time.
const IN_FLIGHT: usize = 4;
/// As many as S3 takes.
const MOST_PARTS: i32 = 10_000;

/// Sends each piece as a part while the next is being made. The upload is begun at the server with
/// the first piece.
pub struct S3Writer {
    blob: Arc<S3Blob>,
    /// What arrived without gaps.
    notes: Notes,
    /// What arrived behind a gap, by number.
    ahead: BTreeMap<i32, Part>,
    next: i32,
    on_the_way: JoinSet<Result<(i32, Part)>>,
    /// The first failure ends it all.
    failed: Option<Failure>,
}

struct Failure {
    kind: ErrorKind,
    context: String,
    detail: String,
}

impl S3Writer {
    /// Will write a blob.
    pub fn new(blob: S3Blob) -> Self {
        Self {
            blob: Arc::new(blob),
            notes: Notes::default(),
            ahead: BTreeMap::new(),
            next: 1,
            on_the_way: JoinSet::new(),
            failed: None,
        }
    }

    async fn send(&mut self, sealed: Bytes) -> Result<()> {
        let upload = match &self.notes.upload {
            Some(upload) => upload.clone(),
            None => {
                let upload = self.blob.create_upload().await?;
                self.notes.upload.insert(upload).clone()
            }
        };
        let number = self.next;
        if number > MOST_PARTS {
            return Err(Error::internal(format!(
                "blob {} was given more than {MOST_PARTS} pieces",
                self.blob.id()
            )));
        }
        self.next += 1;
        let blob = Arc::clone(&self.blob);
        self.on_the_way.spawn(async move {
            let part = blob.upload_part(&upload, number, sealed).await?;
            Ok((number, part))
        });
        Ok(())
    }

    /// Waits for the next part to arrive; false when none is on its way.
    async fn arrival(&mut self) -> Result<bool> {
        let Some(arrived) = self.on_the_way.join_next().await else {
            return Ok(false);
        };
        self.note(arrived.map_err(Error::internal).flatten()?);
        Ok(true)
    }

    /// Notes what has arrived by now.
    fn arrivals(&mut self) -> Result<()> {
        while let Some(arrived) = self.on_the_way.try_join_next() {
            self.note(arrived.map_err(Error::internal).flatten()?);
        }
        Ok(())
    }

    fn note(&mut self, (number, part): (i32, Part)) {
        self.ahead.insert(number, part);
        while let Some(entry) = self.ahead.first_entry() {
            if usize::try_from(*entry.key()).ok() != Some(self.notes.parts.len() + 1) {
                return;
            }
            self.notes.parts.push(entry.remove());
        }
    }

    async fn complete(&mut self) -> Result<()> {
        while self.arrival().await? {}
        self.blob.complete(&self.notes).await
    }

    fn check(&self) -> Result<()> {
        match &self.failed {
            Some(failure) => Err(failure.again()),
            None => Ok(()),
        }
    }

    /// Lets nothing go on after a failure; parts on their way are given up.
    fn settle<T>(&mut self, done: Result<T>) -> Result<T> {
        done.inspect_err(|error| {
            self.on_the_way.abort_all();
            self.failed = Some(Failure::of(error));
        })
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, sealed: Bytes) -> Result<()> {
        self.check()?;
        if sealed.is_empty() {
            return Ok(());
        }
        while self.on_the_way.len() >= IN_FLIGHT {
            let arrived = self.arrival().await;
            self.settle(arrived)?;
        }
        let sent = self.send(sealed).await;
        self.settle(sent)
    }

    async fn relieve(&mut self) -> Result<bool> {
        self.check()?;
        let arrived = self.arrival().await;
        self.settle(arrived)
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        self.check()?;
        let arrived = self.arrivals();
        self.settle(arrived)?;
        Ok(Checkpoint {
            length: self.notes.length(),
            state: self.notes.encode(),
        })
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.check()?;
        self.complete().await
    }
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            context: error.context().to_owned(),
            detail: format!("{error:?}"),
        }
    }

    fn again(&self) -> Error {
        let detail = format!("an earlier piece failed: {}", self.detail);
        Error::new(self.kind, &self.context).because(detail)
    }
}
