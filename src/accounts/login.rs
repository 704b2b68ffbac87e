//! Logging in, through whichever door: who is meant, what they must prove, what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use crate::accounts::cache::Cache;
use crate::accounts::caller::{Caller, NOT_IN_THE_CLEAR, barred};
use crate::accounts::door::{Door, PublicKeyBlob, Secrecy};
use crate::accounts::home::path_of;
use crate::accounts::live::Ended;
use crate::accounts::lockout::{self, Lockout, Try};
use crate::accounts::places::SessionLimits;
use crate::accounts::public_key::fingerprint;
use crate::accounts::second_factor::KeySource;
use crate::accounts::sessions::Sessions;
use crate::accounts::told_failures::ToldFailures;
use crate::accounts::verify::{PasswordSettings, Verifier};
use crate::db::accounts::{self, Account};
use crate::db::audit::Happening;
use crate::db::authorities;
use crate::db::commit::Committer;
use crate::db::database::Database;
use crate::db::login_guard;
use crate::db::second_factors;
use crate::db::tenant_hosts;
use crate::db::tenants;
use crate::domain::audit_kind::AuditKind;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::host::HostName;
use crate::domain::id::{AccountId, InstanceId, SessionId, TenantId};
use crate::domain::measures;
use crate::domain::news::News;
use crate::domain::principal::{Actor, DoorOptions, LoginName, Principal};
use crate::domain::rights::Rights;
use crate::domain::secret::Secret;
use crate::domain::topic::Topic;
use crate::net::limit::Failures;

/// How long a password that was right is remembered, and how many are.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
const REMEMBERED: usize = 4096;
/// Failed logins of one address, over all names: so many at once, then one each so often.
const FAILURES_AT_ONCE: u32 = 30;
const FAILURE_EVERY: Duration = Duration::from_secs(3);
/// How often the last use of a usual address is written down.
const ADDRESS_NOTED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How logins are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LoginSettings {
    /// How passwords are kept and looked at.
    pub passwords: PasswordSettings,
    /// How many sessions there may be at a time.
    pub sessions: SessionLimits,
}

/// The one way in for all protocols. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    pub(in crate::accounts) inner: Arc<Inner>,
}

pub(in crate::accounts) struct Inner {
    pub(in crate::accounts) committer: Committer,
    pub(in crate::accounts) verifier: Verifier,
    pub(in crate::accounts) cache: Cache,
    pub(in crate::accounts) lockout: Lockout,
    pub(in crate::accounts) failures: Failures,
    told_failures: ToldFailures<(TenantId, AccountId)>,
    /// Tickets that are none: they must cost the guesser, and must not keep people from logging in.
    pub(in crate::accounts) false_tickets: Failures,
    pub(in crate::accounts) sessions: Sessions,
    pub(in crate::accounts) keys: KeySource,
}

