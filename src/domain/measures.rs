//! What is counted and timed, all in one place: instruments of OpenTelemetry, which do nothing unless the
//! process installed what collects them before the first of them was used.
//!
//! Attributes come from short lists, so that their number is bounded: never a name of an account, never a
//! path. docs/monitoring.md tells what each is for.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use opentelemetry::{KeyValue, global};
use tracing::Instrument as _;

use crate::domain::error::{ErrorKind, Result};
use crate::domain::principal::Protocol;
use crate::domain::spans;

/// Upper bounds of the buckets of latencies, in seconds.
const LATENCIES: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// The same for work in the background.
const LONG: [f64; 8] = [0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0];
/// Upper bounds of the buckets of what is committed together.
const BATCHES: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

static METER: LazyLock<Meter> = LazyLock::new(|| global::meter("sealift"));

static SESSIONS: LazyLock<UpDownCounter<i64>> = LazyLock::new(|| {
    METER
        .i64_up_down_counter("sealift.sessions")
        .with_description("Sessions of accounts in progress on this instance.")
        .build()
});
static LOGINS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sealift.logins",
        "",
        "Logins that were let in, and that were not.",
    )
});
static TRANSFERS: LazyLock<Counter<u64>> =
    LazyLock::new(|| counter("sealift.transfers", "", "Files that were sent or received."));
static TRANSFER_BYTES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sealift.transfer",
        "By",
        "Bytes of files that were sent or received, as they move.",
    )
});
static ERRORS: LazyLock<Counter<u64>> =
    LazyLock::new(|| counter("sealift.errors", "", "Errors that clients were told of."));
static STORE: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    histogram(
        "sealift.store.duration",
        "s",
        "Time that calls to a blob store took.",
        &LATENCIES,
    )
});
static STORE_FULL: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sealift.store.full",
        "",
        "Calls to a blob store that found no room there.",
    )
});
static DATABASE: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    histogram(
        "sealift.database.duration",
        "s",
        "Time that the database took.",
        &LATENCIES,
    )
});
static BATCH: LazyLock<Histogram<u64>> = LazyLock::new(|| {
    METER
        .u64_histogram("sealift.commit.batch")
        .with_description("Changes that were committed in one transaction.")
        .with_boundaries(BATCHES.to_vec())
        .build()
});
static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sealift.memory.budget.refused",
        "",
        "Times that memory was asked for and not free.",
    )
});
static JOB: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    histogram(
        "sealift.job.duration",
        "s",
        "Time that a run of a job took.",
        &LONG,
    )
});
static WEBHOOKS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sealift.webhooks.attempts",
        "",
        "Times that a webhook was told something, or that it was tried.",
    )
});
static SYSLOG: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sealift.syslog.messages",
        "",
        "Messages that were sent to a syslog server, or dropped.",
    )
});
static EXPORTED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sealift.telemetry.items",
        "",
        "Spans and lines of the log on their way to a collector.",
    )
});
static FAILED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    counter(
        "sealift.telemetry.failed",
        "",
        "Exports that a collector did not take.",
    )
});

/// Has what alerts wait for begin at 0: of a series that begins with what it should tell of, nobody sees an increase.
/// To be called once there is what collects.
pub fn begin() {
    let protocols = [
        Protocol::Ftp,
        Protocol::Ftps,
        Protocol::Https,
        Protocol::Sftp,
        Protocol::Webdav,
    ];
    for protocol in protocols {
        for kind in [ErrorKind::Corrupt, ErrorKind::Internal] {
            ERRORS.add(0, &[door(protocol), KeyValue::new("kind", kind.as_str())]);
        }
    }
    for need in ["buffer", "upload"] {
        REFUSED.add(0, &[KeyValue::new("need", need)]);
    }
    for outcome in ["dead", "delivered", "failed"] {
        WEBHOOKS.add(0, &[KeyValue::new("outcome", outcome)]);
    }
}

/// The same for the store of a region, by its name.
pub fn store_begins(region: &Arc<str>) {
    STORE_FULL.add(0, &[KeyValue::new("region", region.clone())]);
}

/// A session of an account begins.
pub fn session_began(protocol: Protocol) {
    SESSIONS.add(1, &[door(protocol)]);
}

/// A session of an account is over.
pub fn session_ended(protocol: Protocol) {
    SESSIONS.add(-1, &[door(protocol)]);
}

/// Somebody was let in, or was not.
pub fn login(protocol: Protocol, let_in: bool) {
    let outcome = match let_in {
        true => "success",
        false => "failure",
    };
    LOGINS.add(1, &[door(protocol), KeyValue::new("outcome", outcome)]);
}

