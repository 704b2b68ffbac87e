//! ZIP archives as they are streamed (APPNOTE 6.3.10): not compressed, with data descriptors, with ZIP64 where
//! needed, names in UTF-8. What the central directory needs to know of a file and cannot be asked for
//! again is its CRC: four bytes.
//!
//! Files are deflated all the same, in blocks that are stored: programs that read an archive as it comes (Java's
//! ZipInputStream, stream-unzip) find the end of a file only so.

use bytes::Bytes;
use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::http::files::bundle::Item;
use crate::net::budget::{Budget, Share};

/// From where on sizes and offsets take 64 bits, and numbers of entries do.
const WIDE: u64 = u32::MAX as u64;
const MANY: u64 = u16::MAX as u64;
/// Versions of the format: with folders, and with ZIP64. Made on Unix.
const PLAIN: u16 = 20;
const ZIP64: u16 = 45;
const UNIX: u16 = 3 << 8;
/// Flags: a data descriptor follows; the name is UTF-8.
const DESCRIPTOR: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;
/// How a file is packed, and a folder: deflated, stored.
const DEFLATED: u16 = 8;
const STORED: u16 = 0;
/// Most bytes of a stored block, and the length of its head (RFC 1951 section 3.2.4).
const BLOCK: u64 = u16::MAX as u64;
const BLOCK_HEAD: u64 = 5;
/// CRCs for which memory is taken at a time.
const STEP: usize = 16 * 1024;

/// An archive in the making: first each item, then each again for the directory.
pub struct Zip {
    budget: Budget,
    memory: Vec<Share>,
    /// Of the files, in their order.
    sums: Vec<u32>,
    /// Bytes so far.
    at: u64,
    items: u64,
    directory: Directory,
}

#[derive(Default)]
struct Directory {
    start: u64,
    items: u64,
    files: usize,
    /// Where the next item's own header is.
    offset: u64,
}

impl Zip {
    /// With nothing in it.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            memory: Vec::new(),
            sums: Vec::new(),
            at: 0,
            items: 0,
            directory: Directory::default(),
        }
    }

    /// What goes before the content of an item.
    pub fn begin(&mut self, item: &Item) -> Vec<u8> {
        let name = name(item);
        let stamp = stamp(item);
        let mut header = Vec::with_capacity(64 + name.len());
        header.extend(0x0403_4b50_u32.to_le_bytes());
        common(&mut header, item, 0, (0, 0));
        header.extend(length(&name));
        header.extend(length(&stamp));
        header.extend(&name);
        header.extend(&stamp);
        self.at += header.len() as u64 + packed(item);
        if !item.is_folder && item.size == 0 {
            header.extend(block_head(0, 0));
        }
        self.items += 1;
        header
    }

    /// What goes behind the content of a file.
    ///
    /// # Errors
    /// Busy when there is no memory for so many files.
    pub fn end(&mut self, item: &Item, sum: u32) -> Result<Vec<u8>> {
        if self.sums.len() == self.memory.len() * STEP {
            let own = self.memory.len() * STEP * 4;
            let more = self.budget.try_take_fair(own, STEP * 4);
            let more = more.ok_or_else(|| {
                Error::new(ErrorKind::Busy, "no memory for an archive of so many files")
            })?;
            self.memory.push(more);
            self.sums.reserve_exact(STEP);
        }
        self.sums.push(sum);
        let mut descriptor = Vec::with_capacity(24);
        descriptor.extend(0x0807_4b50_u32.to_le_bytes());
        descriptor.extend(sum.to_le_bytes());
        for size in [packed(item), item.size] {
            match is_wide(item) {
                true => descriptor.extend(size.to_le_bytes()),
                false => descriptor.extend(narrow(size)),
            }
        }
        self.at += descriptor.len() as u64;
        Ok(descriptor)
    }

    /// The line of an item in the directory; items come in the same order again.
    ///
    /// # Errors
    /// Changed when it is another item than the first time.
    pub fn list(&mut self, item: &Item) -> Result<Vec<u8>> {
        if self.directory.items == 0 {
            self.directory.start = self.at;
        }
        let sum = match item.is_folder {
            true => 0,
            false => *self.sums.get(self.directory.files).ok_or_else(changed)?,
        };
        let name = name(item);
        let mut extra = stamp(item);
        let packed = packed(item);
        let own = 30 + name.len() as u64 + extra.len() as u64 + packed;
        let offset = self.directory.offset;
        let has_more = is_wide(item) || offset >= WIDE;
        if has_more {
            extra.extend(1_u16.to_le_bytes());
            extra.extend(24_u16.to_le_bytes());
            for value in [item.size, packed, offset] {
                extra.extend(value.to_le_bytes());
            }
        }
        let kind: u32 = if item.is_folder { 0o040_000 } else { 0o100_000 };
        let mode = (kind | item.mode) << 16 | if item.is_folder { 0x10 } else { 0 };
        let sizes = if has_more {
            (WIDE, WIDE)
        } else {
            (packed, item.size)
        };
        let mut line = Vec::with_capacity(46 + name.len() + extra.len());
        line.extend(0x0201_4b50_u32.to_le_bytes());
        line.extend((UNIX | ZIP64).to_le_bytes());
        common(&mut line, item, sum, sizes);
        line.extend(length(&name));
        line.extend(length(&extra));
        // No comment, disk 0, nothing said of the content.
        line.extend([0; 6]);
        line.extend(mode.to_le_bytes());
        line.extend(narrow(if has_more { WIDE } else { offset }));
        line.extend(&name);
        line.extend(&extra);
        let descriptor = match (item.is_folder, is_wide(item)) {
            (true, _) => 0,
            (false, true) => 24,
            (false, false) => 16,
        };
        self.directory.offset += own + descriptor;
        self.directory.items += 1;
        self.directory.files += usize::from(!item.is_folder);
        self.at += line.len() as u64;
        Ok(line)
    }

    /// The end of the archive.
    ///
    /// # Errors
    /// Changed when the directory does not list what is there.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        if self.directory.items == 0 {
            self.directory.start = self.at;
        }
        let Directory {
            start,
            items,
            files,
            offset,
        } = self.directory;
        if items != self.items || files != self.sums.len() || offset != start {
            return Err(changed());
        }
        let size = self.at - start;
        let mut end = Vec::with_capacity(98);
        if items >= MANY || start >= WIDE || size >= WIDE {
            end.extend(0x0606_4b50_u32.to_le_bytes());
            end.extend(44_u64.to_le_bytes());
            end.extend((UNIX | ZIP64).to_le_bytes());
            end.extend(ZIP64.to_le_bytes());
            end.extend([0; 8]);
            for value in [items, items, size, start] {
                end.extend(value.to_le_bytes());
            }
            end.extend(0x0706_4b50_u32.to_le_bytes());
            end.extend(0_u32.to_le_bytes());
            end.extend(self.at.to_le_bytes());
            end.extend(1_u32.to_le_bytes());
        }
        end.extend(0x0605_4b50_u32.to_le_bytes());
        end.extend([0; 4]);
        let count = u16::try_from(items).unwrap_or(u16::MAX).to_le_bytes();
        end.extend([count, count].concat());
        end.extend(narrow(size));
        end.extend(narrow(start));
        end.extend([0; 2]);
        Ok(end)
    }
}

