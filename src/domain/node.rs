//! Files and folders, and their versions.

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AccountId, ContentId, NodeId};

/// File or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// Has content.
    File,
    /// Has children.
    Folder,
}

impl NodeKind {
    /// The stored form.
    pub fn code(self) -> i64 {
        match self {
            Self::File => 1,
            Self::Folder => 2,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
        }
    }

    /// Takes a stored kind.
    ///
    /// # Errors
    /// Internal when it is neither.
    pub fn from_code(code: i64) -> Result<Self> {
        match code {
            1 => Ok(Self::File),
            2 => Ok(Self::Folder),
            _ => Err(Error::internal(format!("unknown node kind {code}"))),
        }
    }
}

/// What clients may set on a node; nothing in it is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Unix permission bits, as the client sent them (07777).
    pub mode: u32,
    /// Time of last modification.
    pub modified: Timestamp,
    /// Time of last access, as a client set it; reading does not change it.
    pub accessed: Timestamp,
    /// Time of creation, where a client set one; else that at which the node was made holds
    /// ([`Entry::created`]).
    pub created: Option<Timestamp>,
}

impl Attributes {
    /// What a new file gets.
    pub fn file(now: Timestamp) -> Self {
        Self {
            mode: 0o644,
            modified: now,
            accessed: now,
            created: None,
        }
    }

    /// What a new folder gets.
    pub fn folder(now: Timestamp) -> Self {
        Self {
            mode: 0o755,
            ..Self::file(now)
        }
    }

    /// These with what is named in `update` replaced.
    #[must_use]
    pub fn with(self, update: AttributeUpdate) -> Self {
        Self {
            mode: update.mode.map_or(self.mode, |mode| mode & 0o7777),
            modified: update.modified.unwrap_or(self.modified),
            accessed: update.accessed.unwrap_or(self.accessed),
            created: update.created.or(self.created),
        }
    }
}

/// Attributes to set; none means: leave as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AttributeUpdate {
    /// Unix permission bits.
    pub mode: Option<u32>,
    /// Time of last modification.
    pub modified: Option<Timestamp>,
    /// Time of last access.
    pub accessed: Option<Timestamp>,
    /// Time of creation.
    pub created: Option<Timestamp>,
}

impl AttributeUpdate {
    /// Whether nothing is to be set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, then `later` on top.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            mode: later.mode.or(self.mode),
            modified: later.modified.or(self.modified),
            accessed: later.accessed.or(self.accessed),
            created: later.created.or(self.created),
        }
    }
}

/// One version of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose version this is.
    pub node: NodeId,
    /// The folder it is in; [`NodeId::NIL`] for the root.
    pub parent: NodeId,
    /// Its name there; empty for the root.
    pub name: String,
    /// File or folder.
    pub kind: NodeKind,
    /// What the file holds; none for folders and for empty files.
    pub content: Option<ContentId>,
    /// Length of the content in bytes; 0 for folders.
    pub size: u64,
    /// The account that wrote the content or made the folder; its quota pays.
    pub owner: Option<AccountId>,
    /// Mode and times.
    pub attributes: Attributes,
    /// The change that made this version.
    pub born: i64,
    /// The change that ended it; none while it is live.
    pub died: Option<i64>,
}

impl Entry {
    /// When it was created: as a client said, else when the node was made, to the millisecond.
    pub fn created(&self) -> Timestamp {
        let minted = || self.node.minted();
        self.attributes.created.unwrap_or_else(minted)
    }

    /// What tells this version from all others of the tenant.
    pub fn version(&self) -> Version {
        Version {
            node: self.node,
            born: self.born,
        }
    }
}

/// Names one version of a node: there is never another one with the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// Whose version it is.
    pub node: NodeId,
    /// The change that made it.
    pub born: i64,
}
