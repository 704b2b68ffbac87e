//! Uploads that clients address by an id instead of a name.

use crate::db::sql::{Row, TenantTx};
use crate::db::uploads;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, InstanceId, LinkId, NodeId, UploadAddress, UploadId};

/// What an upload is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A file.
    File(Destination),
    /// A part, which is joined with others once it is complete.
    Part,
    /// A file that was joined of parts; with what the client called these, and the name that it got.
    Joined(String, Option<String>),
}

/// Where a file is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The folder.
    pub parent: NodeId,
    /// The name in it.
    pub name: String,
    /// The file that was there.
    pub node: Option<NodeId>,
    /// Whether a file that is there is an error.
    pub exclusive: bool,
}

/// An upload with an address.
#[derive(Clone, Debug)]
pub struct Addressed {
    /// Its address.
    pub id: UploadAddress,
    /// Whose it is: to others it is not there.
    pub account: AccountId,
    /// Its row among the uploads, while there is one.
    pub upload: UploadId,
    /// What it is to become.
    pub purpose: Purpose,
    /// How long it will be, once that is known.
    pub length: Option<u64>,
    /// What the client said about it.
    pub metadata: String,
    /// Whether it is published.
    pub done: bool,
    /// When it was made or published; its row among the uploads knows better in between.
    pub touched_at: Timestamp,
    /// By which link it came; none for the account's own.
    pub link: Option<LinkId>,
    /// What whoever sends it by a link calls themselves.
    pub sender: Option<String>,
    /// Whether anybody is told the address; else it is sent by one request, and ends with that.
    pub is_told: bool,
}

/// Whose uploads are looked for: to others they are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The account.
    pub account: AccountId,
    /// The link by which they came; none for the account's own.
    pub link: Option<LinkId>,
}

const FILE: i64 = 1;
const PART: i64 = 2;
const JOINED: i64 = 3;
/// A file whose address nobody is told.
const UNTOLD: i64 = 4;

/// Writes one down.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn insert(tx: &mut TenantTx, new: &Addressed) -> Result<()> {
    let (kind, destination, joined) = match &new.purpose {
        Purpose::File(destination) if new.is_told => (FILE, Some(destination), None),
        Purpose::File(destination) => (UNTOLD, Some(destination), None),
        Purpose::Part => (PART, None, None),
        Purpose::Joined(parts, _) => (JOINED, None, Some(parts.clone())),
    };
    let name = match &new.purpose {
        Purpose::File(destination) => Some(destination.name.clone()),
        Purpose::Part => None,
        Purpose::Joined(_, name) => name.clone(),
    };
    let node = destination.and_then(|to| to.node);
    tx.execute(
        "INSERT INTO addressed_uploads (tenant, id, account, upload, kind, length, parent, name, \
         node, exclusive, metadata, joined, done, touched_at, link, sender) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        [
            new.id.as_bytes().into(),
            new.account.0.into(),
            new.upload.as_bytes().into(),
            kind.into(),
            new.length.map(number).transpose()?.into(),
            destination.map(|to| to.parent.as_bytes().to_vec()).into(),
            name.into(),
            node.map(|node| node.as_bytes().to_vec()).into(),
            i64::from(destination.is_some_and(|to| to.exclusive)).into(),
            new.metadata.as_str().into(),
            joined.into(),
            i64::from(new.done).into(),
            new.touched_at.0.into(),
            new.link.map(|link| link.as_bytes().to_vec()).into(),
            new.sender.clone().into(),
        ],
    )
    .await?;
    Ok(())
}

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT id, account, upload, kind, length, parent, name, node, exclusive, metadata, \
             joined, done, touched_at, link, sender FROM addressed_uploads WHERE tenant = $1 AND ",
            $rest
        )
    };
}

