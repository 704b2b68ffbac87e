//! Logins that wait for a second proof.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;

use crate::accounts::attempt::Attempt;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::random;

/// How long a proof is waited for.
pub const WAIT: Duration = Duration::from_secs(3 * 60);
/// Most that wait.
const MOST: usize = 10_000;
/// Most that wait of one account: beyond that, what has waited longest of it gives way to one more.
pub const MOST_OF_ACCOUNT: usize = 100;

/// A login whose password was right.
pub struct Waiting {
    /// What was proven so far.
    pub attempt: Attempt,
    /// The name as it was typed.
    pub login: String,
    /// From where.
    pub address: IpAddr,
}

/// Logins that wait, on this instance. A name that is handed out for one is good once.
#[derive(Default)]
pub struct Pending {
    all: Mutex<HashMap<String, (Waiting, Instant)>>,
}

impl Pending {
    /// Has a login wait, by the name that is returned.
    ///
    /// # Errors
    /// Busy when too many wait.
    pub fn add(&self, waiting: Waiting) -> Result<String> {
        let id = HEXLOWER.encode(&random::bytes::<32>());
        let now = Instant::now();
        let mut all = self.lock();
        let account = waiting.attempt.account();
        let own = all.iter();
        let own = own.filter(|(_, (other, _))| other.attempt.account() == account);
        let own: Vec<_> = own.map(|(id, (_, since))| (*since, id)).collect();
        if own.len() >= MOST_OF_ACCOUNT
            && let Some(oldest) = own.into_iter().min().map(|(_, id)| id.clone())
        {
            all.remove(&oldest);
        }
        if all.len() >= MOST {
            all.retain(|_, (_, since)| now.duration_since(*since) < WAIT);
        }
        if all.len() >= MOST {
            return Err(Error::new(
                ErrorKind::Busy,
                "too many logins wait for a code; try again in a few minutes",
            ));
        }
        all.insert(id.clone(), (waiting, now));
        Ok(id)
    }

    /// Takes the login of that name up again, from where it began; none when it is too late.
    pub fn take(&self, id: &str, address: IpAddr) -> Option<Waiting> {
        let (waiting, since) = self.lock().remove(id)?;
        let in_time = Instant::now().duration_since(since) < WAIT;
        (in_time && waiting.address == address).then_some(waiting)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Waiting, Instant)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
