//! What is sent to whom: a row for each webhook and each thing that it is to be told.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::db::sql::{Row, TenantTx};
use crate::db::value::Value;
use crate::db::webhooks::{Webhook, WebhookState};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{EventId, WebhookId};
use crate::domain::topic::{Topic, Topics};

/// Most that is spread in one transaction.
const SPREAD: i64 = 1_000;

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is sent when it is due.
    Waiting,
    /// The receiver has taken it.
    Delivered,
    /// It was given up, until somebody has it sent again.
    Dead,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];

    fn code(self) -> i64 {
        match self {
            Self::Waiting => 1,
            Self::Delivered => 2,
            Self::Dead => 3,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// Which delivery of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of the line in the audit log.
    pub number: i64,
    /// Which of the news of that line.
    pub part: i64,
}

/// `NUMBER-PART`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.part)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('-');
        let place = numbers.and_then(|(number, part)| {
            Some(Self {
                number: number.parse().ok()?,
                part: part.parse().ok()?,
            })
        });
        place.ok_or_else(|| Error::invalid(format!("'{text}' is no place of a delivery")))
    }
}

/// A delivery, with what is told.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Which.
    pub place: Place,
    /// By what receivers know it.
    pub event: EventId,
    /// What it is about; none is a later program's.
    pub topic: Option<Topic>,
    /// When that happened.
    pub at: Timestamp,
    /// What is said of it, as JSON.
    pub data: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: i64,
    /// From when on it is tried.
    pub since: Timestamp,
    /// When it is tried next.
    pub due_at: Timestamp,
    /// When it was delivered or given up.
    pub done_at: Option<Timestamp>,
    /// The receiver's last answer.
    pub status: Option<i64>,
    /// What came of the last try.
    pub said: Option<String>,
}

/// What came of a try.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of which delivery.
    pub place: Place,
    /// How far it is now.
    pub state: DeliveryState,
    /// When it is tried next, if it is.
    pub due_at: Timestamp,
    /// The receiver's answer.
    pub status: Option<i64>,
    /// What came of it, in words.
    pub said: String,
}

/// Makes deliveries of what was written down since the last time, up to 1,000 things; says whether there
/// were any. In a transaction that writes.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn spread(tx: &mut TenantTx, to: &[Webhook], now: Timestamp) -> Result<bool> {
    let row = tx
        .row(
            "SELECT t.told, (SELECT max(number) FROM (SELECT number FROM outbox o \
             WHERE o.tenant = $1 AND o.number > t.told ORDER BY number LIMIT $2) AS next) \
             FROM webhook_tenants t WHERE t.tenant = $1",
            [SPREAD.into()],
        )
        .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let (Some(last), told) = (row.opt_int(1)?, row.int(0)?) else {
        return Ok(false);
    };
    let moved = tx
        .execute(
            "UPDATE webhook_tenants SET told = $3 WHERE tenant = $1 AND told = $2",
            [told.into(), last.into()],
        )
        .await?;
    if moved == 0 {
        // Another instance does it.
        return Ok(true);
    }
    let after = Place {
        number: told,
        part: i64::MAX,
    };
    deliver(tx, to, now, (after, last)).await?;
    Ok(true)
}

/// Makes deliveries of what was written down behind a place, up to a number.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::db) async fn deliver(
    tx: &mut TenantTx,
    to: &[Webhook],
    now: Timestamp,
    (after, last): (Place, i64),
) -> Result<()> {
    // What is off is not told what happens meanwhile.
    for webhook in to.iter().filter(|one| one.state == WebhookState::Enabled) {
        tx.execute(
            "INSERT INTO webhook_deliveries (tenant, webhook, number, part, state, attempts, since, \
             due_at) SELECT o.tenant, $2, o.number, o.part, 1, 0, $3, $3 FROM outbox o \
             WHERE o.tenant = $1 AND (o.number, o.part) > ($4, $10) AND o.number <= $5 \
             AND (o.only_to = $2 \
             OR (o.only_to IS NULL AND (o.topic & $6) <> 0 AND o.at >= $7 AND ($8 = '' \
             OR o.path IS NULL OR o.path = $8 OR o.from_path = $8 \
             OR substr(o.path, 1, length($8) + 1) = $8 || '/' \
             OR substr(o.from_path, 1, length($8) + 1) = $8 || '/' \
             OR ((o.topic & $9) <> 0 AND (substr($8, 1, length(o.path) + 1) = o.path || '/' \
             OR substr($8, 1, length(o.from_path) + 1) = o.from_path || '/'))))) \
             ON CONFLICT (tenant, webhook, number, part) DO NOTHING",
            [
                webhook.id.as_bytes().into(),
                now.0.into(),
                after.number.into(),
                last.into(),
                webhook.topics.bits().into(),
                webhook.made_at.0.into(),
                webhook.path.as_str().into(),
                Topics::FOLDERS.bits().into(),
                after.part.into(),
            ],
        )
        .await?;
    }
    Ok(())
}

