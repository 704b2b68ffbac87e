//! A virtual file system over real databases, for tests that need no server.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sealift::crypto::keyring::KeyRing;
use sealift::db::accounts::{self, Account, LoginRules};
use sealift::db::commit::Committer;
use sealift::db::database::{Database, Location};
use sealift::db::grants::{self, Grant, Subject};
use sealift::db::instances;
use sealift::db::migrate;
use sealift::db::operation::{Operation, Record};
use sealift::db::sql::{Dialect, TenantTx};
use sealift::db::tenants::{self, NewTenant, Tenant};
use sealift::db::usage;
use sealift::domain::change::Committed;
use sealift::domain::clock::{Clock, ManualClock, SystemClock, Timestamp};
use sealift::domain::error::Result;
use sealift::domain::id::{AccountId, InstanceId, RegionId, SessionId};
use sealift::domain::node::AttributeUpdate;
use sealift::domain::path::VfsPath;
use sealift::domain::principal::{Actor, DoorOptions, LoginName, Principal, Protocol};
use sealift::domain::rights::Rights;
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};
use sealift::net::budget::Budget;
use sealift::storage::faulty::{Faults, FaultyStore};
use sealift::storage::memory::MemoryStore;
use sealift::storage::regions::Regions;
use sealift::storage::store::BlobStore;
use sealift::vfs::keys::{KEY_LIFE, TenantKeys};
use sealift::vfs::options::{Create, WriteOptions};
use sealift::vfs::service::Vfs;
use sealift::vfs::session::Session;

use crate::support::cloud;
use crate::support::folder::TempFolder;
use crate::support::postgres::Postgres;

/// A file system with one tenant, on a clock that the test moves.
pub(crate) struct World {
    pub(crate) vfs: Vfs,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tenant: Tenant,
    pub(crate) faults: Faults,
    ring: KeyRing,
    _folder: TempFolder,
}

impl World {
    /// A tenant `acme` without quota that keeps its past for 30 days.
    pub(crate) async fn new(dialect: Dialect) -> Self {
        Self::with(dialect, new_tenant("acme")).await
    }

    pub(crate) async fn with(dialect: Dialect, tenant: NewTenant) -> Self {
        Self::within(dialect, tenant, Budget::new(64 << 20)).await
    }

    /// The same with a memory budget of the test's own.
    pub(crate) async fn within(dialect: Dialect, tenant: NewTenant, budget: Budget) -> Self {
        if cloud::wanted() {
            let store = cloud::store().await;
            return Self::over(dialect, tenant, budget, |_| store).await;
        }
        Self::over(dialect, tenant, budget, MemoryStore::new).await
    }

    /// The same with a store of the test's own.
    pub(crate) async fn over<S: BlobStore>(
        dialect: Dialect,
        tenant: NewTenant,
        budget: Budget,
        store: impl FnOnce(Arc<dyn Clock>) -> S,
    ) -> Self {
        let mut faults = Faults::default();
        let regions = |clock| {
            let store = FaultyStore::new(Arc::new(store(clock)));
            faults = store.faults();
            Regions::one(Arc::new(store))
        };
        let world = Self::across(dialect, tenant, budget, regions).await;
        Self { faults, ..world }
    }

    /// The same with several regions; faults are the test's own.
    pub(crate) async fn across(
        dialect: Dialect,
        tenant: NewTenant,
        budget: Budget,
        regions: impl FnOnce(Arc<dyn Clock>) -> Regions,
    ) -> Self {
        let ring = match cloud::wanted() {
            true => cloud::ring().await,
            false => KeyRing::for_tests(),
        };
        Self::keyed(dialect, tenant, budget, regions, ring).await
    }

    /// The same over one store in memory, with keys kept as the test likes it.
    pub(crate) async fn with_ring(dialect: Dialect, ring: KeyRing) -> Self {
        let regions = |clock| Regions::one(Arc::new(MemoryStore::new(clock)));
        let budget = Budget::new(64 << 20);
        Self::keyed(dialect, new_tenant("acme"), budget, regions, ring).await
    }

    /// The same with a key ring of the test's own.
    pub(crate) async fn keyed(
        dialect: Dialect,
        tenant: NewTenant,
        budget: Budget,
        regions: impl FnOnce(Arc<dyn Clock>) -> Regions,
        ring: KeyRing,
    ) -> Self {
        let folder = TempFolder::new();
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
        let db = database(dialect, &folder, &clock).await;
        let tenant = tenants::add(&db, &tenant).await.unwrap();
        let regions = regions(clock.clone());
        Self::on(db, clock, tenant, regions, budget, ring, folder).await
    }

