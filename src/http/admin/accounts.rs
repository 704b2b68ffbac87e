//! `.../accounts`: the accounts of a tenant.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::accounts::manage::{Access, Directory, Limit};
use crate::accounts::manage_accounts::{NewAccount, NewPassword};
use crate::accounts::manage_alter::AccountChange;
use crate::accounts::manage_logins::LoginChange;
use crate::domain::error::Error;
use crate::domain::path::VfsPath;
use crate::domain::principal::LoginName;
use crate::domain::rights::Rights;
use crate::domain::secret::Secret;
use crate::http::admin::account_view::{AccountDetails, AccountItem, AccountPage};
use crate::http::admin::acting::Admin;
use crate::http::admin::power::{Altering, Helping, Seeing};
use crate::http::admin::{version, wish};
use crate::http::extract::{JsonBody, Params, PathOf};
use crate::http::failures::{Asking, Changing, Reading};
use crate::http::headers::Version;
use crate::http::paging::{self, Paging};
use crate::http::reply::Problem;
use crate::net::network::Network;

/// An account in a path.
#[derive(Deserialize)]
pub struct Named {
    /// Its name within the tenant.
    pub user: String,
}

/// An account to be added. Without a password it is opened by keys only.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewAccount)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its name within the tenant.
    user: String,
    /// Its password.
    #[schema(format = Password)]
    password: Option<String>,
    /// A hash brought from another server, in place of a password.
    #[schema(format = Password)]
    password_hash: Option<String>,
    /// Its home folder, made where it is missing; `/home/USER` without.
    home: Option<String>,
    /// No grant reaches beyond this: `all` (so it is without), `read-only`, or rights joined by commas.
    ceiling: Option<String>,
    /// Most bytes of live files; no limit without.
    #[serde(default, deserialize_with = "wish::most")]
    #[schema(required = false)]
    quota_bytes: Option<u64>,
    /// Most live files and folders; no limit without.
    #[serde(default, deserialize_with = "wish::most")]
    #[schema(required = false)]
    quota_files: Option<u64>,
    /// It administers its tenant; only operators may say so.
    administrator: Option<bool>,
}

/// What only operators bring: a hash may take long to compare, and all tenants wait in one line.
pub const HASHES: &str = "bringing the hash of a password";

/// What becomes of an account; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = AccountChange)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Whether it is kept out.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = bool, required = false)]
    disabled: Option<Option<bool>>,
    /// Whether it administers its tenant; only operators may change it.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = bool, required = false)]
    administrator: Option<Option<bool>>,
    /// Its home folder, made where it is missing; its rights stay as they are.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = String, required = false)]
    home: Option<Option<String>>,
    /// No grant reaches beyond this; `all`: it is without.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = String, required = false)]
    ceiling: Option<Option<String>>,
    /// Most bytes of live files; null: no limit.
    #[serde(default, deserialize_with = "wish::limit")]
    #[schema(value_type = Option<u64>, required = false)]
    quota_bytes: Limit<u64>,
    /// Most live files and folders; null: no limit.
    #[serde(default, deserialize_with = "wish::limit")]
    #[schema(value_type = Option<u64>, required = false)]
    quota_files: Limit<u64>,
    /// Most sessions at a time; null: what the settings say.
    #[serde(default, deserialize_with = "wish::limit")]
    #[schema(value_type = Option<u64>, required = false)]
    sessions: Limit<u64>,
    /// The sequences of methods that open it, each joined by commas; null: any one method.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<Vec<String>>, required = false)]
    methods: Option<Option<Vec<String>>>,
    /// Whether the code may stand behind the password.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = bool, required = false)]
    appended_code: Option<Option<bool>>,
    /// Networks that it may come from, at least one; null: anywhere.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<Vec<String>>, required = false)]
    networks: Option<Option<Vec<String>>>,
    /// Names in certificates that open it, at least one; null: its own.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<Vec<String>>, required = false)]
    principals: Option<Option<Vec<String>>>,
    /// Whether it may log in by plain FTP; only operators may change it.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = bool, required = false)]
    clear_text: Option<Option<bool>>,
    /// Words for FTP; null: what the tenant and the settings say; only operators may change them.
    #[serde(default, deserialize_with = "wish::nullable")]
    #[schema(value_type = Option<String>, required = false)]
    door_options: Option<Option<String>>,
}

