//! Replies of SFTP version 3, and the table from our errors to its status codes.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind};
use crate::domain::node::Entry;
use crate::domain::sum::SumKind;
use crate::sftp::attrs::{self, Viewer};
use crate::sftp::extensions;
use crate::sftp::packet::{MAX_DATA_BYTES, MAX_PACKET_BYTES};
use crate::sftp::request::HandleId;

const VERSION: u8 = 2;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;
const EXTENDED_REPLY: u8 = 201;

/// Longest list of names in one reply, in bytes: any version 3 client takes 34,000.
const MAX_NAMES_BYTES: usize = 32_000;

/// Status codes of version 3 that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// It worked.
    Ok = 0,
    /// There is no more to read.
    Eof = 1,
    /// The name is not there.
    NoSuchFile = 2,
    /// A right is missing.
    PermissionDenied = 3,
    /// Anything else; the message tells.
    Failure = 4,
    /// The request is malformed or breaks a rule on names.
    BadMessage = 5,
    /// Not offered.
    OpUnsupported = 8,
}

/// The status code of an error, near to what OpenSSH's server makes of the like.
pub fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::AlreadyExists
        | ErrorKind::Busy
        | ErrorKind::Changed
        | ErrorKind::Corrupt
        | ErrorKind::Internal
        | ErrorKind::IsFolder
        | ErrorKind::Locked
        | ErrorKind::NotEmpty
        | ErrorKind::Quota
        | ErrorKind::Stale
        | ErrorKind::StorageFull
        | ErrorKind::Unavailable => Code::Failure,
        ErrorKind::Denied | ErrorKind::Unauthenticated => Code::PermissionDenied,
        ErrorKind::Invalid => Code::BadMessage,
        ErrorKind::NotFolder | ErrorKind::NotFound => Code::NoSuchFile,
        ErrorKind::Unsupported => Code::OpUnsupported,
    }
}

/// SSH_FXP_VERSION: version 3 and our extensions.
pub fn version() -> Bytes {
    packet(|out| {
        out.put_u8(VERSION);
        out.put_u32(3);
        for (name, version) in extensions::OFFERED {
            put_string(out, name.as_bytes());
            put_string(out, version.as_bytes());
        }
        put_string(out, extensions::VENDOR.as_bytes());
        put_string(out, &extensions::vendor());
    })
}

/// SSH_FXP_STATUS.
pub fn status(id: u32, code: Code, message: &str) -> Bytes {
    packet(|out| {
        out.put_u8(STATUS);
        out.put_u32(id);
        out.put_u32(code as u32);
        put_string(out, printable(message).as_bytes());
        put_string(out, b"en");
    })
}

/// Without what a terminal would obey: names in messages are others' choice.
pub(crate) fn printable(message: &str) -> Cow<'_, str> {
    match message.contains(char::is_control) {
        false => Cow::Borrowed(message),
        true => {
            let shown = message.chars().map(|c| match c.is_control() {
                true => c.escape_default().to_string(),
                false => c.to_string(),
            });
            Cow::Owned(shown.collect())
        }
    }
}

/// The status that says that it worked.
pub fn ok(id: u32) -> Bytes {
    status(id, Code::Ok, "")
}

/// The status that says that there is no more.
pub fn end(id: u32) -> Bytes {
    status(id, Code::Eof, "end of file")
}

/// The status that says what went wrong.
pub fn error(id: u32, error: &Error) -> Bytes {
    status(id, code(error.kind()), error.context())
}

/// SSH_FXP_HANDLE.
pub fn handle(id: u32, handle: HandleId) -> Bytes {
    packet(|out| {
        out.put_u8(HANDLE);
        out.put_u32(id);
        put_string(out, &handle.to_bytes());
    })
}

/// What stands before the data in a SSH_FXP_DATA with `length` bytes of them.
pub fn data_head(id: u32, length: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(DATA_OVERHEAD);
    put_length(&mut out, DATA_OVERHEAD - 4 + length);
    out.put_u8(DATA);
    out.put_u32(id);
    put_length(&mut out, length);
    out.freeze()
}

