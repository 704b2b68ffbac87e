//! The links that an account has made.

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::accounts::bearer::{self, Means};
use crate::accounts::home::path_of;
use crate::accounts::login::Accounts;
use crate::accounts::ticket::{Ticket, TicketKind};
use crate::crypto::password;
use crate::db::audit::Happening;
use crate::db::grants::{self, Grant};
use crate::db::links::{self, Link};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::{addressed, entries};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, LinkId, NodeId, TokenId};
use crate::domain::link::{LinkKind, LinkLimits};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::domain::secret::Secret;

/// Most links of one account that are not revoked.
const MOST: u64 = 10_000;
/// Longest name of a link, in bytes.
const NAME_BYTES: usize = 100;
/// Most patterns of names, and the longest, in bytes.
const PATTERNS: usize = 32;
const PATTERN_BYTES: usize = 100;
/// Most uploads that end in the change that ends their link; a job ends the others.
const AT_ONCE: i64 = 100;

/// What a new link is given.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// What it is for.
    pub kind: LinkKind,
    /// What it leads to. Whether its maker may give so much away is for who asks to look at.
    pub node: NodeId,
    /// What its maker calls it.
    pub name: String,
    /// What has to be given to use it; none is nothing.
    pub password: Option<Secret>,
    /// What it is held to.
    pub limits: LinkLimits,
}

/// What is to be different about a link; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct LinkChange {
    /// What its maker calls it.
    pub name: Option<String>,
    /// The password; `Some(None)` takes it away.
    pub password: Option<Option<Secret>>,
    /// When it ends; `Some(None)` is never.
    pub expires_at: Option<Option<Timestamp>>,
    /// Most downloads or files.
    pub uses: Option<Option<u64>>,
    /// Most bytes that may be sent in all.
    pub bytes: Option<Option<u64>>,
    /// Most bytes of one file that is sent.
    pub size: Option<Option<u64>>,
    /// Names that files may have.
    pub patterns: Option<Vec<String>>,
}

/// A link as it is shown to its maker.
#[derive(Clone, Debug)]
pub struct OwnLink {
    /// What is written down of it.
    pub link: Link,
    /// Where it leads now, whoever may know that; none when that is gone.
    pub path: Option<VfsPath>,
    /// What its maker may do there now.
    rights: Rights,
}

impl OwnLink {
    /// A link as it is now, whose maker has these grants.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub(in crate::accounts) async fn placed(
        tx: &mut TenantTx,
        link: Link,
        grants: &[Grant],
    ) -> Result<Self> {
        let path = path_of(tx, link.node).await?;
        let up = entries::ancestors(tx, link.node).await?;
        let along = grants
            .iter()
            .filter(|grant| up.iter().any(|entry| entry.node == grant.node));
        let rights = along.fold(Rights::NONE, |rights, grant| rights | grant.rights);
        Ok(Self { link, path, rights })
    }

    /// Where it leads now, as far as its maker may know: none where that may not list.
    pub fn shown_path(&self) -> Option<&VfsPath> {
        let path = self.path.as_ref();
        path.filter(|_| self.rights.contains(Rights::LIST))
    }

    /// `live`, `expired`, `used-up`, `gone` when there is nothing where it leads, or `barred` while its maker may
    /// not do there what it is for.
    pub fn state(&self, now: Timestamp) -> &'static str {
        match &self.path {
            _ if self.link.is_over(now) => "expired",
            None => "gone",
            Some(_) if !self.rights.contains(self.link.kind.needed()) => "barred",
            Some(_) if self.link.is_used_up() => "used-up",
            Some(_) => "live",
        }
    }
}

impl Accounts {
    /// Makes a link. Its text is returned and can never be shown again. By a token, none is made that
    /// lasts longer than itself.
    ///
    /// # Errors
    /// Invalid for what breaks a rule, or too many links; Denied when it would outlast `means`;
    /// Unauthenticated when the account was changed since the login; Unavailable.
    pub async fn add_link(
        &self,
        principal: &Principal,
        means: &Means,
        new: NewLink,
    ) -> Result<(Zeroizing<String>, OwnLink)> {
        let now = self.inner.now();
        let limits = LinkLimits {
            expires_at: means.end_of("link", new.limits.expires_at)?,
            ..new.limits
        };
        check_name(&new.name)?;
        check_limits(new.kind, &limits, now)?;
        let ticket = Ticket::random(TicketKind::Link, principal.tenant);
        let link = Link {
            id: LinkId::mint(now),
            account: principal.account,
            kind: new.kind,
            node: new.node,
            name: new.name,
            password: self.hashed(new.password).await?,
            made_at: now,
            revoked_at: None,
            used_at: None,
            uses: 0,
            bytes: 0,
            limits,
        };
        let adding = Add {
            login: principal.login.to_string(),
            generation: principal.generation,
            link: link.clone(),
            hash: ticket.hash(),
            made_by: means.token(),
        };
        let committer = &self.inner.committer;
        committer
            .run(principal.tenant, &principal.actor(), adding)
            .await?;
        Ok((ticket.text(), self.placed(principal, link).await?))
    }

