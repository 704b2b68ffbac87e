//! What keeps the order between names and handles (draft-ietf-secsh-filexfer-02 section 6.1).
//!
//! The requests of a channel are numbered as they come, and none waits for one with a larger number: so however many
//! wait, the one with the smallest number goes on, and there is no circle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::oneshot;

use crate::domain::path::VfsPath;
use crate::sftp::request::PathRequest;

/// What leads to a file being written, and what it waits for. Cheap to clone; clones are of the same file.
#[derive(Clone, Default)]
pub struct Ties(Arc<Counts>);

#[derive(Default)]
struct Counts {
    handles: AtomicUsize,
    after: AtomicU64,
}

impl Ties {
    /// One more handle leads to it.
    pub fn tie(&self) {
        self.0.handles.fetch_add(1, Ordering::AcqRel);
    }

    /// One handle less does; says whether that was the last.
    pub fn untie(&self) -> bool {
        self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// What is asked of it through handles from now on waits for the request about names of this number.
    pub fn hold(&self, number: u64) {
        self.0.after.store(number, Ordering::Release);
    }

    /// For which request about names that waits which is asked of it now; 0 is none.
    pub fn after(&self) -> u64 {
        self.0.after.load(Ordering::Acquire)
    }

    /// Whether both are of the same file.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A handle being closed that led to a file being written. Dropped when that is settled.
pub struct Leaving {
    leave: Box<dyn Fn() -> bool + Send>,
    _done: oneshot::Sender<()>,
}

impl Leaving {
    /// `leave` takes the handle away and says whether it was the last; whoever waits for the close has the other
    /// end of `done`.
    pub fn new(leave: impl Fn() -> bool + Send + 'static, done: oneshot::Sender<()>) -> Self {
        Self {
            leave: Box::new(leave),
            _done: done,
        }
    }

    /// Takes the handle away, to be called once. Says whether no other leads to the file; no name does either,
    /// then, from now on.
    pub fn is_last(&self) -> bool {
        (self.leave)()
    }
}

/// The names on which a request depends.
pub struct Near(Vec<VfsPath>);

impl Near {
    /// Those of `request`; paths that do not begin with '/' are below `home`.
    pub fn of(request: &PathRequest, home: &VfsPath) -> Self {
        let names = request.names().into_iter().flatten();
        Self(
            names
                .filter_map(|raw| VfsPath::resolve(home, raw).ok())
                .collect(),
        )
    }

    /// Whether what the request does or tells may depend on what is at `path`.
    pub fn touches(&self, path: &VfsPath) -> bool {
        let mut names = self.0.iter();
        names.any(|named| named.starts_with(path) || path.starts_with(named))
    }
}
