//! Operators of the installation: the tokens by which they are known, and what those are for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::accounts::lockout;
use crate::accounts::manage::Directory;
use crate::accounts::ticket::{Ticket, TicketKind};
use crate::accounts::told_failures::ToldFailures;
use crate::db::database::Database;
use crate::db::operators::{self, OperatorRow};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{TenantId, TokenId};
use crate::domain::role::Role;
use crate::net::limit::{Failures, neighbourhood};

/// How often it is written down that a token was used.
const SEEN_EVERY: Duration = Duration::from_secs(60);
/// Tokens that are none, of one address: so many at once, then one each so often.
const FAILURES_AT_ONCE: u32 = 30;
const FAILURE_EVERY: Duration = Duration::from_secs(3);
/// Longest name of an operator, in bytes.
const NAME_BYTES: usize = 64;

/// The operators of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Operators {
    db: Database,
    failures: Arc<Failures>,
    told: Arc<ToldFailures<IpAddr>>,
}

/// What a new operator is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOperator {
    /// What the audit log calls them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How long the token is good; none is for ever.
    pub life: Option<Duration>,
}

/// Somebody who showed an operator's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Which token.
    pub id: TokenId,
    /// What the audit log calls them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When the token ends; none is never.
    pub expires_at: Option<Timestamp>,
}

/// A token as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperatorView {
    /// Names the token.
    pub id: String,
    /// What the audit log calls the operator.
    pub name: String,
    /// What they may do.
    pub role: String,
    /// When it was made.
    pub made_at: String,
    /// When it ends; none is never.
    pub expires_at: Option<String>,
    /// When it was used last, to the minute or so; none is never.
    pub used_at: Option<String>,
    /// When it was revoked; none is not.
    pub revoked_at: Option<String>,
}

impl Directory {
    /// The operators of the installation.
    pub fn operators(&self) -> Operators {
        Operators {
            db: self.db().clone(),
            failures: Arc::new(Failures::new(FAILURES_AT_ONCE, FAILURE_EVERY)),
            told: Arc::default(),
        }
    }
}

impl Operators {
    /// Makes a token. Its text is returned and can never be shown again.
    ///
    /// # Errors
    /// Invalid for a bad name; AlreadyExists when another token has the name and was not revoked;
    /// Unavailable.
    pub async fn add(&self, new: NewOperator) -> Result<(Zeroizing<String>, OperatorView)> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
        let name_is_good =
            (1..=NAME_BYTES).contains(&new.name.len()) && new.name.chars().all(plain);
        if !name_is_good {
            return Err(Error::invalid(format!(
                "an operator's name is 1 to {NAME_BYTES} of letters, digits and ._-@+"
            )));
        }
        if new.life.is_some_and(|life| life.is_zero()) {
            return Err(Error::invalid(
                "a token that expires at once opens nothing; give it some time, as in 90d",
            ));
        }
        let now = self.db.clock().now();
        let ticket = Ticket::random(TicketKind::Operator, TenantId(0));
        let row = OperatorRow {
            id: TokenId::mint(now),
            name: new.name,
            role: new.role.to_string(),
            made_at: now,
            expires_at: new.life.map(|life| now.plus(life)),
            used_at: None,
            revoked_at: None,
        };
        operators::insert(&self.db, &row, &ticket.hash()).await?;
        Ok((ticket.text(), view(row)))
    }

    /// All tokens, newest first, expired and revoked ones too.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn list(&self) -> Result<Vec<OperatorView>> {
        let all = operators::list(&self.db).await?;
        Ok(all.into_iter().map(view).collect())
    }

    /// Revokes the token of a name, from the next request on.
    ///
    /// # Errors
    /// NotFound when there is none; Unavailable.
    pub async fn revoke(&self, name: &str) -> Result<()> {
        let now = self.db.clock().now();
        match operators::revoke(&self.db, name, now).await? {
            true => Ok(()),
            false => Err(Error::not_found(format!(
                "there is no token of '{}' that is good; 'sealift admin token list' shows all",
                name.escape_debug()
            ))),
        }
    }

    /// Who shows a token. It is written down at most once a minute that it was used.
    ///
    /// # Errors
    /// Unauthenticated when it is unknown, expired or revoked; Busy when an address shows many of those,
    /// with how long to wait; Unavailable.
    pub async fn look_up(&self, ticket: &Ticket, from: IpAddr) -> Result<Operator> {
        let now = self.db.clock().now();
        let wait = self.failures.wait(from, now);
        if !wait.is_zero() {
            return Err(lockout::wait(wait));
        }
        let found = match ticket.kind() {
            TicketKind::Operator => operators::by_hash(&self.db, &ticket.hash()).await?,
            TicketKind::Link | TicketKind::Session | TicketKind::Token => None,
        };
        let is_good = |row: &OperatorRow| {
            row.revoked_at.is_none() && row.expires_at.is_none_or(|end| now < end)
        };
        let Some(row) = found.filter(is_good) else {
            self.failures.count(from, now);
            self.note_refusal(from);
            return Err(Error::new(
                ErrorKind::Unauthenticated,
                "the operator's token is unknown, expired or revoked; make a new one by 'sealift admin token \
                 create'",
            ));
        };
        let role = row.role.parse().map_err(|error| {
            Error::internal(format!("the role of operator '{}': {error}", row.name))
        })?;
        if row.used_at.is_none_or(|used| now.since(used) >= SEEN_EVERY) {
            operators::used(&self.db, row.id, now).await?;
        }
        Ok(Operator {
            id: row.id,
            name: row.name,
            role,
            expires_at: row.expires_at,
        })
    }

    /// Logs that somebody showed what is no good token: a few times a minute of each address, with how many there were
    /// since the last that was logged.
    pub fn note_refusal(&self, from: IpAddr) {
        let told = self.told.count(neighbourhood(from), self.db.clock().now());
        if let Some(failures) = told {
            tracing::warn!(peer = %from, failures, "an operator's token was refused: it is unknown, expired or revoked");
        }
    }
}

fn view(row: OperatorRow) -> OperatorView {
    OperatorView {
        id: row.id.to_string(),
        name: row.name,
        role: row.role,
        made_at: row.made_at.to_string(),
        expires_at: row.expires_at.map(|at| at.to_string()),
        used_at: row.used_at.map(|at| at.to_string()),
        revoked_at: row.revoked_at.map(|at| at.to_string()),
    }
}