    /// Two instances on one PostgreSQL, by whose time both go, and one store. The second one's own clock, which
    /// stands still until the test moves it, is ahead by so much.
    pub(crate) async fn apart(ahead: Duration) -> (Self, Self) {
        let urls = Postgres::shared().fresh_database();
        let (owner, server) = (
            Location::Postgres(urls.owner),
            Location::Postgres(urls.server),
        );
        let db = Database::open(&owner, 2, Arc::new(SystemClock)).await;
        let db = db.unwrap();
        migrate::migrate(&db, "sealift_server").await.unwrap();
        db.close().await;
        let right = Database::open(&server, 8, Arc::new(SystemClock)).await;
        let clock = Arc::new(ManualClock::new(SystemClock.now().plus(ahead)));
        let wrong = Database::open(&server, 8, clock.clone()).await.unwrap();
        let regions = Regions::one(Arc::new(MemoryStore::default()));
        let right = right.unwrap();
        let tenant = tenants::add(&right, &new_tenant("acme")).await.unwrap();
        let ring = KeyRing::for_tests();
        let on = async |db| {
            let (tenant, regions) = (tenant.clone(), regions.clone());
            let (budget, ring) = (Budget::new(64 << 20), ring.clone());
            let folder = TempFolder::new();
            Self::on(db, clock.clone(), tenant, regions, budget, ring, folder).await
        };
        (on(right).await, on(wrong).await)
    }

    /// On a database of the test's own.
    pub(crate) async fn on(
        db: Database,
        clock: Arc<ManualClock>,
        tenant: Tenant,
        regions: Regions,
        budget: Budget,
        ring: KeyRing,
        folder: TempFolder,
    ) -> Self {
        let instance = InstanceId::mint(db.clock().now());
        let lease = Duration::from_secs(1 << 30);
        instances::renew(&db, instance, lease).await.unwrap();
        let committer = Committer::new(db);
        let vfs = Vfs::new(
            committer.clone(),
            regions,
            TenantKeys::new(committer, ring.clone(), KEY_LIFE),
            budget,
            instance,
        );
        Self {
            vfs,
            clock,
            tenant,
            faults: Faults::default(),
            ring,
            _folder: folder,
        }
    }

    /// The same file system as another server sees it that has just been started.
    pub(crate) fn restarted(&self, ring: KeyRing) -> Self {
        let committer = self.vfs.committer().clone();
        let keys = TenantKeys::new(committer.clone(), ring, KEY_LIFE);
        let (regions, budget) = (self.vfs.regions().clone(), self.vfs.budget().clone());
        Self {
            vfs: Vfs::new(committer, regions, keys, budget, self.vfs.instance()),
            ..self.in_tenant(self.tenant.clone())
        }
    }

    /// The same file system, as another instance that runs at the same time.
    pub(crate) fn beside(&self) -> Self {
        let committer = Committer::new(self.vfs.database().clone());
        let keys = TenantKeys::new(committer.clone(), self.ring.clone(), KEY_LIFE);
        let (regions, budget) = (self.vfs.regions().clone(), self.vfs.budget().clone());
        let instance = InstanceId::mint(self.clock.now());
        Self {
            vfs: Vfs::new(committer, regions, keys, budget, instance),
            ..self.in_tenant(self.tenant.clone())
        }
    }

    /// The same file system as a server sees it whose settings name other regions.
    pub(crate) fn over_regions(&self, regions: Regions) -> Self {
        let committer = self.vfs.committer().clone();
        let keys = TenantKeys::new(committer.clone(), self.ring.clone(), KEY_LIFE);
        let (budget, instance) = (self.vfs.budget().clone(), self.vfs.instance());
        Self {
            vfs: Vfs::new(committer, regions, keys, budget, instance),
            ..self.in_tenant(self.tenant.clone())
        }
    }

    /// The same file system, with accounts of another tenant.
    pub(crate) fn in_tenant(&self, tenant: Tenant) -> Self {
        Self {
            vfs: self.vfs.clone(),
            clock: self.clock.clone(),
            tenant,
            faults: self.faults.clone(),
            ring: self.ring.clone(),
            _folder: TempFolder::new(),
        }
    }

    /// An account with all rights on the root, and its session.
    pub(crate) async fn account(&self, name: &str) -> Session {
        self.account_with(name, Rights::ALL, None).await
    }

    pub(crate) async fn account_with(
        &self,
        name: &str,
        rights: Rights,
        quota_bytes: Option<u64>,
    ) -> Session {
        let add = AddAccount {
            name: name.to_owned(),
            tenant: self.tenant.clone(),
            rights,
            quota_bytes,
        };
        let committer = self.vfs.committer();
        let actor = Actor::operator();
        committer.run(self.tenant.id, &actor, add).await.unwrap();
        self.session_of(name).await
    }

