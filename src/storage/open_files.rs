//! Files that were read lately, kept open.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::BlobId;

/// A bounded set of open files; the one used longest ago goes first.
pub struct OpenFiles {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    files: HashMap<BlobId, Used>,
    uses: u64,
}

struct Used {
    file: Arc<OpenFile>,
    at: u64,
}

/// An open blob. Blobs are written once, so its length stays.
pub struct OpenFile {
    /// For reading at any offset.
    pub file: File,
    /// In bytes.
    pub length: u64,
}

impl OpenFiles {
    /// Keeps up to `capacity` files open.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            inner: Mutex::default(),
        }
    }

    /// The open file of a blob, when it is kept.
    pub fn find(&self, id: BlobId) -> Option<Arc<OpenFile>> {
        let mut inner = self.lock();
        inner.uses += 1;
        let now = inner.uses;
        let used = inner.files.get_mut(&id)?;
        used.at = now;
        Some(Arc::clone(&used.file))
    }

    /// Keeps a file open, unless it was deleted meanwhile.
    ///
    /// # Errors
    /// When the file cannot be asked for its length.
    pub fn keep(&self, id: BlobId, file: File) -> io::Result<Arc<OpenFile>> {
        let length = file.metadata()?.len();
        let file = Arc::new(OpenFile { file, length });
        let mut inner = self.lock();
        inner.uses += 1;
        let at = inner.uses;
        let kept = Arc::clone(&file);
        inner.files.insert(id, Used { file: kept, at });
        if inner.files.len() > self.capacity {
            let oldest = inner.files.iter().min_by_key(|(_, used)| used.at);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                inner.files.remove(&oldest);
            }
        }
        drop(inner);
        // Deleting removes the name first and the open file after, so one of the two sees it.
        if file.file.metadata()?.nlink() == 0 {
            self.forget(id);
        }
        Ok(file)
    }

    /// Lets go of a blob's file.
    pub fn forget(&self, id: BlobId) {
        self.lock().files.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_used_longest_ago_is_closed() {
        let files = OpenFiles::new(2);
        let [first, second, third] = [BlobId::random(), BlobId::random(), BlobId::random()];
        let open = || File::open("Cargo.toml").unwrap();
        files.keep(first, open()).unwrap();
        files.keep(second, open()).unwrap();
        assert!(files.find(first).is_some());
        files.keep(third, open()).unwrap();
        assert!(files.find(second).is_none());
        assert!(files.find(first).is_some());
        files.forget(first);
        assert!(files.find(first).is_none());
    }
}
