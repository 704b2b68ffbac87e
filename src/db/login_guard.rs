//! Failed logins and the delays they cost, and the usual addresses of accounts.
//!
//! A try is counted as failed before the password is looked at, and forgiven when it was right:
//! tries made at the same moment cannot slip past the count.

use crate::db::database::Database;
use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::AccountId;

/// The failures of an account from all addresses but its usual ones.
pub const ALL_ADDRESSES: &str = "";

/// A count of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Failures, this one included.
    pub failures: i64,
    /// No try before this time.
    pub locked_until: Timestamp,
}

/// Until when an account is locked from an address; none is not at all.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn locked_until(
    tx: &mut TenantTx,
    account: AccountId,
    address: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let row = tx
        .row(
            "SELECT max(locked_until) FROM login_failures \
             WHERE tenant = $1 AND account = $2 AND address IN ($3, '') AND locked_until > $4 \
             AND (address <> '' OR NOT EXISTS (SELECT 1 FROM login_addresses u \
                  WHERE u.tenant = $1 AND u.account = $2 AND u.address = $3))",
            [account.0.into(), address.into(), now.0.into()],
        )
        .await?;
    row.map_or(Ok(None), |row| Ok(row.opt_int(0)?.map(Timestamp)))
}

/// When the account last logged in from the address, if it ever did: then the address is usual.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn last_login(
    tx: &mut TenantTx,
    account: AccountId,
    address: &str,
) -> Result<Option<Timestamp>> {
    let row = tx
        .row(
            "SELECT last_at FROM login_addresses \
             WHERE tenant = $1 AND account = $2 AND address = $3",
            [account.0.into(), address.into()],
        )
        .await?;
    row.map(|row| row.int(0).map(Timestamp)).transpose()
}

/// Counts a try as failed and keeps the row locked to the end of the transaction. Failures before
/// `forgotten` no longer count. The lock in the answer is the one from before this try.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn count(
    tx: &mut TenantTx,
    account: AccountId,
    address: &str,
    now: Timestamp,
    forgotten: Timestamp,
) -> Result<Count> {
    let row = tx
        .row(
            "INSERT INTO login_failures (tenant, account, address, failures, last_at, locked_until) \
             VALUES ($1, $2, $3, 1, $4, 0) \
             ON CONFLICT (tenant, account, address) DO UPDATE SET \
             failures = CASE WHEN login_failures.last_at < $5 THEN 1 \
                        ELSE login_failures.failures + 1 END, \
             last_at = $4 \
             RETURNING failures, locked_until",
            [
                account.0.into(),
                address.into(),
                now.0.into(),
                forgotten.0.into(),
            ],
        )
        .await?
        .ok_or_else(|| Error::internal("an upsert returned nothing"))?;
    Ok(Count {
        failures: row.int(0)?,
        locked_until: Timestamp(row.int(1)?),
    })
}

/// Refuses further tries until a time.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn lock(
    tx: &mut TenantTx,
    account: AccountId,
    address: &str,
    until: Timestamp,
) -> Result<()> {
    tx.execute(
        "UPDATE login_failures SET locked_until = $4 \
         WHERE tenant = $1 AND account = $2 AND address = $3",
        [account.0.into(), address.into(), until.0.into()],
    )
    .await?;
    Ok(())
}

/// Takes one counted try back: it was no failure. A lock that it set (`locked_until`) goes too.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forgive(
    tx: &mut TenantTx,
    account: AccountId,
    address: &str,
    locked_until: Timestamp,
) -> Result<()> {
    tx.execute(
        "UPDATE login_failures SET \
         failures = CASE WHEN failures > 0 THEN failures - 1 ELSE 0 END, \
         locked_until = CASE WHEN locked_until = $4 THEN 0 ELSE locked_until END \
         WHERE tenant = $1 AND account = $2 AND address = $3",
        [account.0.into(), address.into(), locked_until.0.into()],
    )
    .await?;
    Ok(())
}

/// Forgets all failures of an account from an address.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn clear(tx: &mut TenantTx, account: AccountId, address: &str) -> Result<()> {
    tx.execute(
        "DELETE FROM login_failures WHERE tenant = $1 AND account = $2 AND address = $3",
        [account.0.into(), address.into()],
    )
    .await?;
    Ok(())
}

/// Forgets all failures of an account from everywhere.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn clear_all(tx: &mut TenantTx, account: AccountId) -> Result<()> {
    tx.execute(
        "DELETE FROM login_failures WHERE tenant = $1 AND account = $2",
        [account.0.into()],
    )
    .await?;
    Ok(())
}

/// Forgets all failures of all accounts of a tenant.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn clear_tenant(tx: &mut TenantTx) -> Result<()> {
    tx.execute("DELETE FROM login_failures WHERE tenant = $1", [])
        .await?;
    Ok(())
}

/// Remembers that the account logged in from the address.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remember_address(
    tx: &mut TenantTx,
    account: AccountId,
    address: &str,
    now: Timestamp,
) -> Result<()> {
    tx.execute(
        "INSERT INTO login_addresses (tenant, account, address, last_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant, account, address) DO UPDATE SET last_at = $4",
        [account.0.into(), address.into(), now.0.into()],
    )
    .await?;
    Ok(())
}

/// Removes failures last counted before `failures_before` and addresses last used before
/// `addresses_before`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(
    tx: &mut TenantTx,
    failures_before: Timestamp,
    addresses_before: Timestamp,
) -> Result<()> {
    tx.execute(
        "DELETE FROM login_failures WHERE tenant = $1 AND last_at < $2 AND locked_until < $2",
        [failures_before.0.into()],
    )
    .await?;
    tx.execute(
        "DELETE FROM login_addresses WHERE tenant = $1 AND last_at < $2",
        [addresses_before.0.into()],
    )
    .await?;
    Ok(())
}

/// A secret of the installation, drawn by whoever needs it first: `drawn`, or what was stored
/// before.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn installation_secret(db: &Database, drawn: &str) -> Result<String> {
    const NAME: &str = "login-secret";
    let mut tx = db.system().await?;
    tx.execute(
        "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [NAME.into(), drawn.into()],
    )
    .await?;
    let row = tx
        .row(
            "SELECT value FROM installation WHERE name = $1",
            [NAME.into()],
        )
        .await?
        .ok_or_else(|| Error::internal("the installation's login secret is not there"))?;
    let stored = row.text(0)?;
    tx.commit().await?;
    Ok(stored)
}
