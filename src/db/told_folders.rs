//! Folders that have a name now which is not temporary any more. Nothing was told of the files in them, so each
//! of these is told as stored: one row is written down in the change that renames the folder, and what lies
//! below it is told part by part after that, as it was then.

use serde_json::{Map, Value as Json};

use crate::db::deliveries::{self, Place};
use crate::db::entries::{self, Moment};
use crate::db::sql::{Row, TenantTx};
use crate::db::webhooks::Webhook;
use crate::db::{contents, locks, outbox};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{ContentId, NodeId};
use crate::domain::news::News;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::principal::Actor;
use crate::domain::temporary::TemporaryNames;

/// How much is done in one transaction: a file counts as one, what it takes to look into a folder as more.
const WORK: usize = 1_000;
const FOLDER: usize = 20;
/// Fewer are not asked for at once.
const FEWEST: usize = 100;

/// A folder of which not all is told.
struct Folder {
    number: i64,
    node: NodeId,
    seq: i64,
    at: Timestamp,
    path: String,
    from: String,
    done_to: String,
    data: String,
}

/// Writes down that the files below a folder are to be told of, which line `number` of the audit log renamed.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn insert(
    tx: &mut TenantTx,
    (number, change): (i64, Committed),
    actor: &Actor,
    news: News,
) -> Result<()> {
    let (Some(node), Some(path), Some(from)) = (news.below, news.path, news.from) else {
        return Err(Error::internal("a folder to be told of without a place"));
    };
    let mut data = news.facts;
    data.insert("protocol".to_owned(), actor.protocol.as_str().into());
    if let Some(address) = actor.address {
        data.insert("address".to_owned(), address.to_string().into());
    }
    data.insert("change".to_owned(), change.seq.into());
    let folder = Folder {
        number,
        node,
        seq: change.seq,
        at: change.at,
        path,
        from,
        done_to: String::new(),
        data: Json::Object(data).to_string(),
    };
    add(tx, &folder).await
}

/// Tells of the next files of such folders, about 1,000 of them; says whether there were any folders. In a
/// transaction that writes: what it does and where it goes on are committed together, so that each file is
/// told once, whoever dies on the way.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn tell(
    tx: &mut TenantTx,
    hidden: &TemporaryNames,
    to: &[Webhook],
    now: Timestamp,
) -> Result<bool> {
    if next(tx).await?.is_none() {
        return Ok(false);
    }
    // One instance after the other.
    let lock = "UPDATE webhook_tenants SET told = told WHERE tenant = $1";
    if tx.execute(lock, []).await? == 0 {
        return Ok(false);
    }
    let Some(first) = next(tx).await? else {
        return Ok(false);
    };
    let number = first.number;
    let row = tx
        .row(
            "SELECT max(part) FROM outbox WHERE tenant = $1 AND number = $2",
            [number.into()],
        )
        .await?;
    let part = row.map_or(Ok(None), |row| row.opt_int(0))?.unwrap_or(-1);
    let before = Place { number, part };
    let (mut last, mut work) = (before, 0);
    let mut at = Some(first);
    while let Some(folder) = at.filter(|folder| folder.number == number && work < WORK) {
        let limit = (WORK - work).max(FEWEST);
        work += FOLDER + look_into(tx, hidden, &folder, &mut last, limit).await?;
        at = next(tx).await?;
    }
    deliveries::deliver(tx, to, now, (before, number)).await?;
    Ok(true)
}

/// Tells of what is next in a folder, behind `last`; says how much that was.
async fn look_into(
    tx: &mut TenantTx,
    hidden: &TemporaryNames,
    folder: &Folder,
    last: &mut Place,
    limit: usize,
) -> Result<usize> {
    let moment = Moment::At(folder.seq);
    let mut page = entries::page(tx, folder.node, &folder.done_to, limit, moment).await?;
    // One that changes between the two looks at it, of which a page is made, is in both.
    page.dedup_by(|one, before| one.name == before.name);
    let place = [folder.number.into(), folder.node.as_bytes().into()];
    let Some(end) = page.last().map(|entry| entry.name.clone()) else {
        let sql = "DELETE FROM told_folders WHERE tenant = $1 AND number = $2 AND node = $3";
        tx.execute(sql, place).await?;
        return Ok(0);
    };
    let [number, node] = place;
    tx.execute(
        "UPDATE told_folders SET done_to = $4 WHERE tenant = $1 AND number = $2 AND node = $3",
        [number, node, end.as_str().into()],
    )
    .await?;
    let done = page.len();
    page.retain(|entry| !hidden.hide(&entry.name));
    let ids: Vec<ContentId> = page.iter().filter_map(|entry| entry.content).collect();
    let sums = contents::sha256_of(tx, &ids).await?;
    for entry in page {
        let (path, from) = (
            format!("{}/{}", folder.path, entry.name),
            format!("{}/{}", folder.from, entry.name),
        );
        if entry.kind == NodeKind::Folder {
            let below = Folder {
                node: entry.node,
                path,
                from,
                done_to: String::new(),
                data: folder.data.clone(),
                ..*folder
            };
            add(tx, &below).await?;
            continue;
        }
        if locks::made(tx, &entry).await? {
            continue;
        }
        last.part += 1;
        let sum = entry.content.and_then(|content| sums.get(&content));
        let data = of_file(&folder.data, &entry, sum)?;
        let letter = outbox::of_file(*last, folder.at, (path, from), data);
        outbox::insert(tx, letter).await?;
    }
    Ok(done)
}

fn of_file(common: &str, entry: &Entry, sum: Option<&[u8; 32]>) -> Result<Map<String, Json>> {
    let mut data: Map<String, Json> = serde_json::from_str(common).map_err(Error::internal)?;
    data.insert("node".to_owned(), entry.node.to_string().into());
    data.insert("size".to_owned(), entry.size.into());
    let sum = sum.map(|sum| data_encoding::HEXLOWER.encode(sum));
    data.insert("sha256".to_owned(), sum.into());
    Ok(data)
}

async fn add(tx: &mut TenantTx, folder: &Folder) -> Result<()> {
    tx.execute(
        "INSERT INTO told_folders (tenant, number, node, seq, at, path, from_path, done_to, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            folder.number.into(),
            folder.node.as_bytes().into(),
            folder.seq.into(),
            folder.at.0.into(),
            folder.path.as_str().into(),
            folder.from.as_str().into(),
            folder.done_to.as_str().into(),
            folder.data.as_str().into(),
        ],
    )
    .await?;
    Ok(())
}

async fn next(tx: &mut TenantTx) -> Result<Option<Folder>> {
    let row = tx
        .row(
            "SELECT number, node, seq, at, path, from_path, done_to, data FROM told_folders \
             WHERE tenant = $1 ORDER BY number, node LIMIT 1",
            [],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Folder> {
    Ok(Folder {
        number: row.int(0)?,
        node: NodeId::from_slice(&row.bytes(1)?)?,
        seq: row.int(2)?,
        at: Timestamp(row.int(3)?),
        path: row.text(4)?,
        from: row.text(5)?,
        done_to: row.text(6)?,
        data: row.text(7)?,
    })
}