/// What both headers of an item say, from the version on to the sizes.
fn common(header: &mut Vec<u8>, item: &Item, sum: u32, (packed, size): (u64, u64)) {
    let version = if is_wide(item) { ZIP64 } else { PLAIN };
    let (flags, method) = match item.is_folder {
        true => (UTF8, STORED),
        false => (UTF8 | DESCRIPTOR, DEFLATED),
    };
    let (time, date) = clock(item.modified);
    for value in [version, flags, method, time, date] {
        header.extend(value.to_le_bytes());
    }
    header.extend(sum.to_le_bytes());
    header.extend(narrow(packed));
    header.extend(narrow(size));
}

/// What the content of an item takes in the archive.
fn packed(item: &Item) -> u64 {
    match item.is_folder {
        true => 0,
        false => item.size + item.size.div_ceil(BLOCK).max(1) * BLOCK_HEAD,
    }
}

/// Whether its sizes take 64 bits.
fn is_wide(item: &Item) -> bool {
    packed(item) >= WIDE
}

/// The head of a block of so many bytes, behind which so many of the file are left.
fn block_head(length: u16, left: u64) -> [u8; BLOCK_HEAD as usize] {
    let [low, high] = length.to_le_bytes();
    [u8::from(left == 0), low, high, !low, !high]
}

/// Cuts a file into blocks, whatever pieces it comes in.
pub struct Blocks {
    /// What is still to come of the file, and of its block.
    left: u64,
    open: u64,
}

impl Blocks {
    /// Those of a file of so many bytes.
    pub fn of(size: u64) -> Self {
        Self {
            left: size,
            open: 0,
        }
    }

    /// The next piece of the file with the heads of the blocks that begin in it.
    pub fn cut(&mut self, mut piece: Bytes) -> Vec<Bytes> {
        let mut cut = Vec::new();
        while !piece.is_empty() {
            if self.open == 0 {
                self.open = self.left.min(BLOCK);
                let length = u16::try_from(self.open).unwrap_or(u16::MAX);
                let head = block_head(length, self.left - self.open);
                cut.push(Bytes::copy_from_slice(&head));
            }
            let here = usize::try_from(self.open).unwrap_or(usize::MAX);
            let part = piece.split_to(here.min(piece.len()));
            self.open -= part.len() as u64;
            self.left = self.left.saturating_sub(part.len() as u64);
            cut.push(part);
        }
        cut
    }
}

