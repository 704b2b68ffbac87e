//! A server's life: start, serve, drain.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::field::display;

use crate::accounts::login::{Accounts, LoginSettings};
use crate::accounts::verify::PasswordSettings;
use crate::config::ftp::PortSection;
use crate::config::settings::Settings;
use crate::domain::error::{Error, Result};
use crate::ftp::server::{FtpServer, Listening};
use crate::ftp::settings::{FtpSettings, Start};
use crate::http::admin::regions::{Purpose, Regions};
use crate::http::server::{self as http, HttpServer, Offer};
use crate::http::settings::HttpSettings;
use crate::jobs::runner::Jobs;
use crate::jobs::webhooks::Webhooks;
use crate::net::limit::Places;
use crate::net::readiness::Readiness;
use crate::net::tls_server::ClientCertificates;
use crate::process::files;
use crate::process::signals::Signals;
use crate::server::acme;
use crate::server::doors::Doors;
use crate::server::gauges::GaugeWatch;
use crate::server::health::HealthWatch;
use crate::server::installation::Installation;
use crate::server::keys;
use crate::server::outlets::Outlets;
use crate::server::ready::Ready;
use crate::server::shown_keys;
use crate::server::stores;
use crate::server::tls::{self, Tls};
use crate::sftp::host_keys::HostKeys;
use crate::sftp::server::SftpServer;
use crate::vfs::service::Vfs;

/// How much longer than transfers the rest of a drain may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Serves an installation until a signal asks for the end, and returns the exit code: 0 after a
/// drain, another one when a second signal cut it short.
///
/// `ready_file` exists while connections are taken; `announce` is called when it does.
///
/// # Errors
/// What kept the server from starting, with what to do.
pub async fn run(
    installation: Installation,
    doors: Doors,
    ready_file: Option<PathBuf>,
    announce: impl FnOnce(&Ready),
) -> Result<u8> {
    let mut signals = Signals::catch()?;
    let server = Server::start(&installation, doors).await?;
    let written = ready_file
        .map(|path| server.ready.write(&path))
        .transpose()?;
    announce(&server.ready);
    let at = |front: &str| server.ready.listeners.get(front).map(display);
    tracing::info!(
        instance.id = %server.ready.instance,
        listen.admin = at("admin"),
        listen.ftp = at("ftp"),
        listen.ftps = at("ftps"),
        listen.http = at("http"),
        listen.https = at("https"),
        listen.metrics = at("metrics"),
        listen.sftp = at("sftp"),
        "ready"
    );

    signals.next().await;
    tracing::info!("ending: no new sessions, transfers may finish; a second signal ends at once");
    drop(written);
    let code = tokio::select! {
        () = server.drain(installation.settings.drain) => 0,
        code = signals.next() => code,
    };
    if code == 0 {
        installation.close().await;
    }
    tracing::info!("ended");
    Ok(code)
}

/// Everything that runs.
struct Server {
    ready: Ready,
    accounts: Accounts,
    vfs: Vfs,
    jobs: Jobs,
    webhooks: Webhooks,
    tls: Tls,
    health: HealthWatch,
    gauges: GaugeWatch,
    outlets: Outlets,
    ftp: Option<FrontEnd>,
    http: Option<FrontEnd>,
    sftp: FrontEnd,
}

