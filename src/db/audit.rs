//! The audit log: one hash chain per tenant over changes and events.

use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;

use crate::db::sql::{Row, TenantTx};
use crate::domain::audit_kind::AuditKind;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::AccountId;
use crate::domain::news::News;
use crate::domain::principal::Actor;

/// The hash before the first record.
pub const GENESIS: [u8; 32] = [0; 32];

/// What happened, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// What kind of thing.
    pub kind: AuditKind,
    /// The path or name it is about, and what is needed to understand it.
    pub detail: String,
    /// What is told of it to others, if they want to know.
    pub news: Vec<News>,
}

impl Happening {
    /// Writes down one thing.
    pub fn new(kind: AuditKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            news: Vec::new(),
        }
    }

    /// The same, with what is told of it to others.
    #[must_use]
    pub fn telling(mut self, news: impl IntoIterator<Item = News>) -> Self {
        self.news.extend(news);
        self
    }
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its place: 1, 2, 3, ... within the tenant.
    pub number: i64,
    /// The change it is; none for an event.
    pub seq: Option<i64>,
    /// When.
    pub at: Timestamp,
    /// A short word.
    pub kind: String,
    /// Who; none for the operator and jobs.
    pub account: Option<AccountId>,
    /// In which session, as hex.
    pub session: Option<String>,
    /// By which door.
    pub protocol: String,
    /// From which address.
    pub address: Option<String>,
    /// About what.
    pub detail: String,
    /// The chain up to and with this record.
    pub hash: Vec<u8>,
}

/// The hash of a record: SHA-256 over the hash before it and its fields, each with its length. docs/audit.md tells others
/// how to compute it.
pub(in crate::db) fn link(before: &[u8], record: &AuditRecord) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    field(before);
    field(&record.number.to_be_bytes());
    field(&record.seq.unwrap_or(0).to_be_bytes());
    field(&record.at.0.to_be_bytes());
    field(record.kind.as_bytes());
    field(&record.account.map_or(0, |account| account.0).to_be_bytes());
    field(record.session.as_deref().unwrap_or("").as_bytes());
    field(record.protocol.as_bytes());
    field(record.address.as_deref().unwrap_or("").as_bytes());
    field(record.detail.as_bytes());
    hash.finalize().into()
}

/// A record of `happening`, its hash still empty.
pub(in crate::db) fn record(
    number: i64,
    seq: Option<i64>,
    at: Timestamp,
    actor: &Actor,
    happening: Happening,
) -> AuditRecord {
    let detail = match &actor.operator {
        Some(name) => format!("{} (by operator {name})", happening.detail),
        None => happening.detail,
    };
    AuditRecord {
        number,
        seq,
        at,
        kind: happening.kind.to_string(),
        account: actor.account,
        session: actor.session.map(|session| session.to_string()),
        protocol: actor.protocol.as_str().to_owned(),
        address: actor.address.map(|address| address.to_string()),
        detail,
        hash: Vec::new(),
    }
}

const COLUMNS: &str = "at, kind, account, session, protocol, address, detail, audit_hash";

/// The statement for records that meet `conditions`, by their number in `order`, as many as `limit` says.
///
/// What it costs is what it finds, however long the log is: each half ends by itself. Of a union as a whole, SQLite would
/// sort all that follows, and so would PostgreSQL with row-level security.
pub(in crate::db) fn select(conditions: &str, order: &str, limit: &str) -> AssertSqlSafe<String> {
    let changes = half("changes", "seq, ", conditions, order, limit);
    let events = half("events", "", conditions, order, limit);
    AssertSqlSafe(format!(
        "SELECT audit_number, seq, {COLUMNS} FROM ({changes}) AS c UNION ALL \
         SELECT audit_number, NULL, {COLUMNS} FROM ({events}) AS e ORDER BY audit_number {order} {limit}"
    ))
}

fn half(table: &str, seq: &str, conditions: &str, order: &str, limit: &str) -> String {
    format!(
        "SELECT audit_number, {seq}{COLUMNS} FROM {table} WHERE tenant = $1 AND {conditions} \
         ORDER BY audit_number {order} {limit}"
    )
}

/// Up to `limit` records after number `after`, in order.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(tx: &mut TenantTx, after: i64, limit: i64) -> Result<Vec<AuditRecord>> {
    let sql = select("audit_number > $2", "ASC", "LIMIT $3");
    let rows = tx.rows(sql, [after.into(), limit.into()]).await?;
    rows.iter().map(read).collect()
}

/// Numbers of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: i64,
    /// The one after the last.
    pub before: i64,
}

