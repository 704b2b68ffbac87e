//! Logging in, by password or by key, through whichever door.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::accounts::cache::{Cache, Lookup};
use crate::accounts::home::path_of;
use crate::accounts::lockout::{self, Lockout, Try};
use crate::accounts::public_key::fingerprint;
use crate::accounts::sessions::Sessions;
use crate::accounts::verify::{Outcome, PasswordSettings, Verifier};
use crate::db::accounts::{self, Account};
use crate::db::audit::Happening;
use crate::db::commit::Committer;
use crate::db::database::Database;
use crate::db::login_guard;
use crate::db::tenants::{self, Tenant};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, SessionId, TenantId};
use crate::domain::principal::{Actor, LoginName, Principal, Protocol};
use crate::domain::secret::Secret;
use crate::net::limit::{Failures, neighbourhood};

/// How long a password that was right is remembered, and how many are.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
const REMEMBERED: usize = 4096;
/// Failed logins of one address, over all names: so many at once, then one each so often.
const FAILURES_AT_ONCE: u32 = 30;
const FAILURE_EVERY: Duration = Duration::from_secs(3);
/// How often the last use of a usual address is written down.
const ADDRESS_NOTED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Where somebody knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Which protocol is spoken.
    pub protocol: Protocol,
    /// The peer's address.
    pub address: IpAddr,
}

impl Door {
    /// What counts as one address, as it is stored.
    fn neighbourhood(self) -> String {
        neighbourhood(self.address).to_string()
    }
}

/// A public key in SSH's wire encoding (RFC 4253 section 6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeyBlob(pub Vec<u8>);

/// The one way in for all protocols. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
}

struct Inner {
    committer: Committer,
    verifier: Verifier,
    cache: Cache,
    lockout: Lockout,
    failures: Failures,
    sessions: Sessions,
}

/// What a name that was typed stands for.
struct Caller {
    login: LoginName,
    tenant: TenantId,
    /// None when there is no such account.
    account: Option<Account>,
    /// The account, or the made-up one that counts the failures of a name that does not exist.
    counted: AccountId,
    /// The tenant and the account are enabled.
    enabled: bool,
}

impl Accounts {
    /// Makes ready for logins. [`Accounts::stop`] ends what runs in the background.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn start(committer: Committer, passwords: PasswordSettings) -> Result<Self> {
        let db = committer.database().clone();
        Ok(Self {
            inner: Arc::new(Inner {
                verifier: Verifier::start(passwords).await?,
                cache: Cache::new(REMEMBERED_FOR, REMEMBERED),
                lockout: Lockout::open(db.clone()).await?,
                failures: Failures::new(FAILURES_AT_ONCE, FAILURE_EVERY),
                sessions: Sessions::start(db),
                committer,
            }),
        })
    }

    /// Stops what runs in the background and waits for it.
    pub async fn stop(&self) {
        self.inner.sessions.stop().await;
        self.inner.verifier.stop().await;
    }

    /// Lets somebody in who knows the password of `login` (`user@tenant`, as it was typed).
    ///
    /// # Errors
    /// Unauthenticated, always in the same words and at the same cost; Busy after failures, with
    /// how long to wait; Unavailable.
    pub async fn login_password(
        &self,
        login: &str,
        password: &Secret,
        from: Door,
    ) -> Result<Principal> {
        let inner = &self.inner;
        match inner.caller(login).await? {
            Some(caller) => inner.by_password(caller, password, from).await,
            None => inner.stranger(login, password, from).await,
        }
    }

    /// Whether `key` is one of the account's; asked before a signature is checked. Costs the same
    /// for names that do not exist.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn knows_key(&self, login: &str, key: &PublicKeyBlob, _from: Door) -> Result<bool> {
        let caller = self.inner.caller(login).await?;
        self.inner.opens(caller.as_ref(), key).await
    }

    /// Lets somebody in whose signature by `key` was verified.
    ///
    /// # Errors
    /// Unauthenticated when the key is not the account's; Unavailable.
    pub async fn login_key(
        &self,
        login: &str,
        key: &PublicKeyBlob,
        from: Door,
    ) -> Result<Principal> {
        let inner = &self.inner;
        let caller = inner.caller(login).await?;
        let opens = inner.opens(caller.as_ref(), key).await?;
        let Some(caller) = caller else {
            return Err(unauthenticated());
        };
        let fingerprint = fingerprint(&key.0);
        if !opens {
            inner.note_failure(
                &caller,
                from,
                &format!("key {fingerprint} does not open it"),
            );
            return Err(unauthenticated());
        }
        let last_login = {
            let mut tx = inner.db().read(caller.tenant).await?;
            login_guard::last_login(&mut tx, caller.counted, &from.neighbourhood()).await?
        };
        inner.remember_address(&caller, from, last_login).await?;
        inner
            .admit(&caller, from, &format!("key {fingerprint}"))
            .await
    }

    /// Returns when the session must end: its account or tenant was disabled, or the account's
    /// password, keys, home or ceiling changed. Returns at once for a session that was logged out.
    pub async fn ended(&self, principal: &Principal) {
        self.inner.sessions.ended(principal.session).await;
    }

    /// Forgets a session. To be called at its end, however it ends.
    pub async fn log_out(&self, principal: &Principal) {
        if self.inner.sessions.remove(principal.session) {
            let happening = Happening::new("logout", principal.login.to_string());
            let actor = principal.actor();
            self.inner
                .committer
                .note(principal.tenant, &actor, happening);
        }
    }
}

