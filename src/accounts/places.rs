//! The places for sessions that an account and its tenant have, over all instances.

use std::collections::HashMap;
use std::ops::Add;
use std::time::Duration;

use crate::db::accounts::Account;
use crate::db::tenants::Tenant;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, TenantId};

/// While more places than this are known to be free, nobody asks the database before taking one: so many sessions
/// do not begin before all instances have told of theirs.
const PLENTY: u64 = 500;
/// How long it is good what was heard of other instances; it is heard every second.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// How many sessions there may be at a time, at all instances together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Of one account.
    pub per_account: u64,
    /// Of all accounts of one tenant.
    pub per_tenant: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            per_account: 1_000,
            per_tenant: 10_000,
        }
    }
}

impl SessionLimits {
    /// With what the tenant and the account have of their own.
    pub(in crate::accounts) fn over(self, tenant: &Tenant, account: &Account) -> Self {
        Self {
            per_account: account.rules.sessions.unwrap_or(self.per_account),
            per_tenant: tenant.sessions.unwrap_or(self.per_tenant),
        }
    }

    /// Whether there is a place beside those that are taken.
    ///
    /// # Errors
    /// Busy when the account or the tenant has as many as it may have.
    pub(in crate::accounts) fn check(self, taken: Taken) -> Result<()> {
        if taken.of_account >= self.per_account {
            return Err(too_many("account", self.per_account));
        }
        if taken.of_tenant >= self.per_tenant {
            return Err(too_many("tenant", self.per_tenant));
        }
        Ok(())
    }

    /// Whether so many places are free that it makes no difference what others did within the last second.
    pub(in crate::accounts) fn has_plenty(self, taken: Taken) -> bool {
        let is_plenty = |taken: u64, limit: u64| taken.saturating_add(PLENTY) < limit;
        is_plenty(taken.of_account, self.per_account) && is_plenty(taken.of_tenant, self.per_tenant)
    }
}

/// Places that are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::accounts) struct Taken {
    /// Of the account.
    pub(in crate::accounts) of_account: u64,
    /// Of its tenant, those of the account among them.
    pub(in crate::accounts) of_tenant: u64,
}

impl Add for Taken {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            of_account: self.of_account.saturating_add(other.of_account),
            of_tenant: self.of_tenant.saturating_add(other.of_tenant),
        }
    }
}

/// What was heard of the sessions at other instances.
#[derive(Default)]
pub(in crate::accounts) struct Elsewhere {
    heard: HashMap<TenantId, Heard>,
}

struct Heard {
    of_accounts: HashMap<AccountId, u64>,
    at: Timestamp,
}

impl Elsewhere {
    /// Takes down how many places the accounts of a tenant take there.
    pub(in crate::accounts) fn hear(
        &mut self,
        tenant: TenantId,
        of_accounts: HashMap<AccountId, u64>,
        at: Timestamp,
    ) {
        self.heard.insert(tenant, Heard { of_accounts, at });
    }

    /// Forgets what is good no more.
    pub(in crate::accounts) fn forget_old(&mut self, now: Timestamp) {
        self.heard.retain(|_, heard| now.since(heard.at) < GOOD_FOR);
    }

    /// The places that are taken there; none when nothing was heard lately.
    pub(in crate::accounts) fn taken(
        &self,
        tenant: TenantId,
        account: AccountId,
        now: Timestamp,
    ) -> Option<Taken> {
        let heard = self.heard.get(&tenant)?;
        (now.since(heard.at) < GOOD_FOR).then(|| Taken {
            of_account: heard.of_accounts.get(&account).copied().unwrap_or(0),
            of_tenant: heard.of_accounts.values().sum(),
        })
    }
}

fn too_many(whose: &str, limit: u64) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!(
            "the {whose} has {limit} sessions, as many as it may have; close one and try again"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SessionLimits = SessionLimits {
        per_account: 1_000,
        per_tenant: 10_000,
    };

    fn taken(of_account: u64, of_tenant: u64) -> Taken {
        Taken {
            of_account,
            of_tenant,
        }
    }

    #[test]
    fn the_last_place_is_given_and_no_other() {
        assert!(LIMITS.check(taken(999, 9_999)).is_ok());
        assert!(LIMITS.check(taken(1_000, 1_000)).is_err());
        assert!(LIMITS.check(taken(1, 10_000)).is_err());
    }

    #[test]
    fn nobody_is_asked_while_there_are_many_places() {
        assert!(LIMITS.has_plenty(taken(499, 499)));
        assert!(!LIMITS.has_plenty(taken(500, 500)));
        assert!(!LIMITS.has_plenty(taken(0, 9_500)));
        let few = SessionLimits {
            per_account: 2,
            ..LIMITS
        };
        assert!(!few.has_plenty(taken(0, 0)));
    }

    #[test]
    fn what_was_heard_long_ago_is_not_relied_on() {
        let mut elsewhere = Elsewhere::default();
        let (tenant, at) = (TenantId(1), Timestamp::from_seconds(1_000));
        assert_eq!(elsewhere.taken(tenant, AccountId(1), at), None);
        let heard = HashMap::from([(AccountId(1), 2), (AccountId(2), 3)]);
        elsewhere.hear(tenant, heard, at);
        let known = |account, at| elsewhere.taken(tenant, AccountId(account), at);
        assert_eq!(known(1, at), Some(taken(2, 5)));
        assert_eq!(known(3, at), Some(taken(0, 5)));
        assert_eq!(known(1, at.plus(GOOD_FOR)), None);
    }
}
