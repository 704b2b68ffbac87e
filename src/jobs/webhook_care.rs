//! Cleaning up after webhooks: what waits too long is given up, what was done long ago is forgotten.

use std::time::Duration;

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::deliveries::{self, Keeping};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::webhooks::{self, WebhookState};
use crate::db::{leases, outbox};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::Result;
use crate::domain::id::{TenantId, WebhookId};
use crate::domain::measures;
use crate::domain::principal::Actor;
use crate::jobs::webhook_settings::WebhookSettings;
use crate::vfs::service::Vfs;

/// How often each tenant's turn comes.
const EVERY: Duration = Duration::from_secs(600);
/// Most of a tenant's that was given up and is kept.
const MOST_DEAD: i64 = 10_000;

/// Cleans up after a tenant's webhooks, if it is its turn.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn run(vfs: &Vfs, tenant: TenantId, settings: &WebhookSettings) -> Result<()> {
    let (db, instance) = (vfs.database(), vfs.instance());
    if !leases::claim(db, tenant, "webhook-care", instance, EVERY).await? {
        return Ok(());
    }
    let now = db.now().await?;
    let mut tx = db.write(tenant).await?;
    let given_up = deliveries::give_up(&mut tx, now, settings.give_up_after).await?;
    let keep = Keeping {
        delivered_since: now.minus(settings.keep_delivered),
        dead_since: now.minus(settings.keep_dead),
        most_dead: MOST_DEAD,
    };
    deliveries::forget(&mut tx, keep).await?;
    outbox::forget(&mut tx, now).await?;
    tx.commit().await?;
    if given_up > 0 {
        tracing::warn!(tenant.id = %tenant, given_up, "gave up telling webhooks what waited too long");
        measures::webhook("dead", given_up);
    }
    Ok(())
}

/// Turns a webhook off whose receiver says that it is no more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn turn_off(vfs: &Vfs, tenant: TenantId, id: WebhookId) -> Result<()> {
    let committer = vfs.committer();
    let turned = committer.run(tenant, &Actor::job(), TurnOff(id)).await;
    turned.map(|_| ())
}

struct TurnOff(WebhookId);

#[async_trait]
impl Operation for TurnOff {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let found = webhooks::find(tx, self.0).await?;
        let Some(mut webhook) = found.filter(|one| one.state == WebhookState::Enabled) else {
            return Ok(Record::Nothing);
        };
        webhook.state = WebhookState::Gone;
        webhooks::update(tx, &webhook).await?;
        webhooks::refresh(tx).await?;
        Ok(Record::Event(Happening::new(
            AuditKind::WebhookGone,
            webhook.name,
        )))
    }
}
