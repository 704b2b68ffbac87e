//! Uploads in progress or broken off: their epoch, checkpoints and reservation.

use crate::db::blobs::{self, BlobInfo};
use crate::db::contents::{insert_runs, link_runs, read_extent, unlink_runs};
use crate::db::sql::{Row, TenantTx};
use crate::db::usage::{self, Amount};
use crate::domain::clock::Timestamp;
use crate::domain::content::Extent;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, BlobId, InstanceId, NodeId, UploadId};

/// A content being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Who may go on with it: taking over increments this.
    pub epoch: i64,
    /// The instance that writes it; [`InstanceId::NIL`] once it broke off and is kept.
    pub instance: InstanceId,
    /// Whose quota it counts against.
    pub account: AccountId,
    /// The folder it will be in.
    pub parent: NodeId,
    /// The name it will have.
    pub name: String,
    /// Bytes that are durable.
    pub size: u64,
    /// State of the SHA-256 over them, when they came in order.
    pub hash_state: Option<Vec<u8>>,
    /// What the quota holds back for it.
    pub reserved: Amount,
    /// When it last moved on.
    pub touched_at: Timestamp,
}

/// Starts an upload and reserves for it.
///
/// # Errors
/// Quota when there is no room.
pub async fn begin(tx: &mut TenantTx, upload: &Upload) -> Result<()> {
    usage::charge(tx, Some(upload.account), Amount::default(), upload.reserved).await?;
    tx.execute(
        "INSERT INTO uploads (tenant, id, epoch, instance, account, parent, name, size, \
         hash_state, reserved_bytes, reserved_files, touched_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        [
            upload.id.as_bytes().into(),
            upload.epoch.into(),
            upload.instance.as_bytes().into(),
            upload.account.0.into(),
            upload.parent.as_bytes().into(),
            upload.name.as_str().into(),
            i64::try_from(upload.size).map_err(Error::internal)?.into(),
            upload.hash_state.clone().into(),
            upload.reserved.bytes.into(),
            upload.reserved.files.into(),
            upload.touched_at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Whether an upload is written down.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn exists(tx: &mut TenantTx, id: UploadId) -> Result<bool> {
    let row = tx
        .row(
            "SELECT epoch FROM uploads WHERE tenant = $1 AND id = $2",
            [id.as_bytes().into()],
        )
        .await?;
    Ok(row.is_some())
}

/// What a checkpoint makes durable in the database.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Bytes that are durable now.
    pub size: u64,
    /// State of the SHA-256 over them.
    pub hash_state: Option<Vec<u8>>,
    /// All runs that are durable now.
    pub runs: Vec<Extent>,
    /// The blobs of the runs.
    pub blobs: Vec<BlobInfo>,
    /// The blob that is not finished, if it is among them, and its store's notes on it.
    pub checkpoint: Option<(BlobId, Vec<u8>)>,
    /// What is to be reserved from now on, in all.
    pub reserved: Amount,
}

/// Moves an upload on, if it still belongs to `epoch`.
///
/// # Errors
/// Stale when another has taken it over; Quota when the reservation cannot grow.
pub async fn checkpoint(
    tx: &mut TenantTx,
    id: UploadId,
    epoch: i64,
    progress: &Progress,
    at: Timestamp,
) -> Result<()> {
    let upload = owned(tx, id, epoch).await?;
    let grows = Amount {
        bytes: progress.reserved.bytes - upload.reserved.bytes,
        files: progress.reserved.files - upload.reserved.files,
    };
    usage::charge(tx, Some(upload.account), Amount::default(), grows).await?;
    let old = runs(tx, id).await?;
    link_runs(tx, &progress.runs, &progress.blobs, at).await?;
    if let Some((blob, notes)) = &progress.checkpoint {
        blobs::set_checkpoint(tx, *blob, notes).await?;
    }
    unlink_runs(tx, &old, at).await?;
    delete_runs(tx, id).await?;
    insert_runs(
        tx,
        "upload_extents (tenant, upload,",
        id.as_bytes(),
        &progress.runs,
    )
    .await?;
    tx.execute(
        "UPDATE uploads SET size = $3, hash_state = $4, reserved_bytes = $5, \
         reserved_files = $6, touched_at = $7 WHERE tenant = $1 AND id = $2",
        [
            id.as_bytes().into(),
            i64::try_from(progress.size)
                .map_err(Error::internal)?
                .into(),
            progress.hash_state.clone().into(),
            progress.reserved.bytes.into(),
            progress.reserved.files.into(),
            at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Takes the reservation out of an upload that still belongs to `epoch`, for the caller to charge.
///
/// # Errors
/// Stale when another has taken it over.
pub async fn take_reservation(tx: &mut TenantTx, id: UploadId, epoch: i64) -> Result<Amount> {
    let upload = owned(tx, id, epoch).await?;
    tx.execute(
        "UPDATE uploads SET reserved_bytes = 0, reserved_files = 0 WHERE tenant = $1 AND id = $2",
        [id.as_bytes().into()],
    )
    .await?;
    Ok(upload.reserved)
}

/// Ends an upload that still belongs to `epoch` and gives its reservation back; the caller has linked
/// what it wants to keep before.
///
/// # Errors
/// Stale when another has taken it over.
pub async fn end(tx: &mut TenantTx, id: UploadId, epoch: i64, at: Timestamp) -> Result<()> {
    let upload = owned(tx, id, epoch).await?;
    remove(tx, &upload, at).await
}

/// Marks an upload as broken off and kept, if it still belongs to `epoch`.
///
/// # Errors
/// Stale when another has taken it over.
pub async fn keep(tx: &mut TenantTx, id: UploadId, epoch: i64, at: Timestamp) -> Result<()> {
    owned(tx, id, epoch).await?;
    tx.execute(
        "UPDATE uploads SET instance = $3, epoch = epoch + 1, touched_at = $4 \
         WHERE tenant = $1 AND id = $2",
        [
            id.as_bytes().into(),
            InstanceId::NIL.as_bytes().into(),
            at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Marks uploads as broken off whose instance's lease is over.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn keep_orphans(tx: &mut TenantTx, at: Timestamp) -> Result<u64> {
    tx.execute(
        "UPDATE uploads SET instance = $2, epoch = epoch + 1 \
         WHERE tenant = $1 AND instance <> $2 \
         AND instance NOT IN (SELECT id FROM instances WHERE lease_until > $3)",
        [InstanceId::NIL.as_bytes().into(), at.0.into()],
    )
    .await
}

/// Discards what an account had broken off under a name, because it starts afresh.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn discard_kept(
    tx: &mut TenantTx,
    account: AccountId,
    parent: NodeId,
    name: &str,
    at: Timestamp,
) -> Result<()> {
    let rows = tx
        .rows(
            "SELECT id, epoch, instance, account, parent, name, size, hash_state, \
             reserved_bytes, reserved_files, touched_at FROM uploads \
             WHERE tenant = $1 AND account = $2 AND parent = $3 AND name = $4 AND instance = $5",
            [
                account.0.into(),
                parent.as_bytes().into(),
                name.into(),
                InstanceId::NIL.as_bytes().into(),
            ],
        )
        .await?;
    for row in &rows {
        remove(tx, &read(row)?, at).await?;
    }
    Ok(())
}

/// Discards up to `limit` uploads that broke off and have not moved since `until`; says how many.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn expire(
    tx: &mut TenantTx,
    until: Timestamp,
    at: Timestamp,
    limit: i64,
) -> Result<usize> {
    let rows = tx
        .rows(
            "SELECT id, epoch, instance, account, parent, name, size, hash_state, \
             reserved_bytes, reserved_files, touched_at FROM uploads \
             WHERE tenant = $1 AND instance = $2 AND touched_at <= $3 LIMIT $4",
            [
                InstanceId::NIL.as_bytes().into(),
                until.0.into(),
                limit.into(),
            ],
        )
        .await?;
    for row in &rows {
        remove(tx, &read(row)?, at).await?;
    }
    Ok(rows.len())
}

/// What uploads hold back, by account.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn reserved(tx: &mut TenantTx) -> Result<Vec<(AccountId, Amount)>> {
    let rows = tx
        .rows(
            "SELECT account, CAST(sum(reserved_bytes) AS bigint), \
             CAST(sum(reserved_files) AS bigint) FROM uploads WHERE tenant = $1 GROUP BY account",
            [],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let amount = Amount {
                bytes: row.int(1)?,
                files: row.int(2)?,
            };
            Ok((AccountId(row.int(0)?), amount))
        })
        .collect()
}

async fn owned(tx: &mut TenantTx, id: UploadId, epoch: i64) -> Result<Upload> {
    let row = tx
        .row(
            "SELECT id, epoch, instance, account, parent, name, size, hash_state, \
             reserved_bytes, reserved_files, touched_at FROM uploads WHERE tenant = $1 AND id = $2",
            [id.as_bytes().into()],
        )
        .await?;
    let upload = row.as_ref().map(read).transpose()?;
    upload
        .filter(|upload| upload.epoch == epoch)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Stale,
                "this upload has expired or goes on elsewhere; open the file again",
            )
        })
}

