//! What is kept of a data key that a key service wrapped: its ciphertext, bound to everything that it
//! must not be moved away from. `docs/format.md` has the bytes.

use aws_lc_rs::{hkdf, hmac};

use crate::crypto::seal::DataKey;
use crate::domain::id::{RegionId, TenantId};

/// The provider's name in wrapped keys.
pub const PROVIDER: &str = "aws-kms";

const VERSION: u8 = 1;
const BINDING_BYTES: usize = 32;

/// A data key as a key service wrapped it.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The region whose key service it is.
    pub region: RegionId,
    /// The service's key, by the id that the service gave.
    pub key_id: String,
    /// What only the service can open.
    pub ciphertext: Vec<u8>,
    binding: [u8; BINDING_BYTES],
}

impl Envelope {
    /// Binds a ciphertext to tenant, version, region and key, under the data key that it wraps.
    ///
    /// None when the key id or the ciphertext is longer than 65,535 bytes.
    pub fn new(
        tenant: TenantId,
        region: RegionId,
        key_id: String,
        ciphertext: Vec<u8>,
        key: &DataKey,
    ) -> Option<Self> {
        let mut envelope = Self {
            region,
            key_id,
            ciphertext,
            binding: [0; BINDING_BYTES],
        };
        let bound = envelope.bound(tenant, key.version)?;
        let tag = hmac::sign(&binding_key(key), &bound);
        envelope.binding = tag.as_ref().try_into().ok()?;
        Some(envelope)
    }

    /// Reads what [`Envelope::to_bytes`] wrote; none when it is anything else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (region, rest) = rest.split_first_chunk()?;
        let (key_id, rest) = counted(rest)?;
        let (ciphertext, rest) = counted(rest)?;
        Some(Self {
            region: RegionId(i64::from_be_bytes(*region)),
            key_id: String::from_utf8(key_id.to_vec()).ok()?,
            ciphertext: ciphertext.to_vec(),
            binding: rest.try_into().ok()?,
        })
    }

    /// The form to keep.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.unbound().unwrap_or_default();
        bytes.extend_from_slice(&self.binding);
        bytes
    }

    /// Whether `key` is the one that was wrapped, for this tenant and in this envelope.
    pub fn fits(&self, tenant: TenantId, key: &DataKey) -> bool {
        self.bound(tenant, key.version)
            .is_some_and(|bound| hmac::verify(&binding_key(key), &bound, &self.binding).is_ok())
    }

    fn bound(&self, tenant: TenantId, version: u32) -> Option<Vec<u8>> {
        let mut bytes = associated_data(PROVIDER, tenant, version);
        bytes.extend(self.unbound()?);
        Some(bytes)
    }

    fn unbound(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.region.0.to_be_bytes());
        for part in [self.key_id.as_bytes(), &self.ciphertext] {
            bytes.extend_from_slice(&u16::try_from(part.len()).ok()?.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Some(bytes)
    }
}

/// What a wrapped key is bound to: provider, tenant and version.
pub(in crate::crypto) fn associated_data(
    provider: &str,
    tenant: TenantId,
    version: u32,
) -> Vec<u8> {
    let mut bytes = b"sealift data key v1".to_vec();
    bytes.push(provider.len() as u8);
    bytes.extend_from_slice(provider.as_bytes());
    bytes.extend_from_slice(&tenant.0.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes
}

fn binding_key(key: &DataKey) -> hmac::Key {
    let secret = hkdf::Salt::none(hkdf::HKDF_SHA512).extract(key.expose());
    let okm = secret
        .expand(&[b"sealift binding v1"], hmac::HMAC_SHA256)
        .expect("HKDF-SHA-512 gives up to 16,320 bytes, and a key is 32");
    hmac::Key::from(okm)
}

/// A part that its length stands before, and what follows it.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId(7);
    /// Made by Python's hmac and hashlib from `docs/format.md` alone.
    const VECTOR: &str = "010000000000000002001661726e3a6177733a6b6d733a65753a313a6b65792f6b00067365616c6564df8054330ba24aa73e55b8de6ee3cfd320f710012ecf6931cd304df6536e09ab";

    fn key() -> DataKey {
        DataKey::new(3, std::array::from_fn(|at| at as u8))
    }

    fn envelope() -> Envelope {
        let key_id = "arn:aws:kms:eu:1:key/k".to_owned();
        Envelope::new(TENANT, RegionId(2), key_id, b"sealed".to_vec(), &key()).unwrap()
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let bytes = envelope().to_bytes();
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), VECTOR);
        let read = Envelope::parse(&bytes).unwrap();
        assert!(read == envelope() && read.fits(TENANT, &key()));
    }

    #[test]
    fn an_envelope_fits_no_other_tenant_version_or_key() {
        let envelope = envelope();
        assert!(!envelope.fits(TenantId(8), &key()));
        let other_version = DataKey::new(4, *key().expose());
        assert!(!envelope.fits(TENANT, &other_version));
        assert!(!envelope.fits(TENANT, &DataKey::new(3, [7; 32])));
    }

    #[test]
    fn no_changed_cut_or_lengthened_envelope_fits() {
        let bytes = envelope().to_bytes();
        let fits = |bytes: &[u8]| Envelope::parse(bytes).is_some_and(|e| e.fits(TENANT, &key()));
        assert!(fits(&bytes));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(!fits(&changed), "byte {at}");
            assert!(!fits(&bytes[..at]), "cut at {at}");
        }
        assert!(!fits(&[&bytes[..], b"x"].concat()));
    }
}
