//! What clients say about webhooks, and what they are shown.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::accounts::webhook_views::{DeliveryView, WebhookView};
use crate::domain::topic::Topics;
use crate::http::admin::wish;
use crate::http::reply::Problem;

/// A webhook in a path.
#[derive(Deserialize)]
pub struct Named {
    /// Its id.
    pub webhook: String,
}

/// A webhook to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHook {
    /// What it is called: at most 100 bytes of plain text.
    pub name: String,
    /// Where what happens is sent: `https://`.
    pub url: String,
    /// Which events: `file.stored`, `file.deleted`, `file.restored`, `file.renamed`, `folder.deleted`,
    /// `folder.restored`, `folder.renamed`, `login.failed`, `quota.near`; or `all`.
    pub events: Vec<String>,
    /// Only what is about this folder and what is below it; without it, all.
    pub path: Option<String>,
}

/// What becomes of a webhook; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookChange {
    /// What it is called.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = String, required = false)]
    pub name: Option<Option<String>>,
    /// Where what happens is sent.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = String, required = false)]
    pub url: Option<Option<String>>,
    /// Which events.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Vec<String>, required = false)]
    pub events: Option<Option<Vec<String>>>,
    /// Only what is about this folder and what is below it; null: all.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<String>, required = false)]
    pub path: Option<Option<String>>,
    /// Whether anything is sent.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = bool, required = false)]
    pub enabled: Option<Option<bool>>,
}

/// A webhook, without its secret.
#[derive(Serialize, ToSchema)]
pub struct Hook {
    /// What it is known by.
    id: String,
    /// What it is called.
    name: String,
    /// Where what happens is sent.
    url: String,
    /// Which events.
    events: Vec<&'static str>,
    /// Only what is about this folder and what is below it.
    path: String,
    /// `enabled`, `disabled`, or `gone`: the receiver has said so (410).
    state: &'static str,
    /// Until when the secret before signs too.
    old_secret_until: Option<String>,
    /// Who made it.
    made_by: String,
    /// When.
    made_at: String,
}

/// A webhook with a new secret.
#[derive(Serialize, ToSchema)]
pub struct HookWithSecret {
    /// What signs: `whsec_` and base64. It is shown this once.
    secret: String,
    /// The rest.
    #[serde(flatten)]
    hook: Hook,
}

/// A page of webhooks.
#[derive(Serialize, ToSchema)]
pub struct HookPage {
    /// The webhooks by name.
    pub items: Vec<Hook>,
    /// Where the next page begins; there never is one.
    pub next: Option<String>,
}

/// Something that was sent, or waits.
#[derive(Serialize, ToSchema)]
pub struct SentNews {
    /// The event's id, as the receiver knows it.
    event: String,
    /// What it is about: as `file.stored`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// When that happened.
    happened_at: String,
    /// `waiting`, `delivered` or `dead`: given up.
    state: &'static str,
    /// How often it was tried.
    attempts: i64,
    /// When it is tried next.
    due_at: Option<String>,
    /// When it was delivered or given up.
    done_at: Option<String>,
    /// The receiver's last answer.
    status: Option<i64>,
    /// What came of the last try.
    said: Option<String>,
    /// What is told.
    #[schema(value_type = BTreeMap<String, Value>)]
    data: Value,
}

/// A page of what was sent.
#[derive(Serialize, ToSchema)]
pub struct SentPage {
    /// The newest news first.
    pub items: Vec<SentNews>,
    /// Where the next page begins; null at the end.
    pub next: Option<String>,
}

/// What is sent again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayWanted {
    /// Only this event, delivered or not; without it, all that was given up.
    pub event: Option<String>,
}

/// How much is sent again.
#[derive(Serialize, ToSchema)]
pub struct Replayed {
    /// So many events.
    pub replayed: u64,
}

/// How a secret is renewed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretWanted {
    /// For how many seconds the secret before signs too; a day if nobody says.
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub overlap: Option<u64>,
}

/// The topics that words stand for.
///
/// # Errors
/// 400 when one of them stands for none.
pub fn topics(words: &[String]) -> Result<Topics, Problem> {
    let mut topics = Topics::NONE;
    for word in words {
        topics = topics | word.parse()?;
    }
    Ok(topics)
}

impl From<WebhookView> for Hook {
    fn from(view: WebhookView) -> Self {
        Self {
            id: view.id,
            name: view.name,
            url: view.url,
            events: view.events,
            path: view.path,
            state: view.state,
            old_secret_until: view.old_secret_until,
            made_by: view.made_by,
            made_at: view.made_at,
        }
    }
}

impl HookWithSecret {
    /// Puts both together.
    pub fn new(secret: &str, view: WebhookView) -> Self {
        Self {
            secret: secret.to_owned(),
            hook: view.into(),
        }
    }
}

impl From<DeliveryView> for SentNews {
    fn from(view: DeliveryView) -> Self {
        Self {
            event: view.event,
            kind: view.kind,
            happened_at: view.happened_at,
            state: view.state,
            attempts: view.attempts,
            due_at: view.due_at,
            done_at: view.done_at,
            status: view.status,
            said: view.said,
            data: view.data,
        }
    }
}