/// What there is to do for a tenant's webhooks.
#[derive(Clone, Debug)]
pub struct Todo {
    /// Whether files of folders are still to be told of.
    pub has_folders: bool,
    /// Whether there is anything to spread.
    pub has_news: bool,
    /// The webhooks that have something due.
    pub due: Vec<WebhookId>,
}

/// Looks what there is to do.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn look(tx: &mut TenantTx, now: Timestamp) -> Result<Todo> {
    let rows = tx
        .rows(
            "SELECT w.id FROM webhooks w WHERE w.tenant = $1 AND w.disabled = 0 AND EXISTS \
             (SELECT 1 FROM webhook_deliveries d WHERE d.tenant = $1 AND d.webhook = w.id \
             AND d.state = 1 AND d.due_at <= $2)",
            [now.0.into()],
        )
        .await?;
    let due = rows.iter().map(|row| WebhookId::from_slice(&row.bytes(0)?));
    let due = due.collect::<Result<Vec<_>>>()?;
    let row = tx
        .row(
            "SELECT (SELECT min(number) FROM outbox o WHERE o.tenant = $1 AND o.number > t.told), \
             (SELECT min(number) FROM told_folders f WHERE f.tenant = $1) \
             FROM webhook_tenants t WHERE t.tenant = $1",
            [],
        )
        .await?;
    let (news, folders) = match row {
        Some(row) => (row.opt_int(0)?, row.opt_int(1)?),
        None => (None, None),
    };
    Ok(Todo {
        has_folders: folders.is_some(),
        has_news: news.is_some(),
        due,
    })
}

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT d.number, d.part, o.id, o.topic, o.at, o.data, d.state, d.attempts, d.since, \
             d.due_at, d.done_at, d.status, d.said FROM webhook_deliveries d JOIN outbox o \
             ON o.tenant = d.tenant AND o.number = d.number AND o.part = d.part \
             WHERE d.tenant = $1 AND d.webhook = $2 ",
            $rest
        )
    };
}

/// What is due at a webhook, in order.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn due(
    tx: &mut TenantTx,
    webhook: WebhookId,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Delivery>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = select!("AND d.state = 1 AND d.due_at <= $3 ORDER BY d.number, d.part LIMIT $4");
    let arguments = [webhook.as_bytes().into(), now.0.into(), limit.into()];
    let rows = tx.rows(sql, arguments).await?;
    rows.iter().map(read).collect()
}

/// Deliveries of a webhook, those of the newest news first, before `before`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(
    tx: &mut TenantTx,
    webhook: WebhookId,
    state: Option<DeliveryState>,
    before: Option<Place>,
    limit: usize,
) -> Result<Vec<Delivery>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let before = before.unwrap_or(Place {
        number: i64::MAX,
        part: i64::MAX,
    });
    let sql = select!(
        "AND ($3 = 0 OR d.state = $3) AND (d.number < $4 OR (d.number = $4 AND d.part < $5)) \
         ORDER BY d.number DESC, d.part DESC LIMIT $6"
    );
    let arguments = [
        webhook.as_bytes().into(),
        state.map_or(0, DeliveryState::code).into(),
        before.number.into(),
        before.part.into(),
        limit.into(),
    ];
    let rows = tx.rows(sql, arguments).await?;
    rows.iter().map(read).collect()
}

/// Notes what came of a try. A delivery that is not waiting any more stays as it is.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn note(
    tx: &mut TenantTx,
    webhook: WebhookId,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<()> {
    let done_at = (outcome.state != DeliveryState::Waiting).then_some(now.0);
    tx.execute(
        "UPDATE webhook_deliveries SET state = $5, attempts = attempts + 1, due_at = $6, \
         done_at = $7, status = $8, said = $9 \
         WHERE tenant = $1 AND webhook = $2 AND number = $3 AND part = $4 AND state = 1",
        [
            webhook.as_bytes().into(),
            outcome.place.number.into(),
            outcome.place.part.into(),
            outcome.state.code().into(),
            outcome.due_at.0.into(),
            done_at.into(),
            outcome.status.into(),
            outcome.said.as_str().into(),
        ],
    )
    .await?;
    Ok(())
}

/// Has what is not waiting sent again: one event's, or all that was given up; says how many.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn replay(
    tx: &mut TenantTx,
    webhook: WebhookId,
    event: Option<EventId>,
    now: Timestamp,
) -> Result<u64> {
    let (sql, last): (_, Value) = match event {
        Some(event) => (
            "UPDATE webhook_deliveries SET state = 1, attempts = 0, since = $3, due_at = $3, \
             done_at = NULL WHERE tenant = $1 AND webhook = $2 AND state <> 1 AND EXISTS \
             (SELECT 1 FROM outbox o WHERE o.tenant = $1 AND o.number = webhook_deliveries.number \
             AND o.part = webhook_deliveries.part AND o.id = $4)",
            event.as_bytes().into(),
        ),
        None => (
            "UPDATE webhook_deliveries SET state = 1, attempts = 0, since = $3, due_at = $3, \
             done_at = NULL WHERE tenant = $1 AND webhook = $2 AND state = $4",
            DeliveryState::Dead.code().into(),
        ),
    };
    tx.execute(sql, [webhook.as_bytes().into(), now.0.into(), last])
        .await
}

