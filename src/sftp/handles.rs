//! The open handles of one channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::path::VfsPath;
use crate::domain::random;
use crate::sftp::folders::FolderLane;
use crate::sftp::reads::ReadFile;
use crate::sftp::request::HandleId;
use crate::sftp::writes::WriteLane;

/// What a handle leads to.
#[derive(Clone)]
pub enum Open {
    /// A folder being listed.
    Folder(Arc<VfsPath>, FolderLane),
    /// A file being read.
    Read(Arc<ReadFile>),
    /// A file being written.
    Write(Arc<VfsPath>, WriteLane),
}

/// The open handles by their ids. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Handles {
    open: Arc<Mutex<HashMap<HandleId, Open>>>,
    most: usize,
}

impl Handles {
    /// No handles, and never more than `most`.
    pub fn new(most: usize) -> Self {
        Self {
            open: Arc::default(),
            most,
        }
    }

    /// Whether one more may be opened.
    ///
    /// # Errors
    /// Busy, with the limit.
    pub fn check_room(&self) -> Result<()> {
        match self.lock().len() < self.most {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Busy,
                format!("{} files and folders are open; close some first", self.most),
            )),
        }
    }

    /// Adds what was opened. Ids are drawn at random, so that one of another session, or one that
    /// was closed, leads nowhere.
    pub fn insert(&self, opened: Open) -> HandleId {
        let mut open = self.lock();
        loop {
            let id = HandleId::new(random::bytes());
            if id != HandleId::NONE && !open.contains_key(&id) {
                open.insert(id, opened);
                return id;
            }
        }
    }

    /// What `id` leads to.
    pub fn find(&self, id: HandleId) -> Option<Open> {
        self.lock().get(&id).cloned()
    }

    /// Takes `id` out: it leads nowhere from now on.
    pub fn remove(&self, id: HandleId) -> Option<Open> {
        self.lock().remove(&id)
    }

    /// Takes all out.
    pub fn clear(&self) {
        // Dropped outside the lock.
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HandleId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
