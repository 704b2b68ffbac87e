//! What a command started by exec works with, and how it says what went wrong.

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::path::VfsPath;
use crate::sftp::ledger::Ledger;
use crate::sftp::pipe::{Input, Output};
use crate::sftp::words::Word;
use crate::vfs::session::Session;

/// What a command works with.
pub struct Environment {
    /// The files.
    pub files: Session,
    /// Where relative paths start.
    pub folder: VfsPath,
    /// What the client sends.
    pub input: Input,
    /// What the client gets.
    pub output: Output,
    /// What is under way.
    pub ledger: Ledger,
}

impl Environment {
    /// The path that a word names.
    ///
    /// # Errors
    /// Invalid, as [`VfsPath::resolve`].
    pub fn resolve(&self, word: &Word) -> Result<VfsPath> {
        let home = &self.files.principal().home;
        let Some(rest) = word.bytes.strip_prefix(b"~").filter(|_| word.from_home) else {
            return VfsPath::resolve(&self.folder, &word.bytes);
        };
        match rest.first() {
            None | Some(b'/') => VfsPath::resolve(home, &[b".", rest].concat()),
            Some(_) => Err(Error::invalid(
                "home folders of others cannot be named; write the path",
            )),
        }
    }
}

/// The words without a `--` before them.
pub fn after_dashes(words: &[Word]) -> &[Word] {
    match words {
        [first, rest @ ..] if first.bytes == b"--" => rest,
        _ => words,
    }
}

/// What these programs say elsewhere, where there is such a thing.
pub fn reason(error: &Error) -> &str {
    match error.kind() {
        ErrorKind::NotFound => "No such file or directory",
        ErrorKind::IsFolder => "Is a directory",
        ErrorKind::NotFolder => "Not a directory",
        ErrorKind::AlreadyExists
        | ErrorKind::Busy
        | ErrorKind::Changed
        | ErrorKind::Corrupt
        | ErrorKind::Denied
        | ErrorKind::Internal
        | ErrorKind::Invalid
        | ErrorKind::Locked
        | ErrorKind::NotEmpty
        | ErrorKind::Quota
        | ErrorKind::Stale
        | ErrorKind::StorageFull
        | ErrorKind::Unauthenticated
        | ErrorKind::Unavailable
        | ErrorKind::Unsupported => error.context(),
    }
}
