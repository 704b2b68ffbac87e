//! Uploads whose instance is gone: they broke off, and hold back no more of a quota than what is durable.

use crate::db::sql::{Row, TenantTx};
use crate::db::uploads::{self, Upload, read};
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, InstanceId, NodeId};

/// Marks up to `limit` uploads as broken off whose instance's lease is over; removes those of which there is
/// nothing to go on from, as `uploads::remove_within` has room for. False when there may be more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn release(
    tx: &mut TenantTx,
    now: Timestamp,
    limit: i64,
    room: &mut usize,
) -> Result<bool> {
    let rows = tx
        .rows(
            "SELECT u.id, u.epoch, u.instance, u.account, u.parent, u.name, u.size, u.hash_state, \
             u.reserved_bytes, u.reserved_files, u.touched_at, u.node, u.base, u.whole, \
             e.size, e.owner, CAST(CASE WHEN u.parent = $2 AND EXISTS (SELECT 1 \
             FROM addressed_uploads a WHERE a.tenant = $1 AND a.upload = u.id AND a.kind <> 4) \
             THEN 1 ELSE 0 END AS bigint) \
             FROM uploads u LEFT JOIN entries e ON e.tenant = $1 AND e.node = u.node \
             WHERE u.tenant = $1 AND u.instance <> $3 \
             AND u.instance NOT IN (SELECT id FROM instances WHERE lease_until > $4) \
             ORDER BY u.id LIMIT $5",
            [
                NodeId::NIL.as_bytes().into(),
                InstanceId::NIL.as_bytes().into(),
                now.0.into(),
                limit.into(),
            ],
        )
        .await?;
    for row in &rows {
        if *room == 0 {
            return Ok(false);
        }
        let orphan = Orphan::read(row)?;
        match orphan.is_of_use() {
            true => orphan.release(tx).await?,
            false => uploads::remove_within(tx, &orphan.upload, now, room).await?,
        }
    }
    Ok(*room > 0 && rows.len() < usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Discards up to `limit` changes that broke off and whose file is deleted, as `uploads::remove_within` has room for:
/// nothing leads to them any more. False when there may be more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn discard_lost(
    tx: &mut TenantTx,
    at: Timestamp,
    limit: i64,
    room: &mut usize,
) -> Result<bool> {
    let rows = tx
        .rows(
            "SELECT u.id, u.epoch, u.instance, u.account, u.parent, u.name, u.size, u.hash_state, \
             u.reserved_bytes, u.reserved_files, u.touched_at, u.node, u.base, u.whole \
             FROM uploads u WHERE u.tenant = $1 AND u.instance = $2 AND u.whole = 0 \
             AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.tenant = $1 AND e.node = u.node) \
             ORDER BY u.id LIMIT $3",
            [InstanceId::NIL.as_bytes().into(), limit.into()],
        )
        .await?;
    for row in &rows {
        if *room == 0 {
            return Ok(false);
        }
        uploads::remove_within(tx, &read(row)?, at, room).await?;
    }
    Ok(*room > 0 && rows.len() < usize::try_from(limit).unwrap_or(usize::MAX))
}

struct Orphan {
    upload: Upload,
    /// Length and owner of the file that it was opened on, if that is live.
    file: Option<(i64, Option<AccountId>)>,
    /// Whether somebody knows an address of it.
    is_addressed: bool,
}

impl Orphan {
    fn read(row: &Row) -> Result<Self> {
        let owner = row.opt_int(15)?.map(AccountId);
        Ok(Self {
            upload: read(row)?,
            file: row.opt_int(14)?.map(|size| (size, owner)),
            is_addressed: row.int(16)? != 0,
        })
    }

    /// Whether something leads to it, and it is more than nothing: as that counts what was to replace a file.
    fn is_of_use(&self) -> bool {
        let has_place = self.upload.parent != NodeId::NIL;
        let replaces = self.upload.whole && self.file.is_some();
        self.is_addressed || (has_place && (self.upload.size > 0 || replaces))
    }

    async fn release(&self, tx: &mut TenantTx) -> Result<()> {
        let upload = &self.upload;
        tx.execute(
            "UPDATE uploads SET instance = $3, epoch = epoch + 1 WHERE tenant = $1 AND id = $2",
            [
                upload.id.as_bytes().into(),
                InstanceId::NIL.as_bytes().into(),
            ],
        )
        .await?;
        let own = self
            .file
            .filter(|(_, owner)| *owner == Some(upload.account));
        let credit = own.map_or(0, |(size, _)| size);
        uploads::hold_back_durable(tx, upload, u64::try_from(credit).unwrap_or(0)).await
    }
}
