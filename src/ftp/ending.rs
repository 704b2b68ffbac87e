//! How a transfer ended, and what the client is told of it.

use crate::accounts::live::Ended;
use crate::domain::error::Error;
use crate::ftp::files;
use crate::ftp::reply::{self, Reply};

/// How a transfer ended.
#[derive(Debug)]
pub enum Ending {
    /// The client sent ABOR.
    Aborted,
    /// All of it is through, and what was sent to us is stored. What to say beside that.
    Complete(String),
    /// The control connection broke.
    ControlLost,
    /// Files, or the store, did not let it go on.
    Failed(Error),
    /// What came by MODE Z is no stream of zlib, or is damaged.
    Garbled,
    /// No data connection came about.
    NoConnection,
    /// Before anything began: this is said, and nothing was done.
    Refused(Reply),
    /// The data connection was reset.
    Reset,
    /// Whoever logged in may not go on.
    SessionEnded(Ended),
    /// Nothing moved for too long.
    Stalled,
    /// The server is ending.
    Stopped,
    /// TLS did not come about on the data connection.
    TlsFailed,
    /// TLS came about, and did not resume the session of the control connection.
    TlsNotResumed,
    /// The connection ended without TLS saying so: nobody knows whether that was all.
    Truncated,
    /// A stream of MODE Z ended before its end.
    Unfinished,
}

impl Ending {
    /// What the client is told.
    pub fn reply(self) -> Reply {
        match self {
            Self::Aborted => Reply::new(426, "the transfer was ended, as you asked"),
            Self::Complete(told) => Reply::new(226, told),
            Self::ControlLost => Reply::new(426, "the control connection is gone"),
            Self::Failed(error) => failed(&error),
            Self::Garbled => Reply::new(
                451,
                "this is no stream of zlib as MODE Z has it, or it is damaged; nothing of it is kept",
            ),
            Self::NoConnection => Reply::new(
                425,
                "no data connection came about; check your firewall, or use EPSV instead of PORT",
            ),
            Self::Refused(reply) => reply,
            Self::Reset => Reply::new(
                426,
                "the data connection broke; go on with REST, a download from what you have, an upload from what SIZE tells",
            ),
            Self::SessionEnded(why) => Reply::new(426, why.sentence()),
            Self::Stalled => Reply::new(
                426,
                "nothing came through for too long; go on with REST, a download from what you have, an upload from what \
                 SIZE tells",
            ),
            Self::Stopped => Reply::new(426, "the server is closing; go on when it is back"),
            Self::TlsFailed => Reply::new(
                522,
                "no TLS came about on the data connection; use TLS 1.2 or 1.3",
            ),
            Self::TlsNotResumed => Reply::new(
                522,
                "the data connection must resume the TLS session of the control connection",
            ),
            Self::Truncated => Reply::new(
                426,
                "TLS was cut off, so that nobody knows whether this was all; SIZE tells what is kept",
            ),
            Self::Unfinished => Reply::new(
                426,
                "the stream of MODE Z ended before its end; SIZE tells what is kept",
            ),
        }
    }
}

/// During a transfer 450 would be read as nothing having begun.
fn failed(error: &Error) -> Reply {
    files::log(error);
    let code = match reply::code(error.kind()) {
        450 => 451,
        code => code,
    };
    Reply::new(code, error.context()).after(error)
}
