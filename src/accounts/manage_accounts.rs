//! What the operator does to accounts and their keys.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::Serialize;

use crate::accounts::home::path_of;
use crate::accounts::manage::Directory;
use crate::accounts::public_key::PublicKey;
use crate::accounts::verify;
use crate::crypto::password;
use crate::db::accounts::{self, Account, AccountKey, LoginRules};
use crate::db::audit::Happening;
use crate::db::entries::{self, Moment};
use crate::db::folders;
use crate::db::grants::{self, Grant, Subject};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::usage;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::AccountId;
use crate::domain::path::VfsPath;
use crate::domain::principal::LoginName;
use crate::domain::rights::Rights;
use crate::domain::secret::Secret;

/// What a new account is given.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its name in full.
    pub login: LoginName,
    /// What it logs in with, beside keys.
    pub password: NewPassword,
    /// Its home folder, made where it is missing; none is `/home/USER`.
    pub home: Option<VfsPath>,
    /// No grant reaches beyond this: `ALL`, or `READ_ONLY` for a read-only account.
    pub ceiling: Rights,
    /// Most bytes of live files.
    pub quota_bytes: Option<u64>,
    /// Most live files and folders.
    pub quota_files: Option<u64>,
    /// It may log in where what is typed can be read on the way.
    pub clear_text: bool,
    /// It administers its tenant.
    pub administrator: bool,
}

impl NewAccount {
    /// An account with a home of its own name, all rights there, no quota and no password yet; nothing of
    /// it travels in the clear.
    pub fn new(login: LoginName) -> Self {
        Self {
            login,
            password: NewPassword::None,
            home: None,
            ceiling: Rights::ALL,
            quota_bytes: None,
            quota_files: None,
            clear_text: false,
            administrator: false,
        }
    }
}

/// The password of a new account, or a new one.
#[derive(Clone, Debug)]
pub enum NewPassword {
    /// A hash brought from another server: PBKDF2-SHA-512, Argon2id, bcrypt or sha512-crypt.
    Hashed(Secret),
    /// None: the account logs in by key only.
    None,
    /// As it is typed.
    Plain(Secret),
}

/// An account as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Its name in full.
    pub login: String,
    /// Its number, as records of the audit log have it; no other account of the tenant ever gets it.
    pub id: i64,
    /// Whether it is kept out.
    pub disabled: bool,
    /// Whether it administers its tenant.
    pub administrator: bool,
    /// Where its home folder is now; none when it is gone.
    pub home: Option<String>,
    /// No grant reaches beyond this.
    pub ceiling: String,
    /// Whether it has a password.
    pub password: bool,
    /// Most bytes of live files.
    pub quota_bytes: Option<u64>,
    /// Most live files and folders.
    pub quota_files: Option<u64>,
    /// When it was added.
    pub created_at: String,
}

/// A key as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// `SHA256:...`, as OpenSSH prints it.
    pub fingerprint: String,
    /// `ssh-ed25519`, ...
    pub algorithm: String,
    /// What the owner wrote behind it.
    pub comment: String,
    /// When it was added.
    pub added_at: String,
}

/// How a new account came to its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// It was made.
    Made,
    /// It was there, with all that is in it: that of an account of the same name that was removed, perhaps.
    WasThere,
}

