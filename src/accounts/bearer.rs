//! Whom a ticket stands for: the rows that any instance finds, and the principal that they make.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::accounts::caller::Caller;
use crate::accounts::door::Door;
use crate::accounts::lockout;
use crate::accounts::login::{Accounts, Inner};
use crate::accounts::ticket::{Ticket, TicketKind};
use crate::db::accounts::{self, Standing};
use crate::db::audit::Happening;
use crate::db::sql::TenantTx;
use crate::db::{api_tokens, web_sessions};
use crate::domain::audit_kind::AuditKind;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, SessionId, TenantId, TokenId};
use crate::domain::measures;
use crate::domain::principal::Principal;
use crate::domain::scope::Scopes;

/// How often it is written down that a ticket was used.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// By what a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// A password, with each request.
    Password,
    /// A session that began with a login.
    Session(SessionId),
    /// A token.
    Token(Grant),
}

/// What a token gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which token.
    pub token: TokenId,
    /// What it is for.
    pub scopes: Scopes,
    /// When it ends; none is never.
    pub expires_at: Option<Timestamp>,
}

impl Means {
    /// What the client may be served.
    pub fn scopes(&self) -> Scopes {
        match self {
            Self::Password | Self::Session(_) => Scopes::ALL,
            Self::Token(grant) => grant.scopes,
        }
    }

    /// The token, if it is one: what is made by it ends with it.
    pub fn token(&self) -> Option<TokenId> {
        match self {
            Self::Password | Self::Session(_) => None,
            Self::Token(grant) => Some(grant.token),
        }
    }

    /// When something ends that the client makes to last until `wanted`: by a token, no later than that.
    ///
    /// # Errors
    /// Denied when a token is to make something, called `what`, that lasts longer than itself.
    pub fn end_of(&self, what: &str, wanted: Option<Timestamp>) -> Result<Option<Timestamp>> {
        let Self::Token(Grant {
            expires_at: Some(end),
            ..
        }) = self
        else {
            return Ok(wanted);
        };
        match wanted.is_some_and(|wanted| wanted > *end) {
            true => Err(Error::new(
                ErrorKind::Denied,
                format!(
                    "a token makes no {what} that lasts longer than itself; log in to make this one"
                ),
            )),
            false => Ok(wanted.or(Some(*end))),
        }
    }
}

/// How long sessions of browsers last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLife {
    /// Without a request.
    pub idle: Duration,
    /// In all.
    pub whole: Duration,
}

impl Default for SessionLife {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30 * 60),
            whole: Duration::from_secs(12 * 3600),
        }
    }
}

/// A ticket that is good now.
pub struct Bearer {
    /// By what its client is known.
    pub means: Means,
    caller: Caller,
    /// For the audit log.
    by: String,
}

impl Bearer {
    /// Whether a session that `principal` has may go on.
    pub fn still_is(&self, principal: &Principal) -> bool {
        let account = self.caller.account.as_ref();
        account.is_some_and(|account| {
            account.id == principal.account && account.generation == principal.generation
        })
    }
}

impl Accounts {
    /// Looks a ticket up. It is written down at most once a minute that it was used.
    ///
    /// # Errors
    /// Unauthenticated when it is unknown, over or revoked, or nothing opens the account from there;
    /// Busy when an address shows many that are unknown, with how long to wait; Unavailable.
    pub async fn look_up(&self, ticket: &Ticket, from: Door, life: SessionLife) -> Result<Bearer> {
        let inner = &self.inner;
        let now = inner.now();
        let wait = inner.false_tickets.wait(from.address, now);
        if !wait.is_zero() {
            return Err(lockout::wait(wait));
        }
        match ticket.kind() {
            // They stand for no account: see [`Accounts::link`] and `operators.rs`.
            TicketKind::Link | TicketKind::Operator => Err(worthless()),
            TicketKind::Session => inner.session_of(ticket, from, now, life).await,
            TicketKind::Token => inner.token_of(ticket, from, now).await,
        }
    }

    /// Begins, on this instance, the session of whom a ticket stands for. That of a browser goes on if
    /// it is there; each use of a token is one of its own, and is written down.
    ///
    /// # Errors
    /// Busy when the account or the tenant has as many sessions as it may have; Unavailable.
    pub async fn admit_bearer(&self, bearer: &Bearer, from: Door) -> Result<Principal> {
        let (inner, caller) = (&self.inner, &bearer.caller);
        let account = caller.usable().ok_or_else(over)?;
        let session = match bearer.means {
            Means::Session(id) => id,
            Means::Password | Means::Token(_) => SessionId::random(),
        };
        let mut principal = inner.principal(caller, account, from, session).await?;
        let scopes = bearer.means.scopes();
        principal.scope = scopes.ceiling();
        principal.ceiling = principal.ceiling & principal.scope;
        principal.sees_ways &= scopes.contains(Scopes::FILES_READ);
        principal.administrator &= scopes.contains(Scopes::ADMIN);
        inner.begin(caller, &principal, from).await?;
        if let Means::Token(_) = bearer.means {
            measures::login(from.protocol, true);
            let happening = Happening::new(
                AuditKind::Login,
                format!("{} by {}", caller.login, bearer.by),
            );
            let actor = principal.actor();
            inner.committer.note(principal.tenant, &actor, happening);
        }
        Ok(principal)
    }

    /// Lets a session rest that nobody uses on this instance now: that of a browser goes on elsewhere
    /// and later, that of a token ends.
    pub async fn rest(&self, principal: &Principal, means: &Means) {
        match means {
            Means::Session(_) => self.inner.rest(principal.session),
            Means::Password | Means::Token(_) => self.log_out(principal).await,
        }
    }

