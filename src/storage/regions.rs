//! The blob stores of an installation, by region.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::RegionId;
use crate::storage::store::BlobStore;

/// A store for each region that the settings name. Cheap to clone.
#[derive(Clone)]
pub struct Regions {
    stores: Arc<BTreeMap<RegionId, Arc<dyn BlobStore>>>,
}

impl Regions {
    /// Several stores.
    pub fn new(stores: impl IntoIterator<Item = (RegionId, Arc<dyn BlobStore>)>) -> Self {
        Self {
            stores: Arc::new(stores.into_iter().collect()),
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
        self.stores.get(&region).ok_or_else(|| {
            let context =
                "the region of these files is not set up on this server; tell the operator";
            Error::new(ErrorKind::Unavailable, context)
                .because(format!("region number {region} is not in the settings"))
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (RegionId, &Arc<dyn BlobStore>)> {
        self.stores.iter().map(|(region, store)| (*region, store))
    }
}
