//! TLS for all front ends: one set of certificates and of ticket keys, and the tasks that follow them.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::settings::Settings;
use crate::crypto::keyring::KeyRing;
use crate::domain::error::{Error, Result};
use crate::domain::id::InstanceId;
use crate::net::certificates::Certificates;
use crate::net::tickets::TicketKeys;
use crate::net::tls_server::{ClientCertificates, TlsServer};
use crate::server::acme::AcmeKeeper;
use crate::server::installation::Installation;
use crate::server::tickets::SharedTicketKeys;

/// What front ends need for TLS.
pub struct Tls {
    served: Option<(Certificates, TicketKeys)>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// Checks that certificates are there where something listens that needs one, and that those in files can be used;
/// blocks.
///
/// # Errors
/// Invalid, naming the setting and what to do.
pub fn check(settings: &Settings) -> Result<()> {
    if !settings.certificates.is_empty() {
        let checked = Certificates::check(&settings.certificates);
        return checked.map_err(|error| {
            let sentence = format!("tls.certificates: {}", error.context());
            error.saying(sentence)
        });
    }
    let (ftp, http) = (&settings.ftp, &settings.http);
    if !settings.acme.hosts.is_empty() {
        return Ok(());
    }
    if !ftp.clear.listen.is_empty() || !ftp.tls.listen.is_empty() {
        return Err(lacks_for_ftp());
    }
    if !http.listen.is_empty() || !http.admin.is_empty() {
        return Err(lacks_for_https());
    }
    Ok(())
}

/// That FTP is to be served without a certificate.
pub fn lacks_for_ftp() -> Error {
    Error::invalid(
        "FTP needs a certificate; set tls.certificates or tls.acme_hosts, or empty ftp.listen and ftps.listen",
    )
}

/// The same of HTTPS.
pub fn lacks_for_https() -> Error {
    Error::invalid(
        "HTTPS needs a certificate; set tls.certificates or tls.acme_hosts, or empty https.listen and \
         admin.listen",
    )
}

impl Tls {
    /// Reads the certificates of the settings, and those that came by ACME; without any, there is no TLS.
    ///
    /// # Errors
    /// Invalid, naming the file and what to do; Unavailable when the database does not answer.
    pub async fn start(
        installation: &Installation,
        ring: &KeyRing,
        instance: InstanceId,
    ) -> Result<Self> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let files = installation.settings.certificates.clone();
        let acme = &installation.settings.acme;
        let hosts: Vec<String> = acme.hosts.iter().map(ToString::to_string).collect();
        let mut served = None;
        if !files.is_empty() || !hosts.is_empty() {
            let db = installation.database();
            let clock = db.clock().clone();
            let now = clock.now();
            let loading = tokio::task::spawn_blocking(move || match files.is_empty() {
                true => Certificates::awaiting(&hosts, now),
                false => Certificates::load(files, now),
            });
            let certificates = loading.await.map_err(Error::internal)??;
            let home = installation.region(&installation.settings.home).await?;
            let mut shared = SharedTicketKeys::new(db.clone(), ring.clone(), home);
            Box::pin(shared.try_look()).await;
            served = Some((certificates.clone(), shared.keys()));
            if !acme.hosts.is_empty() {
                let (settings, keys) = (acme.clone(), (ring.clone(), home));
                let kept = certificates.clone();
                let mut keeper = AcmeKeeper::new(settings, db.clone(), keys, instance, kept);
                Box::pin(keeper.begin()).await;
                tasks.spawn(keeper.follow(stop.clone()));
            }
            tasks.spawn(certificates.follow(clock, stop.clone()));
            tasks.spawn(shared.follow(stop.clone()));
        }
        Ok(Self {
            served,
            stop,
            tasks,
        })
    }

    /// The certificates that clients are shown.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.served.as_ref().map(|(certificates, _)| certificates)
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
