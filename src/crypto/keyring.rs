//! The key ring: makes tenants' data keys and keeps them wrapped.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::crypto::kms::{Deletion, KmsKeys};
use crate::crypto::kms_envelope::{self, Envelope};
use crate::crypto::local_key::LocalKey;
use crate::crypto::seal::DataKey;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{RegionId, TenantId};
use crate::domain::random;

/// Wraps and unwraps data keys by whatever providers the installation is set up with: its own key
/// file, and a key service for each of some regions.
///
/// Cheap to clone. Keeps no data key: callers cache what they unwrap for a bounded time.
#[derive(Clone)]
pub struct KeyRing {
    local: Option<Arc<LocalKey>>,
    services: BTreeMap<RegionId, KmsKeys>,
}

/// A data key as it may be stored: useless without its provider.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Who can unwrap it: `local` or `aws-kms`.
    pub provider: String,
    /// The provider's own form.
    pub bytes: Vec<u8>,
}

/// By what a tenant's data keys are to be wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHome {
    /// The region whose key service it is; where there is none, the installation's key file serves.
    pub region: RegionId,
    /// The service's key; none is the region's default.
    pub kms_key: Option<String>,
}

/// By what a wrapped key is wrapped, as far as that can be told without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The installation's key file.
    Local,
    /// A key of the key service of a region.
    Kms {
        /// The region.
        region: RegionId,
        /// The key, by the service's id.
        key_id: String,
    },
    /// Nothing that this program knows.
    Unknown,
}

impl WrappedKey {
    /// By what it is wrapped.
    pub fn keeper(&self) -> Keeper {
        match self.provider.as_str() {
            LocalKey::PROVIDER => Keeper::Local,
            kms_envelope::PROVIDER => {
                Envelope::parse(&self.bytes).map_or(Keeper::Unknown, |envelope| Keeper::Kms {
                    region: envelope.region,
                    key_id: envelope.key_id,
                })
            }
            _ => Keeper::Unknown,
        }
    }

    /// Whether it can be unwrapped while the key services of all regions but this one are lost.
    pub fn opens_in(&self, region: RegionId) -> bool {
        match self.keeper() {
            Keeper::Kms { region: of, .. } => of == region,
            Keeper::Local => true,
            Keeper::Unknown => false,
        }
    }
}

impl KeyRing {
    /// Without any provider; see [`KeyRing::with_kms`].
    pub fn empty() -> Self {
        Self {
            local: None,
            services: BTreeMap::new(),
        }
    }

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
            local: Some(Arc::new(key)),
            ..Self::empty()
        }
    }

    /// The same, with new keys of a region wrapped by its key service. Others stay readable.
    #[must_use]
    pub fn with_kms(mut self, region: RegionId, kms: KmsKeys) -> Self {
        self.services.insert(region, kms);
        self
    }

    /// Tells two installations' key files apart without telling anything about them; none without
    /// a key file.
    pub fn fingerprint(&self) -> Option<&str> {
        self.local.as_deref().map(LocalKey::fingerprint)
    }

    /// The key services, by region.
    pub fn services(&self) -> impl Iterator<Item = (RegionId, &KmsKeys)> {
        self.services.iter().map(|(region, kms)| (*region, kms))
    }

    /// Makes a new data key for a tenant, bound to tenant and version.
    ///
    /// # Errors
    /// `Unavailable` when the key service does not answer or refuses, or nothing is set up that the key
    /// could be wrapped by.
    pub async fn generate(
        &self,
        tenant: TenantId,
        version: u32,
        home: &KeyHome,
    ) -> Result<(DataKey, WrappedKey)> {
        match self.wrapper(tenant, home)? {
            Wrapper::Kms(kms) => {
                let key = home.kms_key.as_deref();
                let made = kms.generate(tenant, version, home.region, key).await?;
                Ok((made.0, from_service(&made.1)))
            }
            Wrapper::Local(local) => {
                let data_key = DataKey::new(version, random::bytes());
                let wrapped = from_file(local.wrap(tenant, &data_key)?);
                Ok((data_key, wrapped))
            }
        }
    }

    /// Wraps a data key that there is already.
    ///
    /// # Errors
    /// As [`KeyRing::generate`].
    pub async fn wrap(
        &self,
        tenant: TenantId,
        data_key: &DataKey,
        home: &KeyHome,
    ) -> Result<WrappedKey> {
        match self.wrapper(tenant, home)? {
            Wrapper::Kms(kms) => {
                let key = home.kms_key.as_deref();
                let envelope = kms.wrap(tenant, data_key, home.region, key).await?;
                Ok(from_service(&envelope))
            }
            Wrapper::Local(local) => local.wrap(tenant, data_key).map(from_file),
        }
    }

    /// Whether there is anything that could wrap keys for a region, whether or not it answers.
    pub fn wraps_for(&self, region: RegionId) -> bool {
        self.services.contains_key(&region) || self.local.is_some()
    }

    /// Unwraps a tenant's data key.
    ///
    /// # Errors
    /// `Corrupt` when it was changed, or wrapped for another tenant, version or installation;
    /// `Unavailable` when its provider is not set up, or the key service does not answer, or refuses
    /// (see [`is_outage`](crate::crypto::kms_error::is_outage)).
    pub async fn unwrap(
        &self,
        tenant: TenantId,
        version: u32,
        wrapped: &WrappedKey,
    ) -> Result<DataKey> {
        match (wrapped.provider.as_str(), &self.local) {
            (LocalKey::PROVIDER, Some(local)) => local.unwrap(tenant, version, &wrapped.bytes),
            (kms_envelope::PROVIDER, _) if !self.services.is_empty() => {
                let envelope = Envelope::parse(&wrapped.bytes).ok_or_else(|| {
                    let context = "the key of these files cannot be unwrapped; tell the operator";
                    Error::new(ErrorKind::Corrupt, context).because(format!(
                        "tenant {tenant} key version {version}: no envelope"
                    ))
                })?;
                let region = envelope.region;
                let kms = self.services.get(&region).ok_or_else(|| {
                    not_set_up(format!(
                        "tenant {tenant} key version {version}: key service of region {region}"
                    ))
                })?;
                kms.unwrap(tenant, version, &envelope).await
            }
            (provider, _) => Err(not_set_up(format!(
                "tenant {tenant} key version {version}: provider {provider:?}"
            ))),
        }
    }

    /// The id that a region's key service gives a key; none is the region's default key.
    ///
    /// # Errors
    /// `Unavailable` when the region has no key service, or it does not answer or does not know the key.
    pub async fn key_id(&self, home: &KeyHome) -> Result<String> {
        let kms = self.service(home.region)?;
        kms.key_id(home.kms_key.as_deref()).await
    }

    /// Has a region's key service delete a key after `days`.
    ///
    /// # Errors
    /// As [`KeyRing::key_id`].
    pub async fn schedule_deletion(
        &self,
        region: RegionId,
        key: &str,
        days: u8,
    ) -> Result<Deletion> {
        self.service(region)?.schedule_deletion(key, days).await
    }

    fn service(&self, region: RegionId) -> Result<&KmsKeys> {
        let service = self.services.get(&region);
        service.ok_or_else(|| not_set_up(format!("key service of region {region}")))
    }

    fn wrapper(&self, tenant: TenantId, home: &KeyHome) -> Result<Wrapper<'_>> {
        match (self.services.get(&home.region), &self.local, &home.kms_key) {
            (Some(kms), ..) => Ok(Wrapper::Kms(kms)),
            (None, Some(local), None) => Ok(Wrapper::Local(local)),
            (None, ..) => {
                let region = home.region;
                Err(not_set_up(format!(
                    "tenant {tenant}: key service of region {region}, for a new key"
                )))
            }
        }
    }
}

