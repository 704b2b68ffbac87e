//! What a checkpoint notes of an upload in parts, so that any process can complete it.
//!
//! A version byte, the upload's id, then each part in order: all of it with lengths in front. The
//! usual ETag, 32 hex digits in quotes, and the sum take 16 and 8 bytes, since there may be
//! thousands of parts and each checkpoint names them all.

use data_encoding::{BASE64, HEXLOWER};

use crate::domain::error::{Error, Result};

const VERSION: u8 = 1;

/// An upload and the parts of it that arrived, from the first on, without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The upload's id; none when it was not begun at the server yet.
    pub upload: Option<String>,
    /// Its parts: the first is number one.
    pub parts: Vec<Part>,
}

/// A part that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// How long it is.
    pub length: u64,
    /// What the server calls it.
    pub etag: String,
    /// Its CRC64NVME in base64, when the server told.
    pub sum: Option<String>,
}

impl Notes {
    /// The bytes of all parts.
    pub fn length(&self) -> u64 {
        self.parts.iter().map(|part| part.length).sum()
    }

    /// The first parts, which are `length` bytes together; none when no part ends there.
    pub fn first(&self, length: u64) -> Option<&[Part]> {
        let mut end = 0;
        let mut count = 0;
        for part in &self.parts {
            if end >= length {
                break;
            }
            end += part.length;
            count += 1;
        }
        (end == length).then(|| self.parts.get(..count)).flatten()
    }

    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_text(&mut out, self.upload.as_deref().unwrap_or_default());
        for part in &self.parts {
            put_number(&mut out, part.length);
            match short_etag(&part.etag) {
                Some(digest) => {
                    out.push(0);
                    out.extend(digest);
                }
                None => put_text(&mut out, &part.etag),
            }
            match part.sum.as_deref().and_then(short_sum) {
                Some(sum) => {
                    out.push(1);
                    out.extend(sum);
                }
                None => out.push(0),
            }
        }
        out
    }

    /// Takes what was stored.
    ///
    /// # Errors
    /// Internal when it is not what [`Notes::encode`] made.
    pub fn decode(stored: &[u8]) -> Result<Self> {
        let decoded = Reader(stored).notes();
        decoded.ok_or_else(|| Error::internal("the notes of an upload are damaged"))
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn notes(mut self) -> Option<Notes> {
        if self.byte()? != VERSION {
            return None;
        }
        let upload = Some(self.text()?).filter(|upload| !upload.is_empty());
        let mut parts = Vec::new();
        while !self.0.is_empty() {
            parts.push(self.part()?);
        }
        Some(Notes { upload, parts })
    }

    fn part(&mut self) -> Option<Part> {
        let length = self.number()?;
        let etag = match self.text()? {
            etag if etag.is_empty() => format!("\"{}\"", HEXLOWER.encode(self.take(16)?)),
            etag => etag,
        };
        let sum = match self.byte()? {
            0 => None,
            1 => Some(BASE64.encode(self.take(8)?)),
            _ => return None,
        };
        Some(Part { length, etag, sum })
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The 16 bytes of an ETag that is a digest in quotes.
fn short_etag(etag: &str) -> Option<Vec<u8>> {
    let digits = etag.strip_prefix('"')?.strip_suffix('"')?;
    let digest = HEXLOWER.decode(digits.as_bytes()).ok()?;
    (digest.len() == 16).then_some(digest)
}

fn short_sum(sum: &str) -> Option<Vec<u8>> {
    let sum = BASE64.decode(sum.as_bytes()).ok()?;
    (sum.len() == 8).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(length: u64, etag: &str, sum: Option<&str>) -> Part {
        Part {
            length,
            etag: etag.to_owned(),
            sum: sum.map(str::to_owned),
        }
    }

    fn notes() -> Notes {
        Notes {
            upload: Some("an-upload_1.x".to_owned()),
            parts: vec![
                part(
                    8 << 20,
                    "\"d41d8cd98f00b204e9800998ecf8427e\"",
                    Some("AAECAwQFBgc="),
                ),
                part(32 << 20, "\"D41D8CD98F00B204E9800998ECF8427E\"", None),
                part(127, "\"\"", None),
                part(u64::MAX >> 8, "no quotes", Some("//////////8=")),
            ],
        }
    }

    #[test]
    fn notes_survive_their_stored_form() {
        for notes in [Notes::default(), notes()] {
            assert_eq!(Notes::decode(&notes.encode()).unwrap(), notes);
        }
    }

    #[test]
    fn a_usual_part_takes_thirty_bytes() {
        let mut notes = notes();
        notes.parts.truncate(1);
        let one = notes.encode().len();
        notes.parts = vec![notes.parts[0].clone(); 101];
        assert!(notes.encode().len() - one <= 100 * 30);
    }

    #[test]
    fn damaged_notes_are_refused() {
        let stored = notes().encode();
        for length in 0..stored.len() {
            // A cut between two parts cannot be told; the checkpoint's length tells.
            if let Ok(cut) = Notes::decode(&stored[..length]) {
                assert!(cut.length() < notes().length());
            }
        }
        assert!(Notes::decode(&[]).is_err());
        assert!(Notes::decode(&[2, 0]).is_err());
        assert!(Notes::decode(&[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }

    #[test]
    fn the_first_parts_are_found_by_their_length() {
        let mut notes = notes();
        notes.parts.truncate(3);
        let lengths = [0, 8 << 20, 40 << 20, (40 << 20) + 127];
        for (count, length) in lengths.into_iter().enumerate() {
            assert_eq!(notes.first(length), Some(&notes.parts[..count]));
            assert_eq!(notes.first(length + 1), None);
        }
    }
}
