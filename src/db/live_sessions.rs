//! Sessions in progress, as their instances tell, the places that they take, and the wish that one ends.

use std::collections::HashMap;

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
    /// Whether it takes one of the places that its account and its tenant have.
    pub counts: bool,
}

/// What an instance hears of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Those of its own sessions that somebody wants to end.
    pub asked: Vec<SessionId>,
    /// How many places each account takes at other running instances.
    pub elsewhere: HashMap<AccountId, u64>,
}

/// Behind which session a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Its id.
    pub id: SessionId,
    /// Its instance.
    pub instance: InstanceId,
}

/// Tells that a session goes on, and whether it takes a place; it may have been told before.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn insert(tx: &mut TenantTx, session: &LiveSession) -> Result<()> {
    tx.execute(
        "INSERT INTO live_sessions (tenant, id, instance, account, protocol, address, began_at, counts) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (tenant, id, instance) DO UPDATE SET counts = excluded.counts",
        [
            session.id.as_bytes().into(),
            session.instance.as_bytes().into(),
            session.account.0.into(),
            session.protocol.as_str().into(),
            session.address.as_str().into(),
            session.began_at.0.into(),
            i64::from(session.counts).into(),
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
            "SELECT id, instance, account, protocol, address, began_at, counts FROM live_sessions \
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
                counts: row.int(6)? != 0,
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

/// How many places an account, and its tenant in all, take at other running instances than `instance`. A session
/// that goes on at several takes one; `but` takes none.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn places_elsewhere(
    tx: &mut TenantTx,
    account: AccountId,
    instance: InstanceId,
    but: SessionId,
    now: Timestamp,
) -> Result<(u64, u64)> {
    let row = tx
        .row(
            "SELECT count(DISTINCT CASE WHEN account = $3 THEN id END), count(DISTINCT id) \
             FROM live_sessions WHERE tenant = $1 AND instance <> $2 AND counts = 1 AND id <> $4 \
             AND instance IN (SELECT id FROM instances WHERE lease_until > $5) \
             AND id NOT IN (SELECT id FROM live_sessions WHERE tenant = $1 AND instance = $2)",
            [
                instance.as_bytes().into(),
                account.0.into(),
                but.as_bytes().into(),
                now.0.into(),
            ],
        )
        .await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.count(0)?, row.count(1)?)))
}

/// What an instance has to hear of a tenant's sessions.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn news(tx: &mut TenantTx, instance: InstanceId, now: Timestamp) -> Result<News> {
    let rows = tx
        .rows(
            "SELECT id, account, cast(1 AS bigint) FROM live_sessions \
             WHERE tenant = $1 AND instance = $2 AND end_asked = 1 UNION ALL \
             SELECT NULL, account, count(DISTINCT id) FROM live_sessions \
             WHERE tenant = $1 AND instance <> $2 AND counts = 1 \
             AND instance IN (SELECT id FROM instances WHERE lease_until > $3) \
             AND id NOT IN (SELECT id FROM live_sessions WHERE tenant = $1 AND instance = $2) \
             GROUP BY account",
            [instance.as_bytes().into(), now.0.into()],
        )
        .await?;
    let mut news = News::default();
    for row in &rows {
        match row.opt_bytes(0)? {
            Some(id) => news.asked.push(SessionId::from_slice(&id)?),
            None => {
                news.elsewhere.insert(AccountId(row.int(1)?), row.count(2)?);
            }
        }
    }
    Ok(news)
}
