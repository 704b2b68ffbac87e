//! An installation with two tenants, for tests of accounts.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sealift::accounts::door::{Door, Secrecy};
use sealift::accounts::login::{Accounts, LoginSettings};
use sealift::accounts::manage::Directory;
use sealift::accounts::manage_accounts::{NewAccount, NewPassword};
use sealift::accounts::places::SessionLimits;
use sealift::accounts::second_factor::KeySource;
use sealift::accounts::verify::PasswordSettings;
use sealift::crypto::keyring::KeyRing;
use sealift::crypto::password;
use sealift::db::accounts;
use sealift::db::audit::{self, AuditRecord, Chain, ChainState};
use sealift::db::commit::Committer;
use sealift::db::database::{Database, Location};
use sealift::db::migrate;
use sealift::db::sql::TenantTx;
use sealift::db::tenants::{self, NewTenant};
use sealift::domain::clock::{ManualClock, Timestamp};
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::id::{RegionId, TenantId};
use sealift::domain::principal::{LoginName, Principal, Protocol};
use sealift::domain::secret::Secret;
use sealift::ftp::options;
use sealift::server::keys::source;
use sealift::vfs::keys::{KEY_LIFE, TenantKeys};

use crate::support::folder::TempFolder;
use crate::support::postgres::Postgres;

const ROUNDS: u32 = 1_000;

/// An installation with tenants `acme` and `bolt`, each with an account `ann`.
pub(crate) struct Installation {
    pub(crate) location: Location,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) committer: Committer,
    pub(crate) directory: Directory,
    pub(crate) accounts: Accounts,
    pub(crate) keys: KeySource,
    _folder: Option<TempFolder>,
}

/// How people log in where nobody guesses passwords.
pub(crate) fn quick_logins() -> LoginSettings {
    LoginSettings {
        passwords: PasswordSettings {
            rounds: ROUNDS,
            at_once: 2,
            waiting: 100,
        },
        sessions: SessionLimits::default(),
    }
}

impl Installation {
    pub(crate) async fn sqlite() -> Self {
        let folder = TempFolder::new();
        let location = Location::Sqlite(folder.join("db"));
        let db = open(&location, &clock()).await;
        migrate::migrate(&db, "unused").await.unwrap();
        db.close().await;
        Self::over(location, Some(folder)).await
    }

    pub(crate) async fn postgres() -> Self {
        let urls = Postgres::shared().fresh_database();
        let owner = open(&Location::Postgres(urls.owner), &clock()).await;
        migrate::migrate(&owner, "sealift_server").await.unwrap();
        owner.close().await;
        Self::over(Location::Postgres(urls.server), None).await
    }

    pub(crate) async fn over(location: Location, folder: Option<TempFolder>) -> Self {
        let clock = clock();
        let committer = Committer::new(open(&location, &clock).await);
        let directory = Directory::new(committer.clone(), ROUNDS).knowing_doors(options::check);
        let settings = quick_logins();
        let keys = TenantKeys::new(committer.clone(), KeyRing::for_tests(), KEY_LIFE);
        let keys = source(Arc::new(keys));
        let accounts = Accounts::start(committer.clone(), settings, keys.clone());
        let accounts = accounts.await.unwrap();
        let world = Self {
            location,
            clock,
            committer,
            directory,
            accounts,
            keys,
            _folder: folder,
        };
        for tenant in ["acme", "bolt"] {
            world
                .directory
                .add_tenant(&new_tenant(tenant))
                .await
                .unwrap();
            world
                .add(&format!("ann@{tenant}"), &format!("{tenant}-secret"))
                .await;
        }
        world
    }

    pub(crate) async fn add(&self, login: &str, password: &str) {
        let mut new = NewAccount::new(name(login));
        new.password = NewPassword::Plain(Secret::new(password));
        self.directory.add_account(new).await.unwrap();
    }

