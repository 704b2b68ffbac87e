//! Delays after failed logins: they grow, per account and address, and per account in all.
//!
//! An account's usual addresses are delayed by their own failures only, so that a stranger
//! elsewhere cannot lock them out. Names that do not exist are counted in the same way, as one of
//! a bounded number of made-up accounts; names of tenants that do not exist in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::db::database::Database;
use crate::db::login_guard;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, TenantId};
use crate::domain::random;

/// Failures are forgotten when none was added for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// An address is usual until it was not used for so long.
const USUAL_FOR: Duration = Duration::from_secs(90 * 24 * 3600);
/// How often old rows of a tenant are removed.
const CLEANED_EVERY: Duration = Duration::from_secs(3600);
/// Names of one tenant that do not exist share so many counts.
const BUCKETS: u64 = 65_536;
/// Most names of tenants that do not exist.
const MAX_STRANGERS: usize = 16_384;

/// Free failures, then 1 s, 2 s, 4 s, ... up to a limit.
struct Steps {
    free: i64,
    longest: Duration,
}

const ONE_ADDRESS: Steps = Steps {
    free: 3,
    longest: Duration::from_secs(900),
};
/// More patient, and never long: it also meets the owner at a new address.
const ALL_ADDRESSES: Steps = Steps {
    free: 20,
    longest: Duration::from_secs(60),
};

impl Steps {
    fn delay(&self, failures: i64) -> Duration {
        let over = failures.saturating_sub(self.free);
        if over <= 0 {
            return Duration::ZERO;
        }
        let doublings = u32::try_from(over - 1).unwrap_or(u32::MAX).min(20);
        Duration::from_secs(1 << doublings).min(self.longest)
    }
}

/// Counts failures and says who must wait.
pub(in crate::accounts) struct Lockout {
    db: Database,
    secret: hmac::Key,
    cleaned: Mutex<HashMap<TenantId, Timestamp>>,
    strangers: Mutex<HashMap<[u8; 8], Stranger>>,
}

/// A try that was counted as failed, until [`Lockout::withdraw`] or [`Lockout::right`].
pub(in crate::accounts) struct Try {
    pub(in crate::accounts) account: AccountId,
    pub(in crate::accounts) address: String,
    own_lock: Timestamp,
    /// None from a usual address.
    total_lock: Option<Timestamp>,
    /// How long the next try must wait if this one is wrong.
    pub(in crate::accounts) delay: Duration,
}

#[derive(Clone, Copy)]
struct Stranger {
    failures: i64,
    last_at: Timestamp,
    locked_until: Timestamp,
}

impl Lockout {
    /// Takes the installation's secret from the database, or draws it.
    pub(in crate::accounts) async fn open(db: Database) -> Result<Self> {
        let drawn = data_encoding::HEXLOWER.encode(&random::bytes::<32>());
        let secret = login_guard::installation_secret(&db, &drawn).await?;
        Ok(Self {
            db,
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            cleaned: Mutex::default(),
            strangers: Mutex::default(),
        })
    }

    /// The account that counts the failures of a name that does not exist.
    pub(in crate::accounts) fn nobody(&self, tenant: TenantId, user: &str) -> AccountId {
        let mark = u64::from_be_bytes(self.mark(&[&tenant.0.to_be_bytes(), user.as_bytes()]));
        AccountId(-1 - i64::try_from(mark % BUCKETS).unwrap_or(0))
    }

    /// Counts a try as failed.
    ///
    /// # Errors
    /// Busy, with how long to wait, when the account is locked from there; Unavailable.
    pub(in crate::accounts) async fn begin(
        &self,
        tenant: TenantId,
        account: AccountId,
        address: &str,
    ) -> Result<Try> {
        self.clean(tenant).await?;
        let now = self.db.clock().now();
        let mut tx = self.db.write(tenant).await?;
        let usual = login_guard::last_login(&mut tx, account, address).await?;
        let rows = [
            Some((address, ONE_ADDRESS)),
            usual
                .is_none()
                .then_some((login_guard::ALL_ADDRESSES, ALL_ADDRESSES)),
        ];
        let mut locks = [None, None];
        let mut delay = Duration::ZERO;
        for (lock, row) in locks.iter_mut().zip(rows) {
            let Some((row, steps)) = row else { continue };
            let forgotten = now.minus(FORGOTTEN_AFTER);
            let count = login_guard::count(&mut tx, account, row, now, forgotten).await?;
            refuse_until(count.locked_until, now)?;
            let wait = steps.delay(count.failures);
            delay = delay.max(wait);
            let until = now.plus(wait);
            if !wait.is_zero() {
                login_guard::lock(&mut tx, account, row, until).await?;
            }
            *lock = Some(until);
        }
        tx.commit().await?;
        let [own_lock, total_lock] = locks;
        Ok(Try {
            account,
            address: address.to_owned(),
            own_lock: own_lock.unwrap_or(now),
            total_lock,
            delay,
        })
    }

