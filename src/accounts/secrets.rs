//! Passwords and codes: every try is counted as failed before it is looked at.

use zeroize::Zeroizing;

use crate::accounts::cache::Lookup;
use crate::accounts::lockout::{self, Try};
use crate::accounts::login::{Caller, Door, Inner};
use crate::accounts::second_factor;
use crate::accounts::verify::Outcome;
use crate::crypto::totp::DIGITS;
use crate::db::accounts::{self, Account};
use crate::db::login_guard;
use crate::db::second_factors;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
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

impl Inner {
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
        let now = self.now();
        let last_login = {
            let mut tx = self.db().read(tenant).await?;
            let locked = login_guard::locked_until(&mut tx, caller.counted, &address, now).await?;
            lockout::refuse_until(locked.unwrap_or(now), now)?;
            login_guard::last_login(&mut tx, caller.counted, &address).await?
        };
        if last_login.is_none() {
            self.refuse_address(from)?;
        }
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
            let Some(account) = usable(caller, password).filter(|_| given.asked) else {
                let one = self.lockout.begin(tenant, caller.counted, &address).await?;
                self.compare(caller, &one, password, None).await?;
                return Err(fail(&one, why_not(caller, password)));
            };
            let mark = self
                .cache
                .mark(tenant, account.id, account.generation, password);
            let lead = match self.cache.look_up(mark, now) {
                Lookup::Follow(follow) => match follow.was_right().await {
                    true => None,
                    false => Some(None),
                },
                Lookup::Lead(lead) => Some(Some(lead)),
                Lookup::Right => None,
            };
            if let Some(lead) = lead {
                let begun = self.lockout.begin(tenant, account.id, &address).await?;
                let stored = account.password.as_ref();
                match self.compare(caller, &begun, password, stored).await? {
                    Outcome::Wrong => return Err(fail(&begun, "wrong password")),
                    Outcome::Right(better) => {
                        self.improve(caller, account, better).await?;
                        if let Some(lead) = lead {
                            lead.right(self.now());
                        }
                    }
                }
                one = Some(begun);
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
        caller: &Caller,
        one: &Try,
        password: &Secret,
        stored: Option<&Secret>,
    ) -> Result<Outcome> {
        match self.verifier.verify(password, stored).await {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                self.lockout.withdraw(caller.tenant.id, one).await?;
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

/// The account, when a password could open it.
fn usable<'a>(caller: &'a Caller, password: &Secret) -> Option<&'a Account> {
    let account = caller.usable().filter(|account| account.password.is_some());
    account.filter(|_| !password.expose().is_empty())
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
