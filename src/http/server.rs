//! The HTTPS front end: takes connections until it is told to drain, and waits for them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;
use tracing::Instrument as _;

use crate::accounts::login::Accounts;
use crate::accounts::manage::Directory;
use crate::domain::spans;
use crate::http::admin::regions::Regions;
use crate::http::ahead::Ahead;
use crate::http::peer::Peer;
use crate::http::portions::Portions;
use crate::http::settings::HttpSettings;
use crate::http::stall::Stalling;
use crate::http::standing::Standing;
use crate::http::taken::{Streams, Watched};
use crate::http::web::Web;
use crate::http::{clear, metrics, router};
use crate::net::budget::Budget;
use crate::net::challenges::Challenges;
use crate::net::limit::Places;
use crate::net::listen::{self, Admission, Connection, Introduction};
use crate::net::network::Network;
use crate::net::read_ahead::ReadAhead;
use crate::net::readiness::Readiness;
use crate::net::tickets::Mark;
use crate::net::tls_server::TlsServer;
use crate::telemetry::parent;
use crate::vfs::service::Vfs;

/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// Longest list of headers that HTTP/2 takes, in bytes.
const HEADER_LIST_BYTES: u32 = 16 * 1024;
/// Requests that one HTTP/2 connection may have under way.
const STREAMS: u32 = 128;
/// What one HTTP/2 stream, and all of a connection together, may send ahead, in bytes: so much that one
/// upload fills a long line. (Of strangers far less is read ahead; see `standing`.)
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 12 << 20;
/// What a response may have waiting in HTTP/2, in bytes.
const SEND_BYTES: usize = 256 * 1024;
/// How often HTTP/2 asks a silent client whether it is there, and how long it may take to answer.
const ASK: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(20);

/// What a port offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Without TLS: redirects and health.
    Clear,
    /// What operators do, and nothing that accounts may.
    Operators,
    /// What is counted, for who is on this machine.
    Metrics,
    /// All that accounts may do.
    Public,
}

impl Offer {
    /// Whether connections begin with TLS.
    pub fn speaks_tls(self) -> bool {
        match self {
            Self::Clear | Self::Metrics => false,
            Self::Operators | Self::Public => true,
        }
    }
}

/// A port.
pub struct Listening {
    /// Where connections come in.
    pub listener: TcpListener,
    /// What is behind it.
    pub offer: Offer,
}

/// The HTTPS front end.
pub struct HttpServer {
    tls: Option<TlsServer>,
    web: Web,
    challenges: Option<Challenges>,
}

impl HttpServer {
    /// Puts the parts together; nothing runs yet. Without `tls`, ports that speak it close what comes.
    pub fn new(
        settings: HttpSettings,
        tls: Option<TlsServer>,
        vfs: Vfs,
        accounts: Accounts,
        directory: Directory,
        readiness: Readiness,
        regions: Regions,
    ) -> Self {
        let clock = vfs.database().clock().clone();
        Self {
            tls: tls.map(|tls| tls.speaking(&[b"h2", b"http/1.1"])),
            web: Web::new(
                settings, vfs, accounts, directory, clock, readiness, regions,
            ),
            challenges: None,
        }
    }

    /// The same, which also proves to authorities that its hosts are its own.
    #[must_use]
    pub fn proving(self, challenges: Challenges) -> Self {
        Self {
            challenges: Some(challenges),
            ..self
        }
    }

    /// Serves `listeners`; strangers take `places` until they have shaken hands.
    ///
    /// When `drain` is cancelled, no new connections are taken, and each one ends with the request that
    /// is under way; when `end` is cancelled too, the rest is ended. Returns when all connections have
    /// ended and all their tasks with them.
    pub async fn serve(
        self,
        listeners: Vec<Listening>,
        places: Places,
        drain: CancellationToken,
        end: CancellationToken,
    ) {
        let settings = self.web.settings();
        let proxies: Arc<[Network]> = settings.proxies.clone().into();
        // Where nobody logs in, however many come at once keep nobody from logging in elsewhere.
        let without_login = Places::new(settings.connections);
        // Operators and Prometheus do not come through balancers; balancers ask for health without a header.
        let admission = |offer: Offer| Admission {
            places: match offer.speaks_tls() {
                true => places.clone(),
                false => without_login.clone(),
            },
            proxies: match offer {
                Offer::Clear | Offer::Public => proxies.clone(),
                Offer::Metrics | Offer::Operators => [].into(),
            },
            introduction: match offer {
                Offer::Clear => Introduction::Optional,
                Offer::Metrics | Offer::Operators | Offer::Public => Introduction::Demanded,
            },
        };
        let public = listeners.iter().find(|port| port.offer == Offer::Public);
        let public = public.and_then(|port| port.listener.local_addr().ok());
        let port = clear::https_port(settings.public_port, public);
        let parts = Arc::new(Parts {
            tls: self.tls,
            budget: self.web.vfs().budget().clone(),
            clear: clear::routes(self.web.clone(), port, self.challenges),
            metrics: metrics::routes().with_state(self.web.clone()),
            public: router::public(self.web.clone()),
            operators: router::operators(self.web.clone()),
            connections: Places::new(settings.connections),
            operators_connections: Places::new(settings.connections),
            protocol: protocol(settings),
            forwarders: settings.forwarders.clone(),
            stall: settings.stall_time,
            head: settings.head_time,
            drain: drain.clone(),
            end,
        });
        let (over, mut following) = (CancellationToken::new(), JoinSet::new());
        let (web, stop) = (self.web.clone(), over.clone());
        following.spawn(async move { web.basic().follow(stop).await });
        let (web, stop) = (self.web.clone(), over.clone());
        following.spawn(async move { web.visits().follow(stop).await });
        let (web, stop) = (self.web.clone(), over.clone());
        following.spawn(async move { web.guests().follow(stop).await });
        let (web, stop) = (self.web.clone(), over.clone());
        following.spawn(async move { web.guests().write_down(stop).await });
        let tasks = TaskTracker::new();
        let mut accepting = JoinSet::new();
        for Listening { listener, offer } in listeners {
            let parts = parts.clone();
            let serve = move |connection: Connection| {
                let parts = parts.clone();
                async move { Box::pin(parts.serve(connection, offer)).await }
            };
            let (admission, tasks, drain) = (admission(offer), tasks.clone(), drain.clone());
            accepting.spawn(listen::accept(listener, admission, tasks, drain, serve));
        }
        accepting.join_all().await;
        tasks.close();
        tasks.wait().await;
        self.web.tasks().close();
        self.web.tasks().wait().await;
        over.cancel();
        following.join_all().await;
    }
}