/// Bytes of a data reply beside the data.
pub const DATA_OVERHEAD: usize = 13;

/// SSH_FXP_ATTRS.
pub fn attributes(id: u32, viewer: &Viewer, entry: &Entry) -> Bytes {
    packet(|out| {
        out.put_u8(ATTRS);
        out.put_u32(id);
        viewer.put(out, entry);
    })
}

/// SSH_FXP_NAME with one name and nothing known of it: the reply to REALPATH.
pub fn real_path(id: u32, path: &str) -> Bytes {
    packet(|out| {
        out.put_u8(NAME);
        out.put_u32(id);
        out.put_u32(1);
        put_string(out, path.as_bytes());
        put_string(out, path.as_bytes());
        attrs::put_none(out);
    })
}

/// A SSH_FXP_NAME that is filled until it is long enough.
#[derive(Debug)]
pub struct Names {
    count: u32,
    body: BytesMut,
}

impl Names {
    /// Without names.
    pub fn new() -> Self {
        Self {
            count: 0,
            body: BytesMut::new(),
        }
    }

    /// Whether there is no name yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether another name of the greatest length might be too much.
    pub fn is_full(&self) -> bool {
        self.body.len() + 1024 > MAX_NAMES_BYTES
    }

    /// Adds `entry` under `name`.
    pub fn push(&mut self, viewer: &Viewer, name: &str, entry: &Entry, now: Timestamp) {
        put_string(&mut self.body, name.as_bytes());
        let line = viewer.long_name(name, entry, now);
        put_string(&mut self.body, line.as_bytes());
        viewer.put(&mut self.body, entry);
        self.count += 1;
    }

    /// The packet.
    pub fn finish(self, id: u32) -> Bytes {
        packet(|out| {
            out.put_u8(NAME);
            out.put_u32(id);
            out.put_u32(self.count);
            out.put_slice(&self.body);
        })
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

/// SSH_FXP_EXTENDED_REPLY to limits@openssh.com.
pub fn limits(id: u32, max_handles: usize) -> Bytes {
    packet(|out| {
        out.put_u8(EXTENDED_REPLY);
        out.put_u32(id);
        for limit in [
            MAX_PACKET_BYTES,
            MAX_DATA_BYTES,
            MAX_DATA_BYTES,
            max_handles,
        ] {
            out.put_u64(limit as u64);
        }
    })
}

/// Room in a file system, as statvfs@openssh.com tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes taken.
    pub used_bytes: u64,
    /// Files in all.
    pub total_files: u64,
    /// Files there are.
    pub used_files: u64,
    /// Which file system it is.
    pub id: u64,
}

const BLOCK_BYTES: u64 = 4096;
const NO_SUID: u64 = 2;
const MAX_NAME_BYTES: u64 = 255;

/// SSH_FXP_EXTENDED_REPLY to statvfs@openssh.com and fstatvfs@openssh.com.
pub fn space(id: u32, system: FileSystem) -> Bytes {
    let free_blocks = system.total_bytes.saturating_sub(system.used_bytes) / BLOCK_BYTES;
    let free_files = system.total_files.saturating_sub(system.used_files);
    packet(|out| {
        out.put_u8(EXTENDED_REPLY);
        out.put_u32(id);
        for value in [
            BLOCK_BYTES,
            BLOCK_BYTES,
            system.total_bytes / BLOCK_BYTES,
            free_blocks,
            free_blocks,
            system.total_files,
            free_files,
            free_files,
            system.id,
            NO_SUID,
            MAX_NAME_BYTES,
        ] {
            out.put_u64(value);
        }
    })
}

/// SSH_FXP_EXTENDED_REPLY to space-available (draft-ietf-secsh-filexfer-09, section 9.2).
pub fn space_available(id: u32, system: FileSystem) -> Bytes {
    let free = system.total_bytes.saturating_sub(system.used_bytes);
    packet(|out| {
        out.put_u8(EXTENDED_REPLY);
        out.put_u32(id);
        for value in [system.total_bytes, free, system.total_bytes, free] {
            out.put_u64(value);
        }
        out.put_u32(BLOCK_BYTES as u32);
    })
}

/// SSH_FXP_EXTENDED_REPLY to users-groups-by-id@openssh.com: one name for each id, empty for those
/// that the viewer has no name for. None when there are too many ids for one reply.
pub fn names(id: u32, viewer: &Viewer, users: &[u8], groups: &[u8]) -> Option<Bytes> {
    let users = named(users, |id| viewer.user_name(id))?;
    let groups = named(groups, |id| viewer.group_name(id))?;
    Some(packet(|out| {
        out.put_u8(EXTENDED_REPLY);
        out.put_u32(id);
        put_string(out, &users);
        put_string(out, &groups);
    }))
}

fn named<'a>(ids: &[u8], name: impl Fn(u32) -> &'a str) -> Option<BytesMut> {
    let mut out = BytesMut::new();
    let (ids, _) = ids.as_chunks::<4>();
    for id in ids {
        put_string(&mut out, name(u32::from_be_bytes(*id)).as_bytes());
        if out.len() > MAX_NAMES_BYTES {
            return None;
        }
    }
    Some(out)
}

