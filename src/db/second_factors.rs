//! Second factors: what makes an account's codes, and its recovery codes.

use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::AccountId;

/// What makes an account's codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// No code of this time step or an earlier one is taken any more.
    pub last_step: i64,
    /// When it was added.
    pub added_at: Timestamp,
}

/// The account's second factor, if it has one.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(tx: &mut TenantTx, account: AccountId) -> Result<Option<SecondFactor>> {
    let row = tx
        .row(
            "SELECT sealed, last_step, added_at FROM second_factors \
             WHERE tenant = $1 AND account = $2",
            [account.0.into()],
        )
        .await?;
    row.map(|row| {
        Ok(SecondFactor {
            sealed: row.bytes(0)?,
            last_step: row.int(1)?,
            added_at: Timestamp(row.int(2)?),
        })
    })
    .transpose()
}

/// Gives an account its second factor, in place of one that it has.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set(tx: &mut TenantTx, account: AccountId, factor: &SecondFactor) -> Result<()> {
    remove(tx, account).await?;
    tx.execute(
        "INSERT INTO second_factors (tenant, account, sealed, last_step, added_at) \
         VALUES ($1, $2, $3, $4, $5)",
        [
            account.0.into(),
            factor.sealed.as_slice().into(),
            factor.last_step.into(),
            factor.added_at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Takes the second factor away, with its recovery codes; false when there was none.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, account: AccountId) -> Result<bool> {
    tx.execute(
        "DELETE FROM recovery_codes WHERE tenant = $1 AND account = $2",
        [account.0.into()],
    )
    .await?;
    let removed = tx
        .execute(
            "DELETE FROM second_factors WHERE tenant = $1 AND account = $2",
            [account.0.into()],
        )
        .await?;
    Ok(removed > 0)
}

/// Takes the code of a time step; false when it or a later one was taken before, by whichever
/// instance, or when the secret is not `sealed` any more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn take_step(
    tx: &mut TenantTx,
    account: AccountId,
    sealed: &[u8],
    step: i64,
) -> Result<bool> {
    let taken = tx
        .execute(
            "UPDATE second_factors SET last_step = $3 \
             WHERE tenant = $1 AND account = $2 AND last_step < $3 AND sealed = $4",
            [account.0.into(), step.into(), sealed.into()],
        )
        .await?;
    Ok(taken == 1)
}

/// Adds a recovery code.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn add_recovery_code(tx: &mut TenantTx, account: AccountId, hash: &[u8]) -> Result<()> {
    tx.execute(
        "INSERT INTO recovery_codes (tenant, account, hash) VALUES ($1, $2, $3)",
        [account.0.into(), hash.into()],
    )
    .await?;
    Ok(())
}

/// Takes a recovery code; false when there is none with this hash any more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn take_recovery_code(
    tx: &mut TenantTx,
    account: AccountId,
    hash: &[u8],
) -> Result<bool> {
    let taken = tx
        .execute(
            "DELETE FROM recovery_codes WHERE tenant = $1 AND account = $2 AND hash = $3",
            [account.0.into(), hash.into()],
        )
        .await?;
    Ok(taken == 1)
}

/// How many recovery codes are left.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn recovery_codes(tx: &mut TenantTx, account: AccountId) -> Result<i64> {
    let row = tx
        .row(
            "SELECT count(*) FROM recovery_codes WHERE tenant = $1 AND account = $2",
            [account.0.into()],
        )
        .await?;
    row.map_or(Ok(0), |row| row.int(0))
}
