//! Looking for records of the audit log, within numbers.

use std::ops::Range;

use crate::db::audit::{self, AuditRecord};
use crate::db::sql::TenantTx;
use crate::db::value::Value;
use crate::domain::audit_kind::AuditKind;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::AccountId;

/// What a record must be; what is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this account.
    pub account: Option<AccountId>,
    /// Of this kind.
    pub kind: Option<AuditKind>,
    /// With this somewhere in what it is about.
    pub part: Option<String>,
    /// From this address.
    pub address: Option<String>,
}

/// Up to `limit` records with these numbers, the newest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn newest(
    tx: &mut TenantTx,
    wanted: &Wanted,
    numbers: Range<i64>,
    limit: usize,
) -> Result<Vec<AuditRecord>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    find(tx, wanted, numbers, "DESC", limit).await
}

/// All records with these numbers, the oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn oldest(
    tx: &mut TenantTx,
    wanted: &Wanted,
    numbers: Range<i64>,
) -> Result<Vec<AuditRecord>> {
    find(tx, wanted, numbers, "ASC", i64::MAX).await
}

/// The number of the first record that is not before `at`, or `end`: times never run back in a log.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn first_since(tx: &mut TenantTx, at: Timestamp, end: i64) -> Result<i64> {
    let (mut low, mut high) = (1, end);
    while low < high {
        let middle = low + (high - low) / 2;
        let records = audit::page(tx, middle - 1, 1).await?;
        match records.first() {
            Some(record) if record.at < at => low = record.number + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

async fn find(
    tx: &mut TenantTx,
    wanted: &Wanted,
    numbers: Range<i64>,
    order: &str,
    limit: i64,
) -> Result<Vec<AuditRecord>> {
    let mut arguments: Vec<Value> = vec![numbers.start.into(), numbers.end.into(), limit.into()];
    let mut conditions = String::new();
    let conditions_of = [
        (
            "account = ",
            wanted.account.map(|account| Value::from(account.0)),
        ),
        ("kind = ", wanted.kind.map(|kind| kind.as_str().into())),
        ("address = ", wanted.address.as_deref().map(Value::from)),
        // The one way to look for a part that both databases take to the letter.
        ("replace(detail, ", wanted.part.as_deref().map(Value::from)),
    ];
    for (test, value) in conditions_of {
        let Some(value) = value else { continue };
        arguments.push(value);
        let place = arguments.len() + 1;
        let rest = if test.starts_with("replace") {
            ", '') <> detail"
        } else {
            ""
        };
        conditions += &format!(" AND {test}${place}{rest}");
    }
    let conditions = format!("audit_number >= $2 AND audit_number < $3{conditions}");
    let sql = audit::select(&conditions, order, "LIMIT $4");
    let rows = tx.rows_of(sql, arguments).await?;
    rows.iter().map(audit::read).collect()
}