impl Server {
    async fn start(installation: &Installation, mut doors: Doors) -> Result<Self> {
        let settings = &installation.settings;
        let addresses = doors.addresses()?;
        let folder = settings.sftp.host_keys.clone();
        let algorithms = settings.sftp.front.algorithms;
        let loading =
            tokio::task::spawn_blocking(move || HostKeys::load_or_create(&folder, algorithms));
        let host_keys = loading.await.map_err(Error::internal)??;
        let vfs = installation.vfs().await?;
        let tls = Tls::start(installation, vfs.keys().ring(), vfs.instance()).await?;
        let logins = LoginSettings {
            passwords: PasswordSettings {
                rounds: settings.password_rounds,
                ..PasswordSettings::default()
            },
            sessions: settings.sessions,
        };
        let source = keys::source(vfs.keys().clone());
        let accounts = Accounts::start(installation.committer.clone(), logins, source.clone());
        let accounts = accounts.await?;
        accounts.tell_sessions(vfs.instance());
        let jobs = Jobs::start(vfs.clone(), settings.jobs).await?;
        if !doors.sftp.is_empty() {
            let folder = &settings.sftp.host_keys;
            shown_keys::compare(vfs.database(), vfs.instance(), &host_keys, folder).await?;
        }
        let webhooks = Webhooks::start(&vfs, source, settings.webhooks.clone());
        let places = Places::new(settings.limits);
        let health = HealthWatch::start(installation, &vfs, &doors).await?;
        let readiness = health.readiness().clone();
        let gauges = GaugeWatch::start(&vfs, &readiness, tls.certificates());
        let outlets = Outlets::start(&settings.telemetry.syslog, &vfs)?;
        let (ftp, ftp_listeners) = ftp(settings, &tls, &vfs, &accounts, &mut doors)?;
        let (http, http_listeners) =
            http(installation, &tls, &vfs, &accounts, &mut doors, readiness)?;
        let fronts = [
            Some(settings.sftp.front.sessions),
            ftp.as_ref().map(|_| settings.ftp.front.connections.total),
            http.as_ref().map(|_| settings.http.front.connections.total),
        ];
        files::raise_limit(fronts.into_iter().flatten().sum::<usize>() as u64);
        let (ftp_places, http_places) = (places.clone(), places.clone());
        let sftp = SftpServer::new(
            settings.sftp.front.clone(),
            host_keys,
            vfs.clone(),
            accounts.clone(),
            vfs.budget().clone(),
        );
        Ok(Self {
            ready: Ready::new(vfs.instance(), addresses),
            ftp: ftp.map(|ftp| {
                FrontEnd::start(|drain, end| ftp.serve(ftp_listeners, ftp_places, drain, end))
            }),
            http: http.map(|http| {
                FrontEnd::start(|drain, end| http.serve(http_listeners, http_places, drain, end))
            }),
            sftp: FrontEnd::start(|drain, end| sftp.serve(doors.sftp, places, drain, end)),
            accounts,
            vfs,
            jobs,
            webhooks,
            tls,
            health,
            gauges,
            outlets,
        })
    }

    /// Ends in the order of dependence: clients, jobs, commits.
    async fn drain(mut self, time: Duration) {
        self.health.stop().await;
        let all = [self.ftp, self.http, Some(self.sftp)];
        let all = all.into_iter().flatten();
        join_all(all.map(|front| front.drain(time))).await;
        self.tls.stop().await;
        self.webhooks.stop().await;
        self.gauges.stop().await;
        // So that the last of the audit log is sent too.
        self.vfs.committer().drain().await;
        self.outlets.stop().await;
        self.jobs.stop().await;
        self.accounts.stop().await;
        self.vfs.drain().await;
    }
}

/// The FTP front end and its ports; none when it listens nowhere.
fn ftp(
    settings: &Settings,
    tls: &Tls,
    vfs: &Vfs,
    accounts: &Accounts,
    doors: &mut Doors,
) -> Result<(Option<FtpServer>, Vec<Listening>)> {
    let section = &settings.ftp;
    let listening = |listeners: &mut Vec<TcpListener>, start, ports: &PortSection| {
        let (policy, passive) = (ports.policy, ports.passive.clone());
        let listeners = std::mem::take(listeners).into_iter();
        listeners.map(move |listener| Listening {
            listener,
            start,
            policy,
            passive: passive.clone(),
        })
    };
    let clear = listening(&mut doors.ftp, Start::Clear, &section.clear);
    let sealed = listening(&mut doors.ftps, Start::Tls, &section.tls);
    let all: Vec<_> = clear.chain(sealed).collect();
    if all.is_empty() {
        return Ok((None, all));
    }
    let tls = tls.server(ClientCertificates::Ask);
    let tls = tls.ok_or_else(tls::lacks_for_ftp)?;
    let front = FtpSettings {
        login_time: settings.sftp.front.login_time,
        ..section.front.clone()
    };
    let server = FtpServer::new(front, tls, vfs.clone(), accounts.clone());
    Ok((Some(server), all))
}