    /// Up to `limit` links of an account that are not revoked, newest first, made before `before`.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn own_links(
        &self,
        principal: &Principal,
        before: Option<LinkId>,
        limit: usize,
    ) -> Result<Vec<OwnLink>> {
        // Minted ids grow, and none is all ones.
        let before = before.unwrap_or(LinkId::from_slice(&[0xff; 16])?);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut tx = self.inner.db().read(principal.tenant).await?;
        let found = links::list(&mut tx, principal.account, before, limit).await?;
        let grants = grants::of_account(&mut tx, principal.account).await?;
        let mut own = Vec::with_capacity(found.len());
        for link in found {
            own.push(OwnLink::placed(&mut tx, link, &grants).await?);
        }
        Ok(own)
    }

    /// One link of an account that is not revoked.
    ///
    /// # Errors
    /// NotFound when the account has none by this id; Unavailable.
    pub async fn own_link(&self, principal: &Principal, id: LinkId) -> Result<OwnLink> {
        let link = {
            let mut tx = self.inner.db().read(principal.tenant).await?;
            find(&mut tx, principal.account, id).await?
        };
        self.placed(principal, link).await
    }

    /// Changes a link. By a token, none is changed to last longer than itself.
    ///
    /// # Errors
    /// NotFound when the account has none by this id; as making one.
    pub async fn alter_link(
        &self,
        principal: &Principal,
        means: &Means,
        id: LinkId,
        change: LinkChange,
    ) -> Result<OwnLink> {
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        let expires_at = match change.expires_at {
            Some(at) => Some(means.end_of("link", at)?),
            None => None,
        };
        let password = match change.password {
            Some(password) => Some(self.hashed(password).await?),
            None => None,
        };
        let altering = Alter {
            login: principal.login.to_string(),
            account: principal.account,
            generation: principal.generation,
            id,
            password,
            changed_by: means.token(),
            change: LinkChange {
                expires_at,
                password: None,
                ..change
            },
        };
        let committer = &self.inner.committer;
        committer
            .run(principal.tenant, &principal.actor(), altering)
            .await?;
        self.own_link(principal, id).await
    }

    /// Ends a link of an account.
    ///
    /// # Errors
    /// NotFound when the account has none by this id; Unavailable.
    pub async fn revoke_link(&self, principal: &Principal, id: LinkId) -> Result<()> {
        let revoking = Revoke {
            login: principal.login.to_string(),
            account: principal.account,
            id,
        };
        let committer = &self.inner.committer;
        committer
            .run(principal.tenant, &principal.actor(), revoking)
            .await
            .map(drop)
    }

    async fn placed(&self, principal: &Principal, link: Link) -> Result<OwnLink> {
        let mut tx = self.inner.db().read(principal.tenant).await?;
        let grants = grants::of_account(&mut tx, link.account).await?;
        OwnLink::placed(&mut tx, link, &grants).await
    }

    async fn hashed(&self, password: Option<Secret>) -> Result<Option<Secret>> {
        let Some(password) = password else {
            return Ok(None);
        };
        password::check_new(&password, 1)?;
        Ok(Some(self.inner.verifier.hash(password).await?))
    }
}

/// The link, if it is this account's and not revoked.
async fn find(tx: &mut TenantTx, account: AccountId, id: LinkId) -> Result<Link> {
    let link = links::by_id(tx, id).await?;
    let own = link.filter(|link| link.account == account && link.revoked_at.is_none());
    own.ok_or_else(|| Error::not_found("there is no such link of this account"))
}

fn check_name(name: &str) -> Result<()> {
    match name.len() <= NAME_BYTES && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the name of a link is at most {NAME_BYTES} bytes of plain text"
        ))),
    }
}

fn check_limits(kind: LinkKind, limits: &LinkLimits, now: Timestamp) -> Result<()> {
    if limits.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::invalid("a link must end later than now"));
    }
    if limits.uses == Some(0) {
        return Err(Error::invalid(
            "a link that nothing may be done by is none; say at least 1",
        ));
    }
    let is_for_sending =
        limits.bytes.is_some() || limits.size.is_some() || !limits.patterns.is_empty();
    if kind == LinkKind::Download && is_for_sending {
        return Err(Error::invalid(
            "'max_bytes', 'max_size' and 'patterns' are for links of the kind 'upload'",
        ));
    }
    let is_good = |pattern: &String| {
        (1..=PATTERN_BYTES).contains(&pattern.len()) && !pattern.chars().any(char::is_control)
    };
    match limits.patterns.len() <= PATTERNS && limits.patterns.iter().all(is_good) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "there are at most {PATTERNS} patterns, each of 1 to {PATTERN_BYTES} bytes of plain text"
        ))),
    }
}

