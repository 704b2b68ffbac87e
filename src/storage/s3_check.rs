//! The start-up check of a bucket: all that the settings and permissions may get wrong is found
//! before the first client comes, and each finding is one sentence for the operator.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use bytes::Bytes;
use data_encoding::HEXLOWER;

use crate::domain::error::{Error, Result};
use crate::domain::random;
use crate::storage::s3_bucket::Bucket;
use crate::storage::s3_error::{Fault, Trouble};
use crate::storage::s3_place::Place;
use crate::storage::s3_settings::S3Settings;

const CONTENT: &[u8] = b"made by the start-up check of Sealift";

/// What it takes to check a bucket.
pub struct Check {
    bucket: Bucket,
    anonymous: Bucket,
    place: Place,
    prefix: String,
}

/// The objects of one check: nobody else's.
struct Probe<'a> {
    check: &'a Check,
    key: String,
    attempt: String,
}

impl Check {
    /// Will check the bucket that `settings` names.
    pub fn new(config: &SdkConfig, settings: S3Settings) -> Self {
        // Somebody waits for the sentence, but a service that has too much to do for a moment is none that is gone.
        let retry = RetryConfig::standard()
            .with_max_attempts(5)
            .with_initial_backoff(Duration::from_millis(500));
        let config = config.to_builder().retry_config(retry).build();
        Self {
            bucket: Bucket::new(&config, &settings),
            anonymous: Bucket::anonymous(&config, &settings),
            place: Place::new(&config, &settings),
            prefix: settings.prefix,
        }
    }

    /// Checks that the bucket is there, can be listed, written, read and emptied, writes each object
    /// once, and is not public. Leaves nothing. A store that takes damaged bytes is warned of in the log.
    ///
    /// # Errors
    /// With a sentence that names the setting or the missing permission: Unavailable when the bucket
    /// does not answer now, Invalid when something must be mended first.
    pub async fn run(&self) -> Result<()> {
        let listed = self.bucket.list(&self.prefix, None, 1).await;
        listed.map_err(|fault| self.place.advice("s3:ListBucket", fault))?;
        let token = HEXLOWER.encode(&random::bytes::<8>());
        let probe = Probe {
            check: self,
            key: format!("{}probe-{token}", self.prefix),
            attempt: token,
        };
        let checked = probe.run().await;
        // Also when something is wrong: nothing is to be left.
        let deleted = self.bucket.delete(&probe.key).await;
        checked?;
        deleted.map_err(|fault| self.place.advice("s3:DeleteObject", fault))
    }
}

