//! Uploads in progress or broken off: their epoch, checkpoints and reservation.

use std::collections::{BTreeSet, HashMap};

use crate::db::blobs::{self, BlobInfo};
use crate::db::contents::{link_runs, unlink_runs};
use crate::db::sql::{Row, TenantTx};
use crate::db::upload_edits;
use crate::db::usage::{self, Amount};
use crate::domain::clock::Timestamp;
use crate::domain::content::{Edit, Extent};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, BlobId, ContentId, InstanceId, NodeId, UploadId};

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
    /// The file that was opened; none when there was none.
    pub node: Option<NodeId>,
    /// What that held then; none when it was empty.
    pub base: Option<ContentId>,
    /// Whether it is all that the file will hold; else it is laid over what the file holds when it
    /// is published.
    pub whole: bool,
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
         hash_state, reserved_bytes, reserved_files, touched_at, node, base, whole) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
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
            upload.node.map(|node| node.as_bytes().to_vec()).into(),
            upload.base.map(|base| base.as_bytes().to_vec()).into(),
            i64::from(upload.whole).into(),
        ],
    )
    .await?;
    Ok(())
}

/// An upload, if it is written down.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(tx: &mut TenantTx, id: UploadId) -> Result<Option<Upload>> {
    let row = tx
        .row(
            "SELECT id, epoch, instance, account, parent, name, size, hash_state, reserved_bytes, \
             reserved_files, touched_at, node, base, whole FROM uploads \
             WHERE tenant = $1 AND id = $2",
            [id.as_bytes().into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// What a checkpoint makes durable in the database.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Bytes that are durable now.
    pub size: u64,
    /// State of the SHA-256 over them.
    pub hash_state: Option<Vec<u8>>,
    /// All that was done and is durable now.
    pub edits: Vec<Edit>,
    /// The blobs that this upload made for it.
    pub blobs: Vec<BlobInfo>,
    /// All blobs that its writer gives up itself, in the end: those that nothing of it names any more stay as if
    /// they were still being written.
    pub made: Vec<BlobId>,
    /// The blob that is not finished, if it is among them.
    pub unfinished: Option<Unfinished>,
    /// What is to be reserved from now on, in all.
    pub reserved: Amount,
}

/// A blob without its last frame.
#[derive(Clone, Debug)]
pub enum Unfinished {
    /// Its object is complete as it is.
    Halted(BlobId),
    /// It is in the making; the store's notes make its durable part readable.
    InTheMaking(BlobId, Vec<u8>),
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
    let old = upload_edits::load(tx, id).await?;
    // What was there and is stays linked; a blob that has grown or ended meanwhile is noted again.
    let noted = noted_blobs(tx, id).await?;
    let stored: HashMap<_, _> = progress.blobs.iter().map(|info| (info.id, info)).collect();
    let is_settled = |edit: &Edit| {
        let blob = edit.run().and_then(|run| run.blob);
        let info = blob.and_then(|blob| stored.get(&blob));
        info.is_none_or(|info| noted.get(&info.id) == Some(&(info.size, info.finished)))
    };
    let same = old.iter().zip(&progress.edits);
    let same = same.take_while(|(old, new)| old == new && is_settled(new));
    let same = same.count();
    let (gone, new) = (old.get(same..), progress.edits.get(same..));
    link_runs(tx, &runs(new.unwrap_or_default()), &progress.blobs, at).await?;
    match &progress.unfinished {
        Some(Unfinished::Halted(blob)) => blobs::set_halted(tx, *blob).await?,
        Some(Unfinished::InTheMaking(blob, notes)) => {
            blobs::set_checkpoint(tx, *blob, notes).await?;
        }
        None => {}
    }
    let gone = runs(gone.unwrap_or_default());
    unlink_runs(tx, &gone, at).await?;
    let gone: BTreeSet<_> = gone.iter().filter_map(|run| run.blob).collect();
    for blob in progress.made.iter().filter(|blob| gone.contains(blob)) {
        blobs::spare(tx, *blob, upload.instance, at).await?;
    }
    upload_edits::replace(tx, id, &old, &progress.edits).await?;
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

/// How long the blobs are that an upload names, and whether they are finished, as their rows say.
async fn noted_blobs(tx: &mut TenantTx, id: UploadId) -> Result<HashMap<BlobId, (u64, bool)>> {
    let rows = tx
        .rows(
            "SELECT b.id, b.size, b.finished FROM blobs b WHERE b.tenant = $1 AND b.id IN (\
             SELECT blob FROM upload_edits WHERE tenant = $1 AND upload = $2)",
            [id.as_bytes().into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let id = BlobId::from_slice(&row.bytes(0)?)?;
            Ok((id, (row.count(1)?, row.int(2)? != 0)))
        })
        .collect()
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

/// Marks an upload as broken off and kept, if it still belongs to `epoch`. Whoever held it can do
/// nothing more.
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

/// Has the quota hold back for an upload no more than what is durable of it, beyond `credit` bytes that come free
/// when it is published.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn hold_back_durable(tx: &mut TenantTx, upload: &Upload, credit: u64) -> Result<()> {
    let durable = i64::try_from(upload.size.saturating_sub(credit)).unwrap_or(i64::MAX);
    let held = upload.reserved.bytes;
    let bytes = durable.clamp(0, held.max(0));
    if bytes == held {
        return Ok(());
    }
    tx.execute(
        "UPDATE uploads SET reserved_bytes = $3 WHERE tenant = $1 AND id = $2",
        [upload.id.as_bytes().into(), bytes.into()],
    )
    .await?;
    let back = Amount {
        bytes: bytes - held,
        files: 0,
    };
    usage::charge(tx, Some(upload.account), Amount::default(), back).await
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

/// Ends an upload whoever writes it: that one can do nothing more. Nothing happens when there is none.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn discard(tx: &mut TenantTx, id: UploadId, at: Timestamp) -> Result<()> {
    match find(tx, id).await? {
        Some(upload) => remove(tx, &upload, at).await,
        None => Ok(()),
    }
}

async fn owned(tx: &mut TenantTx, id: UploadId, epoch: i64) -> Result<Upload> {
    let upload = find(tx, id).await?;
    upload
        .filter(|upload| upload.epoch == epoch)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Stale,
                "this upload has expired or goes on elsewhere; open the file again",
            )
        })
}

