//! Checksums of files, by the names that clients know them by.

/// How a checksum is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SumKind {
    /// CRC-32 as in ZIP and Ethernet.
    Crc32,
    /// MD5: finds accidents, proves nothing.
    Md5,
    /// SHA-1: finds accidents, proves nothing.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl SumKind {
    /// The one of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::Crc32,
            Self::Md5,
            Self::Sha1,
            Self::Sha256,
            Self::Sha512,
        ]
        .into_iter()
        .find(|kind| kind.name().eq_ignore_ascii_case(name.trim()))
    }

    /// The name by which clients ask for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How long it is, in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Crc32 => 4,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}
