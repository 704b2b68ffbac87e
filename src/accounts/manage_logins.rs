//! How and from where accounts may log in: what the operator does about it.

use async_trait::async_trait;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::accounts::manage::{Directory, Limit};
use crate::accounts::manage_accounts::account;
use crate::accounts::methods::{Course, Equipment, Policy};
use crate::accounts::second_factor::{self, KeySource};
use crate::crypto::totp::TotpSecret;
use crate::db::accounts::{self, Account, LoginRules};
use crate::db::audit::Happening;
use crate::db::operation::{Operation, Record};
use crate::db::placement;
use crate::db::second_factors::{self, SecondFactor};
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::AccountId;
use crate::domain::principal::LoginName;
use crate::net::network::Network;

const MAX_NETWORKS: usize = 100;
const MAX_PRINCIPALS: usize = 100;
const MAX_PRINCIPAL_BYTES: usize = 255;

/// How and from where an account may log in, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoginView {
    /// Its name in full.
    pub login: String,
    /// The sequences of methods that open it; none is any one method.
    pub methods: Option<String>,
    /// Whether it has something that makes codes.
    pub second_factor: bool,
    /// Recovery codes that were not used yet.
    pub recovery_codes: i64,
    /// Whether the code may stand behind the password.
    pub appended_code: bool,
    /// Where it may come from; none is anywhere.
    pub networks: Option<Vec<String>>,
    /// The names in certificates that open it; none is its own.
    pub principals: Option<Vec<String>>,
    /// Most sessions at a time.
    pub sessions: Option<u64>,
    /// Whether it may log in where what is typed can be read on the way.
    pub clear_text: bool,
    /// Words for the door.
    pub door_options: Option<String>,
    /// No sequence fits what the account has: nothing opens it.
    pub closed: bool,
}

/// What becomes of how an account may log in; none leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginChange {
    /// The sequences of methods; `Some(None)` is any one method.
    pub methods: Option<Option<Policy>>,
    /// Whether the code may stand behind the password.
    pub appended_code: Option<bool>,
    /// Where it may come from; empty is anywhere.
    pub networks: Option<Vec<Network>>,
    /// The names in certificates that open it; empty is its own.
    pub principals: Option<Vec<String>>,
    /// Most sessions at a time.
    pub sessions: Limit<u64>,
    /// Whether it may log in where what is typed can be read on the way.
    pub clear_text: Option<bool>,
    /// Words for the door; `Some(None)` is what the tenant and the settings say.
    pub door_options: Option<Option<String>>,
}

impl LoginChange {
    /// Whether it can be stored.
    pub(in crate::accounts) fn check(&self) -> Result<()> {
        if self.networks.as_ref().map_or(0, Vec::len) > MAX_NETWORKS {
            return Err(Error::invalid(format!(
                "there are more than {MAX_NETWORKS} networks; write fewer and larger ones"
            )));
        }
        let principals = self.principals.as_deref().unwrap_or_default();
        let is_bad = |name: &String| {
            name.is_empty()
                || name.len() > MAX_PRINCIPAL_BYTES
                || name.chars().any(char::is_control)
        };
        if principals.len() > MAX_PRINCIPALS || principals.iter().any(is_bad) {
            return Err(Error::invalid(format!(
                "give at most {MAX_PRINCIPALS} names of at most {MAX_PRINCIPAL_BYTES} bytes of plain text"
            )));
        }
        Ok(())
    }

    /// What comes of it, and the words for that.
    pub(in crate::accounts) fn over(&self, before: LoginRules) -> (LoginRules, Vec<String>) {
        let change = self;
        let mut rules = before;
        let mut said = Vec::new();
        let shown =
            |text: &Option<String>, none: &str| text.as_deref().unwrap_or(none).replace('\n', " ");
        if let Some(policy) = &change.methods {
            rules.methods = policy.as_ref().map(ToString::to_string);
            said.push(format!("methods {}", shown(&rules.methods, "any")));
        }
        if let Some(appended) = change.appended_code {
            rules.appended_code = appended;
            let word = if appended { "may" } else { "may not" };
            said.push(format!("a code {word} stand behind the password"));
        }
        if let Some(networks) = &change.networks {
            let all: Vec<_> = networks.iter().map(ToString::to_string).collect();
            rules.networks = (!all.is_empty()).then(|| all.join(" "));
            said.push(format!("from {}", shown(&rules.networks, "anywhere")));
        }
        if let Some(principals) = &change.principals {
            rules.principals = (!principals.is_empty()).then(|| principals.join("\n"));
            said.push(format!(
                "principals {}",
                shown(&rules.principals, "its own")
            ));
        }
        rules.sessions = change.sessions.over(rules.sessions);
        if change.sessions != Limit::Keep {
            let limit = rules
                .sessions
                .map_or("as set".to_owned(), |n| n.to_string());
            said.push(format!("sessions {limit}"));
        }
        if let Some(clear_text) = change.clear_text {
            rules.clear_text = clear_text;
            let word = if clear_text { "may" } else { "may not" };
            said.push(format!("it {word} log in in the clear"));
        }
        if let Some(options) = &change.door_options {
            rules.door_options.clone_from(options);
            said.push(format!("doors {}", shown(options, "as set")));
        }
        (rules, said)
    }
}

