//! The self-signed certificate of an installation that was given none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use zeroize::Zeroizing;

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};

/// How many years a self-signed certificate serves.
const YEARS: i32 = 10;

/// Makes `certificate` and `key` (PEM files, the key readable by its owner only) for `names`,
/// unless both are there.
///
/// # Errors
/// Invalid when the certificate's key is missing or a name is malformed; StorageFull or Unavailable when
/// they cannot be written.
pub fn ensure_self_signed(
    certificate: &Path,
    key: &Path,
    names: &[String],
    now: Timestamp,
) -> Result<()> {
    match (certificate.exists(), key.exists()) {
        (true, true) => return Ok(()),
        (true, false) => return Err(orphan(certificate, key)),
        (false, _) => {}
    }
    let pair = ensure_key(key)?;
    let pem = self_signed(&pair, names, now)?;
    write(certificate, pem.as_bytes(), 0o644)
}

/// A certificate for `names` and its new key, both in PEM, that are kept nowhere.
///
/// # Errors
/// Invalid when a name is malformed.
pub fn self_signed_pem(names: &[String], now: Timestamp) -> Result<Zeroizing<String>> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::internal)?;
    let certificate = self_signed(&pair, names, now)?;
    Ok(Zeroizing::new(certificate + &pair.serialize_pem()))
}

/// The key that is there: a first start may have ended between the two files.
fn ensure_key(path: &Path) -> Result<KeyPair> {
    if !path.exists() {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::internal)?;
        write(path, pair.serialize_pem().as_bytes(), 0o600)?;
        return Ok(pair);
    }
    let pem = fs::read_to_string(path).map_err(|error| {
        Error::invalid(format!("'{}' cannot be read: {error}", path.display())).because(error)
    })?;
    KeyPair::from_pem(&pem).map_err(|error| {
        let sentence = format!(
            "'{}' is not a private key in PEM; remove it",
            path.display()
        );
        Error::invalid(sentence).because(error)
    })
}

fn self_signed(key: &KeyPair, names: &[String], now: Timestamp) -> Result<String> {
    let mut params = CertificateParams::new(names.to_vec()).map_err(|error| {
        Error::invalid("a certificate's names are host names and IP addresses").because(error)
    })?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "sealift (self-signed)");
    params.distinguished_name = subject;
    let today = jiff::Timestamp::from_microsecond(now.0)
        .map_err(Error::internal)?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let day = |years: i32| {
        let month = u8::try_from(today.month()).unwrap_or(1);
        // The 28th at most: 29 February is not in every year.
        let day = u8::try_from(today.day()).unwrap_or(1).min(28);
        rcgen::date_time_ymd(i32::from(today.year()) + years, month, day)
    };
    params.not_before = day(0);
    params.not_after = day(YEARS);
    let certificate = params.self_signed(key).map_err(Error::internal)?;
    Ok(certificate.pem())
}

/// Written whole or not at all: a temporary file, synced, then renamed.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = (|| -> io::Result<()> {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    })();
    written.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull => ErrorKind::StorageFull,
            _ => ErrorKind::Unavailable,
        };
        let sentence = format!("'{}' cannot be written: {error}", path.display());
        Error::new(kind, sentence).because(error)
    })
}

fn orphan(there: &Path, missing: &Path) -> Error {
    Error::invalid(format!(
        "'{}' is there but '{}' is not; put it back, or remove both for a new certificate",
        there.display(),
        missing.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::domain::random;

    fn folder() -> PathBuf {
        let name = data_encoding::HEXLOWER.encode(&random::bytes::<8>());
        let folder = std::env::temp_dir().join(format!("sealift-tls-{name}"));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_private() {
        let folder = folder();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let now = Timestamp::from_seconds(1_709_208_000); // 29 February
        ensure_self_signed(&certificate, &key, &names, now).unwrap();
        let first = fs::read_to_string(&certificate).unwrap();
        assert!(first.starts_with("-----BEGIN CERTIFICATE-----"));
        let mode = fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        ensure_self_signed(&certificate, &key, &names, now).unwrap();
        assert_eq!(fs::read_to_string(&certificate).unwrap(), first);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_missing_certificate_is_made_again_and_a_missing_key_is_not() {
        let folder = folder();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let names = ["localhost".to_owned()];
        ensure_self_signed(&certificate, &key, &names, Timestamp(0)).unwrap();
        let kept = fs::read_to_string(&key).unwrap();
        fs::remove_file(&certificate).unwrap();
        ensure_self_signed(&certificate, &key, &names, Timestamp(0)).unwrap();
        assert_eq!(fs::read_to_string(&key).unwrap(), kept);
        fs::remove_file(&key).unwrap();
        let error = ensure_self_signed(&certificate, &key, &names, Timestamp(0)).unwrap_err();
        assert!(error.context().contains("remove both"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
