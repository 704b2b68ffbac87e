//! An account as it is shown to those who administer it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::manage_accounts::AccountView;
use crate::accounts::manage_alter::WholeAccount;
use crate::http::admin::acting;

/// An account in a list.
#[derive(Serialize, ToSchema)]
pub struct AccountItem {
    /// Its name within the tenant, as paths name it.
    user: String,
    /// Its name in full, `user@tenant`.
    login: String,
    /// Its number, which records of the audit log name as `account`; no other account ever gets it.
    id: i64,
    /// Whether it is kept out.
    disabled: bool,
    /// Whether it administers its tenant.
    administrator: bool,
    /// Where its home folder is now; none when it is gone.
    home: Option<String>,
    /// No grant reaches beyond this: `all`, `read-only`, or rights joined by commas.
    ceiling: String,
    /// Whether it has a password.
    has_password: bool,
    /// Most bytes of live files; none is no limit of its own.
    quota_bytes: Option<u64>,
    /// Most live files and folders; none is no limit of its own.
    quota_files: Option<u64>,
    /// When it was added.
    created_at: String,
}

/// A part of the accounts.
#[derive(Serialize, ToSchema)]
pub struct AccountPage {
    /// The accounts, by name.
    pub items: Vec<AccountItem>,
    /// What `cursor` is for the next part; null at the end.
    pub next: Option<String>,
}

/// An account.
#[derive(Serialize, ToSchema)]
pub struct AccountDetails {
    /// What lists show.
    #[serde(flatten)]
    item: AccountItem,
    /// Bytes of its live files.
    used_bytes: u64,
    /// Its live files and folders.
    used_files: u64,
    /// The sequences of methods that open it, each joined by commas; none is any one method.
    methods: Option<Vec<String>>,
    /// Whether an authenticator app makes codes for it.
    second_factor: bool,
    /// Recovery codes that were not used yet.
    recovery_codes: i64,
    /// Whether the code may stand behind the password.
    appended_code: bool,
    /// Where it may come from; none is anywhere.
    networks: Option<Vec<String>>,
    /// The names in certificates that open it; none is its own.
    principals: Option<Vec<String>>,
    /// Most sessions at a time, at all instances together; none is what the settings say.
    sessions: Option<u64>,
    /// Whether it may log in by plain FTP.
    clear_text: bool,
    /// Words for FTP; none is what the tenant and the settings say.
    door_options: Option<String>,
    /// No sequence fits what the account has: nothing opens it.
    closed: bool,
}

impl AccountItem {
    /// What a list shows.
    pub fn new(view: AccountView) -> Self {
        Self {
            user: acting::within(&view.login),
            login: view.login,
            id: view.id,
            disabled: view.disabled,
            administrator: view.administrator,
            home: view.home,
            ceiling: view.ceiling,
            has_password: view.password,
            quota_bytes: view.quota_bytes,
            quota_files: view.quota_files,
            created_at: view.created_at,
        }
    }

    /// Its name within the tenant.
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl AccountDetails {
    /// All that is shown.
    pub fn new(whole: WholeAccount) -> Self {
        let rules = whole.login;
        let sequences = |text: String| text.split_whitespace().map(str::to_owned).collect();
        Self {
            item: AccountItem::new(whole.view),
            used_bytes: u64::try_from(whole.used.bytes).unwrap_or(0),
            used_files: u64::try_from(whole.used.files).unwrap_or(0),
            methods: rules.methods.map(sequences),
            second_factor: rules.second_factor,
            recovery_codes: rules.recovery_codes,
            appended_code: rules.appended_code,
            networks: rules.networks,
            principals: rules.principals,
            sessions: rules.sessions,
            clear_text: rules.clear_text,
            door_options: rules.door_options,
            closed: rules.closed,
        }
    }
}
