//! What is not counted as it happens but looked at when somebody asks: sizes, readiness, the process.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::{AsyncInstrument, Meter};
use opentelemetry::{KeyValue, global};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::domain::clock::Clock;
use crate::domain::traffic;
use crate::net::budget::Budget;
use crate::net::certificates::Certificates;
use crate::net::readiness::Readiness;
use crate::ops::census::Census;
use crate::ops::own_process;

/// Has it all looked at from now on, as long as the process lives.
pub fn register(
    budget: &Budget,
    readiness: &Readiness,
    census: &Census,
    certificates: Option<(Certificates, Arc<dyn Clock>)>,
) {
    let meter = global::meter("sealift");
    memory(&meter, budget);
    ready(&meter, readiness);
    tenants(&meter, census);
    uploads(&meter, census);
    replicas(&meter, census);
    webhooks(&meter, census);
    if let Some((certificates, clock)) = certificates {
        expiry(&meter, certificates, clock);
    }
    runtime(&meter, Handle::current());
    own_process::register(&meter);
    let version = KeyValue::new("version", env!("CARGO_PKG_VERSION"));
    whole(
        &meter,
        "sealift.build.info",
        "",
        "Which program this is.",
        move |to| {
            to.observe(1, std::slice::from_ref(&version));
        },
    );
    let began = Instant::now();
    meter
        .f64_observable_gauge("sealift.uptime")
        .with_unit("s")
        .with_description("Time since the instance was ready.")
        .with_callback(move |to| to.observe(began.elapsed().as_secs_f64(), &[]))
        .build();
}

fn memory(meter: &Meter, budget: &Budget) {
    let (size, used) = (budget.clone(), budget.clone());
    let what = "Memory that transfers of all clients may take.";
    whole(meter, "sealift.memory.budget.size", "By", what, move |to| {
        to.observe(size.total() as u64, &[]);
    });
    let what = "Memory that transfers of all clients take.";
    whole(meter, "sealift.memory.budget.used", "By", what, move |to| {
        to.observe(used.used() as u64, &[]);
    });
}

fn ready(meter: &Meter, readiness: &Readiness) {
    let (all, parts, latency) = (readiness.clone(), readiness.clone(), readiness.clone());
    let regions = readiness.clone();
    let what = "Whether the instance can serve.";
    whole(meter, "sealift.ready", "", what, move |to| {
        to.observe(u64::from(all.is_ready()), &[]);
    });
    let what = "Whether the instance can serve as far as one part goes.";
    whole(meter, "sealift.ready.part", "", what, move |to| {
        for part in parts.parts().iter() {
            to.observe(u64::from(part.ready), &[KeyValue::new("part", part.name)]);
        }
    });
    let what = "Whether the instance can serve in one region as far as one part goes.";
    whole(meter, "sealift.ready.region", "", what, move |to| {
        for part in regions.parts().iter() {
            for region in &part.regions {
                let labels = [
                    KeyValue::new("part", part.name),
                    KeyValue::new("region", region.region.clone()),
                ];
                to.observe(u64::from(region.ready), &labels);
            }
        }
    });
    meter
        .f64_observable_gauge("sealift.ready.part.latency")
        .with_unit("s")
        .with_description("Time that the last answer of a part took.")
        .with_callback(move |to| {
            for part in latency.parts().iter() {
                if let Some(latency) = part.latency {
                    to.observe(latency.as_secs_f64(), &[KeyValue::new("part", part.name)]);
                }
            }
        })
        .build();
}

fn tenants(meter: &Meter, census: &Census) {
    let (bytes, files) = (census.clone(), census.clone());
    let what = "Bytes of a tenant's files, as counted within the last minute.";
    signed(meter, "sealift.tenant.stored", "By", what, move |to| {
        bytes.with(|figures| {
            for one in &figures.tenants {
                to.observe(one.bytes, &[tenant(&one.tenant)]);
            }
        });
    });
    let what = "A tenant's files and folders, as counted within the last minute.";
    signed(meter, "sealift.tenant.files", "", what, move |to| {
        files.with(|figures| {
            for one in &figures.tenants {
                to.observe(one.files, &[tenant(&one.tenant)]);
            }
        });
    });
    meter
        .u64_observable_counter("sealift.tenant.transfer")
        .with_unit("By")
        .with_description("Bytes of a tenant's files that were sent or received.")
        .with_callback(|to| {
            traffic::each_tenant(|name, received, sent| {
                for (direction, bytes) in [("in", received), ("out", sent)] {
                    let direction = KeyValue::new("direction", direction);
                    to.observe(bytes, &[tenant(name), direction]);
                }
            });
        })
        .build();
}