struct Add {
    login: String,
    /// The account's, at the login.
    generation: i64,
    link: Link,
    hash: [u8; 32],
    made_by: Option<TokenId>,
}

#[async_trait]
impl Operation for Add {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let link = &self.link;
        bearer::require(tx, self.made_by).await?;
        bearer::require_unchanged(tx, link.account, self.generation).await?;
        if links::count(tx, link.account).await? >= MOST {
            return Err(Error::invalid(format!(
                "the account has {MOST} links, as many as it may have; revoke one first"
            )));
        }
        links::insert(tx, link, &self.hash).await?;
        if let Some(token) = self.made_by {
            links::made_by(tx, link.id, token).await?;
        }
        let path = path_of(tx, link.node).await?;
        let path = path.ok_or_else(|| Error::not_found("what the link is to lead to is gone"))?;
        let detail = format!("{}: {} to {path}", self.login, told(link));
        Ok(Record::Event(Happening::new(AuditKind::LinkAdd, detail)))
    }
}

struct Alter {
    login: String,
    account: AccountId,
    /// The account's, at the login.
    generation: i64,
    id: LinkId,
    /// Hashed, unlike that of the change.
    password: Option<Option<Secret>>,
    changed_by: Option<TokenId>,
    change: LinkChange,
}

#[async_trait]
impl Operation for Alter {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        bearer::require(tx, self.changed_by).await?;
        bearer::require_unchanged(tx, self.account, self.generation).await?;
        let before = find(tx, self.account, self.id).await?;
        let change = &self.change;
        let old = &before.limits;
        let link = Link {
            name: change.name.clone().unwrap_or_else(|| before.name.clone()),
            password: self.password.clone().unwrap_or(before.password),
            limits: LinkLimits {
                expires_at: change.expires_at.unwrap_or(old.expires_at),
                uses: change.uses.unwrap_or(old.uses),
                bytes: change.bytes.unwrap_or(old.bytes),
                size: change.size.unwrap_or(old.size),
                patterns: change
                    .patterns
                    .clone()
                    .unwrap_or_else(|| old.patterns.clone()),
            },
            ..before
        };
        // One that has ended stays so unless its end is moved.
        let changed = LinkLimits {
            expires_at: change.expires_at.flatten(),
            ..link.limits.clone()
        };
        check_limits(link.kind, &changed, next.at)?;
        links::alter(tx, &link).await?;
        if let Some(token) = self.changed_by {
            links::made_by(tx, link.id, token).await?;
        }
        let password = match self.password {
            None => "",
            Some(None) => ", without a password from now on",
            Some(Some(_)) => ", with another password",
        };
        let detail = format!("{}: {}{password}", self.login, told(&link));
        Ok(Record::Event(Happening::new(AuditKind::LinkAlter, detail)))
    }
}

/// The end of a link.
pub(in crate::accounts) struct Revoke {
    /// The name in full of the account that made it.
    pub(in crate::accounts) login: String,
    /// That account.
    pub(in crate::accounts) account: AccountId,
    /// Which.
    pub(in crate::accounts) id: LinkId,
}

#[async_trait]
impl Operation for Revoke {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let link = find(tx, self.account, self.id).await?;
        links::revoke(tx, link.id, next.at).await?;
        addressed::end_by(tx, link.id, next.at, AT_ONCE).await?;
        let detail = format!("{}: {}", self.login, told(&link));
        Ok(Record::Event(Happening::new(AuditKind::LinkRevoke, detail)))
    }
}

/// A link as the audit log has it.
fn told(link: &Link) -> String {
    let kind = link.kind.as_str();
    let mut text = format!("{kind} link '{}' {}", link.name, link.id);
    let limits = &link.limits;
    if link.password.is_some() {
        text.push_str(", password");
    }
    if let Some(end) = limits.expires_at {
        text.push_str(&format!(", until {end}"));
    }
    if let Some(most) = limits.uses {
        text.push_str(&format!(", {most} times"));
    }
    if let Some(most) = limits.bytes {
        text.push_str(&format!(", {most} bytes in all"));
    }
    if let Some(most) = limits.size {
        text.push_str(&format!(", files of {most} bytes"));
    }
    if !limits.patterns.is_empty() {
        text.push_str(&format!(", names {}", limits.patterns.join(" ")));
    }
    text
}
