//! The server's own keys: a folder of private key files, as OpenSSH or OpenSSL write them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use russh::keys::pkcs8::decode_pkcs8;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData};
use russh::keys::ssh_key::rand_core::{Infallible, TryCryptoRng, TryRng};
use russh::keys::{EcdsaCurve, HashAlg, PrivateKey, decode_secret_key};

use crate::domain::error::{Error, Result};
use crate::domain::random;
use crate::sftp::algorithms::Algorithms;

/// Fewest bits of an RSA key that nobody doubts, and of one that a server brings from another program.
const RSA_BITS: usize = 3072;
const COMPATIBLE_RSA_BITS: usize = 2048;
/// Behind the name of a key's file: its successor.
const NEXT: &str = "next";

/// The keys by which clients know the server.
#[derive(Clone)]
pub struct HostKeys {
    own: Vec<PrivateKey>,
    next: Vec<PrivateKey>,
}

impl HostKeys {
    /// Loads the keys in `folder`, making the folder and what is missing of an Ed25519, an ECDSA
    /// and an RSA key. A key file that is there is never changed. Takes some tenths of a second of
    /// a core when keys are made.
    ///
    /// A file whose name ends with `.next` is the successor of the key by that name: clients are told of it
    /// and may keep it, and it is used for nothing else.
    ///
    /// # Errors
    /// Invalid, with the file and what to do.
    pub fn load_or_create(folder: &Path, algorithms: Algorithms) -> Result<Self> {
        Self::check(folder, algorithms)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| refusal(folder, "cannot be made", error))?;
        let own = KINDS
            .into_iter()
            .map(|(name, make)| load_or_make(&folder.join(name), algorithms, make));
        let next = KINDS
            .iter()
            .filter_map(|(name, _)| load(&successor(folder, name), algorithms).transpose());
        Ok(Self {
            own: own.collect::<Result<_>>()?,
            next: next.collect::<Result<_>>()?,
        })
    }

    /// Checks the keys that are in `folder`, if it is there; makes nothing.
    ///
    /// # Errors
    /// As [`HostKeys::load_or_create`].
    pub fn check(folder: &Path, algorithms: Algorithms) -> Result<()> {
        if fs::metadata(folder).is_ok_and(|about| !about.is_dir()) {
            let shown = folder.display();
            return Err(Error::invalid(format!(
                "sftp.host_keys: '{shown}' is a file; name the folder of the host keys"
            )));
        }
        KINDS.iter().try_for_each(|(name, _)| {
            load(&folder.join(name), algorithms)?;
            load(&successor(folder, name), algorithms).map(drop)
        })
    }

    /// One fresh key that is kept nowhere.
    ///
    /// # Errors
    /// Internal when it cannot be made.
    pub fn for_tests() -> Result<Self> {
        Ok(Self {
            own: vec![private(ed25519()?)?],
            next: Vec::new(),
        })
    }

    /// What clients are shown when they meet the server for the first time: for each key its kind
    /// and its SHA-256.
    pub fn fingerprints(&self) -> Vec<(String, String)> {
        let line = |key: &PrivateKey| {
            let print = key.fingerprint(HashAlg::Sha256).to_string();
            (key.algorithm().to_string(), print)
        };
        self.own.iter().map(line).collect()
    }

    /// The keys that clients are offered, and behind them those that they are only told of: `ssh-audit`
    /// flags NIST curves.
    pub(crate) fn into_keys(self, algorithms: Algorithms) -> Vec<PrivateKey> {
        let offered = |key: &PrivateKey| match algorithms {
            Algorithms::Compatible => true,
            Algorithms::Strict => !key.algorithm().is_ecdsa(),
        };
        let mut keys: Vec<PrivateKey> = self.own.into_iter().filter(offered).collect();
        for key in self.next.into_iter().filter(offered) {
            // Clients disregard all when they are told of one twice.
            if keys
                .iter()
                .all(|other| other.public_key() != key.public_key())
            {
                keys.push(key);
            }
        }
        keys
    }
}

