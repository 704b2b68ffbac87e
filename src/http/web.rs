//! What every request may use.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::accounts::login::Accounts;
use crate::accounts::manage::Directory;
use crate::accounts::operators::Operators;
use crate::domain::clock::Clock;
use crate::http::account::pending::Pending;
use crate::http::admin::regions::Regions;
use crate::http::basic::Basic;
use crate::http::holders::Holders;
use crate::http::hosts::Hosts;
use crate::http::links::guests::Guests;
use crate::http::settings::HttpSettings;
use crate::http::visits::Visits;
use crate::net::readiness::Readiness;
use crate::vfs::service::Vfs;

/// Where the API begins.
pub const API: &str = "/api/v1";

/// The state of the routers. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    parts: Arc<Parts>,
}

struct Parts {
    settings: HttpSettings,
    vfs: Vfs,
    accounts: Accounts,
    directory: Directory,
    clock: Arc<dyn Clock>,
    basic: Basic,
    readiness: Readiness,
    visits: Visits,
    pending: Pending,
    hosts: Hosts,
    guests: Guests,
    holders: Holders,
    tasks: TaskTracker,
    operators: Operators,
    regions: Regions,
}

impl Web {
    /// Puts the parts together.
    pub fn new(
        settings: HttpSettings,
        vfs: Vfs,
        accounts: Accounts,
        directory: Directory,
        clock: Arc<dyn Clock>,
        readiness: Readiness,
        regions: Regions,
    ) -> Self {
        let operators = directory.operators();
        let basic = Basic::new(accounts.clone(), clock.clone());
        let visits = Visits::new(accounts.clone(), settings.sessions);
        let guests = Guests::new(accounts.clone());
        let holders = Holders::new(vfs.budget().clone());
        Self {
            parts: Arc::new(Parts {
                settings,
                vfs,
                accounts,
                directory,
                clock,
                basic,
                readiness,
                visits,
                pending: Pending::default(),
                hosts: Hosts::default(),
                guests,
                holders,
                tasks: TaskTracker::new(),
                operators,
                regions,
            }),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &HttpSettings {
        &self.parts.settings
    }

    /// The file system.
    pub fn vfs(&self) -> &Vfs {
        &self.parts.vfs
    }

    /// The way in.
    pub fn accounts(&self) -> &Accounts {
        &self.parts.accounts
    }

    /// What is done to accounts.
    pub fn directory(&self) -> &Directory {
        &self.parts.directory
    }

    /// Who is an operator.
    pub fn operators(&self) -> &Operators {
        &self.parts.operators
    }

    /// Where tenants may be.
    pub fn regions(&self) -> &Regions {
        &self.parts.regions
    }

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }

    /// Whether this instance can serve.
    pub fn readiness(&self) -> &Readiness {
        &self.parts.readiness
    }

    /// Who logs in with each request.
    pub fn basic(&self) -> &Basic {
        &self.parts.basic
    }

    /// Who shows the cookie of a session, or a token.
    pub fn visits(&self) -> &Visits {
        &self.parts.visits
    }

    /// Which names of hosts stand for tenants.
    pub fn hosts(&self) -> &Hosts {
        &self.parts.hosts
    }

    /// Who has come by links.
    pub fn guests(&self) -> &Guests {
        &self.parts.guests
    }

    /// Who holds memory for answers.
    pub fn holders(&self) -> &Holders {
        &self.parts.holders
    }

    /// What is carried out although its client may be gone; waited for when the server ends.
    pub fn tasks(&self) -> &TaskTracker {
        &self.parts.tasks
    }

    /// Logins that wait for a second proof.
    pub fn pending(&self) -> &Pending {
        &self.parts.pending
    }
}