impl Directory {
    /// Adds an account with its home folder and all rights there; says whether there was such a folder.
    ///
    /// # Errors
    /// Invalid for a bad name, password or hash; AlreadyExists; NotFolder when a file is in the
    /// way of the home; Quota.
    pub async fn add_account(&self, new: NewAccount) -> Result<Home> {
        let login = new.login;
        LoginName::check_user(&login.user)?;
        let tenant = self.tenant(&login.tenant).await?;
        let home = match new.home {
            Some(home) => home,
            None => VfsPath::parse(&format!("/home/{}", login.user))?,
        };
        let was_there = {
            let mut tx = self.db().read(tenant.id).await?;
            let chain = entries::resolve(&mut tx, home.names(), Moment::Now).await?;
            chain.len() > home.names().len()
        };
        let adding = Add {
            password: self.stored(new.password).await?,
            login,
            home,
            ceiling: new.ceiling,
            quota_bytes: new.quota_bytes,
            quota_files: new.quota_files,
            clear_text: new.clear_text,
            administrator: new.administrator,
        };
        let taken = format!("there is an account '{}' already", adding.login);
        let added = self.run(tenant.id, adding).await;
        added.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => error
                .saying(taken)
                .hinting("'sealift account list' shows all"),
            _ => error,
        })?;
        Ok(match was_there {
            true => Home::WasThere,
            false => Home::Made,
        })
    }

    /// The accounts of one tenant, or of all, by name.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn accounts(&self, tenant: Option<&str>) -> Result<Vec<AccountView>> {
        let tenants = match tenant {
            Some(name) => vec![self.tenant(name).await?],
            None => crate::db::tenants::list(self.db()).await?,
        };
        let mut found = Vec::new();
        for tenant in tenants {
            let mut tx = self.db().read(tenant.id).await?;
            for account in accounts::list(&mut tx).await? {
                found.push(shown(&mut tx, &tenant.name, &account).await?);
            }
        }
        Ok(found)
    }

    /// Up to `limit` accounts of a tenant whose names come after `after`, by name.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn accounts_page(
        &self,
        tenant: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<AccountView>> {
        let tenant = self.tenant(tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let mut found = Vec::new();
        for account in accounts::page(&mut tx, after, limit).await? {
            found.push(shown(&mut tx, &tenant.name, &account).await?);
        }
        Ok(found)
    }

    /// Sets a new password, or takes it away; ends the account's sessions.
    ///
    /// # Errors
    /// NotFound when there is no such account; Invalid for a bad password or hash.
    pub async fn set_password(&self, login: &LoginName, new: NewPassword) -> Result<()> {
        let stored = self.stored(new).await?;
        self.edit(login, Step::Password(stored)).await
    }

    /// Lets a public key open the account.
    ///
    /// # Errors
    /// NotFound when there is no such account; AlreadyExists when it has the key.
    pub async fn add_key(&self, login: &LoginName, key: &PublicKey) -> Result<()> {
        let key = AccountKey {
            fingerprint: key.fingerprint(),
            key: key.blob.clone(),
            comment: key.comment.clone(),
            added_at: self.db().clock().now(),
        };
        self.edit(login, Step::AddKey(key)).await
    }

    /// The account's keys, oldest first.
    ///
    /// # Errors
    /// NotFound when there is no such account.
    pub async fn keys(&self, login: &LoginName) -> Result<Vec<KeyView>> {
        let tenant = self.tenant(&login.tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let account = account(&mut tx, login).await?;
        let keys = accounts::keys(&mut tx, account.id).await?;
        Ok(keys.into_iter().map(view).collect())
    }

    /// Takes a key away, by its fingerprint; ends the account's sessions.
    ///
    /// # Errors
    /// NotFound when there is no such account or key.
    pub async fn remove_key(&self, login: &LoginName, fingerprint: &str) -> Result<()> {
        if fingerprint.contains('\0') {
            return Err(Error::not_found("no key is called so"));
        }
        self.edit(login, Step::RemoveKey(fingerprint.to_owned()))
            .await
    }

    async fn edit(&self, login: &LoginName, step: Step) -> Result<()> {
        let tenant = self.tenant(&login.tenant).await?;
        let login = login.clone();
        self.run(tenant.id, Edit { login, step }).await
    }

    pub(in crate::accounts) async fn stored(&self, new: NewPassword) -> Result<Option<Secret>> {
        match new {
            NewPassword::None => Ok(None),
            NewPassword::Hashed(hash) => {
                let text = std::str::from_utf8(hash.expose())
                    .map_err(|error| Error::invalid("a password hash is ASCII").because(error))?;
                password::check_format(text.trim())?;
                Ok(Some(Secret::new(text.trim())))
            }
            NewPassword::Plain(password) => {
                password::check_new(&password, self.least_length)?;
                verify::hash(password, self.rounds).await.map(Some)
            }
        }
    }
}

/// An account that must be there.
pub(in crate::accounts) async fn account(tx: &mut TenantTx, login: &LoginName) -> Result<Account> {
    accounts::by_name(tx, &login.user).await?.ok_or_else(|| {
        Error::not_found(format!("there is no account '{login}'"))
            .hinting("'sealift account list' shows all")
    })
}

/// The names of accounts, each looked up once.
#[derive(Default)]
pub(in crate::accounts) struct Names {
    known: HashMap<AccountId, String>,
}

impl Names {
    /// An account's name in full; empty when there is no such account any more.
    pub(in crate::accounts) async fn login(
        &mut self,
        tx: &mut TenantTx,
        id: AccountId,
        tenant: &str,
    ) -> Result<String> {
        if let Some(login) = self.known.get(&id) {
            return Ok(login.clone());
        }
        let account = accounts::by_id(tx, id).await?;
        let login = account.map(|account| format!("{}@{tenant}", account.name));
        let login = login.unwrap_or_default();
        self.known.insert(id, login.clone());
        Ok(login)
    }
}

/// An account as it is shown.
pub(in crate::accounts) async fn shown(
    tx: &mut TenantTx,
    tenant: &str,
    account: &Account,
) -> Result<AccountView> {
    let home = path_of(tx, account.home).await?;
    Ok(AccountView {
        login: format!("{}@{tenant}", account.name),
        id: account.id.0,
        disabled: account.disabled,
        administrator: account.administrator,
        home: home.map(|path| path.to_string()),
        ceiling: account.ceiling.to_string(),
        password: account.password.is_some(),
        quota_bytes: account.quota_bytes,
        quota_files: account.quota_files,
        created_at: account.created_at.to_string(),
    })
}

struct Add {
    login: LoginName,
    password: Option<Secret>,
    home: VfsPath,
    ceiling: Rights,
    quota_bytes: Option<u64>,
    quota_files: Option<u64>,
    clear_text: bool,
    administrator: bool,
}

#[async_trait]
impl Operation for Add {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let id = accounts::next_id(tx).await?;
        // The home is the operator's: it does not count against the account's own quota.
        let (home, made) = folders::ensure(tx, &self.home, None, next).await?;
        let account = Account {
            id,
            name: self.login.user.clone(),
            disabled: false,
            password: self.password.clone(),
            home,
            ceiling: self.ceiling,
            quota_bytes: self.quota_bytes,
            quota_files: self.quota_files,
            generation: 1,
            created_at: next.at,
            rules: LoginRules {
                clear_text: self.clear_text,
                ..LoginRules::default()
            },
            administrator: self.administrator,
        };
        accounts::insert(tx, &account).await?;
        usage::create(tx, Some(id)).await?;
        let grant = Grant {
            subject: Subject::Account(id),
            node: home,
            rights: Rights::ALL,
        };
        grants::set(tx, grant).await?;
        let office = if self.administrator {
            ", an administrator"
        } else {
            ""
        };
        let detail = format!("{} with home {}{office}", self.login, self.home);
        Ok(record(made, Happening::new(AuditKind::AccountAdd, detail)))
    }
}

