//! Opening: any frame of a blob, alone, verified.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead::{Aad, LessSafeKey};

use crate::crypto::seal::{
    DataKey, FORMAT_VERSION, FRAME_BYTES, HEADER_BYTES, MAGIC, Position, TAG_BYTES, blob_key, nonce,
};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{BlobId, TenantId};

/// Opens the frames of one blob, in any order, from any thread.
pub struct Opener {
    id: BlobId,
    header: [u8; HEADER_BYTES],
    key: LessSafeKey,
}

impl Opener {
    /// Which of the tenant's keys sealed the blob with this header (the first
    /// [`HEADER_BYTES`] of it, or more).
    ///
    /// # Errors
    /// Corrupt when this is no header of a format we read.
    pub fn key_version(header: &[u8]) -> Result<u32> {
        Header::parse(header).map(|header| header.version)
    }

    /// Checks that the header is that of blob `id` of `tenant` under `key`.
    ///
    /// # Errors
    /// Corrupt when it is not.
    pub fn new(tenant: TenantId, id: BlobId, header: &[u8], key: &DataKey) -> Result<Self> {
        let parsed = Header::parse(header)?;
        let wrong = if parsed.id != id {
            Some(format!("it names blob {}", parsed.id))
        } else if parsed.tenant != tenant {
            Some(format!("it names tenant {}", parsed.tenant))
        } else if parsed.version != key.version {
            let (theirs, ours) = (parsed.version, key.version);
            Some(format!("it names key version {theirs}, not {ours}"))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Err(bad_header(format!("header of blob {id}: {wrong}")));
        }
        Ok(Self {
            id,
            key: blob_key(key, parsed.bytes),
            header: *parsed.bytes,
        })
    }

