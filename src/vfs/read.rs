//! Reading a file: one version, from open to close.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use crate::crypto::seal::FRAME_BYTES;
use crate::db::contents::{self, StoredContent};
use crate::db::sql::TenantTx;
use crate::domain::content::{Extent, ExtentMap};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{BlobId, ContentId, TenantId};
use crate::domain::node::Entry;
use crate::domain::principal::Principal;
use crate::domain::traffic::{Direction, Ending, Transfer};
use crate::net::budget::{Budget, Share};
use crate::vfs::blob_reader::{BlobReader, cut};
use crate::vfs::chunks::{ChunkRange, Chunks};
use crate::vfs::service::Vfs;
use crate::vfs::source::{Loan, Source};

/// Most bytes that one call returns.
pub const MAX_READ: usize = 1024 * 1024;

/// How far out of order the requests of a client may come that reads in order, in bytes.
const OUT_OF_ORDER: u64 = 4 << 20;
/// How far behind the others requests are answered from memory, in bytes: most clients ask for no more at once.
const LATE_BYTES: u64 = 2 << 20;

/// The chunks that there are when there is no memory for larger ones, and how many of them are kept.
const SMALL_CHUNK: u64 = 4 * FRAME_BYTES as u64;
const SMALL_KEPT: usize = 2;

/// So many pieces of a file are read without counting the memory that knowing them takes...
const FEW_PIECES: usize = 1024;
/// ...and so much counts for each of more.
pub(in crate::vfs) const PIECE_BYTES: usize = 4 * size_of::<Extent>();

/// The bytes of a content, wherever they lie. Cheap to clone.
#[derive(Clone)]
pub struct ContentReader {
    shared: Arc<Shared>,
}

struct Shared {
    map: ExtentMap,
    sha256: Option<[u8; 32]>,
    blobs: HashMap<BlobId, Arc<BlobReader>>,
    chunks: Chunks,
    /// What one fetch brings in order, in bytes, and how many are best on their way.
    chunk_bytes: u64,
    most_ahead: usize,
    /// Where the last read ended, to tell reading in order from jumping about.
    last_end: AtomicU64,
    /// How many chunks are fetched ahead: the more, the longer reading goes on in order.
    ahead: AtomicUsize,
    /// Up to where chunks are fetched already.
    fetched: AtomicU64,
}

impl ContentReader {
    /// Reads what `content` describes.
    pub fn new(vfs: &Vfs, tenant: TenantId, content: StoredContent) -> Self {
        let reader = |info| BlobReader::new(vfs.clone(), tenant, info);
        // A content may lie in several regions while it moves; the slowest store sets the pace.
        let shapes = content.blobs.iter();
        let shapes = shapes.filter_map(|info| vfs.store(info.region).ok());
        let (mut chunk_bytes, mut most_ahead) = (FRAME_BYTES, 0);
        for shape in shapes.map(|store| store.shape()) {
            chunk_bytes = chunk_bytes.max(shape.read / FRAME_BYTES * FRAME_BYTES);
            most_ahead = most_ahead.max(shape.reads_ahead);
        }
        let blobs = content.blobs.into_iter();
        Self {
            shared: Arc::new(Shared {
                map: content.map,
                sha256: content.sha256,
                blobs: blobs
                    .map(|info| (info.id, Arc::new(reader(info))))
                    .collect(),
                chunks: Chunks::new(vfs.budget().clone()),
                chunk_bytes: chunk_bytes as u64,
                most_ahead,
                last_end: AtomicU64::new(0),
                ahead: AtomicUsize::new(0),
                fetched: AtomicU64::new(0),
            }),
        }
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.shared.map.size()
    }

    /// What a copy of it shares.
    fn content(&self) -> StoredContent {
        let blobs = self.shared.blobs.values();
        StoredContent {
            map: self.shared.map.clone(),
            blobs: blobs.map(|blob| *blob.info()).collect(),
            sha256: self.shared.sha256,
        }
    }

    /// Fetches what is so small that whoever opened it will ask for all of it next.
    fn fetch_small(&self) {
        if (1..=FRAME_BYTES as u64).contains(&self.size()) {
            self.shared.fetch_ahead(0, 0, 0);
        }
    }

    /// How many bytes of holes lie in `from..to`.
    pub fn holes(&self, from: u64, to: u64) -> u64 {
        let runs = self.shared.map.slice(from, to);
        let holes = runs.iter().filter(|run| run.blob.is_none());
        holes.map(|run| run.length).sum()
    }

