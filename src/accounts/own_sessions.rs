//! The sessions that an account has with its browsers.

use crate::accounts::bearer::SessionLife;
use crate::accounts::login::Accounts;
use crate::accounts::ticket::{Ticket, TicketKind};
use crate::db::audit::Happening;
use crate::db::web_sessions::{self, Over, WebSession};
use crate::domain::audit_kind::AuditKind;
use crate::domain::error::{Error, Result};
use crate::domain::id::SessionId;
use crate::domain::principal::Principal;

/// Most sessions of one account that are kept; the oldest make room.
const MOST: usize = 100;
/// What is kept of the name of a browser, in bytes.
const AGENT_BYTES: usize = 200;

/// A session as it is shown to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSession {
    /// What it is ended by.
    pub id: SessionId,
    /// When it began.
    pub began_at: String,
    /// When it was used last, to the minute or so.
    pub seen_at: String,
    /// When it ends, however much it is used.
    pub ends_at: String,
    /// From where it began.
    pub address: String,
    /// What the browser called itself then.
    pub agent: String,
}

impl Accounts {
    /// Keeps the session of somebody who has just logged in, under a secret that nobody had before,
    /// for every instance to know.
    ///
    /// # Errors
    /// Unavailable when the database does not answer: the login is undone then.
    pub async fn keep_session(
        &self,
        principal: &Principal,
        agent: &str,
        life: SessionLife,
    ) -> Result<(Ticket, OwnSession)> {
        let ticket = Ticket::random(TicketKind::Session, principal.tenant);
        match self.store(&ticket, principal, agent, life).await {
            Ok(session) => Ok((ticket, view(session))),
            Err(error) => {
                self.log_out(principal).await;
                Err(error)
            }
        }
    }

    /// The sessions of an account that go on, newest first.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn own_sessions(
        &self,
        principal: &Principal,
        life: SessionLife,
    ) -> Result<Vec<OwnSession>> {
        let now = self.inner.now();
        let mut tx = self.inner.db().read(principal.tenant).await?;
        let mut all = web_sessions::list(&mut tx, principal.account).await?;
        all.retain(|session| {
            session.generation == principal.generation
                && session.ends_at > now
                && now.since(session.seen_at) <= life.idle
        });
        Ok(all.into_iter().map(view).collect())
    }

    /// Ends one session of an account.
    ///
    /// # Errors
    /// NotFound when the account has none by this id; Unavailable.
    pub async fn end_session(&self, principal: &Principal, id: SessionId) -> Result<()> {
        let mut tx = self.inner.db().write(principal.tenant).await?;
        if !web_sessions::remove(&mut tx, principal.account, id).await? {
            return Err(Error::not_found("there is no such session of this account"));
        }
        tx.commit().await?;
        self.inner.end(id);
        let what = match id == principal.session {
            true => Happening::new(AuditKind::Logout, principal.login.to_string()),
            false => Happening::new(AuditKind::SessionEnd, format!("{}: {id}", principal.login)),
        };
        self.write_down(principal, what);
        Ok(())
    }

    /// Ends all sessions of an account but the one that `principal` has, if it has one, and tells how
    /// many those were.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn end_other_sessions(&self, principal: &Principal) -> Result<u64> {
        let mut tx = self.inner.db().write(principal.tenant).await?;
        let ended =
            web_sessions::remove_others(&mut tx, principal.account, principal.session).await?;
        tx.commit().await?;
        let detail = format!("{}: {ended} others", principal.login);
        self.write_down(principal, Happening::new(AuditKind::SessionEnd, detail));
        Ok(ended)
    }

    async fn store(
        &self,
        ticket: &Ticket,
        principal: &Principal,
        agent: &str,
        life: SessionLife,
    ) -> Result<WebSession> {
        let now = self.inner.now();
        let session = WebSession {
            id: principal.session,
            account: principal.account,
            generation: principal.generation,
            began_at: now,
            seen_at: now,
            ends_at: now.plus(life.whole),
            address: principal.address.to_string(),
            agent: shortened(agent),
        };
        let over = Over {
            now,
            unseen_since: now.minus(life.idle),
        };
        let mut tx = self.inner.db().write(principal.tenant).await?;
        web_sessions::forget(&mut tx, principal.account, over).await?;
        let others = web_sessions::list(&mut tx, principal.account).await?;
        for oldest in others.iter().skip(MOST - 1) {
            web_sessions::remove(&mut tx, principal.account, oldest.id).await?;
        }
        web_sessions::insert(&mut tx, &session, &ticket.hash()).await?;
        tx.commit().await?;
        Ok(session)
    }

    pub(in crate::accounts) fn write_down(&self, principal: &Principal, happening: Happening) {
        let committer = &self.inner.committer;
        committer.note(principal.tenant, &principal.actor(), happening);
    }
}

fn view(session: WebSession) -> OwnSession {
    OwnSession {
        id: session.id,
        began_at: session.began_at.to_string(),
        seen_at: session.seen_at.to_string(),
        ends_at: session.ends_at.to_string(),
        address: session.address,
        agent: session.agent,
    }
}

fn shortened(agent: &str) -> String {
    let mut kept = String::new();
    for letter in agent.chars().filter(|letter| !letter.is_control()) {
        if kept.len() + letter.len_utf8() > AGENT_BYTES {
            break;
        }
        kept.push(letter);
    }
    kept
}
