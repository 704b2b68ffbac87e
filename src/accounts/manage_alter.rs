//! One account as a whole: shown with its version, changed in one step, removed, unlocked.

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use crate::accounts::manage::{Access, Directory, Limit, quota_text};
use crate::accounts::manage_accounts::{AccountView, account, record, shown};
use crate::accounts::manage_logins::{LoginChange, LoginView, shown_rules};
use crate::db::accounts::{self, Account};
use crate::db::audit::Happening;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::usage::{self, Amount};
use crate::db::{account_office, folders, login_guard};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::path::VfsPath;
use crate::domain::principal::LoginName;
use crate::domain::rights::Rights;

/// An account with all that is known of it but its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeAccount {
    /// What lists show.
    pub view: AccountView,
    /// How and from where it may log in.
    pub login: LoginView,
    /// Its live files.
    pub used: Amount,
    /// Its version: another one after each change.
    pub version: String,
}

/// What becomes of an account; what is not said stays.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// Whether it is let in.
    pub access: Option<Access>,
    /// Whether it administers its tenant.
    pub administrator: Option<bool>,
    /// What no grant reaches beyond.
    pub ceiling: Option<Rights>,
    /// Its home folder, made where it is missing.
    pub home: Option<VfsPath>,
    /// Most bytes of live files.
    pub quota_bytes: Limit<u64>,
    /// Most live files and folders.
    pub quota_files: Limit<u64>,
    /// How and from where it may log in.
    pub login: LoginChange,
}

impl Directory {
    /// One account.
    ///
    /// # Errors
    /// NotFound when there is no such account.
    pub async fn whole_account(&self, login: &LoginName) -> Result<WholeAccount> {
        let tenant = self.tenant(&login.tenant).await?;
        let mut tx = self.db().snapshot(tenant.id).await?;
        let account = account(&mut tx, login).await?;
        let counters = usage::counters(&mut tx, Some(account.id)).await?;
        let own = counters.iter().find(|one| one.account == Some(account.id));
        Ok(WholeAccount {
            view: shown(&mut tx, &tenant.name, &account).await?,
            used: own.map(|counter| counter.used).unwrap_or_default(),
            version: version(&account),
            login: shown_rules(&mut tx, login, account).await?,
        })
    }

    /// Whether an account administers its tenant; one that there is not does not.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn administers(&self, login: &LoginName) -> Result<bool> {
        let tenant = self.tenant(&login.tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let found = accounts::by_name(&mut tx, &login.user).await?;
        Ok(found.is_some_and(|account| account.administrator))
    }

    /// Changes an account, all at once; if `known` is given, only while it is that version. Sessions end
    /// unless only quotas change.
    ///
    /// # Errors
    /// NotFound when there is no such account; Changed when it is another version; Invalid when nothing
    /// is to change or it cannot be stored; NotFolder when a file is in the way of the home; Quota.
    pub async fn alter_account(
        &self,
        login: &LoginName,
        change: AccountChange,
        known: Option<Vec<String>>,
    ) -> Result<()> {
        change.login.check()?;
        let options = change.login.door_options.as_ref();
        self.check_options(options.and_then(Option::as_deref))?;
        let tenant = self.tenant(&login.tenant).await?;
        let altering = Alter {
            login: login.clone(),
            change,
            known,
        };
        self.run(tenant.id, altering).await
    }

    /// Lets an account in, or keeps it out and ends its sessions.
    ///
    /// # Errors
    /// NotFound when there is no such account.
    pub async fn set_account_access(&self, login: &LoginName, access: Access) -> Result<()> {
        let change = AccountChange {
            access: Some(access),
            ..AccountChange::default()
        };
        self.alter_account(login, change, None).await
    }

    /// Sets an account's own quota.
    ///
    /// # Errors
    /// NotFound when there is no such account; Invalid when nothing is to change.
    pub async fn set_account_quota(
        &self,
        login: &LoginName,
        quota_bytes: Limit<u64>,
        quota_files: Limit<u64>,
    ) -> Result<()> {
        let change = AccountChange {
            quota_bytes,
            quota_files,
            ..AccountChange::default()
        };
        self.alter_account(login, change, None).await
    }

    /// Sets what no grant reaches beyond; ends the account's sessions.
    ///
    /// # Errors
    /// NotFound when there is no such account.
    pub async fn set_ceiling(&self, login: &LoginName, ceiling: Rights) -> Result<()> {
        let change = AccountChange {
            ceiling: Some(ceiling),
            ..AccountChange::default()
        };
        self.alter_account(login, change, None).await
    }

    /// Changes how and from where an account may log in; ends its sessions.
    ///
    /// # Errors
    /// NotFound when there is no such account; Invalid when nothing is to change, for lists and texts that are
    /// too long, or names that no certificate has.
    pub async fn set_login_rules(&self, account: &LoginName, login: LoginChange) -> Result<()> {
        let change = AccountChange {
            login,
            ..AccountChange::default()
        };
        self.alter_account(account, change, None).await
    }

