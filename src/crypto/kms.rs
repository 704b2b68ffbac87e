//! Data keys wrapped by a key service: AWS KMS, or what speaks its protocol.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, KeyMetadata, KeyState};
use zeroize::Zeroizing;

use crate::crypto::kms_envelope::Envelope;
use crate::crypto::kms_error::{Failure, Trouble};
use crate::crypto::seal::DataKey;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{RegionId, TenantId};

/// Calls are small: one that takes longer is better made again.
const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_secs(5);
/// A session waits no longer than this for its keys.
const CALL: Duration = Duration::from_secs(12);
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

pub(in crate::crypto) type Answer<T> = std::result::Result<T, Failure>;

/// The keys of one region's key service. Cheap to clone.
#[derive(Clone)]
pub struct KmsKeys {
    pub(in crate::crypto) client: Client,
    pub(in crate::crypto) default_key: String,
}

/// When the service will have forgotten a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The key, by the service's id.
    pub key_id: String,
    /// From then on nobody can bring it back.
    pub at: Timestamp,
}

impl KmsKeys {
    /// Wraps under `default_key` (an id, an ARN or an alias) unless a tenant has a key of its own.
    /// Calls nobody.
    pub fn new(config: &SdkConfig, default_key: String) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_PAUSE);
        let config = aws_sdk_kms::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(retries)
            .build();
        Self {
            client: Client::from_conf(config),
            default_key,
        }
    }

    /// Has a data key made, wrapped under `key` or else the default one, and sees that it can be
    /// unwrapped again.
    ///
    /// # Errors
    /// Unavailable when the service does not answer, or refuses; Corrupt when it does not return
    /// what it wrapped.
    pub async fn generate(
        &self,
        tenant: TenantId,
        version: u32,
        region: RegionId,
        key: Option<&str>,
    ) -> Result<(DataKey, Envelope)> {
        let key = key.unwrap_or(&self.default_key);
        let made = self
            .client
            .generate_data_key()
            .key_id(key)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(context(tenant, version)))
            .send()
            .await
            .map_err(|e| Failure::of("GenerateDataKey", key, &e).into_error())?;
        let key_id = made.key_id.ok_or_else(|| odd("no key id", key))?;
        let secret = secret(made.plaintext).ok_or_else(|| odd("no key of 32 bytes", key))?;
        let data_key = DataKey::new(version, *secret);
        let ciphertext = made.ciphertext_blob.map(Blob::into_inner);
        let ciphertext = ciphertext.ok_or_else(|| odd("no ciphertext", key))?;
        let envelope = Envelope::new(tenant, region, key_id, ciphertext, &data_key)
            .ok_or_else(|| odd("too long an answer", key))?;
        self.prove(tenant, &data_key, &envelope).await?;
        Ok((data_key, envelope))
    }

    /// Has a data key wrapped that there is already, and sees that it can be unwrapped again.
    ///
    /// # Errors
    /// As [`KmsKeys::generate`].
    pub async fn wrap(
        &self,
        tenant: TenantId,
        data_key: &DataKey,
        region: RegionId,
        key: Option<&str>,
    ) -> Result<Envelope> {
        let key = key.unwrap_or(&self.default_key);
        let wrapped = self
            .client
            .encrypt()
            .key_id(key)
            .plaintext(Blob::new(data_key.expose().as_slice()))
            .set_encryption_context(Some(context(tenant, data_key.version)))
            .send()
            .await
            .map_err(|e| Failure::of("Encrypt", key, &e).into_error())?;
        let key_id = wrapped.key_id.ok_or_else(|| odd("no key id", key))?;
        let ciphertext = wrapped.ciphertext_blob.map(Blob::into_inner);
        let ciphertext = ciphertext.ok_or_else(|| odd("no ciphertext", key))?;
        let envelope = Envelope::new(tenant, region, key_id, ciphertext, data_key)
            .ok_or_else(|| odd("too long an answer", key))?;
        self.prove(tenant, data_key, &envelope).await?;
        Ok(envelope)
    }

    /// Unwraps a data key, whatever the service lets pass.
    ///
    /// # Errors
    /// Corrupt when it was changed, or wrapped for another tenant or version; Unavailable when the
    /// service does not answer, or the key is disabled, awaits deletion, is gone or may not be used.
    pub async fn unwrap(
        &self,
        tenant: TenantId,
        version: u32,
        envelope: &Envelope,
    ) -> Result<DataKey> {
        let key_id = &envelope.key_id;
        let context = context(tenant, version);
        let call = self.decrypt(Some(key_id), context, &envelope.ciphertext);
        let (opened, usable) = tokio::join!(call, self.check_state(key_id));
        let (named, secret) = match usable.and(opened) {
            Ok(opened) => opened,
            Err(failure) => return Err(self.explain(failure, tenant, version, envelope).await),
        };
        let data_key = secret
            .filter(|_| named.as_ref() == Some(key_id))
            .map(|secret| DataKey::new(version, *secret))
            .filter(|key| envelope.fits(tenant, key));
        data_key.ok_or_else(|| not_ours(tenant, version, key_id))
    }

    /// The id that the service itself gives a key, whatever name it is called by.
    ///
    /// # Errors
    /// Unavailable when the service does not answer, does not know the key or may not tell.
    pub async fn key_id(&self, key: Option<&str>) -> Result<String> {
        let key = key.unwrap_or(&self.default_key);
        let known = self.describe(key).await.map_err(Failure::into_error)?;
        known.arn.ok_or_else(|| odd("no key id", key))
    }

    /// Has the service delete a key after `days`, and with it all that is wrapped under it. A key
    /// that awaits its deletion already keeps its date.
    ///
    /// # Errors
    /// Unavailable when the service does not answer, or refuses.
    pub async fn schedule_deletion(&self, key: &str, days: u8) -> Result<Deletion> {
        let known = self.describe(key).await.map_err(Failure::into_error)?;
        let scheduled = match known.key_state {
            Some(KeyState::PendingDeletion) => known.deletion_date,
            _ => {
                self.client
                    .schedule_key_deletion()
                    .key_id(&known.key_id)
                    .pending_window_in_days(days.into())
                    .send()
                    .await
                    .map_err(|e| Failure::of("ScheduleKeyDeletion", key, &e).into_error())?
                    .deletion_date
            }
        };
        let at = scheduled.ok_or_else(|| odd("no date", key))?;
        let at = Timestamp::from_seconds(at.secs());
        let key_id = known.arn.unwrap_or(known.key_id);
        Ok(Deletion { key_id, at })
    }

    /// A key whose new wrapping cannot be opened would lose what it seals.
    async fn prove(&self, tenant: TenantId, key: &DataKey, envelope: &Envelope) -> Result<()> {
        let again = self.unwrap(tenant, key.version, envelope).await?;
        match again.expose() == key.expose() {
            true => Ok(()),
            false => Err(not_ours(tenant, key.version, &envelope.key_id)),
        }
    }

    /// What Decrypt answers: the id of the key that it used, and 32 bytes.
    pub(in crate::crypto) async fn decrypt(
        &self,
        key_id: Option<&String>,
        context: HashMap<String, String>,
        ciphertext: &[u8],
    ) -> Answer<(Option<String>, Option<Zeroizing<[u8; 32]>>)> {
        let opened = self
            .client
            .decrypt()
            .set_key_id(key_id.cloned())
            .ciphertext_blob(Blob::new(ciphertext))
            .set_encryption_context(Some(context))
            .send()
            .await;
        let shown = key_id.map_or("any", String::as_str);
        let opened = opened.map_err(|e| Failure::of("Decrypt", shown, &e))?;
        Ok((opened.key_id, secret(opened.plaintext)))
    }

    /// Some services decrypt with keys that are disabled or awaiting deletion. One that does not let
    /// us look at keys is trusted to know their state.
    async fn check_state(&self, key: &str) -> Answer<()> {
        let state = match self.describe(key).await {
            Ok(known) => known.key_state,
            Err(failure) if failure.trouble == Trouble::Denied => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let (trouble, shown) = match state {
            Some(KeyState::Disabled) => (Trouble::Disabled, "is disabled"),
            Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => {
                (Trouble::Deleting, "awaits its deletion")
            }
            _ => return Ok(()),
        };
        let words = format!("key {key} {shown}");
        Err(Failure { trouble, words })
    }

    pub(in crate::crypto) async fn describe(&self, key: &str) -> Answer<KeyMetadata> {
        let described = self.client.describe_key().key_id(key).send().await;
        let described = described.map_err(|e| Failure::of("DescribeKey", key, &e))?;
        described.key_metadata.ok_or_else(|| Failure {
            trouble: Trouble::Refused,
            words: format!("DescribeKey with key {key}: an empty answer"),
        })
    }

    /// A refusal may mean that the envelope names another key than its ciphertext was made with.
    async fn explain(
        &self,
        failure: Failure,
        tenant: TenantId,
        version: u32,
        envelope: &Envelope,
    ) -> Error {
        if matches!(failure.trouble, Trouble::Denied | Trouble::Missing)
            && let Ok((Some(used), _)) = self
                .decrypt(None, context(tenant, version), &envelope.ciphertext)
                .await
            && used != envelope.key_id
        {
            return not_ours(tenant, version, &envelope.key_id);
        }
        failure.into_error()
    }
}

impl fmt::Debug for KmsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key service with key {}", self.default_key)
    }
}

/// Tells the service what a key is for; it gives it back only to who says the same.
fn context(tenant: TenantId, version: u32) -> HashMap<String, String> {
    HashMap::from([
        ("sealift:tenant".to_owned(), tenant.to_string()),
        ("sealift:version".to_owned(), version.to_string()),
    ])
}

pub(in crate::crypto) fn secret(plaintext: Option<Blob>) -> Option<Zeroizing<[u8; 32]>> {
    let plaintext = Zeroizing::new(plaintext?.into_inner());
    plaintext.as_slice().try_into().ok().map(Zeroizing::new)
}

fn odd(what: &str, key: &str) -> Error {
    let context = "the keys of these files are not available; tell the operator";
    Error::new(ErrorKind::Unavailable, context)
        .because(format!("the key service returned {what} for key {key}"))
}

fn not_ours(tenant: TenantId, version: u32, key_id: &str) -> Error {
    let context = "the key of these files cannot be unwrapped; tell the operator";
    Error::new(ErrorKind::Corrupt, context).because(format!(
        "tenant {tenant} key version {version}: changed, or not wrapped for it under key {key_id}"
    ))
}
