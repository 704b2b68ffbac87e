//! How a file is opened.

use crate::domain::node::AttributeUpdate;

/// What happens to a file that is or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// It must be there.
    Never,
    /// It is made when it is not there.
    IfMissing,
    /// It must not be there.
    New,
}

/// What a file is to its own account of which it broke an upload off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenOff {
    /// What is published, and nothing where nothing is: for doors by which no upload is gone on with under its name.
    Hidden,
    /// What is kept of the upload.
    Shown,
}

/// Which length a file may have that is opened for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Any.
    Any,
    /// The one that looking at it shows.
    Shown,
}

/// How a file is opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// What happens to a file that is or is not there.
    pub create: Create,
    /// Whether it starts empty.
    pub truncate: bool,
    /// Whether each write goes to the end, wherever it says.
    pub append: bool,
    /// Whether what came of it is kept when it breaks off, for whoever goes on with it.
    pub resumable: bool,
    /// Mode and times that it gets if it is made; a file that is there keeps its own.
    pub attributes: AttributeUpdate,
}

impl WriteOptions {
    /// Whether an upload that broke off is gone on with.
    pub fn goes_on(&self) -> bool {
        !self.truncate && self.create != Create::New
    }
}
