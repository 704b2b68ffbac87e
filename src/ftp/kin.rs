//! Which sessions of TLS belong to a control connection: its own, and those of data connections that
//! resumed one of them. A data connection that resumed none has tickets that are worth nothing, or
//! whoever is refused once would have what it takes the second time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::net::tickets::Mark;

/// More than a client keeps tickets of.
const MOST: usize = 64;

/// The sessions of TLS that belong to a control connection.
#[derive(Debug)]
pub struct Kin {
    own: Mark,
    resumed: Mutex<VecDeque<Mark>>,
}

impl Kin {
    /// Of a control connection with this mark.
    pub fn of(own: Mark) -> Self {
        Self {
            own,
            resumed: Mutex::default(),
        }
    }

    /// Whether a session with `mark` belongs to it; if so, those with `next` do from now on.
    pub fn admit(&self, mark: Option<Mark>, next: Mark) -> bool {
        let mut resumed = self.resumed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = mark.is_some_and(|mark| mark == self.own || resumed.contains(&mark));
        if is_known {
            resumed.truncate(MOST - 1);
            resumed.push_front(next);
        }
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_belong_by_descent_and_not_by_having_been_refused() {
        let [own, first, second, refused] = [1, 2, 3, 4].map(|byte| Mark([byte; 16]));
        let kin = Kin::of(own);
        assert!(!kin.admit(None, refused));
        assert!(!kin.admit(Some(refused), refused));
        assert!(kin.admit(Some(own), first));
        assert!(kin.admit(Some(first), second));
        assert!(kin.admit(Some(second), first));
    }

    #[test]
    fn the_latest_are_remembered() {
        let mark = |number: u8| Mark([number; 16]);
        let kin = Kin::of(mark(0));
        for number in 1..=100 {
            assert!(kin.admit(Some(mark(0)), mark(number)));
        }
        assert!(kin.admit(Some(mark(100)), mark(101)));
        assert!(!kin.admit(Some(mark(1)), mark(102)));
    }
}
