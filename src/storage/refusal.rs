//! The sentences by which all blob stores refuse.

use std::io;
use std::ops::Range;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::BlobId;

/// A blob that is not there.
pub fn missing(id: BlobId) -> Error {
    Error::not_found("stored content is missing; tell the operator")
        .because(format!("no blob {id} in the store"))
}

/// An id that holds a blob already.
pub fn taken(id: BlobId) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        "the stored content exists already",
    )
    .because(format!("blob {id} was written before"))
}

/// A blob that ends before it should.
pub fn too_short(id: BlobId, length: u64) -> Error {
    let context = "the stored file is damaged (it ends too early); tell the operator";
    Error::new(ErrorKind::Corrupt, context)
        .because(format!("blob {id} is only {length} bytes long"))
}

/// Something that is no file where a blob should be.
pub fn no_file(id: BlobId) -> Error {
    let context = "the stored file is damaged (it is no file any more); tell the operator";
    Error::new(ErrorKind::Corrupt, context)
        .because(format!("what has the name of blob {id} is no file"))
}

/// No room left.
pub fn full() -> Error {
    Error::new(
        ErrorKind::StorageFull,
        "the server's storage is full; tell the operator",
    )
}

/// A store that does not answer.
pub fn unavailable() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the server's storage does not answer; try again, and tell the operator if it stays so",
    )
}

/// What the operating system said about blob `id`.
pub fn io(id: BlobId, error: io::Error) -> Error {
    let refusal = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(),
        _ => unavailable(),
    };
    refusal.because(Caused { id, error })
}

/// Checks that a range lies in a blob of `length` bytes.
///
/// # Errors
/// Corrupt when the blob ends before, Internal when the range runs backwards.
pub fn check_range(id: BlobId, range: &Range<u64>, length: u64) -> Result<()> {
    if range.start > range.end {
        return Err(Error::internal(format!("backward range {range:?}")));
    }
    match range.end > length {
        true => Err(too_short(id, length)),
        false => Ok(()),
    }
}

#[derive(Debug)]
struct Caused {
    id: BlobId,
    error: io::Error,
}

impl std::fmt::Display for Caused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "blob {}", self.id)
    }
}

impl std::error::Error for Caused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