    /// Up to `length` bytes at `offset` ([`MAX_READ`] at most); fewer only at the end of the
    /// content; none at or past it. Calls may run at once.
    ///
    /// # Errors
    /// Corrupt when stored bytes fail verification; Unavailable when the store does not answer.
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes> {
        let wanted = length.min(MAX_READ);
        let end = offset.saturating_add(wanted as u64).min(self.size());
        if offset >= end {
            return Ok(Bytes::new());
        }
        let in_order = self.shared.go_on(offset, end);
        let runs = self.shared.map.slice(offset, end);
        let mut first = None;
        let mut whole = BytesMut::new();
        for run in runs {
            let mut done = 0;
            while done < run.length {
                let piece = self.shared.piece(&run, done, in_order).await?;
                done += piece.len() as u64;
                if first.is_none() && piece.len() as u64 == end - offset {
                    return Ok(piece);
                }
                first = Some(());
                whole.extend_from_slice(&piece);
            }
        }
        Ok(whole.freeze())
    }
}

impl Shared {
    /// Notes a read; says whether reading goes on in order, and if so fetches what comes next.
    fn go_on(&self, offset: u64, end: u64) -> bool {
        let before = self.last_end.swap(end, Ordering::Relaxed);
        if before.abs_diff(offset) > OUT_OF_ORDER {
            self.ahead.store(0, Ordering::Relaxed);
            self.fetched.store(0, Ordering::Relaxed);
            return false;
        }
        let fetched = self.fetched.load(Ordering::Relaxed).max(end);
        // One more with each chunk, so that a look at the beginning does not fetch far ahead.
        let chunks = usize::try_from(end / self.chunk_bytes).unwrap_or(usize::MAX);
        let ahead = self.ahead.load(Ordering::Relaxed).min(chunks + 1);
        let until = end.saturating_add(ahead as u64 * self.chunk_bytes);
        if fetched <= until && fetched < self.map.size() {
            self.fetch_ahead(fetched, until, ahead);
        }
        true
    }

    /// Fetches chunks from `from` on, of which none begins behind `until`; the next time one more.
    fn fetch_ahead(&self, from: u64, until: u64, ahead: usize) {
        let mut at = from;
        for _ in 0..=ahead {
            if at > until {
                break;
            }
            let Some(run) = self.map.slice(at, at.saturating_add(1)).first().copied() else {
                break;
            };
            let Some(blob) = run.blob.and_then(|id| self.blobs.get(&id)) else {
                // Holes need no fetching.
                at += self.chunk_bytes;
                continue;
            };
            let range = chunk(blob, run.blob_start, self.chunk_bytes);
            let most = ahead.max(1).min(self.most_ahead);
            if most == 0 || !self.chunks.fetch_ahead(blob, range, most, self.kept()) {
                break;
            }
            at += range.end - run.blob_start;
        }
        self.fetched.fetch_max(at, Ordering::Relaxed);
        if at > from {
            let next = (2 * ahead).max(1).min(self.most_ahead);
            self.ahead.store(next, Ordering::Relaxed);
        }
    }

    /// How many chunks are kept: the one that is read, those ahead of it, and what late requests want.
    fn kept(&self) -> usize {
        let late = usize::try_from(LATE_BYTES.div_ceil(self.chunk_bytes)).unwrap_or(usize::MAX);
        self.most_ahead.saturating_add(1).saturating_add(late)
    }

    /// At least one byte of a run after `done` of them.
    async fn piece(&self, run: &Extent, done: u64, in_order: bool) -> Result<Bytes> {
        let left = run.length - done;
        let Some(id) = run.blob else {
            return Ok(Bytes::from(vec![0; left.min(MAX_READ as u64) as usize]));
        };
        let blob = self
            .blobs
            .get(&id)
            .ok_or_else(|| Error::internal("an extent of a blob that was not loaded"))?;
        let start = run.blob_start + done;
        let range = chunk(blob, start, self.chunk_bytes);
        let small = chunk(blob, start, SMALL_CHUNK.min(self.chunk_bytes));
        if !in_order && let Some(plain) = self.chunks.find(blob, range).await {
            return Ok(part(&plain, range, start, left));
        }
        let sizes = [(range, self.kept()), (small, SMALL_KEPT)];
        for (range, kept) in sizes.into_iter().filter(|_| in_order) {
            match self.chunks.get(blob, range, kept).await {
                Err(error) if error.kind() == ErrorKind::Busy => {}
                plain => return Ok(part(&plain?, range, start, left)),
            }
        }
        blob.read(start, (start + left).min(range.end)).await
    }
}

/// The run of `bytes` of a blob that holds one of them, all as such runs are counted from its start.
fn chunk(blob: &BlobReader, at: u64, bytes: u64) -> ChunkRange {
    let start = at / bytes * bytes;
    let end = (start + bytes).min(blob.info().size);
    ChunkRange { start, end }
}

/// Of what a chunk holds, up to `most` bytes from `start` on.
fn part(plain: &Bytes, range: ChunkRange, start: u64, most: u64) -> Bytes {
    let from = start - range.start;
    let to = from.saturating_add(most).min(range.end - range.start);
    cut(plain, from as usize..to as usize)
}

