//! Begins to collect what the process counts, traces and logs, and to send it on. To be called before anything
//! is counted: what was counted before is lost, for ever where it was the first of its kind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Level;
use tracing_subscriber::Layer as _;

use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::error::Result;
use crate::domain::id::InstanceId;
use crate::domain::measures;
use crate::net::outgoing::{self, Outgoing, Trust};
use crate::telemetry::otlp::{self, Export, Layer};
use crate::telemetry::scrape::Scraper;
use crate::telemetry::settings::{SyslogContent, SyslogSettings, TelemetrySettings};
use crate::telemetry::syslog_log;
use crate::telemetry::syslog_message::Sender;

/// How long what waits may take to be sent when the process ends, of each kind.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The instance that was announced and does not run yet.
static ANNOUNCED: Mutex<Option<InstanceId>> = Mutex::new(None);

/// What collects and sends; see [`Telemetry::stop`].
pub struct Telemetry {
    meters: SdkMeterProvider,
    export: Export,
    layers: Vec<Layer>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Telemetry {
    /// Begins. `level` is how important what is logged must be.
    ///
    /// # Errors
    /// Invalid when a setting is of no use, with what to do. That nobody listens is no error.
    pub fn start(settings: &TelemetrySettings, level: Level) -> Result<Self> {
        let instance = InstanceId::mint(SystemClock.now());
        *lock() = Some(instance);
        let resource = resource(instance);
        let mut export = Export::start(&settings.otlp, &resource, level)?;
        let scraper = Scraper::default();
        let mut meters = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(scraper.clone());
        if let Some(reader) = export.metrics.take() {
            meters = meters.with_reader(reader);
        }
        let meters = meters.build();
        global::set_meter_provider(meters.clone());
        measures::begin();
        scraper.install();
        let mut telemetry = Self {
            meters,
            layers: std::mem::take(&mut export.layers),
            export,
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        if settings.syslog.send.contains(&SyslogContent::Log) {
            telemetry.send_log(&settings.syslog, level)?;
        }
        Ok(telemetry)
    }

    fn send_log(&mut self, settings: &SyslogSettings, level: Level) -> Result<()> {
        let servers = syslog_servers(settings)?;
        if servers.is_empty() {
            return Ok(());
        }
        let (lines, waiting) = syslog_log::queues(sender(settings), servers);
        let lines = lines.with_filter(otlp::lines(level));
        self.layers.push(lines.boxed());
        for queue in waiting {
            let stop = self.stop.clone();
            self.tasks.spawn(queue.send(stop));
        }
        Ok(())
    }

    /// What has to hear all that is traced and logged.
    pub fn layers(&mut self) -> Vec<Layer> {
        std::mem::take(&mut self.layers)
    }

    /// Sends what waits, as far as there is somebody who takes it in a few seconds, and ends.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let sending = async { while self.tasks.join_next().await.is_some() {} };
        let sent = tokio::time::timeout(LAST_WORDS, sending).await;
        if sent.is_err() {
            self.tasks.shutdown().await;
        }
        let ending = tokio::task::spawn_blocking(move || {
            self.export.stop(LAST_WORDS);
            // Fails when the collector is gone.
            let _ = self.meters.shutdown_with_timeout(LAST_WORDS);
        });
        // Three exporters, each of which keeps to its time.
        drop(tokio::time::timeout(LAST_WORDS * 4, ending).await);
    }
}

/// The instance that metrics, traces and logs of this process name; whoever asks first is it.
pub fn announced_instance() -> Option<InstanceId> {
    lock().take()
}

/// The syslog servers of the settings, as cursors and metrics name them.
///
/// # Errors
/// Invalid when a file of certificates is of no use.
pub fn syslog_servers(settings: &SyslogSettings) -> Result<Vec<(Arc<str>, Outgoing)>> {
    let servers = settings.servers.iter();
    servers
        .map(|server| {
            let tls = match server.tls {
                true => Some(outgoing::client_tls(
                    Trust::instead(settings.ca_file.as_deref()),
                    "syslog.ca_file",
                    settings.certificate.as_ref(),
                )?),
                false => None,
            };
            let to = Outgoing::new(&server.host, server.port, tls);
            Ok((server.to_string().into(), to))
        })
        .collect()
}

/// Who sends to syslog servers.
pub fn sender(settings: &SyslogSettings) -> Sender {
    Sender::new(settings.facility, &settings.app_name)
}

fn lock() -> MutexGuard<'static, Option<InstanceId>> {
    ANNOUNCED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who it is that tells.
fn resource(instance: InstanceId) -> Resource {
    Resource::builder_empty()
        .with_service_name("sealift")
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance.to_string()),
        ])
        .build()
}
