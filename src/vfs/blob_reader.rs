//! Reading one blob: frames fetched, verified and opened, from wherever it can be read.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, Either};

use crate::crypto::open::{Opener, frame_range, frames};
use crate::crypto::seal::{DataKey, FRAME_BYTES, HEADER_BYTES, TAG_BYTES};
use crate::db::blobs::BlobInfo;
use crate::db::copies;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{RegionId, TenantId};
use crate::storage::store::Intake;
use crate::vfs::damage::Damaged;
use crate::vfs::frames::{Frames, Key};
use crate::vfs::service::Vfs;
use crate::vfs::spare;

const SEALED_FRAME: usize = FRAME_BYTES + TAG_BYTES;
/// How long a region may take for a read before a copy is asked for as well.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads one blob. Calls may run at once.
pub struct BlobReader {
    vfs: Vfs,
    tenant: TenantId,
    info: BlobInfo,
    /// Where it was read last with success.
    region: AtomicI64,
    opener: OnceLock<Arc<Opener>>,
}

impl BlobReader {
    /// A reader of a blob that the database describes by `info`.
    pub fn new(vfs: Vfs, tenant: TenantId, info: BlobInfo) -> Self {
        Self {
            vfs,
            tenant,
            region: AtomicI64::new(info.region.0),
            info,
            opener: OnceLock::new(),
        }
    }

    /// What is read.
    pub fn info(&self) -> &BlobInfo {
        &self.info
    }

    /// Verified plain bytes of the frames that hold `start..end`, cut to these.
    ///
    /// When the blob is damaged where it is, or its region does not answer in seconds, it is read from a
    /// copy; a damaged object is then mended from there in the background.
    ///
    /// # Errors
    /// Corrupt when they fail verification everywhere or lie beyond the blob; Unavailable when no
    /// store answers.
    pub async fn read(&self, start: u64, end: u64) -> Result<Bytes> {
        if start >= end || end > self.info.size {
            return Err(self.damaged(Error::internal("read beyond the end of the blob")));
        }
        let first = start / FRAME_BYTES as u64;
        let last = (end - 1) / FRAME_BYTES as u64;
        let plain = self.load(first, last).await?;
        let skipped = ((start - first * FRAME_BYTES as u64) as usize).min(plain.len());
        let wanted = skipped.saturating_add((end - start) as usize);
        Ok(cut(&plain, skipped..wanted.min(plain.len())))
    }

    async fn load(&self, first: u64, last: u64) -> Result<Bytes> {
        let region = RegionId(self.region.load(Ordering::Relaxed));
        // A key that cannot be had is no damage, and no better elsewhere.
        let key = self.key().await?;
        let failed = match self.load_in_time(region, first, last, key.clone()).await {
            Ok(plain) => return Ok(plain),
            Err(error) => error,
        };
        if !matches!(
            failed.kind(),
            ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Unavailable
        ) {
            return Err(failed);
        }
        let mut tx = self.vfs.database().read(self.tenant).await?;
        let places = copies::whereabouts(&mut tx, self.info.id).await?;
        drop(tx);
        // Bytes that were wrong once may have been wrong on their way only, and a service may say once that there is
        // no such object.
        let again = matches!(failed.kind(), ErrorKind::Corrupt | ErrorKind::NotFound);
        let own = places.first().copied();
        let others = places.into_iter().filter(|other| *other != region || again);
        if let Some((other, plain)) = self.load_from_any(others, first, last, key).await {
            self.region.store(other.0, Ordering::Relaxed);
            if other != region && own == Some(region) {
                self.report(region, other, &failed);
            }
            return Ok(plain);
        }
        Err(match failed.kind() {
            ErrorKind::Unavailable => failed,
            _ => self.damaged(failed),
        })
    }

    /// Reads from one region, and from a copy as well if that takes its time: whichever comes first.
    async fn load_in_time(
        &self,
        region: RegionId,
        first: u64,
        last: u64,
        key: Option<Arc<DataKey>>,
    ) -> Result<Bytes> {
        let regions = self.vfs.regions();
        let patience = match regions.is_silent(region) {
            true => Duration::ZERO,
            false => PATIENCE,
        };
        let mut here = Box::pin(self.load_from(region, first, last, key.clone()));
        let loaded = match tokio::time::timeout(patience, &mut here).await {
            Ok(loaded) => loaded,
            Err(_) => {
                let there = Box::pin(self.load_elsewhere(region, first, last, key));
                match future::select(here, there).await {
                    Either::Left((loaded, _)) => loaded,
                    Either::Right((Some((other, plain)), _)) => {
                        tracing::debug!(blob = %self.info.id, %region, read_from = %other, "a region takes its time; a blob was read from its copy");
                        regions.note_silence(region);
                        self.region.store(other.0, Ordering::Relaxed);
                        return Ok(plain);
                    }
                    Either::Right((None, here)) => here.await,
                }
            }
        };
        if loaded.is_ok() {
            regions.note_answer(region);
        }
        loaded
    }