/// What is shown once of a new second factor.
pub struct NewSecondFactor {
    /// What authenticator apps read.
    pub uri: Zeroizing<String>,
    /// For the day when the app is lost.
    pub recovery_codes: Vec<String>,
}

impl Directory {
    /// How and from where an account may log in.
    ///
    /// # Errors
    /// NotFound when there is no such account.
    pub async fn login_rules(&self, login: &LoginName) -> Result<LoginView> {
        let tenant = self.tenant(&login.tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let account = account(&mut tx, login).await?;
        shown_rules(&mut tx, login, account).await
    }

    /// Gives an account something that makes codes, in place of what it had; ends its sessions.
    /// What is returned can never be shown again.
    ///
    /// # Errors
    /// NotFound when there is no such account; Invalid when the tenant's keys were destroyed; Unavailable when they
    /// cannot be had.
    pub async fn add_second_factor(
        &self,
        login: &LoginName,
        keys: &KeySource,
    ) -> Result<NewSecondFactor> {
        let tenant = self.tenant(&login.tenant).await?;
        let id = {
            let mut tx = self.db().read(tenant.id).await?;
            account(&mut tx, login).await?.id
        };
        placement::require_keys(self.db(), tenant.id).await?;
        let secret = TotpSecret::random();
        let recovery_codes = second_factor::recovery_codes();
        let adding = AddFactor {
            login: login.clone(),
            id,
            sealed: second_factor::seal(keys, tenant.id, id, &secret).await?,
            hashes: recovery_codes
                .iter()
                .map(|code| second_factor::recovery_hash(code))
                .collect(),
        };
        self.run(tenant.id, adding).await?;
        Ok(NewSecondFactor {
            uri: secret.uri(&login.to_string()),
            recovery_codes,
        })
    }

    /// Takes away what makes an account's codes, with its recovery codes; ends its sessions.
    ///
    /// # Errors
    /// NotFound when there is no such account, or it has none.
    pub async fn remove_second_factor(&self, login: &LoginName) -> Result<()> {
        let tenant = self.tenant(&login.tenant).await?;
        let login = login.clone();
        self.run(tenant.id, RemoveFactor { login }).await
    }
}

/// How and from where an account may log in.
pub(in crate::accounts) async fn shown_rules(
    tx: &mut TenantTx,
    login: &LoginName,
    account: Account,
) -> Result<LoginView> {
    let factor = second_factors::find(tx, account.id).await?;
    let codes = second_factors::recovery_codes(tx, account.id).await?;
    let rules = account.rules;
    let equipment = Equipment {
        password: account.password.is_some(),
        second_factor: factor.is_some(),
        appended_code: rules.appended_code,
    };
    let policy = match rules.methods.as_deref() {
        None => Policy::default(),
        Some(text) => text.parse()?,
    };
    let list = |text: Option<String>, apart: char| {
        text.map(|text| text.split(apart).map(str::to_owned).collect())
    };
    Ok(LoginView {
        login: login.to_string(),
        methods: rules.methods,
        second_factor: factor.is_some(),
        recovery_codes: codes,
        appended_code: rules.appended_code,
        networks: list(rules.networks, ' '),
        principals: list(rules.principals, '\n'),
        sessions: rules.sessions,
        clear_text: rules.clear_text,
        door_options: rules.door_options,
        closed: Course::new(&policy, equipment).methods().is_empty(),
    })
}

struct AddFactor {
    login: LoginName,
    id: AccountId,
    sealed: Vec<u8>,
    hashes: Vec<[u8; 32]>,
}

#[async_trait]
impl Operation for AddFactor {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let id = account(tx, &self.login).await?.id;
        if id != self.id {
            return Err(Error::new(
                ErrorKind::Stale,
                "the account was changed at the same time; try again",
            ));
        }
        let factor = SecondFactor {
            sealed: self.sealed.clone(),
            last_step: 0,
            added_at: next.at,
        };
        second_factors::set(tx, id, &factor).await?;
        for hash in &self.hashes {
            second_factors::add_recovery_code(tx, id, hash).await?;
        }
        accounts::end_sessions(tx, id).await?;
        let detail = self.login.to_string();
        Ok(Record::Event(Happening::new(AuditKind::TotpAdd, detail)))
    }
}

struct RemoveFactor {
    login: LoginName,
}

#[async_trait]
impl Operation for RemoveFactor {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let login = &self.login;
        let id = account(tx, login).await?.id;
        if !second_factors::remove(tx, id).await? {
            return Err(Error::not_found(format!("{login} has no second factor")));
        }
        accounts::end_sessions(tx, id).await?;
        Ok(Record::Event(Happening::new(
            AuditKind::TotpRemove,
            login.to_string(),
        )))
    }
}
