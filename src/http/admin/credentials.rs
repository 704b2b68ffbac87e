//! What opens an account: its password, its keys, its second factor.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::manage_accounts::NewPassword;
use crate::accounts::public_key::PublicKey;
use crate::http::admin::accounts::{self, Named};
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Altering, Seeing};
use crate::http::extract::{JsonBody, PathOf};
use crate::http::failures::{Asking, Reading};
use crate::http::reply::Problem;
use crate::http::web::Web;

/// A new password: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// As it is typed.
    #[schema(format = Password)]
    password: Option<String>,
    /// A hash brought from another server: PBKDF2-SHA-512, Argon2id, bcrypt or sha512-crypt.
    #[schema(format = Password)]
    password_hash: Option<String>,
}

/// What an authenticator app is given.
#[derive(Serialize, ToSchema)]
pub struct Factor {
    /// What the app reads. It is shown this once.
    uri: String,
    /// Each opens the account once in place of a code. They are shown this once.
    recovery_codes: Vec<String>,
}

/// A public key that opens an account.
#[derive(Serialize, ToSchema)]
pub struct SshKey {
    /// `SHA256:...`, as OpenSSH prints it.
    fingerprint: String,
    /// `ssh-ed25519`, ...
    algorithm: String,
    /// What the owner wrote behind it.
    comment: String,
    /// When it was added.
    added_at: String,
}

/// The keys of an account.
#[derive(Serialize, ToSchema)]
pub struct SshKeys {
    /// The keys, oldest first.
    items: Vec<SshKey>,
    /// Where the next part begins; there never is one.
    next: Option<String>,
}

/// A key to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The line that ssh-keygen wrote into the file that ends in .pub.
    key: String,
}

impl NewKey {
    /// The line.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Its fingerprint.
#[derive(Serialize, ToSchema)]
pub struct Added {
    /// `SHA256:...`, as OpenSSH prints it.
    fingerprint: String,
}

/// A key in a path.
#[derive(Deserialize)]
pub struct NamedKey {
    user: String,
    fingerprint: String,
}

/// Set a new password; the account's sessions end.
#[utoipa::path(
    put,
    path = "/accounts/{user}/password",
    tag = "accounts",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    request_body = Password,
    responses((status = 204, description = "it is set"), Asking, Reading)
)]
pub async fn set_password(
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
    JsonBody(new): JsonBody<Password>,
) -> Result<StatusCode, Problem> {
    if new.password_hash.is_some() {
        admin.insist_on_operator(accounts::HASHES)?;
    }
    let login = admin.login_to_open(&named.user).await?;
    let new = accounts::password(new.password, new.password_hash)?;
    if matches!(new, NewPassword::None) {
        let detail = "give 'password' or 'password_hash'; DELETE takes the password away";
        return Err(Problem::malformed(detail));
    }
    admin.directory.set_password(&login, new).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take the password away: the account logs in by key only; its sessions end.
#[utoipa::path(
    delete,
    path = "/accounts/{user}/password",
    tag = "accounts",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    responses((status = 204, description = "there is none"), Asking)
)]
pub async fn take_password(
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
) -> Result<StatusCode, Problem> {
    let login = admin.login_to_open(&named.user).await?;
    let none = NewPassword::None;
    admin.directory.set_password(&login, none).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give an account a second factor, in place of what it had; its sessions end.
#[utoipa::path(
    post,
    path = "/accounts/{user}/second-factor",
    tag = "accounts",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    responses((status = 201, description = "what the app is given", body = Factor), Asking)
)]
pub async fn add_factor(
    State(web): State<Web>,
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
) -> Result<(StatusCode, Json<Factor>), Problem> {
    let login = admin.login_to_open(&named.user).await?;
    let keys = web.accounts().keys();
    let made = admin.directory.add_second_factor(&login, keys).await?;
    let factor = Factor {
        uri: made.uri.to_string(),
        recovery_codes: made.recovery_codes,
    };
    Ok((StatusCode::CREATED, Json(factor)))
}

/// Take the second factor away with its recovery codes; the account's sessions end.
#[utoipa::path(
    delete,
    path = "/accounts/{user}/second-factor",
    tag = "accounts",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    responses((status = 204, description = "there is none"), Asking)
)]
pub async fn remove_factor(
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
) -> Result<StatusCode, Problem> {
    let login = admin.login_to_open(&named.user).await?;
    admin.directory.remove_second_factor(&login).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List an account's keys.
#[utoipa::path(
    get,
    path = "/accounts/{user}/ssh-keys",
    tag = "accounts",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    responses((status = 200, description = "all of them", body = SshKeys), Asking)
)]
pub async fn keys(
    admin: Admin<Seeing>,
    PathOf(named): PathOf<Named>,
) -> Result<Json<SshKeys>, Problem> {
    let login = admin.login(&named.user)?;
    let keys = admin.directory.keys(&login).await?.into_iter();
    let items = keys.map(|key| SshKey {
        fingerprint: key.fingerprint,
        algorithm: key.algorithm,
        comment: key.comment,
        added_at: key.added_at,
    });
    Ok(Json(SshKeys {
        items: items.collect(),
        next: None,
    }))
}

/// Let a public key open an account.
#[utoipa::path(
    post,
    path = "/accounts/{user}/ssh-keys",
    tag = "accounts",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    request_body = NewKey,
    responses((status = 201, description = "it opens the account", body = Added), Asking, Reading)
)]
pub async fn add_key(
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
    JsonBody(new): JsonBody<NewKey>,
) -> Result<(StatusCode, Json<Added>), Problem> {
    let login = admin.login_to_open(&named.user).await?;
    let key = PublicKey::parse(&new.key)?;
    admin.directory.add_key(&login, &key).await?;
    let fingerprint = key.fingerprint();
    Ok((StatusCode::CREATED, Json(Added { fingerprint })))
}

/// Take a key away; the account's sessions end.
#[utoipa::path(
    delete,
    path = "/accounts/{user}/ssh-keys/{fingerprint}",
    tag = "accounts",
    params(
        ("user" = String, Path, description = "the account's name within the tenant"),
        ("fingerprint" = String, Path, description = "the key, as the list shows it, percent-encoded"),
    ),
    responses((status = 204, description = "it opens nothing any more"), Asking)
)]
pub async fn remove_key(
    admin: Admin<Altering>,
    PathOf(named): PathOf<NamedKey>,
) -> Result<StatusCode, Problem> {
    let login = admin.login(&named.user)?;
    // PostgreSQL takes no NUL.
    let fingerprint = named.fingerprint.replace('\0', "?");
    admin.directory.remove_key(&login, &fingerprint).await?;
    Ok(StatusCode::NO_CONTENT)
}