    /// Reads from wherever else it can be read; none when that is nowhere.
    async fn load_elsewhere(
        &self,
        region: RegionId,
        first: u64,
        last: u64,
        key: Option<Arc<DataKey>>,
    ) -> Option<(RegionId, Bytes)> {
        let mut tx = self.vfs.database().read(self.tenant).await.ok()?;
        let places = copies::whereabouts(&mut tx, self.info.id).await.ok()?;
        drop(tx);
        let others = places.into_iter().filter(|other| *other != region);
        self.load_from_any(others, first, last, key).await
    }

    /// Reads from the first of some regions from which it can be read; none when that is none.
    async fn load_from_any(
        &self,
        regions: impl Iterator<Item = RegionId>,
        first: u64,
        last: u64,
        key: Option<Arc<DataKey>>,
    ) -> Option<(RegionId, Bytes)> {
        for other in regions {
            match self.load_from(other, first, last, key.clone()).await {
                Ok(plain) => return Some((other, plain)),
                Err(error) => tracing::debug!(region = %other, error = ?error, "no better"),
            }
        }
        None
    }

    /// Reads all of the blob from one region and from nowhere else.
    ///
    /// # Errors
    /// Corrupt or NotFound when it is damaged or missing there; Unavailable when the store does not
    /// answer; Busy when there is no memory for it for a minute.
    pub async fn check(&self, region: RegionId) -> Result<()> {
        let step = self.vfs.store(region)?.shape().read.max(SEALED_FRAME);
        let step = (step / SEALED_FRAME) as u64;
        let frames = frames(self.info.size);
        let mut first = 0;
        while first < frames {
            let last = (first + step).min(frames) - 1;
            let bytes = (last - first + 1) as usize * SEALED_FRAME;
            let _share = spare::take(self.vfs.budget(), bytes).await?;
            let key = self.key().await?;
            self.load_from(region, first, last, key).await?;
            first = last + 1;
        }
        Ok(())
    }

    /// What could not be read in its own region was read elsewhere.
    fn report(&self, region: RegionId, other: RegionId, failed: &Error) {
        tracing::warn!(
            blob = %self.info.id, tenant.id = %self.tenant, %region, read_from = %other,
            error = ?failed, "a blob was read from its copy"
        );
        if failed.kind() != ErrorKind::Unavailable {
            self.vfs.damage().report(Damaged {
                tenant: self.tenant,
                info: self.info,
                whole_in: other,
            });
        }
    }

    /// The tenant's key, as long as it is needed to make the opener.
    async fn key(&self) -> Result<Option<Arc<DataKey>>> {
        if self.opener.get().is_some() {
            return Ok(None);
        }
        let key = self.vfs.keys().version(self.tenant, self.info.key_version);
        key.await.map(Some)
    }

    /// Fetches and opens frames `first..=last` from one region, each as it comes.
    async fn load_from(
        &self,
        region: RegionId,
        first: u64,
        last: u64,
        key: Option<Arc<DataKey>>,
    ) -> Result<Bytes> {
        let (store, info) = (self.vfs.store(region)?, self.info);
        let range = frame_range(info.size, first, last);
        let key = match (self.opener.get(), key) {
            (Some(opener), _) => Key::Known(opener.clone()),
            (None, Some(key)) => Key::Unread(self.tenant, key),
            (None, None) => return Err(Error::internal("an opener was forgotten")),
        };
        let is_unread = matches!(key, Key::Unread(..));
        let mut frames = Frames::new(info, key, (first, last), self.vfs.recycled());
        if is_unread && first > 0 {
            let (header, sealed) = tokio::try_join!(
                store.read(info.id, 0..HEADER_BYTES as u64),
                store.read(info.id, range)
            )?;
            frames.take(&header)?;
            frames.take(&sealed)?;
        } else {
            let start = if is_unread { 0 } else { range.start };
            let shared = Arc::new(Mutex::new(frames));
            store
                .read_into(info.id, start..range.end, shared.clone())
                .await?;
            let own = Arc::into_inner(shared).ok_or_else(|| Error::internal("a read goes on"))?;
            frames = own.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        let (plain, opener) = frames.finish()?;
        if let Some(opener) = opener {
            // A header is kept once its frames open: it may be damaged here and whole elsewhere.
            let _ = self.opener.set(opener);
        }
        Ok(plain)
    }

    fn damaged(&self, error: Error) -> Error {
        tracing::error!(blob = %self.info.id, tenant.id = %self.tenant, error = ?error, "a blob is damaged");
        Error::new(
            ErrorKind::Corrupt,
            "this part of the file is damaged in the store; tell the operator",
        )
        .because(error)
    }
}

/// Up to so many bytes are copied out of what was opened...
const COPIED: usize = 64 * 1024;
/// ...that is so many times as large: a few bytes that wait for a client must not keep all of it in memory.
const FAR_LARGER: usize = 8;

/// A part of what was opened, without keeping much more than that in memory.
pub fn cut(plain: &Bytes, part: Range<usize>) -> Bytes {
    match part.len() < COPIED && part.len() < plain.len() / FAR_LARGER {
        true => Bytes::copy_from_slice(plain.get(part).unwrap_or_default()),
        false => plain.slice(part),
    }
}
