//! A session's files, as verbs use them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::clock::Clock;
use crate::domain::error::{Concern, Error};
use crate::domain::path::VfsPath;
use crate::domain::rights::Rights;
use crate::ftp::charset::Charset;
use crate::ftp::listing::Viewer;
use crate::ftp::reply::Reply;
use crate::vfs::session::Session;

/// A session's files. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    /// The files.
    pub session: Session,
    /// The time, for listings.
    pub clock: Arc<dyn Clock>,
    /// How names are written in listings.
    pub charset: Charset,
    /// What SIZE told.
    pub told: Told,
    /// Bytes of the largest file whose checksum is computed as a whole.
    pub most_summed: u64,
}

/// The size that SIZE told last, and of what: clients (curl, aria2) read so many bytes of what RETR
/// sends and take them for all. Cheap to clone.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Option<(VfsPath, u64)>>>);

impl Told {
    /// Notes it.
    pub fn note(&self, path: &VfsPath, size: u64) {
        *self.lock() = Some((path.clone(), size));
    }

    /// What it is of a file, for the last time.
    pub fn take(&self, path: &VfsPath) -> Option<u64> {
        let told = self.lock().take();
        told.filter(|(of, _)| of == path).map(|(_, size)| size)
    }

    /// Refuses, once, to send a file with `size` bytes of which another size was told.
    ///
    /// # Errors
    /// What the client is told.
    pub fn check(&self, path: &VfsPath, size: u64) -> Result<(), Reply> {
        match self.take(path) {
            Some(told) if told != size => Err(Reply::new(
                450,
                format!(
                    "SIZE told {told} bytes, of an upload that broke off or of a version before, and \
                     {size} are published: send RETR again for all of these, or go on with the upload"
                ),
            )),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(VfsPath, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// Who looks at listings, with rights that are the same for all names in them.
    pub fn viewer(&self, rights: Rights) -> Viewer {
        let login = &self.session.principal().login;
        Viewer {
            owners: (login.user.clone(), login.tenant.clone()),
            now: self.clock.now(),
            rights,
            charset: self.charset,
        }
    }
}

/// Where a verb has nothing more to say of what went wrong.
impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        log(&error);
        Self::error(&error)
    }
}

/// Writes down what an operator must know of an error that a client is told of.
pub fn log(error: &Error) {
    match error.kind().concern() {
        Concern::Client => tracing::debug!(error = ?error, "a request was refused"),
        Concern::Defect => tracing::error!(error = ?error, "a request failed"),
        Concern::Outage => tracing::warn!(error = ?error, "a request failed"),
    }
}
