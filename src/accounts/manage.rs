//! What the operator does to tenants: each step is written down in the tenant's audit log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::accounts::bearer;
use crate::accounts::login::Accounts;
use crate::accounts::sessions::Sessions;
use crate::db::audit::Happening;
use crate::db::commit::Committer;
use crate::db::database::Database;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::tenants::{self, NewTenant, Tenant};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, TenantId};
use crate::domain::principal::{Actor, LoginName, Principal};

/// Tenants, accounts, groups and grants, for the operator and whoever may do a part of it. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    pub(in crate::accounts) committer: Committer,
    /// Who the audit log says it was.
    actor: Actor,
    /// The account that does things; none is an operator.
    holder: Option<Holder>,
    pub(in crate::accounts) rounds: u32,
    /// Fewest characters of a new password.
    pub(in crate::accounts) least_length: usize,
    /// Those that go on in this process, where it has any.
    sessions: Option<Sessions>,
    /// Says what is wrong with words for the doors.
    pub(in crate::accounts) doors: Option<DoorCheck>,
    /// Pages of audit logs that are read at a time, by whoever asks: each takes one of the few connections that all
    /// share.
    pub(in crate::accounts) audits: Arc<Semaphore>,
}

/// An account, as it was when somebody was let in as it.
#[derive(Clone, Copy)]
struct Holder {
    account: AccountId,
    generation: i64,
}

/// Fails unless the doors know what words for them mean.
pub type DoorCheck = fn(&str) -> Result<()>;

/// Pages of audit logs that are read at a time.
const AUDITS: usize = 2;

/// Let in or kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// May log in.
    Allow,
    /// May not; sessions end within seconds.
    Refuse,
}

/// What happens to one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Limit<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// There is none any more.
    Lift,
    /// It becomes this.
    Set(T),
}

impl<T: Copy> Limit<T> {
    pub(in crate::accounts) fn over(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Lift => None,
            Self::Set(limit) => Some(limit),
        }
    }
}

/// What becomes of a tenant's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TenantLimits {
    /// Most bytes of live files.
    pub quota_bytes: Limit<u64>,
    /// Most live files and folders.
    pub quota_files: Limit<u64>,
    /// How long the past is kept; none leaves it.
    pub retention: Option<Duration>,
}

/// A tenant as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantView {
    /// Its name.
    pub name: String,
    /// Whether its accounts are kept out.
    pub disabled: bool,
    /// How long the past is kept.
    pub retention_seconds: u64,
    /// Most bytes of live files.
    pub quota_bytes: Option<u64>,
    /// Most live files and folders.
    pub quota_files: Option<u64>,
    /// When it was added.
    pub created_at: String,
    /// Words for the doors of its accounts.
    pub door_options: Option<String>,
    /// Most sessions of its accounts at a time; none is what the settings say.
    pub sessions: Option<u64>,
}

impl Directory {
    /// Makes new password hashes with `rounds` of PBKDF2; it is the operator who does things.
    pub fn new(committer: Committer, rounds: u32) -> Self {
        Self {
            committer,
            actor: Actor::operator(),
            holder: None,
            rounds,
            least_length: 1,
            sessions: None,
            doors: None,
            audits: Arc::new(Semaphore::new(AUDITS)),
        }
    }

    /// The same, which ends the sessions that go on here as soon as it has changed their account; those
    /// elsewhere end within seconds.
    #[must_use]
    pub fn over_sessions_of(self, accounts: &Accounts) -> Self {
        Self {
            sessions: Some(accounts.inner.sessions.clone()),
            ..self
        }
    }

    /// The same, which takes no new password that has fewer characters.
    #[must_use]
    pub fn with_least_length(self, least_length: usize) -> Self {
        Self {
            least_length,
            ..self
        }
    }

    /// The same, which takes words for the doors that `check` knows; it takes none without.
    #[must_use]
    pub fn knowing_doors(self, check: DoorCheck) -> Self {
        Self {
            doors: Some(check),
            ..self
        }
    }

