//! Requests that are carried out once, however often they come: whatever a request has committed, it has
//! noted in the same transaction that it did.
//!
//! A request is carried out in the scope of its [`Attempt`]. [`Committer`](crate::db::commit::Committer)
//! finds it there, and applies nothing whose attempt has been given to another: an instance that froze and
//! wakes up changes nothing.

use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, AttemptId};

tokio::task_local! {
    static ATTEMPT: Attempt;
}

/// A request that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whose request it is.
    pub account: AccountId,
    /// The hash of its key.
    pub key: [u8; 32],
    /// Which try it is.
    pub id: AttemptId,
}

/// What is written down of a request.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The hash of the request.
    pub fingerprint: Vec<u8>,
    /// Whose it is to carry it out.
    pub attempt: AttemptId,
    /// Whether something of it is committed.
    pub executed: bool,
    /// When another may try, if nothing is.
    pub leased_until: Timestamp,
    /// The answer, sealed.
    pub answer: Option<Vec<u8>>,
}

/// Carries out `work` as this attempt: what it submits to a committer, itself and not by tasks of its own,
/// is committed with a note that it was.
pub async fn within<F: Future>(attempt: Attempt, work: F) -> F::Output {
    ATTEMPT.scope(attempt, work).await
}

/// The attempt that is being carried out here.
pub(in crate::db) fn current() -> Option<Attempt> {
    ATTEMPT.try_with(Clone::clone).ok()
}

/// Notes a request; none when its key is noted already, and then see [`find`].
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn begin(
    tx: &mut TenantTx,
    attempt: &Attempt,
    fingerprint: &[u8],
    now: Timestamp,
    until: Timestamp,
) -> Result<bool> {
    let added = tx
        .execute(
            "INSERT INTO idempotency_keys (tenant, account, key, fingerprint, attempt, executed, \
             began_at, leased_until) VALUES ($1, $2, $3, $4, $5, 0, $6, $7) \
             ON CONFLICT (tenant, account, key) DO NOTHING",
            [
                attempt.account.0.into(),
                attempt.key.as_slice().into(),
                fingerprint.into(),
                attempt.id.as_bytes().into(),
                now.0.into(),
                until.0.into(),
            ],
        )
        .await?;
    Ok(added > 0)
}

/// What is noted under a key.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(
    tx: &mut TenantTx,
    account: AccountId,
    key: &[u8],
    since: Timestamp,
) -> Result<Option<Noted>> {
    let row = tx
        .row(
            "SELECT fingerprint, attempt, executed, leased_until, answer FROM idempotency_keys \
             WHERE tenant = $1 AND account = $2 AND key = $3 AND began_at > $4",
            [account.0.into(), key.into(), since.0.into()],
        )
        .await?;
    row.map(|row| {
        Ok(Noted {
            fingerprint: row.bytes(0)?,
            attempt: AttemptId::from_slice(&row.bytes(1)?)?,
            executed: row.int(2)? != 0,
            leased_until: Timestamp(row.int(3)?),
            answer: row.opt_bytes(4)?,
        })
    })
    .transpose()
}

/// Takes a request over whose attempt `before` has committed nothing and whose time is over; false when
/// another was quicker, or something was committed after all.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn take_over(
    tx: &mut TenantTx,
    attempt: &Attempt,
    before: AttemptId,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool> {
    let taken = tx
        .execute(
            "UPDATE idempotency_keys SET attempt = $4, leased_until = $7 \
             WHERE tenant = $1 AND account = $2 AND key = $3 AND attempt = $5 AND executed = 0 \
             AND leased_until <= $6 AND answer IS NULL",
            [
                attempt.account.0.into(),
                attempt.key.as_slice().into(),
                attempt.id.as_bytes().into(),
                before.as_bytes().into(),
                now.0.into(),
                until.0.into(),
            ],
        )
        .await?;
    Ok(taken > 0)
}

/// Says that an attempt goes on.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn renew(tx: &mut TenantTx, attempt: &Attempt, until: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE idempotency_keys SET leased_until = $5 \
         WHERE tenant = $1 AND account = $2 AND key = $3 AND attempt = $4",
        [
            attempt.account.0.into(),
            attempt.key.as_slice().into(),
            attempt.id.as_bytes().into(),
            until.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Notes, with what an attempt changes, that it did.
///
/// # Errors
/// Stale when the attempt has been given to another: nothing may be changed.
pub(in crate::db) async fn executed(tx: &mut TenantTx, attempt: &Attempt) -> Result<()> {
    let noted = tx
        .execute(
            "UPDATE idempotency_keys SET executed = 1 \
             WHERE tenant = $1 AND account = $2 AND key = $3 AND attempt = $4",
            [
                attempt.account.0.into(),
                attempt.key.as_slice().into(),
                attempt.id.as_bytes().into(),
            ],
        )
        .await?;
    match noted {
        0 => Err(Error::new(
            ErrorKind::Stale,
            "the same request, by its Idempotency-Key, is carried out elsewhere; ask again",
        )),
        _ => Ok(()),
    }
}

/// Keeps the answer of an attempt.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn answer(tx: &mut TenantTx, attempt: &Attempt, sealed: &[u8]) -> Result<()> {
    tx.execute(
        "UPDATE idempotency_keys SET answer = $5 \
         WHERE tenant = $1 AND account = $2 AND key = $3 AND attempt = $4",
        [
            attempt.account.0.into(),
            attempt.key.as_slice().into(),
            attempt.id.as_bytes().into(),
            sealed.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Forgets an attempt that has committed nothing; false when it has.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn give_up(tx: &mut TenantTx, attempt: &Attempt) -> Result<bool> {
    let given_up = tx
        .execute(
            "DELETE FROM idempotency_keys WHERE tenant = $1 AND account = $2 AND key = $3 \
             AND attempt = $4 AND executed = 0",
            [
                attempt.account.0.into(),
                attempt.key.as_slice().into(),
                attempt.id.as_bytes().into(),
            ],
        )
        .await?;
    Ok(given_up > 0)
}

/// Forgets requests that began before `until`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, until: Timestamp) -> Result<u64> {
    tx.execute(
        "DELETE FROM idempotency_keys WHERE tenant = $1 AND began_at <= $2",
        [until.0.into()],
    )
    .await
}

/// Forgets one that began before `until`, so that its key is free.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget_old(
    tx: &mut TenantTx,
    account: AccountId,
    key: &[u8],
    until: Timestamp,
) -> Result<()> {
    tx.execute(
        "DELETE FROM idempotency_keys \
         WHERE tenant = $1 AND account = $2 AND key = $3 AND began_at <= $4",
        [account.0.into(), key.into(), until.0.into()],
    )
    .await?;
    Ok(())
}
