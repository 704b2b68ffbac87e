//! Connections that the server makes to others of the operator's: collectors, syslog.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::net::certificates::PemFiles;

/// How long it may take until there is a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection whose other end confirms nothing for so long is given up.
const UNCONFIRMED: Duration = Duration::from_secs(5);

/// A connection to somebody.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a server is, and how it is known. Cheap to clone.
#[derive(Clone)]
pub struct Outgoing {
    host: Arc<str>,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Outgoing {
    /// A server that speaks TLS, or one that does not.
    pub fn new(host: &str, port: u16, tls: Option<Arc<ClientConfig>>) -> Self {
        Self {
            host: host.into(),
            port,
            tls,
        }
    }

    /// Connects, and shakes hands.
    ///
    /// # Errors
    /// Unavailable when there is no server, or it is not who it should be.
    pub async fn connect(&self) -> Result<Box<dyn Stream>> {
        match timeout(PATIENCE, self.try_connect()).await {
            Ok(connected) => connected.map_err(|error| self.unreachable().because(error)),
            Err(_) => Err(self.unreachable().because("it did not answer in time")),
        }
    }

    async fn try_connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(UNCONFIRMED))?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        let secured = TlsConnector::from(tls.clone()).connect(name, stream);
        Ok(Box::new(secured.await?))
    }

    fn unreachable(&self) -> Error {
        let context = format!("{}:{} cannot be reached", self.host, self.port);
        Error::new(ErrorKind::Unavailable, context)
    }
}

/// By which authorities servers are known.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Those of a file (PEM), and those of the system.
    Also(&'a Path),
    /// Those of a file only.
    Only(&'a Path),
    /// Those of the system.
    System,
}

impl<'a> Trust<'a> {
    /// Those of a file instead of the system's, if there is one.
    pub fn instead(file: Option<&'a Path>) -> Self {
        file.map_or(Self::System, Self::Only)
    }
}

/// How servers are known, and what is shown to those that ask who calls. `setting` names whose files these are.
///
/// # Errors
/// Invalid when a file cannot be read or holds nothing of use, with what to do.
pub fn client_tls(
    trust: Trust<'_>,
    setting: &str,
    own: Option<&PemFiles>,
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    if !matches!(trust, Trust::Only(_)) {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
    }
    if let Trust::Also(file) | Trust::Only(file) = trust {
        for certificate in certificates(file)? {
            let added = roots.add(certificate);
            added.map_err(|error| unusable(file).because(error))?;
        }
    }
    if roots.is_empty() {
        return Err(match trust {
            Trust::Also(file) | Trust::Only(file) => unusable(file),
            Trust::System => Error::invalid(format!(
                "this machine trusts no certificates; install the package ca-certificates, or set {setting}"
            )),
        });
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(files) => {
            let key = PrivateKeyDer::from_pem_file(&files.key);
            let key = key.map_err(|error| unusable(&files.key).because(error))?;
            let chain = certificates(&files.chain)?;
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(|error| unusable(&files.key).because(error))?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(file);
    let all = all.map_err(|error| unusable(file).because(error))?;
    let all: std::result::Result<Vec<_>, _> = all.collect();
    all.map_err(|error| unusable(file).because(error))
}

fn unusable(file: &Path) -> Error {
    Error::invalid(format!(
        "'{}' cannot be read, or holds no certificate or key in PEM",
        file.display()
    ))
}
