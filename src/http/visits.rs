//! Requests that show the cookie of a session or a token: what was looked up a moment ago is good for
//! [`FRESH`], so that most requests cost no query; what is revoked, on whichever instance, is refused
//! after that long at the latest, and what goes on by then is ended within [`LOOK`]. What shows a token takes one
//! of the places for sessions that its account has while a request is under way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::accounts::bearer::{Means, SessionLife};
use crate::accounts::door::Door;
use crate::accounts::login::Accounts;
use crate::accounts::ticket::{Ticket, TicketKind};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::principal::{Principal, Protocol};
use crate::domain::turns::Turns;

/// How long what was looked up is good.
pub const FRESH: Duration = Duration::from_secs(2);
/// How often all that are known are looked at.
pub const LOOK: Duration = Duration::from_secs(5);
/// From where nothing came for so long rests.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// How many are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At most.
    pub most: usize,
    /// Of one account once half of all places are taken: beyond that, what has rested longest of it gives way to one
    /// more.
    pub of_account: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            most: 20_000,
            of_account: 1_000,
        }
    }
}

/// Who makes a request, and by what they are known.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Who it is.
    pub principal: Principal,
    /// By what.
    pub means: Means,
    /// While there are others of it, a request is under way.
    in_use: Arc<()>,
}

impl Visit {
    /// Whether a request is under way.
    pub fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.in_use) > 1
    }

    /// Has the session, which is kept now, take a place among those of its account only while a request is under
    /// way; that of a browser, which logs in and out, has one as long as it lasts.
    pub fn share_place(&self, accounts: &Accounts) {
        match self.means {
            Means::Password | Means::Token(_) => {
                accounts.hold_while(&self.principal, &self.in_use);
            }
            Means::Session(_) => {}
        }
    }

    /// One more request of a session that is kept.
    pub fn again(&self) -> Again {
        let was_in_use = self.is_in_use();
        Again {
            visit: self.clone(),
            was_in_use,
        }
    }

    /// One that begins now.
    pub fn new(principal: Principal, means: Means) -> Self {
        let in_use = Arc::new(());
        Self {
            principal,
            means,
            in_use,
        }
    }
}

/// One more request of a session that is kept.
pub struct Again {
    visit: Visit,
    was_in_use: bool,
}

impl Again {
    /// Begins it.
    ///
    /// # Errors
    /// Busy when the session has to take a place again, and its account or tenant has none.
    pub fn begin(self, accounts: &Accounts) -> Result<Visit> {
        match self.visit.means {
            Means::Password | Means::Token(_) if !self.was_in_use => {
                accounts.go_on(&self.visit.principal)?;
            }
            Means::Password | Means::Session(_) | Means::Token(_) => {}
        }
        Ok(self.visit)
    }
}

/// The tickets that were shown lately.
pub struct Visits {
    accounts: Accounts,
    life: SessionLife,
    bounds: Bounds,
    known: Mutex<HashMap<Mark, Known>>,
    /// Those who begin: the first requests of a client come at the same time, and begin one session.
    beginning: Turns<Mark>,
}

/// A ticket from an address by a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Mark {
    kind: TicketKind,
    hash: [u8; 32],
    address: IpAddr,
    protocol: Protocol,
}

struct Known {
    visit: Visit,
    last: Instant,
    looked_up: Instant,
}

impl Visits {
    /// Nobody yet; sessions last for `life`.
    pub fn new(accounts: Accounts, life: SessionLife) -> Self {
        Self::bounded(accounts, life, Bounds::default())
    }

    /// The same with other bounds.
    pub fn bounded(accounts: Accounts, life: SessionLife, bounds: Bounds) -> Self {
        Self {
            accounts,
            life,
            bounds,
            known: Mutex::default(),
            beginning: Turns::default(),
        }
    }

