//! Passwords and codes: every try is counted as failed before it is looked at.

use zeroize::Zeroizing;

use crate::accounts::cache::Lookup;
use crate::accounts::caller::Caller;
use crate::accounts::door::Door;
use crate::accounts::lockout::{self, Try};
use crate::accounts::login::Inner;
use crate::accounts::second_factor;
use crate::accounts::verify::Outcome;
use crate::crypto::totp::DIGITS;
use crate::db::accounts::{self, Account};
use crate::db::login_guard;
use crate::db::second_factors;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, TenantId};
use crate::domain::secret::Secret;

/// What somebody gave.
pub(in crate::accounts) struct Given<'a> {
    pub(in crate::accounts) password: Option<&'a Secret>,
    pub(in crate::accounts) code: Option<&'a Secret>,
    /// This was asked for; else it is refused, at the same cost.
    pub(in crate::accounts) asked: bool,
    /// What was proven before, for the audit log.
    pub(in crate::accounts) after: &'a [String],
}

/// What was given is right. Nothing is forgiven yet: see [`Inner::conclude`] and
/// [`Inner::set_aside`].
pub(in crate::accounts) struct Proof {
    /// By what, for the audit log.
    pub(in crate::accounts) by: String,
    one: Option<Try>,
    last_login: Option<Timestamp>,
}

impl Proof {
    /// The same, after something else was proven in the same stage.
    pub(in crate::accounts) fn with(self, before: &str) -> Self {
        Self {
            by: format!("{before} and {}", self.by),
            ..self
        }
    }
}

/// What a password is compared with.
pub(in crate::accounts) struct Lock<'a> {
    pub(in crate::accounts) tenant: TenantId,
    /// Under which number failures are counted.
    pub(in crate::accounts) counted: AccountId,
    /// With another one nothing is remembered of passwords that were right.
    pub(in crate::accounts) generation: i64,
    pub(in crate::accounts) stored: &'a Secret,
}

/// What comparing a password came to.
pub(in crate::accounts) enum Compared {
    /// It was right a moment ago; nothing was counted.
    Known,
    /// It is right. There may be a better hash of it.
    Right(Try, Option<Secret>),
    Wrong(Try),
}

impl Inner {
    /// Fails when who is there has to wait; else says when they proved themselves there last.
    ///
    /// # Errors
    /// Busy after failures, with how long to wait; Unavailable.
    pub(in crate::accounts) async fn may_try(
        &self,
        tenant: TenantId,
        counted: AccountId,
        from: Door,
    ) -> Result<Option<Timestamp>> {
        let (address, now) = (from.neighbourhood(), self.now());
        let last = {
            let mut tx = self.db().read(tenant).await?;
            let locked = login_guard::locked_until(&mut tx, counted, &address, now).await?;
            lockout::refuse_until(locked.unwrap_or(now), now)?;
            login_guard::last_login(&mut tx, counted, &address).await?
        };
        if last.is_none() {
            self.refuse_address(from)?;
        }
        Ok(last)
    }

    /// Compares a password, unless it was right a moment ago.
    ///
    /// # Errors
    /// Busy when too many wait for this; Unavailable.
    pub(in crate::accounts) async fn open_lock(
        &self,
        lock: Lock<'_>,
        password: &Secret,
        from: Door,
    ) -> Result<Compared> {
        let Lock {
            tenant,
            counted,
            generation,
            stored,
        } = lock;
        let mark = self.cache.mark(tenant, counted, generation, password);
        let lead = match self.cache.look_up(mark, self.now()) {
            Lookup::Right => return Ok(Compared::Known),
            Lookup::Follow(follow) => match follow.was_right().await {
                true => return Ok(Compared::Known),
                false => None,
            },
            Lookup::Lead(lead) => Some(lead),
        };
        let address = from.neighbourhood();
        let begun = self.lockout.begin(tenant, counted, &address).await?;
        match self.compare(tenant, &begun, password, Some(stored)).await? {
            Outcome::Wrong => Ok(Compared::Wrong(begun)),
            Outcome::Right(better) => {
                if let Some(lead) = lead {
                    lead.right(self.now());
                }
                Ok(Compared::Right(begun, better))
            }
        }
    }

