//! Which tenant a name of a host stands for, without a query for each request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::accounts::login::Accounts;
use crate::domain::error::Result;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(5);
/// Most names that are remembered: clients may ask for any.
const MOST: usize = 1_000;

/// Names of hosts that were asked for lately.
#[derive(Default)]
pub struct Hosts {
    known: Mutex<HashMap<String, (Option<String>, Instant)>>,
}

impl Hosts {
    /// The name of the tenant that a host belongs to, as it was a few seconds ago.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn tenant_of(&self, accounts: &Accounts, host: &str) -> Result<Option<String>> {
        let now = Instant::now();
        let is_fresh = |since: &Instant| now.duration_since(*since) < FRESH;
        if let Some((tenant, since)) = self.lock().get(host)
            && is_fresh(since)
        {
            return Ok(tenant.clone());
        }
        let tenant = accounts.tenant_of_host(host).await?;
        let mut known = self.lock();
        if known.len() >= MOST {
            known.retain(|_, (_, since)| is_fresh(since));
        }
        if known.len() < MOST {
            known.insert(host.to_owned(), (tenant.clone(), now));
        }
        Ok(tenant)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Option<String>, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
