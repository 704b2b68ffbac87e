//! What came of publishing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::{BlobId, NodeId};

/// What came of it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The file that got the version.
    pub node: NodeId,
    /// Where it is: not under the name that was opened when it was renamed meanwhile.
    pub path: String,
    /// Whether the file was made by this: there was none when it was published, whatever was there when it was
    /// opened.
    pub is_new: bool,
    /// Whether the version is what its writer saw: nobody else changed the file meanwhile.
    pub as_written: bool,
    /// Blobs that it does not name and that are needed: whoever made them is to give them up later.
    pub spared: Vec<BlobId>,
}

/// Where it is said what came of publishing. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Report(Arc<Mutex<Option<Published>>>);

impl Report {
    /// What came of it the last time, if anything was published.
    pub fn read(&self) -> Option<Published> {
        self.lock().clone()
    }

    /// The same, and forgets it.
    pub fn take(&self) -> Option<Published> {
        self.lock().take()
    }

    pub(in crate::vfs) fn write(&self, published: Published) {
        *self.lock() = Some(published);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Published>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
