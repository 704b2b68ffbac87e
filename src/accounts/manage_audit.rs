//! A tenant's audit log: looked through, handed out as a whole, checked.

use std::net::IpAddr;

use serde::Serialize;

use crate::accounts::manage::Directory;
use crate::db::accounts;
use crate::db::audit::{self, AuditRecord, Chain, ChainState};
use crate::db::audit_search::{self, Wanted};
use crate::db::database::Database;
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::AccountId;
use crate::domain::principal::LoginName;

/// Records that one look goes through, and most looks for one page: nobody is to have a long log read as
/// a whole for a few records.
const SPAN: i64 = 5_000;
const LOOKS: usize = 20;

/// A record as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditLine {
    /// Its place in the tenant's log: 1, 2, 3, ...
    pub number: i64,
    /// The number of the change of the tree that it is; none for other events.
    pub seq: Option<i64>,
    /// When.
    pub at: String,
    /// A word: `login`, `store`, `account-add`, ...
    pub kind: String,
    /// The number of the account; none for operators and jobs.
    pub account: Option<i64>,
    /// Its name within the tenant; none when there is no account, or it was removed.
    pub user: Option<String>,
    /// In which session.
    pub session: Option<String>,
    /// By which protocol; `admin` for operators.
    pub protocol: String,
    /// From which address.
    pub address: Option<String>,
    /// About what; at its end the operator, if one did it over the API.
    pub detail: String,
    /// The chain up to and with this record: SHA-256, in hex.
    pub hash: String,
}

/// Which records are wanted; what is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// Of this account.
    pub login: Option<LoginName>,
    /// Of the account with this number, which may have been removed.
    pub account: Option<AccountId>,
    /// Of this kind.
    pub kind: Option<AuditKind>,
    /// About this path or name, or a part of it.
    pub path: Option<String>,
    /// From this address.
    pub address: Option<IpAddr>,
}

/// The records that a query may find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSpan {
    tenant: String,
    wanted: Wanted,
    /// The first number, and the one after the last.
    from: i64,
    before: i64,
}

impl Directory {
    /// What a query asks for, once and for all: records that are written later are not among it.
    ///
    /// # Errors
    /// NotFound when there is no such tenant or account.
    pub async fn audit_span(&self, tenant: &str, query: AuditQuery) -> Result<AuditSpan> {
        let found = self.tenant(tenant).await?;
        let mut tx = self.log().read(found.id).await?;
        let account = match &query.login {
            Some(login) => {
                let found = accounts::by_name(&mut tx, &login.user).await?;
                let found = found.ok_or_else(|| {
                    Error::not_found(format!(
                        "there is no account '{login}'; what one did that was removed is found by its number \
                         ('account'), which the record of the removal (kind 'account-remove') names"
                    ))
                })?;
                Some(found.id)
            }
            None => query.account,
        };
        let end = audit::last_number(&mut tx).await? + 1;
        let from = match query.from {
            Some(from) => audit_search::first_since(&mut tx, from, end).await?,
            None => 1,
        };
        let before = match query.to {
            Some(to) => audit_search::first_since(&mut tx, to, end).await?,
            None => end,
        };
        Ok(AuditSpan {
            tenant: found.name,
            wanted: Wanted {
                account,
                kind: query.kind,
                part: query.path,
                address: query
                    .address
                    .map(|address| address.to_canonical().to_string()),
            },
            from,
            before,
        })
    }

