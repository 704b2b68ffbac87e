//! The content of a file in the making: blobs that are stored as bytes come, and where these belong.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use bytes::Bytes;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::db::blobs::BlobInfo;
use crate::db::contents::StoredContent;
use crate::db::uploads::{Progress, Unfinished};
use crate::db::usage::Amount;
use crate::domain::content::{Edit, Extent, ExtentMap};
use crate::domain::error::Result;
use crate::domain::id::{BlobId, TenantId};
use crate::vfs::finishing::{Finishing, taken_over};
use crate::vfs::leftover::{Made, Then};
use crate::vfs::piece_memory::{MAX_EDITS, PieceMemory, too_many};
use crate::vfs::prefix::{drop_last_byte, prefix};
use crate::vfs::read::ContentReader;
use crate::vfs::service::Vfs;
use crate::vfs::sink::{BlobSink, Durable};
use crate::vfs::source::{Loan, Source};

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To an offset.
    At(u64),
    /// To the end, also when another has moved that before they are published.
    End,
}

/// Whether the last byte counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastByte {
    /// It does.
    Told,
    /// It is to be sent again.
    Withheld,
}

/// What was written of a content so far. After an error it is of no use any more.
pub struct Draft {
    vfs: Vfs,
    tenant: TenantId,
    /// Whether it starts from nothing.
    whole: bool,
    /// How long the content was that it is laid over, and in how many runs that was when it began.
    base_size: u64,
    base_runs: usize,
    /// The content with all that was written.
    view: ExtentMap,
    /// All blobs that the view may name.
    blobs: BTreeMap<BlobId, BlobInfo>,
    /// What was written, in order.
    edits: Vec<Edit>,
    /// What knowing the edits, and what the view has more than the base, takes.
    known: PieceMemory,
    /// The blobs that were made for it and are complete.
    stored: Vec<BlobInfo>,
    /// The blobs that were made for it, and that a publish did not link though they are needed.
    spared: Vec<BlobInfo>,
    /// The blobs that an upload brought that is gone on with.
    resumed: Vec<BlobInfo>,
    /// How many of the edits such an upload had, and the state of its hash after them.
    before: Option<(usize, Option<Vec<u8>>)>,
    /// How many bytes were stored for it since it was published, with those that were spared then.
    written: u64,
    /// Blobs of other drafts that were copied from before these were published, with what keeps these from
    /// giving them up.
    borrowed: BTreeMap<BlobId, (BlobInfo, TaskTrackerToken)>,
    /// Who has borrowed from this one.
    lent: TaskTracker,
    sink: Option<BlobSink>,
    finishing: Option<Finishing>,
    /// The hash between two blobs; within one the sink has it.
    hash: Option<Sha256>,
    /// SHA-256 of all that there is, when it was copied with it.
    known_sha256: Option<[u8; 32]>,
    reader: Option<ContentReader>,
}

impl Draft {
    /// Starts from nothing, or is laid over `base`.
    pub fn new(vfs: Vfs, tenant: TenantId, whole: bool, base: Option<StoredContent>) -> Self {
        let (view, blobs) = match base {
            Some(base) => (base.map, base.blobs),
            None => (ExtentMap::default(), Vec::new()),
        };
        let base_runs = view.runs().len();
        Self {
            vfs,
            tenant,
            whole,
            base_size: view.size(),
            base_runs,
            view,
            blobs: blobs.into_iter().map(|info| (info.id, info)).collect(),
            edits: Vec::new(),
            known: PieceMemory::default(),
            stored: Vec::new(),
            spared: Vec::new(),
            resumed: Vec::new(),
            before: None,
            written: 0,
            borrowed: BTreeMap::new(),
            lent: TaskTracker::new(),
            sink: None,
            finishing: None,
            hash: whole.then(Sha256::new),
            known_sha256: None,
            reader: None,
        }
    }

