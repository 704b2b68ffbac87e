//! Time on the clock, CPU time and memory of a server and all its children, and CPU time of the machine, read
//! from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::Outcome;

/// Linux shows CPU time in hundredths of a second, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// sshd's children of a session end a little after their client.
const CHILDREN_END_WITHIN: Duration = Duration::from_secs(3);

/// What one piece of work cost.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// User and system time of the server's processes, not of the client.
    pub(crate) cpu_seconds: f64,
    /// Time of all processors in which they were not idle, whoever had them. What it exceeds the server's by is
    /// what clients cost: when it is `seconds` for each processor, no server could be faster than that.
    pub(crate) machine_seconds: f64,
    /// The highest sum of resident memory seen; pages that processes share count for each.
    pub(crate) peak_mib: f64,
}

/// Runs `work` and measures the server whose first process is `pid`.
pub(crate) fn measure(pid: u32, work: impl FnOnce() -> Outcome<()>) -> Outcome<Cost> {
    let before = Tree::look(pid);
    let machine = machine_ticks()?;
    let over = Arc::new(AtomicBool::new(false));
    let watcher = thread::spawn({
        let over = Arc::clone(&over);
        move || watch(pid, &over)
    });
    let started = Instant::now();
    let done = work();
    let seconds = started.elapsed().as_secs_f64();
    let machine = machine_ticks()?.saturating_sub(machine);
    over.store(true, Ordering::Relaxed);
    let watched = watcher.join().map_err(|_| "the watcher ended early")?;
    done?;
    let after = Tree::look(pid);
    // Children that were waited for show in their parent; those still there, or lost, as last seen.
    let reaped = after.with_reaped.saturating_sub(before.with_reaped);
    let seen: u64 = watched
        .ticks
        .iter()
        .map(|(pid, ticks)| ticks.saturating_sub(before.ticks.get(pid).copied().unwrap_or(0)))
        .sum();
    Ok(Cost {
        seconds,
        cpu_seconds: reaped.max(seen) as f64 / TICKS_PER_SECOND,
        machine_seconds: machine as f64 / TICKS_PER_SECOND,
        peak_mib: watched.memory_kib as f64 / 1024.0,
    })
}

/// A look at a process and all below it.
#[derive(Default)]
struct Tree {
    /// Each process's own.
    ticks: BTreeMap<u32, u64>,
    /// The first process's with those of children it has waited for.
    with_reaped: u64,
    memory_kib: u64,
}

impl Tree {
    fn look(root: u32) -> Self {
        let mut tree = Self::default();
        let mut waiting = vec![root];
        while let Some(pid) = waiting.pop() {
            let Some(times) = times(pid) else { continue };
            tree.ticks.insert(pid, times.own);
            if pid == root {
                tree.with_reaped = times.own + times.reaped;
            }
            tree.memory_kib += memory_kib(pid).unwrap_or(0);
            waiting.extend(children(pid));
        }
        tree
    }
}

fn watch(root: u32, over: &AtomicBool) -> Tree {
    let mut watched = Tree::default();
    let mut deadline = None;
    loop {
        let now = Tree::look(root);
        let alone = now.ticks.len() <= 1;
        watched.ticks.extend(now.ticks);
        watched.memory_kib = watched.memory_kib.max(now.memory_kib);
        if over.load(Ordering::Relaxed) {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + CHILDREN_END_WITHIN);
            if alone || Instant::now() > deadline {
                return watched;
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// The first line of proc(5)'s /proc/stat, without `idle` and `iowait`, and without guests, which `user` holds.
fn machine_ticks() -> Outcome<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields = stat.split_whitespace().skip(1).take(8);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>()?;
    let is_busy = |at: &usize| *at != 3 && *at != 4;
    let busy = ticks.iter().enumerate().filter(|(at, _)| is_busy(at));
    Ok(busy.map(|(_, ticks)| ticks).sum())
}

struct Times {
    own: u64,
    reaped: u64,
}

/// Fields 14 to 17 of proc(5)'s stat; the name before them may hold anything but ends with `)`.
fn times(pid: u32) -> Option<Times> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let own = next()? + next()?;
    let reaped = next()? + next()?;
    Some(Times { own, reaped })
}

fn memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
