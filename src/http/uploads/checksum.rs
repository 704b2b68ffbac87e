//! The sum that a client sends with a piece.

use data_encoding::BASE64;

use crate::domain::sum::SumKind;
use crate::http::reply::Problem;
use crate::vfs::sums::Summer;

/// The algorithms, as OPTIONS lists them.
pub const ALGORITHMS: &str = "sha1,sha256,sha512,md5,crc32";

/// A sum that is expected, and the one of what came so far.
pub struct Check {
    summer: Summer,
    expected: Vec<u8>,
}

impl Check {
    /// Takes what stands in Upload-Checksum: a name and base64.
    ///
    /// # Errors
    /// 400 when it is malformed or of an algorithm that we do not know.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (name, sum) = text
            .split_once(' ')
            .ok_or_else(|| malformed("Upload-Checksum is an algorithm, a space and base64"))?;
        let kind = SumKind::named(name).ok_or_else(|| {
            malformed(&format!(
                "this algorithm is not known; choose one of {ALGORITHMS}"
            ))
        })?;
        let expected = BASE64.decode(sum.trim().as_bytes());
        let expected = expected.ok().filter(|sum| sum.len() == kind.bytes());
        Ok(Self {
            summer: Summer::new(kind),
            expected: expected.ok_or_else(|| {
                malformed("what stands in Upload-Checksum is no sum of this algorithm in base64")
            })?,
        })
    }

    /// A SHA-256 that is expected.
    pub fn sha256(expected: [u8; 32]) -> Self {
        Self {
            summer: Summer::new(SumKind::Sha256),
            expected: expected.to_vec(),
        }
    }

    /// Goes on over bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.summer.add(bytes);
    }

    /// Whether the bytes were the expected ones.
    pub fn holds(self) -> bool {
        self.summer.finish() == self.expected
    }
}

fn malformed(detail: &str) -> Problem {
    Problem::malformed(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_holds_for_its_bytes_only() {
        let said = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
        for (bytes, holds) in [(&b"hello world"[..], true), (b"hello worle", false)] {
            let mut check = Check::parse(said).ok().unwrap();
            check.update(bytes);
            assert_eq!(check.holds(), holds);
        }
    }

    #[test]
    fn what_is_no_sum_is_refused() {
        for said in ["sha1", "sha1 ", "sha1 AAAA", "sha3 AAAA", "sha1 %%%", ""] {
            assert!(Check::parse(said).is_err(), "{said}");
        }
    }
}