fn successor(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.{NEXT}"))
}

type Make = fn() -> Result<KeypairData>;

const KINDS: [(&str, Make); 3] = [
    ("ssh_host_ed25519_key", ed25519),
    ("ssh_host_ecdsa_key", ecdsa),
    ("ssh_host_rsa_key", || rsa(KeySize::Rsa3072)),
];

fn load_or_make(path: &Path, algorithms: Algorithms, make: Make) -> Result<PrivateKey> {
    if let Some(key) = load(path, algorithms)? {
        return Ok(key);
    }
    let key = private(make()?)?;
    store(path, &key).map_err(|error| refusal(path, "cannot be written", error))?;
    Ok(key)
}

/// A key that can be used; none where there is no file.
fn load(path: &Path, algorithms: Algorithms) -> Result<Option<PrivateKey>> {
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refusal(path, "cannot be read", error)),
    };
    let about = fs::metadata(path).map_err(|error| refusal(path, "cannot be read", error))?;
    if about.mode() & 0o077 != 0 {
        return Err(Error::invalid(format!(
            "sftp.host_keys: the host key {shown} is open to other users; run: chmod 600 {shown}"
        )));
    }
    // OpenSSH's, PKCS#8 and the older form of PEM say by different words that they are encrypted.
    let is_sealed = text.contains("ENCRYPTED");
    let key = match is_sealed {
        true => None,
        false if text.contains("BEGIN OPENSSH PRIVATE KEY") => Some(open_openssh(&text)),
        false => Some(decode_secret_key(&text, None).map_err(Into::into)),
    };
    let key = key.transpose().map_err(|error: Reason| {
        let wanted = "is no private key of OpenSSH's or in PEM (PKCS#1, SEC1, PKCS#8); put it right or move it away";
        refusal(path, wanted, error)
    })?;
    let Some(key) = key.filter(|key| !key.is_encrypted()) else {
        return Err(Error::invalid(format!(
            "sftp.host_keys: the host key {shown} has a passphrase, for which nobody can be asked; take it away by: \
             ssh-keygen -p -f {shown}"
        )));
    };
    let (fewest, remedy) = match algorithms {
        Algorithms::Compatible => (
            COMPATIBLE_RSA_BITS,
            "move it away, and a longer one is made",
        ),
        Algorithms::Strict => (
            RSA_BITS,
            "move it away, and a longer one is made, or set sftp.algorithms = \"compatible\", which takes 2048",
        ),
    };
    match rsa_bits(&key) {
        Some(bits) if bits < fewest => Err(Error::invalid(format!(
            "sftp.host_keys: the host key {shown} has {bits} bits, and RSA keys need {fewest}; {remedy}"
        ))),
        _ => Ok(Some(key)),
    }
}

type Reason = Box<dyn std::error::Error + Send + Sync>;

fn open_openssh(text: &str) -> std::result::Result<PrivateKey, Reason> {
    PrivateKey::from_openssh(text).map_err(Into::into)
}

fn rsa_bits(key: &PrivateKey) -> Option<usize> {
    let public = key.public_key().key_data().rsa()?;
    Some(public.n().as_positive_bytes()?.len() * 8)
}