    /// Who shows this ticket.
    ///
    /// # Errors
    /// As [`Accounts::look_up`] and [`Accounts::admit_bearer`].
    pub async fn of(&self, ticket: &Ticket, from: Door) -> Result<Visit> {
        let mark = Mark::new(ticket, from);
        let is_due = match self.glance(&mark) {
            Seen::Lately(again) => return again.begin(&self.accounts),
            Seen::LongAgo => true,
            Seen::Never => false,
        };
        // Who is known looks again without waiting for others: only beginning is for one at a time.
        let mut turn = None;
        if !is_due {
            turn = Some(self.beginning.take(mark).await?);
            // Another request of the same client may have been quicker.
            if let Seen::Lately(again) = self.glance(&mark) {
                return again.begin(&self.accounts);
            }
        }
        let bearer = match self.accounts.look_up(ticket, from, self.life).await {
            Ok(bearer) => bearer,
            Err(error) => {
                if error.kind() == ErrorKind::Unauthenticated {
                    self.cut_off(|_, other| *other == mark).await;
                }
                return Err(error);
            }
        };
        let before = self.lock().get(&mark).map(|known| known.visit.again());
        match before {
            Some(again)
                if bearer.still_is(&again.visit.principal) && !self.has_ended(&again.visit) =>
            {
                return again.begin(&self.accounts);
            }
            // The account has changed: what was begun before is over.
            Some(_) => self.cut_off(|_, other| *other == mark).await,
            None => {}
        }
        let _turn = match turn {
            Some(turn) => turn,
            None => {
                let turn = self.beginning.take(mark).await?;
                if let Seen::Lately(again) = self.glance(&mark) {
                    return again.begin(&self.accounts);
                }
                turn
            }
        };
        let principal = self.accounts.admit_bearer(&bearer, from).await?;
        self.begin(mark, Visit::new(principal, bearer.means)).await
    }

    /// Knows a session from its login on, so that it rests and ends like any other though its client may never
    /// show it.
    ///
    /// # Errors
    /// Busy when too many are known.
    pub async fn logged_in(
        &self,
        ticket: &Ticket,
        from: Door,
        principal: &Principal,
    ) -> Result<()> {
        let means = Means::Session(principal.session);
        let visit = Visit::new(principal.clone(), means);
        self.begin(Mark::new(ticket, from), visit).await.map(drop)
    }

    async fn begin(&self, mark: Mark, visit: Visit) -> Result<Visit> {
        match self.keep(mark, &visit) {
            Kept::Mine(gone) => {
                visit.share_place(&self.accounts);
                if let Some(gone) = gone {
                    self.lay_to_rest(&gone).await;
                }
                Ok(visit)
            }
            Kept::Full => {
                self.accounts.rest(&visit.principal, &visit.means).await;
                Err(Error::new(
                    ErrorKind::Busy,
                    "too many clients are logged in; try again in a few minutes",
                ))
            }
        }
    }

    /// Forgets what was revoked on this instance at once, and ends what goes on by it.
    pub async fn revoked(&self, is_it: impl Fn(&Visit) -> bool) {
        self.cut_off(|visit, _| is_it(visit)).await;
    }

    /// Lets those rest who are silent and ends those whose tickets are good no more, until `stop`.
    pub async fn follow(&self, stop: CancellationToken) {
        let rounds = async {
            loop {
                tokio::time::sleep(LOOK).await;
                self.rest(|known, now| now.duration_since(known.last) >= IDLE)
                    .await;
                if let Err(error) = self.look().await {
                    tracing::debug!(error = ?error, "sessions and tokens cannot be looked at; trying again");
                }
            }
        };
        stop.run_until_cancelled(rounds).await;
        self.rest(|_, _| true).await;
    }

    async fn look(&self) -> Result<()> {
        let all: Vec<_> = {
            let known = self.lock();
            let visits = known.values().map(|known| &known.visit);
            let each = visits.map(|visit| (visit.principal.tenant, visit.means));
            each.collect()
        };
        let good = self.accounts.still_good(&all).await?;
        // What came meanwhile was looked up just now.
        self.cut_off(|visit, _| {
            let was_asked = all.iter().any(|(_, means)| *means == visit.means);
            was_asked && !good.holds(&visit.means)
        })
        .await;
        Ok(())
    }

    async fn cut_off(&self, is_over: impl Fn(&Visit, &Mark) -> bool) {
        for visit in self.take(|known, mark| is_over(&known.visit, mark)) {
            self.accounts.cut_off(&visit.principal, &visit.means).await;
        }
    }