fn uploads(meter: &Meter, census: &Census) {
    let census = census.clone();
    let what = "Files that are being received here.";
    whole(meter, "sealift.uploads.open", "", what, |to| {
        to.observe(traffic::uploads(), &[]);
    });
    let what = "Uploads that broke off and are kept, as counted within the last minute.";
    whole(meter, "sealift.uploads.kept", "", what, move |to| {
        to.observe(census.with(|figures| figures.kept_uploads), &[]);
    });
}

fn replicas(meter: &Meter, census: &Census) {
    let (lag, keys) = (census.clone(), census.clone());
    let what =
        "Versions of tenants' keys that cannot be opened in a region if all others are lost.";
    whole(meter, "sealift.replica.keys.missing", "", what, move |to| {
        keys.with(|figures| {
            for (region, count) in &figures.replica_keys_missing {
                to.observe(*count, &[KeyValue::new("region", region.clone())]);
            }
        });
    });
    meter
        .f64_observable_gauge("sealift.replica.lag")
        .with_unit("s")
        .with_description("How long the oldest blob, or its key, waits for its copy in a region.")
        .with_callback(move |to| {
            lag.with(|figures| {
                for (region, waits) in &figures.replica_lag {
                    let region = KeyValue::new("region", region.clone());
                    to.observe(Duration::as_secs_f64(waits), &[region]);
                }
            });
        })
        .build();
}

fn webhooks(meter: &Meter, census: &Census) {
    let (waiting, dead, lag) = (census.clone(), census.clone(), census.clone());
    let what = "What webhooks are still to be told, as counted within the last minute.";
    whole(meter, "sealift.webhooks.waiting", "", what, move |to| {
        to.observe(waiting.with(|figures| figures.webhooks_waiting), &[]);
    });
    let what = "What webhooks were not told and is kept, as counted within the last minute.";
    whole(meter, "sealift.webhooks.dead", "", what, move |to| {
        to.observe(dead.with(|figures| figures.webhooks_dead), &[]);
    });
    meter
        .f64_observable_gauge("sealift.webhooks.lag")
        .with_unit("s")
        .with_description("How long the oldest of what webhooks are to be told has waited.")
        .with_callback(move |to| {
            let lag = lag.with(|figures| figures.webhooks_lag);
            to.observe(lag.as_secs_f64(), &[]);
        })
        .build();
}

fn expiry(meter: &Meter, certificates: Certificates, clock: Arc<dyn Clock>) {
    meter
        .f64_observable_gauge("sealift.certificate.left")
        .with_unit("s")
        .with_description(
            "How long a certificate that clients are shown is valid; below 0 it is over.",
        )
        .with_callback(move |to| {
            let now = clock.now();
            for (name, ends) in certificates.ends() {
                let left = (ends.0 - now.0) as f64 / 1e6;
                to.observe(left, &[KeyValue::new("name", name)]);
            }
        })
        .build();
}

fn runtime(meter: &Meter, handle: Handle) {
    let (tasks, queue) = (handle.clone(), handle.clone());
    let what = "Threads that run tasks.";
    whole(meter, "sealift.runtime.workers", "", what, move |to| {
        to.observe(handle.metrics().num_workers() as u64, &[]);
    });
    let what = "Tasks that are alive.";
    whole(meter, "sealift.runtime.tasks", "", what, move |to| {
        to.observe(tasks.metrics().num_alive_tasks() as u64, &[]);
    });
    let what = "Tasks that wait for any thread.";
    whole(meter, "sealift.runtime.queue", "", what, move |to| {
        to.observe(queue.metrics().global_queue_depth() as u64, &[]);
    });
}

fn tenant(name: &Arc<str>) -> KeyValue {
    KeyValue::new("tenant", name.clone())
}

fn whole(
    meter: &Meter,
    name: &'static str,
    unit: &'static str,
    what: &'static str,
    look: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    let gauge = meter.u64_observable_gauge(name);
    let gauge = gauge.with_unit(unit).with_description(what);
    gauge.with_callback(look).build();
}

fn signed(
    meter: &Meter,
    name: &'static str,
    unit: &'static str,
    what: &'static str,
    look: impl Fn(&dyn AsyncInstrument<i64>) + Send + Sync + 'static,
) {
    let gauge = meter.i64_observable_gauge(name);
    let gauge = gauge.with_unit(unit).with_description(what);
    gauge.with_callback(look).build();
}
