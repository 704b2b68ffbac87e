//! What an account does for itself: proving again who it is, and reading what is written of it.

use crate::accounts::door::Door;
use crate::accounts::login::{Accounts, unauthenticated};
use crate::accounts::secrets::Given;
use crate::db::audit::{self, AuditRecord, Span};
use crate::db::usage::{self, Counter};
use crate::domain::error::{Error, Result};
use crate::domain::principal::Principal;
use crate::domain::secret::Secret;

/// Records that one look goes through, and most looks for one page: the log is ordered by number, not
/// by account, and nobody is to have it read as a whole.
const SPAN: i64 = 5_000;
const LOOKS: usize = 10;

/// A part of what is written of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// The records, newest first; there may be fewer than were asked for, or none, and more to come.
    pub records: Vec<AuditRecord>,
    /// Before which number to go on; none at the end.
    pub next: Option<i64>,
}

impl Accounts {
    /// Has somebody who is logged in prove that they know the password. Failures count as those of logins
    /// do.
    ///
    /// # Errors
    /// Unauthenticated when it is wrong or the account has none; Busy after failures, with how long to
    /// wait; Unavailable.
    pub async fn confirm(
        &self,
        principal: &Principal,
        password: &Secret,
        from: Door,
    ) -> Result<()> {
        let inner = &self.inner;
        let caller = inner.caller(&principal.login.to_string(), from).await?;
        let caller = caller.ok_or_else(unauthenticated)?;
        let given = Given {
            password: Some(password),
            code: None,
            asked: true,
            after: &[],
        };
        let proof = inner.prove(&caller, given, from).await?;
        // It is one proof of perhaps several: what failed before is not forgiven for it.
        inner.set_aside(&caller, &proof).await
    }

    /// What an account uses and may use.
    ///
    /// # Errors
    /// NotFound when it was removed; Unavailable when the database does not answer.
    pub async fn own_usage(&self, principal: &Principal) -> Result<Counter> {
        let mut tx = self.inner.db().read(principal.tenant).await?;
        let counters = usage::counters(&mut tx, Some(principal.account)).await?;
        let mut own = counters.into_iter();
        own.find(|one| one.account == Some(principal.account))
            .ok_or_else(|| Error::not_found("the account was removed"))
    }

    /// Up to `limit` records of what an account did or somebody tried in its name, newest first, before
    /// number `before`, or the newest.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn activity(
        &self,
        principal: &Principal,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Activity> {
        let db = self.inner.db().in_background();
        let mut tx = db.read(principal.tenant).await?;
        let newest = audit::last_number(&mut tx).await?;
        let mut before = before.unwrap_or(i64::MAX).min(newest.saturating_add(1));
        let mut found = Activity::default();
        for _ in 0..LOOKS {
            let span = Span {
                from: before.saturating_sub(SPAN).max(1),
                before,
            };
            let missing = limit.saturating_sub(found.records.len());
            let records = audit::of_account(&mut tx, principal.account, span, missing).await?;
            let is_full = records.len() >= missing;
            found.records.extend(records);
            if is_full {
                found.next = found.records.last().map(|record| record.number);
                return Ok(found);
            }
            if span.from <= 1 {
                return Ok(found);
            }
            before = span.from;
        }
        found.next = Some(before);
        Ok(found)
    }
}
