//! Operators of the installation, who belong to no tenant, by their tokens.

use crate::db::database::Database;
use crate::db::sql::Row;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TokenId;

/// An operator, without the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorRow {
    /// Names the token.
    pub id: TokenId,
    /// What the audit log calls them.
    pub name: String,
    /// The word for what they may do.
    pub role: String,
    /// When the token was made.
    pub made_at: Timestamp,
    /// When it ends; none is never.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute or so; none is never.
    pub used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT id, name, role, made_at, expires_at, used_at, revoked_at FROM operators ",
            $rest
        )
    };
}

/// Adds an operator whose secret has this hash.
///
/// # Errors
/// AlreadyExists when another one has the name, whose token was not revoked.
pub async fn insert(db: &Database, operator: &OperatorRow, hash: &[u8]) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "INSERT INTO operators (id, name, role, hash, made_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        [
            operator.id.as_bytes().into(),
            operator.name.as_str().into(),
            operator.role.as_str().into(),
            hash.into(),
            operator.made_at.0.into(),
            operator.expires_at.map(|at| at.0).into(),
        ],
    )
    .await
    .map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            format!(
                "there is a token of '{}' already; revoke it first, or choose another name",
                operator.name
            ),
        ),
        _ => error,
    })?;
    tx.commit().await
}

/// All operators, newest first, revoked ones too.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(db: &Database) -> Result<Vec<OperatorRow>> {
    let mut tx = db.system_read().await?;
    let rows = tx.rows(select!("ORDER BY made_at DESC, id"), []).await?;
    rows.iter().map(read).collect()
}

/// The operator whose secret has this hash, expired or revoked or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_hash(db: &Database, hash: &[u8]) -> Result<Option<OperatorRow>> {
    let mut tx = db.system_read().await?;
    let row = tx.row(select!("WHERE hash = $1"), [hash.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// Notes that a token was used.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn used(db: &Database, id: TokenId, at: Timestamp) -> Result<()> {
    let mut tx = db.system().await?;
    tx.execute(
        "UPDATE operators SET used_at = $2 WHERE id = $1 AND (used_at IS NULL OR used_at < $2)",
        [id.as_bytes().into(), at.0.into()],
    )
    .await?;
    tx.commit().await
}

/// Revokes the token of this name; false when there is none that was not revoked.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn revoke(db: &Database, name: &str, at: Timestamp) -> Result<bool> {
    let mut tx = db.system().await?;
    let revoked = tx
        .execute(
            "UPDATE operators SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL",
            [name.into(), at.0.into()],
        )
        .await?;
    tx.commit().await?;
    Ok(revoked > 0)
}

fn read(row: &Row) -> Result<OperatorRow> {
    Ok(OperatorRow {
        id: TokenId::from_slice(&row.bytes(0)?)?,
        name: row.text(1)?,
        role: row.text(2)?,
        made_at: Timestamp(row.int(3)?),
        expires_at: row.opt_int(4)?.map(Timestamp),
        used_at: row.opt_int(5)?.map(Timestamp),
        revoked_at: row.opt_int(6)?.map(Timestamp),
    })
}