/// Up to `limit` records of an account whose numbers are in `span`, newest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn of_account(
    tx: &mut TenantTx,
    account: AccountId,
    span: Span,
    limit: usize,
) -> Result<Vec<AuditRecord>> {
    let conditions = "audit_number >= $2 AND audit_number < $3 AND account = $4";
    let sql = select(conditions, "DESC", "LIMIT $5");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let arguments = [
        span.from.into(),
        span.before.into(),
        account.0.into(),
        limit.into(),
    ];
    let rows = tx.rows(sql, arguments).await?;
    rows.iter().map(read).collect()
}

/// The number of the newest record.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn last_number(tx: &mut TenantTx) -> Result<i64> {
    let sql = "SELECT audit_number FROM clocks WHERE tenant = $1";
    let row = tx.row(sql, []).await?;
    row.map_or(Ok(0), |row| row.int(0))
}

/// Whether the record with this number and hash is in the log.
pub(in crate::db) async fn contains(tx: &mut TenantTx, number: i64, hash: &[u8]) -> Result<bool> {
    let records = page(tx, number - 1, 1).await?;
    let found = records.first();
    Ok(found.is_some_and(|record| record.number == number && record.hash == hash))
}

/// When an event of this kind was written down last.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn last_event(tx: &mut TenantTx, kind: AuditKind) -> Result<Option<Timestamp>> {
    let sql = "SELECT max(at) FROM events WHERE tenant = $1 AND kind = $2";
    let row = tx.row(sql, [kind.as_str().into()]).await?;
    Ok(row
        .map(|row| row.opt_int(0))
        .transpose()?
        .flatten()
        .map(Timestamp))
}

/// What a check of the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainState {
    /// The record with this number does not follow from the one before, or is missing.
    Broken(i64),
    /// All records, this many, follow from one another up to the tenant's clock.
    Whole(i64),
}

/// Follows the chain from its start to the tenant's clock row, a page at a time: each may be read in a transaction of its
/// own, as nothing of what was written down ever changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    last: i64,
    hash: Vec<u8>,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            last: 0,
            hash: GENESIS.to_vec(),
        }
    }
}

impl Chain {
    /// Follows it through the next page; what was found, if that was the last. The transaction sees one moment.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn follow(&mut self, tx: &mut TenantTx) -> Result<Option<ChainState>> {
        let records = page(tx, self.last, FOLLOWED).await?;
        let is_full = i64::try_from(records.len()) == Ok(FOLLOWED);
        for record in records {
            let right = record.number == self.last + 1 && record.hash == link(&self.hash, &record);
            if !right {
                return Ok(Some(ChainState::Broken(self.last + 1)));
            }
            self.last = record.number;
            self.hash = record.hash;
        }
        if is_full {
            return Ok(None);
        }
        let sql = "SELECT audit_number, audit_hash FROM clocks WHERE tenant = $1";
        let clock = tx.row(sql, []).await?;
        let clock = clock.ok_or_else(|| Error::internal("a tenant without a clock row"))?;
        let whole = clock.int(0)? == self.last && clock.bytes(1)? == self.hash;
        Ok(Some(match whole {
            true => ChainState::Whole(self.last),
            false => ChainState::Broken(self.last + 1),
        }))
    }
}

/// Records that are followed at once.
const FOLLOWED: i64 = 1000;

pub(in crate::db) fn read(row: &Row) -> Result<AuditRecord> {
    Ok(AuditRecord {
        number: row.int(0)?,
        seq: row.opt_int(1)?,
        at: Timestamp(row.int(2)?),
        kind: row.text(3)?,
        account: row.opt_int(4)?.map(AccountId),
        session: row
            .opt_bytes(5)?
            .map(|bytes| data_encoding::HEXLOWER.encode(&bytes)),
        protocol: row.text(6)?,
        address: row.opt_text(7)?,
        detail: row.text(8)?,
        hash: row.bytes(9)?,
    })
}

#[cfg(test)]
mod tests {
    use sqlx::SqlSafeStr as _;

    use super::*;
    use crate::db::query_plan;
    use crate::db::value::Value;

    #[tokio::test]
    async fn no_page_reads_more_of_the_log_than_itself() {
        let of_account = "audit_number >= $2 AND audit_number < $3 AND account = $4";
        for (conditions, order, limit) in [
            ("audit_number > $2", "ASC", "LIMIT $3"),
            (of_account, "DESC", "LIMIT $5"),
        ] {
            for (table, seq) in [("changes", "seq, "), ("events", "")] {
                let half = half(table, seq, conditions, order, limit);
                let numbers = [1_i64, 2, 3, 4].map(Value::from);
                let steps = query_plan::steps(&half, numbers).await;
                let [only] = &steps[..] else {
                    panic!("{steps:?}");
                };
                assert!(only.starts_with("SEARCH"), "{only}");
                assert!(only.contains("audit_number"), "{only}");
                let whole = select(conditions, order, limit).into_sql_str();
                assert!(whole.as_str().contains(&format!("({half})")));
            }
        }
    }
}
