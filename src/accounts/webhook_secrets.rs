//! Secrets of webhooks, sealed under the tenant's data key.

use crate::accounts::second_factor::KeySource;
use crate::crypto::small_secret;
use crate::crypto::webhook_signature::SigningSecret;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, TenantId, WebhookId};

/// It is nobody's own.
const ACCOUNT: AccountId = AccountId(0);

/// Seals the secret of a webhook.
///
/// # Errors
/// As the key source has it.
pub(in crate::accounts) async fn seal(
    keys: &KeySource,
    tenant: TenantId,
    id: WebhookId,
    secret: &SigningSecret,
) -> Result<Vec<u8>> {
    let key = keys.fetch(tenant, None).await?;
    small_secret::seal(&key, tenant, ACCOUNT, &purpose(id), secret.expose())
}

/// Opens the sealed secret of a webhook.
///
/// # Errors
/// As the key source has it; Corrupt when it is anything else.
pub async fn open(
    keys: &KeySource,
    tenant: TenantId,
    id: WebhookId,
    sealed: &[u8],
) -> Result<SigningSecret> {
    let version = small_secret::key_version(sealed)?;
    let key = keys.fetch(tenant, Some(version)).await?;
    let opened = small_secret::open(&key, tenant, ACCOUNT, &purpose(id), sealed)?;
    Ok(SigningSecret::from_bytes(opened))
}

fn purpose(id: WebhookId) -> String {
    format!("webhook {id}")
}
