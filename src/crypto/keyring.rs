//! The key ring: makes tenants' data keys and keeps them wrapped.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::crypto::local_key::LocalKey;
use crate::crypto::seal::DataKey;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;
use crate::domain::random;

/// Wraps and unwraps data keys by whatever provider the installation is set up with.
///
/// Cheap to clone. Keeps no data key: callers cache what they unwrap for a bounded time.
#[derive(Clone)]
pub struct KeyRing {
    provider: Provider,
}

#[derive(Clone)]
enum Provider {
    Local(Arc<LocalKey>),
}

/// A data key as it may be stored: useless without its provider.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Who can unwrap it: `local`.
    pub provider: String,
    /// The provider's own form.
    pub bytes: Vec<u8>,
}

impl KeyRing {
    /// Uses the installation's key file.
    ///
    /// # Errors
    /// With a sentence for the operator: `NotFound` when it is missing, `Invalid` when others
    /// can read it or it is no key file, `Unavailable` when it cannot be read.
    pub fn open_local(path: &Path) -> Result<Self> {
        LocalKey::open(path).map(Self::local)
    }

    /// Makes a new key file, mode 0600, synced to disk; never overwrites.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one; `StorageFull` or `Unavailable` when it cannot be written.
    pub fn create_local(path: &Path) -> Result<Self> {
        LocalKey::create(path).map(Self::local)
    }

    /// A random key that ends with the process.
    pub fn for_tests() -> Self {
        Self::local(LocalKey::new(&Zeroizing::new(random::bytes())))
    }

    fn local(key: LocalKey) -> Self {
        Self {
            provider: Provider::Local(Arc::new(key)),
        }
    }

    /// Tells two installations' keys apart without telling anything about them.
    pub fn fingerprint(&self) -> String {
        match &self.provider {
            Provider::Local(key) => key.fingerprint().to_owned(),
        }
    }

    /// Makes a new data key for a tenant, bound to tenant and version.
    ///
    /// # Errors
    /// `Unavailable` when the key service does not answer.
    pub async fn generate(&self, tenant: TenantId, version: u32) -> Result<(DataKey, WrappedKey)> {
        match &self.provider {
            Provider::Local(key) => {
                let data_key = DataKey::new(version, random::bytes());
                let bytes = key.wrap(tenant, &data_key)?;
                let provider = LocalKey::PROVIDER.to_owned();
                Ok((data_key, WrappedKey { provider, bytes }))
            }
        }
    }

    /// Unwraps a tenant's data key.
    ///
    /// # Errors
    /// `Corrupt` when it was changed, or wrapped for another tenant, version or installation;
    /// `Unsupported` when its provider is not set up; `Unavailable` when the key service does
    /// not answer.
    pub async fn unwrap(
        &self,
        tenant: TenantId,
        version: u32,
        wrapped: &WrappedKey,
    ) -> Result<DataKey> {
        match &self.provider {
            Provider::Local(key) if wrapped.provider == LocalKey::PROVIDER => {
                key.unwrap(tenant, version, &wrapped.bytes)
            }
            Provider::Local(_) => {
                let context = "the key of these files is kept by a service that is not set up \
                               here; tell the operator";
                let provider = &wrapped.provider;
                Err(Error::new(ErrorKind::Unsupported, context).because(format!(
                    "tenant {tenant} key version {version}: provider {provider:?}"
                )))
            }
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key ring {}", self.fingerprint())
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key of {} bytes", self.provider, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId(7);

    #[tokio::test]
    async fn a_wrapped_key_unwraps_for_its_tenant_and_version_only() {
        let ring = KeyRing::for_tests();
        let (key, wrapped) = ring.generate(TENANT, 3).await.unwrap();
        let again = ring.unwrap(TENANT, 3, &wrapped).await.unwrap();
        assert_eq!(again.expose(), key.expose());
        assert_eq!(again.version, 3);
        for (tenant, version) in [(TenantId(8), 3), (TENANT, 4)] {
            let error = ring.unwrap(tenant, version, &wrapped).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        let other = KeyRing::for_tests();
        assert_ne!(other.fingerprint(), ring.fingerprint());
        let error = other.unwrap(TENANT, 3, &wrapped).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[tokio::test]
    async fn a_changed_wrapped_key_is_corrupt() {
        let ring = KeyRing::for_tests();
        let (_, wrapped) = ring.generate(TENANT, 1).await.unwrap();
        for at in 0..wrapped.bytes.len() {
            let mut changed = wrapped.clone();
            changed.bytes[at] ^= 1;
            let error = ring.unwrap(TENANT, 1, &changed).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            changed.bytes.truncate(at);
            let error = ring.unwrap(TENANT, 1, &changed).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }

    #[tokio::test]
    async fn a_key_of_another_provider_is_unsupported() {
        let ring = KeyRing::for_tests();
        let (_, mut wrapped) = ring.generate(TENANT, 1).await.unwrap();
        wrapped.provider = "aws-kms".to_owned();
        let error = ring.unwrap(TENANT, 1, &wrapped).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[tokio::test]
    async fn secrets_do_not_show() {
        let (key, wrapped) = KeyRing::for_tests().generate(TENANT, 1).await.unwrap();
        assert_eq!(format!("{key:?}"), "data key 1 <secret>");
        assert_eq!(format!("{wrapped:?}"), "local key of 60 bytes");
    }
}