/// List accounts.
#[utoipa::path(
    get,
    path = "/accounts",
    tag = "accounts",
    params(Paging),
    responses((status = 200, description = "a part of them, by name", body = AccountPage), Asking)
)]
pub async fn list(
    admin: Admin<Seeing>,
    Params(paging): Params<Paging>,
) -> Result<Json<AccountPage>, Problem> {
    let (limit, after) = (paging.limit()?, paging.after()?.unwrap_or_default());
    let found = admin.directory.accounts_page(&admin.tenant, &after, limit);
    let items: Vec<_> = found.await?.into_iter().map(AccountItem::new).collect();
    let next = items.last().filter(|_| items.len() == limit);
    Ok(Json(AccountPage {
        next: next.map(|last| paging::cursor(last.user())),
        items,
    }))
}

/// Add an account with its home folder and all rights there.
#[utoipa::path(
    post,
    path = "/accounts",
    tag = "accounts",
    request_body = Wanted,
    responses((status = 201, description = "added", body = AccountDetails, headers(("ETag"))), Asking, Changing, Reading)
)]
pub async fn add(
    admin: Admin<Altering>,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, Problem> {
    if wanted.administrator.is_some() {
        admin.insist_on_operator("making an account an administrator")?;
    }
    if wanted.password_hash.is_some() {
        admin.insist_on_operator(HASHES)?;
    }
    LoginName::check_user(&wanted.user)?;
    let login = admin.login(&wanted.user)?;
    let mut new = NewAccount::new(login.clone());
    new.password = password(wanted.password, wanted.password_hash)?;
    new.home = wanted.home.as_deref().map(VfsPath::parse).transpose()?;
    if let Some(ceiling) = wanted.ceiling {
        new.ceiling = ceiling.parse::<Rights>()?;
    }
    new.quota_bytes = wanted.quota_bytes;
    new.quota_files = wanted.quota_files;
    new.administrator = wanted.administrator.unwrap_or(false);
    admin.directory.add_account(new).await?;
    let mut answer = shown(&admin.directory, &login).await?;
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}

/// Show an account.
#[utoipa::path(
    get,
    path = "/accounts/{user}",
    tag = "accounts",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    responses((status = 200, description = "all of it but its secrets; its version as ETag", body = AccountDetails, headers(("ETag"))), Asking)
)]
pub async fn show(admin: Admin<Seeing>, PathOf(named): PathOf<Named>) -> Result<Response, Problem> {
    shown(&admin.directory, &admin.login(&named.user)?).await
}

/// Change an account.
///
/// All is changed at once, or nothing; its sessions end unless only quotas change. `If-Match` has it
/// changed only if it is that version.
#[utoipa::path(
    patch,
    path = "/accounts/{user}",
    tag = "accounts",
    params(
        ("user" = String, Path, description = "the account's name within the tenant"),
        Version,
    ),
    request_body = Change,
    responses((status = 200, description = "changed", body = AccountDetails, headers(("ETag"))), Asking, Changing, Reading)
)]
pub async fn alter(
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
    headers: HeaderMap,
    JsonBody(change): JsonBody<Change>,
) -> Result<Response, Problem> {
    if change.administrator.is_some() {
        admin.insist_on_operator("making an account an administrator")?;
    }
    if change.clear_text.is_some() || change.door_options.is_some() {
        admin.insist_on_operator("changing what FTP asks of an account")?;
    }
    let login = match (change.opens(), change.widens()) {
        (true, _) => admin.login_to_open(&named.user).await?,
        (false, true) => admin.login_to_widen(&named.user)?,
        (false, false) => admin.login(&named.user)?,
    };
    let known = version::known(&headers)?;
    let change = change.parsed()?;
    admin.directory.alter_account(&login, change, known).await?;
    shown(&admin.directory, &login).await
}

