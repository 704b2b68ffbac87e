//! The export to a collector of OpenTelemetry: OTLP over HTTP, in Protobuf.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{self, BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, Sampler, SdkTracerProvider};
use tracing::Level;
use tracing_subscriber::filter::{FilterFn, LevelFilter, Targets};
use tracing_subscriber::{Layer as _, Registry};

use crate::domain::error::{Error, Result};
use crate::domain::spans;
use crate::net::outgoing::{self, Outgoing, Trust};
use crate::telemetry::collector::Collector;
use crate::telemetry::queue::{In, MOST_WAITING, Out, Queue};
use crate::telemetry::settings::{Endpoint, OtlpSettings, Signal};

/// How long logs and traces gather at most.
const GATHER: Duration = Duration::from_secs(5);

/// Something that takes what is traced or logged.
pub type Layer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// The export as it is set up.
#[derive(Default)]
pub struct Export {
    /// What reads metrics, and sends them.
    pub metrics: Option<PeriodicReader<MetricExporter>>,
    /// What takes traces and logs.
    pub layers: Vec<Layer>,
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
}

impl Export {
    /// Sets it up; the collector is not asked yet, and need not be there. `level` is how important what is
    /// logged must be.
    ///
    /// # Errors
    /// Invalid when a file of certificates is of no use.
    pub fn start(settings: &OtlpSettings, resource: &Resource, level: Level) -> Result<Self> {
        let Some(endpoint) = &settings.endpoint else {
            return Ok(Self::default());
        };
        let at = place_of(settings, endpoint)?;
        let with = With {
            collector: Box::new(Collector::each(&at)),
            headers: headers(settings),
            endpoint,
        };
        let mut export = Self::default();
        let gather = GATHER.min(settings.interval);
        for signal in &settings.signals {
            match signal {
                Signal::Logs => export.logs(&with, resource, gather, level)?,
                Signal::Metrics => {
                    let exporter = MetricExporter::builder().with_http();
                    let exporter = exporter
                        .with_endpoint(with.at(Signal::Metrics))
                        .with_headers(with.headers.clone())
                        .with_shared_http_client((with.collector)(Signal::Metrics))
                        .build()
                        .map_err(Error::internal)?;
                    let reader = PeriodicReader::builder(exporter);
                    export.metrics = Some(reader.with_interval(settings.interval).build());
                }
                Signal::Traces => {
                    export.traces(&with, resource, gather, settings.trace_one_in)?;
                }
            }
        }
        Ok(export)
    }

    fn logs(
        &mut self,
        with: &With<'_>,
        resource: &Resource,
        gather: Duration,
        level: Level,
    ) -> Result<()> {
        let exporter = LogExporter::builder().with_http();
        let exporter = exporter
            .with_endpoint(with.at(Signal::Logs))
            .with_headers(with.headers.clone())
            .with_shared_http_client((with.collector)(Signal::Logs))
            .build()
            .map_err(Error::internal)?;
        let queue = Queue::new("logs");
        let config = logs::BatchConfigBuilder::default()
            .with_max_queue_size(MOST_WAITING)
            .with_scheduled_delay(gather)
            .build();
        let processor = BatchLogProcessor::builder(Out(exporter, queue.clone()))
            .with_batch_config(config)
            .build();
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource.clone())
            .with_log_processor(In(processor, queue))
            .build();
        let bridge = OpenTelemetryTracingBridge::new(&provider);
        let mine = lines(level);
        self.layers.push(bridge.with_filter(mine).boxed());
        self.logs = Some(provider);
        Ok(())
    }

    fn traces(
        &mut self,
        with: &With<'_>,
        resource: &Resource,
        gather: Duration,
        one_in: u32,
    ) -> Result<()> {
        let exporter = SpanExporter::builder().with_http();
        let exporter = exporter
            .with_endpoint(with.at(Signal::Traces))
            .with_headers(with.headers.clone())
            .with_shared_http_client((with.collector)(Signal::Traces))
            .build()
            .map_err(Error::internal)?;
        let queue = Queue::new("traces");
        let config = trace::BatchConfigBuilder::default()
            .with_max_queue_size(MOST_WAITING)
            .with_scheduled_delay(gather)
            .build();
        let processor = BatchSpanProcessor::builder(Out(exporter, queue.clone()))
            .with_batch_config(config)
            .build();
        let sampler = match one_in {
            0 => Sampler::AlwaysOff,
            one_in => Sampler::TraceIdRatioBased(1.0 / f64::from(one_in)),
        };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_span_processor(In(processor, queue))
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("sealift"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        let spans = FilterFn::new(|about| about.is_span() && about.target() == spans::TARGET);
        let spans = spans.with_max_level_hint(LevelFilter::INFO);
        self.layers.push(layer.with_filter(spans).boxed());
        self.traces = Some(provider);
        spans::begin();
        Ok(())
    }

    /// Sends what waits, in `within` at most. Blocks.
    pub fn stop(&mut self, within: Duration) {
        let traces = self.traces.take();
        let traces = traces.map(|provider| provider.shutdown_with_timeout(within));
        let logs = self.logs.take();
        let logs = logs.map(|provider| provider.shutdown_with_timeout(within));
        for problem in [traces, logs]
            .into_iter()
            .flatten()
            .filter_map(|end| end.err())
        {
            tracing::debug!(error = %problem, "telemetry did not end well");
        }
    }
}

/// What of all that is logged is ours, and is no span.
pub fn lines(level: Level) -> Targets {
    let mine = Targets::new().with_target("sealift", level);
    mine.with_target(spans::TARGET, LevelFilter::OFF)
}

/// What all exporters are made with.
struct With<'a> {
    collector: Box<dyn Fn(Signal) -> Arc<Collector>>,
    headers: HashMap<String, String>,
    endpoint: &'a Endpoint,
}

impl With<'_> {
    fn at(&self, signal: Signal) -> String {
        let Endpoint {
            tls,
            host,
            port,
            path,
        } = self.endpoint;
        let scheme = if *tls { "https" } else { "http" };
        format!("{scheme}://{host}:{port}{path}/v1/{signal}")
    }
}

fn place_of(settings: &OtlpSettings, endpoint: &Endpoint) -> Result<Outgoing> {
    let tls = match endpoint.tls {
        true => {
            let trust = Trust::instead(settings.ca_file.as_deref());
            Some(outgoing::client_tls(trust, "telemetry.ca_file", None)?)
        }
        false => None,
    };
    Ok(Outgoing::new(&endpoint.host, endpoint.port, tls))
}

fn headers(settings: &OtlpSettings) -> HashMap<String, String> {
    let all = settings.headers.iter();
    all.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.expose());
        (name.clone(), value.into_owned())
    })
    .collect()
}
