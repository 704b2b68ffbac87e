//! Which uploads with an address this process writes to. A row that says so too is the promise to other
//! instances; this tells a row that could not be let go, because the database was away, from one in use.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::UploadId;

/// The uploads that are written to.
#[derive(Default)]
pub struct Pieces {
    held: Mutex<HashSet<UploadId>>,
}

/// An upload that is written to by whoever has this.
pub struct Hold {
    pieces: Arc<Pieces>,
    upload: UploadId,
}

impl Pieces {
    /// Holds an upload; none when another does.
    pub fn hold(self: &Arc<Self>, upload: UploadId) -> Option<Hold> {
        self.lock().insert(upload).then(|| Hold {
            pieces: self.clone(),
            upload,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<UploadId>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.pieces.lock().remove(&self.upload);
    }
}
