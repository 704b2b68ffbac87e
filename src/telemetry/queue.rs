//! Queues between what is told and the collector: of bounded length; what does not fit is dropped and counted.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::logs::Severity;
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};

use crate::domain::measures;

/// Most that waits, of each kind.
pub const MOST_WAITING: usize = 8192;

/// How much waits, of a kind. Clones are the same.
#[derive(Clone, Debug)]
pub struct Queue {
    kind: &'static str,
    held: Arc<AtomicUsize>,
}

impl Queue {
    /// Nothing waits.
    pub fn new(kind: &'static str) -> Self {
        Self {
            kind,
            held: Arc::default(),
        }
    }

    /// Takes a place; false when there is none, which is counted.
    fn enter(&self) -> bool {
        let more = |held: usize| (held < MOST_WAITING).then_some(held + 1);
        let order = (Ordering::Relaxed, Ordering::Relaxed);
        let is_in = self.held.fetch_update(order.0, order.1, more).is_ok();
        if !is_in {
            measures::exported(self.kind, "dropped", 1);
        }
        is_in
    }

    /// So many were taken out, and the collector took them or did not.
    fn leave(&self, count: usize, outcome: &OTelSdkResult) {
        self.held.fetch_sub(count, Ordering::Relaxed);
        let outcome = match outcome {
            Ok(()) => "sent",
            Err(_) => "lost",
        };
        measures::exported(self.kind, outcome, count as u64);
    }
}

/// The end of a queue where things come out.
#[derive(Debug)]
pub struct Out<T>(pub T, pub Queue);

/// The end of a queue where things come in.
#[derive(Debug)]
pub struct In<T>(pub T, pub Queue);

impl<T: SpanExporter> SpanExporter for Out<T> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let outcome = self.0.export(batch).await;
        self.1.leave(count, &outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, time: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(time)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

impl<T: LogExporter> LogExporter for Out<T> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let outcome = self.0.export(batch).await;
        self.1.leave(count, &outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, time: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(time)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

impl<T: SpanProcessor> SpanProcessor for In<T> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.1.enter() {
            self.0.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, time: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(time)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

impl<T: LogProcessor> LogProcessor for In<T> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.1.enter() {
            self.0.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, time: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(time)
    }

    fn event_enabled(&self, level: Severity, target: &str, name: Option<&str>) -> bool {
        self.0.event_enabled(level, target, name)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