impl Inner {
    fn db(&self) -> &Database {
        self.committer.database()
    }

    fn now(&self) -> Timestamp {
        self.db().clock().now()
    }

    /// None when the name is malformed or there is no such tenant.
    async fn caller(&self, login: &str) -> Result<Option<Caller>> {
        let login: Option<LoginName> = login.parse().ok();
        let (user, name) = login
            .as_ref()
            .map_or(("", ""), |login| (&login.user, &login.tenant));
        let tenant = tenants::by_name(self.db(), name).await?;
        // Names that cannot be are looked up too: it costs the same.
        let id = tenant.as_ref().map_or(TenantId(0), |tenant| tenant.id);
        let account = {
            let mut tx = self.db().read(id).await?;
            accounts::by_name(&mut tx, user).await?
        };
        let (Some(login), Some(Tenant { disabled, .. })) = (login, tenant) else {
            return Ok(None);
        };
        let enabled = account.as_ref().is_some_and(|account| !account.disabled);
        let nobody = self.lockout.nobody(id, &login.user);
        Ok(Some(Caller {
            tenant: id,
            counted: account.as_ref().map_or(nobody, |account| account.id),
            enabled: enabled && !disabled,
            account,
            login,
        }))
    }

    async fn opens(&self, caller: Option<&Caller>, key: &PublicKeyBlob) -> Result<bool> {
        let (tenant, account) = caller.map_or((TenantId(0), AccountId(0)), |caller| {
            (caller.tenant, caller.counted)
        });
        let known = {
            let mut tx = self.db().read(tenant).await?;
            accounts::has_key(&mut tx, account, &fingerprint(&key.0), &key.0).await?
        };
        Ok(known && caller.is_some_and(|caller| caller.enabled))
    }

