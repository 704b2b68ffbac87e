//! What every request may use.

use std::sync::Arc;

use crate::accounts::login::Accounts;
use crate::domain::clock::Clock;
use crate::http::basic::Basic;
use crate::http::settings::HttpSettings;
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
    clock: Arc<dyn Clock>,
    basic: Basic,
    readiness: Readiness,
}

impl Web {
    /// Puts the parts together.
    pub fn new(
        settings: HttpSettings,
        vfs: Vfs,
        accounts: Accounts,
        clock: Arc<dyn Clock>,
        readiness: Readiness,
    ) -> Self {
        let basic = Basic::new(accounts.clone(), clock.clone());
        Self {
            parts: Arc::new(Parts {
                settings,
                vfs,
                accounts,
                clock,
                basic,
                readiness,
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
}