    /// The same, done by somebody else.
    #[must_use]
    pub fn by(&self, actor: Actor) -> Self {
        Self {
            actor,
            holder: None,
            ..self.clone()
        }
    }

    /// The same, done by an account of the tenant, for as long as nobody changes that: then whatever is done fails as
    /// Unauthenticated, and nothing of it is done.
    #[must_use]
    pub fn by_account(&self, principal: &Principal) -> Self {
        Self {
            actor: principal.actor(),
            holder: Some(Holder {
                account: principal.account,
                generation: principal.generation,
            }),
            ..self.clone()
        }
    }

    /// Adds a tenant with an empty tree.
    ///
    /// # Errors
    /// Invalid when the name breaks the rule; AlreadyExists.
    pub async fn add_tenant(&self, new: &NewTenant) -> Result<TenantView> {
        LoginName::check_tenant(&new.name)?;
        let tenant = tenants::add(self.db(), new).await?;
        self.write_down(
            tenant.id,
            Happening::new(AuditKind::TenantAdd, tenant.name.as_str()),
        )
        .await?;
        Ok(view(&tenant))
    }

    /// The number of a tenant.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn tenant_id(&self, name: &str) -> Result<TenantId> {
        self.tenant(name).await.map(|tenant| tenant.id)
    }

    /// Writes down in a tenant's audit log that somebody was refused something; does not wait.
    pub fn note_refusal(&self, tenant: TenantId, what: &str) {
        let happening = Happening::new(AuditKind::AdminRefused, what);
        self.committer.note(tenant, &self.actor, happening);
    }

    pub(in crate::accounts) fn db(&self) -> &Database {
        self.committer.database()
    }

    pub(in crate::accounts) async fn tenant(&self, name: &str) -> Result<Tenant> {
        tenants::by_name(self.db(), name).await?.ok_or_else(|| {
            Error::not_found(format!("there is no tenant '{name}'"))
                .hinting("'sealift tenant list' shows all")
        })
    }

    pub(in crate::accounts) async fn run(
        &self,
        tenant: TenantId,
        operation: impl Operation,
    ) -> Result<()> {
        let held = Held {
            holder: self.holder,
            operation,
        };
        self.committer.run(tenant, &self.actor, held).await?;
        if let Some(sessions) = &self.sessions
            && let Err(error) = sessions.look_at(tenant).await
        {
            tracing::debug!(error = ?error, "sessions of a changed account end a moment later");
        }
        Ok(())
    }

    pub(in crate::accounts) async fn write_down(
        &self,
        tenant: TenantId,
        happening: Happening,
    ) -> Result<()> {
        self.run(tenant, Event(happening)).await
    }
}

/// Words for a quota in the audit log.
pub(in crate::accounts) fn quota_text(bytes: Option<u64>, files: Option<u64>) -> String {
    let words = |limit: Option<u64>| limit.map_or("any".to_owned(), |limit| limit.to_string());
    format!("{} bytes, {} files", words(bytes), words(files))
}

/// What is done only while who does it is who they were.
struct Held<O> {
    holder: Option<Holder>,
    operation: O,
}

#[async_trait]
impl<O: Operation> Operation for Held<O> {
    fn grows(&self) -> bool {
        self.operation.grows()
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        if let Some(holder) = self.holder {
            bearer::require_unchanged(tx, holder.account, holder.generation).await?;
        }
        self.operation.apply(tx, next).await
    }
}

struct Event(Happening);

#[async_trait]
impl Operation for Event {
    async fn apply(&self, _tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        Ok(Record::Event(self.0.clone()))
    }
}

/// A tenant as it is shown.
pub(in crate::accounts) fn view(tenant: &Tenant) -> TenantView {
    TenantView {
        name: tenant.name.clone(),
        disabled: tenant.disabled,
        retention_seconds: tenant.retention.as_secs(),
        quota_bytes: tenant.quota_bytes,
        quota_files: tenant.quota_files,
        created_at: tenant.created_at.to_string(),
        door_options: tenant.door_options.clone(),
        sessions: tenant.sessions,
    }
}
