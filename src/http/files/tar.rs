//! tar archives as they are streamed: ustar headers, with pax ones (POSIX.1-2001) before them where a
//! name, size or time does not fit.

use crate::http::files::bundle::Item;

/// All parts are filled up to so many bytes.
const BLOCK: usize = 512;
/// What 11 octal digits hold.
const MOST: u64 = 0o77_777_777_777;

/// What goes before the content of an item.
pub fn begin(item: &Item) -> Vec<u8> {
    let mut name = item.path.clone();
    if item.is_folder {
        name.push('/');
    }
    let mut records = Vec::new();
    if name.len() > 100 || !name.is_ascii() {
        record(&mut records, "path", &name);
    }
    if item.size > MOST {
        record(&mut records, "size", &item.size.to_string());
    }
    let modified = u64::try_from(item.modified)
        .ok()
        .filter(|time| *time <= MOST);
    if modified.is_none() {
        record(&mut records, "mtime", &item.modified.to_string());
    }
    let mut headers = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let size = records.len() as u64;
        let own = Header {
            name: b"pax",
            mode: 0o644,
            size,
            modified: 0,
            kind: b'x',
        };
        headers.extend(own.block());
        headers.extend(&records);
        headers.extend(padding(size));
    }
    let kind = if item.is_folder { b'5' } else { b'0' };
    let own = Header {
        name: name.as_bytes(),
        mode: item.mode,
        size: item.size.min(MOST),
        modified: modified.unwrap_or(0),
        kind,
    };
    headers.extend(own.block());
    headers
}

/// What goes behind a content of `size` bytes.
pub fn padding(size: u64) -> Vec<u8> {
    let over = (size % BLOCK as u64) as usize;
    vec![0; (BLOCK - over) % BLOCK]
}

/// The end of an archive.
pub fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

struct Header<'a> {
    name: &'a [u8],
    mode: u32,
    size: u64,
    modified: u64,
    kind: u8,
}

impl Header<'_> {
    fn block(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK);
        let name = self.name.get(..100).unwrap_or(self.name);
        block.extend(name);
        block.resize(100, 0);
        block.extend(format!("{:07o}\0", self.mode & 0o7777).bytes());
        // Owner and group 0.
        block.extend(b"0000000\x000000000\x00");
        block.extend(format!("{:011o}\0{:011o}\0", self.size, self.modified).bytes());
        // Where the sum will be; counted as blanks.
        block.extend(b"        ");
        block.push(self.kind);
        block.resize(257, 0);
        block.extend(b"ustar\x0000");
        block.resize(BLOCK, 0);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let sum = format!("{sum:06o}\0 ");
        block.splice(148..156, sum.bytes());
        block
    }
}

/// `LENGTH KEY=VALUE` with a line feed: the length counts itself.
fn record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} {key}={value}\n").bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for length in [
            1, 84, 85, 86, 87, 88, 89, 90, 91, 985, 986, 987, 988, 989, 990, 991,
        ] {
            let mut records = Vec::new();
            record(&mut records, "path", &"x".repeat(length));
            let text = String::from_utf8(records).unwrap();
            let (said, _) = text.split_once(' ').unwrap();
            assert_eq!(said.parse::<usize>().unwrap(), text.len());
        }
    }

    #[test]
    fn what_does_not_fit_goes_to_a_header_of_its_own() {
        let small = Item {
            path: "a".to_owned(),
            is_folder: false,
            size: 1,
            modified: 1,
            mode: 0o644,
        };
        assert_eq!(begin(&small).len(), BLOCK);
        for item in [
            Item {
                path: "\u{e4}".to_owned(),
                ..small.clone()
            },
            Item {
                path: "x".repeat(101),
                ..small.clone()
            },
            Item {
                size: 9 << 30,
                ..small.clone()
            },
            Item {
                modified: -1,
                ..small
            },
        ] {
            assert_eq!(begin(&item).len(), 3 * BLOCK);
        }
    }
}
