//! Downloads that were counted for a link: what goes on with one, from the same address, of the same
//! version of a file, is not counted again. All that decides is one statement that changes a row under a
//! condition, so that two instances never both take the last.

use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{DownloadId, LinkId};
use crate::domain::node::Version;

/// A part of a file that somebody is to be sent.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// By which link.
    pub link: LinkId,
    /// To whom: an address, or what counts as one.
    pub client: String,
    /// Which version of which file.
    pub version: Version,
    /// How long the file is.
    pub size: u64,
    /// With which byte the part begins.
    pub from: u64,
    /// How long the part is.
    pub length: u64,
}

/// A download that was counted, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted(DownloadId);

/// Finds a download that goes on with this part, touched since `since`: from its first byte, if that is
/// not being sent and less than half of the file was before; from a later one, if no more than the file's
/// length was asked for so.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn go_on(
    tx: &mut TenantTx,
    wanted: &Wanted,
    since: Timestamp,
    now: Timestamp,
) -> Result<Option<Counted>> {
    let [link, client, node, born] = [
        wanted.link.as_bytes().into(),
        wanted.client.as_str().into(),
        wanted.version.node.as_bytes().into(),
        wanted.version.born.into(),
    ];
    let (since, now) = (since.0.into(), now.0.into());
    let row = match wanted.from {
        0 => {
            let sql = "UPDATE link_downloads SET under_way = 1, touched_at = $7 \
                       WHERE tenant = $1 AND under_way = 0 AND sent_first * 2 < size \
                       AND id = (SELECT id FROM link_downloads WHERE tenant = $1 AND link = $2 \
                       AND client = $3 AND node = $4 AND born = $5 AND touched_at > $6 \
                       AND under_way = 0 AND sent_first * 2 < size \
                       ORDER BY touched_at DESC LIMIT 1) RETURNING id";
            tx.row(sql, [link, client, node, born, since, now]).await?
        }
        _ => {
            let sql = "UPDATE link_downloads SET sent_later = sent_later + $8, touched_at = $7 \
                       WHERE tenant = $1 AND sent_later + $8 <= size \
                       AND id = (SELECT id FROM link_downloads WHERE tenant = $1 AND link = $2 \
                       AND client = $3 AND node = $4 AND born = $5 AND touched_at > $6 \
                       AND sent_later + $8 <= size \
                       ORDER BY touched_at DESC LIMIT 1) RETURNING id";
            let length = number(wanted.length)?.into();
            tx.row(sql, [link, client, node, born, since, now, length])
                .await?
        }
    };
    row.map(|row| Ok(Counted(DownloadId::from_slice(&row.bytes(0)?)?)))
        .transpose()
}

/// Counts a download, if the link has not ended and any is left.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn take(tx: &mut TenantTx, link: LinkId, now: Timestamp) -> Result<bool> {
    let taken = tx
        .execute(
            "UPDATE links SET uses = uses + 1, used_at = $3 WHERE tenant = $1 AND id = $2 \
             AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3) \
             AND (max_uses IS NULL OR uses < max_uses)",
            [link.as_bytes().into(), now.0.into()],
        )
        .await?;
    Ok(taken > 0)
}

/// Notes a download that was counted, for others to go on with.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn begin(tx: &mut TenantTx, wanted: &Wanted, now: Timestamp) -> Result<Counted> {
    let id = DownloadId::mint(now);
    let later = match wanted.from {
        0 => 0,
        _ => number(wanted.length)?,
    };
    tx.execute(
        "INSERT INTO link_downloads (tenant, id, link, client, node, born, size, under_way, \
         sent_first, sent_later, touched_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10)",
        [
            id.as_bytes().into(),
            wanted.link.as_bytes().into(),
            wanted.client.as_str().into(),
            wanted.version.node.as_bytes().into(),
            wanted.version.born.into(),
            number(wanted.size)?.into(),
            i64::from(wanted.from == 0).into(),
            later.into(),
            now.0.into(),
        ],
    )
    .await?;
    Ok(Counted(id))
}

/// Notes that the sending of a part has ended, after so many bytes of it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn end(
    tx: &mut TenantTx,
    counted: Counted,
    wanted: &Wanted,
    sent: u64,
    now: Timestamp,
) -> Result<()> {
    let sql = match wanted.from {
        0 => {
            "UPDATE link_downloads SET under_way = 0, sent_first = sent_first + $3, touched_at = $4 \
             WHERE tenant = $1 AND id = $2"
        }
        _ => {
            "UPDATE link_downloads SET sent_later = sent_later - $3, touched_at = $4 \
             WHERE tenant = $1 AND id = $2"
        }
    };
    let moved = match wanted.from {
        0 => sent,
        _ => wanted.length.saturating_sub(sent),
    };
    tx.execute(
        sql,
        [
            counted.0.as_bytes().into(),
            number(moved)?.into(),
            now.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Whether a client has begun a download by a link since `since`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn has_any(
    tx: &mut TenantTx,
    link: LinkId,
    client: &str,
    since: Timestamp,
) -> Result<bool> {
    let row = tx
        .row(
            "SELECT 1 FROM link_downloads WHERE tenant = $1 AND link = $2 AND client = $3 \
             AND touched_at > $4 LIMIT 1",
            [link.as_bytes().into(), client.into(), since.0.into()],
        )
        .await?;
    Ok(row.is_some())
}

/// Forgets those that nobody goes on with any more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, until: Timestamp) -> Result<u64> {
    tx.execute(
        "DELETE FROM link_downloads WHERE tenant = $1 AND touched_at <= $2",
        [until.0.into()],
    )
    .await
}

fn number(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(Error::internal)
}