/// An open file. Cheap to clone.
#[derive(Clone)]
pub struct FileReader {
    tenant: TenantId,
    entry: Arc<Entry>,
    content: Option<ContentReader>,
    /// What knowing very many pieces takes.
    _counted: Option<Arc<Share>>,
    /// Of a file that is sent to somebody.
    transfer: Option<Arc<Transfer>>,
    /// Of what its writer has not published yet.
    loan: Option<Arc<Loan>>,
}

impl FileReader {
    /// Opens the version that `entry` is, in the transaction that found it.
    ///
    /// # Errors
    /// Busy when it is in very many pieces and memory is short; Unavailable.
    pub(in crate::vfs) async fn open(vfs: &Vfs, tx: &mut TenantTx, entry: Entry) -> Result<Self> {
        let (content, counted) = match entry.content {
            Some(id) => {
                let (stored, counted) = load(vfs.budget(), tx, id).await?;
                let reader = ContentReader::new(vfs, tx.tenant(), stored);
                (Some(reader), counted.map(Arc::new))
            }
            None => (None, None),
        };
        Ok(Self {
            tenant: tx.tenant(),
            entry: Arc::new(entry),
            content,
            _counted: counted,
            transfer: None,
            loan: None,
        })
    }

    /// Fetches a small file while its reader is told that it is open.
    pub(in crate::vfs) fn fetch_small(&self) {
        if let Some(content) = &self.content {
            content.fetch_small();
        }
    }

    /// Reads a content as the version that `entry` is.
    pub(in crate::vfs) fn of(tenant: TenantId, entry: Entry, content: ContentReader) -> Self {
        Self {
            tenant,
            entry: Arc::new(entry),
            content: Some(content),
            _counted: None,
            transfer: None,
            loan: None,
        }
    }

    /// The same, and what knowing its pieces takes.
    #[must_use]
    pub(in crate::vfs) fn counted(self, share: Option<Share>) -> Self {
        Self {
            _counted: share.map(Arc::new),
            ..self
        }
    }

    /// The same, of what its writer has not published yet and holds on to meanwhile.
    #[must_use]
    pub(in crate::vfs) fn lent(self, loan: Loan) -> Self {
        Self {
            loan: Some(Arc::new(loan)),
            ..self
        }
    }

    /// The same, and what is read of it is counted as sent to `principal`.
    #[must_use]
    pub(in crate::vfs) fn sent_to(self, principal: &Principal) -> Self {
        let transfer = Arc::new(Transfer::new(principal, Direction::Out));
        Self {
            transfer: Some(transfer),
            ..self
        }
    }

    /// What a copy of it starts from.
    pub fn source(&self) -> Source {
        match &self.content {
            Some(content) => Source {
                tenant: self.tenant,
                content: content.content(),
                loan: self.loan.as_deref().cloned(),
            },
            None => Source::empty(self.tenant),
        }
    }

    /// The version that is read.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// SHA-256 of the whole, if it is known already.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        match &self.content {
            Some(content) => content.shared.sha256,
            None => Some(Sha256::digest(b"").into()),
        }
    }

    /// How many bytes of holes lie in `from..to`.
    pub fn holes(&self, from: u64, to: u64) -> u64 {
        let content = self.content.as_ref();
        content.map_or(0, |content| content.holes(from, to))
    }

    /// As [`ContentReader::read_at`].
    ///
    /// # Errors
    /// Corrupt when stored bytes fail verification; Unavailable when the store does not answer.
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes> {
        let read = match &self.content {
            Some(content) => content.read_at(offset, length).await,
            None => Ok(Bytes::new()),
        };
        if let Some(transfer) = &self.transfer {
            match &read {
                Ok(bytes) => {
                    transfer.moved(bytes.len());
                    if offset.saturating_add(bytes.len() as u64) >= self.entry.size {
                        transfer.end(Ending::Complete);
                    }
                }
                Err(_) => transfer.failed(),
            }
        }
        read
    }
}

/// Loads a content, with what knowing very many pieces of it takes.
///
/// # Errors
/// Busy when it is in very many pieces and memory is short; NotFound; Unavailable.
pub(in crate::vfs) async fn load(
    budget: &Budget,
    tx: &mut TenantTx,
    id: ContentId,
) -> Result<(StoredContent, Option<Share>)> {
    if let Some(content) = contents::load_within(tx, id, FEW_PIECES).await? {
        return Ok((content, None));
    }
    let pieces = contents::pieces(tx, id).await?;
    let bytes = pieces.saturating_mul(PIECE_BYTES);
    let share = budget.try_take_spare(bytes).ok_or_else(|| {
        let what = match bytes > budget.total() / 4 {
            true => "tell the operator, who can raise memory.budget",
            false => "try again in a moment",
        };
        let context =
            format!("the server is short of memory for a file in {pieces} pieces; {what}");
        Error::new(ErrorKind::Busy, context)
    })?;
    Ok((contents::load(tx, id).await?, Some(share)))
}