/// Up to which number of the audit log deliveries were made.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn told(tx: &mut TenantTx) -> Result<i64> {
    let sql = "SELECT told FROM webhook_tenants WHERE tenant = $1";
    let row = tx.row(sql, []).await?;
    row.map_or(Ok(0), |row| row.int(0))
}

/// Whether anything up to number `told` is to be sent again that was not before `since`.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn is_renewed(
    tx: &mut TenantTx,
    webhook: WebhookId,
    told: i64,
    since: Timestamp,
) -> Result<bool> {
    let row = tx
        .row(
            "SELECT 1 FROM webhook_deliveries WHERE tenant = $1 AND webhook = $2 AND state = 1 \
             AND number <= $3 AND since > $4 LIMIT 1",
            [webhook.as_bytes().into(), told.into(), since.0.into()],
        )
        .await?;
    Ok(row.is_some())
}

/// Has all that waits at a webhook tried at once, however long it was to wait after failures.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn hasten(tx: &mut TenantTx, webhook: WebhookId, now: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE webhook_deliveries SET due_at = $3 \
         WHERE tenant = $1 AND webhook = $2 AND state = 1 AND due_at > $3",
        [webhook.as_bytes().into(), now.0.into()],
    )
    .await?;
    Ok(())
}

/// Gives up what waits longer than `patience`, whatever became of its webhook; says how many.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn give_up(tx: &mut TenantTx, now: Timestamp, patience: Duration) -> Result<u64> {
    tx.execute(
        "UPDATE webhook_deliveries SET state = 3, done_at = $2, \
         said = coalesce(said, 'it was never tried in time') \
         WHERE tenant = $1 AND state = 1 AND since < $3",
        [now.0.into(), now.minus(patience).0.into()],
    )
    .await
}

/// How many deliveries of a tenant are not done, and since when the oldest waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Undone {
    /// So many were given up.
    pub dead: u64,
    /// Since when the oldest waits.
    pub since: Option<Timestamp>,
    /// So many wait.
    pub waiting: u64,
}

/// Counts what was not delivered.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn undone(tx: &mut TenantTx) -> Result<Undone> {
    let rows = tx
        .rows(
            "SELECT state, count(*), min(since) FROM webhook_deliveries \
             WHERE tenant = $1 AND state IN (1, 3) GROUP BY state",
            [],
        )
        .await?;
    let mut undone = Undone::default();
    for row in rows {
        let count = row.int(1)?.unsigned_abs();
        match row.int(0)? {
            1 => {
                undone.waiting = count;
                undone.since = row.opt_int(2)?.map(Timestamp);
            }
            _ => undone.dead = count,
        }
    }
    Ok(undone)
}

/// How much of what is done is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// What was delivered since then.
    pub delivered_since: Timestamp,
    /// What was given up since then.
    pub dead_since: Timestamp,
    /// So many that were given up.
    pub most_dead: i64,
}

/// Forgets what was done long ago.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn forget(tx: &mut TenantTx, keep: Keeping) -> Result<()> {
    for (state, since) in [
        (DeliveryState::Delivered, keep.delivered_since),
        (DeliveryState::Dead, keep.dead_since),
    ] {
        tx.execute(
            "DELETE FROM webhook_deliveries WHERE tenant = $1 AND state = $2 AND done_at < $3",
            [state.code().into(), since.0.into()],
        )
        .await?;
    }
    tx.execute(
        "DELETE FROM webhook_deliveries WHERE tenant = $1 AND state = 3 AND done_at < \
         (SELECT done_at FROM webhook_deliveries d WHERE d.tenant = $1 AND d.state = 3 \
         ORDER BY done_at DESC LIMIT 1 OFFSET $2)",
        [keep.most_dead.into()],
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<Delivery> {
    Ok(Delivery {
        place: Place {
            number: row.int(0)?,
            part: row.int(1)?,
        },
        event: EventId::from_slice(&row.bytes(2)?)?,
        topic: Topic::from_bit(row.int(3)?),
        at: Timestamp(row.int(4)?),
        data: row.text(5)?,
        state: match row.int(6)? {
            1 => DeliveryState::Waiting,
            2 => DeliveryState::Delivered,
            3 => DeliveryState::Dead,
            other => return Err(Error::internal(format!("a delivery in state {other}"))),
        },
        attempts: row.int(7)?,
        since: Timestamp(row.int(8)?),
        due_at: Timestamp(row.int(9)?),
        done_at: row.opt_int(10)?.map(Timestamp),
        status: row.opt_int(11)?,
        said: row.opt_text(12)?,
    })
}