/// SSH_FXP_EXTENDED_REPLY to the check-file requests: checksums one after the other.
pub fn sums(id: u32, kind: SumKind, sums: &[u8]) -> Bytes {
    packet(|out| {
        out.put_u8(EXTENDED_REPLY);
        out.put_u32(id);
        put_string(out, b"check-file");
        put_string(out, kind.name().as_bytes());
        out.put_slice(sums);
    })
}

/// Builds a packet and puts its length before it.
fn packet(fill: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut body = BytesMut::with_capacity(128);
    body.put_u32(0);
    fill(&mut body);
    let length = u32::try_from(body.len() - 4).unwrap_or(u32::MAX);
    if let Some(place) = body.first_chunk_mut::<4>() {
        *place = length.to_be_bytes();
    }
    body.freeze()
}

fn put_string(out: &mut BytesMut, string: &[u8]) {
    put_length(out, string.len());
    out.put_slice(string);
}

fn put_length(out: &mut BytesMut, length: usize) {
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_carries_its_length() {
        for bytes in [
            version(),
            ok(1),
            [&data_head(1, 3)[..], b"abc"].concat().into(),
            data_head(1, 0),
            real_path(1, "/a"),
            handle(1, HandleId::NONE),
            limits(1, 5),
            Names::new().finish(1),
        ] {
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            assert_eq!(length as usize, bytes.len() - 4);
        }
    }

    #[test]
    fn a_status_has_nothing_that_a_terminal_obeys() {
        let error = Error::not_found("no file 'a\x1b[31m\u{9b}b' here");
        let sent = super::error(7, &error);
        let wanted = b"no file 'a\\u{1b}[31m\\u{9b}b' here";
        assert!(sent.windows(wanted.len()).any(|part| part == wanted));
    }

    #[test]
    fn a_status_has_code_message_and_language() {
        let error = Error::not_found("no file 'x' here");
        assert_eq!(
            &super::error(7, &error)[4..],
            b"\x65\0\0\0\x07\0\0\0\x02\0\0\0\x10no file 'x' here\0\0\0\x02en"
        );
    }

    #[test]
    fn a_full_file_system_has_nothing_free() {
        let bytes = space(
            1,
            FileSystem {
                total_bytes: 8192,
                used_bytes: 9000,
                total_files: 3,
                used_files: 5,
                id: 4,
            },
        );
        let values: Vec<_> = bytes[9..]
            .chunks(8)
            .map(|value| u64::from_be_bytes(value.try_into().unwrap()))
            .collect();
        assert_eq!(values, [4096, 4096, 2, 0, 0, 3, 0, 0, 4, 2, 255]);
    }
}
