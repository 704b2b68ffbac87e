//! Checksums of files: those that are kept, and those that take reading.

use std::ops::Range;

use async_trait::async_trait;
use aws_lc_rs::digest;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::db::contents;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::error::{Error, Result};
use crate::domain::id::{ContentId, TenantId};
use crate::domain::principal::{Actor, Principal};
use crate::domain::sum::SumKind;
use crate::vfs::read::FileReader;
use crate::vfs::service::Vfs;

/// What is read at once, in bytes, when the budget has it...
const PIECE: usize = 256 * 1024;
/// ...and when it has not.
const SMALL_PIECE: usize = 16 * 1024;
/// Holes cost their maker nothing, but reading them costs us: so many bytes of them are read.
const MOST_HOLES: u64 = 1 << 30;
/// Most bytes that are read for checksums that are not kept.
const MOST_BYTES: u64 = 64 << 30;

/// A checksum being made.
#[derive(Clone)]
pub enum Summer {
    /// CRC-32.
    Crc32(crc32fast::Hasher),
    /// MD5.
    Md5(Md5),
    /// SHA-1 or SHA-512.
    Other(digest::Context),
    /// SHA-256.
    Sha256(Sha256),
}

impl Summer {
    /// Of nothing yet.
    pub fn new(kind: SumKind) -> Self {
        match kind {
            SumKind::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
            SumKind::Md5 => Self::Md5(Md5::new()),
            SumKind::Sha1 => Self::Other(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            SumKind::Sha256 => Self::Sha256(Sha256::new()),
            SumKind::Sha512 => Self::Other(digest::Context::new(&digest::SHA512)),
        }
    }

    /// Goes on with `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(sum) => sum.update(bytes),
            Self::Md5(sum) => sum.update(bytes),
            Self::Other(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
        }
    }

    /// The checksum of all that was added.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(sum) => sum.finalize().to_be_bytes().to_vec(),
            Self::Md5(sum) => sum.finalize().to_vec(),
            Self::Other(sum) => sum.finish().as_ref().to_vec(),
            Self::Sha256(sum) => sum.finalize().to_vec(),
        }
    }
}

/// The checksum of a whole file, if it is kept or takes reading no more than `most` bytes; what takes reading is kept
/// for the next who asks.
pub(in crate::vfs) async fn whole(
    vfs: &Vfs,
    principal: &Principal,
    file: &FileReader,
    kind: SumKind,
    most: u64,
) -> Result<Option<Vec<u8>>> {
    let size = file.entry().size;
    let Some(id) = file.entry().content else {
        return match size {
            0 => Ok(Some(Summer::new(kind).finish())),
            _ if size > most => Ok(None),
            // What is not published has no content yet whose checksum could be kept.
            _ => blocks(vfs, file, kind, 0..size, size).await.map(Some),
        };
    };
    let mut tx = vfs.database().read(principal.tenant).await?;
    let kept = contents::sum(&mut tx, id, kind).await?;
    drop(tx);
    if kept.is_some() || size > most {
        return Ok(kept);
    }
    check_holes(file, 0..size)?;
    let sum = read(vfs, file, kind, 0..size, size).await?;
    keep(
        vfs,
        principal.tenant,
        &principal.actor(),
        id,
        kind,
        sum.clone(),
    )
    .await?;
    Ok(Some(sum))
}

/// Checksums of blocks, one after the other.
pub(in crate::vfs) async fn blocks(
    vfs: &Vfs,
    file: &FileReader,
    kind: SumKind,
    part: Range<u64>,
    block: u64,
) -> Result<Vec<u8>> {
    check_holes(file, part.clone())?;
    if part.end.saturating_sub(part.start) > MOST_BYTES {
        return Err(Error::invalid(format!(
            "checksums of more than {} GiB at once are kept only for whole files; ask for less",
            MOST_BYTES >> 30
        )));
    }
    read(vfs, file, kind, part, block).await
}

/// Keeps the checksum of a content.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn keep(
    vfs: &Vfs,
    tenant: TenantId,
    actor: &Actor,
    id: ContentId,
    kind: SumKind,
    sum: Vec<u8>,
) -> Result<()> {
    let keep = Keep { id, kind, sum };
    vfs.committer().run(tenant, actor, keep).await.map(drop)
}

fn check_holes(file: &FileReader, part: Range<u64>) -> Result<()> {
    match file.holes(part.start, part.end) > MOST_HOLES {
        true => Err(Error::invalid(format!(
            "more than {} GiB of this file was never written; ask for the checksum of a part",
            MOST_HOLES >> 30
        ))),
        false => Ok(()),
    }
}

async fn read(
    vfs: &Vfs,
    file: &FileReader,
    kind: SumKind,
    part: Range<u64>,
    block: u64,
) -> Result<Vec<u8>> {
    let share = vfs.budget().try_take_spare(PIECE);
    let piece = share.as_ref().map_or(SMALL_PIECE, |_| PIECE) as u64;
    let mut sums = Vec::new();
    let mut at = part.start;
    while at < part.end {
        let end = at.saturating_add(block.max(1)).min(part.end);
        let mut sum = Summer::new(kind);
        while at < end {
            let bytes = file.read_at(at, (end - at).min(piece) as usize).await?;
            if bytes.is_empty() {
                return Err(Error::internal("a file is shorter than its entry says"));
            }
            at += bytes.len() as u64;
            sum.add(&bytes);
            // What comes from memory is never waited for, and others want to go on too.
            tokio::task::yield_now().await;
        }
        sums.extend(sum.finish());
    }
    Ok(sums)
}

struct Keep {
    id: ContentId,
    kind: SumKind,
    sum: Vec<u8>,
}

#[async_trait]
impl Operation for Keep {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        contents::set_sum(tx, self.id, self.kind, &self.sum).await?;
        Ok(Record::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn checksums_are_those_of_everybody_else() {
        for (kind, empty, abc) in [
            (SumKind::Crc32, "00000000", "352441c2"),
            (
                SumKind::Md5,
                "d41d8cd98f00b204e9800998ecf8427e",
                "900150983cd24fb0d6963f7d28e17f72",
            ),
            (
                SumKind::Sha1,
                "da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "a9993e364706816aba3e25717850c26c9cd0d89d",
            ),
            (
                SumKind::Sha256,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                SumKind::Sha512,
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                 47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ] {
            let mut sum = Summer::new(kind);
            assert_eq!(HEXLOWER.encode(&sum.clone().finish()), empty);
            sum.add(b"a");
            sum.add(b"bc");
            let made = sum.finish();
            assert_eq!(
                (HEXLOWER.encode(&made).as_str(), made.len()),
                (abc, kind.bytes())
            );
        }
    }
}
