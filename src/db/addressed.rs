//! Uploads that clients address by an id instead of a name.

use crate::db::sql::{Row, TenantTx};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, NodeId, UploadAddress, UploadId};

/// What an upload is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A file.
    File(Destination),
    /// A part, which is joined with others once it is complete.
    Part,
    /// A file that was joined of parts; with what the client called these.
    Joined(String),
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
        Purpose::Joined(parts) => (JOINED, None, Some(parts.clone())),
    };
    let node = destination.and_then(|to| to.node);
    tx.execute(
        "INSERT INTO addressed_uploads (tenant, id, account, upload, kind, length, parent, name, \
         node, exclusive, metadata, joined, done, touched_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        [
            new.id.as_bytes().into(),
            new.account.0.into(),
            new.upload.as_bytes().into(),
            kind.into(),
            new.length.map(number).transpose()?.into(),
            destination.map(|to| to.parent.as_bytes().to_vec()).into(),
            destination.map(|to| to.name.clone()).into(),
            node.map(|node| node.as_bytes().to_vec()).into(),
            i64::from(destination.is_some_and(|to| to.exclusive)).into(),
            new.metadata.as_str().into(),
            joined.into(),
            i64::from(new.done).into(),
            new.touched_at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// The one at an address, if it is this account's.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(
    tx: &mut TenantTx,
    account: AccountId,
    id: UploadAddress,
) -> Result<Option<Addressed>> {
    let row = tx
        .row(
            "SELECT id, account, upload, kind, length, parent, name, node, exclusive, metadata, \
             joined, done, touched_at FROM addressed_uploads \
             WHERE tenant = $1 AND id = $2 AND account = $3",
            [id.as_bytes().into(), account.0.into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
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

/// Notes that one is published.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn finish(tx: &mut TenantTx, id: UploadAddress, at: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE addressed_uploads SET done = 1, touched_at = $3 WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into(), at.0.into()],
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
        JOINED => Purpose::Joined(row.opt_text(10)?.unwrap_or_default()),
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
    })
}

fn number(length: u64) -> Result<i64> {
    i64::try_from(length).map_err(Error::internal)
}
