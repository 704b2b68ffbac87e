//! Extensions to SFTP version 3: OpenSSH's (its PROTOCOL, section 4), and those of
//! draft-ietf-secsh-filexfer-09 and draft-ietf-secsh-filexfer-extensions-00 that clients use.

use bytes::{BufMut, BytesMut};

use crate::domain::error::{Error, Result};
use crate::domain::sum::SumKind;
use crate::sftp::attrs::Wanted;
use crate::sftp::fields::Fields;
use crate::sftp::request::{
    CopyRequest, HandleId, HandleRequest, PathRequest, Request, SpaceForm, SumRequest,
};

/// Extensions offered (name, version), of which clients are told in the first reply.
///
/// `check-file` is what drafts call the family and what paramiko and WinSCP look for.
pub const OFFERED: [(&str, &str); 15] = [
    ("posix-rename@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("fsync@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("limits@openssh.com", "1"),
    ("expand-path@openssh.com", "1"),
    ("users-groups-by-id@openssh.com", "1"),
    ("home-directory", "1"),
    ("check-file", "1"),
    ("check-file-name", "1"),
    ("check-file-handle", "1"),
    ("space-available", "1"),
    ("copy-data", "1"),
    ("copy-file", "1"),
];

/// The extension by which each end says what it is (filexfer-09, section 4.4).
pub const VENDOR: &str = "vendor-id";

/// What we say we are, as the data of [`VENDOR`].
pub fn vendor() -> BytesMut {
    let mut out = BytesMut::new();
    for text in ["Sealift", "sealift", env!("CARGO_PKG_VERSION")] {
        out.put_u32(u32::try_from(text.len()).unwrap_or(0));
        out.put_slice(text.as_bytes());
    }
    out.put_u64(0);
    out
}

/// Reads an SSH_FXP_EXTENDED after its number.
///
/// # Errors
/// Invalid when it is malformed or asks for what makes no sense.
pub fn parse(fields: &mut Fields) -> Result<Request> {
    let name = fields.string()?;
    Ok(match &*name {
        b"posix-rename@openssh.com" => Request::Path(PathRequest::Rename {
            from: fields.copied()?,
            to: fields.copied()?,
            replace: true,
        }),
        b"statvfs@openssh.com" => Request::Path(PathRequest::Space {
            path: fields.copied()?,
            form: SpaceForm::StatVfs,
        }),
        b"space-available" => Request::Path(PathRequest::Space {
            path: fields.copied()?,
            form: SpaceForm::Available,
        }),
        b"fstatvfs@openssh.com" => Request::Handle(HandleId::parse(fields)?, HandleRequest::Space),
        b"fsync@openssh.com" => Request::Handle(HandleId::parse(fields)?, HandleRequest::Sync),
        b"limits@openssh.com" => Request::Limits,
        // There are no links, so that what acts on a link itself acts on what is there.
        b"lsetstat@openssh.com" => Request::Path(PathRequest::SetStat {
            path: fields.copied()?,
            wanted: Wanted::parse(fields)?,
        }),
        b"expand-path@openssh.com" => Request::Path(PathRequest::Expand {
            path: fields.copied()?,
        }),
        b"home-directory" => Request::Path(PathRequest::Home {
            user: fields.copied()?,
        }),
        b"users-groups-by-id@openssh.com" => Request::Names {
            users: fields.string()?,
            groups: fields.string()?,
        },
        b"check-file-name" => {
            let path = fields.copied()?;
            sum(fields, |wanted| {
                Request::Path(PathRequest::Sum { path, wanted })
            })?
        }
        b"check-file-handle" | b"check-file" => {
            let handle = HandleId::parse(fields)?;
            sum(fields, |wanted| {
                Request::Handle(handle, HandleRequest::Sum(wanted))
            })?
        }
        b"copy-data" => Request::Copy(CopyRequest {
            read: HandleId::parse(fields)?,
            from: fields.u64()?,
            length: fields.u64()?,
            write: HandleId::parse(fields)?,
            to: fields.u64()?,
        }),
        b"copy-file" => Request::Path(PathRequest::Copy {
            from: fields.copied()?,
            to: fields.copied()?,
            replace: fields.u8()? != 0,
        }),
        b"vendor-id" => Request::Vendor,
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

/// The answer to all that makes or follows a link.
pub fn no_links() -> Request {
    Request::Unsupported("links are not offered here; copy the file".to_owned())
}

/// Smallest block of which a checksum may be asked for (filexfer-09, section 9.1.2), in bytes.
const MIN_BLOCK: u32 = 256;
/// Longest list of algorithms that is looked at, in bytes.
const MAX_LIST_BYTES: usize = 1024;

/// What follows the file in requests for checksums: the first algorithm of the list that is offered counts.
fn sum(fields: &mut Fields, of: impl FnOnce(SumRequest) -> Request) -> Result<Request> {
    let list = fields.string()?;
    let (start, length, block) = (fields.u64()?, fields.u64()?, fields.u32()?);
    if block > 0 && block < MIN_BLOCK {
        return Err(Error::invalid(format!(
            "a block size of {block} is too small; 0 or at least {MIN_BLOCK} is needed"
        )));
    }
    let list = list.slice(..list.len().min(MAX_LIST_BYTES));
    let kind = list
        .split(|byte| *byte == b',')
        .find_map(|name| SumKind::named(&String::from_utf8_lossy(name)));
    Ok(match kind {
        Some(kind) => of(SumRequest {
            kind,
            start,
            length,
            block,
        }),
        None => Request::Unsupported(
            "none of these checksums is offered; sha256, sha512, sha1, md5 and crc32 are"
                .to_owned(),
        ),
    })
}
