//! File attributes on the wire (draft-ietf-secsh-filexfer-02, section 5).

use bytes::{BufMut, BytesMut};

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::long_name;
use crate::domain::node::{AttributeUpdate, Entry, NodeKind};
use crate::domain::principal::Principal;
use crate::sftp::fields::Fields;

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

const MODE_FOLDER: u32 = 0o040_000;
const MODE_FILE: u32 = 0o100_000;

/// Attributes that a client wants set. Owner and group are read over: nothing here has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The length a file is to be cut or extended to.
    pub size: Option<u64>,
    /// Mode and times.
    pub update: AttributeUpdate,
}

impl Wanted {
    /// Reads attributes off the front of `fields`.
    ///
    /// # Errors
    /// Invalid when they are cut off or have flags that version 3 does not know.
    pub fn parse(fields: &mut Fields) -> Result<Self> {
        let flags = fields.u32()?;
        if flags & !(SIZE | OWNER | PERMISSIONS | TIMES | EXTENDED) != 0 {
            return Err(Error::invalid(format!(
                "attribute flags {flags:#x} are not of SFTP version 3"
            )));
        }
        let mut wanted = Self::default();
        if flags & SIZE != 0 {
            wanted.size = Some(fields.u64()?);
        }
        if flags & OWNER != 0 {
            fields.u64()?;
        }
        if flags & PERMISSIONS != 0 {
            wanted.update.mode = Some(fields.u32()? & 0o7777);
        }
        if flags & TIMES != 0 {
            wanted.update.accessed = Some(time(fields.u32()?));
            wanted.update.modified = Some(time(fields.u32()?));
        }
        if flags & EXTENDED != 0 {
            for _ in 0..fields.u32()? {
                fields.string()?;
                fields.string()?;
            }
        }
        Ok(wanted)
    }

    /// The attributes of something to be made.
    #[must_use]
    pub fn for_new(&self) -> AttributeUpdate {
        AttributeUpdate {
            mode: self.update.mode.map(|mode| mode & 0o777 & !UMASK),
            ..self.update
        }
    }
}

/// What a client's mode loses when something is made: as OpenSSH's server is usually run, so that a
/// plain `mkdir`, which asks for 0777, makes what users expect.
const UMASK: u32 = 0o022;

fn time(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(i64::from(seconds))
}

/// Whom the files of a session are shown to belong to: the one who looks.
///
/// What may be done is decided by grants, not by modes and owners; clients that check modes
/// themselves (sshfs) should let their user try.
#[derive(Clone, Debug)]
pub struct Viewer {
    user: String,
    group: String,
    user_id: u32,
    group_id: u32,
}

impl Viewer {
    /// Shows everything as belonging to `principal` and its tenant.
    pub fn new(principal: &Principal) -> Self {
        Self {
            user: principal.login.user.clone(),
            group: principal.login.tenant.clone(),
            user_id: u32::try_from(principal.account.0).unwrap_or(u32::MAX),
            group_id: u32::try_from(principal.tenant.0).unwrap_or(u32::MAX),
        }
    }

    /// The name of a user by the id that attributes show; empty for all others.
    pub fn user_name(&self, id: u32) -> &str {
        match id == self.user_id {
            true => &self.user,
            false => "",
        }
    }

    /// The name of a group by the id that attributes show; empty for all others.
    pub fn group_name(&self, id: u32) -> &str {
        match id == self.group_id {
            true => &self.group,
            false => "",
        }
    }

    /// Writes the attributes of `entry`.
    pub fn put(&self, out: &mut BytesMut, entry: &Entry) {
        out.put_u32(SIZE | OWNER | PERMISSIONS | TIMES);
        out.put_u64(entry.size);
        out.put_u32(self.user_id);
        out.put_u32(self.group_id);
        out.put_u32(mode(entry));
        out.put_u32(seconds(entry.attributes.accessed));
        out.put_u32(seconds(entry.attributes.modified));
    }

    /// The line that `ls -l` would print for `entry` under `name`, as OpenSSH's server forms it.
    pub fn long_name(&self, name: &str, entry: &Entry, now: Timestamp) -> String {
        long_name::line(name, entry, (&self.user, &self.group), now)
    }
}

/// Writes that nothing is known of a name's attributes.
pub fn put_none(out: &mut BytesMut) {
    out.put_u32(0);
}

fn mode(entry: &Entry) -> u32 {
    let kind = match entry.kind {
        NodeKind::File => MODE_FILE,
        NodeKind::Folder => MODE_FOLDER,
    };
    kind | (entry.attributes.mode & 0o7777)
}

/// Version 3 has 32 bits of seconds: what lies outside is shown as the nearest that fits.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.seconds().max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn times_outside_32_bits_are_shown_as_the_nearest_that_fits() {
        assert_eq!(seconds(Timestamp::from_seconds(-5)), 0);
        assert_eq!(seconds(Timestamp::from_seconds(1 << 40)), u32::MAX);
    }

    #[test]
    fn attributes_are_read_and_owners_read_over() {
        let mut bytes = BytesMut::new();
        bytes.put_u32(SIZE | OWNER | PERMISSIONS | TIMES | EXTENDED);
        bytes.put_u64(5);
        bytes.put_u64(0x1_0000_0001);
        bytes.put_u32(0o100_600);
        bytes.put_u32(11);
        bytes.put_u32(12);
        bytes.put_u32(1);
        bytes.put_u64(0);
        let whole = bytes.freeze();
        let wanted = Wanted::parse(&mut Fields::new(whole.clone())).unwrap();
        assert_eq!(wanted.size, Some(5));
        assert_eq!(wanted.update.mode, Some(0o600));
        assert_eq!(wanted.update.accessed, Some(Timestamp::from_seconds(11)));
        assert_eq!(wanted.update.modified, Some(Timestamp::from_seconds(12)));
        for length in 0..whole.len() {
            assert!(Wanted::parse(&mut Fields::new(whole.slice(..length))).is_err());
        }
    }

    #[test]
    fn flags_of_later_versions_are_refused() {
        let bytes = Bytes::from_static(&[0, 0, 0, 0x10]);
        assert!(Wanted::parse(&mut Fields::new(bytes)).is_err());
    }
}
