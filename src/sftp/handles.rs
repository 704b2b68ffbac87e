//! The open handles of one channel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::path::VfsPath;
use crate::domain::random;
use crate::sftp::context::Caller;
use crate::sftp::folders::FolderLane;
use crate::sftp::hold::{Hold, Leaving, Ties};
use crate::sftp::reads::ReadFile;
use crate::sftp::request::HandleId;
use crate::sftp::writes::{Asked, HandleUse, WriteLane, WriteWork};

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
    /// The files of which a handle is being closed.
    closing: Vec<Closing>,
}

/// A file of which a handle is being closed.
struct Closing {
    path: Arc<VfsPath>,
    /// The number of the request.
    number: u64,
    /// Whether requests came before it for which the file waits.
    waits: bool,
    /// The other end is dropped when it is settled.
    settled: oneshot::Receiver<()>,
}

impl Closing {
    fn is_settled(&mut self) -> bool {
        !matches!(
            self.settled.try_recv(),
            Err(oneshot::error::TryRecvError::Empty)
        )
    }
}

/// What became of a handle that was closed.
pub enum Closed {
    /// There is nothing more to do.
    Told,
    /// The file it led to is to be left.
    Leaving(WriteLane, Leaving),
}

impl Table {
    /// A handle less leads to a file being written; says whether that was the last. No name leads to it either,
    /// then, from now on.
    fn leave(&mut self, ties: &Ties) -> bool {
        let is_last = ties.untie();
        if is_last {
            self.writing.retain(|_, lane| !lane.ties.is(ties));
        }
        is_last
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

    /// Takes `id` out: it leads nowhere from now on.
    pub fn remove(&self, id: HandleId) {
        let mut table = self.lock();
        let removed = table.open.remove(&id);
        if let Some(Open::Write(_, lane)) = &removed {
            table.leave(&lane.ties);
        }
        drop(table);
        drop(removed);
    }

    /// Takes `id` out to close it, as the request of this number asks.
    pub fn close(&self, id: HandleId, number: u64) -> Option<Closed> {
        let mut table = self.lock();
        let removed = table.open.remove(&id)?;
        let Open::Write(path, lane) = removed else {
            return Some(Closed::Told);
        };
        let (done, settled) = oneshot::channel();
        table.closing.retain_mut(|closing| !closing.is_settled());
        table.closing.push(Closing {
            path,
            number,
            waits: lane.ties.is_held(),
            settled,
        });
        let (handles, ties) = (self.clone(), lane.ties.clone());
        let leaving = Leaving::new(move || handles.lock().leave(&ties), done);
        Some(Closed::Leaving(lane, leaving))
    }

    /// Has the files being written wait whose path `touches`, and those that wait already, until what is
    /// returned is dropped.
    pub fn hold(&self, touches: impl Fn(&VfsPath) -> bool) -> Vec<Hold> {
        let table = self.lock();
        let held = table.writing.iter();
        held.filter(|(path, lane)| lane.ties.is_held() || touches(path))
            .map(|(_, lane)| lane.hold())
            .collect()
    }

    /// Waits until those closes are settled on whose path what the request of this number does depends, as
    /// `touches` says: those that came before it, and those that wait for no other.
    /// Not for two who wait for one file.
    pub async fn settle(&self, number: u64, touches: impl Fn(&VfsPath) -> bool) {
        let touched: Vec<Closing> = {
            let mut table = self.lock();
            let touched = |closing: &mut Closing| {
                (closing.number < number || !closing.waits) && touches(&closing.path)
            };
            table.closing.extract_if(.., touched).collect()
        };
        for closing in touched {
            drop(closing.settled.await);
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

    /// Gives `work` to the file being written at `path`, for a request about that name for which `holds` wait;
    /// gives these and the caller back when there is none, or it is closed.
    pub fn ask_writer(
        &self,
        path: &VfsPath,
        caller: Caller,
        work: WriteWork,
        holds: Vec<Hold>,
    ) -> Option<Asked> {
        match self.lock().writing.get(path) {
            Some(lane) => lane.ask(caller, work, holds),
            None => Some((caller, holds)),
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
        for closing in &mut table.closing {
            if let Some(moved) = moved_path(&closing.path, from, to) {
                closing.path = moved;
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