struct Edit {
    login: LoginName,
    step: Step,
}

enum Step {
    AddKey(AccountKey),
    Password(Option<Secret>),
    RemoveKey(String),
}

#[async_trait]
impl Operation for Edit {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let login = &self.login;
        let account = account(tx, login).await?;
        let id = account.id;
        let (kind, detail) = match &self.step {
            Step::AddKey(key) => {
                accounts::add_key(tx, id, key).await?;
                (AuditKind::KeyAdd, format!("{login}: {}", key.fingerprint))
            }
            Step::Password(stored) => {
                accounts::set_password(tx, id, stored.as_ref()).await?;
                let what = match stored {
                    Some(_) => "a new one",
                    None => "none",
                };
                (AuditKind::AccountPassword, format!("{login}: {what}"))
            }
            Step::RemoveKey(fingerprint) => {
                if !accounts::remove_key(tx, id, fingerprint).await? {
                    return Err(
                        Error::not_found(format!("{login} has no key '{fingerprint}'"))
                            .hinting("'sealift account key list' shows all"),
                    );
                }
                (AuditKind::KeyRemove, format!("{login}: {fingerprint}"))
            }
        };
        Ok(Record::Event(Happening::new(kind, detail)))
    }
}

/// A change when folders were made, else an event.
pub(in crate::accounts) fn record(made: bool, happening: Happening) -> Record {
    match made {
        true => Record::Change(happening),
        false => Record::Event(happening),
    }
}

fn view(key: AccountKey) -> KeyView {
    let public = PublicKey {
        blob: key.key,
        comment: key.comment,
    };
    KeyView {
        fingerprint: key.fingerprint,
        algorithm: public.algorithm().to_owned(),
        comment: public.comment,
        added_at: key.added_at.to_string(),
    }
}
