//! Counting by address: connections that are open before login, and failures in memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::clock::Timestamp;

/// Most addresses whose failures are remembered.
const MAX_REMEMBERED: usize = 65_536;

/// What counts as one address: IPv4 as it is, also when mapped into IPv6; IPv6 by its /64, which
/// is what one customer is given.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// How many connections may be open before login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// From one address (IPv6: one /64).
    pub per_address: usize,
    /// In all.
    pub total: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            per_address: 64,
            total: 1024,
        }
    }
}

/// Places for connections. Cheap to clone; clones share the count, so that several listeners can
/// have one limit.
#[derive(Clone)]
pub struct Places {
    shared: Arc<Shared>,
}

struct Shared {
    limits: ConnectionLimits,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Which limit refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The one of the address.
    Address,
    /// The one of all.
    Total,
}

impl Places {
    /// Places within `limits`.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                limits,
                taken: Mutex::default(),
                freed: Notify::new(),
            }),
        }
    }

    /// Takes a place for `address`, or says which limit is reached; never waits.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn try_take(&self, address: IpAddr) -> Result<Place, Full> {
        self.try_take_unnamed()?.named(address)
    }

    /// Takes a place for an address that will be known later: see [`Place::named`].
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn try_take_unnamed(&self) -> Result<Place, Full> {
        let mut taken = self.shared.lock();
        if taken.total >= self.shared.limits.total {
            return Err(Full::Total);
        }
        taken.total += 1;
        drop(taken);
        Ok(Place {
            shared: self.shared.clone(),
            address: None,
        })
    }

    /// Places taken now.
    pub fn taken(&self) -> usize {
        self.shared.lock().total
    }

    /// Returns when a place is given back after this was called.
    pub async fn freed(&self) {
        self.shared.freed.notified().await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place; given back when dropped. A connection drops it when it has logged in.
#[must_use = "a place that is dropped is given back"]
pub struct Place {
    shared: Arc<Shared>,
    /// None while it is not known.
    address: Option<IpAddr>,
}

impl Place {
    /// The same place, now of `address`.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn named(mut self, address: IpAddr) -> Result<Self, Full> {
        let address = neighbourhood(address);
        let shared = self.shared.clone();
        let mut taken = shared.lock();
        let here = taken.by_address.get(&address).copied().unwrap_or(0);
        if here >= shared.limits.per_address {
            // Its own drop takes the lock.
            drop(taken);
            return Err(Full::Address);
        }
        taken.by_address.insert(address, here + 1);
        self.address = Some(address);
        drop(taken);
        Ok(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.lock();
        taken.total -= 1;
        if let Some(address) = &self.address {
            match taken.by_address.get_mut(address) {
                Some(here) if *here > 1 => *here -= 1,
                _ => drop(taken.by_address.remove(address)),
            }
        }
        drop(taken);
        self.shared.freed.notify_waiters();
    }
}

/// Failures by address, in memory: `burst` at once, then one each `every`.
pub struct Failures {
    burst: u32,
    every: Duration,
    /// When the last of the address's failures will be forgotten.
    until: Mutex<HashMap<IpAddr, Timestamp>>,
}

impl Failures {
    /// Allows `burst` failures at once and one more each `every`.
    pub fn new(burst: u32, every: Duration) -> Self {
        Self {
            burst,
            every,
            until: Mutex::default(),
        }
    }

    /// How long `address` has to wait before its next try; zero when it need not.
    pub fn wait(&self, address: IpAddr, now: Timestamp) -> Duration {
        let until = self.lock().get(&neighbourhood(address)).copied();
        let allowed = now.plus(self.every * self.burst.saturating_sub(1));
        until.map_or(Duration::ZERO, |until| until.since(allowed))
    }

    /// Counts a failure.
    pub fn count(&self, address: IpAddr, now: Timestamp) {
        let mut all = self.lock();
        if all.len() >= MAX_REMEMBERED {
            all.retain(|_, until| *until > now);
        }
        if all.len() >= MAX_REMEMBERED {
            all.clear();
        }
        let until = all.entry(neighbourhood(address)).or_insert(now);
        *until = (*until).max(now).plus(self.every);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Timestamp>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_and_all_addresses_have_their_limits() {
        let places = Places::new(ConnectionLimits {
            per_address: 2,
            total: 3,
        });
        let first = places.try_take(ip("192.0.2.1")).unwrap();
        let _second = places.try_take(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(places.try_take(ip("192.0.2.1")).err(), Some(Full::Address));
        let _third = places.try_take(ip("192.0.2.2")).unwrap();
        assert_eq!(places.try_take(ip("192.0.2.3")).err(), Some(Full::Total));
        drop(first);
        assert!(places.try_take(ip("192.0.2.1")).is_ok());
        assert_eq!(places.taken(), 2);
    }

    #[test]
    fn addresses_of_one_v6_network_count_together() {
        let places = Places::new(ConnectionLimits {
            per_address: 1,
            total: 9,
        });
        let _place = places.try_take(ip("2001:db8:1:2::1")).unwrap();
        assert!(places.try_take(ip("2001:db8:1:2:ffff::9")).is_err());
        assert!(places.try_take(ip("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn after_a_burst_failures_cost_time() {
        let failures = Failures::new(3, Duration::from_secs(10));
        let (peer, now) = (ip("192.0.2.1"), Timestamp::from_seconds(1_000));
        for _ in 0..3 {
            assert_eq!(failures.wait(peer, now), Duration::ZERO);
            failures.count(peer, now);
        }
        assert_eq!(failures.wait(peer, now), Duration::from_secs(10));
        assert_eq!(failures.wait(ip("192.0.2.2"), now), Duration::ZERO);
        let later = now.plus(Duration::from_secs(10));
        assert_eq!(failures.wait(peer, later), Duration::ZERO);
    }
}
