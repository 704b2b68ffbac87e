//! The instance's lease, and the jobs that run while it lives.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db::tenants::Tenant;
use crate::db::{instances, leases, tenants};
use crate::domain::error::Result;
use crate::domain::measures;
use crate::jobs::clock_watch::ClockWatch;
use crate::jobs::hash::Hashing;
use crate::jobs::leaps::Leaps;
use crate::jobs::operator_watch::OperatorWatch;
use crate::jobs::sweep::Keep;
use crate::jobs::{copies, expire, mend, orphans, purge, settle, sweep};
use crate::vfs::service::Vfs;

/// How long an instance that stops renewing its lease counts as alive.
const LEASE: Duration = Duration::from_secs(30);
const RENEW: Duration = Duration::from_secs(8);
/// How long one instance has a tenant's housekeeping to itself.
const HOUSEKEEPING_LEASE: Duration = Duration::from_secs(600);

/// When jobs run and what they keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct JobSettings {
    /// Time between two rounds.
    pub interval: Duration,
    /// How long a blob stays after nothing names it any more.
    pub blob_grace: Duration,
    /// How long an upload that broke off is kept.
    pub upload_expiry: Duration,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            blob_grace: Duration::from_secs(8 * 24 * 3600),
            upload_expiry: Duration::from_secs(24 * 3600),
        }
    }
}

