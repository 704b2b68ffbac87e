//! Files on their way: bytes as they move, by door and by tenant, and how each transfer ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tracing::Span;

use crate::domain::measures;
use crate::domain::principal::{Principal, Protocol};
use crate::domain::spans;

/// So many tenants have counters of their own; those that come after them share one, "other".
pub const MOST_TENANTS: usize = 500;
/// What those share.
const OTHER: &str = "other";

static TENANTS: LazyLock<Mutex<HashMap<Arc<str>, Arc<Traffic>>>> = LazyLock::new(Mutex::default);
static UNDER_WAY: AtomicU64 = AtomicU64::new(0);

/// Bytes of one tenant's files since the process began.
#[derive(Debug, Default)]
struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

/// Which way a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    In,
    /// To a client.
    Out,
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// How a transfer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ends before its end, and nothing of ours is to blame.
    BrokenOff,
    /// All of it came through.
    Complete,
    /// An error ended it.
    Failed,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::BrokenOff => "broken-off",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }
}

/// A file on its way. Counted at its end, which is when this is dropped unless somebody says so before; one
/// of which nothing moved and that did not come to an end is no transfer.
#[derive(Debug)]
pub struct Transfer {
    protocol: Protocol,
    direction: Direction,
    traffic: Arc<Traffic>,
    moved: AtomicU64,
    failed: AtomicBool,
    over: AtomicBool,
    span: Span,
}

impl Transfer {
    /// Begins to count.
    pub fn new(principal: &Principal, direction: Direction) -> Self {
        if direction == Direction::In {
            UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            protocol: principal.protocol,
            direction,
            traffic: traffic(&principal.login.tenant),
            moved: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            span: spans::transfer(principal, direction.as_str()),
        }
    }

    /// What it is traced as.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Some of it moved.
    pub fn moved(&self, bytes: usize) {
        let bytes = bytes as u64;
        let of_tenant = match self.direction {
            Direction::In => &self.traffic.received,
            Direction::Out => &self.traffic.sent,
        };
        of_tenant.fetch_add(bytes, Ordering::Relaxed);
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        measures::moved(self.protocol, self.direction.as_str(), bytes);
    }

    /// An error was met, which counts if nobody says otherwise.
    pub fn failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// It came as far as it was to; its end will be that of another part.
    pub fn goes_on_later(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// It is over; what is said later does not count.
    pub fn end(&self, ending: Ending) {
        if !self.over.swap(true, Ordering::Relaxed) {
            measures::transfer(self.protocol, self.direction.as_str(), ending.as_str());
            self.span.record("outcome", ending.as_str());
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.direction == Direction::In {
            UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        }
        let moved = self.moved.load(Ordering::Relaxed);
        self.span.record("bytes", moved);
        let failed = self.failed.load(Ordering::Relaxed);
        match failed {
            true => self.end(Ending::Failed),
            false if moved > 0 => self.end(Ending::BrokenOff),
            false => {}
        }
    }
}

/// Uploads in progress in this process.
pub fn uploads() -> u64 {
    UNDER_WAY.load(Ordering::Relaxed)
}

/// Calls `tell` with the name of each tenant and the bytes that it received and was sent.
pub fn each_tenant(mut tell: impl FnMut(&Arc<str>, u64, u64)) {
    let all = TENANTS.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, traffic) in all.iter() {
        let received = traffic.received.load(Ordering::Relaxed);
        tell(name, received, traffic.sent.load(Ordering::Relaxed));
    }
}

fn traffic(tenant: &str) -> Arc<Traffic> {
    let mut all = TENANTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = all.get(tenant) {
        return found.clone();
    }
    let name = match all.len() < MOST_TENANTS {
        true => tenant,
        false => OTHER,
    };
    all.entry(name.into()).or_default().clone()
}