    /// Does again what was done before an upload broke off.
    pub fn replay(
        &mut self,
        (edits, known): (Vec<Edit>, PieceMemory),
        blobs: &[BlobInfo],
        hash_state: Option<Vec<u8>>,
    ) {
        self.known = known;
        for edit in &edits {
            self.view.apply(edit);
        }
        self.before = Some((edits.len(), hash_state.clone()));
        self.edits = edits;
        self.blobs.extend(blobs.iter().map(|info| (info.id, *info)));
        self.resumed = blobs.to_vec();
        let state = hash_state.filter(|_| self.whole);
        let state = state.and_then(|state| {
            let state = SerializedState::<Sha256>::try_from(state.as_slice()).ok()?;
            Sha256::deserialize(&state).ok()
        });
        self.hash = state;
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.view.size()
    }

    /// Whether it starts from nothing.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether all that is still to be stored goes to a local store at one go.
    pub fn is_small(&self) -> bool {
        self.sink.as_ref().is_none_or(BlobSink::is_small)
    }

    /// What was written, in order.
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// The blobs that whoever publishes it may link before the database knows them as live.
    pub fn linkable(&self) -> Vec<BlobInfo> {
        let borrowed = self.borrowed.values().map(|(info, _)| info);
        let own = self.stored.iter().chain(&self.spared);
        own.chain(borrowed).copied().collect()
    }

    /// What somebody holds who copies from it before it is published.
    pub fn lend(&mut self) -> Loan {
        // From now on it answers for these too: the upload may end before whoever borrows is done.
        self.stored.append(&mut self.resumed);
        let borrowed = self.borrowed.iter();
        Loan {
            own: self.lent.token(),
            of_others: borrowed
                .map(|(id, (_, held))| (*id, held.clone()))
                .collect(),
        }
    }

    /// Whether somebody has borrowed from it.
    pub fn is_lent(&self) -> bool {
        !self.lent.is_empty()
    }

    /// Who has borrowed from it; what it borrowed itself is given back. When it is not published, its blobs
    /// must be there until these are done with.
    pub fn into_lent(self) -> TaskTracker {
        self.lent.close();
        self.lent
    }

    /// All blobs that were made for it.
    pub fn made(&self) -> Vec<BlobId> {
        let own = self.stored.iter().chain(&self.spared).map(|info| info.id);
        let finishing = self.finishing.as_ref().map(|it| it.given_up().id);
        own.chain(self.sink.as_ref().map(BlobSink::id).or(finishing))
            .collect()
    }

    /// The blobs that were made for it and that a publish spared.
    pub fn spared(&self) -> Vec<BlobId> {
        self.spared.iter().map(|info| info.id).collect()
    }

    /// What is to become of its blobs when it is published, and no blob is in the making.
    pub fn left_over(&self, then: Then) -> Made {
        let blobs = self.made();
        let shown: HashSet<_> = self.view.runs().filter_map(|run| run.blob).collect();
        let has_unshown = !blobs.iter().all(|id| shown.contains(id));
        let is_shown = |id: &BlobId| then == Then::GoesOn && shown.contains(id);
        let resumed = self.resumed.iter().map(|info| info.id);
        let needed = match self.is_lent() {
            true => blobs.iter().copied().chain(resumed).collect(),
            false => {
                let all = blobs.iter().copied().chain(resumed);
                all.filter(is_shown).collect()
            }
        };
        Made {
            instance: self.vfs.instance(),
            blobs,
            needed,
            has_unshown,
        }
    }

