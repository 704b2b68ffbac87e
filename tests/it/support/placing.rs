//! Where tenants are placed, as the operator does it.

use sealift::accounts::manage::Directory;
use sealift::accounts::manage_placement::{PlacementChange, Region};
use sealift::accounts::manage_tenants::TenantChange;
use sealift::domain::id::RegionId;

use crate::support::world::World;

/// New blobs go to a region.
pub(crate) fn moved_to(region: RegionId) -> PlacementChange<'static> {
    PlacementChange {
        region: Some(named(region)),
        ..PlacementChange::default()
    }
}

/// Copies are kept in a region, or nowhere.
pub(crate) fn copied_to(region: Option<RegionId>) -> PlacementChange<'static> {
    PlacementChange {
        replica: Some(region.map(named)),
        ..PlacementChange::default()
    }
}

/// New data keys are wrapped by a key, or by the region's.
pub(crate) fn keyed_by(key: Option<&str>) -> PlacementChange<'_> {
    PlacementChange {
        kms_key: Some(key),
        ..PlacementChange::default()
    }
}

fn named(id: RegionId) -> Region<'static> {
    Region { id, name: "named" }
}

impl World {
    /// Places its tenant.
    pub(crate) async fn place(&self, placement: PlacementChange<'_>) {
        self.place_tenant(&self.tenant.name, placement).await;
    }

    /// Places another one.
    pub(crate) async fn place_tenant(&self, name: &str, placement: PlacementChange<'_>) {
        let directory = Directory::new(self.vfs.committer().clone(), 1_000);
        let change = TenantChange {
            placement,
            ..TenantChange::default()
        };
        directory.alter_tenant(name, &change, None).await.unwrap();
    }
}
