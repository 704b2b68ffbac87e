//! The blob stores of an installation, by region.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::RegionId;
use crate::storage::store::BlobStore;

/// For how long a region that did not answer is taken to be silent, unless it is heard of before.
const SILENCE: Duration = Duration::from_secs(15);

/// A store for each region that the settings name. Cheap to clone.
#[derive(Clone)]
pub struct Regions {
    regions: Arc<BTreeMap<RegionId, Stocked>>,
}

struct Stocked {
    store: Arc<dyn BlobStore>,
    silent_until: Mutex<Option<Instant>>,
}

impl Regions {
    /// Several stores.
    pub fn new(stores: impl IntoIterator<Item = (RegionId, Arc<dyn BlobStore>)>) -> Self {
        let stocked = stores.into_iter().map(|(region, store)| {
            let silent_until = Mutex::default();
            let stocked = Stocked {
                store,
                silent_until,
            };
            (region, stocked)
        });
        Self {
            regions: Arc::new(stocked.collect()),
        }
    }

    /// One store, for everything.
    pub fn one(store: Arc<dyn BlobStore>) -> Self {
        Self::new([(RegionId::MAIN, store)])
    }

    /// The store of a region.
    ///
    /// # Errors
    /// Unavailable when the settings do not name it.
    pub fn get(&self, region: RegionId) -> Result<&Arc<dyn BlobStore>> {
        let found = self.regions.get(&region).map(|stocked| &stocked.store);
        found.ok_or_else(|| {
            let context =
                "the region of these files is not set up on this server; tell the operator";
            Error::new(ErrorKind::Unavailable, context)
                .because(format!("region number {region} is not in the settings"))
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (RegionId, &Arc<dyn BlobStore>)> {
        let all = self.regions.iter();
        all.map(|(region, stocked)| (*region, &stocked.store))
    }

    /// Whether somebody has lately waited in vain for an answer from a region: what lies elsewhere as well
    /// is better asked for there.
    pub fn is_silent(&self, region: RegionId) -> bool {
        let until = self.silent_until(region).and_then(|until| *until);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Notes that a region does not answer.
    pub fn note_silence(&self, region: RegionId) {
        if let Some(mut until) = self.silent_until(region) {
            *until = Some(Instant::now() + SILENCE);
        }
    }

    /// Notes that a region answers.
    pub fn note_answer(&self, region: RegionId) {
        if let Some(mut until) = self.silent_until(region) {
            *until = None;
        }
    }

    fn silent_until(&self, region: RegionId) -> Option<MutexGuard<'_, Option<Instant>>> {
        let stocked = self.regions.get(&region)?;
        let until = stocked.silent_until.lock();
        Some(until.unwrap_or_else(PoisonError::into_inner))
    }
}