    /// Up to `limit` records, newest first, before number `before`, and before which to go on; none at
    /// the end. There may be fewer and more to come.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn audit_search(
        &self,
        span: &AuditSpan,
        before: Option<i64>,
        limit: usize,
    ) -> Result<(Vec<AuditLine>, Option<i64>)> {
        let tenant = self.tenant(&span.tenant).await?;
        let _turn = self.audits.acquire().await.map_err(Error::internal)?;
        let mut tx = self.log().read(tenant.id).await?;
        let mut before = before.unwrap_or(i64::MAX).min(span.before);
        let mut found = Vec::new();
        for _ in 0..LOOKS {
            if before <= span.from {
                return Ok((found, None));
            }
            let from = before.saturating_sub(SPAN).max(span.from);
            let missing = limit - found.len();
            let records =
                audit_search::newest(&mut tx, &span.wanted, from..before, missing).await?;
            let last = records.last().map(|record| record.number);
            let is_full = records.len() == missing;
            found.extend(shown(&mut tx, records).await?);
            if is_full {
                return Ok((found, last));
            }
            before = from;
        }
        let next = Some(before).filter(|before| *before > span.from);
        Ok((found, next))
    }

    /// The next records of a span, oldest first, after number `after`, and after which to go on; none
    /// at the end.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn audit_export(
        &self,
        span: &AuditSpan,
        after: i64,
    ) -> Result<(Vec<AuditLine>, Option<i64>)> {
        let tenant = self.tenant(&span.tenant).await?;
        let from = after.saturating_add(1).max(span.from);
        let before = from.saturating_add(EXPORT).min(span.before);
        if from >= before {
            return Ok((Vec::new(), None));
        }
        let _turn = self.audits.acquire().await.map_err(Error::internal)?;
        let mut tx = self.log().read(tenant.id).await?;
        let records = audit_search::oldest(&mut tx, &span.wanted, from..before).await?;
        let lines = shown(&mut tx, records).await?;
        Ok((lines, Some(before - 1)))
    }

    /// The same as text: of each record its JSON object, a line.
    ///
    /// # Errors
    /// As [`Directory::audit_export`].
    pub async fn audit_export_text(
        &self,
        span: &AuditSpan,
        after: i64,
    ) -> Result<(Vec<u8>, Option<i64>)> {
        let (lines, next) = self.audit_export(span, after).await?;
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, &line).map_err(Error::internal)?;
            text.push(b'\n');
        }
        Ok((text, next))
    }

    /// Follows a tenant's chain of hashes from the first record to the last.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Unavailable.
    pub async fn audit_verify(&self, tenant: &str) -> Result<ChainState> {
        let found = self.tenant(tenant).await?;
        let mut chain = Chain::default();
        loop {
            let _turn = self.audits.acquire().await.map_err(Error::internal)?;
            let mut tx = self.log().snapshot(found.id).await?;
            if let Some(state) = chain.follow(&mut tx).await? {
                return Ok(state);
            }
        }
    }
}

impl Directory {
    /// The database: logs are long, and nobody else waits while one is read.
    fn log(&self) -> Database {
        self.db().in_background()
    }
}

/// Records as they are shown, with the names of their accounts.
async fn shown(tx: &mut TenantTx, records: Vec<AuditRecord>) -> Result<Vec<AuditLine>> {
    let ids = records.iter().filter_map(|record| record.account);
    let names = accounts::names(tx, ids).await?;
    let line = |record: AuditRecord| AuditLine {
        number: record.number,
        seq: record.seq,
        at: record.at.to_string(),
        kind: record.kind,
        account: record.account.map(|account| account.0),
        user: record
            .account
            .and_then(|account| names.get(&account).cloned()),
        session: record.session,
        protocol: record.protocol,
        address: record.address,
        detail: record.detail,
        hash: data_encoding::HEXLOWER.encode(&record.hash),
    };
    Ok(records.into_iter().map(line).collect())
}

/// Records that are fetched at once for an export.
const EXPORT: i64 = 500;

/// The sentence about a chain.
pub fn sentence(tenant: &str, state: &ChainState) -> String {
    match state {
        ChainState::Whole(records) => format!("all {records} records follow from one another"),
        ChainState::Broken(number) => format!(
            "the audit log of '{tenant}' is broken at record {number}: it was changed or is missing"
        ),
    }
}
