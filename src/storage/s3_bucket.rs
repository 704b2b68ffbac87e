//! A bucket, and the calls that a blob store makes on it.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::clock::Timestamp;
use crate::storage::s3_error::Fault;
use crate::storage::s3_notes::Part;
use crate::storage::s3_settings::{Encryption, S3Settings};

/// The name under which an object carries the token of the attempt that wrote it.
const ATTEMPT: &str = "attempt";
const ANYTHING: &str = "*";
/// The CRC64NVME of nothing, in Base64.
const NO_SUM: &str = "AAAAAAAAAAA=";
/// The groups of S3's access lists that hold more than somebody in particular.
const EVERYBODY: [&str; 2] = ["/global/AllUsers", "/global/AuthenticatedUsers"];
/// So many objects and parts are sent at a time: each takes a connection, and memory that nobody counts.
const SENDS: usize = 256;
/// How long others may be sent before: behind a service that answers nobody, each round takes a minute and more.
const TURN: Duration = Duration::from_secs(60);

/// One bucket and how it is spoken to. One method per call; each is repeated by the SDK with the
/// same bytes when that may help.
pub struct Bucket {
    client: Client,
    name: String,
    encryption: Encryption,
    limits: Limits,
    sends: Semaphore,
}

/// Time limits for the bytes of an answer: the SDK's own end where these begin.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For all attempts at reading something.
    pub whole: Duration,
    /// For each chunk of bytes.
    pub chunk: Duration,
}

/// What HEAD tells of an object.
pub struct Head {
    /// Its length in bytes.
    pub length: u64,
    /// The token of the attempt that wrote it.
    pub attempt: Option<String>,
}

/// A multipart upload that was neither completed nor aborted.
pub struct Begun {
    /// The object's name.
    pub key: String,
    /// The upload's id.
    pub upload: String,
    /// When it was begun.
    pub initiated: Timestamp,
}

impl Bucket {
    /// Speaks to the bucket that `settings` names. Calls nobody.
    pub fn new(config: &SdkConfig, settings: &S3Settings) -> Self {
        Self {
            client: Client::from_conf(s3_config(config, settings).build()),
            name: settings.bucket.clone(),
            encryption: settings.encryption.clone(),
            limits: Limits::of(config),
            sends: Semaphore::new(SENDS),
        }
    }

    /// The same bucket, spoken to by somebody without a login.
    pub fn anonymous(config: &SdkConfig, settings: &S3Settings) -> Self {
        let mut nobody = config.to_builder();
        nobody.set_credentials_provider(None);
        let builder = s3_config(&nobody.build(), settings).allow_no_auth();
        Self {
            client: Client::from_conf(builder.build()),
            name: settings.bucket.clone(),
            encryption: Encryption::None,
            limits: Limits::of(config),
            sends: Semaphore::new(SENDS),
        }
    }

