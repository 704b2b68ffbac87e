//! Reading requests of SFTP version 3 (draft-ietf-secsh-filexfer-02).

use bytes::Bytes;

use crate::domain::error::Result;
use crate::sftp::attrs::Wanted;
use crate::sftp::extensions;
use crate::sftp::fields::Fields;
use crate::sftp::request::{HandleId, HandleRequest, OpenFlags, PathRequest, Request};

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
    /// does, and not kept in memory with what is: nobody counts them.
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
        EXTENDED => extensions::parse(fields)?,
        READLINK | SYMLINK => extensions::no_links(),
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
            data: fields.last()?,
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
            path: fields.copied()?,
            flags: OpenFlags(fields.u32()?),
            wanted: Wanted::parse(fields)?,
        },
        LSTAT | STAT => PathRequest::Stat {
            path: fields.copied()?,
        },
        SETSTAT => PathRequest::SetStat {
            path: fields.copied()?,
            wanted: Wanted::parse(fields)?,
        },
        OPENDIR => PathRequest::OpenFolder {
            path: fields.copied()?,
        },
        REMOVE => PathRequest::Remove {
            path: fields.copied()?,
        },
        MKDIR => PathRequest::MakeFolder {
            path: fields.copied()?,
            wanted: Wanted::parse(fields)?,
        },
        RMDIR => PathRequest::RemoveFolder {
            path: fields.copied()?,
        },
        REALPATH => PathRequest::RealPath {
            path: fields.copied()?,
        },
        RENAME => PathRequest::Rename {
            from: fields.copied()?,
            to: fields.copied()?,
            replace: false,
        },
        _ => return Ok(None),
    };
    Ok(Some(request))
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
    fn what_is_held_of_a_padded_packet_does_not_keep_the_padding() {
        let handle: &[u8] = b"12345678";
        let write = [b"\0\0\0\0\0\0\0\x05\0\0\0\x01a", &[0; 1000][..]].concat();
        let attributes = [&0x8000_0000_u32.to_be_bytes()[..], b"\0\0\0\x01"].concat();
        let attributes = [&attributes, &b"\0\0\x03\xe8"[..], &[0; 1004][..]].concat();
        for bytes in [
            packet(WRITE, 9, &[handle], &write),
            packet(STAT, 9, &[b"a"], &[0; 1000]),
            packet(SETSTAT, 9, &[b"a"], &attributes),
            packet(EXTENDED, 9, &[b"check-file-name", b"a", b"md5"], &[0; 1000]),
        ] {
            let held = match parse(bytes.clone()).unwrap() {
                Request::Handle(_, HandleRequest::Write { data, .. }) => data,
                Request::Path(request) => request.names()[0].unwrap().clone(),
                other => panic!("{other:?}"),
            };
            assert_eq!(held, "a");
            assert!(!bytes.as_ptr_range().contains(&held.as_ptr()));
        }
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
}