/// Writes beside and renames, so that a key file is whole or not there.
fn store(path: &Path, key: &PrivateKey) -> io::Result<()> {
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn private(pair: KeypairData) -> Result<PrivateKey> {
    PrivateKey::new(pair, "sealift").map_err(Error::internal)
}

fn ed25519() -> Result<KeypairData> {
    Ok(Ed25519Keypair::random(&mut Random).into())
}

fn ecdsa() -> Result<KeypairData> {
    let pair = EcdsaKeypair::random(&mut Random, EcdsaCurve::NistP256);
    Ok(pair.map_err(Error::internal)?.into())
}

/// By aws-lc, which finds the primes in a tenth of the time.
fn rsa(size: KeySize) -> Result<KeypairData> {
    let pair = KeyPair::generate(size).map_err(Error::internal)?;
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(Error::internal)?;
    let key = decode_pkcs8(der.as_ref(), None).map_err(Error::internal)?;
    Ok(key.key_data().clone())
}

fn refusal(path: &Path, why: &str, error: impl Into<Reason>) -> Error {
    let error = error.into();
    let shown = path.display();
    Error::invalid(format!(
        "sftp.host_keys: the host key {shown} {why} ({error})"
    ))
    .because(error)
}

/// Our random numbers, as the key makers want them.
struct Random;

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        Ok(u32::from_le_bytes(random::bytes()))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        Ok(u64::from_le_bytes(random::bytes()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Infallible> {
        random::fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Random {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_private_and_then_kept() {
        let folder = std::env::temp_dir().join(format!("sealift-keys-{}", random::below(u64::MAX)));
        let made = HostKeys::load_or_create(&folder, Algorithms::Strict).unwrap();
        let loaded = HostKeys::load_or_create(&folder, Algorithms::Strict).unwrap();
        assert_eq!(made.fingerprints(), loaded.fingerprints());
        let kinds: Vec<_> = made.fingerprints().into_iter().map(|key| key.0).collect();
        assert_eq!(kinds, ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]);
        let rsa = folder.join("ssh_host_rsa_key");
        assert_eq!(
            fs::metadata(&rsa).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(&rsa, "no key").unwrap();
        let error = HostKeys::load_or_create(&folder, Algorithms::Strict)
            .err()
            .unwrap();
        assert!(error.context().contains("ssh_host_rsa_key"), "{error}");
        assert_eq!(fs::read(&rsa).unwrap(), b"no key");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = std::env::temp_dir().join(format!("sealift-keys-{}", random::below(u64::MAX)));
        HostKeys::load_or_create(&folder, Algorithms::Strict).unwrap();
        let file = folder.join("ssh_host_ecdsa_key");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = HostKeys::load_or_create(&folder, Algorithms::Strict)
            .err()
            .unwrap();
        assert!(error.context().contains("chmod 600"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_short_rsa_key_is_refused() {
        let folder = std::env::temp_dir().join(format!("sealift-keys-{}", random::below(u64::MAX)));
        fs::create_dir_all(&folder).unwrap();
        let short = rsa(KeySize::Rsa2048).unwrap();
        let file = folder.join("ssh_host_rsa_key");
        store(&file, &private(short).unwrap()).unwrap();
        let error = HostKeys::load_or_create(&folder, Algorithms::Strict);
        let error = error.err().unwrap();
        assert!(error.context().contains("has 2048 bits"), "{error}");
        assert!(error.context().contains("compatible"), "{error}");
        HostKeys::load_or_create(&folder, Algorithms::Compatible).unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_successor_is_told_of_behind_the_keys_in_use_and_once() {
        let folder = std::env::temp_dir().join(format!("sealift-keys-{}", random::below(u64::MAX)));
        let made = HostKeys::load_or_create(&folder, Algorithms::Strict).unwrap();
        let next = successor(&folder, "ssh_host_ed25519_key");
        store(&next, &private(ed25519().unwrap()).unwrap()).unwrap();
        fs::copy(
            folder.join("ssh_host_rsa_key"),
            successor(&folder, "ssh_host_rsa_key"),
        )
        .unwrap();
        let loaded = HostKeys::load_or_create(&folder, Algorithms::Strict).unwrap();
        assert_eq!(made.fingerprints(), loaded.fingerprints());
        let [before, after] = [made, loaded].map(|keys| keys.into_keys(Algorithms::Strict));
        assert_eq!(before[..], after[..2]);
        assert_eq!(after.len(), 3);
        assert!(after[2].algorithm().is_ed25519());
        fs::remove_dir_all(&folder).unwrap();
    }
}
