//! Reading all metrics at the moment that somebody asks.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};

use crate::domain::error::{Error, ErrorKind, Result};
use crate::telemetry::exposition::{self, Format};

static INSTALLED: OnceLock<Scraper> = OnceLock::new();

/// Reads what the process counts. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Scraper {
    reader: Arc<ManualReader>,
}

impl Scraper {
    /// Makes it the one of the process; the first one stays.
    pub fn install(&self) {
        // The second of a process reads nothing that the first does not.
        let _ = INSTALLED.set(self.clone());
    }

    /// The one of the process.
    ///
    /// # Errors
    /// Unavailable in a process that counts nothing.
    pub fn installed() -> Result<&'static Self> {
        INSTALLED.get().ok_or_else(|| {
            let context = "this process counts nothing";
            Error::new(ErrorKind::Unavailable, context)
        })
    }

    /// Everything as text. Locks and looks around: not for a thread that serves others.
    ///
    /// # Errors
    /// Internal when it was not installed, or the process ends.
    pub fn text(&self, format: Format) -> Result<String> {
        let mut all = ResourceMetrics::default();
        self.reader.collect(&mut all).map_err(Error::internal)?;
        Ok(exposition::render(&all, format))
    }
}

impl MetricReader for Scraper {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.reader.register_pipeline(pipeline);
    }

    fn collect(&self, into: &mut ResourceMetrics) -> OTelSdkResult {
        self.reader.collect(into)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.reader.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.reader.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.reader.temporality(kind)
    }
}