struct Parts {
    tls: Option<TlsServer>,
    budget: Budget,
    clear: Router,
    metrics: Router,
    public: Router,
    operators: Router,
    connections: Places,
    /// Of operators: however many others come, there is a way in.
    operators_connections: Places,
    protocol: auto::Builder<Streams>,
    forwarders: Vec<Network>,
    stall: Duration,
    head: Duration,
    drain: CancellationToken,
    end: CancellationToken,
}

impl Parts {
    async fn serve(&self, connection: Connection, offer: Offer) {
        let Connection {
            stream,
            peer,
            place,
        } = connection;
        let places = match offer {
            Offer::Clear | Offer::Public => &self.connections,
            Offer::Metrics | Offer::Operators => &self.operators_connections,
        };
        let _connection = match places.try_take(peer.ip()) {
            Ok(connection) => connection,
            Err(full) => {
                tracing::warn!(peer = %peer, limit = ?full, "a connection was refused: too many are open");
                return;
            }
        };
        let address = peer.ip().to_canonical();
        let router = match offer {
            Offer::Clear => &self.clear,
            Offer::Metrics => &self.metrics,
            Offer::Operators => &self.operators,
            Offer::Public => &self.public,
        };
        if !offer.speaks_tls() {
            drop(place);
            let peer = Peer {
                address,
                server_name: None,
            };
            return self.talk(stream, peer, router).await;
        }
        let Some(tls) = &self.tls else {
            return;
        };
        let stream = ReadAhead::new(stream, self.budget.clone());
        let shaken = self
            .end
            .run_until_cancelled(tls.accept(stream, Mark::random()));
        let secured = match shaken.await {
            Some(Ok(secured)) => secured,
            Some(Err(error)) => {
                tracing::debug!(peer = %peer, error = %error, "no TLS");
                return;
            }
            None => return,
        };
        drop(place);
        let peer = Peer {
            address,
            server_name: secured.server_name.map(Into::into),
        };
        self.talk(secured.stream, peer, router).await;
    }

    /// Answers requests until the client leaves or is to.
    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        router: &Router,
    ) {
        let address = peer.address;
        // Strangers do not say what is traced.
        let is_trusted = self.forwarders.iter().any(|own| own.contains(address));
        let standing = Standing::fresh();
        let own = standing.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let under_way = own.begin();
            let head = own.head(request.uri(), request.headers());
            request.extensions_mut().insert(peer.clone());
            request.extensions_mut().insert(own.clone());
            let span = spans::request(request.method().as_str(), peer.address);
            if is_trusted {
                parent::adopt(&span, request.headers());
            }
            let request = request.map(|body| Body::new(own.body(body)));
            let answering = router.clone().call(request);
            async move {
                let answer: Result<Response<Body>, std::convert::Infallible> =
                    answering.instrument(span.clone()).await;
                if let Ok(told) = &answer {
                    span.record("http.response.status_code", told.status().as_u16());
                }
                drop(head);
                answer.map(|told| told.map(|body| Watched::new(body, under_way)))
            }
        });
        let mut connection = pin!(self.protocol.serve_connection(
            TokioIo::new(Ahead::new(
                Portions::new(Stalling::new(stream, self.stall, self.head)),
                standing.clone()
            )),
            service
        ));
        let ended = tokio::select! {
            ended = standing.follow(connection.as_mut()) => Some(ended),
            () = self.drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                self.end.run_until_cancelled(standing.follow(connection)).await
            }
            () = standing.idle(self.head) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = standing.follow(connection) => Some(ended),
                    // Whoever does not answer loses nothing.
                    () = standing.idle(self.head + ANSWER) => None,
                    () = self.end.cancelled() => None,
                }
            }
        };
        if let Some(Err(error)) = ended {
            tracing::debug!(peer = %address, error = %error, "a connection broke off");
        }
    }
}

/// How HTTP/1.1 and HTTP/2 are spoken.
fn protocol(settings: &HttpSettings) -> auto::Builder<Streams> {
    let mut protocol = auto::Builder::new(Streams::new(settings.stall_time));
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_time)
        .max_buf_size(HEAD_BYTES);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(ASK)
        .keep_alive_timeout(ANSWER);
    protocol
}
