//! Links, by which people come who have no account, as every instance knows them.

use std::collections::HashSet;

use sqlx::AssertSqlSafe;

use crate::db::sql::{Row, TenantTx};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, LinkId, NodeId, TokenId};
use crate::domain::link::{LinkKind, LinkLimits};
use crate::domain::secret::Secret;

/// A link, without its secret.
#[derive(Clone, Debug)]
pub struct Link {
    /// What it is called by.
    pub id: LinkId,
    /// Who made it.
    pub account: AccountId,
    /// What it is for.
    pub kind: LinkKind,
    /// What it leads to, wherever that is.
    pub node: NodeId,
    /// What its maker calls it.
    pub name: String,
    /// The hash of its password, if it has one.
    pub password: Option<Secret>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When the last download or file was counted.
    pub used_at: Option<Timestamp>,
    /// Downloads, or files that were sent.
    pub uses: u64,
    /// Bytes of the files that were sent.
    pub bytes: u64,
    /// What it is held to.
    pub limits: LinkLimits,
}

impl Link {
    /// Whether it has ended, by its maker or by time.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.revoked_at.is_some() || self.limits.expires_at.is_some_and(|end| now >= end)
    }

    /// Whether as much was done by it as may be.
    pub fn is_used_up(&self) -> bool {
        self.limits.uses.is_some_and(|most| self.uses >= most)
    }
}

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT id, account, kind, node, name, password, made_at, expires_at, revoked_at, \
             used_at, uses, bytes, max_uses, max_bytes, max_size, patterns \
             FROM links WHERE tenant = $1 AND ",
            $rest
        )
    };
}

const DOWNLOAD: i64 = 1;
const UPLOAD: i64 = 2;

/// Adds a link whose secret has this hash.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn insert(tx: &mut TenantTx, link: &Link, hash: &[u8]) -> Result<()> {
    let limits = &link.limits;
    tx.execute(
        "INSERT INTO links (tenant, id, account, hash, kind, node, name, password, made_at, \
         expires_at, uses, bytes, max_uses, max_bytes, max_size, patterns) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, $11, $12, $13, $14)",
        [
            link.id.as_bytes().into(),
            link.account.0.into(),
            hash.into(),
            match link.kind {
                LinkKind::Download => DOWNLOAD,
                LinkKind::Upload => UPLOAD,
            }
            .into(),
            link.node.as_bytes().into(),
            link.name.as_str().into(),
            text(link.password.as_ref())?.into(),
            link.made_at.0.into(),
            limits.expires_at.map(|at| at.0).into(),
            number(limits.uses)?.into(),
            number(limits.bytes)?.into(),
            number(limits.size)?.into(),
            lines(&limits.patterns).into(),
        ],
    )
    .await?;
    Ok(())
}

/// Changes name, password and limits of a link; what is done by it stays counted.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn alter(tx: &mut TenantTx, link: &Link) -> Result<()> {
    let limits = &link.limits;
    tx.execute(
        "UPDATE links SET name = $3, password = $4, expires_at = $5, max_uses = $6, max_bytes = $7, \
         max_size = $8, patterns = $9 WHERE tenant = $1 AND id = $2",
        [
            link.id.as_bytes().into(),
            link.name.as_str().into(),
            text(link.password.as_ref())?.into(),
            limits.expires_at.map(|at| at.0).into(),
            number(limits.uses)?.into(),
            number(limits.bytes)?.into(),
            number(limits.size)?.into(),
            lines(&limits.patterns).into(),
        ],
    )
    .await?;
    Ok(())
}

/// Stores a better hash of the same password, if it has not been changed.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn upgrade_password(
    tx: &mut TenantTx,
    id: LinkId,
    old: &Secret,
    new: &Secret,
) -> Result<()> {
    tx.execute(
        "UPDATE links SET password = $4 WHERE tenant = $1 AND id = $2 AND password = $3",
        [
            id.as_bytes().into(),
            text(Some(old))?.into(),
            text(Some(new))?.into(),
        ],
    )
    .await?;
    Ok(())
}