    /// Opens the frame `index`, with its tag at the end of `sealed`, into the beginning of `plain`
    /// ([`FRAME_BYTES`] are always enough), and says how long its plain text is.
    ///
    /// # Errors
    /// Corrupt, naming the frame, when anything about it is not as it was sealed; what `plain` holds
    /// then means nothing.
    pub fn open(
        &self,
        index: u64,
        position: Position,
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<usize> {
        let split = sealed.len().checked_sub(TAG_BYTES);
        let Some((text, tag)) = split
            .filter(|length| fits(index, position, *length))
            .and_then(|length| sealed.split_at_checked(length))
        else {
            let cause = format!("{} bytes cannot be a {position:?} frame", sealed.len());
            return Err(self.corrupt(index, &cause));
        };
        let plain = plain
            .get_mut(..text.len())
            .ok_or_else(|| Error::internal("no room for a frame"))?;
        let (nonce, header) = (nonce(index, position), Aad::from(&self.header));
        self.key
            .open_separate_gather(nonce, header, text, tag, plain)
            .map_err(|_| {
                self.corrupt(index, &format!("fails its check as a {position:?} frame"))
            })?;
        Ok(text.len())
    }

    fn corrupt(&self, index: u64, cause: &str) -> Error {
        let context = format!("the stored file is damaged (frame {index}); tell the operator");
        Error::new(ErrorKind::Corrupt, context)
            .because(format!("blob {} frame {index}: {cause}", self.id))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opener of blob {}", self.id)
    }
}

/// Whether a frame may hold this many plain bytes.
fn fits(index: u64, position: Position, plain: usize) -> bool {
    match position {
        Position::Middle => plain == FRAME_BYTES,
        Position::Final => plain <= FRAME_BYTES && (plain > 0 || index == 0),
    }
}

/// How many frames a finished blob of `plain` bytes has: at least one.
pub fn frames(plain: u64) -> u64 {
    plain.div_ceil(FRAME_BYTES as u64).max(1)
}

/// Length of a finished blob of `plain` bytes, with its header.
pub fn sealed_bytes(plain: u64) -> u64 {
    frame_start(plain, frames(plain))
}

/// Where frames `first..=last` lie in the sealed blob of `plain` bytes.
///
/// Also right for an unfinished blob, with the plain length of its checkpoint. Empty when `first`
/// is behind the last frame; a `last` behind it counts as it.
pub fn frame_range(plain: u64, first: u64, last: u64) -> Range<u64> {
    let end = last.saturating_add(1).min(frames(plain));
    let first = first.min(end);
    frame_start(plain, first)..frame_start(plain, end)
}

/// Where frame `index` starts, or where the blob ends when `index` is the number of its frames.
fn frame_start(plain: u64, index: u64) -> u64 {
    let before = index.saturating_mul(FRAME_BYTES as u64).min(plain);
    let tags = index.saturating_mul(TAG_BYTES as u64);
    before
        .saturating_add(tags)
        .saturating_add(HEADER_BYTES as u64)
}

struct Header<'a> {
    bytes: &'a [u8; HEADER_BYTES],
    tenant: TenantId,
    version: u32,
    id: BlobId,
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let bytes = bytes
            .first_chunk()
            .ok_or_else(|| bad_header(format!("a header of {} bytes", bytes.len())))?;
        let mut rest: &[u8] = bytes;
        if take(&mut rest)? != *MAGIC {
            return Err(bad_header("no header of a blob"));
        }
        let [format] = take(&mut rest)?;
        if format != FORMAT_VERSION {
            let cause = format!("format version {format}; this program reads {FORMAT_VERSION}");
            return Err(bad_header(cause));
        }
        Ok(Self {
            bytes,
            tenant: TenantId(i64::from_be_bytes(take(&mut rest)?)),
            version: u32::from_be_bytes(take(&mut rest)?),
            id: BlobId::from_slice(&take::<16>(&mut rest)?)?,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, left) = rest
        .split_first_chunk()
        .ok_or_else(|| bad_header("a short header"))?;
    *rest = left;
    Ok(*taken)
}

fn bad_header(cause: impl Into<String>) -> Error {
    let context = "the stored file is damaged (header); tell the operator";
    Error::new(ErrorKind::Corrupt, context).because(cause.into())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::crypto::seal::Sealer;

    const TENANT: TenantId = TenantId(5);
    const FRAME: u64 = FRAME_BYTES as u64;

    fn key() -> DataKey {
        DataKey::new(2, [9; 32])
    }

    /// A finished blob.
    fn seal(plain: &[u8]) -> (BlobId, BytesMut) {
        let mut sealer = Sealer::new(TENANT, &key());
        let id = sealer.id();
        let mut out = BytesMut::from(&sealer.header()[..]);
        let mut rest = plain;
        while rest.len() > FRAME_BYTES {
            let (frame, left) = rest.split_at(FRAME_BYTES);
            sealer.seal(frame, &mut out).unwrap();
            rest = left;
        }
        sealer.finish(rest, &mut out).unwrap();
        (id, out)
    }

    #[test]
    fn every_frame_opens_alone_where_the_arithmetic_says_it_is() {
        for length in [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 3 * FRAME + 7] {
            let mut plain = vec![0; length as usize];
            fastrand::Rng::with_seed(length).fill(&mut plain);
            let (id, blob) = seal(&plain);
            assert_eq!(blob.len() as u64, sealed_bytes(length));
            assert_eq!(Opener::key_version(&blob).unwrap(), 2);
            let opener = Opener::new(TENANT, id, &blob, &key()).unwrap();
            let count = frames(length);
            for index in (0..count).rev() {
                let range = frame_range(length, index, index);
                let position = match index + 1 == count {
                    true => Position::Final,
                    false => Position::Middle,
                };
                let frame = &blob[range.start as usize..range.end as usize];
                let mut opened = [7; FRAME_BYTES];
                let length = opener.open(index, position, frame, &mut opened).unwrap();
                let start = (index * FRAME) as usize;
                let end = plain.len().min(start + FRAME_BYTES);
                assert!(opened[..length] == plain[start..end]);
            }
        }
    }

    #[test]
    fn ranges_stop_at_the_last_frame() {
        assert_eq!(frame_range(0, 0, 9), 68..84);
        assert_eq!(frame_range(2 * FRAME, 1, 1), 65_620..131_172);
        assert_eq!(frame_range(2 * FRAME, 0, 9), 68..131_172);
        assert!(frame_range(10, 1, 5).is_empty());
        assert!(frame_range(10, u64::MAX, u64::MAX).is_empty());
        assert_eq!(sealed_bytes(u64::MAX), u64::MAX);
    }

    #[test]
    fn misuse_of_a_sealer_is_refused_and_leaves_the_buffer_alone() {
        let mut sealer = Sealer::new(TENANT, &key());
        let mut out = BytesMut::new();
        assert!(sealer.seal(&[0; 10], &mut out).is_err());
        sealer.seal(&[0; FRAME_BYTES], &mut out).unwrap();
        let length = out.len();
        assert!(sealer.finish(b"", &mut out).is_err());
        let sealer = Sealer::new(TENANT, &key());
        assert!(sealer.finish(&[0; FRAME_BYTES + 1], &mut out).is_err());
        assert_eq!(out.len(), length);
    }

    #[test]
    fn the_same_text_never_seals_to_the_same_bytes() {
        let (first, one) = seal(b"hello");
        let (second, other) = seal(b"hello");
        assert_ne!(first, second);
        assert_ne!(one[HEADER_BYTES..], other[HEADER_BYTES..]);
    }

    #[test]
    fn a_damaged_frame_is_named_to_the_client_and_with_its_blob_in_the_log() {
        let (id, mut blob) = seal(b"hello");
        let opener = Opener::new(TENANT, id, &blob, &key()).unwrap();
        blob[HEADER_BYTES] ^= 1;
        let (frame, mut plain) = (&blob[HEADER_BYTES..], [0; 5]);
        let error = opener
            .open(0, Position::Final, frame, &mut plain)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.context().contains("frame 0"));
        assert!(!error.context().contains(&id.to_string()));
        assert!(format!("{error:?}").contains(&format!("blob {id} frame 0")));
    }
}
