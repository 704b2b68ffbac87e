//! The SFTP front end: takes connections until it is told to drain, and waits for them.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::login::Accounts;
use crate::net::budget::Budget;
use crate::net::limit::Places;
use crate::net::listen::{self, Admission, Connection, Introduction};
use crate::sftp::connection::{self, Parts};
use crate::sftp::host_keys::HostKeys;
use crate::sftp::refusal::Refusals;
use crate::sftp::settings::{SftpSettings, ssh_config};
use crate::vfs::service::Vfs;

/// The SFTP front end.
pub struct SftpServer {
    settings: SftpSettings,
    host_keys: HostKeys,
    vfs: Vfs,
    accounts: Accounts,
    budget: Budget,
}

impl SftpServer {
    /// Puts the parts together; nothing runs yet.
    pub fn new(
        settings: SftpSettings,
        host_keys: HostKeys,
        vfs: Vfs,
        accounts: Accounts,
        budget: Budget,
    ) -> Self {
        Self {
            settings,
            host_keys,
            vfs,
            accounts,
            budget,
        }
    }

    /// Serves `listeners`; strangers take `places`.
    ///
    /// When `drain` is cancelled, no new connections are taken, and sessions are ended as soon as
    /// they have no file open and no request under way; when `end` is cancelled too, the rest is
    /// ended. Both are told to clients by SSH. Returns when all connections have ended and all
    /// their tasks with them.
    pub async fn serve(
        self,
        listeners: Vec<TcpListener>,
        places: Places,
        drain: CancellationToken,
        end: CancellationToken,
    ) {
        let admission = Admission {
            places,
            proxies: self.settings.proxies.clone().into(),
            introduction: Introduction::Demanded,
        };
        let sessions = Arc::new(Semaphore::new(self.settings.sessions));
        let refusals = Arc::new(Refusals::default());
        let parts = Arc::new(Parts {
            ssh: Arc::new(ssh_config(&self.settings, self.host_keys)),
            settings: Arc::new(self.settings),
            clock: self.vfs.database().clock().clone(),
            vfs: self.vfs,
            accounts: self.accounts,
            budget: self.budget,
            drain: drain.clone(),
            end,
        });
        let tasks = TaskTracker::new();
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let (parts, sessions, refusals) = (parts.clone(), sessions.clone(), refusals.clone());
            let serve = move |connection: Connection| {
                serve_one(
                    parts.clone(),
                    sessions.clone(),
                    refusals.clone(),
                    connection,
                )
            };
            accepting.spawn(listen::accept(
                listener,
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
    sessions: Arc<Semaphore>,
    refusals: Arc<Refusals>,
    connection: Connection,
) {
    let Connection {
        stream,
        peer,
        place,
    } = connection;
    match sessions.try_acquire() {
        Ok(_session) => connection::serve(parts, stream, peer, Some(place)).await,
        // In its place among strangers, so that they are not too many.
        Err(_) => refusals.refuse(stream, peer).await,
    }
}
