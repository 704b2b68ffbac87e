//! Uploads that broke off and are kept: found, taken over, renamed, discarded.
//!
//! One broke off when its connection did, or when the lease of the instance that wrote it is over.
//! A lease's clock only says that it may be taken over; who has its epoch may write.

use std::collections::BTreeMap;

use crate::db::blobs::BlobInfo;
use crate::db::sql::TenantTx;
use crate::db::uploads::{self, Upload, read};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, BlobId, ContentId, InstanceId, NodeId, RegionId, UploadId};

/// The upload of an account that broke off and that a name means: of the live file `node`, which the
/// name leads to, else under the name itself. None when nothing of it is durable, unless it was to
/// replace that file: to whoever sent it the old bytes are gone, and what is sent from their end on
/// must not be laid behind them.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(
    tx: &mut TenantTx,
    account: AccountId,
    parent: NodeId,
    name: &str,
    node: Option<NodeId>,
    now: Timestamp,
) -> Result<Option<Upload>> {
    let row = tx
        .row(
            "SELECT u.id, u.epoch, u.instance, u.account, u.parent, u.name, u.size, u.hash_state, \
             u.reserved_bytes, u.reserved_files, u.touched_at, u.node, u.base, u.whole \
             FROM uploads u WHERE u.tenant = $1 AND u.account = $2 \
             AND (u.size > 0 OR (u.whole = 1 AND u.node = $3)) \
             AND (u.node = $3 OR (u.parent = $4 AND u.name = $5 AND u.whole = 1 AND NOT EXISTS (\
             SELECT 1 FROM entries e WHERE e.tenant = $1 AND e.node = u.node))) \
             AND (u.instance = $6 \
             OR u.instance NOT IN (SELECT id FROM instances WHERE lease_until > $7)) \
             ORDER BY u.touched_at DESC, u.id DESC LIMIT 1",
            [
                account.0.into(),
                node.unwrap_or(NodeId::NIL).as_bytes().into(),
                parent.as_bytes().into(),
                name.into(),
                InstanceId::NIL.as_bytes().into(),
                now.0.into(),
            ],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Whether an account is sending a whole file, through a connection that lives, under a name; or anything into
/// the file `node`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn is_held(
    tx: &mut TenantTx,
    account: AccountId,
    (parent, name): (NodeId, &str),
    node: Option<NodeId>,
    now: Timestamp,
) -> Result<bool> {
    let row = tx
        .row(
            "SELECT epoch FROM uploads WHERE tenant = $1 AND account = $2 \
             AND ((parent = $3 AND name = $4 AND whole = 1) OR node = $6) \
             AND instance IN (SELECT id FROM instances WHERE lease_until > $5) LIMIT 1",
            [
                account.0.into(),
                parent.as_bytes().into(),
                name.into(),
                now.0.into(),
                node.unwrap_or(NodeId::NIL).as_bytes().into(),
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// Whether an account has broken off anything.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn any(tx: &mut TenantTx, account: AccountId, now: Timestamp) -> Result<bool> {
    let row = tx
        .row(
            "SELECT epoch FROM uploads WHERE tenant = $1 AND account = $2 \
             AND (instance = $3 \
             OR instance NOT IN (SELECT id FROM instances WHERE lease_until > $4)) LIMIT 1",
            [
                account.0.into(),
                InstanceId::NIL.as_bytes().into(),
                now.0.into(),
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// Which uploads a page of a folder shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Whose.
    pub account: AccountId,
    /// Where.
    pub folder: NodeId,
    /// Behind which name the page begins.
    pub after: &'a str,
    /// Its last name; none when it goes on to the end.
    pub to: Option<&'a str>,
    /// What leases are compared with.
    pub now: Timestamp,
}

macro_rules! shown {
    ($name:literal, $from:literal, $is_it:literal) => {
        concat!(
            "SELECT u.id, u.epoch, u.instance, u.account, u.parent, u.name, u.size, u.hash_state, \
             u.reserved_bytes, u.reserved_files, u.touched_at, u.node, u.base, u.whole, ",
            $name,
            " FROM ",
            $from,
            " AND ",
            $name,
            " > $3 AND (CAST($4 AS text) IS NULL OR ",
            $name,
            " <= $4) AND ",
            $is_it,
            " AND (u.instance = $6 \
             OR u.instance NOT IN (SELECT id FROM instances WHERE lease_until > $7)) \
             ORDER BY ",
            $name,
            ", u.touched_at DESC, u.id DESC LIMIT $8"
        )
    };
}

/// Those of files that are live there, under the names of these.
const OF_FILES: &str = shown!(
    "e.name",
    "entries e CROSS JOIN uploads u WHERE e.tenant = $1 AND e.parent = $2",
    "u.tenant = $1 AND u.account = $5 AND u.node = e.node AND (u.size > 0 OR u.whole = 1)"
);
/// Those under names there, with nothing live that they were opened on.
const OF_NAMES: &str = shown!(
    "u.name",
    "uploads u WHERE u.tenant = $1 AND u.account = $5 AND u.parent = $2",
    "u.whole = 1 AND u.size > 0 \
     AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.tenant = $1 AND e.node = u.node)"
);

/// The uploads that broke off and that [`find`] finds by the names of a page, and the name up to which these are all:
/// nearer than the page's last when there are more than `limit`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(
    tx: &mut TenantTx,
    shown: Shown<'_>,
    limit: usize,
) -> Result<(BTreeMap<String, Upload>, Option<String>)> {
    let mut latest: BTreeMap<String, Upload> = BTreeMap::new();
    let mut to = shown.to.map(str::to_owned);
    for sql in [OF_FILES, OF_NAMES] {
        let args = [
            shown.folder.as_bytes().into(),
            shown.after.into(),
            to.clone().into(),
            shown.account.0.into(),
            InstanceId::NIL.as_bytes().into(),
            shown.now.0.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let rows = tx.rows(sql, args).await?;
        for row in &rows {
            let (upload, name) = (read(row)?, row.text(14)?);
            // Of each name the latest comes first; what else there is of the last name does not count.
            if rows.len() == limit {
                to = Some(name.clone());
            }
            let is_later =
                |other: &Upload| (upload.touched_at, upload.id) > (other.touched_at, other.id);
            if latest.get(&name).is_none_or(is_later) {
                latest.insert(name, upload);
            }
        }
    }
    if let Some(to) = &to {
        latest.retain(|name, _| name <= to);
    }
    Ok((latest, to))
}

/// The blobs that an upload names, with the store's notes on those in the making.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn blobs(
    tx: &mut TenantTx,
    upload: UploadId,
) -> Result<Vec<(BlobInfo, Option<Vec<u8>>)>> {
    let rows = tx
        .rows(
            "SELECT b.id, b.size, b.finished, b.key_version, b.region, b.checkpoint FROM blobs b \
             WHERE b.tenant = $1 AND b.id IN (SELECT blob FROM upload_edits \
             WHERE tenant = $1 AND upload = $2) ORDER BY b.id",
            [upload.as_bytes().into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let info = BlobInfo {
                id: BlobId::from_slice(&row.bytes(0)?)?,
                size: row.count(1)?,
                finished: row.int(2)? != 0,
                key_version: u32::try_from(row.int(3)?).map_err(Error::internal)?,
                region: RegionId(row.int(4)?),
            };
            Ok((info, row.opt_bytes(5)?))
        })
        .collect()
}

/// Gives an upload that broke off at `epoch` to an instance, under the next epoch. `holder`, drawn at
/// random, tells a second attempt of the same take-over from another's.
///
/// # Errors
/// Stale when it was taken over before, or is gone.
pub async fn take_over(
    tx: &mut TenantTx,
    upload: UploadId,
    epoch: i64,
    instance: InstanceId,
    holder: [u8; 16],
    now: Timestamp,
) -> Result<()> {
    let taken = tx
        .execute(
            "UPDATE uploads SET epoch = $4, instance = $5, holder = $6 \
             WHERE tenant = $1 AND id = $2 AND ((epoch = $4 AND holder = $6) \
             OR (epoch = $3 AND (instance = $7 \
             OR instance NOT IN (SELECT id FROM instances WHERE lease_until > $8))))",
            [
                upload.as_bytes().into(),
                epoch.into(),
                (epoch + 1).into(),
                instance.as_bytes().into(),
                (&holder).into(),
                InstanceId::NIL.as_bytes().into(),
                now.0.into(),
            ],
        )
        .await?;
    match taken {
        0 => Err(Error::new(
            ErrorKind::Stale,
            "this upload goes on elsewhere; wait for that or send the file again",
        )),
        _ => Ok(()),
    }
}

/// Whether an upload was taken over under `epoch` by whom `holder` was drawn, and not let go since.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn is_held_by(
    tx: &mut TenantTx,
    upload: UploadId,
    epoch: i64,
    holder: [u8; 16],
) -> Result<bool> {
    let row = tx
        .row(
            "SELECT epoch FROM uploads \
             WHERE tenant = $1 AND id = $2 AND epoch = $3 AND holder = $4",
            [upload.as_bytes().into(), epoch.into(), (&holder).into()],
        )
        .await?;
    Ok(row.is_some())
}

/// How many uploads broke off and wait for whoever goes on with them.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn count(tx: &mut TenantTx) -> Result<u64> {
    let sql = "SELECT CAST(count(*) AS bigint) FROM uploads WHERE tenant = $1 AND instance = $2";
    let row = tx.row(sql, [InstanceId::NIL.as_bytes().into()]).await?;
    row.map_or(Ok(0), |row| row.count(0))
}

/// Gives an upload that nothing is published of another place, where the file `node` holds `base`, if
/// it still belongs to `epoch`.
///
/// # Errors
/// Stale when it was taken over meanwhile.
pub async fn rename(
    tx: &mut TenantTx,
    upload: UploadId,
    epoch: i64,
    (parent, name): (NodeId, &str),
    (node, base): (Option<NodeId>, Option<ContentId>),
) -> Result<()> {
    let renamed = tx
        .execute(
            "UPDATE uploads SET parent = $4, name = $5, node = $6, base = $7 \
             WHERE tenant = $1 AND id = $2 AND epoch = $3",
            [
                upload.as_bytes().into(),
                epoch.into(),
                parent.as_bytes().into(),
                name.into(),
                node.map(|node| node.as_bytes().to_vec()).into(),
                base.map(|base| base.as_bytes().to_vec()).into(),
            ],
        )
        .await?;
    match renamed {
        0 => Err(Error::new(
            ErrorKind::Stale,
            "this upload goes on elsewhere; wait for that and try again",
        )),
        _ => Ok(()),
    }
}

/// Has all uploads of a file go with it to another place.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn follow(tx: &mut TenantTx, node: NodeId, (parent, name): (NodeId, &str)) -> Result<()> {
    tx.execute(
        "UPDATE uploads SET parent = $3, name = $4 WHERE tenant = $1 AND node = $2",
        [
            node.as_bytes().into(),
            parent.as_bytes().into(),
            name.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Discards what an account broke off under a name or of the file that was there.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn discard(
    tx: &mut TenantTx,
    account: AccountId,
    (parent, name): (NodeId, &str),
    node: Option<NodeId>,
    at: Timestamp,
) -> Result<()> {
    let rows = tx
        .rows(
            "SELECT id, epoch, instance, account, parent, name, size, hash_state, reserved_bytes, \
             reserved_files, touched_at, node, base, whole FROM uploads \
             WHERE tenant = $1 AND account = $2 \
             AND (node = $5 OR (parent = $3 AND name = $4)) \
             AND (instance = $6 \
             OR instance NOT IN (SELECT id FROM instances WHERE lease_until > $7)) \
             ORDER BY id",
            [
                account.0.into(),
                parent.as_bytes().into(),
                name.into(),
                node.unwrap_or(NodeId::NIL).as_bytes().into(),
                InstanceId::NIL.as_bytes().into(),
                at.0.into(),
            ],
        )
        .await?;
    for row in &rows {
        uploads::remove(tx, &read(row)?, at).await?;
    }
    Ok(())
}

/// Discards up to `limit` uploads that broke off and have not moved since `until`, as `uploads::remove_within` has
/// room for. False when there may be more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn expire(
    tx: &mut TenantTx,
    until: Timestamp,
    at: Timestamp,
    limit: i64,
    room: &mut usize,
) -> Result<bool> {
    let rows = tx
        .rows(
            "SELECT id, epoch, instance, account, parent, name, size, hash_state, reserved_bytes, \
             reserved_files, touched_at, node, base, whole FROM uploads \
             WHERE tenant = $1 AND instance = $2 AND touched_at <= $3 LIMIT $4",
            [
                InstanceId::NIL.as_bytes().into(),
                until.0.into(),
                limit.into(),
            ],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::query_plan;

    #[tokio::test]
    async fn what_a_page_shows_is_found_by_name_without_looking_at_the_rest() {
        let indexes = [
            (OF_FILES, "uploads_node (tenant=? AND account=? AND node=?)"),
            (
                OF_NAMES,
                "uploads_name (tenant=? AND account=? AND parent=? AND name>?)",
            ),
        ];
        for (sql, index) in indexes {
            let args = [
                NodeId::NIL.as_bytes().into(),
                "".into(),
                Some("z".to_owned()).into(),
                1_i64.into(),
                InstanceId::NIL.as_bytes().into(),
                1_i64.into(),
                1_i64.into(),
            ];
            let steps = query_plan::steps(sql, args).await;
            assert!(steps.iter().any(|step| step.contains(index)), "{steps:?}");
            let sorts = |step: &&String| step.contains("TEMP B-TREE");
            // Only those of one name.
            let sorts: Vec<_> = steps.iter().filter(sorts).collect();
            assert!(
                sorts.iter().all(|step| step.contains("LAST 2 TERMS")),
                "{steps:?}"
            );
        }
    }
}