/// Removes an upload with all that it names.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn remove(tx: &mut TenantTx, upload: &Upload, at: Timestamp) -> Result<()> {
    let old = upload_edits::load(tx, upload.id).await?;
    unlink_runs(tx, &runs(&old), at).await?;
    upload_edits::replace(tx, upload.id, &old, &[]).await?;
    tx.execute(
        "DELETE FROM uploads WHERE tenant = $1 AND id = $2",
        [upload.id.as_bytes().into()],
    )
    .await?;
    let back = upload.reserved.negated();
    usage::charge(tx, Some(upload.account), Amount::default(), back).await
}

/// The same in pieces, since a client makes as many edits as it likes: of one with more than `room`, of which those that
/// go are taken, only the last ones go. The rest is left as an upload that expired: nobody finds it, and whoever wrote
/// it can do nothing more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn remove_within(
    tx: &mut TenantTx,
    upload: &Upload,
    at: Timestamp,
    room: &mut usize,
) -> Result<()> {
    let last = upload_edits::last(tx, upload.id, room.saturating_add(1)).await?;
    if last.len() <= *room {
        *room -= last.len();
        return remove(tx, upload, at).await;
    }
    let gone: Vec<_> = last.into_iter().take(std::mem::take(room)).collect();
    let edits: Vec<_> = gone.iter().map(|(_, edit)| *edit).collect();
    unlink_runs(tx, &runs(&edits), at).await?;
    if let Some((first, _)) = gone.last() {
        upload_edits::cut(tx, upload.id, *first).await?;
    }
    tx.execute(
        "UPDATE uploads SET epoch = epoch + 1, instance = $3, parent = $3, name = '', size = 0, \
         hash_state = NULL, node = NULL, base = NULL, touched_at = 0 WHERE tenant = $1 AND id = $2",
        [upload.id.as_bytes().into(), NodeId::NIL.as_bytes().into()],
    )
    .await?;
    tx.execute(
        "DELETE FROM addressed_uploads WHERE tenant = $1 AND upload = $2",
        [upload.id.as_bytes().into()],
    )
    .await
    .map(drop)
}

fn runs(edits: &[Edit]) -> Vec<Extent> {
    edits.iter().filter_map(Edit::run).copied().collect()
}

/// Columns: id, epoch, instance, account, parent, name, size, hash_state, reserved_bytes,
/// reserved_files, touched_at, node, base, whole.
pub(in crate::db) fn read(row: &Row) -> Result<Upload> {
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
        node: row
            .opt_bytes(11)?
            .map(|id| NodeId::from_slice(&id))
            .transpose()?,
        base: row
            .opt_bytes(12)?
            .map(|id| ContentId::from_slice(&id))
            .transpose()?,
        whole: row.int(13)? != 0,
    })
}