    /// Another session of an account that there is.
    pub(crate) async fn session_of(&self, name: &str) -> Session {
        let mut tx = self.vfs.database().read(self.tenant.id).await.unwrap();
        let account = accounts::by_name(&mut tx, name).await.unwrap().unwrap();
        drop(tx);
        self.session(account.id, name)
    }

    pub(crate) fn session(&self, account: AccountId, name: &str) -> Session {
        self.vfs.session(Principal {
            tenant: self.tenant.id,
            account,
            login: LoginName {
                user: name.to_owned(),
                tenant: self.tenant.name.clone(),
            },
            generation: 1,
            ceiling: Rights::ALL,
            scope: Rights::ALL,
            sees_ways: true,
            home: VfsPath::root(),
            session: SessionId::random(),
            protocol: Protocol::Sftp,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            door_options: DoorOptions::default(),
            link: None,
            administrator: false,
        })
    }
}

/// A tenant without quota that keeps its past for 30 days.
pub(crate) fn new_tenant(name: &str) -> NewTenant {
    NewTenant {
        name: name.to_owned(),
        retention: Duration::from_secs(30 * 24 * 3600),
        quota_bytes: None,
        quota_files: None,
        region: RegionId::MAIN,
    }
}

/// An empty, migrated database, opened as the server opens it.
async fn database(dialect: Dialect, folder: &TempFolder, clock: &Arc<ManualClock>) -> Database {
    let (owner, server) = match dialect {
        Dialect::Sqlite => {
            let location = Location::Sqlite(folder.join("test.db"));
            (location.clone(), location)
        }
        Dialect::Postgres => {
            let urls = Postgres::shared().fresh_database();
            (
                Location::Postgres(urls.owner),
                Location::Postgres(urls.server),
            )
        }
    };
    let db = Database::open(&owner, 2, clock.clone()).await.unwrap();
    migrate::migrate(&db, "sealift_server").await.unwrap();
    db.close().await;
    let db = Database::open(&server, 8, clock.clone()).await.unwrap();
    migrate::require_current(&db).await.unwrap();
    db.timed_by(clock.clone())
}

struct AddAccount {
    name: String,
    tenant: Tenant,
    rights: Rights,
    quota_bytes: Option<u64>,
}

#[async_trait::async_trait]
impl Operation for AddAccount {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let id = accounts::next_id(tx).await?;
        let account = Account {
            id,
            name: self.name.clone(),
            disabled: false,
            password: None,
            home: self.tenant.root,
            ceiling: Rights::ALL,
            quota_bytes: self.quota_bytes,
            quota_files: None,
            generation: 1,
            created_at: next.at,
            rules: LoginRules::default(),
            administrator: false,
        };
        accounts::insert(tx, &account).await?;
        usage::create(tx, Some(id)).await?;
        let grant = Grant {
            subject: Subject::Account(id),
            node: self.tenant.root,
            rights: self.rights,
        };
        grants::set(tx, grant).await?;
        Ok(Record::Nothing)
    }
}

pub(crate) fn path(text: &str) -> VfsPath {
    VfsPath::parse(text).unwrap()
}

/// How clients that replace files open them.
pub(crate) fn replace() -> WriteOptions {
    WriteOptions {
        create: Create::IfMissing,
        truncate: true,
        append: false,
        resumable: true,
        attributes: AttributeUpdate::default(),
    }
}

/// How clients that change files in place open them.
pub(crate) fn update() -> WriteOptions {
    WriteOptions {
        truncate: false,
        ..replace()
    }
}

/// Stores a whole file.
pub(crate) async fn put(session: &Session, at: &VfsPath, bytes: &[u8]) -> Result<()> {
    let mut writer = session.open_write(at, replace()).await?;
    for (index, chunk) in bytes.chunks(32 * 1024).enumerate() {
        let offset = (index * 32 * 1024) as u64;
        writer
            .write_at(offset, Bytes::copy_from_slice(chunk))
            .await?;
    }
    writer.commit().await.map(drop)
}

/// Reads a whole file.
pub(crate) async fn get(session: &Session, at: &VfsPath) -> Result<Vec<u8>> {
    let reader = session.open_read(at).await?;
    let mut whole = Vec::new();
    loop {
        let bytes = reader.read_at(whole.len() as u64, 50_000).await?;
        if bytes.is_empty() {
            return Ok(whole);
        }
        whole.extend_from_slice(&bytes);
    }
}

/// What database and stores hold agrees, to the byte.
pub(crate) async fn clean(world: &World) {
    world.vfs.drain().await;
    let report = fsck::check(&world.vfs, Repair::No, Depth::Bytes)
        .await
        .unwrap();
    assert!(report.clean, "{:?}", report.problems);
}
