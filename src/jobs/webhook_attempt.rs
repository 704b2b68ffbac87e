//! One try to tell something, and what comes of it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::accounts::second_factor::KeySource;
use crate::accounts::{webhook_secrets, webhook_views};
use crate::crypto::webhook_signature::SigningSecret;
use crate::db::deliveries::{Delivery, DeliveryState, Outcome};
use crate::db::tenants::Tenant;
use crate::db::webhooks::Webhook;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::random;
use crate::jobs::webhook_settings::WebhookSettings;
use crate::net::post::{Failure, Message};

/// The answer of a receiver that is no more.
const GONE: u16 = 410;

/// The secrets that sign for a webhook now: its own, and for a while the one before.
///
/// # Errors
/// As the key source has it; Corrupt.
pub async fn secrets(
    keys: &KeySource,
    tenant: &Tenant,
    webhook: &Webhook,
    now: Timestamp,
) -> Result<Vec<SigningSecret>> {
    let own = webhook_secrets::open(keys, tenant.id, webhook.id, &webhook.sealed).await?;
    let mut all = vec![own];
    if let Some((before, until)) = &webhook.before
        && *until > now
    {
        all.push(webhook_secrets::open(keys, tenant.id, webhook.id, before).await?);
    }
    Ok(all)
}

/// What is sent.
pub fn message(
    tenant: &Tenant,
    delivery: &Delivery,
    secrets: &[SigningSecret],
    now: Timestamp,
) -> Message {
    let id = webhook_views::event_text(delivery.event);
    let data: Value = serde_json::from_str(&delivery.data).unwrap_or_default();
    let body = json!({
        "id": id,
        "type": delivery.topic.map_or("unknown", |topic| topic.word()),
        "timestamp": delivery.at.to_string(),
        "tenant": tenant.name,
        "sequence": delivery.place.number,
        "data": data,
    });
    let body = body.to_string();
    let timestamp = now.0.div_euclid(1_000_000);
    let signatures: Vec<_> = secrets
        .iter()
        .map(|secret| secret.sign(&id, timestamp, body.as_bytes()))
        .collect();
    Message {
        headers: vec![
            ("webhook-id", id),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ],
        body: Bytes::from(body),
    }
}

/// What the receiver's answer makes of a delivery.
pub fn outcome(
    settings: &WebhookSettings,
    delivery: &Delivery,
    answer: std::result::Result<u16, Failure>,
    now: Timestamp,
) -> Outcome {
    let status = answer.as_ref().ok().copied();
    let (state, mut said) = match answer {
        Ok(status @ 200..=299) => (DeliveryState::Delivered, format!("answered {status}")),
        Ok(GONE) => (
            DeliveryState::Dead,
            "answered 410 (gone), which turned the webhook off".to_owned(),
        ),
        Ok(status @ 300..=399) => (
            DeliveryState::Waiting,
            format!(
                "answered {status}: redirects are not followed; give the webhook the address itself"
            ),
        ),
        Ok(status) => (DeliveryState::Waiting, format!("answered {status}")),
        Err(Failure::Refused(said) | Failure::Lost(said)) => (DeliveryState::Waiting, said),
    };
    let due_at = now.plus(delay(settings, delivery.attempts));
    let is_late = due_at > delivery.since.plus(settings.give_up_after);
    let state = match state {
        DeliveryState::Waiting if is_late => {
            let tries = match delivery.attempts {
                0 => "1 try".to_owned(),
                before => format!("{} tries", before + 1),
            };
            said = format!("{said}; given up after {tries}");
            DeliveryState::Dead
        }
        state => state,
    };
    Outcome {
        place: delivery.place,
        state,
        due_at,
        status: status.map(i64::from),
        said,
    }
}

/// Whether the receiver says that it is no more.
pub fn is_gone(outcome: &Outcome) -> bool {
    outcome.status == Some(i64::from(GONE))
}

/// How long to wait after `before` tries and one more that failed: each time twice as long, and a quarter
/// more or less, so that what failed together does not come back together.
pub fn delay(settings: &WebhookSettings, before: i64) -> Duration {
    let doublings = u32::try_from(before.clamp(0, 30)).unwrap_or(0);
    let plain = settings.first_delay.saturating_mul(1 << doublings);
    let plain = plain.min(settings.longest_delay);
    let half = u64::try_from(plain.as_millis() / 2).unwrap_or(u64::MAX);
    plain.mul_f64(0.75) + Duration::from_millis(random::below(half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let settings = WebhookSettings::default();
        for (before, seconds) in [(0, 5.0), (1, 10.0), (4, 80.0), (10, 3600.0), (99, 3600.0)] {
            let delay = delay(&settings, before).as_secs_f64();
            assert!(
                (seconds * 0.75..=seconds * 1.25).contains(&delay),
                "{before}: {delay}"
            );
        }
    }
}
