//! People who come by a link: what it leads to now, whether its password was given, and the principal that
//! acts for the account that made it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;

use crate::accounts::caller::Caller;
use crate::accounts::door::Door;
use crate::accounts::home::path_of;
use crate::accounts::lockout;
use crate::accounts::login::{Accounts, Inner};
use crate::accounts::secrets::{Compared, Lock};
use crate::accounts::ticket::Ticket;
use crate::db::audit::Happening;
use crate::db::links::{self, Link};
use crate::domain::audit_kind::AuditKind;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, LinkId, SessionId, TenantId};
use crate::domain::path::VfsPath;
use crate::domain::principal::{Actor, LinkPass, Principal};
use crate::domain::secret::Secret;

/// How long it is remembered that a password was given.
pub const PASS_LIFE: Duration = Duration::from_secs(3600);

/// A link that is good now.
pub struct GoodLink {
    link: Link,
    tenant: TenantId,
    /// Where it leads now.
    home: VfsPath,
    caller: Caller,
}

/// What a ticket of a link stands for.
pub enum Found {
    /// A link that is good.
    Good(Box<GoodLink>),
    /// One that has ended, or whose maker may not use it here and now.
    Over,
}

impl GoodLink {
    /// What is written down of it.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Where it leads now.
    pub fn home(&self) -> &VfsPath {
        &self.home
    }

    /// The number of its tenant.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant
    }

    /// The name of its tenant.
    pub fn tenant(&self) -> &str {
        &self.caller.tenant.name
    }

    /// Whether a password has to be given.
    pub fn needs_password(&self) -> bool {
        self.link.password.is_some()
    }

    /// What somebody who has given the password shows from then on, on any instance, for [`PASS_LIFE`]
    /// or until the password is changed.
    pub fn pass(&self, now: Timestamp) -> String {
        let until = now.plus(PASS_LIFE).seconds();
        let mark = hmac::sign(&self.key(), &self.about(until));
        format!("{until}.{}", HEXLOWER.encode(mark.as_ref()))
    }

    /// Whether somebody shows what [`GoodLink::pass`] gave out, and it has not run out.
    pub fn is_pass(&self, shown: &str, now: Timestamp) -> bool {
        let Some((until, mark)) = shown.split_once('.') else {
            return false;
        };
        let (Ok(until), Ok(mark)) = (until.parse::<i64>(), HEXLOWER.decode(mark.as_bytes())) else {
            return false;
        };
        until > now.seconds() && hmac::verify(&self.key(), &self.about(until), &mark).is_ok()
    }

    /// The hash of the password is known to nobody outside: its salt alone has 128 random bits.
    fn key(&self) -> hmac::Key {
        let password = self.link.password.as_ref();
        let password = password.map(Secret::expose).unwrap_or_default();
        hmac::Key::new(hmac::HMAC_SHA256, password)
    }

    fn about(&self, until: i64) -> Vec<u8> {
        let tenant = self.tenant.0.to_be_bytes();
        let until = until.to_be_bytes();
        [
            b"link pass".as_slice(),
            &tenant,
            self.link.id.as_bytes(),
            &until,
        ]
        .concat()
    }

    fn pass_of(&self) -> LinkPass {
        LinkPass {
            id: self.link.id,
            node: self.link.node,
            name: self.link.name.clone(),
        }
    }
}

impl Accounts {
    /// What a ticket of a link stands for now; none when there is no such link, which counts against the
    /// address.
    ///
    /// # Errors
    /// Busy when an address shows many that are unknown, with how long to wait; Unavailable.
    pub async fn link(&self, ticket: &Ticket, from: Door) -> Result<Option<Found>> {
        let (inner, tenant, now) = (&self.inner, ticket.tenant(), self.inner.now());
        let wait = inner.false_tickets.wait(from.address, now);
        if !wait.is_zero() {
            return Err(lockout::wait(wait));
        }
        let (link, home) = {
            let mut tx = inner.db().read(tenant).await?;
            let Some(link) = links::by_hash(&mut tx, &ticket.hash()).await? else {
                inner.false_tickets.count(from.address, now);
                return Ok(None);
            };
            let home = path_of(&mut tx, link.node).await?;
            (link, home)
        };
        let caller = inner.caller_of(tenant, link.account, from).await?;
        let usable = caller.filter(|caller| caller.usable().is_some());
        Ok(Some(match (usable, home) {
            (Some(caller), Some(home)) if !link.is_over(now) => Found::Good(Box::new(GoodLink {
                link,
                tenant,
                home,
                caller,
            })),
            _ => Found::Over,
        }))
    }

