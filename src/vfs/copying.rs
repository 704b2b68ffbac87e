//! Copying a blob, sealed as it is, from one region to another.

use bytes::BytesMut;

use crate::crypto::open::sealed_bytes;
use crate::db::blobs::BlobInfo;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{RegionId, TenantId};
use crate::net::budget::Share;
use crate::storage::store::{BlobStore, BlobWriter};
use crate::vfs::blob_reader::BlobReader;
use crate::vfs::service::Vfs;
use crate::vfs::spare;

/// Copies a finished blob and opens every frame of the copy, so that what is there afterwards is
/// known to be whole. May be repeated: what is there already is only checked, and made anew when it is
/// damaged.
///
/// # Errors
/// Corrupt or NotFound when the blob is damaged or missing where it is copied from; Unavailable when
/// a store does not answer; Busy when there is no memory to spare for a minute.
pub async fn copy(
    vfs: &Vfs,
    tenant: TenantId,
    info: &BlobInfo,
    from: RegionId,
    to: RegionId,
) -> Result<()> {
    let (source, target) = (vfs.store(from)?, vfs.store(to)?);
    let reader = BlobReader::new(vfs.clone(), tenant, *info);
    if target.length(info.id).await?.is_some() {
        match reader.check(to).await {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {}
            checked => return checked,
        }
    }
    // What is damaged there, and what an earlier attempt began.
    target.discard(info.id).await?;
    let copy = Copy {
        vfs,
        source: source.as_ref(),
        target: target.as_ref(),
        info,
    };
    match copy.run().await {
        // Another instance copies it too.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        copied => copied?,
    }
    reader.check(to).await
}

struct Copy<'a> {
    vfs: &'a Vfs,
    source: &'a dyn BlobStore,
    target: &'a dyn BlobStore,
    info: &'a BlobInfo,
}

impl Copy<'_> {
    async fn run(&self) -> Result<()> {
        let (length, shape) = (sealed_bytes(self.info.size), self.target.shape());
        if length <= shape.whole as u64 {
            let share = self.room(length as usize, None).await?;
            let whole = self.read(0, length).await?;
            return self
                .target
                .put(self.info.id, share.around(whole.freeze()))
                .await;
        }
        let mut writer = self.target.begin(self.info.id).await?;
        let mut at = 0;
        while at < length {
            // A blob from a time without limits may need larger pieces.
            let least = length.div_ceil(shape.most_pieces as u64);
            let spare = (self.vfs.budget().total() / 8).max(shape.least_piece);
            let best = shape.piece(at).min(spare) as u64;
            let piece = best.max(least).min(length - at);
            let share = self.room(piece as usize, Some(&mut *writer)).await?;
            let bytes = self.read(at, at + piece).await?;
            writer.write(share.around(bytes.freeze())).await?;
            at += piece;
        }
        writer.finish().await
    }

    /// Memory for a piece. Waits for the pieces that are on their way, and holds none when it waits for
    /// what other copies have taken.
    async fn room(&self, bytes: usize, mut writer: Option<&mut dyn BlobWriter>) -> Result<Share> {
        loop {
            if let Some(share) = self.vfs.budget().try_take_spare(bytes) {
                return Ok(share);
            }
            let waited = match &mut writer {
                Some(writer) => writer.relieve().await?,
                None => false,
            };
            if !waited {
                return spare::take(self.vfs.budget(), bytes).await;
            }
        }
    }

    async fn read(&self, from: u64, to: u64) -> Result<BytesMut> {
        let mut whole = BytesMut::new();
        let step = self.source.shape().read as u64;
        let mut at = from;
        while at < to {
            let end = (at + step).min(to);
            let bytes = self.source.read(self.info.id, at..end).await?;
            match whole.is_empty() && end == to {
                true => return Ok(bytes),
                false if whole.is_empty() => whole.reserve((to - from) as usize),
                false => {}
            }
            whole.extend_from_slice(&bytes);
            at = end;
        }
        Ok(whole)
    }
}
