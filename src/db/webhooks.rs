//! Webhooks: who of a tenant's wants to be told what, and where.

use crate::db::database::Database;
use crate::db::sql::{Row, TenantTx};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{TenantId, WebhookId};
use crate::domain::temporary::TemporaryNames;
use crate::domain::topic::Topics;

/// Whether anything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookState {
    /// What happens is told.
    Enabled,
    /// Somebody has turned it off.
    Disabled,
    /// The receiver has said that it is gone (410).
    Gone,
}

impl WebhookState {
    fn code(self) -> i64 {
        match self {
            Self::Enabled => 0,
            Self::Disabled => 1,
            Self::Gone => 2,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Gone => "gone",
        }
    }
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// What it is known by.
    pub id: WebhookId,
    /// What it is called, unique within the tenant.
    pub name: String,
    /// Where news are sent.
    pub url: String,
    /// Which are wanted.
    pub topics: Topics,
    /// The folder that they must be about or from; empty is any.
    pub path: String,
    /// The secret that signs, sealed.
    pub sealed: Vec<u8>,
    /// The secret before, sealed, and until when it signs too.
    pub before: Option<(Vec<u8>, Timestamp)>,
    /// Whether anything is sent.
    pub state: WebhookState,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
}

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT id, name, url, topics, path, sealed, before_sealed, before_until, disabled, \
             made_by, made_at FROM webhooks WHERE tenant = $1",
            $rest
        )
    };
}

/// Adds a webhook; [`refresh`] has it heard.
///
/// # Errors
/// AlreadyExists when the name is taken.
pub async fn insert(tx: &mut TenantTx, webhook: &Webhook) -> Result<()> {
    let (before, until) = before(webhook);
    let added = tx
        .execute(
            "INSERT INTO webhooks (tenant, id, name, url, topics, path, sealed, before_sealed, \
             before_until, disabled, made_by, made_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            [
                webhook.id.as_bytes().into(),
                webhook.name.as_str().into(),
                webhook.url.as_str().into(),
                webhook.topics.bits().into(),
                webhook.path.as_str().into(),
                webhook.sealed.as_slice().into(),
                before.into(),
                until.into(),
                webhook.state.code().into(),
                webhook.made_by.as_str().into(),
                webhook.made_at.0.into(),
            ],
        )
        .await;
    added
        .map(|_| ())
        .map_err(|error| taken(error, &webhook.name))
}

/// Changes a webhook to what it says, but for who made it and when; [`refresh`] has it heard.
///
/// # Errors
/// AlreadyExists when the name is taken.
pub async fn update(tx: &mut TenantTx, webhook: &Webhook) -> Result<()> {
    let (before, until) = before(webhook);
    let updated = tx
        .execute(
            "UPDATE webhooks SET name = $3, url = $4, topics = $5, path = $6, sealed = $7, \
             before_sealed = $8, before_until = $9, disabled = $10 WHERE tenant = $1 AND id = $2",
            [
                webhook.id.as_bytes().into(),
                webhook.name.as_str().into(),
                webhook.url.as_str().into(),
                webhook.topics.bits().into(),
                webhook.path.as_str().into(),
                webhook.sealed.as_slice().into(),
                before.into(),
                until.into(),
                webhook.state.code().into(),
            ],
        )
        .await;
    updated
        .map(|_| ())
        .map_err(|error| taken(error, &webhook.name))
}

/// Removes a webhook with its deliveries; false when there is none.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove(tx: &mut TenantTx, id: WebhookId) -> Result<bool> {
    tx.execute(
        "DELETE FROM webhook_deliveries WHERE tenant = $1 AND webhook = $2",
        [id.as_bytes().into()],
    )
    .await?;
    let removed = tx
        .execute(
            "DELETE FROM webhooks WHERE tenant = $1 AND id = $2",
            [id.as_bytes().into()],
        )
        .await?;
    Ok(removed > 0)
}

/// A tenant's webhooks by name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Webhook>> {
    let rows = tx.rows(select!(" ORDER BY name"), []).await?;
    rows.iter().map(read).collect()
}

