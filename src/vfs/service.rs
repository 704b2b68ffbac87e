//! What all sessions share.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::db::commit::Committer;
use crate::db::database::Database;
use crate::domain::error::Result;
use crate::domain::id::{InstanceId, RegionId};
use crate::domain::principal::Principal;
use crate::net::budget::Budget;
use crate::storage::regions::Regions;
use crate::storage::store::BlobStore;
use crate::vfs::admission::{Admission, Admissions};
use crate::vfs::damage::Damage;
use crate::vfs::hasher::Hands;
use crate::vfs::keys::TenantKeys;
use crate::vfs::pieces::Pieces;
use crate::vfs::recycled::Recycled;
use crate::vfs::sealers::Sealers;
use crate::vfs::senders::Senders;
use crate::vfs::stranded::Stranded;

/// The virtual file system of an instance. Cheap to clone.
#[derive(Clone)]
pub struct Vfs {
    shared: Arc<Shared>,
    /// The database as work in the background uses it.
    background: Option<Arc<Database>>,
}

struct Shared {
    committer: Committer,
    regions: Regions,
    keys: Arc<TenantKeys>,
    sealers: Sealers,
    budget: Budget,
    admissions: Arc<Admissions>,
    instance: InstanceId,
    damage: Damage,
    recycled: Recycled,
    pieces: Arc<Pieces>,
    senders: Arc<Senders>,
    stranded: Stranded,
    hands: Hands,
    tasks: TaskTracker,
}

impl Vfs {
    /// Puts the parts together.
    pub fn new(
        committer: Committer,
        regions: Regions,
        keys: TenantKeys,
        budget: Budget,
        instance: InstanceId,
    ) -> Self {
        let keys = Arc::new(keys);
        let sealers = Sealers::new(committer.clone(), keys.clone(), instance);
        let stranded = Stranded::new(committer.clone());
        let tasks = TaskTracker::new();
        Self {
            background: None,
            shared: Arc::new(Shared {
                committer,
                regions,
                keys,
                sealers,
                hands: Hands::new(budget.clone(), tasks.clone()),
                budget,
                admissions: Arc::default(),
                instance,
                damage: Damage::default(),
                recycled: Recycled::default(),
                pieces: Arc::default(),
                senders: Arc::default(),
                stranded,
                tasks,
            }),
        }
    }

    /// The same, for work in the background, whose long statements keep nobody's thread.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self {
            background: Some(Arc::new(self.database().in_background())),
            shared: self.shared.clone(),
        }
    }

    /// Commits changes.
    pub fn committer(&self) -> &Committer {
        &self.shared.committer
    }

    /// The database.
    pub fn database(&self) -> &Database {
        match &self.background {
            Some(database) => database,
            None => self.shared.committer.database(),
        }
    }

    /// Where blobs are.
    pub fn regions(&self) -> &Regions {
        &self.shared.regions
    }

    /// The store of a region.
    ///
    /// # Errors
    /// Unavailable when the settings do not name it.
    pub fn store(&self, region: RegionId) -> Result<&Arc<dyn BlobStore>> {
        self.shared.regions.get(region)
    }

    /// The tenants' data keys.
    pub fn keys(&self) -> &Arc<TenantKeys> {
        &self.shared.keys
    }

    /// Sealers for new blobs.
    pub(in crate::vfs) fn sealers(&self) -> &Sealers {
        &self.shared.sealers
    }

    /// The memory of the process.
    pub fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// Grants memory to an upload; see [`Admissions::admit`].
    pub(in crate::vfs) fn admit(&self, principal: &Principal, bytes: usize) -> Result<Admission> {
        let shared = &self.shared;
        let whose = (principal.tenant, principal.account);
        shared.admissions.admit(&shared.budget, whose, bytes)
    }

    /// This process.
    pub fn instance(&self) -> InstanceId {
        self.shared.instance
    }

    /// Memory for what is read.
    pub(in crate::vfs) fn recycled(&self) -> &Recycled {
        &self.shared.recycled
    }

    /// Threads that reckon sums beside the writing.
    pub(in crate::vfs) fn hands(&self) -> &Hands {
        &self.shared.hands
    }

    /// Damage that reading met.
    pub fn damage(&self) -> &Damage {
        &self.shared.damage
    }

    /// The uploads with an address that this process writes to.
    pub(in crate::vfs) fn pieces(&self) -> &Arc<Pieces> {
        &self.shared.pieces
    }

    /// Who is sending what to this process.
    pub(in crate::vfs) fn senders(&self) -> &Arc<Senders> {
        &self.shared.senders
    }

    /// Uploads that nobody here writes to and that could not be let go.
    pub(in crate::vfs) fn stranded(&self) -> &Stranded {
        &self.shared.stranded
    }

    /// Tasks that outlive the session that caused them: clean-up after uploads that broke off.
    pub(in crate::vfs) fn tasks(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// Waits until all clean-up and all commits submitted so far are done; what could not be committed is tried no
    /// more.
    pub async fn drain(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.tasks.reopen();
        self.shared.stranded.stop().await;
        self.shared.keys.stop().await;
        self.shared.committer.drain().await;
    }
}