/// The one at an address, if it is theirs.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(tx: &mut TenantTx, owner: Owner, id: UploadAddress) -> Result<Option<Addressed>> {
    let sql = select!("id = $2 AND account = $3");
    let row = tx
        .row(sql, [id.as_bytes().into(), owner.account.0.into()])
        .await?;
    let found = row.as_ref().map(read).transpose()?;
    Ok(found.filter(|found| found.link == owner.link))
}

/// The file that was joined of these parts, as the client called them, if they are the owner's.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn joined_of(tx: &mut TenantTx, owner: Owner, parts: &str) -> Result<Option<Addressed>> {
    let sql = select!("account = $2 AND kind = 3 AND joined = $3");
    let rows = tx.rows(sql, [owner.account.0.into(), parts.into()]).await?;
    for row in &rows {
        let found = read(row)?;
        if found.link == owner.link {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What is on its way by a link; bytes as they were announced, or the most that can be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Files, of which parts are none.
    pub files: u64,
    /// Bytes of these.
    pub file_bytes: u64,
    /// Parts.
    pub parts: u64,
    /// Bytes of these.
    pub part_bytes: u64,
}

/// What is on its way by a link.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn pending_by(tx: &mut TenantTx, link: LinkId) -> Result<Pending> {
    // Whoever comes by the link announces what they like: a sum of two may be beyond what a database counts.
    let rows = tx
        .rows(
            "SELECT CAST(CASE WHEN kind = 2 THEN 1 ELSE 0 END AS bigint), count(*), \
             CAST(coalesce(sum(length / 4294967296), 0) AS bigint), \
             CAST(coalesce(sum(length % 4294967296), 0) AS bigint) FROM addressed_uploads \
             WHERE tenant = $1 AND link = $2 AND done = 0 GROUP BY 1",
            [link.as_bytes().into()],
        )
        .await?;
    let mut pending = Pending::default();
    for row in &rows {
        let bytes = row.count(2)?.saturating_mul(1 << 32);
        let bytes = bytes.saturating_add(row.count(3)?);
        match row.int(0)? {
            0 => (pending.files, pending.file_bytes) = (row.count(1)?, bytes),
            _ => (pending.parts, pending.part_bytes) = (row.count(1)?, bytes),
        }
    }
    Ok(pending)
}

/// Ends up to `limit` uploads that came by a link, whoever writes to them; what is published stays.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn end_by(tx: &mut TenantTx, link: LinkId, at: Timestamp, limit: i64) -> Result<()> {
    let rows = tx
        .rows(
            "SELECT id, upload FROM addressed_uploads \
             WHERE tenant = $1 AND link = $2 AND done = 0 LIMIT $3",
            [link.as_bytes().into(), limit.into()],
        )
        .await?;
    end_all(tx, &rows, at).await
}

/// Ends up to `limit` uploads that came by links which have ended or are forgotten.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn end_with_links(tx: &mut TenantTx, now: Timestamp, limit: i64) -> Result<()> {
    let rows = tx.rows(WITH_LINKS, [now.0.into(), limit.into()]).await?;
    end_all(tx, &rows, now).await
}

/// Whether [`end_with_links`] would find any.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn outlives_its_link(tx: &mut TenantTx, now: Timestamp) -> Result<bool> {
    let row = tx.row(WITH_LINKS, [now.0.into(), 1.into()]).await?;
    Ok(row.is_some())
}

const WITH_LINKS: &str = "SELECT a.id, a.upload FROM addressed_uploads a \
                          WHERE a.tenant = $1 AND a.link IS NOT NULL AND a.done = 0 \
                          AND NOT EXISTS (SELECT 1 FROM links l WHERE l.tenant = $1 AND l.id = a.link \
                          AND l.revoked_at IS NULL AND (l.expires_at IS NULL OR l.expires_at > $2)) \
                          LIMIT $3";

