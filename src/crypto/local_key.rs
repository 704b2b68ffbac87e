//! The installation's own key, in a file only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use aws_lc_rs::hkdf;
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use crate::crypto::kms_envelope::associated_data;
use crate::crypto::seal::{DataKey, TAG_BYTES, derived_key};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;
use crate::domain::random;

const PREFIX: &str = "sealift-key-v1 ";
const SECRET_BYTES: usize = 32;
/// No key file is longer; of a longer file no more is read.
const MAX_FILE_BYTES: u64 = 256;

/// Wraps data keys as `docs/format.md` describes it.
pub struct LocalKey {
    wrapping: LessSafeKey,
    fingerprint: String,
}

impl LocalKey {
    /// The provider's name in wrapped keys.
    pub const PROVIDER: &'static str = "local";

    /// Derives what is needed from the file's secret.
    pub fn new(secret: &Zeroizing<[u8; SECRET_BYTES]>) -> Self {
        let secret = hkdf::Salt::none(hkdf::HKDF_SHA512).extract(&**secret);
        let mut fingerprint = [0; 16];
        secret
            .expand(&[b"sealift fingerprint v1"], Length(fingerprint.len()))
            .and_then(|okm| okm.fill(&mut fingerprint))
            .expect("HKDF-SHA-512 gives up to 16,320 bytes");
        Self {
            wrapping: derived_key(&secret, &[b"sealift wrap v1"]),
            fingerprint: HEXLOWER.encode(&fingerprint),
        }
    }

    /// Reads the key file.
    ///
    /// # Errors
    /// As [`KeyRing::open_local`](crate::crypto::keyring::KeyRing::open_local).
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(path).because(error),
            _ => unreadable(path).because(error),
        })?;
        let metadata = file
            .metadata()
            .map_err(|error| unreadable(path).because(error))?;
        if metadata.mode() & 0o077 != 0 {
            let shown = path.display();
            return Err(Error::invalid(format!(
                "the key file {shown} is open to other users; run: chmod 600 {shown}"
            )));
        }
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize));
        file.take(MAX_FILE_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => no_key_file(path),
                _ => unreadable(path).because(error),
            })?;
        let secret = parse(&text).ok_or_else(|| no_key_file(path))?;
        Ok(Self::new(&secret))
    }

    /// Makes the key file, never over another.
    ///
    /// # Errors
    /// As [`KeyRing::create_local`](crate::crypto::keyring::KeyRing::create_local).
    pub fn create(path: &Path) -> Result<Self> {
        let secret = Zeroizing::new(random::bytes::<SECRET_BYTES>());
        write_once(path, &secret).map_err(|error| {
            let shown = path.display();
            let (kind, context) = match error.kind() {
                io::ErrorKind::AlreadyExists => (
                    ErrorKind::AlreadyExists,
                    format!("there is a key file {shown} already; it is never overwritten"),
                ),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                    ErrorKind::StorageFull,
                    format!("no room to write the key file {shown}; free some space"),
                ),
                _ => (
                    ErrorKind::Unavailable,
                    format!("the key file {shown} cannot be written; check its folder's owner"),
                ),
            };
            Error::new(kind, context).because(error)
        })?;
        Ok(Self::new(&secret))
    }

    /// Tells this key from others; safe to store.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Wraps a data key, bound to tenant and version.
    ///
    /// # Errors
    /// Internal when the cipher fails.
    pub fn wrap(&self, tenant: TenantId, key: &DataKey) -> Result<Vec<u8>> {
        let nonce = random::bytes::<NONCE_LEN>();
        let mut secret = Zeroizing::new(*key.expose());
        let tag = self
            .wrapping
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated_data(Self::PROVIDER, tenant, key.version)),
                secret.as_mut_slice(),
            )
            .map_err(Error::internal)?;
        Ok([&nonce, secret.as_slice(), tag.as_ref()].concat())
    }

    /// Unwraps what [`LocalKey::wrap`] made for the same tenant and version.
    ///
    /// # Errors
    /// Corrupt when it is anything else.
    pub fn unwrap(&self, tenant: TenantId, version: u32, wrapped: &[u8]) -> Result<DataKey> {
        let secret = self.unwrap_secret(tenant, version, wrapped);
        let secret = secret.ok_or_else(|| {
            let context = "the key of these files cannot be unwrapped; tell the operator";
            Error::new(ErrorKind::Corrupt, context).because(format!(
                "tenant {tenant} key version {version}: changed, or not wrapped under key file {}",
                self.fingerprint
            ))
        })?;
        Ok(DataKey::new(version, *secret))
    }

    fn unwrap_secret(
        &self,
        tenant: TenantId,
        version: u32,
        wrapped: &[u8],
    ) -> Option<Zeroizing<[u8; SECRET_BYTES]>> {
        let (nonce, sealed) = wrapped.split_first_chunk()?;
        let sealed: [u8; SECRET_BYTES + TAG_BYTES] = sealed.try_into().ok()?;
        let mut sealed = Zeroizing::new(sealed);
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let context = Aad::from(associated_data(Self::PROVIDER, tenant, version));
        let opened = self.wrapping.open_in_place(nonce, context, &mut *sealed);
        let secret = opened.ok()?.first_chunk()?;
        Some(Zeroizing::new(*secret))
    }
}

