//! What is done to a tenant's webhooks, by the operator or by its administrators.

use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::accounts::manage::Directory;
use crate::accounts::second_factor::KeySource;
use crate::accounts::webhook_secrets;
use crate::accounts::webhook_views::{
    self as views, DeliveryView, NewWebhook, WebhookChange, WebhookView, Which,
};
use crate::crypto::webhook_signature::SigningSecret;
use crate::db::audit::Happening;
use crate::db::deliveries::{self, DeliveryState, Place};
use crate::db::operation::{Operation, Record};
use crate::db::placement;
use crate::db::sql::TenantTx;
use crate::db::webhooks::{self, Webhook, WebhookState};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{EventId, TenantId, WebhookId};
use crate::domain::news::News;
use crate::domain::path::VfsPath;
use crate::domain::temporary::TemporaryNames;
use crate::domain::topic::{Topic, Topics};
use crate::net::reach::{Reach, Unreachable};

/// Most webhooks of one tenant.
const MOST: usize = 50;
/// Longest time in which two secrets sign.
const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest name of a webhook, in bytes.
const NAME_BYTES: usize = 100;

impl Directory {
    /// A tenant's webhooks by name.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Unavailable.
    pub async fn webhooks(&self, tenant: &str) -> Result<Vec<WebhookView>> {
        let tenant = self.tenant(tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let all = webhooks::list(&mut tx).await?;
        Ok(all.iter().map(views::webhook).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// NotFound; Unavailable.
    pub async fn webhook(&self, tenant: &str, which: &Which) -> Result<WebhookView> {
        let tenant = self.tenant(tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        find(&mut tx, which).await.map(|one| views::webhook(&one))
    }

    /// Adds a webhook that is told what happens from now on. Its secret is returned and can never be shown
    /// again.
    ///
    /// # Errors
    /// Invalid for a bad name, path or address, or too many; AlreadyExists; Unavailable.
    pub async fn add_webhook(
        &self,
        tenant: &str,
        new: NewWebhook,
        reach: &Reach,
        keys: &KeySource,
    ) -> Result<(Zeroizing<String>, WebhookView)> {
        let tenant = self.tenant(tenant).await?.id;
        check_name(&new.name)?;
        check_topics(new.topics)?;
        check_url(reach, &new.url).await?;
        placement::require_keys(self.db(), tenant).await?;
        let (secret, now) = (SigningSecret::random(), self.db().clock().now());
        let id = WebhookId::mint(now);
        let webhook = Webhook {
            id,
            name: new.name,
            url: new.url,
            topics: new.topics,
            path: folder(&new.path)?,
            sealed: webhook_secrets::seal(keys, tenant, id, &secret).await?,
            before: None,
            state: WebhookState::Enabled,
            made_by: new.made_by,
            made_at: now,
        };
        self.run(tenant, Edit::Add(webhook)).await?;
        // Since when it is there the change says.
        Ok((secret.text(), self.shown(tenant, id).await?))
    }

    /// Changes a webhook.
    ///
    /// # Errors
    /// As [`Directory::add_webhook`]; NotFound.
    pub async fn alter_webhook(
        &self,
        tenant: &str,
        which: Which,
        change: WebhookChange,
        reach: &Reach,
    ) -> Result<WebhookView> {
        if change == WebhookChange::default() {
            return Err(Error::invalid(
                "say what to change: its name, url, events or path, or whether it is enabled",
            ));
        }
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        if let Some(topics) = change.topics {
            check_topics(topics)?;
        }
        if let Some(url) = &change.url {
            check_url(reach, url).await?;
        }
        let path = change.path.as_deref().map(folder).transpose()?;
        let change = WebhookChange { path, ..change };
        let tenant = self.tenant(tenant).await?.id;
        let id = self.id_of(tenant, &which).await?;
        self.run(tenant, Edit::Alter(id, change)).await?;
        self.shown(tenant, id).await
    }

    /// Gives a webhook another secret. The one before signs too for `overlap`.
    ///
    /// # Errors
    /// NotFound; Unavailable.
    pub async fn renew_webhook_secret(
        &self,
        tenant: &str,
        which: &Which,
        overlap: Duration,
        keys: &KeySource,
    ) -> Result<(Zeroizing<String>, WebhookView)> {
        if overlap > LONGEST_OVERLAP {
            let days = LONGEST_OVERLAP.as_secs() / 86_400;
            return Err(Error::invalid(format!(
                "the secret before signs too for at most {days} days"
            )));
        }
        let tenant = self.tenant(tenant).await?.id;
        let id = self.id_of(tenant, which).await?;
        placement::require_keys(self.db(), tenant).await?;
        let secret = SigningSecret::random();
        let sealed = webhook_secrets::seal(keys, tenant, id, &secret).await?;
        self.run(tenant, Edit::Renew(id, sealed, overlap)).await?;
        Ok((secret.text(), self.shown(tenant, id).await?))
    }

    /// Removes a webhook, with what was not delivered yet.
    ///
    /// # Errors
    /// NotFound; Unavailable.
    pub async fn remove_webhook(&self, tenant: &str, which: &Which) -> Result<()> {
        let tenant = self.tenant(tenant).await?.id;
        let id = self.id_of(tenant, which).await?;
        self.run(tenant, Edit::Remove(id)).await
    }

    /// Has a webhook told that this is a test.
    ///
    /// # Errors
    /// NotFound; Invalid when it is disabled; Unavailable.
    pub async fn test_webhook(&self, tenant: &str, which: &Which) -> Result<()> {
        let tenant = self.tenant(tenant).await?.id;
        let id = self.id_of(tenant, which).await?;
        self.run(tenant, Edit::Test(id)).await
    }

    /// Has what was given up, or one event, sent to a webhook again; says how many.
    ///
    /// # Errors
    /// NotFound when there is no such webhook, or it was not told of the event; Invalid when it is disabled;
    /// Unavailable.
    pub async fn replay_webhook(
        &self,
        tenant: &str,
        which: &Which,
        event: Option<EventId>,
    ) -> Result<u64> {
        let tenant = self.tenant(tenant).await?.id;
        let now = self.db().now().await?;
        let mut tx = self.db().write(tenant).await?;
        let webhook = find(&mut tx, which).await?;
        require_enabled(&webhook)?;
        let id = webhook.id;
        let count = deliveries::replay(&mut tx, id, event, now).await?;
        tx.commit().await?;
        if count > 0 {
            let detail = format!("{id}: {count}");
            let happening = Happening::new(AuditKind::WebhookReplay, detail);
            self.write_down(tenant, happening).await?;
        }
        match (count, event) {
            (0, Some(_)) => Err(Error::not_found(
                "this event waits already, or the webhook was not told of it, or that is long ago",
            )),
            _ => Ok(count),
        }
    }

    /// What was sent to a webhook and what waits, the newest news first, before the place `before`; with
    /// the place of the last.
    ///
    /// # Errors
    /// NotFound; Unavailable.
    pub async fn webhook_deliveries(
        &self,
        tenant: &str,
        which: &Which,
        state: Option<DeliveryState>,
        before: Option<Place>,
        limit: usize,
    ) -> Result<(Vec<DeliveryView>, Option<Place>)> {
        let tenant = self.tenant(tenant).await?.id;
        let mut tx = self.db().read(tenant).await?;
        let id = find(&mut tx, which).await?.id;
        let found = deliveries::page(&mut tx, id, state, before, limit).await?;
        let last = found.last().map(|one| one.place);
        Ok((found.iter().map(views::delivery).collect(), last))
    }

    /// Under which names nothing is told; none is what the installation has.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Unavailable.
    pub async fn temporary_names(&self, tenant: &str) -> Result<Option<TemporaryNames>> {
        let tenant = self.tenant(tenant).await?.id;
        let mut tx = self.db().read(tenant).await?;
        webhooks::temporary(&mut tx).await
    }

    /// Under which names nothing is told where a tenant has none of its own.
    pub fn usual_temporary_names(&self) -> TemporaryNames {
        self.committer.temporary().clone()
    }

    /// Sets under which names nothing is told; none is what the installation has.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Unavailable.
    pub async fn set_temporary_names(
        &self,
        tenant: &str,
        names: Option<TemporaryNames>,
    ) -> Result<()> {
        let tenant = self.tenant(tenant).await?.id;
        self.run(tenant, Edit::Temporary(names)).await
    }

    async fn id_of(&self, tenant: TenantId, which: &Which) -> Result<WebhookId> {
        if let Which::Id(id) = which {
            return Ok(*id);
        }
        let mut tx = self.db().read(tenant).await?;
        find(&mut tx, which).await.map(|one| one.id)
    }

    async fn shown(&self, tenant: TenantId, id: WebhookId) -> Result<WebhookView> {
        let mut tx = self.db().read(tenant).await?;
        let found = find(&mut tx, &Which::Id(id)).await?;
        Ok(views::webhook(&found))
    }
}

async fn find(tx: &mut TenantTx, which: &Which) -> Result<Webhook> {
    let (found, named) = match which {
        Which::Id(id) => (webhooks::find(tx, *id).await?, id.to_string()),
        Which::Name(name) => (webhooks::by_name(tx, name).await?, name.clone()),
    };
    found.ok_or_else(|| {
        Error::not_found(format!("there is no webhook '{}'", named.escape_debug()))
            .hinting("'sealift webhook list' shows all")
    })
}

/// Nothing is sent to one that is disabled.
fn require_enabled(webhook: &Webhook) -> Result<()> {
    match webhook.state {
        WebhookState::Enabled => Ok(()),
        _ => Err(Error::invalid("the webhook is disabled; enable it first")),
    }
}

fn check_topics(topics: Topics) -> Result<()> {
    match topics.is_empty() {
        true => Err(Error::invalid("say which events are wanted, or all")),
        false => Ok(()),
    }
}

fn check_name(name: &str) -> Result<()> {
    let is_good = (1..=NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
    match is_good {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "give the webhook a name of at most {NAME_BYTES} bytes of plain text"
        ))),
    }
}

/// Whoever cannot be found now may be later.
async fn check_url(reach: &Reach, url: &str) -> Result<()> {
    let target = reach.target(url).map_err(Error::invalid)?;
    match reach.addresses(&target).await {
        Err(Unreachable::Refused(said)) => Err(Error::invalid(said)),
        Ok(_) | Err(Unreachable::Unknown(_)) => Ok(()),
    }
}

/// The folder as it is stored: that of all is empty.
fn folder(path: &str) -> Result<String> {
    let path = VfsPath::parse(path)?.to_string();
    Ok(path.trim_end_matches('/').to_owned())
}

enum Edit {
    Add(Webhook),
    Alter(WebhookId, WebhookChange),
    Remove(WebhookId),
    Renew(WebhookId, Vec<u8>, Duration),
    Temporary(Option<TemporaryNames>),
    Test(WebhookId),
}

#[async_trait]
impl Operation for Edit {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let happening = match self {
            Self::Add(webhook) => add(tx, webhook, next.at).await?,
            Self::Alter(id, change) => alter(tx, *id, change, next.at).await?,
            Self::Remove(id) => {
                let webhook = find(tx, &Which::Id(*id)).await?;
                webhooks::remove(tx, *id).await?;
                Happening::new(AuditKind::WebhookRemove, webhook.name)
            }
            Self::Renew(id, sealed, overlap) => {
                let mut webhook = find(tx, &Which::Id(*id)).await?;
                let before = std::mem::replace(&mut webhook.sealed, sealed.clone());
                webhook.before = (!overlap.is_zero()).then(|| (before, next.at.plus(*overlap)));
                webhooks::update(tx, &webhook).await?;
                Happening::new(AuditKind::WebhookSecret, webhook.name)
            }
            Self::Temporary(names) => {
                webhooks::set_temporary(tx, names.as_ref()).await?;
                let names = names
                    .as_ref()
                    .map_or("as set".to_owned(), |n| n.to_string());
                return Ok(Record::Event(Happening::new(
                    AuditKind::TemporaryNames,
                    names,
                )));
            }
            Self::Test(id) => {
                let webhook = find(tx, &Which::Id(*id)).await?;
                require_enabled(&webhook)?;
                let news = News {
                    only: Some(*id),
                    ..News::new(Topic::WebhookTest).with("webhook", webhook.name.as_str())
                };
                return Ok(Record::Event(
                    Happening::new(AuditKind::WebhookTest, webhook.name).telling([news]),
                ));
            }
        };
        webhooks::refresh(tx).await?;
        Ok(Record::Event(happening))
    }
}

async fn add(tx: &mut TenantTx, webhook: &Webhook, at: Timestamp) -> Result<Happening> {
    if webhooks::list(tx).await?.len() >= MOST {
        return Err(Error::invalid(format!(
            "the tenant has {MOST} webhooks, as many as it may have; remove one first"
        )));
    }
    let webhook = Webhook {
        made_at: at,
        ..webhook.clone()
    };
    webhooks::insert(tx, &webhook).await?;
    let detail = format!("{}: {}, {}", webhook.name, webhook.url, webhook.topics);
    Ok(Happening::new(AuditKind::WebhookAdd, detail))
}

async fn alter(
    tx: &mut TenantTx,
    id: WebhookId,
    change: &WebhookChange,
    at: Timestamp,
) -> Result<Happening> {
    // What happened before goes to whom it was meant for then.
    let all = webhooks::list(tx).await?;
    while deliveries::spread(tx, &all, at).await? {}
    let before = find(tx, &Which::Id(id)).await?;
    let (mut webhook, change) = (before.clone(), change.clone());
    webhook.name = change.name.unwrap_or(webhook.name);
    webhook.url = change.url.unwrap_or(webhook.url);
    webhook.topics = change.topics.unwrap_or(webhook.topics);
    webhook.path = change.path.unwrap_or(webhook.path);
    webhook.state = match change.enabled {
        None => webhook.state,
        Some(true) => WebhookState::Enabled,
        Some(false) => WebhookState::Disabled,
    };
    webhooks::update(tx, &webhook).await?;
    if (&webhook.url, webhook.state) != (&before.url, before.state) {
        deliveries::hasten(tx, id, at).await?;
    }
    let (topics, state) = (webhook.topics, webhook.state.word());
    let detail = format!("{}: {}, {topics}, {state}", webhook.name, webhook.url);
    Ok(Happening::new(AuditKind::WebhookAlter, detail))
}
