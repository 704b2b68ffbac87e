//! The certificates of a server: files in PEM, chosen by the name that a client asks for, and read
//! again when they change.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use tokio_util::sync::CancellationToken;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::net::tls;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often, and how long before a certificate ends, the log speaks of it.
const REMIND: Duration = Duration::from_secs(24 * 60 * 60);
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFiles {
    /// The certificate first, then those that lead to its authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Certificates that follow their files. Clones are the same.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Pairs>);

#[derive(Debug)]
struct Pairs {
    current: RwLock<Arc<[Arc<Pair>]>>,
    /// What came from an authority meanwhile, by host.
    issued: RwLock<BTreeMap<String, Arc<Pair>>>,
    /// What serves clients where nothing else does.
    stand_in: Option<Arc<Pair>>,
    watched: Mutex<Vec<Watched>>,
}

/// One certificate as it was read.
#[derive(Debug)]
struct Pair {
    names: Vec<String>,
    begins: Timestamp,
    ends: Timestamp,
    certified: Arc<CertifiedKey>,
}

#[derive(Debug)]
struct Watched {
    files: PemFiles,
    /// What the files were when they were read, or when the log said that they cannot be.
    settled: Stamp,
    /// What could not be read at the last look: perhaps they are being written just now.
    doubtful: Option<Stamp>,
}

/// Changes with the files: device and inode, size, times of change, of each file that is there.
type Stamp = [Option<(u64, u64, u64, i64, i64, i64)>; 2];

impl Certificates {
    /// Reads all; the first serves clients that ask for no name, or for one that is not there.
    ///
    /// # Errors
    /// Invalid, naming the file and what to do.
    pub fn load(files: Vec<PemFiles>, now: Timestamp) -> Result<Self> {
        if files.is_empty() {
            return Err(Error::invalid("TLS needs a certificate; name one"));
        }
        let mut watched = Vec::with_capacity(files.len());
        let mut pairs = Vec::with_capacity(files.len());
        for files in files {
            let settled = stamp(&files);
            let pair = Pair::read(&files)?;
            pair.warn(&files, now);
            pairs.push(Arc::new(pair));
            watched.push(Watched {
                files,
                settled,
                doubtful: None,
            });
        }
        Ok(Self(Arc::new(Pairs {
            current: RwLock::new(pairs.into()),
            issued: RwLock::default(),
            stand_in: None,
            watched: Mutex::new(watched),
        })))
    }

    /// Checks that all can be read, and used.
    ///
    /// # Errors
    /// As [`Certificates::load`].
    pub fn check(files: &[PemFiles]) -> Result<()> {
        files
            .iter()
            .try_for_each(|files| Pair::read(files).map(drop))
    }

    /// None from files: a self-signed one for these names serves until others are issued.
    ///
    /// # Errors
    /// Invalid when a name is none.
    pub fn awaiting(names: &[String], now: Timestamp) -> Result<Self> {
        let pem = tls::self_signed_pem(names, now)?;
        let pair = Pair::of_pem(pem.as_bytes(), "the self-signed certificate")?;
        Ok(Self(Arc::new(Pairs {
            current: RwLock::new(Arc::new([])),
            issued: RwLock::default(),
            stand_in: Some(Arc::new(pair)),
            watched: Mutex::default(),
        })))
    }

    /// Serves a certificate that was issued for a host, chain and key in PEM, in place of the one before; tells
    /// when it ends.
    ///
    /// # Errors
    /// Invalid when it cannot be used.
    pub fn put_issued(&self, host: &str, pem: &[u8]) -> Result<Timestamp> {
        let pair = Pair::of_pem(pem, host)?;
        let ends = pair.ends;
        let mut issued = self
            .0
            .issued
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        issued.insert(host.to_owned(), Arc::new(pair));
        Ok(ends)
    }

    /// Until when those that clients are shown are valid, each by its first name; of several of a name, the first to
    /// end.
    pub fn ends(&self) -> BTreeMap<String, Timestamp> {
        let pairs = &self.0;
        let current = pairs.current.read();
        let current = current.unwrap_or_else(PoisonError::into_inner);
        let issued = pairs.issued.read();
        let issued = issued.unwrap_or_else(PoisonError::into_inner);
        let mut all = BTreeMap::new();
        for pair in current.iter().chain(issued.values()) {
            let name = pair.names.first().cloned().unwrap_or_default();
            let ends = all.entry(name).or_insert(pair.ends);
            *ends = pair.ends.min(*ends);
        }
        all
    }

    /// When a certificate, in PEM, is to be renewed: when two thirds of its life are over.
    ///
    /// # Errors
    /// Invalid when there is none.
    pub fn renewal(pem: &[u8]) -> Result<Timestamp> {
        let pair = Pair::of_pem(pem, "the certificate")?;
        let life = pair.ends.since(pair.begins);
        Ok(pair.begins.plus(life * 2 / 3))
    }

    /// Looks at the files every few seconds until `stop`: what changed is read again, and what
    /// cannot be read leaves the old certificate in its place.
    pub async fn follow(self, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut reminded = clock.now();
        let rounds = async {
            loop {
                tokio::time::sleep(LOOK).await;
                let (certificates, now) = (self.clone(), clock.now());
                let remind = now.since(reminded) >= REMIND;
                if remind {
                    reminded = now;
                }
                let looked = tokio::task::spawn_blocking(move || {
                    certificates.look(now);
                    if remind {
                        certificates.remind(now);
                    }
                });
                if let Err(error) = looked.await {
                    tracing::error!(%error, "the files of certificates cannot be watched");
                }
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Reads again what changed since it was last read; blocks.
    pub fn look(&self, now: Timestamp) {
        let mut all = self.0.watched();
        for (index, watched) in all.iter_mut().enumerate() {
            let seen = stamp(&watched.files);
            if seen == watched.settled {
                watched.doubtful = None;
                continue;
            }
            match Pair::read(&watched.files) {
                Ok(pair) => {
                    pair.warn(&watched.files, now);
                    let chain = watched.files.chain.display();
                    tracing::info!(certificate = %chain, names = ?pair.names, "certificate read again");
                    self.0.put(index, pair);
                }
                // A certificate and its key are two files, and one is written before the other.
                Err(_) if watched.doubtful != Some(seen) => {
                    watched.doubtful = Some(seen);
                    continue;
                }
                Err(error) => {
                    tracing::error!(?error, "keeping the certificate that was read before");
                }
            }
            watched.settled = seen;
            watched.doubtful = None;
        }
    }

    fn remind(&self, now: Timestamp) {
        let watched = self.0.watched();
        for (watched, pair) in watched.iter().zip(self.0.current().iter()) {
            pair.warn(&watched.files, now);
        }
    }
}

impl Pairs {
    fn watched(&self) -> std::sync::MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Arc<[Arc<Pair>]> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// In the order in which they are looked through.
    fn all(&self) -> Vec<Arc<Pair>> {
        let mut all = self.current().to_vec();
        let issued = self.issued.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(issued.values().cloned());
        all.extend(self.stand_in.clone());
        all
    }

    fn put(&self, index: usize, pair: Pair) {
        let mut pairs = self.current().to_vec();
        if let Some(place) = pairs.get_mut(index) {
            *place = Arc::new(pair);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pairs.into();
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pairs = self.0.all();
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let schemes = hello.signature_schemes();
        let usable = |pair: &&Arc<Pair>| pair.certified.key.choose_scheme(schemes).is_some();
        let named = name.as_deref().and_then(|name| {
            let exact = pairs.iter().filter(|pair| pair.is_for(name));
            let wild = pairs.iter().filter(|pair| pair.covers(name));
            // Of an RSA and an ECDSA certificate for one name, the first that the client knows.
            exact.chain(wild).find(usable)
        });
        let chosen = named
            .or_else(|| pairs.iter().find(usable))
            .or(pairs.first());
        chosen.map(|pair| pair.certified.clone())
    }
}

impl Pair {
    fn read(files: &PemFiles) -> Result<Self> {
        let chain = chain_of(&read(&files.chain)?, &files.chain.display())?;
        let key = zeroize::Zeroizing::new(read(&files.key)?);
        let key = key_of(&key, &files.key.display())?;
        Self::of(chain, key, (&files.chain.display(), &files.key.display()))
    }

    /// Chain and key in one.
    fn of_pem(pem: &[u8], shown: &str) -> Result<Self> {
        Self::of(
            chain_of(pem, &shown)?,
            key_of(pem, &shown)?,
            (&shown, &shown),
        )
    }

    fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        (shown_chain, shown_key): (&dyn Display, &dyn Display),
    ) -> Result<Self> {
        let no_certificate = || {
            Error::invalid(format!(
                "'{shown_chain}' holds no certificate that can be read; put one in PEM there"
            ))
        };
        let leaf = chain.first().ok_or_else(no_certificate)?;
        let (_, parsed) = X509Certificate::from_der(leaf)
            .map_err(|error| no_certificate().because(error.to_string()))?;
        let names = names(&parsed);
        let begins = Timestamp::from_seconds(parsed.validity().not_before.timestamp());
        let ends = Timestamp::from_seconds(parsed.validity().not_after.timestamp());
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| match error {
            TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error::invalid(format!(
                "the key '{shown_key}' is not the one of the certificate '{shown_chain}'; \
                 put the two that belong together there"
            )),
            TlsError::General(_) => Error::invalid(format!(
                "'{shown_key}' is a key of an unknown kind; use an RSA key of 2048 to 8192 bits, \
                 or ECDSA P-256, P-384 or P-521, or Ed25519"
            ))
            .because(error),
            error => no_certificate().because(error),
        })?;
        Ok(Self {
            names,
            begins,
            ends,
            certified: Arc::new(certified),
        })
    }

    fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// A wildcard stands for one label, the first (RFC 6125, section 6.4.3).
    fn covers(&self, name: &str) -> bool {
        let Some((first, rest)) = name.split_once('.') else {
            return false;
        };
        let wild = |own: &String| own.strip_prefix("*.").is_some_and(|own| own == rest);
        !first.is_empty() && self.names.iter().any(wild)
    }

    fn warn(&self, files: &PemFiles, now: Timestamp) {
        let chain = files.chain.display();
        if self.ends <= now {
            tracing::warn!(certificate = %chain, ended = %self.ends, "a certificate has expired; renew it");
        } else if self.ends <= now.plus(SOON) {
            tracing::warn!(certificate = %chain, ends = %self.ends, "a certificate expires soon; renew it");
        }
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    names.collect()
}

fn chain_of(pem: &[u8], shown: &dyn Display) -> Result<Vec<CertificateDer<'static>>> {
    let chain: std::result::Result<Vec<_>, pem::Error> =
        CertificateDer::pem_slice_iter(pem).collect();
    chain.map_err(|error| {
        let sentence = format!("'{shown}' is not PEM throughout; put the certificate there again");
        Error::invalid(sentence).because(error)
    })
}

fn key_of(pem: &[u8], shown: &dyn Display) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let encrypted = String::from_utf8_lossy(pem).contains("ENCRYPTED");
        let sentence = match encrypted {
            true => format!("the key '{shown}' is encrypted; put it there without a passphrase"),
            false => format!("'{shown}' holds no private key; put one in PEM there"),
        };
        Error::invalid(sentence).because(error)
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let sentence = format!(
            "'{}' cannot be read: {error}; check tls.certificates",
            path.display()
        );
        Error::new(ErrorKind::Invalid, sentence).because(error)
    })
}

fn stamp(files: &PemFiles) -> Stamp {
    [&files.chain, &files.key].map(|path| {
        let about = fs::metadata(path).ok()?;
        Some((
            about.dev(),
            about.ino(),
            about.size(),
            about.mtime(),
            about.mtime_nsec(),
            about.ctime_nsec().wrapping_add(about.ctime()),
        ))
    })
}
