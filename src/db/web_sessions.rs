//! Sessions of browsers, as every instance knows them.

use std::collections::HashSet;

use sqlx::AssertSqlSafe;

use crate::db::sql::{Row, TenantTx};
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, SessionId};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSession {
    /// What the audit log calls it.
    pub id: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// The account's generation when it began; another one ends it.
    pub generation: i64,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was used last, to the minute or so.
    pub seen_at: Timestamp,
    /// When it ends, however much it is used.
    pub ends_at: Timestamp,
    /// From where it began.
    pub address: String,
    /// What the browser called itself then.
    pub agent: String,
}

/// Which sessions are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// The time.
    pub now: Timestamp,
    /// Those that were not seen since.
    pub unseen_since: Timestamp,
}

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT id, account, generation, began_at, seen_at, ends_at, address, agent \
             FROM web_sessions WHERE tenant = $1 AND ",
            $rest
        )
    };
}

/// Begins a session whose secret has this hash.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn insert(tx: &mut TenantTx, session: &WebSession, hash: &[u8]) -> Result<()> {
    tx.execute(
        "INSERT INTO web_sessions (tenant, id, account, hash, generation, began_at, seen_at, \
         ends_at, address, agent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        [
            session.id.as_bytes().into(),
            session.account.0.into(),
            hash.into(),
            session.generation.into(),
            session.began_at.0.into(),
            session.seen_at.0.into(),
            session.ends_at.0.into(),
            session.address.as_str().into(),
            session.agent.as_str().into(),
        ],
    )
    .await?;
    Ok(())
}

/// The session whose secret has this hash, over or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_hash(tx: &mut TenantTx, hash: &[u8]) -> Result<Option<WebSession>> {
    let row = tx.row(select!("hash = $2"), [hash.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// The sessions of an account, newest first, over or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx, account: AccountId) -> Result<Vec<WebSession>> {
    let rows = tx
        .rows(
            select!("account = $2 ORDER BY began_at DESC, id"),
            [account.0.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Which of `ids` are there and have not ended by their age.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn living(
    tx: &mut TenantTx,
    ids: &[SessionId],
    now: Timestamp,
) -> Result<HashSet<SessionId>> {
    let mut found = HashSet::with_capacity(ids.len());
    for some in ids.chunks(500) {
        let places: Vec<_> = (3..some.len() + 3)
            .map(|place| format!("${place}"))
            .collect();
        let sql = format!(
            "SELECT id FROM web_sessions WHERE tenant = $1 AND ends_at > $2 AND id IN ({})",
            places.join(", ")
        );
        let ids = some.iter().map(|id| id.as_bytes().into());
        let arguments = std::iter::once(now.0.into()).chain(ids).collect();
        for row in tx.rows_of(AssertSqlSafe(sql), arguments).await? {
            found.insert(SessionId::from_slice(&row.bytes(0)?)?);
        }
    }
    Ok(found)
}

/// Notes that a session was used.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn seen(tx: &mut TenantTx, id: SessionId, at: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE web_sessions SET seen_at = $3 WHERE tenant = $1 AND id = $2 AND seen_at < $3",
        [id.as_bytes().into(), at.0.into()],
    )
    .await?;
    Ok(())
}

/// Ends a session of an account; false when it has none by this id.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, account: AccountId, id: SessionId) -> Result<bool> {
    let removed = tx
        .execute(
            "DELETE FROM web_sessions WHERE tenant = $1 AND account = $2 AND id = $3",
            [account.0.into(), id.as_bytes().into()],
        )
        .await?;
    Ok(removed > 0)
}

/// Ends the sessions of an account but one, and tells how many those were.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove_others(tx: &mut TenantTx, account: AccountId, but: SessionId) -> Result<u64> {
    tx.execute(
        "DELETE FROM web_sessions WHERE tenant = $1 AND account = $2 AND id <> $3",
        [account.0.into(), but.as_bytes().into()],
    )
    .await
}

/// Forgets all sessions that have come to their end, and tells how many those were.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget_ended(tx: &mut TenantTx, now: Timestamp) -> Result<u64> {
    tx.execute(
        "DELETE FROM web_sessions WHERE tenant = $1 AND ends_at <= $2",
        [now.0.into()],
    )
    .await
}

/// Forgets the sessions of an account that are over.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, account: AccountId, over: Over) -> Result<()> {
    tx.execute(
        "DELETE FROM web_sessions \
         WHERE tenant = $1 AND account = $2 AND (ends_at <= $3 OR seen_at < $4)",
        [
            account.0.into(),
            over.now.0.into(),
            over.unseen_since.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Ends one session of whatever account, and tells whose it was; none when there is none by this id.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove_any(tx: &mut TenantTx, id: SessionId) -> Result<Option<AccountId>> {
    let row = tx
        .row(
            "DELETE FROM web_sessions WHERE tenant = $1 AND id = $2 RETURNING account",
            [id.as_bytes().into()],
        )
        .await?;
    row.map(|row| row.int(0).map(AccountId)).transpose()
}

fn read(row: &Row) -> Result<WebSession> {
    Ok(WebSession {
        id: SessionId::from_slice(&row.bytes(0)?)?,
        account: AccountId(row.int(1)?),
        generation: row.int(2)?,
        began_at: Timestamp(row.int(3)?),
        seen_at: Timestamp(row.int(4)?),
        ends_at: Timestamp(row.int(5)?),
        address: row.text(6)?,
        agent: row.text(7)?,
    })
}
