//! Keeps the audit logs on their way to syslog servers.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::error::Result;
use crate::jobs::syslog_audit::AuditSender;
use crate::telemetry::settings::{SyslogContent, SyslogSettings};
use crate::telemetry::start;
use crate::vfs::service::Vfs;

/// The tasks that send, one for each server.
pub struct Outlets {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Outlets {
    /// Starts to send; that a server is not there is no error.
    ///
    /// # Errors
    /// Invalid when a file of certificates is of no use.
    pub fn start(settings: &SyslogSettings, vfs: &Vfs) -> Result<Self> {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        if settings.send.contains(&SyslogContent::Audit) {
            for (server, to) in start::syslog_servers(settings)? {
                let sender = start::sender(settings);
                let sender = AuditSender::new(vfs.in_background(), sender, server, to);
                let stop = stop.clone();
                tasks.spawn(async move { sender.run(stop).await });
            }
        }
        Ok(Self { stop, tasks })
    }

    /// Ends the tasks, and waits until servers have said that they heard all, or do not say so.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
