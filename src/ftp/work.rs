//! What commands ask of the session that has files and sockets, and what comes of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::domain::path::VfsPath;
use crate::domain::secret::Secret;
use crate::ftp::files::Files;
use crate::ftp::listing::ListRequest;
use crate::ftp::reply::Reply;
use crate::ftp::state::{Form, Mode};

/// What a command leads to.
pub enum Action {
    /// Nothing more than this.
    Reply(Reply),
    /// This, and then the reply that comes of it.
    Work(Work),
    /// The end of the session, after this.
    Close(Reply),
}

/// What cannot be done without files, sockets or accounts.
pub enum Work {
    /// What is over in a moment, and never dropped before.
    Files(Task),
    /// Finds the tenant of a host's name (HOST).
    Host(String),
    /// Listens for a data connection, on an address of a family.
    Listen(Family),
    /// A step of logging in.
    LogIn(Credential),
    /// Logs out.
    LogOut,
    /// Encrypts the control connection from here on.
    StartTls,
    /// Goes back to clear text.
    StopTls,
    /// Computes a checksum, which may be dropped at any time.
    Sum(Task),
    /// Moves bytes over a data connection.
    Transfer(Plan),
}

/// A step of logging in.
pub enum Credential {
    /// What ACCT brought.
    Code {
        /// Of whom.
        name: String,
        /// The code.
        code: Secret,
    },
    /// What PASS brought.
    Password {
        /// Of whom.
        name: String,
        /// The password.
        password: Secret,
    },
    /// What USER brought.
    User(String),
}

/// Which address a data connection comes in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// One that PASV can tell.
    Four,
    /// That of the control connection.
    Same,
}

/// What is done with files; it gives the reply.
pub struct Task(Box<dyn FnOnce(Files) -> Doing + Send>);

type Doing = Pin<Box<dyn Future<Output = Result<Done, Reply>> + Send>>;

impl Task {
    /// What `work` does with a session's files.
    pub fn new<Working>(work: impl FnOnce(Files) -> Working + Send + 'static) -> Self
    where
        Working: Future<Output = Result<Done, Reply>> + Send + 'static,
    {
        Self(Box::new(move |files| Box::pin(work(files))))
    }

    /// Does it.
    pub fn run(self, files: Files) -> Doing {
        (self.0)(files)
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    /// For the client.
    pub reply: Reply,
    /// For the session.
    pub change: Change,
}

impl Done {
    /// A reply.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self::from(Reply::new(code, text))
    }

    /// A reply and what has changed.
    pub fn changing(self, change: Change) -> Self {
        Self { change, ..self }
    }
}

impl From<Reply> for Done {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            change: Change::Nothing,
        }
    }
}

/// What has changed for the session.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// It is in another folder now.
    Entered(VfsPath),
    /// Nothing.
    Nothing,
    /// The next command may be RNTO.
    Renaming(VfsPath),
}

/// What is transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What.
    pub what: What,
    /// How its bytes travel.
    pub form: Form,
    /// How they travel as a stream.
    pub mode: Mode,
}

/// What is transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Names to the client.
    List(ListRequest),
    /// A file to the client, from an offset on.
    Retrieve {
        /// Which.
        path: VfsPath,
        /// The offset.
        from: u64,
    },
    /// A file from the client.
    Store {
        /// Where to.
        path: VfsPath,
        /// What becomes of a file that is there.
        how: How,
    },
}

impl What {
    /// What STAT says of it.
    pub fn told(&self) -> String {
        match self {
            Self::List(request) => format!("Listing {}", request.path),
            Self::Retrieve { path, .. } => format!("Sending {path}"),
            Self::Store { path, .. } => format!("Receiving {path}"),
        }
    }
}

/// What becomes of a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// What comes is added at its end (APPE).
    Append,
    /// It is kept up to there, and what comes follows (REST and STOR).
    From(u64),
    /// It is replaced (STOR).
    Replace,
    /// Another name is found in its folder (STOU).
    Unique(Told),
}

/// How the client is told of a name that was found for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The name alone: it is in the session's folder.
    Name,
    /// The whole path.
    Path,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files(_) => "Files",
            Self::Host(_) => "Host",
            Self::Listen(_) => "Listen",
            Self::LogIn(_) => "LogIn",
            Self::LogOut => "LogOut",
            Self::StartTls => "StartTls",
            Self::StopTls => "StopTls",
            Self::Sum(_) => "Sum",
            Self::Transfer(_) => "Transfer",
        })
    }
}
