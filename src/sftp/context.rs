//! What the lanes of one SFTP channel share.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::error::{Concern, Error, Result};
use crate::domain::measures;
use crate::domain::principal::Protocol;
use crate::sftp::attrs::Viewer;
use crate::sftp::gate::Gate;
use crate::sftp::ledger::{Ledger, Ticket};
use crate::sftp::outlet::Replies;
use crate::sftp::reply;
use crate::sftp::room::Room;
use crate::vfs::session::Session;

/// A request's number and its place in the count; both go with the reply.
pub struct Caller {
    /// The number that the client gave it.
    pub id: u32,
    /// Dropped when the reply is on its way.
    pub ticket: Ticket,
}

/// Files, the way out and the limits of one channel. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// All that can be done to files.
    pub files: Session,
    /// How entries look to this client.
    pub viewer: Arc<Viewer>,
    /// The way out.
    pub replies: Replies,
    /// Room for replies that carry data.
    pub room: Room,
    /// Room for what was fetched before it was asked for.
    pub ahead: Room,
    /// What waits to be stored.
    pub gate: Gate,
    /// What is under way.
    pub ledger: Ledger,
    /// The time, for listings.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the client is gone: what has not begun need not begin.
    pub broken: CancellationToken,
}

impl Context {
    /// Sends a reply without data.
    pub fn reply(&self, caller: Caller, bytes: Bytes) {
        self.replies.send(caller.ticket, bytes);
    }

    /// Sends the status of what returns nothing.
    pub fn reply_status(&self, caller: Caller, done: Result<()>) {
        match done {
            Ok(()) => self.reply_ok(caller),
            Err(error) => self.reply_error(caller, &error),
        }
    }

    /// Sends that it worked.
    pub fn reply_ok(&self, caller: Caller) {
        let bytes = reply::ok(caller.id);
        self.reply(caller, bytes);
    }

    /// Sends what went wrong.
    pub fn reply_error(&self, caller: Caller, error: &Error) {
        self.log(error);
        self.replies.complain(error);
        let bytes = reply::error(caller.id, error);
        self.reply(caller, bytes);
    }

    fn log(&self, error: &Error) {
        measures::error(Protocol::Sftp, error.kind());
        let login = &self.files.principal().login;
        match error.kind().concern() {
            Concern::Client => {
                tracing::debug!(user.id = %login, error = ?error, "a request was refused");
            }
            Concern::Defect => {
                tracing::error!(user.id = %login, error = ?error, "a request failed");
            }
            Concern::Outage => {
                tracing::warn!(user.id = %login, error = ?error, "a request failed");
            }
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