async fn remove(tx: &mut TenantTx, upload: &Upload, at: Timestamp) -> Result<()> {
    let old = runs(tx, upload.id).await?;
    unlink_runs(tx, &old, at).await?;
    delete_runs(tx, upload.id).await?;
    tx.execute(
        "DELETE FROM uploads WHERE tenant = $1 AND id = $2",
        [upload.id.as_bytes().into()],
    )
    .await?;
    let back = upload.reserved.negated();
    usage::charge(tx, Some(upload.account), Amount::default(), back).await
}

async fn runs(tx: &mut TenantTx, id: UploadId) -> Result<Vec<Extent>> {
    let rows = tx
        .rows(
            "SELECT start, length, blob, blob_start FROM upload_extents \
             WHERE tenant = $1 AND upload = $2 ORDER BY start",
            [id.as_bytes().into()],
        )
        .await?;
    rows.iter().map(read_extent).collect()
}

async fn delete_runs(tx: &mut TenantTx, id: UploadId) -> Result<()> {
    tx.execute(
        "DELETE FROM upload_extents WHERE tenant = $1 AND upload = $2",
        [id.as_bytes().into()],
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<Upload> {
    Ok(Upload {
        id: UploadId::from_slice(&row.bytes(0)?)?,
        epoch: row.int(1)?,
        instance: InstanceId::from_slice(&row.bytes(2)?)?,
        account: AccountId(row.int(3)?),
        parent: NodeId::from_slice(&row.bytes(4)?)?,
        name: row.text(5)?,
        size: row.count(6)?,
        hash_state: row.opt_bytes(7)?,
        reserved: Amount {
            bytes: row.int(8)?,
            files: row.int(9)?,
        },
        touched_at: Timestamp(row.int(10)?),
    })
}
