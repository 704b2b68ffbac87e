//! What went wrong, on standard error: OpenSSH's programs show a status of FAILURE as `Failure` and
//! nothing more, whatever sentence it carries.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::error::{Error, ErrorKind};
use crate::sftp::reply;

/// A sentence at most so often.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest sentence.
const MAX_BYTES: usize = 512;
/// So much in all of one channel: far less than its window, and than what a pipe holds that nobody reads.
const ALL_BYTES: usize = 16 * 1024;

/// Says sentences to one client. What would have to wait is not said.
pub struct Complaints {
    send: Box<dyn Fn(Bytes) -> bool + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    next: Option<Instant>,
    left: usize,
}

impl Complaints {
    /// Says them by `send`, which says whether it could at once.
    pub fn new(send: impl Fn(Bytes) -> bool + Send + Sync + 'static) -> Self {
        Self {
            send: Box::new(send),
            state: Mutex::new(State {
                next: None,
                left: ALL_BYTES,
            }),
        }
    }

    /// Says why a request failed, if the client would not tell its user.
    pub fn say(&self, error: &Error) {
        if !tells_nothing(error.kind()) {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.next.is_some_and(|next| now < next) {
            return;
        }
        let sentence = reply::printable(error.context());
        let end = sentence.floor_char_boundary(MAX_BYTES);
        let line = format!("{}\n", sentence.get(..end).unwrap_or_default());
        let Some(left) = state.left.checked_sub(line.len()) else {
            return;
        };
        if (self.send)(line.into()) {
            state.next = Some(now + PAUSE);
            state.left = left;
        }
    }
}

/// Whether the status of such an error says nothing. What programs try in order to learn what is there
/// (a folder that exists, or is not empty) is not told either: on a mounted folder they do it all the time.
fn tells_nothing(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Busy
        | ErrorKind::Changed
        | ErrorKind::Corrupt
        | ErrorKind::Internal
        | ErrorKind::Locked
        | ErrorKind::Quota
        | ErrorKind::Stale
        | ErrorKind::StorageFull
        | ErrorKind::Unavailable => true,
        ErrorKind::AlreadyExists
        | ErrorKind::Denied
        | ErrorKind::Invalid
        | ErrorKind::IsFolder
        | ErrorKind::NotEmpty
        | ErrorKind::NotFolder
        | ErrorKind::NotFound
        | ErrorKind::Unauthenticated
        | ErrorKind::Unsupported => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn full() -> Error {
        Error::new(ErrorKind::Quota, "quota\x1b of tenant reached")
    }

    #[tokio::test(start_paused = true)]
    async fn sentences_are_few_short_and_clean() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let into = said.clone();
        let complaints = Complaints::new(move |line| {
            into.lock().unwrap().push(line);
            true
        });
        complaints.say(&Error::not_found("no file 'x' here"));
        complaints.say(&full());
        complaints.say(&full());
        assert_eq!(
            *said.lock().unwrap(),
            [&b"quota\\u{1b} of tenant reached\n"[..]]
        );
        let long = Error::new(ErrorKind::Busy, "ä".repeat(MAX_BYTES));
        for _ in 0..1000 {
            tokio::time::advance(PAUSE).await;
            complaints.say(&long);
        }
        let said = said.lock().unwrap();
        assert!(said.iter().all(|line| line.len() <= MAX_BYTES + 1));
        let all: usize = said.iter().map(Bytes::len).sum();
        assert!(all <= ALL_BYTES && all > ALL_BYTES - 2 * MAX_BYTES, "{all}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_said_may_be_said_at_once() {
        let complaints = Complaints::new(|_| false);
        complaints.say(&full());
        let state = complaints.state.lock().unwrap();
        assert!(state.next.is_none());
        assert_eq!(state.left, ALL_BYTES);
    }
}
