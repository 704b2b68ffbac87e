//! Regions that tenants may be sent to: what the settings of the installation name.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::domain::error::Result;
use crate::domain::id::RegionId;

/// What a region is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Copies of a tenant's blobs.
    Copies(String),
    /// A tenant that moves there.
    Move(String),
    /// A new tenant; none is the region that the settings name.
    New(Option<String>),
}

/// A region that is looked up and tried.
type Finding = Pin<Box<dyn Future<Output = Result<RegionId>> + Send>>;

/// Finds the number of a region and sees that it can be used. Cheap to clone.
#[derive(Clone)]
pub struct Regions(Arc<dyn Fn(Purpose) -> Finding + Send + Sync>);

impl Regions {
    /// Asks `find`.
    pub fn new(find: impl Fn(Purpose) -> Finding + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// The number of a region.
    ///
    /// # Errors
    /// NotFound when the settings do not name it; what keeps it from being used.
    pub async fn find(&self, purpose: Purpose) -> Result<RegionId> {
        (self.0)(purpose).await
    }
}

impl fmt::Debug for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<regions>")
    }
}
