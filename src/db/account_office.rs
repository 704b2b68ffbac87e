//! What becomes of an account as a member of its tenant: it may administer it, and it may go.

use crate::db::sql::TenantTx;
use crate::domain::error::Result;
use crate::domain::id::AccountId;

/// Removes an account and all that opens it or that it was given. Its files stay, with its counter: its
/// number is never used again.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, id: AccountId) -> Result<()> {
    for statement in [
        "DELETE FROM account_keys WHERE tenant = $1 AND account = $2",
        "DELETE FROM account_certificates WHERE tenant = $1 AND account = $2",
        "DELETE FROM second_factors WHERE tenant = $1 AND account = $2",
        "DELETE FROM recovery_codes WHERE tenant = $1 AND account = $2",
        "DELETE FROM web_sessions WHERE tenant = $1 AND account = $2",
        "DELETE FROM api_tokens WHERE tenant = $1 AND account = $2",
        "DELETE FROM login_failures WHERE tenant = $1 AND account = $2",
        "DELETE FROM login_addresses WHERE tenant = $1 AND account = $2",
        "DELETE FROM link_downloads WHERE tenant = $1 AND link IN \
         (SELECT id FROM links WHERE tenant = $1 AND account = $2)",
        "DELETE FROM link_makers WHERE tenant = $1 AND link IN \
         (SELECT id FROM links WHERE tenant = $1 AND account = $2)",
        "DELETE FROM links WHERE tenant = $1 AND account = $2",
        "DELETE FROM idempotency_keys WHERE tenant = $1 AND account = $2",
        "DELETE FROM locks WHERE tenant = $1 AND account = $2",
        "DELETE FROM group_members WHERE tenant = $1 AND account = $2",
        "DELETE FROM grants WHERE tenant = $1 AND subject_kind = 1 AND subject = $2",
        "DELETE FROM accounts WHERE tenant = $1 AND id = $2",
    ] {
        tx.execute(statement, [id.0.into()]).await?;
    }
    Ok(())
}

/// Has an account administer its tenant, or no more; ends its sessions.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_administrator(
    tx: &mut TenantTx,
    id: AccountId,
    administrator: bool,
) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET administrator = $3, generation = generation + 1 \
         WHERE tenant = $1 AND id = $2",
        [id.0.into(), i64::from(administrator).into()],
    )
    .await?;
    Ok(())
}
