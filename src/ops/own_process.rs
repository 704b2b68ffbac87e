//! What the system says of this process, by the names that all of Prometheus' clients use.

use std::fs;

use opentelemetry::metrics::Meter;

/// How often the system counts in a second, in what it tells of processes: the same on all that we run on.
const TICKS: f64 = 100.0;

/// Has it looked at from now on.
pub fn register(meter: &Meter) {
    meter
        .f64_observable_counter("process.cpu")
        .with_unit("s")
        .with_description("Time of processors that the process took.")
        .with_callback(|to| {
            if let Some(time) = cpu_seconds() {
                to.observe(time, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.resident.memory")
        .with_unit("By")
        .with_description("Memory that the process has.")
        .with_callback(|to| {
            if let Some(bytes) = resident() {
                to.observe(bytes, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.open.fds")
        .with_description("Files and sockets that the process has open.")
        .with_callback(|to| {
            if let Ok(open) = fs::read_dir("/proc/self/fd") {
                to.observe(open.count() as u64, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.max.fds")
        .with_description("Files and sockets that the process may have open.")
        .with_callback(|to| {
            if let Some(most) = most_files() {
                to.observe(most, &[]);
            }
        })
        .build();
}

/// In user and system mode: fields 14 and 15 of `/proc/self/stat` (proc(5)).
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name may hold anything, and ends with the last parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn most_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_this_process() {
        assert!(cpu_seconds().is_some());
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
        assert!(most_files().is_some_and(|most| most >= 64));
    }
}