impl Accounts {
    /// Makes ready for logins. [`Accounts::stop`] ends what runs in the background.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn start(
        committer: Committer,
        settings: LoginSettings,
        keys: KeySource,
    ) -> Result<Self> {
        let db = committer.database().clone();
        Ok(Self {
            inner: Arc::new(Inner {
                verifier: Verifier::start(settings.passwords).await?,
                cache: Cache::new(REMEMBERED_FOR, REMEMBERED),
                lockout: Lockout::open(db.clone()).await?,
                failures: Failures::new(FAILURES_AT_ONCE, FAILURE_EVERY),
                told_failures: ToldFailures::default(),
                false_tickets: Failures::new(FAILURES_AT_ONCE, FAILURE_EVERY),
                sessions: Sessions::start(db, settings.sessions),
                committer,
                keys,
            }),
        })
    }

    /// Stops what runs in the background and waits for it.
    pub async fn stop(&self) {
        self.inner.sessions.stop().await;
        self.inner.verifier.stop().await;
    }

    /// Whether it makes sense to ask for a secret at this door: false when the account would not be
    /// let in there in the clear, so that its password never travels. Names that do not exist are
    /// answered as those are. At a door that seals everything, everybody is asked. `suits` says whether
    /// the words that the door has of the account and its tenant let it in there in the clear.
    ///
    /// An answer of false is a failed login: it is counted against the address.
    ///
    /// # Errors
    /// Busy when the address has failed too often, with how long to wait; Unavailable.
    pub async fn may_ask(
        &self,
        login: &str,
        door: Door,
        suits: impl Fn(&DoorOptions) -> bool,
    ) -> Result<bool> {
        if door.secrecy == Secrecy::Sealed {
            return Ok(true);
        }
        let inner = &self.inner;
        let caller = inner.caller(login, door).await?;
        let (tenant, account) = caller
            .as_ref()
            .map_or((TenantId(0), AccountId(0)), |c| (c.tenant.id, c.counted));
        let last_login = {
            let mut tx = inner.db().read(tenant).await?;
            login_guard::last_login(&mut tx, account, &door.neighbourhood()).await?
        };
        let why = match &caller {
            Some(Caller {
                barred: Some(why), ..
            }) => Some(*why),
            Some(caller) => (!suits(&caller.door_options())).then_some(NOT_IN_THE_CLEAR),
            None => Some("no such tenant"),
        };
        // Refusals are written down: where somebody has failed too often, no more of them.
        if last_login.is_none() || why.is_some() {
            inner.refuse_address(door)?;
        }
        let Some(why) = why else {
            return Ok(true);
        };
        inner.failures.count(door.address, inner.now());
        if let Some(caller) = &caller {
            inner.note_failure(caller, door, why);
        }
        Ok(false)
    }

    /// The name of the tenant that a name of a host belongs to, as a client asks for it.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn tenant_of_host(&self, host: &str) -> Result<Option<String>> {
        match host.parse::<HostName>() {
            Ok(host) => tenant_hosts::tenant_of(self.inner.db(), &host).await,
            Err(_) => Ok(None),
        }
    }

    /// Returns when the session must end: its account or tenant was disabled, the account's password,
    /// keys, home or ceiling changed, or somebody who may wanted its end. Returns at once for a session
    /// that was logged out.
    pub async fn ended(&self, principal: &Principal) -> Ended {
        self.inner.sessions.ended(principal.session).await
    }

    /// Does something for as long as the session of a principal lasts.
    ///
    /// # Errors
    /// Unauthenticated when that ends before; it is dropped then.
    pub async fn while_logged_in<T>(
        &self,
        principal: &Principal,
        doing: impl Future<Output = T>,
    ) -> Result<T> {
        tokio::select! {
            done = doing => Ok(done),
            why = self.ended(principal) => {
                Err(Error::new(ErrorKind::Unauthenticated, why.sentence()))
            }
        }
    }

    /// Has a session end that goes on here, because somebody wants it; where it goes on elsewhere, the
    /// database tells.
    pub fn ask_end(&self, session: SessionId) {
        self.inner.sessions.ask_end(session);
    }

    /// Has the session of a client that logs in with each request take one of the places that its account has only
    /// while somebody has `in_use` beside the one who keeps the session.
    pub fn hold_while(&self, principal: &Principal, in_use: &Arc<()>) {
        let in_use = Arc::downgrade(in_use);
        self.inner.sessions.hold_while(principal.session, in_use);
    }

    /// Whether such a session may take a place again.
    ///
    /// # Errors
    /// Busy when the account or the tenant has as many sessions as it may have.
    pub fn go_on(&self, principal: &Principal) -> Result<()> {
        self.inner.sessions.go_on(principal.session)
    }

    /// Tells other instances from now on which sessions go on here.
    pub fn tell_sessions(&self, instance: InstanceId) {
        self.inner.sessions.tell(instance);
    }

    /// Where tenants' data keys come from.
    pub fn keys(&self) -> &KeySource {
        &self.inner.keys
    }

    /// Forgets a session. To be called at its end, however it ends: see [`Accounts::presence`].
    pub async fn log_out(&self, principal: &Principal) {
        self.forget(principal);
    }

    pub(in crate::accounts) fn forget(&self, principal: &Principal) {
        if self.inner.sessions.remove(principal.session) {
            self.note_logout(principal);
        }
    }

    /// Ends a session on this instance, and what goes on in it.
    pub(in crate::accounts) fn end(&self, principal: &Principal) {
        if self.inner.sessions.end(principal.session) {
            self.note_logout(principal);
        }
    }

    fn note_logout(&self, principal: &Principal) {
        let happening = Happening::new(AuditKind::Logout, principal.login.to_string());
        let actor = principal.actor();
        self.inner
            .committer
            .note(principal.tenant, &actor, happening);
    }
}

