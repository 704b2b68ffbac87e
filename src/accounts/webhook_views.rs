//! Webhooks and deliveries as they are shown, and what is asked for.

use serde::Serialize;
use serde_json::Value;

use crate::db::deliveries::{Delivery, DeliveryState};
use crate::db::webhooks::Webhook;
use crate::domain::error::{Error, Result};
use crate::domain::id::{EventId, WebhookId};
use crate::domain::topic::Topics;

/// Which webhook of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with this id.
    Id(WebhookId),
    /// The one that is called so.
    Name(String),
}

/// What a new webhook is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWebhook {
    /// What it is called.
    pub name: String,
    /// Where news are sent.
    pub url: String,
    /// Which are wanted.
    pub topics: Topics,
    /// The folder that they must be about; `/` is any.
    pub path: String,
    /// Who makes it.
    pub made_by: String,
}

/// What becomes of a webhook; none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookChange {
    /// What it is called.
    pub name: Option<String>,
    /// Where news are sent.
    pub url: Option<String>,
    /// Which are wanted.
    pub topics: Option<Topics>,
    /// The folder that they must be about.
    pub path: Option<String>,
    /// Whether anything is sent.
    pub enabled: Option<bool>,
}

/// A webhook as it is shown: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookView {
    /// What it is known by.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Where news are sent.
    pub url: String,
    /// Which are wanted.
    pub events: Vec<&'static str>,
    /// The folder that they must be about.
    pub path: String,
    /// `enabled`, `disabled`, or `gone`: the receiver has said so.
    pub state: &'static str,
    /// Until when the secret before signs too.
    pub old_secret_until: Option<String>,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: String,
}

/// A delivery as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// The event's id, as receivers know it.
    pub event: String,
    /// What it is about.
    pub kind: &'static str,
    /// When that happened.
    pub happened_at: String,
    /// `waiting`, `delivered` or `dead`.
    pub state: &'static str,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next.
    pub due_at: Option<String>,
    /// When it was delivered or given up.
    pub done_at: Option<String>,
    /// The receiver's last answer.
    pub status: Option<i64>,
    /// What came of the last try.
    pub said: Option<String>,
    /// What is told.
    pub data: Value,
}

/// A webhook as it is shown.
pub(in crate::accounts) fn webhook(one: &Webhook) -> WebhookView {
    WebhookView {
        id: one.id.to_string(),
        name: one.name.clone(),
        url: one.url.clone(),
        events: one.topics.words(),
        path: match one.path.is_empty() {
            true => "/".to_owned(),
            false => one.path.clone(),
        },
        state: one.state.word(),
        old_secret_until: one.before.as_ref().map(|(_, until)| until.to_string()),
        made_by: one.made_by.clone(),
        made_at: one.made_at.to_string(),
    }
}

/// A delivery as it is shown.
pub(in crate::accounts) fn delivery(one: &Delivery) -> DeliveryView {
    let is_waiting = one.state == DeliveryState::Waiting;
    DeliveryView {
        event: event_text(one.event),
        kind: one.topic.map_or("unknown", |topic| topic.word()),
        happened_at: one.at.to_string(),
        state: one.state.word(),
        attempts: one.attempts,
        due_at: is_waiting.then(|| one.due_at.to_string()),
        done_at: one.done_at.map(|at| at.to_string()),
        status: one.status,
        said: one.said.clone(),
        data: serde_json::from_str(&one.data).unwrap_or_default(),
    }
}

const PREFIX: &str = "evt_";

/// An event's id as receivers know it.
pub fn event_text(id: EventId) -> String {
    format!("{PREFIX}{id}")
}

/// Reads what [`event_text`] wrote.
///
/// # Errors
/// Invalid when it is anything else.
pub fn event_id(text: &str) -> Result<EventId> {
    let id = text.strip_prefix(PREFIX).and_then(|id| id.parse().ok());
    id.ok_or_else(|| Error::invalid("an event's id is evt_ and 32 hex digits"))
}
