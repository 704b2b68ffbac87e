//! What clients ask for, in words of ours: requests of SFTP version 3 and of the extensions offered.

use bytes::Bytes;

use crate::domain::error::Result;
use crate::domain::sum::SumKind;
use crate::sftp::attrs::Wanted;
use crate::sftp::fields::Fields;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// copy-data.
    Copy(CopyRequest),
    /// About an open handle.
    Handle(HandleId, HandleRequest),
    /// limits@openssh.com.
    Limits,
    /// users-groups-by-id@openssh.com: the ids, four bytes each.
    Names {
        /// Of users.
        users: Bytes,
        /// Of groups.
        groups: Bytes,
    },
    /// About names.
    Path(PathRequest),
    /// Something that is not offered; the sentence says so.
    Unsupported(String),
    /// vendor-id: the client says what it is.
    Vendor,
}

/// A request about an open handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandleRequest {
    /// SSH_FXP_CLOSE.
    Close,
    /// SSH_FXP_READ.
    Read {
        /// Where to start, in bytes.
        offset: u64,
        /// How many bytes at most.
        length: u32,
    },
    /// SSH_FXP_READDIR.
    ReadFolder,
    /// SSH_FXP_FSETSTAT.
    SetStat(Wanted),
    /// fstatvfs@openssh.com.
    Space,
    /// SSH_FXP_FSTAT.
    Stat,
    /// check-file-handle.
    Sum(SumRequest),
    /// fsync@openssh.com.
    Sync,
    /// SSH_FXP_WRITE.
    Write {
        /// Where to start, in bytes.
        offset: u64,
        /// What to write: a slice of the packet, unless much else is in that.
        data: Bytes,
    },
}

/// A request about names. Paths are as they came: bytes that nobody has looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRequest {
    /// copy-file.
    Copy {
        /// The file.
        from: Bytes,
        /// The name of the copy.
        to: Bytes,
        /// Whether a file already there is replaced.
        replace: bool,
    },
    /// expand-path@openssh.com.
    Expand {
        /// Any path, perhaps with a tilde.
        path: Bytes,
    },
    /// home-directory.
    Home {
        /// Whose; empty is one's own.
        user: Bytes,
    },
    /// SSH_FXP_MKDIR.
    MakeFolder {
        /// The folder.
        path: Bytes,
        /// Its attributes.
        wanted: Wanted,
    },
    /// SSH_FXP_OPEN.
    Open {
        /// The file.
        path: Bytes,
        /// How to open it.
        flags: OpenFlags,
        /// Its attributes if it is made.
        wanted: Wanted,
    },
    /// SSH_FXP_OPENDIR.
    OpenFolder {
        /// The folder.
        path: Bytes,
    },
    /// SSH_FXP_REALPATH.
    RealPath {
        /// Any path; need not exist.
        path: Bytes,
    },
    /// SSH_FXP_REMOVE.
    Remove {
        /// The file.
        path: Bytes,
    },
    /// SSH_FXP_RMDIR.
    RemoveFolder {
        /// The folder.
        path: Bytes,
    },
    /// SSH_FXP_RENAME, and posix-rename@openssh.com.
    Rename {
        /// What is renamed.
        from: Bytes,
        /// What it is named then.
        to: Bytes,
        /// Whether a file already there is replaced.
        replace: bool,
    },
    /// SSH_FXP_SETSTAT.
    SetStat {
        /// The file or folder.
        path: Bytes,
        /// What to set.
        wanted: Wanted,
    },
    /// statvfs@openssh.com, and space-available.
    Space {
        /// Any path that exists.
        path: Bytes,
        /// How it is told.
        form: SpaceForm,
    },
    /// SSH_FXP_STAT and SSH_FXP_LSTAT, which are the same here: there are no links.
    Stat {
        /// The file or folder.
        path: Bytes,
    },
    /// check-file-name.
    Sum {
        /// The file.
        path: Bytes,
        /// What to make of it.
        wanted: SumRequest,
    },
}

