//! TLS for all front ends: one set of certificates and of ticket keys, and the tasks that follow them.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::crypto::keyring::KeyRing;
use crate::domain::error::{Error, Result};
use crate::net::certificates::Certificates;
use crate::net::tickets::TicketKeys;
use crate::net::tls_server::{ClientCertificates, TlsServer};
use crate::server::installation::Installation;
use crate::server::tickets::SharedTicketKeys;

/// What front ends need for TLS.
pub struct Tls {
    served: Option<(Certificates, TicketKeys)>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Tls {
    /// Reads the certificates of the settings; without any, there is no TLS.
    ///
    /// # Errors
    /// Invalid, naming the file and what to do; Unavailable when the database does not answer.
    pub async fn start(installation: &Installation, ring: &KeyRing) -> Result<Self> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let files = installation.settings.certificates.clone();
        let mut served = None;
        if !files.is_empty() {
            let db = installation.database();
            let clock = db.clock().clone();
            let now = clock.now();
            let certificates = tokio::task::spawn_blocking(move || Certificates::load(files, now))
                .await
                .map_err(Error::internal)??;
            let home = installation.region(&installation.settings.home).await?;
            let mut shared = SharedTicketKeys::new(db.clone(), ring.clone(), home);
            Box::pin(shared.try_look()).await;
            served = Some((certificates.clone(), shared.keys()));
            tasks.spawn(certificates.follow(clock, stop.clone()));
            tasks.spawn(shared.follow(stop.clone()));
        }
        Ok(Self {
            served,
            stop,
            tasks,
        })
    }

    /// TLS for a front end; none where no certificate is set up.
    pub fn server(&self, clients: ClientCertificates) -> Option<TlsServer> {
        let (certificates, keys) = self.served.as_ref()?;
        Some(TlsServer::new(certificates.clone(), keys.clone(), clients))
    }

    /// Ends what follows files and keys, and waits for it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
