//! The FTP front end: takes connections until it is told to drain, and waits for them.

use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::login::Accounts;
use crate::domain::clock::SystemClock;
use crate::ftp::reply::Reply;
use crate::ftp::session::{self, Accepted, Parts};
use crate::ftp::settings::{Ends, FtpSettings, PassiveSettings, Start};
use crate::net::limit::Places;
use crate::net::listen::{self, Admission, Connection};
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
    /// Where their data connections come in.
    pub passive: PassiveSettings,
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
        };
        let sessions = Places::new(self.settings.connections);
        let parts = Arc::new(Parts {
            proxies: admission.proxies.clone(),
            settings: Arc::new(self.settings),
            tls: self.tls,
            vfs: self.vfs,
            accounts: self.accounts,
            clock: Arc::new(SystemClock),
            drain: drain.clone(),
            end,
        });
        let tasks = TaskTracker::new();
        let mut accepting = JoinSet::new();
        for listening in listeners {
            let (parts, sessions) = (parts.clone(), sessions.clone());
            let (start, passive) = (listening.start, Arc::new(listening.passive));
            let serve = move |connection: Connection| {
                let (parts, sessions) = (parts.clone(), sessions.clone());
                let passive = passive.clone();
                async move { serve_one(parts, sessions, connection, start, passive).await }
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

async fn serve_one(
    parts: Arc<Parts>,
    sessions: Places,
    connection: Connection,
    start: Start,
    passive: Arc<PassiveSettings>,
) {
    let Connection {
        mut stream,
        peer,
        place,
    } = connection;
    let _session = match sessions.try_take(peer.ip()) {
        Ok(session) => session,
        Err(full) => {
            tracing::warn!(peer = %peer, limit = ?full, "a connection was refused: too many are open");
            if start == Start::Clear {
                // It fits the socket's buffer; who does not read it misses nothing.
                let busy = Reply::new(421, "too many connections; come back in a moment");
                let _ = stream.write_all(busy.text().as_bytes()).await;
            }
            return;
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
        start,
        passive,
        place,
    };
    Box::pin(session::serve(parts, accepted)).await;
}