/// The HTTPS front end and its ports; none when it listens nowhere.
fn http(
    installation: &Installation,
    tls: &Tls,
    vfs: &Vfs,
    accounts: &Accounts,
    doors: &mut Doors,
    readiness: Readiness,
) -> Result<(Option<HttpServer>, Vec<http::Listening>)> {
    let listening = |listeners: &mut Vec<TcpListener>, offer| {
        let listeners = std::mem::take(listeners).into_iter();
        listeners.map(move |listener| http::Listening { listener, offer })
    };
    let clear = listening(&mut doors.http, Offer::Clear);
    let public = listening(&mut doors.https, Offer::Public);
    let operators = listening(&mut doors.admin, Offer::Operators);
    let metrics = listening(&mut doors.metrics, Offer::Metrics);
    let all: Vec<_> = clear
        .chain(public)
        .chain(operators)
        .chain(metrics)
        .collect();
    if all.is_empty() {
        return Ok((None, all));
    }
    let tls = tls.server(ClientCertificates::Ignore);
    if tls.is_none() && all.iter().any(|port| port.offer.speaks_tls()) {
        return Err(tls::lacks_for_https());
    }
    let front = HttpSettings {
        login_time: installation.settings.sftp.front.login_time,
        upload_expiry: installation.settings.jobs.upload_expiry,
        reach: installation.settings.webhooks.reach.clone(),
        retention: installation.settings.retention,
        backups: installation.settings.jobs.blob_grace,
        ..installation.settings.http.front.clone()
    };
    let directory = installation.directory().over_sessions_of(accounts);
    let (vfs, accounts) = (vfs.clone(), accounts.clone());
    let challenges = acme::challenges(installation.database().clone());
    let regions = regions(installation);
    let server = HttpServer::new(front, tls, vfs, accounts, directory, readiness, regions);
    let server = server.proving(challenges);
    Ok((Some(server), all))
}

/// The regions that operators may send tenants to.
fn regions(installation: &Installation) -> Regions {
    let installation = installation.clone();
    Regions::new(move |purpose| {
        let installation = installation.clone();
        Box::pin(async move {
            let (id, name) = match purpose {
                Purpose::New(name) => return installation.home(name.as_deref()).await,
                Purpose::Move(name) => (installation.home(Some(&name)).await?, name),
                Purpose::Copies(name) => (installation.region(&name).await?, name),
            };
            stores::check_one(&installation.settings, installation.database(), &name).await?;
            Ok(id)
        })
    })
}

/// A front end that runs as a task of its own.
struct FrontEnd {
    drain: CancellationToken,
    end: CancellationToken,
    task: tokio::task::JoinSet<()>,
}

impl FrontEnd {
    fn start<Serving>(serve: impl FnOnce(CancellationToken, CancellationToken) -> Serving) -> Self
    where
        Serving: Future<Output = ()> + Send + 'static,
    {
        let (drain, end) = (CancellationToken::new(), CancellationToken::new());
        let mut task = tokio::task::JoinSet::new();
        task.spawn(serve(drain.clone(), end.clone()));
        Self { drain, end, task }
    }

    /// Takes nobody new, lets transfers finish within `time`, then ends the rest.
    async fn drain(mut self, time: Duration) {
        self.drain.cancel();
        if tokio::time::timeout(time, self.task.join_next())
            .await
            .is_ok()
        {
            return;
        }
        tracing::warn!("transfers did not finish in time; ending them");
        self.end.cancel();
        if tokio::time::timeout(LAST_WORDS, self.task.join_next())
            .await
            .is_err()
        {
            tracing::error!("some sessions did not end; leaving them");
        }
    }
}
