//! Control lines of the old scp protocol, as OpenSSH's scp.c speaks it.

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::path::{MAX_NAME_BYTES, Name};

/// Longest line, in bytes, without its end: the longest name and the numbers before it, or a
/// message with a path in it.
pub const MAX_LINE_BYTES: usize = 8192;

/// What a control line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// `E`: the folder is over.
    End,
    /// 2: the other end gives up.
    Fatal(String),
    /// `C`: a file, whose bytes follow.
    File {
        /// Its permission bits.
        mode: u32,
        /// How many bytes follow.
        size: u64,
        /// Its name.
        name: Name,
    },
    /// `D`: a folder, whose entries follow.
    Folder {
        /// Its permission bits.
        mode: u32,
        /// Its name.
        name: Name,
    },
    /// `T`: times of what comes next.
    Times {
        /// Of last modification.
        modified: Timestamp,
        /// Of last access.
        accessed: Timestamp,
    },
    /// 1: something went wrong, the rest goes on.
    Warning(String),
}

impl Control {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// Invalid when it is not a control line, or names what is not a plain name.
    pub fn parse(line: &[u8]) -> Result<Self> {
        let (kind, rest) = line.split_first().ok_or_else(malformed)?;
        match kind {
            1 => Ok(Self::Warning(message(rest))),
            2 => Ok(Self::Fatal(message(rest))),
            b'C' => {
                let (mode, size, name) = header(rest)?;
                Ok(Self::File { mode, size, name })
            }
            b'D' => {
                let (mode, _, name) = header(rest)?;
                Ok(Self::Folder { mode, name })
            }
            b'E' if rest.is_empty() => Ok(Self::End),
            b'T' => times(rest),
            _ => Err(malformed()),
        }
    }
}

/// `0644 123 name`. The name may have spaces.
fn header(rest: &[u8]) -> Result<(u32, u64, Name)> {
    let mut parts = rest.splitn(3, |byte| *byte == b' ');
    let mut part = || parts.next().ok_or_else(malformed);
    let (mode, size, name) = (part()?, part()?, part()?);
    let mode = match mode.len() {
        4 | 5 => number(mode, 8)?,
        _ => return Err(malformed()),
    };
    let size = number(size, 10)?;
    // Names that lead elsewhere are how a hostile server overwrites files (CVE-2018-20685,
    // CVE-2019-6111); here a hostile client gets no further.
    let name = Name::parse(name).map_err(|error| {
        let shown = message(name.get(..MAX_NAME_BYTES).unwrap_or(name));
        Error::invalid(format!("unexpected name '{shown}': {}", error.context()))
    })?;
    Ok(((mode & 0o7777) as u32, size, name))
}

/// `modified 0 accessed 0`, in seconds and microseconds.
fn times(rest: &[u8]) -> Result<Control> {
    let parts: Vec<_> = rest.split(|byte| *byte == b' ').collect();
    let [modified, modified_part, accessed, accessed_part] = parts.as_slice() else {
        return Err(malformed());
    };
    let time = |seconds: &[u8], part: &[u8]| {
        let micros = number(part, 10)?;
        let seconds = i64::try_from(number(seconds, 10)?).unwrap_or(i64::MAX);
        // Beyond what any calendar here knows.
        match micros < 1_000_000 && seconds < 1 << 40 {
            true => Ok(Timestamp::from_seconds(seconds)),
            false => Err(malformed()),
        }
    };
    Ok(Control::Times {
        modified: time(modified, modified_part)?,
        accessed: time(accessed, accessed_part)?,
    })
}

/// Digits only: no sign, no blanks, nothing that overflows a file's length.
fn number(digits: &[u8], radix: u32) -> Result<u64> {
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_plain);
    text.and_then(|text| u64::from_str_radix(text, radix).ok())
        .filter(|value| i64::try_from(*value).is_ok())
        .ok_or_else(malformed)
}

/// Text for people: what would change their terminals is left out.
pub fn message(bytes: &[u8]) -> String {
    let plain = |c: char| if c.is_control() { '?' } else { c };
    String::from_utf8_lossy(bytes).chars().map(plain).collect()
}

fn malformed() -> Error {
    Error::invalid("this is no line of the scp protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_comes() {
        let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
        for (line, expected) in [
            (
                &b"C0644 123 a name "[..],
                Control::File {
                    mode: 0o644,
                    size: 123,
                    name: name("a name "),
                },
            ),
            (
                b"D4755 0 d",
                Control::Folder {
                    mode: 0o4755,
                    name: name("d"),
                },
            ),
            (b"E", Control::End),
            (
                b"T1700000000 0 1600000000 999999",
                Control::Times {
                    modified: Timestamp::from_seconds(1_700_000_000),
                    accessed: Timestamp::from_seconds(1_600_000_000),
                },
            ),
            (
                b"\x01scp: x\x1b[2J",
                Control::Warning("scp: x?[2J".to_owned()),
            ),
            (b"\x02", Control::Fatal(String::new())),
        ] {
            assert_eq!(Control::parse(line).unwrap(), expected);
        }
    }

    #[test]
    fn hostile_lines_are_refused() {
        for line in [
            &b""[..],
            b"X",
            b"\0",
            b"E ",
            b"C0644 1",
            b"C0644  x",
            b"C0644 -1 x",
            b"C0644 +1 x",
            b"C0644 9223372036854775808 x",
            b"C0644 99999999999999999999999 x",
            b"C0898 1 x",
            b"C644 1 x",
            b"C0644 1 ",
            b"C0644 1 .",
            b"C0644 1 ..",
            b"C0644 1 ../x",
            b"C0644 1 /x",
            b"C0644 1 a/b",
            b"C0644 1 a\0b",
            b"C0644 1 \xff",
            b"D0755 0 ..",
            b"D0755 0 ",
            b"T1 0 1",
            b"T1 0 1 0 0",
            b"T-1 0 1 0",
            b"T1 1000000 1 0",
            b"T9223372036854775807 0 0 0",
        ] {
            assert!(Control::parse(line).is_err(), "{}", line.escape_ascii());
        }
    }
}
