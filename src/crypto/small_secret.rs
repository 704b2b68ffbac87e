//! Small secrets that the server itself must read again, sealed under a tenant's data key.
//!
//! version (4) | salt (32) | AES-256-GCM ciphertext and tag. Each has a key of its own, made by
//! HKDF-SHA-512 from the data key and the salt, so that a key and nonce never meet twice; what it is
//! and whose it is are in the key's derivation.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use crate::crypto::seal::{DataKey, derived_key};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, TenantId};
use crate::domain::random;

const SALT_BYTES: usize = 32;
const LABEL: &[u8] = b"sealift account secret v1";

/// Seals a secret of an account for one purpose.
///
/// # Errors
/// Internal when the cipher fails.
pub fn seal(
    key: &DataKey,
    tenant: TenantId,
    account: AccountId,
    purpose: &str,
    secret: &[u8],
) -> Result<Vec<u8>> {
    let salt = random::bytes::<SALT_BYTES>();
    let mut sealed = secret.to_vec();
    own_key(key, &salt, tenant, account, purpose)
        .seal_in_place_append_tag(only_nonce(), Aad::empty(), &mut sealed)
        .map_err(Error::internal)?;
    Ok([&key.version.to_be_bytes()[..], &salt, &sealed].concat())
}

/// Which version of the tenant's data key opens what was sealed.
///
/// # Errors
/// Corrupt when it is too short.
pub fn key_version(sealed: &[u8]) -> Result<u32> {
    let version = sealed.first_chunk().ok_or_else(damaged)?;
    Ok(u32::from_be_bytes(*version))
}

/// Opens what [`seal`] made for the same account and purpose.
///
/// # Errors
/// Corrupt when it is anything else.
pub fn open(
    key: &DataKey,
    tenant: TenantId,
    account: AccountId,
    purpose: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let (_, rest) = sealed.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (salt, sealed) = rest.split_first_chunk::<SALT_BYTES>().ok_or_else(damaged)?;
    let mut sealed = Zeroizing::new(sealed.to_vec());
    let opened = own_key(key, salt, tenant, account, purpose)
        .open_in_place(only_nonce(), Aad::empty(), &mut sealed)
        .map_err(|_| damaged())?;
    Ok(Zeroizing::new(opened.to_vec()))
}

fn own_key(
    key: &DataKey,
    salt: &[u8; SALT_BYTES],
    tenant: TenantId,
    account: AccountId,
    purpose: &str,
) -> aws_lc_rs::aead::LessSafeKey {
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA512, salt).extract(key.expose());
    let (tenant, account) = (tenant.0.to_be_bytes(), account.0.to_be_bytes());
    derived_key(&secret, &[LABEL, &tenant, &account, purpose.as_bytes()])
}

/// Each key seals once.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn damaged() -> Error {
    let context = "a secret of the account cannot be opened; tell the operator";
    Error::new(ErrorKind::Corrupt, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId(3);
    const ACCOUNT: AccountId = AccountId(7);

    #[test]
    fn a_secret_opens_for_its_account_and_purpose_only() {
        let key = DataKey::new(2, [9; 32]);
        let sealed = seal(&key, TENANT, ACCOUNT, "totp", b"secret").unwrap();
        assert_eq!(key_version(&sealed).unwrap(), 2);
        let opened = open(&key, TENANT, ACCOUNT, "totp", &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"secret");
        assert_ne!(
            sealed,
            seal(&key, TENANT, ACCOUNT, "totp", b"secret").unwrap()
        );

        let other = DataKey::new(2, [8; 32]);
        assert!(open(&other, TENANT, ACCOUNT, "totp", &sealed).is_err());
        assert!(open(&key, TenantId(4), ACCOUNT, "totp", &sealed).is_err());
        assert!(open(&key, TENANT, AccountId(8), "totp", &sealed).is_err());
        assert!(open(&key, TENANT, ACCOUNT, "else", &sealed).is_err());
        for index in 4..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(open(&key, TENANT, ACCOUNT, "totp", &changed).is_err());
        }
        for length in 0..sealed.len() {
            assert!(open(&key, TENANT, ACCOUNT, "totp", &sealed[..length]).is_err());
        }
    }
}
