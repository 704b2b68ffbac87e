//! Keys whose certificates open a tenant's accounts over SSH, and what was revoked.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::manage_authorities::{AuthorityView, RevocationView, Revoked};
use crate::accounts::public_key::PublicKey;
use crate::http::admin::acting::Admin;
use crate::http::admin::credentials::NewKey;
use crate::http::admin::power::{Altering, Seeing};
use crate::http::extract::{JsonBody, PathOf};
use crate::http::failures::{Asking, Reading};
use crate::http::reply::Problem;

/// Longest id in a certificate that may be revoked, in bytes.
const KEY_ID_BYTES: usize = 1_024;

/// A key whose certificates open the tenant's accounts.
#[derive(Serialize, ToSchema)]
pub struct SshAuthority {
    /// `SHA256:...`, as OpenSSH prints it.
    fingerprint: String,
    /// `ssh-ed25519`, ...
    algorithm: String,
    /// What the owner wrote behind it.
    comment: String,
    /// When it was added.
    added_at: String,
}

/// The keys that a tenant trusts.
#[derive(Serialize, ToSchema)]
pub struct SshAuthorities {
    /// The keys, oldest first.
    items: Vec<SshAuthority>,
    /// Where the next part begins; there never is one.
    next: Option<String>,
}

/// Something that was revoked.
#[derive(Serialize, ToSchema)]
pub struct SshRevocation {
    /// Only what the key with this fingerprint signed; null: what any did.
    authority: Option<String>,
    /// `key`, `key-id` or `serial`.
    kind: String,
    /// Which.
    value: String,
    /// Since when.
    revoked_at: String,
}

/// What was revoked.
#[derive(Serialize, ToSchema)]
pub struct SshRevocations {
    /// All of it, oldest first.
    items: Vec<SshRevocation>,
    /// Where the next part begins; there never is one.
    next: Option<String>,
}

/// What is to be revoked: one of `serial`, `key_id` and `key`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationWanted {
    /// The certificate with this number.
    serial: Option<u64>,
    /// Certificates with this id (`ssh-keygen -I`).
    key_id: Option<String>,
    /// This key: certificates about it, those that it signed, and itself; the line in the file that ends in .pub, or
    /// its fingerprint `SHA256:...`.
    key: Option<String>,
    /// Only those that the key with this fingerprint signed; without it, those of any.
    authority: Option<String>,
}

/// A trusted key in a path.
#[derive(Deserialize)]
pub struct NamedAuthority {
    fingerprint: String,
}

/// List the keys whose certificates open the tenant's accounts over SSH.
#[utoipa::path(
    get,
    path = "/ssh-authorities",
    tag = "certificates",
    responses((status = 200, description = "all of them", body = SshAuthorities), Asking)
)]
pub async fn list(admin: Admin<Seeing>) -> Result<Json<SshAuthorities>, Problem> {
    let all = admin.directory.authorities(&admin.tenant).await?;
    let view = |one: AuthorityView| SshAuthority {
        fingerprint: one.fingerprint,
        algorithm: one.algorithm,
        comment: one.comment,
        added_at: one.added_at,
    };
    Ok(Json(SshAuthorities {
        items: all.into_iter().map(view).collect(),
        next: None,
    }))
}

/// Let certificates that a key signs open the accounts that they name.
///
/// Not by an account's token: what opens any account of the tenant does not end with the token.
#[utoipa::path(
    post,
    path = "/ssh-authorities",
    tag = "certificates",
    request_body = NewKey,
    responses((status = 201, description = "it is trusted", body = SshAuthority), Asking, Reading)
)]
pub async fn add(
    admin: Admin<Altering>,
    JsonBody(new): JsonBody<NewKey>,
) -> Result<(StatusCode, Json<SshAuthority>), Problem> {
    admin.insist_on_login("trusting by a token what opens all accounts")?;
    let key = PublicKey::parse(new.key())?;
    admin.directory.add_authority(&admin.tenant, &key).await?;
    let fingerprint = key.fingerprint();
    let all = admin.directory.authorities(&admin.tenant).await?;
    let added = all.into_iter().find(|one| one.fingerprint == fingerprint);
    Ok((
        StatusCode::CREATED,
        Json(SshAuthority {
            fingerprint,
            algorithm: key.algorithm().to_owned(),
            comment: key.comment,
            added_at: added.map(|one| one.added_at).unwrap_or_default(),
        }),
    ))
}

/// Trust a key no more; the tenant's sessions end.
#[utoipa::path(
    delete,
    path = "/ssh-authorities/{fingerprint}",
    tag = "certificates",
    params(("fingerprint" = String, Path, description = "the key, as the list shows it, percent-encoded")),
    responses((status = 204, description = "its certificates open nothing any more"), Asking)
)]
pub async fn remove(
    admin: Admin<Altering>,
    PathOf(named): PathOf<NamedAuthority>,
) -> Result<StatusCode, Problem> {
    // PostgreSQL takes no NUL.
    let fingerprint = named.fingerprint.replace('\0', "?");
    let directory = &admin.directory;
    directory
        .remove_authority(&admin.tenant, &fingerprint)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List what was revoked.
#[utoipa::path(
    get,
    path = "/ssh-revocations",
    tag = "certificates",
    responses((status = 200, description = "all of it", body = SshRevocations), Asking)
)]
pub async fn revocations(admin: Admin<Seeing>) -> Result<Json<SshRevocations>, Problem> {
    shown(&admin).await.map(Json)
}

/// Revoke certificates or a key; the tenant's sessions end.
///
/// Nothing takes it back. The answer is all that was revoked.
#[utoipa::path(
    post,
    path = "/ssh-revocations",
    tag = "certificates",
    request_body = RevocationWanted,
    responses((status = 201, description = "it is revoked", body = SshRevocations), Asking, Reading)
)]
pub async fn revoke(
    admin: Admin<Altering>,
    JsonBody(wanted): JsonBody<RevocationWanted>,
) -> Result<(StatusCode, Json<SshRevocations>), Problem> {
    let revoked = match (wanted.serial, wanted.key_id, wanted.key) {
        (Some(number), None, None) => Revoked::Serial(number),
        (None, Some(id), None) => Revoked::KeyId(plain(id)?),
        (None, None, Some(key)) if key.starts_with("SHA256:") => Revoked::Key(key),
        (None, None, Some(key)) => Revoked::Key(PublicKey::parse(&key)?.fingerprint()),
        _ => {
            return Err(Problem::malformed(
                "give one of 'serial', 'key_id' and 'key'",
            ));
        }
    };
    let authority = wanted.authority.map(|one| one.replace('\0', "?"));
    let directory = &admin.directory;
    directory
        .revoke(&admin.tenant, authority.as_deref(), revoked)
        .await?;
    Ok((StatusCode::CREATED, Json(shown(&admin).await?)))
}

async fn shown<P>(admin: &Admin<P>) -> Result<SshRevocations, Problem> {
    let all = admin.directory.revocations(&admin.tenant).await?;
    let view = |one: RevocationView| SshRevocation {
        authority: one.authority,
        kind: one.kind,
        value: one.value,
        revoked_at: one.revoked_at,
    };
    Ok(SshRevocations {
        items: all.into_iter().map(view).collect(),
        next: None,
    })
}

fn plain(id: String) -> Result<String, Problem> {
    match id.len() <= KEY_ID_BYTES && !id.chars().any(char::is_control) {
        true => Ok(id),
        false => Err(Problem::malformed(format!(
            "'key_id' is at most {KEY_ID_BYTES} bytes of plain text"
        ))),
    }
}