    /// Has somebody prove that they know the password of a link. Failures are counted and slow down who
    /// guesses as those of an account do, for this link alone and for the address.
    ///
    /// # Errors
    /// Unauthenticated when it is wrong; Busy after failures, with how long to wait; Unavailable.
    pub async fn prove_link(&self, good: &GoodLink, password: &Secret, from: Door) -> Result<()> {
        let Some(stored) = &good.link.password else {
            return Ok(());
        };
        let (inner, tenant, counted) = (&self.inner, good.tenant, counted(good.link.id));
        inner.may_try(tenant, counted, from).await?;
        let lock = Lock {
            tenant,
            counted,
            // What is remembered ends with the hash that it was compared with.
            generation: i64::from(crc32fast::hash(stored.expose())),
            stored,
        };
        match inner.open_lock(lock, password, from).await? {
            Compared::Known => Ok(()),
            Compared::Wrong(one) => {
                inner.failures.count(from.address, inner.now());
                let locked = match one.delay.as_secs() {
                    0 => String::new(),
                    seconds => format!("; locked for {seconds} s"),
                };
                let detail = format!("{}: wrong password{locked}", good.pass_of());
                inner.note_link(good, from, Happening::new(AuditKind::LinkFailed, detail));
                Err(Error::new(
                    ErrorKind::Unauthenticated,
                    "the password is wrong",
                ))
            }
            Compared::Right(one, better) => {
                if let Some(better) = better {
                    let mut tx = inner.db().write(tenant).await?;
                    links::upgrade_password(&mut tx, good.link.id, stored, &better).await?;
                    tx.commit().await?;
                }
                inner.lockout.right(tenant, &one).await
            }
        }
    }

    /// Lets somebody in by a link, who acts for its account, with no more rights than the link gives, on
    /// this instance. Written down; to be ended by [`Accounts::leave_link`].
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn admit_link(&self, good: &GoodLink, from: Door) -> Result<Principal> {
        let (inner, caller) = (&self.inner, &good.caller);
        let account = caller.usable().ok_or_else(over)?;
        let session = SessionId::random();
        let mut principal = inner.principal(caller, account, from, session).await?;
        principal.ceiling = principal.ceiling & good.link.kind.needed();
        principal.home = good.home.clone();
        principal.link = Some(good.pass_of());
        inner.sessions.add_guest(&principal, inner.now());
        let happening = Happening::new(AuditKind::LinkOpen, good.pass_of().to_string());
        let actor = principal.actor();
        inner.committer.note(principal.tenant, &actor, happening);
        Ok(principal)
    }

    /// Whether a principal that was admitted by a link may go on by it as it is now.
    pub fn goes_on(&self, good: &GoodLink, principal: &Principal) -> bool {
        let account = good.caller.usable();
        account.is_some_and(|account| account.generation == principal.generation)
            && principal.link.as_ref() == Some(&good.pass_of())
    }

    /// Forgets somebody who came by a link, and ends what goes on.
    pub fn leave_link(&self, principal: &Principal) {
        self.inner.end(principal.session);
    }

    /// Which of these links have not ended, of all tenants.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn living_links(&self, all: &[(TenantId, LinkId)]) -> Result<HashSet<LinkId>> {
        let now = self.inner.now();
        let mut by_tenant: HashMap<TenantId, Vec<LinkId>> = HashMap::new();
        for (tenant, link) in all {
            by_tenant.entry(*tenant).or_default().push(*link);
        }
        let mut living = HashSet::new();
        for (tenant, ids) in by_tenant {
            let mut tx = self.inner.db().read(tenant).await?;
            living.extend(links::living(&mut tx, &ids, now).await?);
        }
        Ok(living)
    }
}

impl Inner {
    fn note_link(&self, good: &GoodLink, from: Door, happening: Happening) {
        let actor = Actor {
            account: Some(good.link.account),
            session: None,
            operator: None,
            protocol: from.protocol,
            address: Some(from.address),
        };
        self.committer.note(good.tenant, &actor, happening);
    }
}

/// The number that counts the failures of a link as those of an account: far below those of accounts, and
/// of names that do not exist.
fn counted(link: LinkId) -> AccountId {
    let half = link.as_bytes().last_chunk().copied().unwrap_or_default();
    let number = i64::from_be_bytes(half) & (i64::MAX >> 1);
    AccountId(-(1 << 32) - number)
}

fn over() -> Error {
    Error::not_found("this link leads nowhere any more; ask who gave it to you for another")
}