impl Inner {
    pub(in crate::accounts) fn db(&self) -> &Database {
        self.committer.database()
    }

    pub(in crate::accounts) fn now(&self) -> Timestamp {
        self.db().clock().now()
    }

    /// None when the name is malformed or there is no such tenant.
    pub(in crate::accounts) async fn caller(
        &self,
        login: &str,
        from: Door,
    ) -> Result<Option<Caller>> {
        let login: Option<LoginName> = login.parse().ok();
        let (user, name) = login
            .as_ref()
            .map_or(("", ""), |login| (&login.user, &login.tenant));
        let tenant = tenants::by_name(self.db(), name).await?;
        // Names that cannot be are looked up too: it costs the same.
        let id = tenant.as_ref().map_or(TenantId(0), |tenant| tenant.id);
        let (account, second_factor) = {
            let mut tx = self.db().read(id).await?;
            let account = accounts::by_name(&mut tx, user).await?;
            let number = account.as_ref().map_or(AccountId(0), |account| account.id);
            (account, second_factors::find(&mut tx, number).await?)
        };
        let (Some(login), Some(tenant)) = (login, tenant) else {
            return Ok(None);
        };
        let nobody = self.lockout.nobody(id, &login.user);
        Ok(Some(Caller {
            barred: barred(&tenant, account.as_ref(), from),
            counted: account.as_ref().map_or(nobody, |account| account.id),
            account,
            second_factor,
            tenant,
            login,
        }))
    }

    pub(in crate::accounts) async fn has_key(
        &self,
        caller: Option<&Caller>,
        key: &PublicKeyBlob,
    ) -> Result<bool> {
        let (tenant, account) = caller.map_or((TenantId(0), AccountId(0)), |caller| {
            (caller.tenant.id, caller.counted)
        });
        let mut tx = self.db().read(tenant).await?;
        let named = fingerprint(&key.0);
        let is_revoked = authorities::is_key_revoked(&mut tx, &named).await?;
        Ok(accounts::has_key(&mut tx, account, &named, &key.0).await? && !is_revoked)
    }

    pub(in crate::accounts) async fn remember_address(
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
        let mut tx = self.db().write(caller.tenant.id).await?;
        login_guard::remember_address(&mut tx, caller.counted, &address, now).await?;
        tx.commit().await
    }

    /// A malformed name, or no such tenant: nobody's audit log has a place for it.
    pub(in crate::accounts) async fn stranger(
        &self,
        login: &str,
        password: &Secret,
        from: Door,
    ) -> Result<Error> {
        self.refuse_address(from)?;
        let address = from.neighbourhood();
        self.lockout.count_stranger(login, &address)?;
        self.verifier.verify(password, None).await?;
        self.failures.count(from.address, self.now());
        measures::login(from.protocol, false);
        tracing::info!(
            // Quoted, so that a name cannot look like a field of its own.
            login = ?login.chars().take(128).collect::<String>(),
            peer = %from.address,
            protocol = from.protocol.as_str(),
            "login failed: no such tenant"
        );
        Ok(unauthenticated())
    }

    pub(in crate::accounts) fn refuse_address(&self, from: Door) -> Result<()> {
        let wait = self.failures.wait(from.address, self.now());
        match wait.is_zero() {
            true => Ok(()),
            false => Err(lockout::wait(wait)),
        }
    }

    pub(in crate::accounts) fn failed(
        &self,
        caller: &Caller,
        from: Door,
        one: &Try,
        reason: &str,
    ) -> Error {
        self.failures.count(from.address, self.now());
        match one.delay.as_secs() {
            0 => self.note_failure(caller, from, reason),
            seconds => {
                self.note_failure(caller, from, &format!("{reason}; locked for {seconds} s"));
            }
        }
        unauthenticated()
    }

