//! Facts about files, as MLST and MLSD show them (RFC 3659 section 7), and times as FTP writes them.

use std::fmt::Write as _;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::domain::clock::Timestamp;
use crate::domain::id::NodeId;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::rights::Rights;

/// Facts there are, as FEAT names them.
const NAMES: [&str; 7] = [
    "type",
    "size",
    "modify",
    "create",
    "perm",
    "unique",
    "UNIX.mode",
];

/// 9999-12-30 22:00:00, the last second that is reckoned with.
const LAST: Timestamp = Timestamp(253_402_207_200_000_000);

/// Which facts are shown (OPTS MLST).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts([bool; NAMES.len()]);

impl Default for Facts {
    fn default() -> Self {
        Self([true; NAMES.len()])
    }
}

/// How a name is related to what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It is in the folder that was asked for.
    Child,
    /// It is the folder that was asked for.
    Itself,
}

impl Facts {
    /// Those of a list such as `size;modify;`; what is unknown is left out.
    pub fn chosen(list: &str) -> Self {
        let wanted: Vec<_> = list.split(';').map(str::trim).collect();
        let is_wanted = |name: &str| wanted.iter().any(|word| word.eq_ignore_ascii_case(name));
        Self(NAMES.map(is_wanted))
    }

    /// Those that are shown, as OPTS MLST answers them.
    pub fn list(&self) -> String {
        let shown = NAMES.iter().zip(self.0).filter(|(_, is_shown)| *is_shown);
        shown.map(|(name, _)| format!("{name};")).collect()
    }

    /// All there are, those that are shown with a star, as FEAT has them.
    pub fn offered(&self) -> String {
        let star = |is_shown| if is_shown { "*" } else { "" };
        let all = NAMES.iter().zip(self.0);
        all.map(|(name, is_shown)| format!("{name}{};", star(is_shown)))
            .collect()
    }

    /// The facts of `entry`, on which there are these rights, and the space behind them.
    pub fn of(&self, entry: &Entry, relation: Relation, rights: Rights) -> String {
        let mut out = String::with_capacity(160);
        for (name, _) in NAMES.iter().zip(self.0).filter(|(_, is_shown)| *is_shown) {
            let before = out.len();
            out.push_str(name);
            out.push('=');
            let attributes = &entry.attributes;
            // Writing to a String cannot fail.
            let written = match (*name, entry.kind) {
                ("type", _) => Some(out.write_str(kind(entry, relation))),
                ("size", NodeKind::File) => Some(write!(out, "{}", entry.size)),
                ("modify", _) => Some(out.write_str(&time(attributes.modified))),
                // Of what broke off, and is published nowhere, nobody knows either.
                ("create" | "unique", _) if entry.node == NodeId::NIL => None,
                ("create", _) => Some(out.write_str(&time(entry.created()))),
                ("perm", _) => Some(out.write_str(&permissions(entry.kind, rights))),
                ("unique", _) => Some(write!(out, "{}", entry.node)),
                ("UNIX.mode", _) => Some(write!(out, "{:04o}", attributes.mode)),
                _ => None,
            };
            match written {
                Some(_) => out.push(';'),
                None => out.truncate(before),
            }
        }
        out.push(' ');
        out
    }
}

fn kind(entry: &Entry, relation: Relation) -> &'static str {
    match (entry.kind, relation) {
        (NodeKind::File, _) => "file",
        (NodeKind::Folder, Relation::Child) => "dir",
        (NodeKind::Folder, Relation::Itself) => "cdir",
    }
}

/// RFC 3659 section 7.5.5.
fn permissions(kind: NodeKind, rights: Rights) -> String {
    let letters: &[(char, Rights)] = match kind {
        NodeKind::File => &[
            ('a', Rights::OVERWRITE),
            ('d', Rights::DELETE),
            ('f', Rights::RENAME),
            ('r', Rights::READ),
            ('w', Rights::OVERWRITE),
        ],
        NodeKind::Folder => &[
            ('c', Rights::WRITE),
            ('d', Rights::DELETE),
            ('e', Rights::LIST),
            ('f', Rights::RENAME),
            ('l', Rights::LIST),
            ('m', Rights::MAKE_FOLDERS),
            ('p', Rights::DELETE),
        ],
    };
    let held = letters.iter().filter(|(_, right)| rights.contains(*right));
    held.map(|(letter, _)| *letter).collect()
}

