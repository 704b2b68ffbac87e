//! People who came by links, for as long as they are about: their sessions on this instance end when the
//! link does, when the account that made it is changed, or when they have been silent for a while.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::accounts::door::Door;
use crate::accounts::link_downloads::Leave;
use crate::accounts::links::GoodLink;
use crate::accounts::login::Accounts;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{LinkId, TenantId};
use crate::domain::principal::Principal;

/// How often all that are known are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// From whom nothing came for so long is forgotten.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// Most that are known, and of one tenant.
const MOST: usize = 20_000;
const MOST_OF_TENANT: usize = 5_000;

/// Somebody who came by a link.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Who they act for, and what they may.
    pub principal: Principal,
    /// While there are others of it, a request is under way.
    in_use: Arc<()>,
}

/// Those who are about.
pub struct Guests {
    accounts: Accounts,
    known: Mutex<HashMap<Mark, Known>>,
    ended: mpsc::UnboundedSender<(Leave, u64)>,
    /// What is to be written down; taken by whoever does.
    endings: Mutex<Option<mpsc::UnboundedReceiver<(Leave, u64)>>>,
}

/// By which link, and from where.
type Mark = (LinkId, IpAddr);

struct Known {
    guest: Guest,
    last: Instant,
}

impl Guests {
    /// Nobody yet.
    pub fn new(accounts: Accounts) -> Self {
        let (ended, endings) = mpsc::unbounded_channel();
        Self {
            accounts,
            known: Mutex::default(),
            ended,
            endings: Mutex::new(Some(endings)),
        }
    }

    /// Lets somebody in by a link, or on, if they are about.
    ///
    /// # Errors
    /// Busy when too many are; Unavailable when the database does not answer.
    pub async fn admit(&self, good: &GoodLink, from: Door) -> Result<Guest> {
        let mark = (good.link().id, from.address);
        if let Some(guest) = self.glance(&mut self.lock(), mark, good) {
            return Ok(guest);
        }
        if self.is_full(good.tenant_id()) {
            let sentence = "too many people have come by links; try again in a few minutes";
            return Err(Error::new(ErrorKind::Busy, sentence));
        }
        let guest = Guest {
            principal: self.accounts.admit_link(good, from).await?,
            in_use: Arc::new(()),
        };
        let (kept, over) = self.keep(mark, good, guest);
        if let Some(over) = over {
            self.accounts.leave_link(&over.principal);
        }
        Ok(kept)
    }

    fn is_full(&self, tenant: TenantId) -> bool {
        let known = self.lock();
        let of_tenant = known
            .values()
            .filter(|known| known.guest.principal.tenant == tenant);
        known.len() >= MOST || of_tenant.count() >= MOST_OF_TENANT
    }

    /// Keeps somebody; says who is about then, and whose session is over: theirs, if another request of
    /// the same client was quicker, or that of before, as the link or the account has changed.
    fn keep(&self, mark: Mark, good: &GoodLink, guest: Guest) -> (Guest, Option<Guest>) {
        let mut known = self.lock();
        if let Some(theirs) = self.glance(&mut known, mark, good) {
            return (theirs, Some(guest));
        }
        let new = Known {
            guest: guest.clone(),
            last: Instant::now(),
        };
        let before = known.insert(mark, new);
        (guest, before.map(|before| before.guest))
    }

    /// Ends what goes on by a link, on this instance.
    pub fn revoked(&self, link: LinkId) {
        self.end(|mark, _| mark.0 == link);
    }

    /// What a part is sent with, so that it is written down how much of it was.
    pub fn sending(&self, leave: Leave) -> Sending {
        Sending {
            leave: Some(leave),
            sent: 0,
            ended: self.ended.clone(),
        }
    }

    /// Ends what goes on by links that have ended, and forgets who is silent, until `stop`; then all.
    pub async fn follow(&self, stop: CancellationToken) {
        let rounds = async {
            loop {
                tokio::time::sleep(LOOK).await;
                self.forget_silent();
                if let Err(error) = self.look().await {
                    tracing::debug!(error = ?error, "links cannot be looked at; trying again");
                }
            }
        };
        stop.run_until_cancelled(rounds).await;
        self.end(|_, _| true);
    }

    /// Writes down how much was sent of downloads, until `stop`, and then what is left.
    pub async fn write_down(&self, stop: CancellationToken) {
        let endings = self
            .endings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut endings) = endings else {
            return;
        };
        while let Some(Some((leave, sent))) = stop.run_until_cancelled(endings.recv()).await {
            self.write(&leave, sent).await;
        }
        while let Ok((leave, sent)) = endings.try_recv() {
            self.write(&leave, sent).await;
        }
    }

    async fn write(&self, leave: &Leave, sent: u64) {
        if let Err(error) = self.accounts.download_ended(leave, sent).await {
            tracing::warn!(error = ?error, "how much was sent of a download by a link was not written down");
        }
    }

    async fn look(&self) -> Result<()> {
        let all: HashSet<_> = {
            let known = self.lock();
            let each = known.iter();
            each.map(|((link, _), known)| (known.guest.principal.tenant, *link))
                .collect()
        };
        let asked: HashSet<_> = all.iter().map(|(_, link)| *link).collect();
        let all: Vec<_> = all.into_iter().collect();
        let living = self.accounts.living_links(&all).await?;
        self.end(|(link, _), _| asked.contains(link) && !living.contains(link));
        Ok(())
    }

    fn forget_silent(&self) {
        let now = Instant::now();
        self.end(|_, known| {
            let is_in_use = Arc::strong_count(&known.guest.in_use) > 1;
            if is_in_use {
                known.last = now;
            }
            now.duration_since(known.last) >= IDLE || self.has_ended(&known.guest)
        });
    }

    fn end(&self, is_over: impl Fn(&Mark, &mut Known) -> bool) {
        let over: Vec<_> = {
            let mut known = self.lock();
            known
                .extract_if(|mark, known| is_over(mark, known))
                .collect()
        };
        for (_, known) in over {
            self.accounts.leave_link(&known.guest.principal);
        }
    }

    fn glance(
        &self,
        known: &mut HashMap<Mark, Known>,
        mark: Mark,
        good: &GoodLink,
    ) -> Option<Guest> {
        let found = known.get_mut(&mark)?;
        if self.has_ended(&found.guest) || !self.accounts.goes_on(good, &found.guest.principal) {
            return None;
        }
        found.last = Instant::now();
        // The link leads to a thing, wherever that is by now.
        found.guest.principal.home = good.home().clone();
        Some(found.guest.clone())
    }

    fn has_ended(&self, guest: &Guest) -> bool {
        let ended = self.accounts.ended(&guest.principal);
        ended.now_or_never().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Mark, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a file while it is sent. Dropped, it has how much of it was sent written down.
pub struct Sending {
    leave: Option<Leave>,
    sent: u64,
    ended: mpsc::UnboundedSender<(Leave, u64)>,
}

impl Sending {
    /// So many bytes more were sent.
    pub fn add(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(leave) = self.leave.take() {
            // Nobody writes it down when the server has ended: then it counts as under way.
            let _ = self.ended.send((leave, self.sent));
        }
    }
}