enum Wrapper<'a> {
    Kms(&'a KmsKeys),
    Local(&'a LocalKey),
}

fn from_service(envelope: &Envelope) -> WrappedKey {
    WrappedKey {
        provider: kms_envelope::PROVIDER.to_owned(),
        bytes: envelope.to_bytes(),
    }
}

fn from_file(bytes: Vec<u8>) -> WrappedKey {
    WrappedKey {
        provider: LocalKey::PROVIDER.to_owned(),
        bytes,
    }
}

fn not_set_up(cause: String) -> Error {
    let context = "the key of these files is kept by a service that is not set up here; tell the \
                   operator";
    Error::new(ErrorKind::Unavailable, context).because(NotSetUp(cause))
}

/// Whether it is about a provider that is not set up here, so that nobody was asked.
pub fn is_not_set_up(error: &Error) -> bool {
    let source = error.source();
    source.is_some_and(|source| source.is::<NotSetUp>())
}

/// What is missing.
#[derive(Debug)]
struct NotSetUp(String);

impl fmt::Display for NotSetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for NotSetUp {}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.fingerprint().unwrap_or("without key file");
        write!(f, "key ring {local}")?;
        for (region, kms) in &self.services {
            write!(f, ", region {region}: {kms:?}")?;
        }
        Ok(())
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

    fn home() -> KeyHome {
        KeyHome {
            region: RegionId::MAIN,
            kms_key: None,
        }
    }

    #[tokio::test]
    async fn a_wrapped_key_unwraps_for_its_tenant_and_version_only() {
        let ring = KeyRing::for_tests();
        let (key, wrapped) = ring.generate(TENANT, 3, &home()).await.unwrap();
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
        let (_, wrapped) = ring.generate(TENANT, 1, &home()).await.unwrap();
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
    async fn a_key_whose_provider_is_not_set_up_is_unavailable() {
        let ring = KeyRing::for_tests();
        let (key, mut wrapped) = ring.generate(TENANT, 1, &home()).await.unwrap();
        let error = KeyRing::empty().unwrap(TENANT, 1, &wrapped).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(is_not_set_up(&error));
        wrapped.provider = "vault".to_owned();
        let error = ring.unwrap(TENANT, 1, &wrapped).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);

        let region = RegionId(9);
        let elsewhere = Envelope::new(TENANT, region, "k".to_owned(), vec![1], &key).unwrap();
        let wrapped = from_service(&elsewhere);
        let error = ring.unwrap(TENANT, 1, &wrapped).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn a_tenant_with_a_key_of_its_own_is_not_given_the_installations() {
        let home = KeyHome {
            kms_key: Some("alias/acme".to_owned()),
            ..home()
        };
        let error = KeyRing::for_tests().generate(TENANT, 1, &home).await;
        assert!(is_not_set_up(&error.unwrap_err()));
    }

    #[tokio::test]
    async fn secrets_do_not_show() {
        let (key, wrapped) = KeyRing::for_tests()
            .generate(TENANT, 1, &home())
            .await
            .unwrap();
        assert_eq!(format!("{key:?}"), "data key 1 <secret>");
        assert_eq!(format!("{wrapped:?}"), "local key of 60 bytes");
    }
}
