//! Requests of SFTP version 3 (draft-ietf-secsh-filexfer-02) and OpenSSH's extensions to it
//! (OpenSSH's PROTOCOL, section 4).

use bytes::Bytes;

use crate::domain::error::Result;
use crate::sftp::attrs::Wanted;
use crate::sftp::fields::Fields;

const INIT: u8 = 1;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const FSTAT: u8 = 8;
const SETSTAT: u8 = 9;
const FSETSTAT: u8 = 10;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const REALPATH: u8 = 16;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const READLINK: u8 = 19;
const SYMLINK: u8 = 20;
const EXTENDED: u8 = 200;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// About an open handle.
    Handle(HandleId, HandleRequest),
    /// limits@openssh.com.
    Limits,
    /// About names.
    Path(PathRequest),
    /// Something that is not offered; the sentence says so.
    Unsupported(String),
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
    /// fsync@openssh.com.
    Sync,
    /// SSH_FXP_WRITE.
    Write {
        /// Where to start, in bytes.
        offset: u64,
        /// What to write: a slice of the packet.
        data: Bytes,
    },
}

/// A request about names. Paths are as they came: bytes that nobody has looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRequest {
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
    /// statvfs@openssh.com.
    Space {
        /// Any path that exists.
        path: Bytes,
    },
    /// SSH_FXP_STAT and SSH_FXP_LSTAT, which are the same here: there are no links.
    Stat {
        /// The file or folder.
        path: Bytes,
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
            | Self::Space { path }
            | Self::Stat { path } => path.len(),
            Self::Rename { from, to, .. } => from.len() + to.len(),
        }
    }
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

    fn parse(fields: &mut Fields) -> Result<Self> {
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

/// A packet from a client.
#[derive(Debug)]
pub enum Packet {
    /// SSH_FXP_INIT with the client's version.
    Init(u32),
    /// A request whose id can be read; the rest may be malformed.
    Request(u32, Result<Request>),
}

impl Packet {
    /// Reads a packet without its length. Bytes after the last field are read over, as OpenSSH
    /// does.
    ///
    /// # Errors
    /// Invalid when not even the request's id can be read: no reply could be given.
    pub fn parse(packet: Bytes) -> Result<Self> {
        let mut fields = Fields::new(packet);
        let kind = fields.u8()?;
        let number = fields.u32()?;
        Ok(match kind {
            INIT => Self::Init(number),
            _ => Self::Request(number, request(kind, &mut fields)),
        })
    }
}

fn request(kind: u8, fields: &mut Fields) -> Result<Request> {
    let request = match kind {
        CLOSE | READ | WRITE | FSTAT | FSETSTAT | READDIR => {
            let handle = HandleId::parse(fields)?;
            Request::Handle(handle, handle_request(kind, fields)?)
        }
        EXTENDED => extended(fields)?,
        READLINK | SYMLINK => no_links(),
        _ => match path_request(kind, fields)? {
            Some(request) => Request::Path(request),
            None => Request::Unsupported(format!("SFTP version 3 has no request of type {kind}")),
        },
    };
    Ok(request)
}

fn handle_request(kind: u8, fields: &mut Fields) -> Result<HandleRequest> {
    Ok(match kind {
        READ => HandleRequest::Read {
            offset: fields.u64()?,
            length: fields.u32()?,
        },
        WRITE => HandleRequest::Write {
            offset: fields.u64()?,
            data: fields.string()?,
        },
        FSTAT => HandleRequest::Stat,
        FSETSTAT => HandleRequest::SetStat(Wanted::parse(fields)?),
        READDIR => HandleRequest::ReadFolder,
        _ => HandleRequest::Close,
    })
}

fn path_request(kind: u8, fields: &mut Fields) -> Result<Option<PathRequest>> {
    let request = match kind {
        OPEN => PathRequest::Open {
            path: fields.string()?,
            flags: OpenFlags(fields.u32()?),
            wanted: Wanted::parse(fields)?,
        },
        LSTAT | STAT => PathRequest::Stat {
            path: fields.string()?,
        },
        SETSTAT => PathRequest::SetStat {
            path: fields.string()?,
            wanted: Wanted::parse(fields)?,
        },
        OPENDIR => PathRequest::OpenFolder {
            path: fields.string()?,
        },
        REMOVE => PathRequest::Remove {
            path: fields.string()?,
        },
        MKDIR => PathRequest::MakeFolder {
            path: fields.string()?,
            wanted: Wanted::parse(fields)?,
        },
        RMDIR => PathRequest::RemoveFolder {
            path: fields.string()?,
        },
        REALPATH => PathRequest::RealPath {
            path: fields.string()?,
        },
        RENAME => PathRequest::Rename {
            from: fields.string()?,
            to: fields.string()?,
            replace: false,
        },
        _ => return Ok(None),
    };
    Ok(Some(request))
}

fn extended(fields: &mut Fields) -> Result<Request> {
    let name = fields.string()?;
    Ok(match &*name {
        b"posix-rename@openssh.com" => Request::Path(PathRequest::Rename {
            from: fields.string()?,
            to: fields.string()?,
            replace: true,
        }),
        b"statvfs@openssh.com" => Request::Path(PathRequest::Space {
            path: fields.string()?,
        }),
        b"fstatvfs@openssh.com" => Request::Handle(HandleId::parse(fields)?, HandleRequest::Space),
        b"fsync@openssh.com" => Request::Handle(HandleId::parse(fields)?, HandleRequest::Sync),
        b"limits@openssh.com" => Request::Limits,
        b"hardlink@openssh.com" => no_links(),
        name => {
            let name: String = String::from_utf8_lossy(name).chars().take(64).collect();
            Request::Unsupported(format!(
                "the extension '{}' is not offered",
                name.escape_debug()
            ))
        }
    })
}

fn no_links() -> Request {
    Request::Unsupported("links are not offered here; copy the file".to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};

    use super::*;
    use crate::domain::error::ErrorKind;

    fn packet(kind: u8, id: u32, strings: &[&[u8]], rest: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(kind);
        out.put_u32(id);
        for string in strings {
            out.put_u32(u32::try_from(string.len()).unwrap());
            out.put_slice(string);
        }
        out.put_slice(rest);
        out.freeze()
    }

    fn parse(packet: Bytes) -> Result<Request> {
        match Packet::parse(packet).unwrap() {
            Packet::Request(9, request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_write_is_a_slice_of_its_packet() {
        let handle = HandleId::new(*b"12345678");
        let bytes = packet(WRITE, 9, &[b"12345678"], b"\0\0\0\0\0\0\0\x05\0\0\0\x03abc");
        let Request::Handle(to, HandleRequest::Write { offset, data }) =
            parse(bytes.clone()).unwrap()
        else {
            panic!("not a write");
        };
        assert_eq!((to, offset, &*data), (handle, 5, &b"abc"[..]));
        assert_eq!(data.as_ptr(), bytes[bytes.len() - 3..].as_ptr());
    }

    #[test]
    fn cut_requests_keep_their_id() {
        let whole = packet(RENAME, 9, &[b"from", b"to"], b"");
        for length in 5..whole.len() {
            let error = parse(whole.slice(..length)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
        for length in 0..5 {
            assert!(Packet::parse(whole.slice(..length)).is_err());
        }
    }

    #[test]
    fn handles_of_other_servers_name_nothing() {
        for handle in [&b""[..], b"1", b"123456789"] {
            let Request::Handle(id, HandleRequest::Close) =
                parse(packet(CLOSE, 9, &[handle], b"")).unwrap()
            else {
                panic!("not a close");
            };
            assert_eq!(id, HandleId::NONE);
        }
    }

    #[test]
    fn links_and_unknown_requests_are_refused_in_words() {
        for (bytes, word) in [
            (packet(SYMLINK, 9, &[b"a", b"b"], b""), "links"),
            (packet(READLINK, 9, &[b"a"], b""), "links"),
            (
                packet(EXTENDED, 9, &[b"hardlink@openssh.com"], b""),
                "links",
            ),
            (packet(EXTENDED, 9, &[b"who\x07@x"], b""), "who\\u{7}@x"),
            (packet(99, 9, &[], b""), "99"),
        ] {
            match parse(bytes).unwrap() {
                Request::Unsupported(why) => assert!(why.contains(word), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }

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
