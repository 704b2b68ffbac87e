//! What workers and mischief-makers share.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::chaos::doors::Trouble;
use crate::chaos::ground::{Ground, Instance};
use crate::chaos::hands::Door;
use crate::chaos::oracle::Oracle;
use crate::support::wait::wait_for;

/// Within which workers do something, whatever is wrong.
const STALL: Duration = Duration::from_secs(180);

pub(crate) struct Story {
    pub(crate) ground: Ground,
    pub(crate) oracle: Oracle,
    /// Whether there is time for what takes half a minute.
    pub(crate) is_long: bool,
    /// How often anything was asked for, whatever became of it.
    asked: AtomicU64,
    /// Workers that find nobody.
    idle: AtomicU64,
    workers: u64,
    is_over: AtomicBool,
    /// Held for an instance that answers nobody: the other one does.
    pub(crate) away: Mutex<()>,
    tally: Mutex<BTreeMap<String, u64>>,
}

/// Ends the story for all when one of them fails.
pub(crate) struct EndsIfFailed<'a>(pub(crate) &'a Story);

impl Story {
    pub(crate) fn on(ground: Ground, workers: u64, is_long: bool) -> Self {
        Self {
            ground,
            is_long,
            oracle: Oracle::default(),
            asked: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            workers,
            is_over: AtomicBool::new(false),
            away: Mutex::default(),
            tally: Mutex::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Waits until workers have asked for so much more, or none of them can, or all is over.
    pub(crate) fn go_on_for(&self, asked: u64) {
        let until = self.asked.load(Ordering::SeqCst) + asked;
        wait_for("the workers to go on", STALL, || {
            let is_there = self.asked.load(Ordering::SeqCst) >= until;
            let is_idle = self.idle.load(Ordering::SeqCst) == self.workers;
            (is_there || is_idle || self.is_over()).then_some(())
        });
    }

    /// A worker was answered, or not.
    #[track_caller]
    pub(crate) fn tell(&self, what: &str, door: Door, trouble: Option<&Trouble>) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let became = match trouble {
            None => "done".to_owned(),
            Some(Trouble::Missing(_)) => "nothing there".to_owned(),
            Some(Trouble::Refused(told)) => format!("refused ({told})"),
            Some(Trouble::Silent(told)) => format!("no answer ({told})"),
            Some(Trouble::Wrong(told)) => panic!("{what} by {door:?}: {told}"),
        };
        self.count(&format!("{what} by {door:?}: {became}"));
    }

    /// A worker did not find anybody: it waits until somebody listens.
    pub(crate) fn nobody_there(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.count("nobody there");
        self.idle.fetch_add(1, Ordering::SeqCst);
        wait_for("an instance to listen", STALL, || {
            let lives = self.ground.instances.iter().filter_map(Instance::life);
            let is_there = lives.map(|life| TcpStream::connect(life.https).is_ok());
            (is_there.max() == Some(true) || self.is_over()).then_some(())
        });
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn count(&self, what: &str) {
        *self
            .tally
            .lock()
            .unwrap()
            .entry(what.to_owned())
            .or_default() += 1;
    }

    /// How often each thing happened.
    pub(crate) fn tally(&self) -> String {
        let tally = self.tally.lock().unwrap();
        let lines = tally
            .iter()
            .map(|(what, count)| format!("{count:6} {what}\n"));
        lines.collect()
    }
}

impl Drop for EndsIfFailed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}
