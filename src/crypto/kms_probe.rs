//! Whether a key service can be used as the settings say, asked at start.

use std::collections::HashMap;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, KeyState};
use data_encoding::HEXLOWER;

use crate::crypto::kms::{KmsKeys, secret};
use crate::crypto::kms_error::{Failure, Trouble};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::random;

impl KmsKeys {
    /// Has a data key made, unwrapped and wrapped again that is then thrown away. `section` is where the settings
    /// of this service stand, as in `regions.eu`; errors name it.
    ///
    /// # Errors
    /// For the operator: Unavailable when the service does not answer now, Invalid when something
    /// must be changed first.
    pub async fn probe(&self, section: &str) -> Result<()> {
        let key = self.default_key.as_str();
        self.try_key(key, section, &format!("{section}.kms_key"))
            .await
    }

    /// The same with a key that is to become a tenant's own; errors call it `named`.
    ///
    /// # Errors
    /// As [`KmsKeys::probe`].
    pub async fn probe_key(&self, key: &str, named: &str) -> Result<()> {
        self.try_key(key, named, named).await
    }

    async fn try_key(&self, key: &str, section: &str, named: &str) -> Result<()> {
        let told = |call, failure| explained(section, named, key, call, failure);
        let nonce = HEXLOWER.encode(&random::bytes::<8>());
        let context = HashMap::from([("sealift:probe".to_owned(), nonce.clone())]);
        let made = self
            .client
            .generate_data_key()
            .key_id(key)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(context.clone()))
            .send()
            .await
            .map_err(|e| told("GenerateDataKey", Failure::of("GenerateDataKey", key, &e)))?;
        // Where the service does not refuse by itself to use such a key.
        if let Ok(known) = self.describe(key).await {
            let trouble = match known.key_state {
                Some(KeyState::Disabled) => Some(Trouble::Disabled),
                Some(KeyState::PendingDeletion) => Some(Trouble::Deleting),
                _ => None,
            };
            if let Some(trouble) = trouble {
                let words = "DescribeKey says so".to_owned();
                return Err(told("DescribeKey", Failure { trouble, words }));
            }
        }
        let wrong = || {
            Error::new(
                ErrorKind::Invalid,
                format!("{named}: the key service does not return what it wrapped"),
            )
        };
        let key_id = made.key_id.ok_or_else(wrong)?;
        let ciphertext = made.ciphertext_blob.map(Blob::into_inner);
        let ciphertext = ciphertext.ok_or_else(wrong)?;
        let (used, opened) = self
            .decrypt(Some(&key_id), context.clone(), &ciphertext)
            .await
            .map_err(|failure| told("Decrypt", failure))?;
        let whole = opened.is_some() && opened == secret(made.plaintext);
        if !whole || used.as_ref() != Some(&key_id) {
            return Err(wrong());
        }
        // As `keys rewrap` will have to.
        self.client
            .encrypt()
            .key_id(key)
            .plaintext(Blob::new(nonce))
            .set_encryption_context(Some(context))
            .send()
            .await
            .map_err(|e| told("Encrypt", Failure::of("Encrypt", key, &e)))?;
        Ok(())
    }
}

fn explained(section: &str, named: &str, key: &str, call: &str, failure: Failure) -> Error {
    let of_key = |what: &str| format!("{named}: the key '{key}' {what}");
    let (kind, sentence) = match failure.trouble {
        Trouble::Certificate => (
            ErrorKind::Invalid,
            format!(
                "{section}: the key service's certificate is not trusted; check kms_endpoint, \
                 or name the certificates to trust by ca_file"
            ),
        ),
        Trouble::ClockSkew => (
            ErrorKind::Invalid,
            format!(
                "{section}: the key service says that this machine's clock is wrong; set the clock"
            ),
        ),
        Trouble::Credentials => (
            ErrorKind::Invalid,
            format!(
                "{section}: the key service does not accept the credentials; check access_key and \
                 secret_key, or where else they come from"
            ),
        ),
        Trouble::Deleting => (
            ErrorKind::Invalid,
            of_key("awaits its deletion or is not ready; cancel that, or name another key"),
        ),
        Trouble::Denied => (
            ErrorKind::Invalid,
            of_key(&format!(
                "may not be used; allow kms:{call} on it (needed are kms:GenerateDataKey, \
                 kms:Decrypt, kms:Encrypt and kms:DescribeKey)"
            )),
        ),
        Trouble::Disabled => (
            ErrorKind::Invalid,
            of_key("is disabled; enable it, or name another key"),
        ),
        Trouble::KeyUsage => (
            ErrorKind::Invalid,
            of_key("is of another kind; name a symmetric key that encrypts and decrypts"),
        ),
        Trouble::Missing => (
            ErrorKind::Invalid,
            of_key("does not exist there; check its name, the region and the account"),
        ),
        Trouble::Overloaded => (
            ErrorKind::Unavailable,
            format!("{section}: the key service is overloaded or fails; it is tried again"),
        ),
        Trouble::Refused | Trouble::Undecipherable => {
            (ErrorKind::Invalid, of_key(&format!("is refused at {call}")))
        }
        Trouble::Silent => (
            ErrorKind::Unavailable,
            format!(
                "{section}: the key service does not answer; check kms_endpoint and the network"
            ),
        ),
        Trouble::Stranger => (
            ErrorKind::Invalid,
            format!("{section}: what answers is no key service; check kms_endpoint"),
        ),
    };
    Error::new(kind, sentence).because(failure)
}