    pub(crate) async fn log_in(
        &self,
        login: &str,
        password: &str,
        from: &str,
    ) -> Result<Principal> {
        let password = Secret::new(password);
        let login = self.accounts.login_password(login, &password, door(from));
        login.await
    }

    pub(crate) async fn refusal(&self, login: &str, password: &str, from: &str) -> ErrorKind {
        self.log_in(login, password, from).await.unwrap_err().kind()
    }

    pub(crate) async fn fail(&self, login: &str, from: &str, times: usize) {
        for _ in 0..times {
            let kind = self.refusal(login, "wrong", from).await;
            assert_eq!(kind, ErrorKind::Unauthenticated);
        }
    }

    /// What another process does on the same installation.
    pub(crate) async fn other_process(&self) -> Directory {
        let db = open(&self.location, &self.clock).await;
        Directory::new(Committer::new(db), ROUNDS).knowing_doors(options::check)
    }

    pub(crate) async fn tenant(&self, name: &str) -> TenantId {
        let tenant = tenants::by_name(self.committer.database(), name).await;
        tenant.unwrap().unwrap().id
    }

    pub(crate) async fn stored_password(&self, login: &str) -> Secret {
        let login = name(login);
        let tenant = self.tenant(&login.tenant).await;
        let mut tx = self.committer.database().read(tenant).await.unwrap();
        let account = accounts::by_name(&mut tx, &login.user).await.unwrap();
        account.unwrap().password.unwrap()
    }

    /// Puts another hash in place behind the back of everybody: no generation changes.
    pub(crate) async fn swap_password(&self, login: &str, new: &str) {
        let old = self.stored_password(login).await;
        let login = name(login);
        let tenant = self.tenant(&login.tenant).await;
        let hash = password::hash(&Secret::new(new), ROUNDS);
        let mut tx = self.committer.database().write(tenant).await.unwrap();
        let account = accounts::by_name(&mut tx, &login.user).await.unwrap();
        let new = Secret::new(hash.as_str());
        accounts::upgrade_password(&mut tx, account.unwrap().id, &old, &new)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn log(&self, tenant: &str) -> Vec<AuditRecord> {
        self.committer.drain().await;
        let tenant = self.tenant(tenant).await;
        let mut tx = self.committer.database().read(tenant).await.unwrap();
        let chain = followed(&mut tx).await;
        assert!(matches!(chain, ChainState::Whole(_)), "{chain:?}");
        audit::page(&mut tx, 0, 1000).await.unwrap()
    }

    pub(crate) async fn assert_ends(&self, principal: &Principal) {
        let ended = self.accounts.ended(principal);
        let in_time = tokio::time::timeout(Duration::from_secs(20), ended).await;
        assert!(
            in_time.is_ok(),
            "the session of {} goes on",
            principal.login
        );
    }
}

/// What following the chain of an audit log finds.
pub(crate) async fn followed(tx: &mut TenantTx) -> ChainState {
    let mut chain = Chain::default();
    loop {
        if let Some(state) = chain.follow(tx).await.unwrap() {
            return state;
        }
    }
}

pub(crate) async fn open(location: &Location, clock: &Arc<ManualClock>) -> Database {
    let db = Database::open(location, 8, clock.clone()).await.unwrap();
    db.timed_by(clock.clone())
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_seconds(1_700_000_000)))
}

pub(crate) fn new_tenant(name: &str) -> NewTenant {
    NewTenant {
        name: name.to_owned(),
        retention: Duration::from_secs(30 * 24 * 3600),
        quota_bytes: None,
        quota_files: None,
        region: RegionId::MAIN,
    }
}

pub(crate) fn name(login: &str) -> LoginName {
    login.parse().unwrap()
}

pub(crate) fn door(from: &str) -> Door {
    Door {
        protocol: Protocol::Sftp,
        address: from.parse::<IpAddr>().unwrap(),
        secrecy: Secrecy::Sealed,
    }
}
