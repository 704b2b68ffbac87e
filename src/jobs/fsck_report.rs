//! What a check of an installation is to do, and what it tells.

use serde::Serialize;

/// Whether leftovers are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing is changed.
    No,
    /// Orphans are removed, and what is missing or damaged somewhere is made anew from where it is whole.
    Yes,
}

/// Whether stored bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All of them, and compared with their SHA-256.
    Bytes,
    /// None: records and the lengths of objects are compared.
    Records,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FsckReport {
    /// Whether there are no problems. Orphans are leftovers, not problems.
    pub clean: bool,
    /// Versions looked at, live and past.
    pub entries: u64,
    /// Contents looked at.
    pub contents: u64,
    /// Blobs looked at.
    pub blobs: u64,
    /// Bytes read and found as they were written.
    pub bytes: u64,
    /// Contents that nobody can read, since their tenant's keys were destroyed: only what is known of them was
    /// compared.
    pub keyless: u64,
    /// What does not agree, a sentence each.
    pub problems: Vec<String>,
    /// Problems of which a repair may make everything good again from what is elsewhere.
    pub mendable: u64,
    /// Problems that this one has made good, or left to the next round of copying.
    pub mended: u64,
    /// Problems that are only that something could not be looked at.
    pub unchecked: u64,
    /// Objects and blob rows that nothing needs.
    pub orphans: u64,
    /// Orphans that were removed.
    pub removed: u64,
    /// Objects that were removed because nothing names them any more: of what was deleted and purged.
    pub swept: u64,
}
