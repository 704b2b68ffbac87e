//! The FTP front end: takes connections until it is told to drain, and waits for them.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::login::Accounts;
use crate::ftp::reply::Reply;
use crate::ftp::session::{self, Accepted, FAREWELL, Parts};
use crate::ftp::settings::{Ends, FtpSettings, PassiveSettings, Policy, Start};
use crate::net::limit::Places;
use crate::net::listen::{self, Admission, Connection, Introduction};
use crate::net::tickets::Mark;
use crate::net::tls_server::TlsServer;
use crate::vfs::service::Vfs;

/// The FTP front end.
pub struct FtpServer {
    settings: FtpSettings,
    tls: TlsServer,
    vfs: Vfs,
    accounts: Accounts,
}

/// A port.
pub struct Listening {
    /// Where connections come in.
    pub listener: TcpListener,
    /// How they begin.
    pub start: Start,
    /// What must be encrypted.
    pub policy: Policy,
    /// Where their data connections come in.
    pub passive: PassiveSettings,
}

/// What holds for all connections of a port.
#[derive(Clone)]
struct Port {
    start: Start,
    policy: Policy,
    passive: Arc<PassiveSettings>,
}

impl FtpServer {
    /// Puts the parts together; nothing runs yet.
    pub fn new(settings: FtpSettings, tls: TlsServer, vfs: Vfs, accounts: Accounts) -> Self {
        Self {
            settings,
            tls,
            vfs,
            accounts,
        }
    }

    /// Serves `listeners`; strangers take `places`.
    ///
    /// When `drain` is cancelled, no new connections are taken, and sessions are ended as soon as no
    /// transfer is under way; when `end` is cancelled too, the rest is ended. Clients read 421. Returns
    /// when all connections have ended and all their tasks with them.
    pub async fn serve(
        self,
        listeners: Vec<Listening>,
        places: Places,
        drain: CancellationToken,
        end: CancellationToken,
    ) {
        let admission = Admission {
            places,
            proxies: self.settings.proxies.clone().into(),
            introduction: Introduction::Demanded,
        };
        let sessions = Places::new(self.settings.connections);
        let parts = Arc::new(Parts {
            proxies: admission.proxies.clone(),
            settings: Arc::new(self.settings),
            tls: self.tls,
            clock: self.vfs.database().clock().clone(),
            vfs: self.vfs,
            accounts: self.accounts,
            drain: drain.clone(),
            end,
        });
        let tasks = TaskTracker::new();
        let mut accepting = JoinSet::new();
        for listening in listeners {
            let (parts, sessions) = (parts.clone(), sessions.clone());
            let port = Port {
                start: listening.start,
                policy: listening.policy,
                passive: Arc::new(listening.passive),
            };
            let serve = move |connection: Connection| {
                let (parts, sessions) = (parts.clone(), sessions.clone());
                let port = port.clone();
                async move { serve_one(parts, sessions, connection, port).await }
            };
            accepting.spawn(listen::accept(
                listening.listener,
                admission.clone(),
                tasks.clone(),
                drain.clone(),
                serve,
            ));
        }
        accepting.join_all().await;
        tasks.close();
        tasks.wait().await;
    }
}

async fn serve_one(parts: Arc<Parts>, sessions: Places, connection: Connection, port: Port) {
    let Connection {
        stream,
        peer,
        place,
    } = connection;
    let _session = match sessions.try_take(peer.ip()) {
        Ok(session) => session,
        Err(full) => {
            tracing::warn!(peer = %peer, limit = ?full, "a connection was refused: too many are open");
            // It holds its place among strangers: they are few, and so are handshakes that come of this.
            return Box::pin(send_away(&parts, stream, port.start)).await;
        }
    };
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let ends = Ends {
        peer: peer.ip().to_canonical(),
        local,
    };
    let accepted = Accepted {
        stream,
        ends,
        start: port.start,
        policy: port.policy,
        passive: port.passive,
        place,
    };
    Box::pin(session::serve(parts, accepted)).await;
}

/// Says that there is no room; on a port for TLS behind the handshake, before which nobody would
/// understand it.
async fn send_away(parts: &Parts, mut stream: TcpStream, start: Start) {
    let busy = Reply::new(421, "too many connections; come back in a moment").text();
    let saying = async {
        match start {
            // It fits the socket's buffer; who does not read it misses nothing.
            Start::Clear => stream.write_all(busy.as_bytes()).await,
            Start::Tls => {
                let mut stream = parts
                    .tls
                    .accept_writer(stream, Mark::random())
                    .await?
                    .stream;
                let telling = async {
                    stream.write_all(busy.as_bytes()).await?;
                    stream.shutdown().await?;
                    // Closing before all is read would reset the connection, and the words with it.
                    let mut rest = [0; 64];
                    while stream.read(&mut rest).await? > 0 {}
                    Ok(())
                };
                timeout(FAREWELL, telling).await?
            }
        }
    };
    tokio::select! {
        () = parts.end.cancelled() => {}
        said = saying => if let Err(error) = said {
            tracing::debug!(error = %error, "somebody who was sent away was not told why");
        }
    }
}
