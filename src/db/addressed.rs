//! Uploads that clients address by an id instead of a name.

use crate::db::sql::{Row, TenantTx};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, LinkId, NodeId, UploadAddress, UploadId};

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

/// Writes one down.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn insert(tx: &mut TenantTx, new: &Addressed) -> Result<()> {
    let (kind, destination, joined) = match &new.purpose {
        Purpose::File(destination) => (FILE, Some(destination), None),
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

/// What is on its way by a link: how many files, of which parts are none, and bytes as they were announced, or the
/// most that can be counted.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn pending_by(tx: &mut TenantTx, link: LinkId) -> Result<(u64, u64)> {
    // Whoever comes by the link announces what they like: a sum of two may be beyond what a database counts.
    let row = tx
        .row(
            "SELECT count(CASE WHEN kind <> 2 THEN 1 END), \
             CAST(coalesce(sum(length / 4294967296), 0) AS bigint), \
             CAST(coalesce(sum(length % 4294967296), 0) AS bigint) FROM addressed_uploads \
             WHERE tenant = $1 AND link = $2 AND done = 0",
            [link.as_bytes().into()],
        )
        .await?;
    row.map_or(Ok((0, 0)), |row| {
        let bytes = row.count(1)?.saturating_mul(1 << 32);
        Ok((row.count(0)?, bytes.saturating_add(row.count(2)?)))
    })
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
    let purpose = match row.int(3)? {
        FILE => Purpose::File(Destination {
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
    })
}

fn number(length: u64) -> Result<i64> {
    i64::try_from(length).map_err(Error::internal)
}
