//! Sessions in progress, as their instances tell, and the wish that one ends.

use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, InstanceId, SessionId};

/// A session in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSession {
    /// Which.
    pub id: SessionId,
    /// Where it goes on.
    pub instance: InstanceId,
    /// Whose.
    pub account: AccountId,
    /// By which protocol.
    pub protocol: String,
    /// From where.
    pub address: String,
    /// Since when.
    pub began_at: Timestamp,
}

/// Behind which session a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Its id.
    pub id: SessionId,
    /// Its instance.
    pub instance: InstanceId,
}

/// Tells that a session goes on; it may have been told before.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn insert(tx: &mut TenantTx, session: &LiveSession) -> Result<()> {
    tx.execute(
        "INSERT INTO live_sessions (tenant, id, instance, account, protocol, address, began_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        [
            session.id.as_bytes().into(),
            session.instance.as_bytes().into(),
            session.account.0.into(),
            session.protocol.as_str().into(),
            session.address.as_str().into(),
            session.began_at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Tells that a session has ended at an instance.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, id: SessionId, instance: InstanceId) -> Result<()> {
    tx.execute(
        "DELETE FROM live_sessions WHERE tenant = $1 AND id = $2 AND instance = $3",
        [id.as_bytes().into(), instance.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// Forgets those of instances that ended, or whose lease was over by then. What an instance told once it does not
/// tell again: one that may wake up needs it, and until then nobody sees it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget_dead(tx: &mut TenantTx, then: Timestamp) -> Result<()> {
    tx.execute(
        "DELETE FROM live_sessions WHERE tenant = $1 \
         AND instance NOT IN (SELECT id FROM instances WHERE lease_until > $2)",
        [then.0.into()],
    )
    .await?;
    Ok(())
}

/// Up to `limit` sessions of running instances, by id, of one account or of all.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(
    tx: &mut TenantTx,
    account: Option<AccountId>,
    after: Option<After>,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<LiveSession>> {
    let after = after.unwrap_or(After {
        id: SessionId::NIL,
        instance: InstanceId::NIL,
    });
    let rows = tx
        .rows(
            "SELECT id, instance, account, protocol, address, began_at FROM live_sessions \
             WHERE tenant = $1 AND end_asked = 0 AND ($2 = 0 OR account = $2) \
             AND instance IN (SELECT id FROM instances WHERE lease_until > $3) \
             AND (id > $4 OR (id = $4 AND instance > $5)) ORDER BY id, instance LIMIT $6",
            [
                account.map_or(0, |account| account.0).into(),
                now.0.into(),
                after.id.as_bytes().into(),
                after.instance.as_bytes().into(),
                i64::try_from(limit).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(LiveSession {
                id: SessionId::from_slice(&row.bytes(0)?)?,
                instance: InstanceId::from_slice(&row.bytes(1)?)?,
                account: AccountId(row.int(2)?),
                protocol: row.text(3)?,
                address: row.text(4)?,
                began_at: Timestamp(row.int(5)?),
            })
        })
        .collect()
}

/// Wishes that a session ends wherever it goes on, and tells whose it is; none when it goes on nowhere.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn ask_end(
    tx: &mut TenantTx,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<(AccountId, String)>> {
    let row = tx
        .row(
            "UPDATE live_sessions SET end_asked = 1 WHERE tenant = $1 AND id = $2 \
             AND instance IN (SELECT id FROM instances WHERE lease_until > $3) \
             RETURNING account, protocol",
            [id.as_bytes().into(), now.0.into()],
        )
        .await?;
    row.map(|row| Ok((AccountId(row.int(0)?), row.text(1)?)))
        .transpose()
}

/// The sessions of an instance that somebody wants to end.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn asked(tx: &mut TenantTx, instance: InstanceId) -> Result<Vec<SessionId>> {
    let rows = tx
        .rows(
            "SELECT id FROM live_sessions WHERE tenant = $1 AND instance = $2 AND end_asked = 1",
            [instance.as_bytes().into()],
        )
        .await?;
    rows.iter()
        .map(|row| SessionId::from_slice(&row.bytes(0)?))
        .collect()
}
