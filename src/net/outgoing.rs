//! Connections that the server makes to others of the operator's choice: collectors, syslog, authorities.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
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

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How long it may take until there is a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection whose other end confirms nothing for so long is given up.
const UNCONFIRMED: Duration = Duration::from_secs(5);

/// What is waited for at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the whole of an answer may take, from connecting on.
    pub time: Duration,
    /// Most bytes of its body.
    pub bytes: usize,
}

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

    /// Sends a request by HTTP/1.1, over a connection of its own, and returns the whole answer.
    ///
    /// # Errors
    /// Unavailable when no whole answer comes within the limits.
    pub async fn ask(&self, request: Request<Bytes>, limits: Limits) -> Result<Response<Bytes>> {
        let unanswered = |cause| {
            let context = format!("{}:{} gave no answer", self.host, self.port);
            Error::new(ErrorKind::Unavailable, context).because(cause)
        };
        match timeout(limits.time, self.try_ask(request, limits.bytes)).await {
            Ok(answered) => answered.map_err(unanswered),
            Err(late) => Err(unanswered(late.into())),
        }
    }

    async fn try_ask(
        &self,
        request: Request<Bytes>,
        most: usize,
    ) -> std::result::Result<Response<Bytes>, Cause> {
        let stream = self.connect().await?;
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let (mut head, body) = request.into_parts();
        let host = head.uri.authority().map(|authority| authority.as_str());
        let host = HeaderValue::from_str(host.unwrap_or_default())?;
        head.headers.insert(HOST, host);
        // Only a proxy is told the whole address.
        let path = head.uri.path_and_query().cloned();
        head.uri = path.map_or_else(Default::default, Into::into);
        let exchange = async move {
            let answer = send.send_request(Request::from_parts(head, Full::new(body)));
            let (head, body) = answer.await?.into_parts();
            let body = Limited::new(body, most).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        let (mut exchange, mut connection) = (Box::pin(exchange), Box::pin(connection));
        tokio::select! {
            answer = &mut exchange => return answer,
            _ = &mut connection => {}
        }
        // What came before the other end hung up is an answer too. As long as the connection is held, it seems
        // that more might come.
        drop(connection);
        exchange.await
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What a server does when it has answered.
    enum Then {
        HangUp,
        Wait,
    }

    /// Asks a server that answers with `said`, and waits for so many milliseconds.
    async fn ask(said: &'static str, then: Then, wait: u64) -> Result<Response<Bytes>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            stream.write_all(said.as_bytes()).await.unwrap();
            if matches!(then, Then::HangUp) {
                drop(stream);
            }
            std::future::pending::<Result<Response<Bytes>>>().await
        };
        let limits = Limits {
            time: Duration::from_millis(wait),
            bytes: 4,
        };
        let request = Request::get(format!("http://{address}/x?y"));
        let request = request.body(Bytes::new()).unwrap();
        let to = Outgoing::new("127.0.0.1", address.port(), None);
        tokio::select! {
            answer = to.ask(request, limits) => answer,
            never = serving => never,
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_end() {
        for (said, then) in [
            (
                "HTTP/1.1 404 None\r\ncontent-length: 4\r\n\r\ngone",
                Then::Wait,
            ),
            ("HTTP/1.1 404 None\r\n\r\ngone", Then::HangUp),
        ] {
            let answer = ask(said, then, 60_000).await.unwrap();
            assert_eq!(answer.status(), 404);
            assert_eq!(answer.into_body(), "gone");
        }
    }

    #[tokio::test]
    async fn an_answer_that_does_not_end_or_is_too_long_is_given_up() {
        for said in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngo",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlarge",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nlarge\r\n",
            "nothing of the kind\r\n\r\n",
        ] {
            let error = ask(said, Then::Wait, 200).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{said}");
        }
    }
}