    /// Removes an account with all that opens it and that it was given; ends its sessions. Its files
    /// stay, and its number and audit records are never another's.
    ///
    /// # Errors
    /// NotFound when there is no such account; Changed when it is another version than `known`.
    pub async fn remove_account(
        &self,
        login: &LoginName,
        known: Option<Vec<String>>,
    ) -> Result<()> {
        let tenant = self.tenant(&login.tenant).await?;
        let login = login.clone();
        self.run(tenant.id, Remove { login, known }).await
    }

    /// Forgets an account's failed logins, so that nobody has to wait for them.
    ///
    /// # Errors
    /// NotFound when there is no such account.
    pub async fn unlock(&self, login: &LoginName) -> Result<()> {
        let tenant = self.tenant(&login.tenant).await?;
        let login = login.clone();
        self.run(tenant.id, Unlock { login }).await
    }
}

/// What tells versions of an account from one another.
fn version(account: &Account) -> String {
    let mut hash = Sha256::new();
    let Account {
        id,
        name,
        disabled,
        password: _,
        home,
        ceiling,
        quota_bytes,
        quota_files,
        // Grows with each new password, key and second factor.
        generation,
        created_at,
        rules,
        administrator,
    } = account;
    let text = format!(
        "{id:?} {name:?} {disabled} {home} {ceiling} {quota_bytes:?} {quota_files:?} {generation} \
         {created_at:?} {rules:?} {administrator}"
    );
    hash.update(text.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    data_encoding::HEXLOWER.encode(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
}

/// Fails unless the account is one of the versions that the client knows.
fn same(account: &Account, known: Option<&Vec<String>>) -> Result<()> {
    match known.is_none_or(|known| known.contains(&version(account))) {
        true => Ok(()),
        false => Err(changed()),
    }
}

/// Somebody changed it meanwhile.
pub(in crate::accounts) fn changed() -> Error {
    Error::new(
        ErrorKind::Changed,
        "this is not the version that you know any more; look at it again, then decide",
    )
}

struct Alter {
    login: LoginName,
    change: AccountChange,
    known: Option<Vec<String>>,
}

#[async_trait]
impl Operation for Alter {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let change = &self.change;
        let account = account(tx, &self.login).await?;
        same(&account, self.known.as_ref())?;
        let id = account.id;
        let mut said = Vec::new();
        let mut made_folders = false;
        if let Some(access) = change.access {
            let disabled = access == Access::Refuse;
            accounts::set_disabled(tx, id, disabled).await?;
            if account.disabled && !disabled {
                // Whoever came with the right password meanwhile need not wait for it now.
                login_guard::clear_all(tx, id).await?;
            }
            said.push(if disabled { "disabled" } else { "enabled" }.to_owned());
        }
        if let Some(administrator) = change.administrator {
            account_office::set_administrator(tx, id, administrator).await?;
            let word = if administrator { "" } else { "no " };
            said.push(format!("{word}administrator"));
        }
        if let Some(ceiling) = change.ceiling {
            accounts::set_ceiling(tx, id, ceiling).await?;
            said.push(format!("ceiling {ceiling}"));
        }
        if let Some(path) = &change.home {
            let (home, made) = folders::ensure(tx, path, None, next).await?;
            accounts::set_home(tx, id, home).await?;
            made_folders = made;
            said.push(format!("home {path}"));
        }
        if change.quota_bytes != Limit::Keep || change.quota_files != Limit::Keep {
            let bytes = change.quota_bytes.over(account.quota_bytes);
            let files = change.quota_files.over(account.quota_files);
            accounts::set_quota(tx, id, bytes, files).await?;
            said.push(format!("quota {}", quota_text(bytes, files)));
        }
        if change.login != LoginChange::default() {
            let (rules, words) = change.login.over(account.rules);
            accounts::set_rules(tx, id, &rules).await?;
            said.extend(words);
        }
        if said.is_empty() {
            return Err(Error::invalid("nothing to change; say what becomes of it"));
        }
        let detail = format!("{}: {}", self.login, said.join("; "));
        Ok(record(
            made_folders,
            Happening::new(AuditKind::AccountSet, detail),
        ))
    }
}

struct Remove {
    login: LoginName,
    known: Option<Vec<String>>,
}

#[async_trait]
impl Operation for Remove {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let account = account(tx, &self.login).await?;
        same(&account, self.known.as_ref())?;
        account_office::remove(tx, account.id).await?;
        let detail = format!("{}: number {}", self.login, account.id);
        Ok(Record::Event(Happening::new(
            AuditKind::AccountRemove,
            detail,
        )))
    }
}

struct Unlock {
    login: LoginName,
}

#[async_trait]
impl Operation for Unlock {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let account = account(tx, &self.login).await?;
        login_guard::clear_all(tx, account.id).await?;
        let detail = self.login.to_string();
        Ok(Record::Event(Happening::new(
            AuditKind::AccountUnlock,
            detail,
        )))
    }
}