/// A transfer is over.
pub(in crate::domain) fn transfer(
    protocol: Protocol,
    direction: &'static str,
    outcome: &'static str,
) {
    let direction = KeyValue::new("direction", direction);
    TRANSFERS.add(
        1,
        &[door(protocol), direction, KeyValue::new("outcome", outcome)],
    );
}

/// Bytes of a file moved.
pub(in crate::domain) fn moved(protocol: Protocol, direction: &'static str, bytes: u64) {
    TRANSFER_BYTES.add(
        bytes,
        &[door(protocol), KeyValue::new("direction", direction)],
    );
}

/// A client is told of an error.
pub fn error(protocol: Protocol, kind: ErrorKind) {
    problem(protocol, kind.as_str());
}

/// A client is told of what is wrong, by a word of the API.
pub fn problem(protocol: Protocol, kind: &'static str) {
    ERRORS.add(1, &[door(protocol), KeyValue::new("kind", kind)]);
}

/// Something that the database is asked for. Dropped before it is done, it failed.
pub struct Asked {
    operation: &'static str,
    began: Instant,
    outcome: &'static str,
}

impl Asked {
    /// Asks now.
    pub fn of(operation: &'static str) -> Self {
        Self {
            operation,
            began: Instant::now(),
            outcome: "failed",
        }
    }

    /// The database answered.
    pub fn done(mut self) {
        self.outcome = "ok";
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let outcome = KeyValue::new("outcome", self.outcome);
        DATABASE.record(
            seconds(self.began.elapsed()),
            &[KeyValue::new("operation", self.operation), outcome],
        );
    }
}

/// A store answered; `region` is the name of its region.
pub fn store<T>(region: &Arc<str>, operation: &'static str, began: Instant, outcome: &Result<T>) {
    STORE.record(
        seconds(began.elapsed()),
        &[
            KeyValue::new("region", region.clone()),
            KeyValue::new("operation", operation),
            KeyValue::new("outcome", word(outcome)),
        ],
    );
    if outcome
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::StorageFull)
    {
        STORE_FULL.add(1, &[KeyValue::new("region", region.clone())]);
    }
}

/// So many changes are committed together.
pub fn batch(changes: usize) {
    BATCH.record(changes as u64, &[]);
}

/// Memory was asked for that is not free: for an "upload", which is refused then, or for a "buffer", without
/// which most things only go slower.
pub fn memory_refused(need: &'static str) {
    REFUSED.add(1, &[KeyValue::new("need", need)]);
}

/// Runs a job, and notes how that went and how long it took.
pub async fn job<T>(name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let began = Instant::now();
    let done = Box::pin(work).instrument(spans::job(name)).await;
    let outcome = KeyValue::new("outcome", word(&done));
    JOB.record(
        seconds(began.elapsed()),
        &[KeyValue::new("job", name), outcome],
    );
    done
}

/// Messages were sent to a syslog server, or dropped because it did not take them.
pub fn syslog(server: &Arc<str>, content: &'static str, sent: bool, messages: u64) {
    let outcome = match sent {
        true => "sent",
        false => "dropped",
    };
    SYSLOG.add(
        messages,
        &[
            KeyValue::new("server", server.clone()),
            KeyValue::new("content", content),
            KeyValue::new("outcome", outcome),
        ],
    );
}

/// Spans or lines of the log were "sent" to a collector, "lost" because it did not take them, or "dropped"
/// because too many waited.
pub fn exported(signal: &'static str, outcome: &'static str, items: u64) {
    EXPORTED.add(
        items,
        &[
            KeyValue::new("signal", signal),
            KeyValue::new("outcome", outcome),
        ],
    );
}

/// A collector did not take what it was sent.
pub fn export_failed() {
    FAILED.add(1, &[]);
}

/// So often a webhook was told something ("delivered"), was not and will be ("failed"), or never will be ("dead").
pub fn webhook(outcome: &'static str, times: u64) {
    WEBHOOKS.add(times, &[KeyValue::new("outcome", outcome)]);
}

fn counter(name: &'static str, unit: &'static str, what: &'static str) -> Counter<u64> {
    METER
        .u64_counter(name)
        .with_unit(unit)
        .with_description(what)
        .build()
}

fn histogram(
    name: &'static str,
    unit: &'static str,
    what: &'static str,
    bounds: &[f64],
) -> Histogram<f64> {
    METER
        .f64_histogram(name)
        .with_unit(unit)
        .with_description(what)
        .with_boundaries(bounds.to_vec())
        .build()
}

fn door(protocol: Protocol) -> KeyValue {
    KeyValue::new("protocol", protocol.as_str())
}

fn word<T>(outcome: &Result<T>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(error) => error.kind().as_str(),
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