    /// Looks at a password, a code, or both.
    ///
    /// # Errors
    /// Unauthenticated when anything is wrong, always in the same words; Busy after failures, with
    /// how long to wait; Unavailable.
    pub(in crate::accounts) async fn prove(
        &self,
        caller: &Caller,
        given: Given<'_>,
        from: Door,
    ) -> Result<Proof> {
        let (tenant, address) = (caller.tenant.id, from.neighbourhood());
        let last_login = self.may_try(tenant, caller.counted, from).await?;
        let fail = |one: &Try, reason: &str| match given.after {
            [] => self.failed(caller, from, one, reason),
            after => {
                let reason = format!("{reason} after {}", after.join(" and "));
                self.failed(caller, from, one, &reason)
            }
        };
        let mut by = Vec::new();
        let mut one = None;
        if let Some(password) = given.password {
            let usable = usable(caller, password).filter(|_| given.asked);
            let Some((account, stored)) = usable else {
                let one = self.lockout.begin(tenant, caller.counted, &address).await?;
                self.compare(tenant, &one, password, None).await?;
                return Err(fail(&one, why_not(caller, password)));
            };
            let lock = Lock {
                tenant,
                counted: account.id,
                generation: account.generation,
                stored,
            };
            match self.open_lock(lock, password, from).await? {
                Compared::Known => {}
                Compared::Wrong(begun) => return Err(fail(&begun, "wrong password")),
                Compared::Right(begun, better) => {
                    self.improve(caller, account, better).await?;
                    one = Some(begun);
                }
            }
            by.push("password");
        }
        if let Some(code) = given.code {
            let begun = match one {
                Some(begun) => begun,
                None => self.lockout.begin(tenant, caller.counted, &address).await?,
            };
            if !given.asked {
                return Err(fail(&begun, "a code was not asked for"));
            }
            match self.take_code(caller, code).await {
                Ok(Some(kind)) => by.push(kind),
                Ok(None) => return Err(fail(&begun, "wrong or used code")),
                Err(error) => {
                    // It was not looked at.
                    self.lockout.withdraw(tenant, &begun).await?;
                    return Err(error);
                }
            }
            one = Some(begun);
        }
        if by.is_empty() {
            return Err(Error::internal("nothing was given"));
        }
        Ok(Proof {
            by: by.join(" and "),
            one,
            last_login,
        })
    }

    /// A key was right: nothing was counted.
    pub(in crate::accounts) async fn proof_by_key(
        &self,
        caller: &Caller,
        by: String,
        from: Door,
    ) -> Result<Proof> {
        let mut tx = self.db().read(caller.tenant.id).await?;
        let address = from.neighbourhood();
        Ok(Proof {
            by,
            one: None,
            last_login: login_guard::last_login(&mut tx, caller.counted, &address).await?,
        })
    }

    /// The last proof that was needed: forgets the failures from there, and remembers the address.
    pub(in crate::accounts) async fn conclude(
        &self,
        caller: &Caller,
        proof: &Proof,
        from: Door,
    ) -> Result<()> {
        match &proof.one {
            Some(one) => self.lockout.right(caller.tenant.id, one).await,
            None => self.remember_address(caller, from, proof.last_login).await,
        }
    }

    /// More is asked for. Only this try is forgiven: else one known password would free the way for
    /// any number of guessed codes.
    pub(in crate::accounts) async fn set_aside(
        &self,
        caller: &Caller,
        proof: &Proof,
    ) -> Result<()> {
        match &proof.one {
            Some(one) => self.lockout.withdraw(caller.tenant.id, one).await,
            None => Ok(()),
        }
    }

    /// Looks at the password; a try that could not be looked at is no failure.
    async fn compare(
        &self,
        tenant: TenantId,
        one: &Try,
        password: &Secret,
        stored: Option<&Secret>,
    ) -> Result<Outcome> {
        match self.verifier.verify(password, stored).await {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                self.lockout.withdraw(tenant, one).await?;
                Err(error)
            }
        }
    }

    /// Takes a code: what it was, or none when it is wrong or was used before.
    async fn take_code(&self, caller: &Caller, code: &Secret) -> Result<Option<&'static str>> {
        let (Some(account), Some(factor)) = (caller.usable(), &caller.second_factor) else {
            return Ok(None);
        };
        let Ok(code) = std::str::from_utf8(code.expose()) else {
            return Ok(None);
        };
        // Some apps show a gap in the middle, and people type it.
        let code: Zeroizing<String> =
            Zeroizing::new(code.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        let tenant = caller.tenant.id;
        if code.len() == DIGITS {
            let secret =
                second_factor::open(&self.keys, tenant, account.id, &factor.sealed).await?;
            let steps = secret.steps_of(&code, self.now());
            if steps.is_empty() {
                return Ok(None);
            }
            let mut tx = self.db().write(tenant).await?;
            for step in steps {
                if second_factors::take_step(&mut tx, account.id, &factor.sealed, step).await? {
                    tx.commit().await?;
                    return Ok(Some("code"));
                }
            }
            return Ok(None);
        }
        let hash = second_factor::recovery_hash(&code);
        let mut tx = self.db().write(tenant).await?;
        if !second_factors::take_recovery_code(&mut tx, account.id, &hash).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some("recovery code"))
    }

    /// Stores a better hash of the same password.
    async fn improve(
        &self,
        caller: &Caller,
        account: &Account,
        better: Option<Secret>,
    ) -> Result<()> {
        let (Some(old), Some(new)) = (&account.password, better) else {
            return Ok(());
        };
        let mut tx = self.db().write(caller.tenant.id).await?;
        accounts::upgrade_password(&mut tx, account.id, old, &new).await?;
        tx.commit().await
    }
}

/// The account and the hash of its password, when a password could open it.
fn usable<'a>(caller: &'a Caller, password: &Secret) -> Option<(&'a Account, &'a Secret)> {
    let account = caller.usable().filter(|_| !password.expose().is_empty())?;
    Some((account, account.password.as_ref()?))
}

/// Why no password could open it, for the operator.
fn why_not(caller: &Caller, password: &Secret) -> &'static str {
    match (&caller.account, caller.barred) {
        (_, Some(why)) => why,
        (Some(account), None) if account.password.is_none() => "the account has no password",
        _ if password.expose().is_empty() => "empty password",
        _ => "a password was not asked for",
    }
}
