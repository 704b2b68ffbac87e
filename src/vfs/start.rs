//! What writing a file starts from, and how far it may go.

use crate::db::contents::StoredContent;
use crate::domain::error::{Error, ErrorKind};
use crate::domain::node::Entry;
use crate::net::budget::Share;
use crate::vfs::admission::Admission;
use crate::vfs::resume::{Discard, Resumed};
use crate::vfs::target::Target;

/// Longest file, in bytes (what SQL and most clients can count).
pub(in crate::vfs) const MAX_SIZE: u64 = i64::MAX as u64;

/// What a writer starts from.
pub(in crate::vfs) struct Start {
    pub entry: Entry,
    pub target: Target,
    pub base: Option<StoredContent>,
    /// What knowing very many pieces of that takes.
    pub counted: Option<Share>,
    pub resumed: Option<Resumed>,
    /// What broke off before, and is not gone on with.
    pub discard: Option<Box<Discard>>,
    pub admission: Admission,
}

/// The error for what would be longer.
pub(in crate::vfs) fn too_long() -> Error {
    Error::invalid(format!("a file must not be longer than {MAX_SIZE} bytes"))
}

/// The error for mode and times of what broke off and was not gone on with: they come with a version.
pub(in crate::vfs) fn not_set() -> Error {
    Error::new(
        ErrorKind::Stale,
        "this file broke off and nothing more was sent, so its mode and times are not set; \
         send the rest, and set them then",
    )
}