/// The running jobs of an instance.
pub struct Jobs {
    vfs: Vfs,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Jobs {
    /// Takes the instance's lease and starts the jobs.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn start(vfs: Vfs, settings: JobSettings) -> Result<Self> {
        renew(&vfs).await?;
        let (clocks, leaps) = (Arc::new(ClockWatch::default()), Arc::new(Leaps::default()));
        clocks.look(vfs.database());
        leaps.trusts(vfs.database().now().await?);
        let operators = Arc::new(OperatorWatch::start(vfs.database()).await?);
        let jobs = Self {
            vfs: vfs.in_background(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let often = leaps.clone();
        jobs.spawn(RENEW, move |vfs| {
            let (clocks, leaps) = (clocks.clone(), often.clone());
            async move {
                leaps.trusts(vfs.database().clock().now());
                match renew(&vfs).await {
                    Ok(()) => clocks.look(vfs.database()),
                    Err(error) => {
                        tracing::warn!(error = ?error, "the instance's lease was not renewed");
                    }
                }
            }
        });
        jobs.spawn(RENEW, move |vfs| {
            let operators = operators.clone();
            async move {
                if let Err(error) = operators.look(vfs.database()).await {
                    tracing::debug!(error = ?error, "the tokens of operators were not looked at");
                }
            }
        });
        jobs.spawn(settings.interval, move |vfs| {
            let leaps = leaps.clone();
            async move {
                // First, as the machine may have been asleep: no round must sweep up after its own
                // instance.
                let done = match renew(&vfs).await {
                    Ok(()) => round_by(&vfs, settings, &leaps).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = measures::job("orphans", orphans::run(&vfs)).await {
                    tracing::warn!(error = ?error, "orphans were not looked for");
                }
                if let Err(error) = done {
                    tracing::warn!(error = ?error, "a round of jobs ended early; the next goes on");
                }
            }
        });
        jobs.spawn(settings.interval, |vfs| async move {
            if let Err(error) = copying_round(&vfs).await {
                tracing::warn!(error = ?error, "a round of copying ended early; the next goes on");
            }
        });
        let hashing = Arc::new(Hashing::default());
        jobs.spawn(settings.interval, move |vfs| {
            let hashing = hashing.clone();
            async move {
                if let Err(error) = hashing_round(&vfs, &hashing).await {
                    tracing::warn!(error = ?error, "a round of hashing ended early; the next goes on");
                }
            }
        });
        let (vfs, stop) = (jobs.vfs.clone(), jobs.stop.clone());
        jobs.tasks.spawn(async move {
            stop.run_until_cancelled(mend::run(&vfs)).await;
        });
        Ok(jobs)
    }

    /// Stops the jobs, waits for them and gives the lease back.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let db = self.vfs.database();
        let instance = self.vfs.instance();
        for released in [
            leases::release_all(db, instance).await,
            instances::release(db, instance).await,
        ] {
            if let Err(error) = released {
                tracing::warn!(error = ?error, "a lease was not given back; it will run out");
            }
        }
    }

    fn spawn<F>(&self, every: Duration, work: impl Fn(Vfs) -> F + Send + 'static) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send,
    {
        let (vfs, stop) = (self.vfs.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(every))
                .await
                .is_some()
            {
                // A round that is cancelled is repeated by another instance.
                if stop.run_until_cancelled(work(vfs.clone())).await.is_none() {
                    return;
                }
            }
        })
    }
}

/// One round over all tenants; a tenant whose round fails does not keep the others from theirs.
///
/// # Errors
/// Unavailable when not even the tenants can be listed.
pub async fn round(vfs: &Vfs, settings: JobSettings) -> Result<()> {
    round_by(vfs, settings, &Leaps::default()).await
}

/// The same, in which nothing is removed for good that is over only by a clock that was set.
///
/// # Errors
/// As [`round`].
pub async fn round_by(vfs: &Vfs, settings: JobSettings, leaps: &Leaps) -> Result<()> {
    for tenant in tenants::list(vfs.database()).await? {
        if let Err(error) = tenant_round(vfs, &tenant, settings, leaps).await {
            tracing::warn!(tenant.id = %tenant.id, error = ?error, "a tenant's jobs failed; they are tried again");
        }
    }
    Ok(())
}

/// One round of copying over all tenants, beside the other jobs: moving a tenant may take days.
///
/// # Errors
/// Unavailable when not even the tenants can be listed.
pub async fn copying_round(vfs: &Vfs) -> Result<()> {
    for tenant in tenants::list(vfs.database()).await? {
        match measures::job("copy", copies::run(vfs, tenant.id)).await {
            Ok(0) => {}
            Ok(copied) => tracing::info!(tenant.id = %tenant.id, copied, "copied blobs"),
            Err(error) => {
                tracing::warn!(tenant.id = %tenant.id, error = ?error, "not all of a tenant's blobs were copied");
            }
        }
    }
    Ok(())
}

/// One round of hashing over all tenants, beside the other jobs: a content may take hours to read.
///
/// # Errors
/// Unavailable when not even the tenants can be listed.
pub async fn hashing_round(vfs: &Vfs, hashing: &Hashing) -> Result<()> {
    for tenant in tenants::list(vfs.database()).await? {
        let hashed = measures::job("hash", hashing.run(vfs, tenant.id)).await;
        if let Err(error) = hashed {
            tracing::warn!(tenant.id = %tenant.id, error = ?error, "not all of a tenant's contents were hashed; they are tried again");
        }
    }
    Ok(())
}

async fn tenant_round(
    vfs: &Vfs,
    tenant: &Tenant,
    settings: JobSettings,
    leaps: &Leaps,
) -> Result<()> {
    let (db, instance) = (vfs.database(), vfs.instance());
    let mine = leases::take(db, tenant.id, "housekeeping", instance, HOUSEKEEPING_LEASE).await?;
    if !mine {
        return Ok(());
    }
    let keep = Keep {
        blob_grace: settings.blob_grace,
        upload_expiry: settings.upload_expiry,
    };
    // What one cannot do, as in a region that does not answer, keeps nobody from the others.
    let settled = measures::job("settle", settle::run(vfs, tenant.id)).await;
    let now = db.now().await?;
    let (purged, swept, expired) = match leaps.trusts(now) {
        true => (
            measures::job("purge", purge::run_at(vfs, tenant, now)).await,
            measures::job("sweep", sweep::run_at(vfs, tenant.id, keep, now)).await,
            measures::job("expire", expire::run(vfs, tenant.id)).await,
        ),
        false => (Ok(0), Ok(0), Ok(0)),
    };
    settled?;
    purged?;
    swept?;
    expired.map(drop)
}

async fn renew(vfs: &Vfs) -> Result<()> {
    instances::renew(vfs.database(), vfs.instance(), LEASE).await
}