impl Probe<'_> {
    async fn run(&self) -> Result<()> {
        self.whole().await?;
        self.parts().await?;
        self.sums().await?;
        self.public().await
    }

    async fn whole(&self) -> Result<()> {
        let Check { bucket, place, .. } = self.check;
        let content = Bytes::from_static(CONTENT);
        let put = bucket.put(&self.key, content.clone(), &self.attempt).await;
        match put {
            // The answer to the first of two attempts was lost.
            Err(fault) if *fault.trouble() == Trouble::Occupied => {}
            put => put.map_err(|fault| place.advice("s3:PutObject", fault))?,
        }
        let found = bucket.head(&self.key).await;
        let found = found.map_err(|fault| place.advice("s3:GetObject", fault))?;
        if found.attempt.as_ref() != Some(&self.attempt) {
            return Err(self.useless("does not keep the metadata of objects"));
        }
        let read = self.read(bucket).await;
        let read = read.map_err(|fault| place.advice("s3:GetObject", fault))?;
        if read != CONTENT {
            return Err(self.useless("gives back other bytes than were stored"));
        }
        match bucket.put(&self.key, content, "again").await {
            Err(fault) if *fault.trouble() == Trouble::Occupied => Ok(()),
            Err(fault) => Err(place.advice("s3:PutObject", fault)),
            Ok(()) => {
                Err(self.useless("ignores If-None-Match, so that objects can be overwritten"))
            }
        }
    }

    async fn parts(&self) -> Result<()> {
        let Check { bucket, place, .. } = self.check;
        let upload = bucket.create_upload(&self.key, &self.attempt).await;
        let upload = upload.map_err(|fault| place.advice("s3:PutObject", fault))?;
        let completed = self.complete(&upload).await;
        let listed = bucket.uploads(&self.key).await;
        let aborted = bucket.abort(&self.key, &upload).await;
        completed?;
        listed.map_err(|fault| place.advice("s3:ListBucketMultipartUploads", fault))?;
        aborted.map_err(|fault| place.advice("s3:AbortMultipartUpload", fault))
    }

    /// Tries to put an upload in the place of the object.
    async fn complete(&self, upload: &str) -> Result<()> {
        let Check { bucket, place, .. } = self.check;
        let content = Bytes::from_static(CONTENT);
        let part = bucket.upload_part(&self.key, upload, 1, content).await;
        let part = part.map_err(|fault| place.advice("s3:PutObject", fault))?;
        match bucket.complete(&self.key, upload, &[part]).await {
            Err(fault) if *fault.trouble() == Trouble::Occupied => Ok(()),
            Err(fault) => Err(place.advice("s3:PutObject", fault)),
            Ok(()) => Err(self.useless(
                "ignores If-None-Match when an upload in parts is completed, so that objects can be overwritten",
            )),
        }
    }

    /// Stores something with a wrong checksum. Nothing is lost by a store that takes it as long as nothing is damaged
    /// on the way.
    async fn sums(&self) -> Result<()> {
        let Check { bucket, place, .. } = self.check;
        let key = format!("{}-sum", self.key);
        let content = Bytes::from_static(CONTENT);
        if bucket.put_damaged(&key, content).await.is_ok() {
            let deleted = bucket.delete(&key).await;
            tracing::warn!(
                "the store at {} does not compare checksums (CRC64NVME): what is damaged on the way to it is found \
                 only when it is read; use a version that does, and TLS",
                place.endpoint()
            );
            deleted.map_err(|fault| place.advice("s3:DeleteObject", fault))?;
        }
        Ok(())
    }

    /// Tries without a login all that anybody may be let do, and asks what the service itself thinks. Not every server
    /// offers and not every login may do the latter, which is no reason to refuse it.
    async fn public(&self) -> Result<()> {
        let Check {
            bucket,
            anonymous,
            place,
            prefix,
        } = self.check;
        let key = format!("{}-public", self.key);
        let content = Bytes::from_static(CONTENT);
        let told = bucket.is_public().await;
        let written = anonymous.put(&key, content, &self.attempt).await;
        if written.is_ok() {
            let deleted = bucket.delete(&key).await;
            deleted.map_err(|fault| place.advice("s3:DeleteObject", fault))?;
        }
        let tries = [
            self.read(anonymous).await.map(drop),
            anonymous.list(prefix, None, 1).await.map(drop),
            written,
            anonymous.delete(&self.key).await,
        ];
        let mut is_public = told;
        for tried in tries {
            match tried {
                Ok(()) => is_public = true,
                Err(fault)
                    if matches!(
                        fault.trouble(),
                        Trouble::Busy | Trouble::Overloaded | Trouble::Unreachable
                    ) =>
                {
                    return Err(place.advice("s3:GetObject", fault));
                }
                Err(_) => {}
            }
        }
        match is_public {
            true => Err(place.mistake("is public: anybody can use it; block public access to it")),
            false => Ok(()),
        }
    }

    async fn read(&self, bucket: &Bucket) -> std::result::Result<Vec<u8>, Fault> {
        let last = CONTENT.len() as u64 - 1;
        let mut answer = bucket.get(&self.key, 0, last).await?;
        let mut read = Vec::new();
        let limit = bucket.limits().chunk;
        loop {
            match tokio::time::timeout(limit, answer.body.next()).await {
                Ok(None) => return Ok(read),
                Ok(Some(Ok(chunk))) => read.extend_from_slice(&chunk),
                Ok(Some(Err(error))) => return Err(Fault::broken("GetObject", error)),
                Err(_) => return Err(Fault::broken("GetObject", "the answer stands still")),
            }
        }
    }

    fn useless(&self, why: &str) -> Error {
        let endpoint = self.check.place.endpoint();
        Error::invalid(format!(
            "the store at {endpoint} {why}; use one that does as AWS S3 does"
        ))
    }
}
