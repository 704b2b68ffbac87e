//! File attributes on the wire (draft-ietf-secsh-filexfer-02, section 5).

use bytes::{BufMut, BytesMut};

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
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
        format!(
            "{} {:3} {:<8} {:<8} {:8} {} {name}",
            permissions(entry),
            1,
            self.user,
            self.group,
            entry.size,
            date(entry.attributes.modified, now),
        )
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

fn permissions(entry: &Entry) -> String {
    let mut text = String::with_capacity(10);
    text.push(match entry.kind {
        NodeKind::File => '-',
        NodeKind::Folder => 'd',
    });
    let mode = entry.attributes.mode;
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, false) => letter.to_ascii_uppercase(),
            (true, true) => letter,
        });
    }
    text
}

const HALF_A_YEAR_SECONDS: i64 = 365 * 24 * 3600 / 2;

/// `Nov 22 15:49` within half a year, else `Nov 22  2024`; in UTC.
fn date(time: Timestamp, now: Timestamp) -> String {
    let age = now.seconds().saturating_sub(time.seconds());
    let form = match (0..HALF_A_YEAR_SECONDS).contains(&age) {
        true => "%b %e %H:%M",
        false => "%b %e  %Y",
    };
    jiff::Timestamp::from_second(time.seconds()).map_or_else(
        |_| "Jan  1  1970".to_owned(),
        |time| {
            let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
            zoned.strftime(form).to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::id::{AccountId, NodeId, SessionId, TenantId};
    use crate::domain::node::Attributes;
    use crate::domain::path::VfsPath;
    use crate::domain::principal::{DoorOptions, Protocol};
    use crate::domain::rights::Rights;

    fn viewer() -> Viewer {
        Viewer::new(&Principal {
            tenant: TenantId(3),
            account: AccountId(7),
            login: "ann@acme".parse().unwrap(),
            generation: 1,
            ceiling: Rights::ALL,
            home: VfsPath::root(),
            session: SessionId::NIL,
            protocol: Protocol::Sftp,
            address: [127, 0, 0, 1].into(),
            door_options: DoorOptions::default(),
        })
    }

    fn entry(kind: NodeKind, mode: u32, modified: i64) -> Entry {
        let modified = Timestamp::from_seconds(modified);
        Entry {
            node: NodeId::NIL,
            parent: NodeId::NIL,
            name: "x".to_owned(),
            kind,
            content: None,
            size: 1234,
            owner: None,
            attributes: Attributes {
                mode,
                modified,
                accessed: modified,
            },
            born: 1,
            died: None,
        }
    }

    #[test]
    fn long_names_are_lines_of_ls() {
        let now = Timestamp::from_seconds(1_700_000_000);
        let file = entry(NodeKind::File, 0o644, 1_699_999_999);
        assert_eq!(
            viewer().long_name("a b", &file, now),
            "-rw-r--r--   1 ann      acme         1234 Nov 14 22:13 a b"
        );
        let folder = entry(NodeKind::Folder, 0o5755, 1_600_000_000);
        assert_eq!(
            viewer().long_name("d", &folder, now),
            "drwsr-xr-t   1 ann      acme         1234 Sep 13  2020 d"
        );
    }

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
