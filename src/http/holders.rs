//! Who holds the memory without which nobody can be answered: nobody more than a fair part of it, however slowly
//! they take their answers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::domain::id::{AccountId, TenantId};
use crate::domain::principal::Principal;
use crate::net::budget::{Budget, Share};
use crate::net::limit::neighbourhood;

/// For whom memory is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// An account that has logged in.
    Account(TenantId, AccountId),
    /// Whoever is at an address (IPv6: in its /64): those who come by links, and strangers.
    Address(IpAddr),
}

impl Holder {
    /// Who is answered.
    pub fn of(principal: &Principal) -> Self {
        match principal.link {
            None => Self::Account(principal.tenant, principal.account),
            Some(_) => Self::at(principal.address),
        }
    }

    /// Whoever is at an address.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(neighbourhood(address))
    }
}

/// What each holder has of a budget.
pub struct Holders {
    budget: Budget,
    own: Arc<Own>,
}

#[derive(Default)]
struct Own(Mutex<HashMap<Holder, usize>>);

impl Holders {
    /// Nobody has anything yet.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            own: Arc::default(),
        }
    }

    /// Takes `bytes` as [`Budget::try_take_least`], unless that is more than a fair part for this holder.
    pub fn try_take(&self, holder: Holder, bytes: usize) -> Option<Holding> {
        let mut own = self.own.lock();
        let before = own.get(&holder).copied().unwrap_or(0);
        let share = self.budget.try_take_least_fair(before, bytes)?;
        own.insert(holder, before + bytes);
        drop(own);
        Some(Holding {
            _held: Arc::new(Held {
                own: self.own.clone(),
                holder,
                share,
            }),
        })
    }
}

impl Own {
    fn lock(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What somebody holds; given back when the last clone is dropped.
#[derive(Clone)]
#[must_use = "what is dropped is given back"]
pub struct Holding {
    _held: Arc<Held>,
}

struct Held {
    own: Arc<Own>,
    holder: Holder,
    share: Share,
}

impl Holding {
    /// Bytes that keep it until the last of their clones is dropped.
    pub fn around(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Around {
            bytes,
            _holding: self,
        })
    }
}

struct Around {
    bytes: Bytes,
    _holding: Holding,
}

impl AsRef<[u8]> for Around {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut own = self.own.lock();
        match own.get_mut(&self.holder) {
            Some(bytes) if *bytes > self.share.bytes() => *bytes -= self.share.bytes(),
            _ => drop(own.remove(&self.holder)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LITTLE: usize = 32 * 1024;

    fn at(last: u8) -> Holder {
        Holder::at(Ipv4Addr::new(192, 0, 2, last).into())
    }

    #[test]
    fn whoever_holds_all_that_one_can_get_keeps_nobody_else_from_getting_some() {
        let budget = Budget::new(64 << 20);
        let holders = Holders::new(budget.clone());
        let mut held = Vec::new();
        for last in 1..20 {
            let before = held.len();
            held.extend(std::iter::from_fn(|| holders.try_take(at(last), LITTLE)));
            assert!(held.len() - before >= 4, "{last}: {}", held.len() - before);
        }
        drop(held);
        assert_eq!(budget.used(), 0);
        assert!(holders.own.lock().is_empty());
    }

    #[test]
    fn what_one_wants_alone_may_be_all_that_there_is() {
        let holders = Holders::new(Budget::new(16 << 20));
        let held = holders.try_take(at(1), 8 << 20).unwrap();
        assert!(holders.try_take(at(1), 1 << 20).is_none());
        assert!(holders.try_take(at(2), 1 << 20).is_some());
        drop(held);
        assert!(holders.try_take(at(1), 1 << 20).is_some());
    }

    #[test]
    fn addresses_that_one_customer_has_hold_together() {
        let one = Holder::at("2001:db8:1:2::1".parse().unwrap());
        assert_eq!(one, Holder::at("2001:db8:1:2:3::".parse().unwrap()));
        assert_ne!(one, Holder::at("2001:db8:1:3::1".parse().unwrap()));
    }
}