    async fn rest(&self, is_silent: impl Fn(&Known, Instant) -> bool) {
        let now = Instant::now();
        let rests = |known: &Known, _: &Mark| {
            let is_idle = !known.visit.is_in_use() && is_silent(known, now);
            is_idle || self.has_ended(&known.visit)
        };
        for visit in self.take(rests) {
            self.lay_to_rest(&visit).await;
        }
    }

    /// Has a session rest that is not known any more, unless it is from elsewhere.
    async fn lay_to_rest(&self, visit: &Visit) {
        let session = visit.principal.session;
        let is_elsewhere = {
            let known = self.lock();
            let mut others = known.values();
            others.any(|known| known.visit.principal.session == session)
        };
        if !is_elsewhere {
            self.accounts.rest(&visit.principal, &visit.means).await;
        }
    }

    fn take(&self, is_it: impl Fn(&Known, &Mark) -> bool) -> Vec<Visit> {
        let mut known = self.lock();
        let taken = known.extract_if(|mark, known| is_it(known, mark));
        taken.map(|(_, known)| known.visit).collect()
    }

    /// Who is known without a look. When it is time for one, one request takes it upon itself and the
    /// others go on.
    fn glance(&self, mark: &Mark) -> Seen {
        let mut known = self.lock();
        let Some(found) = known.get_mut(mark) else {
            return Seen::Never;
        };
        if self.has_ended(&found.visit) {
            return Seen::Never;
        }
        let now = Instant::now();
        found.last = now;
        if now.duration_since(found.looked_up) >= FRESH {
            found.looked_up = now;
            return Seen::LongAgo;
        }
        Seen::Lately(Box::new(found.visit.again()))
    }

    fn keep(&self, mark: Mark, visit: &Visit) -> Kept {
        let mut known = self.lock();
        let all = known.iter();
        let all = all.map(|(mark, known)| (*mark, &known.visit, known.last));
        let gone = gives_way(all, &visit.principal, self.bounds);
        let gone = gone.and_then(|mark| known.remove(&mark));
        if known.len() >= self.bounds.most {
            return Kept::Full;
        }
        let now = Instant::now();
        let new = Known {
            visit: visit.clone(),
            last: now,
            looked_up: now,
        };
        known.insert(mark, new);
        Kept::Mine(gone.map(|gone| Box::new(gone.visit)))
    }

    fn has_ended(&self, visit: &Visit) -> bool {
        let ended = self.accounts.ended(&visit.principal);
        ended.now_or_never().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Mark, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mark {
    fn new(ticket: &Ticket, from: Door) -> Self {
        Self {
            kind: ticket.kind(),
            hash: ticket.hash(),
            address: from.address,
            protocol: from.protocol,
        }
    }
}

/// What is known of a ticket that is shown.
enum Seen {
    Lately(Box<Again>),
    /// It is to be looked up, by whoever is told so.
    LongAgo,
    /// Nothing, or its session has ended.
    Never,
}

enum Kept {
    Full,
    /// It was kept, in place of this one, if any.
    Mine(Option<Box<Visit>>),
}

/// Which of `all` gives way to one more session of an account, so that nobody fills the table alone: the one that has
/// rested longest, once the account has its share and half of the table is taken. Those with a request under way stay: they are as many as the account
/// has places.
pub fn gives_way<'a, M, T: Ord>(
    all: impl ExactSizeIterator<Item = (M, &'a Visit, T)>,
    to: &Principal,
    bounds: Bounds,
) -> Option<M> {
    if all.len() < bounds.most / 2 {
        return None;
    }
    let is_own = |visit: &Visit| {
        let own = &visit.principal;
        (own.tenant, own.account) == (to.tenant, to.account)
    };
    let own: Vec<_> = all.filter(|(_, visit, _)| is_own(visit)).collect();
    if own.len() < bounds.of_account {
        return None;
    }
    let idle = own.into_iter().filter(|(_, visit, _)| !visit.is_in_use());
    let oldest = idle.min_by(|(_, _, one), (_, _, other)| one.cmp(other));
    oldest.map(|(mark, _, _)| mark)
}
