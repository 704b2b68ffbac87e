//! A session's files, as verbs use them.

use std::sync::Arc;

use crate::domain::clock::Clock;
use crate::domain::error::{Concern, Error};
use crate::domain::measures;
use crate::domain::principal::Protocol;
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
    measures::error(Protocol::Ftp, error.kind());
    match error.kind().concern() {
        Concern::Client => tracing::debug!(error = ?error, "a request was refused"),
        Concern::Defect => tracing::error!(error = ?error, "a request failed"),
        Concern::Outage => tracing::warn!(error = ?error, "a request failed"),
    }
}
