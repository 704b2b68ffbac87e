//! Codes as a second factor: each opens once, whichever instance looks at it.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE32_NOPAD;
use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypto::seal::DataKey;
use crate::crypto::small_secret;
use crate::crypto::totp::TotpSecret;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, TenantId};
use crate::domain::random;

const PURPOSE: &str = "totp";
/// How many recovery codes there are, and the random bytes of each.
const RECOVERY_CODES: usize = 10;
const RECOVERY_BYTES: usize = 10;

type Fetching = BoxFuture<'static, Result<Arc<DataKey>>>;

/// Where tenants' data keys come from: the one that seals now, or one of a version. Cheap to clone.
#[derive(Clone)]
pub struct KeySource(Arc<dyn Fn(TenantId, Option<u32>) -> Fetching + Send + Sync>);

impl KeySource {
    /// Asks `fetch`.
    pub fn new(fetch: impl Fn(TenantId, Option<u32>) -> Fetching + Send + Sync + 'static) -> Self {
        Self(Arc::new(fetch))
    }

    /// The key that seals now.
    pub(in crate::accounts) fn current(&self, tenant: TenantId) -> Fetching {
        (self.0)(tenant, None)
    }

    /// The key of a version.
    pub(in crate::accounts) fn version(&self, tenant: TenantId, version: u32) -> Fetching {
        (self.0)(tenant, Some(version))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<key source>")
    }
}

/// Seals what makes an account's codes.
///
/// # Errors
/// As the key source has it.
pub(in crate::accounts) async fn seal(
    keys: &KeySource,
    tenant: TenantId,
    account: AccountId,
    secret: &TotpSecret,
) -> Result<Vec<u8>> {
    let key = keys.current(tenant).await?;
    small_secret::seal(&key, tenant, account, PURPOSE, secret.expose())
}

/// Opens what [`seal`] made.
///
/// # Errors
/// As the key source has it; Corrupt when it is anything else.
pub(in crate::accounts) async fn open(
    keys: &KeySource,
    tenant: TenantId,
    account: AccountId,
    sealed: &[u8],
) -> Result<TotpSecret> {
    let version = small_secret::key_version(sealed)?;
    let key = keys.version(tenant, version).await?;
    small_secret::open(&key, tenant, account, PURPOSE, sealed).map(TotpSecret::new)
}

/// New recovery codes, as they are shown once.
pub(in crate::accounts) fn recovery_codes() -> Vec<String> {
    let draw = |_| {
        let text = BASE32_NOPAD.encode(&random::bytes::<RECOVERY_BYTES>());
        let parts: Vec<_> = text
            .as_bytes()
            .chunks(4)
            .map(String::from_utf8_lossy)
            .collect();
        parts.join("-").to_ascii_lowercase()
    };
    (0..RECOVERY_CODES).map(draw).collect()
}

/// What is stored of a recovery code, however it was typed. Its 80 random bits need no slow hash.
pub(in crate::accounts) fn recovery_hash(code: &str) -> [u8; 32] {
    let plain: Zeroizing<String> = Zeroizing::new(
        code.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_uppercase())
            .collect(),
    );
    Sha256::digest(plain.as_bytes()).into()
}
