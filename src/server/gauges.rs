//! Keeps an eye on what only the database knows, for the metrics of this instance.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::net::certificates::Certificates;
use crate::net::readiness::Readiness;
use crate::ops::census::Census;
use crate::ops::gauges;
use crate::vfs::service::Vfs;

/// The task that counts.
pub struct GaugeWatch {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl GaugeWatch {
    /// Starts to count.
    pub fn start(vfs: &Vfs, readiness: &Readiness, certificates: Option<&Certificates>) -> Self {
        let (census, stop) = (Census::default(), CancellationToken::new());
        let clock = vfs.database().clock();
        let certificates = certificates.map(|own| (own.clone(), clock.clone()));
        gauges::register(vfs.budget(), readiness, &census, certificates);
        let mut tasks = JoinSet::new();
        tasks.spawn(census.watch(vfs.in_background(), stop.clone()));
        Self { stop, tasks }
    }

    /// Ends the task.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