impl PathRequest {
    /// Bytes of names in it, for counting what waits.
    pub fn bytes(&self) -> usize {
        match self {
            Self::MakeFolder { path, .. }
            | Self::Open { path, .. }
            | Self::OpenFolder { path }
            | Self::RealPath { path }
            | Self::Remove { path }
            | Self::RemoveFolder { path }
            | Self::SetStat { path, .. }
            | Self::Expand { path }
            | Self::Home { user: path }
            | Self::Space { path, .. }
            | Self::Stat { path }
            | Self::Sum { path, .. } => path.len(),
            Self::Copy { from, to, .. } | Self::Rename { from, to, .. } => from.len() + to.len(),
        }
    }

    /// The names on which it depends what this does or tells.
    pub fn names(&self) -> [Option<&Bytes>; 2] {
        match self {
            Self::Expand { .. } | Self::Home { .. } | Self::RealPath { .. } => [None, None],
            Self::MakeFolder { path, .. }
            | Self::Open { path, .. }
            | Self::OpenFolder { path }
            | Self::Remove { path }
            | Self::RemoveFolder { path }
            | Self::SetStat { path, .. }
            | Self::Space { path, .. }
            | Self::Stat { path }
            | Self::Sum { path, .. } => [Some(path), None],
            Self::Copy { from, to, .. } | Self::Rename { from, to, .. } => [Some(from), Some(to)],
        }
    }
}

/// A part of a file to be copied into another, server-side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRequest {
    /// The file it is in.
    pub read: HandleId,
    /// Where it starts there, in bytes.
    pub from: u64,
    /// How many bytes; 0 is all to the end.
    pub length: u64,
    /// The file it goes into.
    pub write: HandleId,
    /// Where it starts there, in bytes.
    pub to: u64,
}

/// How the room that is left is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceForm {
    /// As space-available does.
    Available,
    /// As statvfs@openssh.com does.
    StatVfs,
}

/// Which checksums of a file are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumRequest {
    /// The algorithm.
    pub kind: SumKind,
    /// Where to start, in bytes.
    pub start: u64,
    /// How many bytes; 0 is all to the end.
    pub length: u64,
    /// One checksum for so many bytes each; 0 is one for all.
    pub block: u32,
}

/// Names an open file or folder of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandleId(u64);

impl HandleId {
    /// Names nothing: what any handle becomes that was not given out by this server.
    pub const NONE: Self = Self(0);

    /// Makes a handle of random bytes.
    pub fn new(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The form on the wire.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Reads a handle off the front of `fields`.
    ///
    /// # Errors
    /// Invalid when it is cut off.
    pub fn parse(fields: &mut Fields) -> Result<Self> {
        let bytes = fields.string()?;
        Ok(<[u8; 8]>::try_from(&*bytes).map_or(Self::NONE, Self::new))
    }
}

/// The flags of SSH_FXP_OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFlags(pub u32);

impl OpenFlags {
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    const APPEND: u32 = 4;
    const CREATE: u32 = 8;
    const TRUNCATE: u32 = 16;
    const EXCLUSIVE: u32 = 32;

    /// Whether the handle may be read from.
    pub fn reads(self) -> bool {
        self.has(Self::READ) || !self.writes()
    }

    /// Whether the file may be changed through the handle, or by opening it.
    pub fn writes(self) -> bool {
        self.has(Self::WRITE)
            || self.has(Self::APPEND)
            || self.has(Self::CREATE)
            || self.has(Self::TRUNCATE)
    }

    /// Whether every write goes to the end.
    pub fn appends(self) -> bool {
        self.has(Self::APPEND)
    }

    /// Whether the file is made when it is missing.
    pub fn creates(self) -> bool {
        self.has(Self::CREATE)
    }

    /// Whether the file must not be there yet.
    pub fn is_exclusive(self) -> bool {
        self.has(Self::EXCLUSIVE)
    }

    /// Whether what the file holds is dropped.
    pub fn truncates(self) -> bool {
        self.has(Self::TRUNCATE)
    }

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_flags_say_who_reads_and_who_writes() {
        let told = |flags| (OpenFlags(flags).reads(), OpenFlags(flags).writes());
        assert_eq!(told(0), (true, false));
        assert_eq!(told(OpenFlags::READ), (true, false));
        assert_eq!(told(OpenFlags::WRITE | OpenFlags::CREATE), (false, true));
        assert_eq!(told(OpenFlags::READ | OpenFlags::WRITE), (true, true));
        assert_eq!(told(OpenFlags::APPEND), (false, true));
    }
}
