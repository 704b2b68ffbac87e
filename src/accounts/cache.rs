//! Passwords that were right a moment ago, so that a client that logs in again and again does not
//! pay for each login.
//!
//! Keys are HMACs under a key of this process over tenant, account, its generation and the
//! password: no password is kept, and whatever changes an account makes its entries unreachable.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::sync::watch;

use crate::domain::clock::Timestamp;
use crate::domain::id::{AccountId, TenantId};
use crate::domain::random;
use crate::domain::secret::Secret;

/// The keyed hash of one login.
pub(in crate::accounts) type Mark = [u8; 32];

/// A bounded memory of right passwords. Cheap to clone.
#[derive(Clone)]
pub(in crate::accounts) struct Cache {
    shared: Arc<Shared>,
}

struct Shared {
    key: hmac::Key,
    lifetime: Duration,
    capacity: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    right: HashMap<Mark, Timestamp>,
    /// The marks in the order in which they run out.
    order: VecDeque<Mark>,
    /// Logins that are being verified now, and where their outcome will be told.
    under_way: HashMap<Mark, watch::Receiver<bool>>,
}

/// What is known about a login.
pub(in crate::accounts) enum Lookup {
    /// The same login is being verified: wait for it with [`Follow::was_right`].
    Follow(Follow),
    /// Nothing: verify it, and tell.
    Lead(Lead),
    /// The password was right a moment ago.
    Right,
}

impl Cache {
    pub(in crate::accounts) fn new(lifetime: Duration, capacity: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()),
                lifetime,
                capacity,
                known: Mutex::default(),
            }),
        }
    }

    /// The mark of a login; `generation` changes with the account.
    pub(in crate::accounts) fn mark(
        &self,
        tenant: TenantId,
        account: AccountId,
        generation: i64,
        password: &Secret,
    ) -> Mark {
        let mut context = hmac::Context::with_key(&self.shared.key);
        for number in [tenant.0, account.0, generation] {
            context.update(&number.to_be_bytes());
        }
        context.update(password.expose());
        let mut mark = [0; 32];
        for (to, from) in mark.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        mark
    }

    /// Looks a login up; who is told to lead verifies for all others that follow.
    pub(in crate::accounts) fn look_up(&self, mark: Mark, now: Timestamp) -> Lookup {
        let mut known = self.shared.lock();
        if known.right.get(&mark).is_some_and(|until| *until > now) {
            return Lookup::Right;
        }
        if let Some(outcome) = known.under_way.get(&mark) {
            return Lookup::Follow(Follow(outcome.clone()));
        }
        let (tell, outcome) = watch::channel(false);
        known.under_way.insert(mark, outcome);
        Lookup::Lead(Lead {
            cache: self.clone(),
            mark,
            tell,
        })
    }

    fn remember(&self, mark: Mark, now: Timestamp) {
        let until = now.plus(self.shared.lifetime);
        let mut known = self.shared.lock();
        while let Some(first) = known.order.front().copied() {
            let run_out = known.right.get(&first).is_none_or(|until| *until <= now);
            if !run_out && known.order.len() < self.shared.capacity {
                break;
            }
            known.order.pop_front();
            known.right.remove(&first);
        }
        if known.right.insert(mark, until).is_some() {
            known.order.retain(|other| *other != mark);
        }
        known.order.push_back(mark);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Verifies a login for all that follow. Dropping it tells them that it was not right.
pub(in crate::accounts) struct Lead {
    cache: Cache,
    mark: Mark,
    tell: watch::Sender<bool>,
}

impl Lead {
    /// The password was right: remembers it and tells.
    pub(in crate::accounts) fn right(self, now: Timestamp) {
        self.cache.remember(self.mark, now);
        self.tell.send_replace(true);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.cache.shared.lock().under_way.remove(&self.mark);
    }
}

/// Waits for another's verification of the same login.
pub(in crate::accounts) struct Follow(watch::Receiver<bool>);

impl Follow {
    /// Whether it turned out right.
    pub(in crate::accounts) async fn was_right(mut self) -> bool {
        self.0.wait_for(|right| *right).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId(1);
    const ACCOUNT: AccountId = AccountId(7);
    const NOW: Timestamp = Timestamp(1_000_000);

    fn lead(cache: &Cache, mark: Mark) -> Lead {
        match cache.look_up(mark, NOW) {
            Lookup::Lead(lead) => lead,
            Lookup::Follow(_) | Lookup::Right => panic!("nothing is known yet"),
        }
    }

    #[test]
    fn a_right_password_is_known_for_a_while_and_for_its_generation_only() {
        let cache = Cache::new(Duration::from_secs(300), 8);
        let password = Secret::new("hunter2");
        let mark = cache.mark(TENANT, ACCOUNT, 1, &password);
        lead(&cache, mark).right(NOW);
        assert!(matches!(cache.look_up(mark, NOW), Lookup::Right));
        let later = cache.mark(TENANT, ACCOUNT, 2, &password);
        assert!(matches!(cache.look_up(later, NOW), Lookup::Lead(_)));
        let over = NOW.plus(Duration::from_secs(300));
        assert!(matches!(cache.look_up(mark, over), Lookup::Lead(_)));
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let cache = Cache::new(Duration::from_secs(300), 2);
        let marks = [[1; 32], [2; 32], [3; 32]];
        for mark in marks {
            lead(&cache, mark).right(NOW);
        }
        assert!(matches!(cache.look_up(marks[0], NOW), Lookup::Lead(_)));
        assert!(matches!(cache.look_up(marks[2], NOW), Lookup::Right));
        assert!(cache.shared.lock().right.len() <= 2);
    }

    #[tokio::test]
    async fn those_who_follow_learn_the_outcome() {
        let cache = Cache::new(Duration::from_secs(300), 8);
        let first = lead(&cache, [1; 32]);
        let Lookup::Follow(follow) = cache.look_up([1; 32], NOW) else {
            panic!("a verification is under way");
        };
        first.right(NOW);
        assert!(follow.was_right().await);

        let second = lead(&cache, [2; 32]);
        let Lookup::Follow(follow) = cache.look_up([2; 32], NOW) else {
            panic!("a verification is under way");
        };
        drop(second);
        assert!(!follow.was_right().await);
    }
}
