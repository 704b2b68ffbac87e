//! Tokens that programs log in with, as every instance knows them.

use std::collections::HashSet;

use sqlx::AssertSqlSafe;

use crate::db::sql::{Row, TenantTx};
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::scope::Scopes;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// What it is called by.
    pub id: TokenId,
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// What it is for.
    pub scopes: Scopes,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it ends; none is never.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute or so; none is never.
    pub used_at: Option<Timestamp>,
    /// The token by which it was made, if that is written down.
    pub made_by: Option<TokenId>,
}

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT id, account, name, scopes, made_at, expires_at, used_at, made_by \
             FROM api_tokens WHERE tenant = $1 AND ",
            $rest
        )
    };
}

/// Adds a token whose secret has this hash.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn insert(tx: &mut TenantTx, token: &ApiToken, hash: &[u8]) -> Result<()> {
    tx.execute(
        "INSERT INTO api_tokens (tenant, id, account, hash, name, scopes, made_at, expires_at, made_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            token.id.as_bytes().into(),
            token.account.0.into(),
            hash.into(),
            token.name.as_str().into(),
            token.scopes.bits().into(),
            token.made_at.0.into(),
            token.expires_at.map(|at| at.0).into(),
            token.made_by.map(|id| id.as_bytes().to_vec()).into(),
        ],
    )
    .await?;
    Ok(())
}

/// The token whose secret has this hash, expired or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_hash(tx: &mut TenantTx, hash: &[u8]) -> Result<Option<ApiToken>> {
    let row = tx.row(select!("hash = $2"), [hash.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// The tokens of an account, newest first, expired or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx, account: AccountId) -> Result<Vec<ApiToken>> {
    let rows = tx
        .rows(
            select!("account = $2 ORDER BY made_at DESC, id"),
            [account.0.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Up to `limit` tokens of one account, or of all of the tenant, newest first, made before `before`, expired or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(
    tx: &mut TenantTx,
    account: Option<AccountId>,
    before: TokenId,
    limit: usize,
) -> Result<Vec<ApiToken>> {
    let rows = tx
        .rows(
            select!("($2 = 0 OR account = $2) AND id < $3 ORDER BY id DESC LIMIT $4"),
            [
                account.map_or(0, |account| account.0).into(),
                before.as_bytes().into(),
                i64::try_from(limit).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// A token by its id, expired or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_id(tx: &mut TenantTx, id: TokenId) -> Result<Option<ApiToken>> {
    let row = tx.row(select!("id = $2"), [id.as_bytes().into()]).await?;
    row.as_ref().map(read).transpose()
}

/// Which of `ids` are there and have not expired.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn living(
    tx: &mut TenantTx,
    ids: &[TokenId],
    now: Timestamp,
) -> Result<HashSet<TokenId>> {
    let mut found = HashSet::with_capacity(ids.len());
    for some in ids.chunks(500) {
        let places: Vec<_> = (3..some.len() + 3)
            .map(|place| format!("${place}"))
            .collect();
        let sql = format!(
            "SELECT id FROM api_tokens WHERE tenant = $1 \
             AND (expires_at IS NULL OR expires_at > $2) AND id IN ({})",
            places.join(", ")
        );
        let ids = some.iter().map(|id| id.as_bytes().into());
        let arguments = std::iter::once(now.0.into()).chain(ids).collect();
        for row in tx.rows_of(AssertSqlSafe(sql), arguments).await? {
            found.insert(TokenId::from_slice(&row.bytes(0)?)?);
        }
    }
    Ok(found)
}

/// Whether a token is there, expired or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn is_there(tx: &mut TenantTx, id: TokenId) -> Result<bool> {
    let row = tx
        .row(
            "SELECT 1 FROM api_tokens WHERE tenant = $1 AND id = $2",
            [id.as_bytes().into()],
        )
        .await?;
    Ok(row.is_some())
}

/// Notes that a token was used.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn used(tx: &mut TenantTx, id: TokenId, at: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE api_tokens SET used_at = $3 \
         WHERE tenant = $1 AND id = $2 AND (used_at IS NULL OR used_at < $3)",
        [id.as_bytes().into(), at.0.into()],
    )
    .await?;
    Ok(())
}

/// Revokes a token.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, id: TokenId) -> Result<()> {
    tx.execute(
        "DELETE FROM api_tokens WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into()],
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<ApiToken> {
    Ok(ApiToken {
        id: TokenId::from_slice(&row.bytes(0)?)?,
        account: AccountId(row.int(1)?),
        name: row.text(2)?,
        scopes: Scopes::from_bits(row.int(3)?),
        made_at: Timestamp(row.int(4)?),
        expires_at: row.opt_int(5)?.map(Timestamp),
        used_at: row.opt_int(6)?.map(Timestamp),
        made_by: match row.opt_bytes(7)? {
            Some(id) => Some(TokenId::from_slice(&id)?),
            None => None,
        },
    })
}
