//! Which certificates (X.509) open an account.

use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::AccountId;

/// What a certificate must have to open an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCertificate {
    /// `fingerprint`, `email`, `dns`, `uri` or `cn`.
    pub kind: String,
    /// The one it must have.
    pub value: String,
    /// When it was added.
    pub added_at: Timestamp,
}

/// Lets such certificates open an account.
///
/// # Errors
/// AlreadyExists when they do.
pub async fn add(tx: &mut TenantTx, account: AccountId, rule: &AccountCertificate) -> Result<()> {
    let added = tx.execute(
        "INSERT INTO account_certificates (tenant, account, kind, value, added_at) \
         VALUES ($1, $2, $3, $4, $5)",
        [
            account.0.into(),
            rule.kind.as_str().into(),
            rule.value.as_str().into(),
            rule.added_at.0.into(),
        ],
    );
    added.await.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            format!("{}:{} opens the account already", rule.kind, rule.value),
        ),
        _ => error,
    })?;
    Ok(())
}

/// Takes it back; false when it was not there.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(
    tx: &mut TenantTx,
    account: AccountId,
    kind: &str,
    value: &str,
) -> Result<bool> {
    let removed = tx
        .execute(
            "DELETE FROM account_certificates \
             WHERE tenant = $1 AND account = $2 AND kind = $3 AND value = $4",
            [account.0.into(), kind.into(), value.into()],
        )
        .await?;
    Ok(removed > 0)
}

/// All of an account, oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx, account: AccountId) -> Result<Vec<AccountCertificate>> {
    let rows = tx
        .rows(
            "SELECT kind, value, added_at FROM account_certificates \
             WHERE tenant = $1 AND account = $2 ORDER BY added_at, kind, value",
            [account.0.into()],
        )
        .await?;
    let rules = rows.iter().map(|row| {
        Ok(AccountCertificate {
            kind: row.text(0)?,
            value: row.text(1)?,
            added_at: Timestamp(row.int(2)?),
        })
    });
    rules.collect()
}

/// Ends the sessions of all accounts that certificates open.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn end_sessions(tx: &mut TenantTx) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET generation = generation + 1 WHERE tenant = $1 \
         AND id IN (SELECT account FROM account_certificates WHERE tenant = $1)",
        [],
    )
    .await?;
    Ok(())
}