/// Ends up to `limit` uploads whose address nobody was told, and to which no request writes: those that an
/// instance left behind that is gone, and those that have rested since `until`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn end_untold(
    tx: &mut TenantTx,
    until: Timestamp,
    at: Timestamp,
    limit: i64,
) -> Result<()> {
    let rows = tx
        .rows(
            "SELECT a.id, a.upload FROM addressed_uploads a \
             LEFT JOIN uploads u ON u.tenant = $1 AND u.id = a.upload \
             WHERE a.tenant = $1 AND a.link IS NOT NULL AND a.done = 0 AND a.kind = 4 \
             AND (u.id IS NULL OR (u.instance = $2 AND u.touched_at <= $3)) LIMIT $4",
            [
                InstanceId::NIL.as_bytes().into(),
                until.0.into(),
                limit.into(),
            ],
        )
        .await?;
    end_all(tx, &rows, at).await
}

/// Columns: id, upload.
async fn end_all(tx: &mut TenantTx, rows: &[Row], at: Timestamp) -> Result<()> {
    for row in rows {
        uploads::discard(tx, UploadId::from_slice(&row.bytes(1)?)?, at).await?;
        remove(tx, UploadAddress::from_slice(&row.bytes(0)?)?).await?;
    }
    Ok(())
}

/// Notes how long one will be.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_length(tx: &mut TenantTx, id: UploadAddress, length: u64) -> Result<()> {
    tx.execute(
        "UPDATE addressed_uploads SET length = $3 \
         WHERE tenant = $1 AND id = $2 AND length IS NULL",
        [id.as_bytes().into(), number(length)?.into()],
    )
    .await?;
    Ok(())
}

/// Notes that one is published, and under which name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn finish(tx: &mut TenantTx, id: UploadAddress, name: &str, at: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE addressed_uploads SET done = 1, name = $3, touched_at = $4 \
         WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into(), name.into(), at.0.into()],
    )
    .await?;
    Ok(())
}

/// Forgets one.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, id: UploadAddress) -> Result<()> {
    tx.execute(
        "DELETE FROM addressed_uploads WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// Forgets those that nothing is left of and that have not moved since `until`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn expire(tx: &mut TenantTx, until: Timestamp) -> Result<u64> {
    tx.execute(
        "DELETE FROM addressed_uploads WHERE tenant = $1 AND touched_at <= $2 \
         AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.tenant = $1 \
         AND u.id = addressed_uploads.upload)",
        [until.0.into()],
    )
    .await
}

fn read(row: &Row) -> Result<Addressed> {
    let kind = row.int(3)?;
    let purpose = match kind {
        FILE | UNTOLD => Purpose::File(Destination {
            parent: NodeId::from_slice(&row.bytes(5)?)?,
            name: row.text(6)?,
            node: row
                .opt_bytes(7)?
                .map(|id| NodeId::from_slice(&id))
                .transpose()?,
            exclusive: row.int(8)? != 0,
        }),
        PART => Purpose::Part,
        JOINED => Purpose::Joined(row.opt_text(10)?.unwrap_or_default(), row.opt_text(6)?),
        kind => {
            return Err(Error::internal(format!(
                "unknown purpose of an upload {kind}"
            )));
        }
    };
    let length = row.opt_int(4)?;
    Ok(Addressed {
        id: UploadAddress::from_slice(&row.bytes(0)?)?,
        account: AccountId(row.int(1)?),
        upload: UploadId::from_slice(&row.bytes(2)?)?,
        purpose,
        length: length
            .map(u64::try_from)
            .transpose()
            .map_err(Error::internal)?,
        metadata: row.text(9)?,
        done: row.int(11)? != 0,
        touched_at: Timestamp(row.int(12)?),
        link: row
            .opt_bytes(13)?
            .map(|id| LinkId::from_slice(&id))
            .transpose()?,
        sender: row.opt_text(14)?,
        is_told: kind != UNTOLD,
    })
}

fn number(length: u64) -> Result<i64> {
    i64::try_from(length).map_err(Error::internal)
}
