//! TLS 1.2 and 1.3 for the connections of a server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, HandshakeKind, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::net::certificates::Certificates;
use crate::net::tickets::{ConnectionTickets, Mark, TicketKeys};

/// How long a client may take until it is known to speak TLS.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// TLS 1.3 tickets after each handshake: some clients use each only once, and a resumed connection
/// brings new ones.
const TICKETS: usize = 2;
/// As many as a client may ask for instead (RFC 9149).
const MOST_TICKETS: usize = 8;
/// What a connection holds of what it could not send yet.
const BUFFER_BYTES: usize = 64 * 1024;
/// The longest chain of a client: it is kept as long as the connection.
const LONGEST_CHAIN: usize = 16 * 1024;

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Asked for; a client that has none goes on without.
    Ask,
    /// Not asked for: browsers would trouble their users.
    Ignore,
}

/// TLS for a server's connections. Cheap to clone.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    tickets: TicketKeys,
}

/// A connection after its handshake.
pub struct Secured<S> {
    /// The connection.
    pub stream: TlsStream<S>,
    /// The name that the client asked for (SNI), in lower case.
    pub server_name: Option<String>,
    /// The mark of the session that was resumed, if one was.
    pub resumed: Option<Mark>,
    /// The client's certificates in DER, its own first: it has the key of that one, and nothing
    /// else about them is verified. Of a resumed session, those of its first handshake.
    pub certificates: Vec<Vec<u8>>,
}

/// Which tickets a TLS 1.3 client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tickets {
    None,
    Some,
}

impl TlsServer {
    /// Serves by these certificates, and resumes sessions by tickets of these keys.
    pub fn new(
        certificates: Certificates,
        tickets: TicketKeys,
        clients: ClientCertificates,
    ) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier: Arc<dyn ClientCertVerifier> = match clients {
            ClientCertificates::Ask => Arc::new(Possession(algorithms)),
            ClientCertificates::Ignore => Arc::new(NoClientAuth),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("the provider has suites for both versions")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(certificates));
        // The best suite that both know, whatever order the client has.
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        config.send_tls13_tickets = TICKETS;
        config.max_tls13_tickets = MOST_TICKETS;
        Self {
            config: Arc::new(config),
            tickets,
        }
    }

    /// The same, which also agrees with the client on what is spoken above TLS (RFC 7301): the first
    /// of `protocols` that it knows.
    #[must_use]
    pub fn speaking(mut self, protocols: &[&[u8]]) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        self.config = Arc::new(config);
        self
    }

    /// Shakes hands. Sessions that are resumed from this connection will bring its `mark`.
    ///
    /// # Errors
    /// TimedOut after [`HANDSHAKE`]; InvalidData or another one when the client does not speak TLS 1.2
    /// or 1.3 with us, or went away.
    pub async fn accept<S>(&self, stream: S, mark: Mark) -> io::Result<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.shake(stream, mark, Tickets::Some).await
    }

    /// As [`TlsServer::accept`], for a connection whose client may only write and then close: it
    /// gets no TLS 1.3 tickets. Closing a socket with bytes that were not read resets it, and what
    /// the client sent last would be lost.
    ///
    /// # Errors
    /// As [`TlsServer::accept`].
    pub async fn accept_writer<S>(&self, stream: S, mark: Mark) -> io::Result<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.shake(stream, mark, Tickets::None).await
    }

    async fn shake<S>(&self, stream: S, mark: Mark, which: Tickets) -> io::Result<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // rustls tells no mark of a session of TLS 1.2, so that each connection has a ticketer of
        // its own; the rest of the configuration is shared, and let go after the handshake.
        let tickets = Arc::new(ConnectionTickets::new(self.tickets.clone(), mark));
        let mut config = ServerConfig::clone(&self.config);
        config.ticketer = tickets.clone();
        if which == Tickets::None {
            config.send_tls13_tickets = 0;
            config.max_tls13_tickets = 0;
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shaken = acceptor.accept_with(stream, |connection| {
            connection.set_buffer_limit(Some(BUFFER_BYTES));
        });
        let stream = tokio::time::timeout(HANDSHAKE, shaken)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time"))??;
        let (_, connection) = stream.get_ref();
        let server_name = connection.server_name().map(str::to_ascii_lowercase);
        let resumed = match connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => tickets.opened(),
            _ => None,
        };
        let certificates = connection.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|der| der.to_vec()).collect();
        Ok(Secured {
            stream,
            server_name,
            resumed,
            certificates,
        })
    }
}

/// Takes any certificate whose key the client has. Which authorities count depends on the tenant,
/// and that is known later.
#[derive(Debug)]
struct Possession(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let above: usize = intermediates.iter().map(|der| der.len()).sum();
        match end_entity.len().saturating_add(above) > LONGEST_CHAIN {
            true => Err(CertificateError::ApplicationVerificationFailure.into()),
            false => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