fn parse(text: &str) -> Option<Zeroizing<[u8; SECRET_BYTES]>> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let digits = line.strip_prefix(PREFIX)?.as_bytes();
    let bytes = Zeroizing::new(HEXLOWER.decode(digits).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// Writes beside, syncs, links to the name (which fails when it is taken), syncs the folder.
fn write_once(path: &Path, secret: &Zeroizing<[u8; SECRET_BYTES]>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let suffix = HEXLOWER.encode(&random::bytes::<8>());
    let beside = folder.join(format!(".sealift-key-{suffix}"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize));
    text.push_str(PREFIX);
    HEXLOWER.encode_append(secret.as_slice(), &mut text);
    text.push('\n');
    let linked = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside)?;
    linked?;
    File::open(folder)?.sync_all()
}

fn missing(path: &Path) -> Error {
    let shown = path.display();
    Error::not_found(format!(
        "the key file {shown} is missing; put it back, without it nothing stored can be read"
    ))
}

fn unreadable(path: &Path) -> Error {
    let shown = path.display();
    let context =
        format!("the key file {shown} cannot be read; give it to the user the server runs as");
    Error::new(ErrorKind::Unavailable, context)
}

fn no_key_file(path: &Path) -> Error {
    let shown = path.display();
    Error::invalid(format!("{shown} is not a key file; put the right one back"))
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A folder that is removed with its content.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let suffix = HEXLOWER.encode(&random::bytes::<8>());
            let path = std::env::temp_dir().join(format!("sealift-key-test-{suffix}"));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn refusal(path: &Path) -> Error {
        LocalKey::open(path).err().unwrap()
    }

    #[test]
    fn a_key_file_is_private_and_opens_to_the_same_key() {
        let folder = Folder::new();
        let path = folder.0.join("key");
        let made = LocalKey::create(&path).unwrap();
        let opened = LocalKey::open(&path).unwrap();
        assert_eq!(made.fingerprint(), opened.fingerprint());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        let folder = Folder::new();
        let path = folder.0.join("key");
        LocalKey::create(&path).unwrap();
        let before = fs::read(&path).unwrap();
        let error = LocalKey::create(&path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    #[test]
    fn a_key_file_open_to_others_is_refused_with_the_remedy() {
        let folder = Folder::new();
        let path = folder.0.join("key");
        LocalKey::create(&path).unwrap();
        for mode in [0o640, 0o604, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = refusal(&path);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.context().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_missing_or_foreign_key_file_is_refused() {
        let folder = Folder::new();
        let path = folder.0.join("key");
        assert_eq!(refusal(&path).kind(), ErrorKind::NotFound);
        LocalKey::create(&path).unwrap();
        let good = format!("{PREFIX}{}\n", "ab".repeat(32));
        for text in [
            "",
            "hello",
            &good.to_uppercase(),
            &good.replace("v1", "v2"),
            &good.repeat(9),
            &good.replacen("ab", "", 1),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(refusal(&path).kind(), ErrorKind::Invalid, "{text:?}");
        }
        fs::write(&path, good).unwrap();
        assert!(LocalKey::open(&path).is_ok());
    }
}
