//! Keeps an instance that cannot serve from taking connections.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::error::Result;
use crate::net::readiness::Readiness;
use crate::net::shutters::Shutters;
use crate::ops::health::{self, Dependencies, Region};
use crate::server::doors::Doors;
use crate::server::installation::Installation;
use crate::server::stores;
use crate::vfs::keys::KEY_LIFE;
use crate::vfs::service::Vfs;

/// How long until ports that would not open or close are tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The tasks that look, and that open and close the ports.
pub struct HealthWatch {
    readiness: Readiness,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl HealthWatch {
    /// Starts to look.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn start(installation: &Installation, vfs: &Vfs, doors: &Doors) -> Result<Self> {
        let home = installation.region(&installation.settings.home).await?;
        let numbered = stores::numbered(&installation.settings, installation.database()).await?;
        let mut regions = Vec::new();
        for (id, region) in numbered {
            let mut services = vfs.keys().ring().services();
            let service = services.find(|(of, _)| *of == id);
            regions.push(Region {
                id,
                name: region.name.as_str().into(),
                store: vfs.store(id)?.clone(),
                key_service: service.map(|(_, service)| service.clone()),
            });
        }
        let on = Dependencies {
            database: installation.database().clone(),
            regions,
            stores: vfs.regions().clone(),
            home,
            key_life: KEY_LIFE,
        };
        let (readiness, stop) = (Readiness::default(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(health::watch(on, readiness.clone(), stop.clone()));
        // The port without TLS stays open: it tells what is wrong.
        let ports = [&doors.ftp, &doors.ftps, &doors.https, &doors.sftp];
        let shutters = Shutters::over(ports.into_iter().flatten())?;
        tasks.spawn(follow(shutters, readiness.clone(), stop.clone()));
        Ok(Self {
            readiness,
            stop,
            tasks,
        })
    }

    /// What was seen.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Ends the tasks, which also lets go of the ports.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn follow(shutters: Shutters, readiness: Readiness, stop: CancellationToken) {
    let rounds = async {
        loop {
            readiness.becomes(false).await;
            tracing::error!(
                "not ready: no connections are taken; /readyz on the port without TLS tells why"
            );
            until_done(|| shutters.close()).await;
            readiness.becomes(true).await;
            until_done(|| shutters.open()).await;
            tracing::info!("ready again");
        }
    };
    stop.run_until_cancelled(rounds).await;
}

async fn until_done(action: impl Fn() -> std::io::Result<()>) {
    while let Err(error) = action() {
        tracing::error!(error = %error, "the ports do not obey; trying again");
        tokio::time::sleep(AGAIN).await;
    }
}