/// Folders end in a slash. What leads out of a folder on Windows, or does harm where it is shown, is written
/// as addresses write it (RFC 3986 section 2.1), and a `%` that would then be taken for the start of such a
/// thing is, too: no two paths get one name, whatever is in them.
fn name(item: &Item) -> Vec<u8> {
    let mut name = Vec::with_capacity(item.path.len() + 1);
    for (at, c) in item.path.char_indices() {
        let rest = item.path.get(at + c.len_utf8()..).unwrap_or_default();
        let is_written = match c {
            '\\' | ':' => true,
            '%' => stands_for_another(rest),
            c => c.is_control(),
        };
        let bytes = c.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
        for byte in bytes {
            match is_written {
                true => name.extend(format!("%{byte:02X}").into_bytes()),
                false => name.push(byte),
            }
        }
    }
    if item.is_folder {
        name.push(b'/');
    }
    name
}

/// Whether what follows a `%` makes it look like something that [`name`] writes.
fn stands_for_another(rest: &str) -> bool {
    let Some((high, low)) = rest.as_bytes().first().zip(rest.as_bytes().get(1)) else {
        return false;
    };
    match (high, low) {
        // What ASCII has for control, and the rest of it.
        (b'0' | b'1', b'0'..=b'9' | b'A'..=b'F') | (b'7', b'F') => true,
        // Of Latin-1: they are two bytes of UTF-8, of which this is the first.
        (b'C', b'2') => true,
        // `%`, `:` and `\`.
        (b'2', b'5') | (b'3', b'A') | (b'5', b'C') => true,
        _ => false,
    }
}

/// The time in UTC, as Unix counts it; nothing when that does not fit.
fn stamp(item: &Item) -> Vec<u8> {
    let Ok(seconds) = i32::try_from(item.modified) else {
        return Vec::new();
    };
    let mut stamp = vec![0x55, 0x54, 5, 0, 1];
    stamp.extend(seconds.to_le_bytes());
    stamp
}

/// The time as MS-DOS has it, for programs that know no other.
fn clock(seconds: i64) -> (u16, u16) {
    let earliest = (0, 1 << 5 | 1);
    let Ok(instant) = Instant::from_second(seconds) else {
        return earliest;
    };
    let when = instant.to_zoned(TimeZone::UTC).datetime();
    let Ok(years) = u16::try_from(when.year() - 1980) else {
        return earliest;
    };
    if years > 127 {
        return earliest;
    }
    let part = |value: i8| u16::try_from(value).unwrap_or(0);
    let time = part(when.hour()) << 11 | part(when.minute()) << 5 | (part(when.second()) / 2);
    (
        time,
        years << 9 | part(when.month()) << 5 | part(when.day()),
    )
}

fn length(bytes: &[u8]) -> [u8; 2] {
    // Paths have at most 4,096 bytes, each of which is written as three at most, and what is added to them
    // are a few more.
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes()
}

fn narrow(value: u64) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

fn changed() -> Error {
    Error::internal("the second walk through a selection differs from the first")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str) -> String {
        let item = Item {
            path: path.to_owned(),
            is_folder: false,
            size: 0,
            modified: 0,
            mode: 0o644,
        };
        String::from_utf8(name(&item)).unwrap()
    }

    #[test]
    fn only_what_does_harm_is_written_otherwise() {
        for (path, written) in [
            ("a/b c-\u{e4}_%.txt", "a/b c-\u{e4}_%.txt"),
            ("100%, a%20b%5c", "100%, a%20b%5c"),
            ("..\\x", "..%5Cx"),
            ("C:x", "C%3Ax"),
            ("a\r\n\u{85}", "a%0D%0A%C2%85"),
            ("a%5Cb", "a%255Cb"),
            ("%%25%", "%%2525%"),
        ] {
            assert_eq!(named(path), written);
        }
    }

    #[test]
    fn no_two_paths_get_one_name() {
        // All that can be put together of what is written otherwise, and of what that is written with.
        let parts = [
            "%", "%2", "5", "C", "\\", ":", "3A", "\u{9}", "0", "9", "\u{85}", "C2", "85", "_",
        ];
        let mut paths = vec![String::new()];
        for _ in 0..4 {
            let longer = paths
                .iter()
                .flat_map(|path| parts.map(|part| format!("{path}{part}")));
            let longer: Vec<_> = longer.collect();
            paths.extend(longer);
            paths.sort_unstable();
            paths.dedup();
        }
        let names: std::collections::HashSet<_> = paths.iter().map(|path| named(path)).collect();
        assert_eq!(names.len(), paths.len());
    }
}