/// `YYYYMMDDHHMMSS` in UTC (RFC 3659 section 2.3), with milliseconds if there are any.
pub fn time(time: Timestamp) -> String {
    let Ok(at) = jiff::Timestamp::from_microsecond(time.0) else {
        return "19700101000000".to_owned();
    };
    let at = at.to_zoned(TimeZone::UTC);
    let whole = at.strftime("%Y%m%d%H%M%S").to_string();
    match at.millisecond() {
        0 => whole,
        millis => format!("{whole}.{millis:03}"),
    }
}

/// The time that [`time`] writes; none when it is not one. Seconds may be missing (SITE UTIME).
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(whole.len(), 12 | 14) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to)?.parse::<i8>().ok();
    let year = whole.get(..4)?.parse().ok()?;
    let seconds = match whole.len() {
        12 => 0,
        // A leap second is shown as the one before it.
        _ => part(12, 14)?.min(59),
    };
    let (month, day, hour, minute) = (part(4, 6)?, part(6, 8)?, part(8, 10)?, part(10, 12)?);
    let at = DateTime::new(year, month, day, hour, minute, seconds, 0).ok()?;
    let Ok(at) = at.to_zoned(TimeZone::UTC).map(|at| at.timestamp()) else {
        // On the last day of year 9999, which programs write for "never".
        return Some(LAST);
    };
    let micros = match fraction {
        None => 0,
        Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
            return None;
        }
        Some(digits) => {
            let six: String = digits.chars().chain("000000".chars()).take(6).collect();
            six.parse().ok()?
        }
    };
    Some(Timestamp(at.as_microsecond() + micros).min(LAST))
}

#[cfg(test)]
mod tests {
    use crate::domain::node::Attributes;

    use super::*;

    #[test]
    fn times_go_both_ways() {
        for (text, micros) in [
            ("19700101000000", 0),
            ("20260102030405", 1_767_323_045_000_000),
            ("20260102030405.250", 1_767_323_045_250_000),
            ("19691231235959", -1_000_000),
        ] {
            assert_eq!(parse_time(text), Some(Timestamp(micros)), "{text}");
            assert_eq!(time(Timestamp(micros)), text);
        }
        assert_eq!(parse_time("202601020304"), parse_time("20260102030400"));
        let never = parse_time("99991231235959").unwrap();
        assert_eq!(time(never), "99991230220000");
        assert_eq!(parse_time("20260102030460"), parse_time("20260102030459"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026",
            "20261302030405",
            "20260102030405.",
            "2026010203040x",
            "+0260102030405",
            "file.txt",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn of_what_is_published_nowhere_neither_identity_nor_birth_is_known() {
        let mut entry = Entry {
            node: NodeId::mint(Timestamp(0)),
            parent: NodeId::NIL,
            name: "f".to_owned(),
            kind: NodeKind::File,
            content: None,
            size: 5,
            owner: None,
            attributes: Attributes::file(Timestamp(0)),
            born: 1,
            died: None,
        };
        for (node, is_known) in [(entry.node, true), (NodeId::NIL, false)] {
            entry.node = node;
            let facts = Facts::default().of(&entry, Relation::Child, Rights::ALL);
            assert!(facts.contains("size=5;"), "{facts}");
            for name in ["create=", "unique="] {
                assert_eq!(facts.contains(name), is_known, "{facts}");
            }
        }
    }

    #[test]
    fn facts_are_chosen_by_name() {
        let facts = Facts::chosen("Size;unix.MODE;nonsense;");
        assert_eq!(facts.list(), "size;UNIX.mode;");
        assert_eq!(
            facts.offered(),
            "type;size*;modify;create;perm;unique;UNIX.mode*;"
        );
        assert_eq!(Facts::chosen("").list(), "");
    }
}