/// Remove an account with all that opens it and that it was granted.
///
/// Its sessions end; its files stay. `If-Match` has it removed only if it is that version.
#[utoipa::path(
    delete,
    path = "/accounts/{user}",
    tag = "accounts",
    params(
        ("user" = String, Path, description = "the account's name within the tenant"),
        Version,
    ),
    responses((status = 204, description = "it is gone"), Asking, Changing)
)]
pub async fn remove(
    admin: Admin<Altering>,
    PathOf(named): PathOf<Named>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let login = admin.login_to_open(&named.user).await?;
    let known = version::known(&headers)?;
    admin.directory.remove_account(&login, known).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forget an account's failed logins, so that nobody has to wait for them.
#[utoipa::path(
    post,
    path = "/accounts/{user}/unlock",
    tag = "accounts",
    params(("user" = String, Path, description = "the account's name within the tenant")),
    responses((status = 204, description = "they are forgotten"), Asking)
)]
pub async fn unlock(
    admin: Admin<Helping>,
    PathOf(named): PathOf<Named>,
) -> Result<StatusCode, Problem> {
    let login = admin.login(&named.user)?;
    admin.directory.unlock(&login).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A new password, or none.
///
/// # Errors
/// 400 when there are two.
pub fn password(plain: Option<String>, hash: Option<String>) -> Result<NewPassword, Problem> {
    match (plain, hash) {
        (Some(plain), None) => Ok(NewPassword::Plain(Secret::new(plain))),
        (None, Some(hash)) => Ok(NewPassword::Hashed(Secret::new(hash))),
        (None, None) => Ok(NewPassword::None),
        (Some(_), Some(_)) => Err(Problem::malformed(
            "give either 'password' or 'password_hash'",
        )),
    }
}

async fn shown(directory: &Directory, login: &LoginName) -> Result<Response, Problem> {
    let whole = directory.whole_account(login).await?;
    let version = whole.version.clone();
    Ok(version::with_tag(
        &version,
        Json(AccountDetails::new(whole)),
    ))
}

impl Change {
    /// Whether it may let the account reach or do more. What may be stored does not.
    fn widens(&self) -> bool {
        self.home.is_some() || self.ceiling.is_some()
    }

    /// Whether it may open the account to somebody. What a session may take up does not.
    fn opens(&self) -> bool {
        let Self {
            disabled,
            administrator,
            home: _,
            ceiling: _,
            quota_bytes: _,
            quota_files: _,
            sessions: _,
            methods,
            appended_code,
            networks,
            principals,
            clear_text,
            door_options,
        } = self;
        *disabled == Some(Some(false))
            || administrator.is_some()
            || methods.is_some()
            || appended_code.is_some()
            || networks.is_some()
            || principals.is_some()
            || clear_text.is_some()
            || door_options.is_some()
    }

    fn parsed(self) -> Result<AccountChange, Problem> {
        let methods = match self.methods {
            Some(Some(sequences)) => Some(Some(sequences.join(" ").parse()?)),
            Some(None) => Some(None),
            None => None,
        };
        let home = wish::never_null("home", self.home)?;
        let ceiling = wish::never_null("ceiling", self.ceiling)?;
        let disabled = wish::never_null("disabled", self.disabled)?;
        let networks = wish::never_empty("networks", self.networks, "it may come from anywhere")?;
        let principals = wish::never_empty("principals", self.principals, "its own name opens it")?;
        let networks = networks.map(|all| {
            let parse = |text: &String| text.parse::<Network>().map_err(Error::invalid);
            all.iter().map(parse).collect::<Result<Vec<_>, _>>()
        });
        Ok(AccountChange {
            access: disabled.map(|disabled| match disabled {
                true => Access::Refuse,
                false => Access::Allow,
            }),
            administrator: wish::never_null("administrator", self.administrator)?,
            ceiling: ceiling.map(|text| text.parse()).transpose()?,
            home: home.as_deref().map(VfsPath::parse).transpose()?,
            quota_bytes: self.quota_bytes,
            quota_files: self.quota_files,
            login: LoginChange {
                methods,
                appended_code: wish::never_null("appended_code", self.appended_code)?,
                networks: networks.transpose()?,
                principals,
                sessions: self.sessions,
                clear_text: wish::never_null("clear_text", self.clear_text)?,
                door_options: self.door_options,
            },
        })
    }
}