    /// How many bytes are stored for it and not published, those that were overwritten too.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// SHA-256 of all that there is, when it is known.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        let hash = self.hash.as_ref();
        self.known_sha256
            .or_else(|| hash.map(|hash| hash.clone().finalize().into()))
    }

    /// Writes bytes; what lies between the end and their place reads as zeros.
    ///
    /// # Errors
    /// StorageFull, Unavailable; Busy when there are too many pieces.
    pub async fn write(&mut self, place: Place, bytes: &Bytes) -> Result<()> {
        let offset = match place {
            Place::At(offset) => offset,
            Place::End => self.size(),
        };
        if offset != self.size() {
            self.stop_hashing();
        }
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = bytes.slice(taken..);
            let appended = self.sink().await?.append(&rest).await;
            let (start, more) = appended.map_err(taken_over)?;
            if more > 0 {
                self.known.stored(more as u64);
                let run = Extent {
                    start: offset + taken as u64,
                    length: more as u64,
                    blob: self.sink.as_ref().map(BlobSink::id),
                    blob_start: start,
                };
                self.lay(place, run)?;
            }
            taken += more;
            self.written += more as u64;
            if more < rest.len() {
                Box::pin(self.finish_blob()).await?;
            }
        }
        Ok(())
    }

    /// Lays `from..to` of another content; extents are shared.
    ///
    /// # Errors
    /// Busy when there are too many pieces.
    pub fn copy(&mut self, source: &Source, from: u64, to: u64, place: Place) -> Result<()> {
        let offset = match place {
            Place::At(offset) => offset,
            Place::End => self.size(),
        };
        let is_all = self.whole && self.size() == 0 && offset == 0;
        self.stop_hashing();
        for (run, blob) in source.slice(from, to, offset) {
            if let Some(info) = blob {
                self.blobs.insert(info.id, info);
                let held = source.loan.as_ref().map(|loan| loan.of(info.id));
                let is_own =
                    |held: &&TaskTrackerToken| TaskTracker::ptr_eq(held.task_tracker(), &self.lent);
                if let Some(held) = held.filter(|held| !is_own(held)) {
                    self.borrowed.insert(info.id, (info, held.clone()));
                }
            }
            self.lay(place, run)?;
        }
        if is_all && from == 0 && to == source.size() {
            self.known_sha256 = source.content.sha256;
        }
        Ok(())
    }

    /// Sets the length; what is added reads as zeros.
    ///
    /// # Errors
    /// Busy when there are too many pieces.
    pub fn resize(&mut self, size: u64) -> Result<()> {
        self.stop_hashing();
        self.view.resize(size);
        self.changed();
        self.push(Edit::Resize(size))
    }

    /// Completes the blob in the making, if there is one. May be given up half-way and called again.
    ///
    /// # Errors
    /// StorageFull, Unavailable.
    pub async fn finish_blob(&mut self) -> Result<()> {
        if let Some(sink) = self.sink.take() {
            self.finishing = Some(Finishing::of(sink));
        }
        let Some(finishing) = &mut self.finishing else {
            return Ok(());
        };
        let (finished, given_up) = (finishing.done().await, finishing.given_up());
        self.finishing = None;
        let info = finished.as_ref().map_or(given_up, |(info, _)| *info);
        // What failed is given up with the others.
        self.stored.push(info);
        self.hash = finished.map_err(taken_over)?.1;
        self.blobs.insert(info.id, info);
        Ok(())
    }

    /// All that there is, when no blob is in the making.
    pub fn content(&self) -> StoredContent {
        StoredContent {
            map: self.view.clone(),
            blobs: self.blobs.values().copied().collect(),
            sha256: self.known_sha256,
        }
    }

    /// Reads what there is, when no blob is in the making.
    pub fn reader(&mut self) -> &ContentReader {
        let content = match &self.reader {
            Some(_) => None,
            None => Some(self.content()),
        };
        let (vfs, tenant) = (&self.vfs, self.tenant);
        self.reader.get_or_insert_with(|| {
            let nothing = StoredContent {
                map: ExtentMap::default(),
                blobs: Vec::new(),
                sha256: None,
            };
            ContentReader::new(vfs, tenant, content.unwrap_or(nothing))
        })
    }

    /// Goes on over what was published: what this shows, or that with what others wrote. `spared` are blobs
    /// that the version does not name and that are needed, by this too.
    pub fn start_over(&mut self, as_written: bool, spared: &[BlobId]) {
        if !as_written {
            self.stop_hashing();
            self.known_sha256 = None;
        }
        self.whole = false;
        self.base_size = self.view.size();
        self.edits = Vec::new();
        let shown = self.view.runs().len().saturating_sub(self.base_runs);
        self.known.shrink_to(shown);
        self.before = None;
        let infos = spared.iter().filter_map(|id| self.blobs.get(id));
        self.spared = infos.copied().collect();
        self.stored.clear();
        self.resumed.clear();
        self.written = self.spared.iter().map(|info| info.size).sum();
        // What it shows and others wrote over has not been linked.
        let shown = self.view.runs().filter_map(|run| run.blob);
        let shown: HashSet<_> = shown.filter(|_| !as_written).collect();
        self.borrowed.retain(|id, _| shown.contains(id));
    }

    /// What is durable, after making it so where that is cheap.
    ///
    /// # Errors
    /// StorageFull, Unavailable.
    pub async fn checkpoint(&mut self) -> Result<Progress> {
        self.end_finishing().await?;
        let durable = match &mut self.sink {
            Some(sink) => Some(sink.checkpoint().await.map_err(taken_over)?),
            None => None,
        };
        Ok(self.progress(durable, |durable| {
            Unfinished::InTheMaking(durable.info.id, durable.checkpoint.state)
        }))
    }

    /// Makes durable what there is, as it breaks off: nobody writes to it any more.
    ///
    /// # Errors
    /// StorageFull, Unavailable; what was durable before still is.
    pub async fn halt(&mut self) -> Result<Progress> {
        self.end_finishing().await?;
        let durable = match self.sink.take() {
            Some(sink) => Some(sink.halt().await?),
            None => None,
        };
        Ok(self.progress(durable, |durable| Unfinished::Halted(durable.info.id)))
    }

    /// All that there is, when no blob is in the making; without the last byte where an upload that is
    /// complete and not published must not look so.
    pub fn settled(&self, last_byte: LastByte) -> Progress {
        self.progress_with(None, |last| Unfinished::Halted(last.info.id), last_byte)
    }

    /// What an upload that is gone on with had before, without what was written since; none for others.
    pub fn before(&self) -> Option<Progress> {
        let (count, hash_state) = self.before.clone()?;
        let edits: Vec<_> = self.edits.iter().take(count).copied().collect();
        Some(Progress {
            size: edits.iter().fold(self.base(), |size, e| e.size_after(size)),
            hash_state,
            edits,
            blobs: Vec::new(),
            made: self.made(),
            unfinished: None,
            reserved: Amount::default(),
        })
    }

    /// The runs of the content.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = &Extent> + DoubleEndedIterator {
        self.view.runs()
    }

    /// Takes over a blob that was made outside, to be published or given up with the others.
    pub fn adopt(&mut self, info: BlobInfo) {
        self.stored.retain(|own| own.id != info.id);
        self.stored.push(info);
    }

    /// Shows runs of such blobs, which are complete, in the place of what holds the same bytes; that is returned.
    pub fn show(&mut self, range: Range<u64>, runs: &[(BlobInfo, Extent)]) -> Vec<Extent> {
        let instead = self.view.slice(range.start, range.end);
        for (info, run) in runs {
            self.blobs.insert(info.id, *info);
            self.view.lay(*run);
        }
        self.reader = None;
        instead
    }

    /// What was written of a whole file counts as written in the runs in which it is.
    pub fn edit_as_shown(&mut self) {
        if self.whole {
            self.edits = self.view.runs().map(|run| Edit::Lay(*run)).collect();
        }
    }

    /// What another instance could go on from, with what is durable of the last blob: all up to the
    /// first gap, since clients take the length for what they need not send again; and never the
    /// last byte, so that they have something to send and bring the upload to its end.
    fn progress(
        &self,
        last: Option<Durable>,
        unfinished: impl FnOnce(Durable) -> Unfinished,
    ) -> Progress {
        self.progress_with(last, unfinished, LastByte::Withheld)
    }

    fn progress_with(
        &self,
        last: Option<Durable>,
        unfinished: impl FnOnce(Durable) -> Unfinished,
        last_byte: LastByte,
    ) -> Progress {
        let mut sizes: BTreeMap<_, _> = self.blobs.iter().map(|(id, b)| (*id, b.size)).collect();
        for id in self.borrowed.keys() {
            sizes.remove(id);
        }
        sizes.extend(last.as_ref().map(|last| (last.info.id, last.info.size)));
        let durable = |run: &Extent| {
            let size = run.blob.and_then(|id| sizes.get(&id).copied());
            let length = size.unwrap_or(0).saturating_sub(run.blob_start);
            run.length.min(length)
        };
        let (mut edits, is_all) = match self.whole {
            true => prefix(self.view.runs().map(|run| Edit::Lay(*run)), 0, durable),
            false => prefix(self.edits.iter().copied(), self.base_size, durable),
        };
        let mut hash_state = match &last {
            Some(last) => last.hash_state.clone(),
            None => self.hash.as_ref().map(|hash| hash.serialize().to_vec()),
        };
        let was_cut = matches!(self.edits.last(), Some(Edit::Resize(_)));
        if is_all && !was_cut && last_byte == LastByte::Withheld {
            hash_state = None;
            drop_last_byte(&mut edits);
        }
        let named: HashSet<_> = edits.iter().filter_map(|e| e.run()?.blob).collect();
        let mut blobs = self.stored.clone();
        blobs.extend(last.as_ref().map(|last| last.info));
        blobs.retain(|info| named.contains(&info.id));
        let last = last.filter(|last| named.contains(&last.info.id));
        Progress {
            size: edits.iter().fold(self.base(), |size, e| e.size_after(size)),
            hash_state: hash_state.filter(|_| self.whole),
            edits,
            blobs,
            made: self.made(),
            unfinished: last.map(unfinished),
            reserved: Amount::default(),
        }
    }

    fn base(&self) -> u64 {
        match self.whole {
            true => 0,
            false => self.base_size,
        }
    }

    /// Goes on with the completing of a blob that somebody gave up half-way.
    async fn end_finishing(&mut self) -> Result<()> {
        if self.finishing.is_some() {
            Box::pin(self.finish_blob()).await?;
        }
        Ok(())
    }

    async fn sink(&mut self) -> Result<&mut BlobSink> {
        self.end_finishing().await?;
        let sink = match self.sink.take() {
            Some(sink) => sink,
            None => {
                let hash = self.hash.take();
                Box::pin(BlobSink::open(&self.vfs, self.tenant, hash)).await?
            }
        };
        Ok(self.sink.insert(sink))
    }

    fn lay(&mut self, place: Place, run: Extent) -> Result<()> {
        self.view.lay(run);
        self.changed();
        self.push(match place {
            Place::At(_) => Edit::Lay(run),
            Place::End => Edit::Append(run),
        })
    }

    /// Notes an edit, joined with the last one where that is the same in effect.
    fn push(&mut self, edit: Edit) -> Result<()> {
        let shown = self.view.runs().len().saturating_sub(self.base_runs);
        let pieces = self.edits.len().max(shown);
        self.known.cover(self.vfs.budget(), pieces)?;
        let full = self.edits.len() >= MAX_EDITS;
        let is_own = self
            .before
            .as_ref()
            .is_none_or(|(count, _)| self.edits.len() > *count);
        match (self.edits.last_mut().filter(|_| is_own), edit) {
            (Some(Edit::Append(last)), Edit::Append(run))
            | (Some(Edit::Lay(last)), Edit::Lay(run))
                if last.blob == run.blob
                    && last.end() == run.start
                    && last.blob_start + last.length == run.blob_start =>
            {
                last.length += run.length;
            }
            // Not when it grows again: what was cut off must not come back.
            (Some(Edit::Resize(last)), Edit::Resize(size)) if size <= *last => *last = size,
            _ if full => return Err(too_many()),
            _ => self.edits.push(edit),
        }
        Ok(())
    }

    fn stop_hashing(&mut self) {
        self.hash = None;
        if let Some(sink) = &mut self.sink {
            sink.stop_hashing();
        }
        if let Some(finishing) = &mut self.finishing {
            finishing.stop_hashing();
        }
    }

    fn changed(&mut self) {
        self.reader = None;
        self.known_sha256 = None;
    }
}
