//! What is to be told to others, written down in the transaction in which it happens.

use serde_json::{Map, Value as Json};

use crate::db::audit::AuditRecord;
use crate::db::deliveries::Place;
use crate::db::sql::TenantTx;
use crate::db::value::Value;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::id::EventId;
use crate::domain::news::{Listening, News};
use crate::domain::topic::Topic;

/// Something to tell: number, part, id, topic, at, only_to, path, from_path, data.
pub(in crate::db) struct Letter([Value; 9]);

/// What anybody wants to be told of the news of one line of the audit log.
pub(in crate::db) fn letters(
    listening: Option<&Listening>,
    record: &AuditRecord,
    news: Vec<News>,
) -> Vec<Letter> {
    let is_wanted =
        |one: &News| one.only.is_some() || listening.is_some_and(|all| all.wants(one.topic));
    let wanted = news.into_iter().filter(is_wanted).zip(0_i64..);
    wanted
        .map(|(one, part)| letter(record, one, part))
        .collect()
}

fn letter(record: &AuditRecord, news: News, part: i64) -> Letter {
    let mut data = news.facts;
    let mut say = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            data.insert(name.to_owned(), value.into());
        }
    };
    say("path", news.path.as_deref());
    say("from", news.from.as_deref());
    say("protocol", Some(&record.protocol));
    say("address", record.address.as_deref());
    if let Some(seq) = record.seq {
        data.insert("change".to_owned(), seq.into());
    }
    Letter([
        record.number.into(),
        part.into(),
        EventId::mint(record.at).as_bytes().into(),
        news.topic.bit().into(),
        record.at.0.into(),
        news.only.map(|id| id.as_bytes().to_vec()).into(),
        news.path.into(),
        news.from.into(),
        Json::Object(data).to_string().as_str().into(),
    ])
}

/// What is to be told of a file as one of many: what all of them have in common is in `data`.
pub(in crate::db) fn of_file(
    place: Place,
    at: Timestamp,
    (path, from): (String, String),
    mut data: Map<String, Json>,
) -> Letter {
    data.insert("path".to_owned(), path.as_str().into());
    data.insert("from".to_owned(), from.as_str().into());
    Letter([
        place.number.into(),
        place.part.into(),
        EventId::mint(at).as_bytes().into(),
        Topic::FileStored.bit().into(),
        at.0.into(),
        None::<Vec<u8>>.into(),
        Some(path).into(),
        Some(from).into(),
        Json::Object(data).to_string().as_str().into(),
    ])
}

/// Writes one down.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn insert(tx: &mut TenantTx, letter: Letter) -> Result<()> {
    tx.execute(
        "INSERT INTO outbox (tenant, number, part, id, topic, at, only_to, path, from_path, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        letter.0,
    )
    .await?;
    Ok(())
}

/// Letters by columns, as lists.
pub(in crate::db) fn columns(letters: Vec<Letter>) -> Vec<Value> {
    let (bytes, ints) = (
        || Value::ManyBytes(Vec::new()),
        || Value::ManyInts(Vec::new()),
    );
    let texts = || Value::ManyTexts(Vec::new());
    let mut columns = vec![
        ints(),
        ints(),
        bytes(),
        ints(),
        ints(),
        bytes(),
        texts(),
        texts(),
        texts(),
    ];
    for letter in letters {
        let cells = columns.iter_mut().zip(letter.0);
        cells.for_each(|(column, value)| column.push(value));
    }
    columns
}

/// Forgets what was told to everybody, and whose deliveries are forgotten too.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, before: Timestamp) -> Result<u64> {
    tx.execute(
        "DELETE FROM outbox WHERE tenant = $1 AND at < $2 \
         AND number <= (SELECT told FROM webhook_tenants t WHERE t.tenant = $1) \
         AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.tenant = $1 \
         AND d.number = outbox.number AND d.part = outbox.part)",
        [before.0.into()],
    )
    .await
}