/// The link whose secret has this hash, over or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_hash(tx: &mut TenantTx, hash: &[u8]) -> Result<Option<Link>> {
    let row = tx.row(select!("hash = $2"), [hash.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// A link by its id, over or not.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_id(tx: &mut TenantTx, id: LinkId) -> Result<Option<Link>> {
    let row = tx.row(select!("id = $2"), [id.as_bytes().into()]).await?;
    row.as_ref().map(read).transpose()
}

/// Up to `limit` links of an account that are not revoked, newest first, made before `before`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(
    tx: &mut TenantTx,
    account: AccountId,
    before: LinkId,
    limit: i64,
) -> Result<Vec<Link>> {
    let rows = tx
        .rows(
            select!("account = $2 AND revoked_at IS NULL AND id < $3 ORDER BY id DESC LIMIT $4"),
            [account.0.into(), before.as_bytes().into(), limit.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The same of one account, or of all of the tenant.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(
    tx: &mut TenantTx,
    account: Option<AccountId>,
    before: LinkId,
    limit: usize,
) -> Result<Vec<Link>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    if let Some(account) = account {
        return list(tx, account, before, limit).await;
    }
    let rows = tx
        .rows(
            select!("revoked_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3"),
            [before.as_bytes().into(), limit.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// How many links an account has that are not revoked.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn count(tx: &mut TenantTx, account: AccountId) -> Result<u64> {
    let row = tx
        .row(
            "SELECT count(*) FROM links WHERE tenant = $1 AND account = $2 AND revoked_at IS NULL",
            [account.0.into()],
        )
        .await?;
    row.map_or(Ok(0), |row| row.count(0))
}

/// Which of `ids` are there and have not ended.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn living(tx: &mut TenantTx, ids: &[LinkId], now: Timestamp) -> Result<HashSet<LinkId>> {
    let mut found = HashSet::with_capacity(ids.len());
    for some in ids.chunks(500) {
        let places: Vec<_> = (3..some.len() + 3)
            .map(|place| format!("${place}"))
            .collect();
        let sql = format!(
            "SELECT id FROM links WHERE tenant = $1 AND revoked_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $2) AND id IN ({})",
            places.join(", ")
        );
        let ids = some.iter().map(|id| id.as_bytes().into());
        let arguments = std::iter::once(now.0.into()).chain(ids).collect();
        for row in tx.rows_of(AssertSqlSafe(sql), arguments).await? {
            found.insert(LinkId::from_slice(&row.bytes(0)?)?);
        }
    }
    Ok(found)
}

/// Ends a link; false when it had ended so before.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn revoke(tx: &mut TenantTx, id: LinkId, at: Timestamp) -> Result<bool> {
    let ended = tx
        .execute(
            "UPDATE links SET revoked_at = $3 WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL",
            [id.as_bytes().into(), at.0.into()],
        )
        .await?;
    Ok(ended > 0)
}

/// Notes by which token a link was made or changed.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn made_by(tx: &mut TenantTx, id: LinkId, token: TokenId) -> Result<()> {
    tx.execute(
        "INSERT INTO link_makers (tenant, token, link) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        [token.as_bytes().into(), id.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// Ends the links that were made or changed by a token; which these are.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn revoke_made_by(
    tx: &mut TenantTx,
    token: TokenId,
    at: Timestamp,
) -> Result<Vec<LinkId>> {
    let rows = tx
        .rows(
            "UPDATE links SET revoked_at = $3 WHERE tenant = $1 AND revoked_at IS NULL AND id IN \
             (SELECT link FROM link_makers WHERE tenant = $1 AND token = $2) RETURNING id",
            [token.as_bytes().into(), at.0.into()],
        )
        .await?;
    let ids = rows.iter().map(|row| LinkId::from_slice(&row.bytes(0)?));
    let ids = ids.collect::<Result<_>>()?;
    tx.execute(
        "DELETE FROM link_makers WHERE tenant = $1 AND token = $2",
        [token.as_bytes().into()],
    )
    .await?;
    Ok(ids)
}

/// Counts a file that came by a link.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn received(tx: &mut TenantTx, id: LinkId, bytes: u64, at: Timestamp) -> Result<()> {
    let bytes = i64::try_from(bytes).map_err(Error::internal)?;
    tx.execute(
        "UPDATE links SET uses = uses + 1, bytes = bytes + $3, used_at = $4 \
         WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into(), bytes.into(), at.0.into()],
    )
    .await?;
    Ok(())
}

/// Forgets links that ended before `until`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, until: Timestamp) -> Result<u64> {
    let forgotten = tx
        .execute(
            "DELETE FROM links WHERE tenant = $1 AND (revoked_at < $2 OR expires_at < $2)",
            [until.0.into()],
        )
        .await?;
    if forgotten > 0 {
        tx.execute(
            "DELETE FROM link_makers WHERE tenant = $1 AND link NOT IN \
             (SELECT id FROM links WHERE tenant = $1)",
            [],
        )
        .await?;
    }
    Ok(forgotten)
}

fn read(row: &Row) -> Result<Link> {
    let count = |column| -> Result<Option<u64>> {
        let value = row.opt_int(column)?;
        value
            .map(u64::try_from)
            .transpose()
            .map_err(Error::internal)
    };
    let patterns = row.opt_text(15)?.unwrap_or_default();
    Ok(Link {
        id: LinkId::from_slice(&row.bytes(0)?)?,
        account: AccountId(row.int(1)?),
        kind: match row.int(2)? {
            DOWNLOAD => LinkKind::Download,
            UPLOAD => LinkKind::Upload,
            kind => return Err(Error::internal(format!("unknown kind of link {kind}"))),
        },
        node: NodeId::from_slice(&row.bytes(3)?)?,
        name: row.text(4)?,
        password: row.opt_text(5)?.map(Secret::new),
        made_at: Timestamp(row.int(6)?),
        revoked_at: row.opt_int(8)?.map(Timestamp),
        used_at: row.opt_int(9)?.map(Timestamp),
        uses: row.count(10)?,
        bytes: row.count(11)?,
        limits: LinkLimits {
            expires_at: row.opt_int(7)?.map(Timestamp),
            uses: count(12)?,
            bytes: count(13)?,
            size: count(14)?,
            patterns: patterns.lines().map(str::to_owned).collect(),
        },
    })
}

fn number(value: Option<u64>) -> Result<Option<i64>> {
    value
        .map(i64::try_from)
        .transpose()
        .map_err(Error::internal)
}

fn text(hash: Option<&Secret>) -> Result<Option<String>> {
    let text = hash.map(|hash| String::from_utf8(hash.expose().to_vec()));
    text.transpose().map_err(Error::internal)
}

fn lines(patterns: &[String]) -> Option<String> {
    (!patterns.is_empty()).then(|| patterns.join("\n"))
}