    pub(in crate::accounts) fn note_failure(&self, caller: &Caller, from: Door, reason: &str) {
        measures::login(from.protocol, false);
        let actor = Actor {
            account: caller.account.as_ref().map(|account| account.id),
            session: None,
            protocol: from.protocol,
            address: Some(from.address),
            operator: None,
        };
        let detail = format!("{}: {reason}", caller.login);
        let (tenant, now) = (caller.tenant.id, self.now());
        let failures = self.told_failures.count((tenant, caller.counted), now);
        let news = failures.map(|failures| {
            News::new(Topic::LoginFailed)
                .with("account", caller.login.user.as_str())
                .with("reason", reason)
                .with("failures", failures)
        });
        let happening = Happening::new(AuditKind::LoginFailed, detail).telling(news);
        self.committer.note(tenant, &actor, happening);
    }

    pub(in crate::accounts) async fn admit(
        &self,
        caller: &Caller,
        from: Door,
        by: &str,
    ) -> Result<Principal> {
        let account = caller
            .account
            .as_ref()
            .ok_or_else(|| Error::internal("nobody was let in"))?;
        let principal = self
            .principal(caller, account, from, SessionId::random())
            .await?;
        self.begin(caller, &principal, from).await?;
        measures::login(from.protocol, true);
        let happening = Happening::new(AuditKind::Login, format!("{} by {by}", caller.login));
        self.committer
            .note(caller.tenant.id, &principal.actor(), happening);
        Ok(principal)
    }

    /// An account in a session, which has not begun yet.
    pub(in crate::accounts) async fn principal(
        &self,
        caller: &Caller,
        account: &Account,
        from: Door,
        session: SessionId,
    ) -> Result<Principal> {
        let home = {
            let mut tx = self.db().read(caller.tenant.id).await?;
            path_of(&mut tx, account.home).await?
        };
        Ok(Principal {
            tenant: caller.tenant.id,
            account: account.id,
            login: caller.login.clone(),
            generation: account.generation,
            ceiling: account.ceiling,
            scope: Rights::ALL,
            sees_ways: true,
            home: home.unwrap_or_default(),
            session,
            protocol: from.protocol,
            address: from.address,
            door_options: caller.door_options(),
            link: None,
            administrator: account.administrator,
        })
    }

    /// Begins a session on this instance; one that goes on there goes on.
    pub(in crate::accounts) async fn begin(
        &self,
        caller: &Caller,
        principal: &Principal,
        from: Door,
    ) -> Result<()> {
        let Some(account) = &caller.account else {
            return Err(Error::internal("nobody was let in"));
        };
        let limits = self.sessions.limits().over(&caller.tenant, account);
        let began = self.sessions.begin(principal, limits).await;
        began.inspect_err(|error| {
            if error.kind() == ErrorKind::Busy {
                self.note_failure(caller, from, error.context());
            }
        })
    }

    /// Forgets a session on this instance that may go on elsewhere.
    pub(in crate::accounts) fn rest(&self, session: SessionId) {
        self.sessions.remove(session);
    }

    /// Ends a session on this instance, and what goes on in it; it is not written down.
    pub(in crate::accounts) fn end(&self, session: SessionId) {
        self.sessions.end(session);
    }

    /// An account by its number; none when there is no such tenant or account.
    pub(in crate::accounts) async fn caller_of(
        &self,
        tenant: TenantId,
        account: AccountId,
        from: Door,
    ) -> Result<Option<Caller>> {
        let Some(tenant) = tenants::by_id(self.db(), tenant).await? else {
            return Ok(None);
        };
        let account = {
            let mut tx = self.db().read(tenant.id).await?;
            accounts::by_id(&mut tx, account).await?
        };
        let Some(account) = account else {
            return Ok(None);
        };
        Ok(Some(Caller {
            login: LoginName {
                user: account.name.clone(),
                tenant: tenant.name.clone(),
            },
            barred: barred(&tenant, Some(&account), from),
            counted: account.id,
            second_factor: None,
            account: Some(account),
            tenant,
        }))
    }
}

/// The refusal that never says why.
pub(in crate::accounts) fn unauthenticated() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "the name or the password or key is wrong, or the account is disabled",
    )
}