    /// Ends a session on this instance, and what goes on in it, because its ticket was revoked.
    pub async fn cut_off(&self, principal: &Principal, means: &Means) {
        match means {
            Means::Session(_) => self.inner.end(principal.session),
            Means::Password | Means::Token(_) => self.end(principal),
        }
    }

    /// Which of these tickets are there and have not expired, of all tenants.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn still_good(&self, means: &[(TenantId, Means)]) -> Result<Good> {
        let now = self.inner.now();
        let mut by_tenant: HashMap<TenantId, (Vec<SessionId>, Vec<TokenId>)> = HashMap::new();
        for (tenant, means) in means {
            let (sessions, tokens) = by_tenant.entry(*tenant).or_default();
            match means {
                Means::Password => {}
                Means::Session(id) => sessions.push(*id),
                Means::Token(grant) => tokens.push(grant.token),
            }
        }
        let mut good = Good::default();
        for (tenant, (sessions, tokens)) in by_tenant {
            let mut tx = self.inner.db().read(tenant).await?;
            let sessions = web_sessions::living(&mut tx, &sessions, now).await?;
            good.sessions.extend(sessions);
            good.tokens
                .extend(api_tokens::living(&mut tx, &tokens, now).await?);
        }
        Ok(good)
    }
}

/// Tickets that are good.
#[derive(Default)]
pub struct Good {
    sessions: HashSet<SessionId>,
    tokens: HashSet<TokenId>,
}

impl Good {
    /// Whether this one is among them.
    pub fn holds(&self, means: &Means) -> bool {
        match means {
            Means::Password => true,
            Means::Session(id) => self.sessions.contains(id),
            Means::Token(grant) => self.tokens.contains(&grant.token),
        }
    }
}

/// Checks that a token is still there by which something is made, so that nothing is made by one that is being
/// revoked.
///
/// # Errors
/// Unauthenticated when it is not; Unavailable.
pub async fn require(tx: &mut TenantTx, token: Option<TokenId>) -> Result<()> {
    match token {
        Some(token) if !api_tokens::is_there(tx, token).await? => Err(worthless()),
        _ => Ok(()),
    }
}

/// Checks that an account still is as it was at a login, so that nothing that lasts is made by somebody who was let in
/// on another instance before its password, say, was changed, and has not been sent away there yet.
///
/// # Errors
/// Unauthenticated when it is not; Unavailable.
pub async fn require_unchanged(
    tx: &mut TenantTx,
    account: AccountId,
    generation: i64,
) -> Result<()> {
    let found = accounts::standings(tx, &[account]).await?;
    let is_same = |standing: &Standing| !standing.disabled && standing.generation == generation;
    match found.get(&account).is_some_and(is_same) {
        true => Ok(()),
        false => Err(over()),
    }
}

impl Inner {
    async fn session_of(
        &self,
        ticket: &Ticket,
        from: Door,
        now: Timestamp,
        life: SessionLife,
    ) -> Result<Bearer> {
        let tenant = ticket.tenant();
        let found = {
            let mut tx = self.db().read(tenant).await?;
            web_sessions::by_hash(&mut tx, &ticket.hash()).await?
        };
        let Some(session) = found else {
            self.false_tickets.count(from.address, now);
            return Err(over());
        };
        let has_ended = now >= session.ends_at || now.since(session.seen_at) > life.idle;
        let caller = self.caller_of(tenant, session.account, from).await?;
        let caller = caller.ok_or_else(over)?;
        let generation = caller.usable().map(|account| account.generation);
        if has_ended || generation != Some(session.generation) {
            return Err(over());
        }
        if now.since(session.seen_at) >= SEEN_EVERY {
            let mut tx = self.db().write(tenant).await?;
            web_sessions::seen(&mut tx, session.id, now).await?;
            tx.commit().await?;
        }
        Ok(Bearer {
            means: Means::Session(session.id),
            caller,
            by: "session".to_owned(),
        })
    }

    async fn token_of(&self, ticket: &Ticket, from: Door, now: Timestamp) -> Result<Bearer> {
        let tenant = ticket.tenant();
        let found = {
            let mut tx = self.db().read(tenant).await?;
            api_tokens::by_hash(&mut tx, &ticket.hash()).await?
        };
        let Some(token) = found else {
            self.false_tickets.count(from.address, now);
            return Err(worthless());
        };
        let caller = self.caller_of(tenant, token.account, from).await?;
        let caller = caller.ok_or_else(worthless)?;
        let has_expired = token.expires_at.is_some_and(|end| now >= end);
        let why = match has_expired {
            true => Some("it has expired"),
            false => caller.barred,
        };
        if let Some(why) = why {
            // What is repeated a thousand times is not worth a thousand records.
            self.false_tickets.count(from.address, now);
            self.note_failure(&caller, from, &format!("token '{}': {why}", token.name));
            return Err(worthless());
        }
        if token
            .used_at
            .is_none_or(|used| now.since(used) >= SEEN_EVERY)
        {
            let mut tx = self.db().write(tenant).await?;
            api_tokens::used(&mut tx, token.id, now).await?;
            tx.commit().await?;
        }
        Ok(Bearer {
            means: Means::Token(Grant {
                token: token.id,
                scopes: token.scopes,
                expires_at: token.expires_at,
            }),
            caller,
            by: format!("token '{}'", token.name),
        })
    }
}

fn over() -> Error {
    let sentence = "the session is over; log in again";
    Error::new(ErrorKind::Unauthenticated, sentence)
}

fn worthless() -> Error {
    let sentence =
        "the token is unknown, expired or revoked, or its account is disabled; make a new one";
    Error::new(ErrorKind::Unauthenticated, sentence)
}