    /// The try was not looked at: takes it back.
    pub(in crate::accounts) async fn withdraw(&self, tenant: TenantId, one: &Try) -> Result<()> {
        let mut tx = self.db.write(tenant).await?;
        login_guard::forgive(&mut tx, one.account, &one.address, one.own_lock).await?;
        if let Some(lock) = one.total_lock {
            login_guard::forgive(&mut tx, one.account, login_guard::ALL_ADDRESSES, lock).await?;
        }
        tx.commit().await
    }

    /// The try was right: forgets the failures from there, and remembers the address as usual.
    pub(in crate::accounts) async fn right(&self, tenant: TenantId, one: &Try) -> Result<()> {
        let now = self.db.clock().now();
        let mut tx = self.db.write(tenant).await?;
        login_guard::clear(&mut tx, one.account, &one.address).await?;
        if let Some(lock) = one.total_lock {
            login_guard::forgive(&mut tx, one.account, login_guard::ALL_ADDRESSES, lock).await?;
        }
        login_guard::remember_address(&mut tx, one.account, &one.address, now).await?;
        tx.commit().await
    }

    /// Counts a failure at a tenant that does not exist: as any other, but in memory.
    ///
    /// # Errors
    /// Busy, with how long to wait.
    pub(in crate::accounts) fn count_stranger(&self, login: &str, address: &str) -> Result<()> {
        let now = self.db.clock().now();
        let rows = [(address, ONE_ADDRESS), ("", ALL_ADDRESSES)]
            .map(|(row, steps)| (self.mark(&[login.as_bytes(), b"\0", row.as_bytes()]), steps));
        let mut all = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (mark, _) in &rows {
            let locked_until = all.get(mark).map_or(now, |stranger| stranger.locked_until);
            refuse_until(locked_until, now)?;
        }
        if all.len() >= MAX_STRANGERS {
            all.retain(|_, stranger| stranger.last_at.plus(FORGOTTEN_AFTER) > now);
        }
        if all.len() >= MAX_STRANGERS {
            all.clear();
        }
        for (mark, steps) in rows {
            let before = all
                .get(&mark)
                .filter(|stranger| stranger.last_at.plus(FORGOTTEN_AFTER) >= now);
            let failures = before.map_or(0, |stranger| stranger.failures) + 1;
            all.insert(
                mark,
                Stranger {
                    failures,
                    last_at: now,
                    locked_until: now.plus(steps.delay(failures)),
                },
            );
        }
        Ok(())
    }

    async fn clean(&self, tenant: TenantId) -> Result<()> {
        let now = self.db.clock().now();
        {
            let mut cleaned = self.cleaned.lock().unwrap_or_else(PoisonError::into_inner);
            let last = cleaned.insert(tenant, now);
            if let Some(last) = last.filter(|last| last.plus(CLEANED_EVERY) > now) {
                cleaned.insert(tenant, last);
                return Ok(());
            }
        }
        let mut tx = self.db.write(tenant).await?;
        login_guard::forget(&mut tx, now.minus(FORGOTTEN_AFTER), now.minus(USUAL_FOR)).await?;
        tx.commit().await
    }

    fn mark(&self, parts: &[&[u8]]) -> [u8; 8] {
        let mut context = hmac::Context::with_key(&self.secret);
        for part in parts {
            context.update(part);
        }
        let tag = context.sign();
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// Fails while `until` is ahead.
pub(in crate::accounts) fn refuse_until(until: Timestamp, now: Timestamp) -> Result<()> {
    match until > now {
        true => Err(wait(until.since(now))),
        false => Ok(()),
    }
}

/// The refusal that says how long to wait.
pub(in crate::accounts) fn wait(time: Duration) -> Error {
    let seconds = time.as_millis().div_ceil(1000);
    let unit = match seconds {
        1 => "second",
        _ => "seconds",
    };
    Error::new(
        ErrorKind::Busy,
        format!("too many failed logins; try again in {seconds} {unit}"),
    )
    .after(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_after_the_free_tries_and_have_an_end() {
        let seconds: Vec<_> = (1..=6).map(|n| ONE_ADDRESS.delay(n).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 0, 1, 2, 4]);
        assert_eq!(ONE_ADDRESS.delay(i64::MAX), Duration::from_secs(900));
        assert_eq!(ALL_ADDRESSES.delay(i64::MAX), Duration::from_secs(60));
    }

    #[test]
    fn a_refusal_says_how_long_to_wait() {
        let error = refuse_until(Timestamp(2_500_000), Timestamp(1_000_000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(
            error.context(),
            "too many failed logins; try again in 2 seconds"
        );
    }
}
