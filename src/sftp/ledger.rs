//! What a connection has under way: requests without a reply, files that are open.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::error::{Error, ErrorKind, Result};
use crate::net::budget::{Budget, Share};

/// Most requests without a reply: clients that ask for a whole file at once (paramiko) get 16 GiB
/// in pieces of 32 KiB.
const MAX_REQUESTS: usize = 524_288;
/// So many more requests are paid for at once...
const STEP: usize = 4096;
/// ...at so much each. The first step is free, so that ordinary clients do without.
const REQUEST_BYTES: usize = 128;

/// Counts for one connection. Cheap to clone; clones share the counts.
#[derive(Clone)]
pub struct Ledger(Arc<Counts>);

struct Counts {
    budget: Budget,
    shares: Mutex<Vec<Share>>,
    requests: AtomicUsize,
    seen: AtomicU64,
    files: AtomicUsize,
}

impl Ledger {
    /// Nothing under way; requests beyond the usual are paid for from `budget`.
    pub fn new(budget: Budget) -> Self {
        Self(Arc::new(Counts {
            budget,
            shares: Mutex::default(),
            requests: AtomicUsize::new(0),
            seen: AtomicU64::new(0),
            files: AtomicUsize::new(0),
        }))
    }

    /// Counts a request until its reply is on its way.
    ///
    /// # Errors
    /// Busy when the client has sent far more than it has taken replies.
    pub fn request(&self) -> Result<Ticket> {
        self.0.seen.fetch_add(1, Ordering::Relaxed);
        let count = self.0.requests.fetch_add(1, Ordering::AcqRel) + 1;
        let ticket = Ticket(self.clone());
        match count <= MAX_REQUESTS && self.pay(count) {
            true => Ok(ticket),
            false => Err(Error::new(
                ErrorKind::Busy,
                format!("{count} requests are without a reply; send fewer at a time"),
            )),
        }
    }

    /// Counts an open file.
    pub fn file(&self) -> OpenFile {
        self.0.files.fetch_add(1, Ordering::AcqRel);
        OpenFile(self.clone())
    }

    /// Requests that ever came.
    pub fn seen(&self) -> u64 {
        self.0.seen.load(Ordering::Relaxed)
    }

    /// Whether no request waits for its reply.
    pub fn is_waiting_for_client(&self) -> bool {
        self.0.requests.load(Ordering::Acquire) == 0
    }

    /// Whether nothing would be broken off by ending the session now.
    pub fn is_quiet(&self) -> bool {
        self.is_waiting_for_client() && self.0.files.load(Ordering::Acquire) == 0
    }

    /// Takes or gives back budget when `count` crosses a step.
    fn pay(&self, count: usize) -> bool {
        if !count.is_multiple_of(STEP) {
            return true;
        }
        let steps = count / STEP;
        let mut shares = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.truncate(steps);
        while shares.len() < steps {
            let own = shares.len() * STEP * REQUEST_BYTES;
            match self.0.budget.try_take_fair(own, STEP * REQUEST_BYTES) {
                Some(share) => shares.push(share),
                None => return false,
            }
        }
        true
    }
}

/// A request without a reply; dropped when the reply is on its way.
pub struct Ticket(Ledger);

impl Drop for Ticket {
    fn drop(&mut self) {
        let count = self.0.0.requests.fetch_sub(1, Ordering::AcqRel) - 1;
        // Paying for less than before cannot fail.
        self.0.pay(count);
    }
}

/// An open file; dropped when it is closed.
pub struct OpenFile(Ledger);

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.0.files.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_requests_are_paid_for_and_given_back() {
        // An eighth of what is left of three quarters: two steps, not three.
        let budget = Budget::new(24 * STEP * REQUEST_BYTES);
        let ledger = Ledger::new(budget.clone());
        let mut tickets: Vec<_> = (1..STEP).map(|_| ledger.request().unwrap()).collect();
        assert_eq!(budget.used(), 0);
        tickets.extend((0..2 * STEP).map(|_| ledger.request().unwrap()));
        assert_eq!(budget.used(), 2 * STEP * REQUEST_BYTES);
        assert!(ledger.request().is_err());
        drop(tickets);
        assert_eq!(budget.used(), 0);
        assert!(ledger.is_quiet());
    }

    #[test]
    fn an_open_file_is_not_quiet() {
        let ledger = Ledger::new(Budget::new(0));
        let file = ledger.file();
        assert!(ledger.is_waiting_for_client());
        assert!(!ledger.is_quiet());
        drop(file);
        assert!(ledger.is_quiet());
    }
}
