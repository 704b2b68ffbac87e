//! The open handles of one channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::path::VfsPath;
use crate::domain::random;
use crate::sftp::context::Caller;
use crate::sftp::folders::FolderLane;
use crate::sftp::reads::ReadFile;
use crate::sftp::request::HandleId;
use crate::sftp::writes::{HandleUse, WriteLane, WriteWork};

/// What a handle leads to.
#[derive(Clone)]
pub enum Open {
    /// A folder being listed.
    Folder(Arc<VfsPath>, FolderLane),
    /// A file being read, and where it is; nowhere when it was deleted through this channel.
    Read(Option<Arc<VfsPath>>, Arc<ReadFile>),
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
    writing: HashMap<Arc<VfsPath>, WriteLane>,
    /// The files being closed; the other end is dropped when that is settled. A file is here from the
    /// moment when it is not in `writing` any more.
    closing: Vec<Closing>,
}

type Closing = (Arc<VfsPath>, oneshot::Receiver<()>);

impl Table {
    fn remove(&mut self, id: HandleId) -> Option<(Open, bool)> {
        let removed = self.open.remove(&id)?;
        let Open::Write(_, lane) = &removed else {
            return Some((removed, true));
        };
        let leads_there = |open: &Open| matches!(open, Open::Write(_, other) if other.is(lane));
        if self.open.values().any(leads_there) {
            return Some((removed, false));
        }
        self.writing.retain(|_, other| !other.is(lane));
        Some((removed, true))
    }
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
                if let Open::Write(path, lane) = &opened {
                    table.writing.insert(path.clone(), lane.clone());
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

    /// Takes `id` out: it leads nowhere from now on. Says too whether it was the last that led to its
    /// file.
    pub fn remove(&self, id: HandleId) -> Option<(Open, bool)> {
        self.lock().remove(id)
    }

    /// As [`Handles::remove`], to close it; what is returned is to be dropped when that is settled.
    pub fn close(&self, id: HandleId) -> Option<(Open, bool, oneshot::Sender<()>)> {
        let mut table = self.lock();
        let (removed, is_last) = table.remove(id)?;
        let (done, settled) = oneshot::channel();
        if let Open::Write(path, _) = &removed {
            table.closing.retain_mut(|(_, settled)| {
                matches!(settled.try_recv(), Err(oneshot::error::TryRecvError::Empty))
            });
            table.closing.push((path.clone(), settled));
        }
        Some((removed, is_last, done))
    }

    /// Waits until those of the files being closed are settled of whose path `touches` holds. Not for
    /// two who wait for one file.
    pub async fn settle(&self, touches: impl Fn(&VfsPath) -> bool) {
        let touched: Vec<Closing> = {
            let mut table = self.lock();
            let touched = |(path, _): &mut Closing| touches(path);
            table.closing.extract_if(.., touched).collect()
        };
        for (_, settled) in touched {
            drop(settled.await);
        }
    }

    /// The file being written at `path`, when there is one.
    pub fn writer(&self, path: &VfsPath) -> Option<WriteLane> {
        self.lock().writing.get(path).cloned()
    }

    /// Adds a handle of the file being written at `path`, when there is one.
    pub fn share(&self, path: &VfsPath, handle: HandleUse) -> Option<(HandleId, WriteLane)> {
        // Under one lock: the file cannot be closed in between.
        let mut table = self.lock();
        let lane = table.writing.get(path)?.shared(handle);
        loop {
            let id = HandleId::new(random::bytes());
            if id != HandleId::NONE && !table.open.contains_key(&id) {
                let opened = Open::Write(Arc::new(path.clone()), lane.clone());
                table.open.insert(id, opened);
                return Some((id, lane));
            }
        }
    }

    /// The files being written in the folder at `path`, by name.
    pub fn writers_in(&self, path: &VfsPath) -> Vec<(String, WriteLane)> {
        let depth = path.names().len() + 1;
        let table = self.lock();
        let inside = table
            .writing
            .iter()
            .filter(|(name, _)| name.names().len() == depth && name.starts_with(path));
        inside
            .filter_map(|(name, lane)| Some((name.name()?.as_str().to_owned(), lane.clone())))
            .collect()
    }

    /// Gives `work` to the file being written at `path`; gives the caller back when there is none.
    pub fn ask_writer(&self, path: &VfsPath, caller: Caller, work: WriteWork) -> Option<Caller> {
        // Pushed under the lock: what is open cannot have been told to close yet.
        match self.lock().writing.get(path) {
            Some(lane) => {
                lane.push(caller, work);
                None
            }
            None => Some(caller),
        }
    }

    /// Forgets the names at `path` and below, which were deleted or given to others. Returns the files
    /// that are being written there, which are to hear of it.
    pub fn unlink(&self, path: &VfsPath) -> Vec<WriteLane> {
        let mut table = self.lock();
        for open in table.open.values_mut() {
            if let Open::Read(place, _) = open {
                *place = place.take().filter(|place| !place.starts_with(path));
            }
        }
        let below = |name: &Arc<VfsPath>, _: &mut WriteLane| name.starts_with(path);
        table
            .writing
            .extract_if(below)
            .map(|(_, lane)| lane)
            .collect()
    }

    /// What was at `from` and below is at `to` now.
    pub fn renamed(&self, from: &VfsPath, to: &VfsPath) {
        let mut table = self.lock();
        let (moved, rest): (HashMap<_, _>, HashMap<_, _>) = std::mem::take(&mut table.writing)
            .into_iter()
            .partition(|(name, _)| name.starts_with(from));
        table.writing = rest;
        for (name, lane) in moved {
            // A path that became too long is found by its handles alone.
            if let Some(name) = moved_path(&name, from, to) {
                table.writing.insert(name, lane);
            }
        }
        for open in table.open.values_mut() {
            match open {
                Open::Read(Some(path), _) | Open::Folder(path, _) | Open::Write(path, _) => {
                    if let Some(moved) = moved_path(path, from, to) {
                        *path = moved;
                    }
                }
                Open::Read(None, _) => {}
            }
        }
    }

    /// Takes all out; what is being closed is still waited for.
    pub fn clear(&self) {
        let all = {
            let mut table = self.lock();
            let closing = std::mem::take(&mut table.closing);
            let empty = Table {
                closing,
                ..Table::default()
            };
            std::mem::replace(&mut *table, empty)
        };
        // Dropped outside the lock.
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where `path` is after `from` became `to`; None when it is not below, or too long now.
fn moved_path(path: &VfsPath, from: &VfsPath, to: &VfsPath) -> Option<Arc<VfsPath>> {
    let below = path.names().strip_prefix(from.names())?;
    let moved = below.iter().cloned().try_fold(to.clone(), VfsPath::join);
    moved.ok().map(Arc::new)
}
