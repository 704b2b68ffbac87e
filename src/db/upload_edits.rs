//! What uploads did to their contents so far, as it is durable.

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;

use crate::db::contents::{number, read_extent};
use crate::db::sql::{Row, TenantTx};
use crate::db::value::Value;
use crate::domain::content::{Edit, Extent};
use crate::domain::error::{Error, Result};
use crate::domain::id::UploadId;

/// Rows of one INSERT; its text is prepared once per number of rows.
const ROWS_PER_INSERT: usize = 64;

const APPEND: i64 = 1;
const LAY: i64 = 2;
const RESIZE: i64 = 3;

/// All edits of an upload, in order.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn load(tx: &mut TenantTx, upload: UploadId) -> Result<Vec<Edit>> {
    let rows = tx
        .rows(
            "SELECT start, length, blob, blob_start, kind FROM upload_edits \
             WHERE tenant = $1 AND upload = $2 ORDER BY number",
            [upload.as_bytes().into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Up to `limit` edits of an upload with their numbers, the last one first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn last(
    tx: &mut TenantTx,
    upload: UploadId,
    limit: usize,
) -> Result<Vec<(i64, Edit)>> {
    let rows = tx
        .rows(
            "SELECT start, length, blob, blob_start, kind, number FROM upload_edits \
             WHERE tenant = $1 AND upload = $2 ORDER BY number DESC LIMIT $3",
            [upload.as_bytes().into(), index(limit)?],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.int(5)?, read(row)?)))
        .collect()
}

/// Forgets the edits of an upload from a number on.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn cut(tx: &mut TenantTx, upload: UploadId, from: i64) -> Result<()> {
    tx.execute(
        "DELETE FROM upload_edits WHERE tenant = $1 AND upload = $2 AND number >= $3",
        [upload.as_bytes().into(), from.into()],
    )
    .await
    .map(drop)
}

/// Makes `new` of `old`, which is what there is. What they start with in common is left alone, since
/// a log grows at its end.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn replace(
    tx: &mut TenantTx,
    upload: UploadId,
    old: &[Edit],
    new: &[Edit],
) -> Result<()> {
    let same = old.iter().zip(new).take_while(|(old, new)| old == new);
    let same = same.count();
    if old.len() > same {
        let from = i64::try_from(same).map_err(Error::internal)?;
        cut(tx, upload, from).await?;
    }
    let rest = new.get(same..).unwrap_or_default();
    for (chunk, edits) in rest.chunks(ROWS_PER_INSERT).enumerate() {
        let first = same + chunk * ROWS_PER_INSERT;
        let mut sql = "INSERT INTO upload_edits \
             (tenant, upload, number, kind, start, length, blob, blob_start) VALUES "
            .to_owned();
        let mut args: Vec<Value> = vec![upload.as_bytes().into()];
        for (offset, edit) in edits.iter().enumerate() {
            let comma = if offset == 0 { "" } else { ", " };
            let n = 3 + offset * 6;
            // Writing to a String cannot fail.
            let _ = write!(
                sql,
                "{comma}($1, $2, ${n}, ${}, ${}, ${}, ${}, ${})",
                n + 1,
                n + 2,
                n + 3,
                n + 4,
                n + 5
            );
            let (kind, run) = match edit {
                Edit::Append(run) => (APPEND, *run),
                Edit::Lay(run) => (LAY, *run),
                Edit::Resize(size) => (RESIZE, length_only(*size)),
            };
            args.push(index(first + offset)?);
            args.push(kind.into());
            args.push(number(run.start)?);
            args.push(number(run.length)?);
            args.push(run.blob.map(|blob| blob.as_bytes().to_vec()).into());
            args.push(number(run.blob_start)?);
        }
        tx.execute_of(AssertSqlSafe(sql), args).await?;
    }
    Ok(())
}

fn read(row: &Row) -> Result<Edit> {
    let run = read_extent(row)?;
    match row.int(4)? {
        APPEND => Ok(Edit::Append(run)),
        LAY => Ok(Edit::Lay(run)),
        RESIZE => Ok(Edit::Resize(run.start)),
        kind => Err(Error::internal(format!("unknown kind of edit {kind}"))),
    }
}

fn length_only(size: u64) -> Extent {
    Extent {
        start: size,
        length: 0,
        blob: None,
        blob_start: 0,
    }
}

fn index(at: usize) -> Result<Value> {
    Ok(i64::try_from(at).map_err(Error::internal)?.into())
}
