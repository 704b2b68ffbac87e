//! MODE Z: what is transferred travels as one stream of zlib (RFC 1950, draft-preston-ftpext-deflate-04).
//!
//! Bytes are packed and unpacked in steps, so that however much comes of little, no more than a step of
//! it is in memory, and it goes through quotas like all else.

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::ftp::reply::Reply;
use crate::net::budget::{Budget, Share};

/// Bytes taken and given at most in one step.
const STEP_BYTES: usize = 64 * 1024;
/// What the two keep, beside a step: measured, and a little more.
const PACKER_BYTES: usize = 448 * 1024;
const UNPACKER_BYTES: usize = 64 * 1024;

/// Packs what is sent.
pub struct Packer {
    compress: Compress,
    out: Vec<u8>,
    _share: Share,
}

impl Packer {
    /// Packs with a level from 1, which is quick, to 9.
    ///
    /// # Errors
    /// 451 when there is no memory for it.
    pub fn new(budget: &Budget, level: u32) -> Result<Self, Reply> {
        Ok(Self {
            _share: take(budget, PACKER_BYTES)?,
            compress: Compress::new(Compression::new(level), true),
            out: Vec::with_capacity(STEP_BYTES),
        })
    }

    /// Takes a step of `bytes` away; what is to be sent now, which may be nothing.
    pub fn step(&mut self, bytes: &mut &[u8]) -> &[u8] {
        let step = bytes.get(..STEP_BYTES).unwrap_or(bytes);
        let (taken, _) = self.pack(step, FlushCompress::None);
        *bytes = bytes.get(taken..).unwrap_or_default();
        &self.out
    }

    /// The next step of the end, and whether it was the last.
    pub fn end(&mut self) -> (&[u8], bool) {
        let (_, is_over) = self.pack(&[], FlushCompress::Finish);
        (&self.out, is_over)
    }

    /// Fills `out`; says how many bytes it took, and whether that was the end.
    fn pack(&mut self, bytes: &[u8], flush: FlushCompress) -> (usize, bool) {
        self.out.clear();
        let before = self.compress.total_in();
        let status = self.compress.compress_vec(bytes, &mut self.out, flush);
        let taken = self.compress.total_in() - before;
        // Packing fails for a stream that is over only; that ends it.
        let is_over = matches!(status, Ok(Status::StreamEnd) | Err(_));
        (usize::try_from(taken).unwrap_or(bytes.len()), is_over)
    }
}

/// What came is no stream of zlib, or more came behind its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Garbled;

/// Unpacks what came.
pub struct Unpacker {
    inflate: Decompress,
    is_over: bool,
    /// Whether the last step filled its room, so that more may be had without more that comes.
    is_full: bool,
    _share: Share,
}

impl Unpacker {
    /// Nothing has come yet.
    ///
    /// # Errors
    /// 451 when there is no memory for it.
    pub fn new(budget: &Budget) -> Result<Self, Reply> {
        Ok(Self {
            _share: take(budget, UNPACKER_BYTES + STEP_BYTES)?,
            inflate: Decompress::new(true),
            is_over: false,
            is_full: false,
        })
    }

    /// Takes away what it needs of `bytes` for the next step, and gives that; none when more must come.
    ///
    /// # Errors
    /// See [`Garbled`].
    pub fn step(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, Garbled> {
        if self.is_over {
            return bytes.is_empty().then_some(None).ok_or(Garbled);
        }
        if bytes.is_empty() && !self.is_full {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(STEP_BYTES);
        let before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress_vec(bytes, &mut out, FlushDecompress::None)
            .map_err(|_| Garbled)?;
        let taken = usize::try_from(self.inflate.total_in() - before).map_err(|_| Garbled)?;
        self.is_over = status == Status::StreamEnd;
        self.is_full = out.len() == out.capacity();
        // Nothing in and nothing out, though there was something: no stream does that.
        if taken == 0 && out.is_empty() && !bytes.is_empty() && !self.is_over {
            return Err(Garbled);
        }
        drop(bytes.split_to(taken.min(bytes.len())));
        Ok(Some(out.into()))
    }

    /// Whether what came ended where it should: nothing at all is an empty file.
    pub fn is_whole(&self) -> bool {
        self.is_over || self.inflate.total_in() == 0
    }
}

fn take(budget: &Budget, bytes: usize) -> Result<Share, Reply> {
    let share = budget.try_take_spare(bytes);
    share.ok_or_else(|| Reply::new(451, "the server is short of memory for MODE Z; use MODE S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(pieces: &[&[u8]], level: u32) -> Vec<u8> {
        let mut packer = Packer::new(&Budget::new(1 << 30), level).unwrap();
        let mut all = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                all.extend_from_slice(packer.step(&mut rest));
            }
        }
        loop {
            let (out, is_over) = packer.end();
            all.extend_from_slice(out);
            if is_over {
                return all;
            }
        }
    }

    fn unpacked(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), Garbled> {
        let mut unpacker = Unpacker::new(&Budget::new(1 << 30)).unwrap();
        let mut all = Vec::new();
        for piece in pieces {
            let mut bytes = Bytes::copy_from_slice(piece);
            while let Some(step) = unpacker.step(&mut bytes)? {
                assert!(step.len() <= STEP_BYTES);
                all.extend_from_slice(&step);
            }
            assert!(bytes.is_empty());
        }
        Ok((all, unpacker.is_whole()))
    }

    #[test]
    fn what_is_packed_comes_out_again_wherever_it_is_cut() {
        let mut noise = vec![0; 300_000];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        let zeros = vec![0; 5_000_000];
        for content in [&b""[..], b"x", &noise, &zeros] {
            for level in [1, 9] {
                let packed = packed(&[content, content], level);
                let twice = [content, content].concat();
                for size in [1_000_000, 70_000, 1_001] {
                    let pieces: Vec<_> = packed.chunks(size).collect();
                    assert_eq!(unpacked(&pieces), Ok((twice.clone(), true)));
                }
            }
        }
        assert!(packed(&[&zeros], 1).len() < 50_000);
    }

    #[test]
    fn what_is_cut_short_is_not_whole_and_what_is_no_stream_is_refused() {
        let whole = packed(&[&b"content ".repeat(1000)], 6);
        let (start, end) = whole.split_at(whole.len() - 1);
        assert!(!unpacked(&[start]).unwrap().1);
        assert!(unpacked(&[start, end]).unwrap().1);
        assert_eq!(unpacked(&[&whole, b"more"]), Err(Garbled));
        assert_eq!(unpacked(&[b"PK\x03\x04 and so on"]), Err(Garbled));
        let mut wrong = whole.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(unpacked(&[&wrong]), Err(Garbled));
        assert_eq!(unpacked(&[]), Ok((Vec::new(), true)));
    }

    #[test]
    fn memory_is_counted() {
        let budget = Budget::new(PACKER_BYTES);
        assert!(Packer::new(&budget, 6).is_err());
        assert_eq!(budget.used(), 0);
    }
}
