//! The open handles of one channel.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::path::VfsPath;
use crate::domain::random;
use crate::sftp::folders::FolderLane;
use crate::sftp::hold::{Leaving, Near, Ties};
use crate::sftp::reads::ReadFile;
use crate::sftp::request::HandleId;
use crate::sftp::writes::{HandleUse, WriteLane};

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
    /// Places of files that are read: such a one may be closed before all that was asked of it is answered.
    reading: Arc<Semaphore>,
    /// The number of the request about names that was done last.
    done: watch::Receiver<u64>,
}

#[derive(Default)]
struct Table {
    open: HashMap<HandleId, Open>,
    /// The files being written, by the names that still lead to them.
    writing: HashMap<Arc<VfsPath>, WriteLane>,
    /// What is being published: because a handle is closed, or because that was asked for.
    publishing: Vec<Publishing>,
    /// The requests about names that wait or are being done, by their numbers.
    asked: VecDeque<(u64, Arc<Near>)>,
}

/// A file that is to be published.
struct Publishing {
    path: Arc<VfsPath>,
    /// The number of the request.
    number: u64,
    /// The other end is dropped when it is settled.
    settled: oneshot::Receiver<()>,
}

impl Publishing {
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

    /// A file is to be published by the request of this number. What is returned is to be dropped when that is
    /// settled.
    fn publish(&mut self, path: Arc<VfsPath>, number: u64) -> oneshot::Sender<()> {
        let (done, settled) = oneshot::channel();
        self.publishing.retain_mut(|other| !other.is_settled());
        self.publishing.push(Publishing {
            path,
            number,
            settled,
        });
        done
    }
}

impl Handles {
    /// No handles, and never more than `most`; `done` tells the number of the request about names that was done
    /// last.
    pub fn new(most: usize, done: watch::Receiver<u64>) -> Self {
        Self {
            table: Arc::default(),
            most,
            reading: Arc::new(Semaphore::new(most)),
            done,
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

    /// A place for a file that is to be read, with a handle or without.
    ///
    /// # Errors
    /// Busy, with the limit.
    pub fn place_to_read(&self) -> Result<OwnedSemaphorePermit> {
        let place = self.reading.clone().try_acquire_owned();
        place.map_err(|_| {
            let most = self.most;
            let why = format!("{most} files are being read; wait for answers, or close some first");
            Error::new(ErrorKind::Busy, why)
        })
    }

    /// Adds what the request of this number opened. Ids are drawn at random, so that one of another session, or one
    /// that was closed, leads nowhere.
    pub fn insert(&self, opened: Open, number: u64) -> HandleId {
        let mut table = self.lock();
        if let Open::Write(path, lane) = &opened {
            // Those that came since do not know of it yet.
            let later = table.asked.iter().filter(|(other, _)| *other > number);
            for (other, near) in later {
                if lane.ties.after() > 0 || near.touches(path) {
                    lane.ties.hold(*other);
                }
            }
        }
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
        let done = table.publish(path, number);
        let (handles, ties) = (self.clone(), lane.ties.clone());
        let leaving = Leaving::new(move || handles.lock().leave(&ties), done);
        Some(Closed::Leaving(lane, leaving))
    }

    /// A file at `path` is to be published as the request of this number asks. What is returned is to be dropped when
    /// that is settled.
    pub fn publish(&self, path: Arc<VfsPath>, number: u64) -> oneshot::Sender<()> {
        self.lock().publish(path, number)
    }

    /// Has what is asked from now on through handles of files being written wait for the request about names of this
    /// number: of those whose path it touches, and of those that wait for an earlier one, which may rename them.
    pub fn hold(&self, number: u64, near: Arc<Near>) {
        let mut table = self.lock();
        let done = *self.done.borrow();
        while table.asked.front().is_some_and(|(other, _)| *other <= done) {
            table.asked.pop_front();
        }
        for (path, lane) in &table.writing {
            if lane.ties.after() > done || near.touches(path) {
                lane.ties.hold(number);
            }
        }
        table.asked.push_back((number, near));
    }

    /// Waits until what earlier requests publish is settled whose path the request of this number touches. Never for
    /// a later one: that may wait for this one. Not for two who wait for one file.
    pub async fn settle(&self, number: u64, near: &Near) {
        let touched: Vec<Publishing> = {
            let mut table = self.lock();
            let touched =
                |other: &mut Publishing| other.number < number && near.touches(&other.path);
            table.publishing.extract_if(.., touched).collect()
        };
        for publishing in touched {
            // Nothing is sent: it is dropped when it is over.
            let _ = publishing.settled.await;
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
        for publishing in &mut table.publishing {
            if let Some(moved) = moved_path(&publishing.path, from, to) {
                publishing.path = moved;
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