    /// How long the bytes of an answer may take.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Waits until fewer are being sent than may be.
    async fn turn(&self, call: &str) -> Result<SemaphorePermit<'_>, Fault> {
        let turn = tokio::time::timeout(TURN, self.sends.acquire()).await;
        let waited = || Fault::broken(call, "others were being sent for a minute");
        // The semaphore is never closed.
        turn.ok().and_then(Result::ok).ok_or_else(waited)
    }

    /// Stores an object that is not there yet.
    pub async fn put(&self, key: &str, sealed: Bytes, attempt: &str) -> Result<(), Fault> {
        let (encryption, kms_key) = self.encryption_headers();
        let _send = self.turn("PutObject").await?;
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .body(ByteStream::from(sealed))
            .if_none_match(ANYTHING)
            .metadata(ATTEMPT, attempt)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .set_bucket_key_enabled(kms_key.as_ref().map(|_| true))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .customize()
            .disable_payload_signing()
            .send()
            .await
            .map(drop)
            .map_err(|error| Fault::new("PutObject", &error))
    }

    /// Tries to store an object with a checksum that is not its own.
    pub async fn put_damaged(&self, key: &str, sealed: Bytes) -> Result<(), Fault> {
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .body(ByteStream::from(sealed))
            .checksum_crc64_nvme(NO_SUM)
            .customize()
            .disable_payload_signing()
            .send()
            .await
            .map(drop)
            .map_err(|error| Fault::new("PutObject", &error))
    }

    /// Starts an upload in parts; its id.
    pub async fn create_upload(&self, key: &str, attempt: &str) -> Result<String, Fault> {
        const CALL: &str = "CreateMultipartUpload";
        let (encryption, kms_key) = self.encryption_headers();
        let created = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(key)
            .metadata(ATTEMPT, attempt)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .set_bucket_key_enabled(kms_key.as_ref().map(|_| true))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .send()
            .await
            .map_err(|error| Fault::new(CALL, &error))?;
        let upload = created.upload_id.filter(|upload| !upload.is_empty());
        upload.ok_or_else(|| Fault::odd(CALL, "the answer names no upload"))
    }

    /// Stores a part.
    pub async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        sealed: Bytes,
    ) -> Result<Part, Fault> {
        const CALL: &str = "UploadPart";
        let length = sealed.len() as u64;
        let _send = self.turn(CALL).await?;
        let answer = self
            .client
            .upload_part()
            .bucket(&self.name)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .body(ByteStream::from(sealed))
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .customize()
            .disable_payload_signing()
            .send()
            .await
            .map_err(|error| Fault::new(CALL, &error))?;
        let etag = answer.e_tag.filter(|etag| !etag.is_empty());
        Ok(Part {
            length,
            etag: etag.ok_or_else(|| Fault::odd(CALL, "the answer has no ETag"))?,
            sum: answer.checksum_crc64_nvme,
        })
    }

    /// Makes an object, which must not be there yet, of the parts of an upload.
    pub async fn complete(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), Fault> {
        let parts = (1..).zip(parts).map(|(number, part)| {
            CompletedPart::builder()
                .part_number(number)
                .e_tag(&part.etag)
                .set_checksum_crc64_nvme(part.sum.clone())
                .build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        self.client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(key)
            .upload_id(upload)
            .if_none_match(ANYTHING)
            .multipart_upload(parts)
            .send()
            .await
            .map(drop)
            .map_err(|error| Fault::new("CompleteMultipartUpload", &error))
    }

    /// Drops an upload and its parts.
    pub async fn abort(&self, key: &str, upload: &str) -> Result<(), Fault> {
        self.client
            .abort_multipart_upload()
            .bucket(&self.name)
            .key(key)
            .upload_id(upload)
            .send()
            .await
            .map(drop)
            .map_err(|error| Fault::new("AbortMultipartUpload", &error))
    }

    /// What there is of an object without its bytes.
    pub async fn head(&self, key: &str) -> Result<Head, Fault> {
        const CALL: &str = "HeadObject";
        let call = self.client.head_object().bucket(&self.name).key(key);
        let answer = call.send().await;
        let answer = answer.map_err(|error| Fault::new(CALL, &error))?;
        let length = answer
            .content_length
            .and_then(|length| length.try_into().ok());
        let metadata: Option<HashMap<String, String>> = answer.metadata;
        Ok(Head {
            length: length.ok_or_else(|| Fault::odd(CALL, "the answer tells no length"))?,
            attempt: metadata.and_then(|mut metadata| metadata.remove(ATTEMPT)),
        })
    }

    /// Starts reading an object from byte `first` to `last`, inclusive.
    pub async fn get(&self, key: &str, first: u64, last: u64) -> Result<GetObjectOutput, Fault> {
        self.client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .range(format!("bytes={first}-{last}"))
            .send()
            .await
            .map_err(|error| Fault::new("GetObject", &error))
    }

    /// Removes an object, if there is one.
    pub async fn delete(&self, key: &str) -> Result<(), Fault> {
        let call = self.client.delete_object().bucket(&self.name).key(key);
        let answer = call.send().await;
        answer
            .map(drop)
            .map_err(|error| Fault::new("DeleteObject", &error))
    }

    /// A page of the objects whose names begin with `prefix` and come behind `after`.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<ListObjectsV2Output, Fault> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX).min(1000);
        self.client
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(prefix)
            .set_start_after(after)
            .max_keys(limit)
            .send()
            .await
            .map_err(|error| Fault::new("ListObjectsV2", &error))
    }

    /// All uploads in parts that are neither completed nor aborted, of names that begin with
    /// `prefix`, in no order: servers differ in what they sort by.
    pub async fn uploads(&self, prefix: &str) -> Result<Vec<Begun>, Fault> {
        let mut begun = Vec::new();
        let mut markers = (None, None);
        loop {
            let page = self.uploads_page(prefix, markers.clone()).await?;
            begun.extend(
                page.uploads
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|upload| {
                        Some(Begun {
                            key: upload.key.filter(|key| key.starts_with(prefix))?,
                            upload: upload.upload_id?,
                            initiated: upload.initiated.map_or(Timestamp(0), |at| timestamp(&at)),
                        })
                    }),
            );
            let next = (page.next_key_marker, page.next_upload_id_marker);
            // A server that says there is more and does not say where would keep us forever.
            if page.is_truncated != Some(true) || next == markers {
                return Ok(begun);
            }
            markers = next;
        }
    }

    async fn uploads_page(
        &self,
        prefix: &str,
        (key_marker, upload_marker): (Option<String>, Option<String>),
    ) -> Result<ListMultipartUploadsOutput, Fault> {
        self.client
            .list_multipart_uploads()
            .bucket(&self.name)
            .prefix(prefix)
            .set_key_marker(key_marker)
            .set_upload_id_marker(upload_marker)
            .send()
            .await
            .map_err(|error| Fault::new("ListMultipartUploads", &error))
    }

    /// Whether the service itself says that everybody can use the bucket; false when it does not
    /// tell.
    pub async fn is_public(&self) -> bool {
        let policy = self.client.get_bucket_policy_status().bucket(&self.name);
        let status = policy.send().await.ok();
        let status = status.and_then(|answer| answer.policy_status);
        if status.is_some_and(|status| status.is_public == Some(true)) {
            return true;
        }
        let acl = self.client.get_bucket_acl().bucket(&self.name).send().await;
        let grants = acl.ok().and_then(|acl| acl.grants).unwrap_or_default();
        let grantees = grants.into_iter().filter_map(|grant| grant.grantee?.uri);
        grantees
            .into_iter()
            .any(|uri| EVERYBODY.iter().any(|group| uri.ends_with(group)))
    }

    fn encryption_headers(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.encryption {
            Encryption::Kms(key) => (Some(ServerSideEncryption::AwsKms), key.clone()),
            Encryption::None => (None, None),
            Encryption::S3 => (Some(ServerSideEncryption::Aes256), None),
        }
    }
}

impl Limits {
    /// As those of calls.
    fn of(config: &SdkConfig) -> Self {
        let timeouts = config.timeout_config();
        let whole = timeouts.and_then(|limits| limits.operation_timeout());
        let attempt = timeouts.and_then(|limits| limits.operation_attempt_timeout());
        Self {
            whole: whole.unwrap_or(Duration::from_secs(75)),
            chunk: attempt.unwrap_or(Duration::from_secs(30)) / 3,
        }
    }
}

fn s3_config(config: &SdkConfig, settings: &S3Settings) -> Builder {
    Builder::from(config)
        .force_path_style(settings.path_style)
        // Also if the environment says otherwise: without a sum, damage on the way would be stored.
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        // What is read is sealed, and proves itself.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
}

/// The time of an answer.
pub fn timestamp(at: &DateTime) -> Timestamp {
    let micros = Timestamp::from_seconds(at.secs()).0;
    Timestamp(micros.saturating_add(i64::from(at.subsec_nanos() / 1000)))
}
