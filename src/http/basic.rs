//! Logging in with each request (RFC 7617): a client that sends the same password again goes on with the
//! session that the first request began, until it has been silent for a while. It takes one of the places for
//! sessions that its account has while a request is under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::accounts::attempt::{Attempt, Step};
use crate::accounts::bearer::Means;
use crate::accounts::door::Door;
use crate::accounts::login::Accounts;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::principal::Principal;
use crate::domain::random;
use crate::domain::secret::Secret;
use crate::domain::turns::Turns;
use crate::http::visits::{self, Again, Bounds, Visit};

/// A session from which nothing came for so long, and in which nothing goes on, is over.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// How often silent sessions are looked for.
const LOOK: Duration = Duration::from_secs(15);

/// What a client showed.
pub struct Credentials {
    /// The name that was typed.
    pub login: String,
    /// The password, perhaps with a code behind it.
    pub password: Secret,
}

impl Credentials {
    /// Takes what stands behind `Basic ` in the header.
    pub fn parse(text: &str) -> Option<Self> {
        let decoded = BASE64.decode(text.trim().as_bytes()).ok()?;
        let decoded = zeroize::Zeroizing::new(String::from_utf8(decoded).ok()?);
        let (login, password) = decoded.split_once(':')?;
        Some(Self {
            login: login.to_owned(),
            password: Secret::new(password.to_owned()),
        })
    }
}

/// The sessions of clients that log in with each request.
pub struct Basic {
    accounts: Accounts,
    clock: Arc<dyn Clock>,
    /// Of this process: what is remembered of a password is no use to anybody else.
    key: hmac::Key,
    bounds: Bounds,
    known: Mutex<HashMap<Mark, Known>>,
    /// Those who begin: the first requests of a client come at the same time, and begin one session.
    beginning: Turns<Mark>,
}

/// A tenant, a name, a password, an address and a door, in one.
type Mark = [u8; 32];

struct Known {
    visit: Visit,
    last: Timestamp,
}

impl Basic {
    /// Nobody yet.
    pub fn new(accounts: Accounts, clock: Arc<dyn Clock>) -> Self {
        Self::bounded(accounts, clock, Bounds::default())
    }

    /// The same with other bounds.
    pub fn bounded(accounts: Accounts, clock: Arc<dyn Clock>, bounds: Bounds) -> Self {
        Self {
            accounts,
            clock,
            bounds,
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()),
            known: Mutex::default(),
            beginning: Turns::default(),
        }
    }

    /// Whom these let in; names are those of `tenant`, if one is given. While somebody has what this
    /// returns, the session goes on.
    ///
    /// # Errors
    /// As [`Attempt::password`]; Unauthenticated as well when a password is not enough; Busy as well when a session
    /// that goes on finds no place.
    pub async fn log_in(
        &self,
        from: Door,
        tenant: Option<String>,
        credentials: &Credentials,
    ) -> Result<Visit> {
        let mark = self.mark(from, tenant.as_deref(), credentials);
        if let Some(again) = self.go_on(&mark) {
            return again.begin(&self.accounts);
        }
        let _turn = self.beginning.take(mark).await?;
        if let Some(again) = self.go_on(&mark) {
            return again.begin(&self.accounts);
        }
        let mut attempt = Attempt::new(self.accounts.clone(), from);
        attempt.in_tenant(tenant);
        let step = attempt
            .password(&credentials.login, &credentials.password)
            .await?;
        let principal = match step {
            Step::Admitted(principal) => *principal,
            Step::Ask(_) | Step::Further(_) => {
                return Err(Error::new(
                    ErrorKind::Unauthenticated,
                    "this account needs more than a password; use a token, or log in in a browser",
                ));
            }
        };
        let visit = Visit::new(principal, Means::Password);
        match self.keep(mark, &visit) {
            Kept::Mine(before) => {
                visit.share_place(&self.accounts);
                // It has ended already, or rests; now it takes no place any more.
                for before in before {
                    self.accounts.log_out(&before.principal).await;
                }
                Ok(visit)
            }
            Kept::Full => {
                self.accounts.log_out(&visit.principal).await;
                Err(Error::new(
                    ErrorKind::Busy,
                    "too many clients are logged in by password; try again in a few minutes",
                ))
            }
        }
    }

    /// Logs out who is silent until `stop`, then everybody.
    pub async fn follow(&self, stop: CancellationToken) {
        let rounds = async {
            loop {
                tokio::time::sleep(LOOK).await;
                self.end_silent().await;
            }
        };
        stop.run_until_cancelled(rounds).await;
        self.end(|_, _| true).await;
    }

    /// Logs out whom nothing came from for long, and for whom nothing goes on.
    pub async fn end_silent(&self) {
        let is_silent = |known: &Known, now: Timestamp| now.since(known.last) >= IDLE;
        self.end(|known, now| !known.visit.is_in_use() && is_silent(known, now))
            .await;
    }

    async fn end(&self, is_over: impl Fn(&Known, Timestamp) -> bool) {
        let now = self.clock.now();
        let mut ended = Vec::new();
        self.lock().retain(|_, known| {
            // A transfer holds its session, and its end is when the silence begins.
            if known.visit.is_in_use() {
                known.last = now;
            }
            let over = is_over(known, now) || self.has_ended(&known.visit.principal);
            if over {
                ended.push(known.visit.principal.clone());
            }
            !over
        });
        for principal in ended {
            self.accounts.log_out(&principal).await;
        }
    }

    fn go_on(&self, mark: &Mark) -> Option<Again> {
        let mut known = self.lock();
        let found = known.get_mut(mark)?;
        if self.has_ended(&found.visit.principal) {
            return None;
        }
        found.last = self.clock.now();
        Some(found.visit.again())
    }

    fn keep(&self, mark: Mark, visit: &Visit) -> Kept {
        let mut known = self.lock();
        let before = known.remove(&mark);
        let all = known.iter();
        let all = all.map(|(mark, known)| (*mark, &known.visit, known.last));
        let gone = visits::gives_way(all, &visit.principal, self.bounds);
        let gone = gone.and_then(|mark| known.remove(&mark));
        if known.len() >= self.bounds.most {
            return Kept::Full;
        }
        let last = self.clock.now();
        let visit = visit.clone();
        known.insert(mark, Known { visit, last });
        let gone = before.into_iter().chain(gone);
        Kept::Mine(gone.map(|gone| gone.visit).collect())
    }

    fn has_ended(&self, principal: &Principal) -> bool {
        self.accounts.ended(principal).now_or_never().is_some()
    }

    fn mark(&self, from: Door, tenant: Option<&str>, credentials: &Credentials) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        let protocol = from.protocol.as_str();
        let address = from.address.to_string();
        let tenant = tenant.unwrap_or_default();
        let parts = [protocol, &address, tenant, &credentials.login];
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.update(credentials.password.expose());
        let mut mark = Mark::default();
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Mark, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Kept {
    Full,
    /// It was kept, in place of these.
    Mine(Vec<Visit>),
}