/// One by its id.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn find(tx: &mut TenantTx, id: WebhookId) -> Result<Option<Webhook>> {
    let row = tx
        .row(select!(" AND id = $2"), [id.as_bytes().into()])
        .await?;
    row.as_ref().map(read).transpose()
}

/// One by its name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_name(tx: &mut TenantTx, name: &str) -> Result<Option<Webhook>> {
    let row = tx.row(select!(" AND name = $2"), [name.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// Notes beside the tenant's clock what its webhooks want to be told, so that every change sees it. For
/// whoever has locked the clock's row.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn refresh(tx: &mut TenantTx) -> Result<()> {
    let all = list(tx).await?;
    let enabled = all.iter().filter(|one| one.state == WebhookState::Enabled);
    let topics = enabled.fold(Topics::NONE, |topics, one| topics | one.topics);
    tx.execute(
        "UPDATE clocks SET listening = $2 WHERE tenant = $1",
        [topics.bits().into()],
    )
    .await?;
    match all.is_empty() {
        // Nobody is left who could be told what was written down.
        true => {
            tx.execute("DELETE FROM outbox WHERE tenant = $1", [])
                .await?;
            tx.execute("DELETE FROM told_folders WHERE tenant = $1", [])
                .await?;
            tx.execute("DELETE FROM webhook_tenants WHERE tenant = $1", [])
                .await?;
        }
        false => {
            tx.execute(
                "INSERT INTO webhook_tenants (tenant, told) \
                 SELECT tenant, audit_number FROM clocks WHERE tenant = $1 \
                 ON CONFLICT (tenant) DO NOTHING",
                [],
            )
            .await?;
        }
    }
    Ok(())
}

/// Sets under which names nothing is told; none is what the installation has.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_temporary(tx: &mut TenantTx, names: Option<&TemporaryNames>) -> Result<()> {
    tx.execute(
        "UPDATE clocks SET temporary = $2 WHERE tenant = $1",
        [names.map(TemporaryNames::stored).into()],
    )
    .await?;
    Ok(())
}

/// Under which names nothing is told; none is what the installation has.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn temporary(tx: &mut TenantTx) -> Result<Option<TemporaryNames>> {
    let sql = "SELECT temporary FROM clocks WHERE tenant = $1";
    let row = tx.row(sql, []).await?;
    let text = row.map_or(Ok(None), |row| row.opt_text(0))?;
    Ok(text.map(|text| TemporaryNames::from_stored(&text)))
}

/// The tenants that have webhooks.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn tenants(db: &Database) -> Result<Vec<TenantId>> {
    let mut tx = db.system_read().await?;
    let sql = "SELECT tenant FROM webhook_tenants ORDER BY tenant";
    let rows = tx.rows(sql, []).await?;
    rows.iter().map(|row| row.int(0).map(TenantId)).collect()
}

fn before(webhook: &Webhook) -> (Option<Vec<u8>>, Option<i64>) {
    match &webhook.before {
        Some((sealed, until)) => (Some(sealed.clone()), Some(until.0)),
        None => (None, None),
    }
}

fn taken(error: Error, name: &str) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            format!("there is a webhook '{name}' already; choose another name"),
        ),
        _ => error,
    }
}

fn read(row: &Row) -> Result<Webhook> {
    let (before, until) = (row.opt_bytes(6)?, row.opt_int(7)?);
    Ok(Webhook {
        id: WebhookId::from_slice(&row.bytes(0)?)?,
        name: row.text(1)?,
        url: row.text(2)?,
        topics: Topics::from_bits(row.int(3)?),
        path: row.text(4)?,
        sealed: row.bytes(5)?,
        before: before.zip(until.map(Timestamp)),
        state: match row.int(8)? {
            0 => WebhookState::Enabled,
            2 => WebhookState::Gone,
            _ => WebhookState::Disabled,
        },
        made_by: row.text(9)?,
        made_at: Timestamp(row.int(10)?),
    })
}
