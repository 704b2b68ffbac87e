//! The one error that crosses layers.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What every fallible function of the crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in the few words that a protocol can render.
///
/// Every protocol's reply table matches this without `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The name or record is taken.
    AlreadyExists,
    /// A limit on sessions, connections or attempts is reached; later may work.
    Busy,
    /// What was to be changed on condition is another version by now, or gone.
    Changed,
    /// Stored bytes fail verification.
    Corrupt,
    /// The principal lacks a right; the context names it.
    Denied,
    /// A defect of ours or an impossible state; the log has the cause.
    Internal,
    /// The request itself is malformed or not allowed by the rules on names and sizes.
    Invalid,
    /// A file was needed and a folder is there.
    IsFolder,
    /// A lock of another client is on it, or on a folder above.
    Locked,
    /// A folder was to be removed or replaced and is not empty.
    NotEmpty,
    /// A folder was needed and a file is there.
    NotFolder,
    /// No such name or record.
    NotFound,
    /// The tenant's or the account's quota is reached.
    Quota,
    /// The upload or lease belongs to a later epoch now.
    Stale,
    /// The blob store has no room left.
    StorageFull,
    /// Name, password, key or second factor is wrong, or the account is disabled.
    Unauthenticated,
    /// The database, blob store or key service does not answer; retrying may help.
    Unavailable,
    /// The operation is not offered.
    Unsupported,
}

/// Whom an error concerns beside the client that is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Nobody.
    Client,
    /// The operator, at once: something is broken.
    Defect,
    /// The operator, if it lasts: something does not answer or is full.
    Outage,
}

impl ErrorKind {
    /// The word that programs know it by, in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyExists => "already-exists",
            Self::Busy => "busy",
            Self::Changed => "changed",
            Self::Corrupt => "corrupt",
            Self::Denied => "denied",
            Self::Internal => "internal",
            Self::Invalid => "invalid",
            Self::IsFolder => "is-folder",
            Self::Locked => "locked",
            Self::NotEmpty => "not-empty",
            Self::NotFolder => "not-folder",
            Self::NotFound => "not-found",
            Self::Quota => "quota",
            Self::Stale => "stale",
            Self::StorageFull => "storage-full",
            Self::Unauthenticated => "unauthenticated",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
        }
    }

    /// Whom it concerns: what front ends write down, and how loud.
    pub fn concern(self) -> Concern {
        match self {
            Self::Corrupt | Self::Internal => Concern::Defect,
            Self::StorageFull | Self::Unavailable => Concern::Outage,
            Self::AlreadyExists
            | Self::Busy
            | Self::Changed
            | Self::Denied
            | Self::Invalid
            | Self::IsFolder
            | Self::Locked
            | Self::NotEmpty
            | Self::NotFolder
            | Self::NotFound
            | Self::Quota
            | Self::Stale
            | Self::Unauthenticated
            | Self::Unsupported => Concern::Client,
        }
    }
}

/// A kind for the peer, a sentence for the person, a cause for the log.
///
/// `context` is shown to clients: it says what to do and never names the inside. `source` goes
/// to the log only.
pub struct Error {
    kind: ErrorKind,
    context: String,
    place: Option<String>,
    wait: Option<Duration>,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error from a kind and a lowercase sentence without a full stop.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            place: None,
            wait: None,
            hint: None,
            source: None,
        }
    }

    /// Says which file or folder stands in the way, for programs: its path, that of a folder with a slash
    /// behind it.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Says after how long it can be tried again, for programs.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Says which command helps, for who is at the command line: behind a semicolon there, and nowhere else.
    #[must_use]
    pub fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, by another sentence.
    #[must_use]
    pub fn saying(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }

    /// A defect or an impossible state: clients read one fixed sentence.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(
            ErrorKind::Internal,
            "internal error; the operator finds the cause in the log",
        )
        .because(source)
    }

    /// A request that breaks a rule.
    pub fn invalid(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, context)
    }

    /// A name that is not there.
    pub fn not_found(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, context)
    }

    /// What the peer may know.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Which file or folder stands in the way, if that is said.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// After how long it can be tried again, if that is known.
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Which command helps, if that is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The sentence for the person at the other end.
    pub fn context(&self) -> &str {
        &self.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

/// The sentence and all causes: for the log, never for a peer.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.context)?;
        let mut cause: Option<&(dyn StdError + 'static)> = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}