    async fn by_password(
        &self,
        caller: Caller,
        password: &Secret,
        from: Door,
    ) -> Result<Principal> {
        let address = from.neighbourhood();
        let now = self.now();
        let last_login = {
            let mut tx = self.db().read(caller.tenant).await?;
            let locked = login_guard::locked_until(&mut tx, caller.counted, &address, now).await?;
            lockout::refuse_until(locked.unwrap_or(now), now)?;
            login_guard::last_login(&mut tx, caller.counted, &address).await?
        };
        if last_login.is_none() {
            self.refuse_address(from)?;
        }
        let Some(account) = usable(&caller, password) else {
            let one = self
                .lockout
                .begin(caller.tenant, caller.counted, &address)
                .await?;
            self.compare(&caller, &one, password, None).await?;
            return Err(self.failed(&caller, from, &one, why_not(&caller, password)));
        };
        let mark = self
            .cache
            .mark(caller.tenant, account.id, account.generation, password);
        let lead = match self.cache.look_up(mark, now) {
            Lookup::Follow(follow) => match follow.was_right().await {
                true => return self.known(&caller, from, last_login).await,
                false => None,
            },
            Lookup::Lead(lead) => Some(lead),
            Lookup::Right => return self.known(&caller, from, last_login).await,
        };
        let one = self
            .lockout
            .begin(caller.tenant, account.id, &address)
            .await?;
        let stored = account.password.as_ref();
        match self.compare(&caller, &one, password, stored).await? {
            Outcome::Wrong => Err(self.failed(&caller, from, &one, "wrong password")),
            Outcome::Right(better) => {
                self.lockout.right(caller.tenant, &one).await?;
                if let (Some(old), Some(new)) = (stored, better) {
                    let mut tx = self.db().write(caller.tenant).await?;
                    accounts::upgrade_password(&mut tx, account.id, old, &new).await?;
                    tx.commit().await?;
                }
                if let Some(lead) = lead {
                    lead.right(self.now());
                }
                self.admit(&caller, from, "password").await
            }
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
                self.lockout.withdraw(caller.tenant, one).await?;
                Err(error)
            }
        }
    }

    /// The password was right a moment ago.
    async fn known(
        &self,
        caller: &Caller,
        from: Door,
        last_login: Option<Timestamp>,
    ) -> Result<Principal> {
        self.remember_address(caller, from, last_login).await?;
        self.admit(caller, from, "password").await
    }

    async fn remember_address(
        &self,
        caller: &Caller,
        from: Door,
        last_login: Option<Timestamp>,
    ) -> Result<()> {
        let now = self.now();
        if last_login.is_some_and(|last| last.plus(ADDRESS_NOTED_EVERY) > now) {
            return Ok(());
        }
        let address = from.neighbourhood();
        let mut tx = self.db().write(caller.tenant).await?;
        login_guard::remember_address(&mut tx, caller.counted, &address, now).await?;
        tx.commit().await
    }

    /// A malformed name, or no such tenant: nobody's audit log has a place for it.
    async fn stranger(&self, login: &str, password: &Secret, from: Door) -> Result<Principal> {
        self.refuse_address(from)?;
        let address = from.neighbourhood();
        self.lockout.count_stranger(login, &address)?;
        self.verifier.verify(password, None).await?;
        self.failures.count(from.address, self.now());
        tracing::info!(
            login = %login.escape_debug().to_string().chars().take(128).collect::<String>(),
            peer = %from.address,
            protocol = from.protocol.as_str(),
            "login failed: no such tenant"
        );
        Err(unauthenticated())
    }

    fn refuse_address(&self, from: Door) -> Result<()> {
        let wait = self.failures.wait(from.address, self.now());
        match wait.is_zero() {
            true => Ok(()),
            false => Err(lockout::wait(wait)),
        }
    }

    fn failed(&self, caller: &Caller, from: Door, one: &Try, reason: &str) -> Error {
        self.failures.count(from.address, self.now());
        match one.delay.as_secs() {
            0 => self.note_failure(caller, from, reason),
            seconds => {
                self.note_failure(caller, from, &format!("{reason}; locked for {seconds} s"));
            }
        }
        unauthenticated()
    }

    fn note_failure(&self, caller: &Caller, from: Door, reason: &str) {
        let actor = Actor {
            account: caller.account.as_ref().map(|account| account.id),
            session: None,
            protocol: from.protocol,
            address: Some(from.address),
        };
        let detail = format!("{}: {reason}", caller.login);
        let happening = Happening::new("login-failed", detail);
        self.committer.note(caller.tenant, &actor, happening);
    }

    async fn admit(&self, caller: &Caller, from: Door, by: &str) -> Result<Principal> {
        let account = caller
            .account
            .as_ref()
            .ok_or_else(|| Error::internal("nobody was let in"))?;
        let home = {
            let mut tx = self.db().read(caller.tenant).await?;
            path_of(&mut tx, account.home).await?
        };
        let principal = Principal {
            tenant: caller.tenant,
            account: account.id,
            login: caller.login.clone(),
            generation: account.generation,
            ceiling: account.ceiling,
            home: home.unwrap_or_default(),
            session: SessionId::random(),
            protocol: from.protocol,
            address: from.address,
        };
        self.sessions.add(&principal);
        let happening = Happening::new("login", format!("{} by {by}", caller.login));
        self.committer
            .note(caller.tenant, &principal.actor(), happening);
        Ok(principal)
    }
}

/// The account, when a password could open it.
fn usable<'a>(caller: &'a Caller, password: &Secret) -> Option<&'a Account> {
    caller
        .account
        .as_ref()
        .filter(|account| account.password.is_some())
        .filter(|_| caller.enabled && !password.expose().is_empty())
}

/// Why no password could open it, for the operator.
fn why_not(caller: &Caller, password: &Secret) -> &'static str {
    match &caller.account {
        None => "no such account",
        Some(account) if account.disabled => "the account is disabled",
        Some(_) if !caller.enabled => "the tenant is disabled",
        Some(account) if account.password.is_none() => "the account has no password",
        Some(_) if password.expose().is_empty() => "empty password",
        Some(_) => "wrong password",
    }
}

fn unauthenticated() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "the name or the password or key is wrong, or the account is disabled",
    )
}
