//! Begins to collect what the process counts. To be called before anything is counted: what was counted
//! before is lost, for ever where it was the first of its kind.

use std::sync::{Mutex, PoisonError};

use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::id::InstanceId;
use crate::telemetry::scrape::Scraper;

/// The instance that was announced and does not run yet.
static ANNOUNCED: Mutex<Option<InstanceId>> = Mutex::new(None);

/// What collects; see [`Telemetry::stop`].
pub struct Telemetry {
    meters: SdkMeterProvider,
}

impl Telemetry {
    /// Begins to collect.
    pub fn start() -> Self {
        let instance = InstanceId::mint(SystemClock.now());
        *lock() = Some(instance);
        let scraper = Scraper::default();
        let meters = SdkMeterProvider::builder()
            .with_resource(resource(instance))
            .with_reader(scraper.clone())
            .build();
        global::set_meter_provider(meters.clone());
        scraper.install();
        Self { meters }
    }

    /// Ends it.
    pub fn stop(self) {
        if let Err(error) = self.meters.shutdown() {
            tracing::debug!(error = %error, "metrics did not end well");
        }
    }
}

/// The instance that metrics, traces and logs of this process name; whoever asks first is it.
pub fn announced_instance() -> Option<InstanceId> {
    lock().take()
}

fn lock() -> std::sync::MutexGuard<'static, Option<InstanceId>> {
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
