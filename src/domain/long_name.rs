//! The lines of `ls -l`, which old clients read.

use crate::domain::clock::Timestamp;
use crate::domain::node::{Entry, NodeKind};

/// The line that `ls -l` would print for `entry` under `name`, as belonging to a user and a group.
pub fn line(name: &str, entry: &Entry, owners: (&str, &str), now: Timestamp) -> String {
    format!(
        "{} {:3} {:<8} {:<8} {:8} {} {name}",
        permissions(entry),
        1,
        owners.0,
        owners.1,
        entry.size,
        date(entry.attributes.modified, now),
    )
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
    use super::*;
    use crate::domain::id::NodeId;
    use crate::domain::node::Attributes;

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
                created: None,
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
            line("a b", &file, ("ann", "acme"), now),
            "-rw-r--r--   1 ann      acme         1234 Nov 14 22:13 a b"
        );
        let folder = entry(NodeKind::Folder, 0o5755, 1_600_000_000);
        assert_eq!(
            line("d", &folder, ("ann", "acme"), now),
            "drwsr-xr-t   1 ann      acme         1234 Sep 13  2020 d"
        );
    }
}
