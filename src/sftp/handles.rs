//! The open handles of one channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::path::VfsPath;
use crate::domain::random;
use crate::sftp::context::Caller;
use crate::sftp::folders::FolderLane;
use crate::sftp::reads::ReadFile;
use crate::sftp::request::HandleId;
use crate::sftp::writes::{WriteLane, WriteWork};

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
    table: Arc<Mutex<Table>>,
    most: usize,
}

#[derive(Default)]
struct Table {
    open: HashMap<HandleId, Open>,
    /// The files being written, by the names that still lead to them.
    writing: HashMap<Arc<VfsPath>, HandleId>,
}

impl Handles {
    /// No handles, and never more than `most`.
    pub fn new(most: usize) -> Self {
        Self {
            table: Arc::default(),
            most,
        }
    }

    /// Whether one more may be opened.
    ///
    /// # Errors
    /// Busy, with the limit.
    pub fn check_room(&self) -> Result<()> {
        match self.lock().open.len() < self.most {
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
        let mut table = self.lock();
        loop {
            let id = HandleId::new(random::bytes());
            if id != HandleId::NONE && !table.open.contains_key(&id) {
                if let Open::Write(path, _) = &opened {
                    table.writing.insert(path.clone(), id);
                }
                table.open.insert(id, opened);
                return id;
            }
        }
    }

    /// What `id` leads to.
    pub fn find(&self, id: HandleId) -> Option<Open> {
        self.lock().open.get(&id).cloned()
    }

    /// Takes `id` out: it leads nowhere from now on.
    pub fn remove(&self, id: HandleId) -> Option<Open> {
        let mut table = self.lock();
        let removed = table.open.remove(&id);
        if let Some(Open::Write(path, _)) = &removed
            && table.writing.get(path) == Some(&id)
        {
            table.writing.remove(path);
        }
        removed
    }

    /// Gives `work` to the file being written at `path`; gives the caller back when there is none.
    pub fn ask_writer(&self, path: &VfsPath, caller: Caller, work: WriteWork) -> Option<Caller> {
        // Pushed under the lock: what is open cannot have been told to close yet.
        let table = self.lock();
        let found = table.writing.get(path).and_then(|id| table.open.get(id));
        match found {
            Some(Open::Write(_, lane)) => {
                lane.push(caller, work);
                None
            }
            _ => Some(caller),
        }
    }

    /// Names at `path` and below lead to no file being written any more: they were renamed or
    /// deleted.
    pub fn forget(&self, path: &VfsPath) {
        let is_other = |name: &Arc<VfsPath>| !name.starts_with(path);
        self.lock().writing.retain(|name, _| is_other(name));
    }

    /// Takes all out.
    pub fn clear(&self) {
        // Dropped outside the lock.
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
