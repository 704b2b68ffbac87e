//! Writing a file: bytes in any order go to blobs as they come, and become a version at commit.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::db::blobs::BlobInfo;
use crate::db::contents::StoredContent;
use crate::db::entries;
use crate::domain::content::{Extent, ExtentMap};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{ContentId, NodeId};
use crate::domain::node::{AttributeUpdate, Entry};
use crate::domain::principal::Principal;
use crate::net::budget::Share;
use crate::vfs::claim::{Claim, Size, Written};
use crate::vfs::early::Early;
use crate::vfs::options::WriteOptions;
use crate::vfs::publish::{Edit, Publish, Target};
use crate::vfs::read::ContentReader;
use crate::vfs::service::Vfs;
use crate::vfs::sink::BlobSink;
use crate::vfs::source::Source;
use crate::vfs::upload::Remains;

/// Longest file, in bytes (what SQL and most clients can count).
const MAX_SIZE: u64 = i64::MAX as u64;
/// A file up to this long is charged when it is published and makes no claim before.
const SMALL: u64 = 256 << 10;
/// In how many pieces a file may be written out of order before it is closed: each is kept in
/// memory until then, and becomes a row.
const MAX_EDITS: usize = 100_000;

/// A file open for writing. What it wrote is published by [`FileWriter::commit`] or
/// [`FileWriter::sync`], and by nothing else: dropped, it leaves the file as it was.
pub struct FileWriter {
    vfs: Vfs,
    principal: Principal,
    append: bool,
    /// How the file should show itself now.
    entry: Entry,
    publish: Publish,
    /// The content as this handle sees it.
    view: ExtentMap,
    /// All blobs that the view may name.
    blobs: BTreeMap<crate::domain::id::BlobId, BlobInfo>,
    sink: Option<BlobSink>,
    /// The hash between two blobs; within one the sink has it.
    hash: Option<Sha256>,
    early: Early,
    /// Blobs of other writers that were copied from before these had published them.
    borrowed: Vec<BlobInfo>,
    /// SHA-256 of all that there is, when it was copied with it.
    known_sha256: Option<[u8; 32]>,
    claim: Claim,
    reader: Option<ContentReader>,
    dirty: bool,
    over: bool,
    _share: Share,
}

/// What a writer starts from.
pub(in crate::vfs) struct Start {
    pub entry: Entry,
    pub target: Target,
    pub base: Option<StoredContent>,
    pub share: Share,
}

impl FileWriter {
    pub(in crate::vfs) fn new(
        vfs: Vfs,
        principal: Principal,
        options: WriteOptions,
        start: Start,
    ) -> Self {
        let now = vfs.database().clock().now();
        let from_nothing = options.truncate || start.target.node.is_none();
        let (view, blobs) = match start.base {
            Some(base) => (base.map, base.blobs),
            None => (ExtentMap::default(), Vec::new()),
        };
        let update = match start.target.node {
            None => options.attributes,
            Some(_) => AttributeUpdate::default(),
        };
        let publish = Publish {
            principal: principal.clone(),
            new_node: NodeId::mint(now),
            content: ContentId::mint(now),
            from_nothing,
            edits: Vec::new(),
            stored: Vec::new(),
            sha256: None,
            hashed_over: None,
            update,
            upload: None,
            published: Arc::default(),
            target: start.target,
        };
        Self {
            claim: Claim::new(vfs.clone(), principal.clone()),
            vfs,
            principal,
            append: options.append,
            entry: start.entry,
            publish,
            view,
            blobs: blobs.into_iter().map(|info| (info.id, info)).collect(),
            sink: None,
            hash: from_nothing.then(Sha256::new),
            early: Early::default(),
            borrowed: Vec::new(),
            known_sha256: None,
            reader: None,
            dirty: from_nothing,
            over: false,
            _share: start.share,
        }
    }

    /// Writes bytes at an offset, or at the end of a file opened for appending. What lies between
    /// the end and the offset reads as zeros.
    ///
    /// # Errors
    /// Quota, StorageFull, Unavailable; after an error nothing of the file is published.
    pub async fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<()> {
        let offset = if self.append { self.size() } else { offset };
        let end = offset.checked_add(bytes.len() as u64);
        let end = end.filter(|end| *end <= MAX_SIZE).ok_or_else(too_long)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let next = self.view.size();
        let bytes = match self.publish.from_nothing {
            true => match self.early.hold(next, offset, bytes) {
                None => return Ok(()),
                Some(bytes) => bytes,
            },
            false => bytes,
        };
        if offset != next || self.early.meets(offset, end) {
            self.flush_early().await?;
        }
        self.put(offset, &bytes).await?;
        while let Some((offset, bytes)) = self.early.take_due(self.view.size()) {
            self.put(offset, &bytes).await?;
        }
        Ok(())
    }

    /// Up to `length` bytes at `offset`, with what this handle wrote.
    ///
    /// # Errors
    /// As reading and writing.
    pub async fn read_at(&mut self, offset: u64, length: usize) -> Result<Bytes> {
        self.require_going_on()?;
        self.flush_early().await?;
        self.finish_blob().await?;
        let reader = match &self.reader {
            Some(reader) => reader,
            None => self.reader.insert(ContentReader::new(
                &self.vfs,
                self.principal.tenant,
                self.content(),
            )),
        };
        reader.read_at(offset, length).await
    }

    /// Lays up to `length` bytes of `source`, from `from` on, at `to` (at the end of a file opened
    /// for appending); says how many there were. Extents are shared, no bytes move: the cost is that
    /// of the number of extents.
    ///
    /// # Errors
    /// As writing; and publishing fails with Stale when what was copied is purged before.
    pub async fn copy_from(
        &mut self,
        source: &Source,
        from: u64,
        length: u64,
        to: u64,
    ) -> Result<u64> {
        self.require_going_on()?;
        if source.tenant != self.principal.tenant {
            return Err(Error::internal("a copy from another tenant"));
        }
        let copied = self.try_copy(source, from, length, to).await;
        if copied.is_err() {
            self.leave(Remains::Discard);
        }
        copied
    }

    /// What a copy of the file as this handle sees it starts from.
    ///
    /// # Errors
    /// As writing.
    pub async fn source(&mut self) -> Result<Source> {
        self.require_going_on()?;
        self.flush_early().await?;
        self.finish_blob().await?;
        Ok(Source {
            tenant: self.principal.tenant,
            content: self.content(),
            is_fresh: true,
        })
    }

    /// The file as this handle sees it.
    pub fn entry(&self) -> Entry {
        Entry {
            size: self.size(),
            attributes: self.entry.attributes.with(self.publish.update),
            ..self.entry.clone()
        }
    }

    /// Sets attributes when the file is published; later ones count.
    ///
    /// # Errors
    /// None today; others may be added.
    pub async fn set_attributes(&mut self, update: AttributeUpdate) -> Result<()> {
        self.publish.update = self.publish.update.then(update);
        self.dirty |= !update.is_empty();
        Ok(())
    }

    /// Sets the length; what is added reads as zeros.
    ///
    /// # Errors
    /// Invalid when it is too long; as writing.
    pub async fn resize(&mut self, size: u64) -> Result<()> {
        if size > MAX_SIZE {
            return Err(too_long());
        }
        self.require_going_on()?;
        self.flush_early().await?;
        if size == self.view.size() {
            return Ok(());
        }
        self.reserve(size).await?;
        self.stop_hashing();
        self.view.resize(size);
        self.changed();
        let pushed = self.push(Edit::Resize(size));
        if pushed.is_err() {
            self.leave(Remains::Discard);
        }
        pushed
    }

    /// Stores and publishes what there is, and goes on (fsync@openssh.com).
    ///
    /// # Errors
    /// As [`FileWriter::commit`].
    pub async fn sync(&mut self) -> Result<()> {
        self.store().await?;
        let published = self.publish.published.lock();
        let published = *published.unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = published {
            self.publish.target.node = Some(node);
            let mut tx = self.vfs.database().read(self.principal.tenant).await?;
            if let Some(entry) = entries::live(&mut tx, node).await? {
                self.entry = entry;
            }
        }
        let now = self.vfs.database().clock().now();
        self.publish.hashed_over = Some(self.publish.content);
        self.publish.content = ContentId::mint(now);
        self.publish.from_nothing = false;
        self.publish.edits.clear();
        self.publish.stored.clear();
        self.borrowed.clear();
        self.publish.update = AttributeUpdate::default();
        self.publish.upload = None;
        self.claim = Claim::new(self.vfs.clone(), self.principal.clone());
        self.dirty = false;
        Ok(())
    }

    /// Stores and publishes what was written. When this returns `Ok`, the blob store has confirmed
    /// the bytes and the database has committed the change.
    ///
    /// # Errors
    /// Quota, Denied, NotFound (the folder is gone), AlreadyExists (of a file that was to be new),
    /// StorageFull, Unavailable: the file is as it was before.
    pub async fn commit(mut self) -> Result<Entry> {
        self.store().await?;
        self.over = true;
        Ok(self.entry())
    }

    /// Gives up, because the connection broke: what is checkpointed is kept for a while.
    pub async fn abandon(self) {
        drop(self);
    }

    async fn store(&mut self) -> Result<()> {
        let stored = Box::pin(self.try_store()).await;
        if let Err(error) = &stored {
            if error.kind() == ErrorKind::Stale {
                self.vfs.sealers().discard(self.principal.tenant);
            }
            self.leave(Remains::Discard);
        }
        stored
    }

    async fn try_store(&mut self) -> Result<()> {
        self.require_going_on()?;
        self.flush_early().await?;
        if !self.dirty {
            return Ok(());
        }
        self.finish_blob().await?;
        let hash = self.hash.as_ref();
        let hashed = hash.map(|hash| hash.clone().finalize().into());
        self.publish.sha256 = self.known_sha256.or(hashed);
        self.publish.upload = self.claim.row();
        let mut publish = self.publish.clone();
        publish.stored.extend(&self.borrowed);
        let committed = self
            .vfs
            .committer()
            .run(self.principal.tenant, &self.principal.actor(), publish)
            .await?;
        self.entry.born = committed.seq;
        Ok(())
    }

    /// What there is, after the blob in the making is finished.
    fn content(&self) -> StoredContent {
        StoredContent {
            map: self.view.clone(),
            blobs: self.blobs.values().copied().collect(),
            sha256: self.known_sha256,
        }
    }

    async fn try_copy(&mut self, source: &Source, from: u64, length: u64, to: u64) -> Result<u64> {
        self.flush_early().await?;
        let end = from.saturating_add(length).min(source.size());
        let length = end.saturating_sub(from);
        if length == 0 {
            return Ok(0);
        }
        let to = if self.append { self.size() } else { to };
        let after = to.checked_add(length).filter(|end| *end <= MAX_SIZE);
        let after = after.ok_or_else(too_long)?;
        self.reserve(self.view.size().max(after)).await?;
        let all = to == 0 && self.view.size() == 0 && length == source.size();
        self.stop_hashing();
        for (run, blob) in source.slice(from, end, to) {
            if let Some(info) = blob {
                self.blobs.insert(info.id, info);
                if source.is_fresh {
                    self.borrowed.push(info);
                }
            }
            self.lay(run)?;
        }
        if all && self.publish.from_nothing {
            self.known_sha256 = source.content.sha256;
        }
        Ok(length)
    }

    fn require_going_on(&self) -> Result<()> {
        match self.over {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::Stale,
                "an earlier error ended this upload; open the file again",
            )),
        }
    }

    async fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let written = self.try_put(offset, bytes).await;
        if written.is_err() {
            self.leave(Remains::Discard);
        }
        written
    }

    async fn try_put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.require_going_on()?;
        self.reserve(self.view.size().max(offset + bytes.len() as u64))
            .await?;
        if offset != self.view.size() {
            self.stop_hashing();
        }
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            taken += self.append_run(offset + taken as u64, rest).await?;
        }
        Ok(())
    }

    /// Writes as much as the blob in the making takes; says how much.
    async fn append_run(&mut self, offset: u64, bytes: &[u8]) -> Result<usize> {
        let sink = match &mut self.sink {
            Some(sink) => sink,
            none => {
                let hash = self.hash.take();
                let sink = Box::pin(BlobSink::open(&self.vfs, self.principal.tenant, hash)).await?;
                none.insert(sink)
            }
        };
        let (blob_start, taken) = sink.append(bytes).await?;
        let run = Extent {
            start: offset,
            length: taken as u64,
            blob: Some(sink.id()),
            blob_start,
        };
        if taken > 0 {
            self.lay(run)?;
        }
        if taken < bytes.len() {
            Box::pin(self.finish_blob()).await?;
        }
        Ok(taken)
    }

    fn lay(&mut self, run: Extent) -> Result<()> {
        self.view.lay(run);
        self.changed();
        self.push(match self.append {
            true => Edit::Append(run),
            false => Edit::Lay(run),
        })
    }

    /// Notes an edit, joined with the last one where that is the same in effect.
    fn push(&mut self, edit: Edit) -> Result<()> {
        let edits = &mut self.publish.edits;
        let full = edits.len() >= MAX_EDITS;
        match (edits.last_mut(), edit) {
            (Some(Edit::Append(last)), Edit::Append(run))
            | (Some(Edit::Lay(last)), Edit::Lay(run))
                if last.blob == run.blob
                    && last.end() == run.start
                    && last.blob_start + last.length == run.blob_start =>
            {
                last.length += run.length;
            }
            (Some(Edit::Resize(last)), Edit::Resize(size)) if size > *last => *last = size,
            _ if full => {
                return Err(Error::invalid(
                    "the file is written in too many pieces; write it from the start to the end",
                ));
            }
            _ => edits.push(edit),
        }
        Ok(())
    }

    /// Completes the blob in the making, if there is one.
    async fn finish_blob(&mut self) -> Result<()> {
        if let Some(sink) = self.sink.take() {
            let given_up = sink.info(0, false);
            let finished = sink.finish().await;
            let (info, hash) = match finished {
                Ok(done) => done,
                Err(error) => {
                    // So that it is given up with the others.
                    self.publish.stored.push(given_up);
                    return Err(error);
                }
            };
            self.hash = hash;
            self.blobs.insert(info.id, info);
            self.publish.stored.push(info);
        }
        Ok(())
    }

    async fn flush_early(&mut self) -> Result<()> {
        for (offset, bytes) in self.early.take() {
            self.put(offset, &bytes).await?;
        }
        Ok(())
    }

    fn stop_hashing(&mut self) {
        self.hash = None;
        if let Some(sink) = &mut self.sink {
            sink.stop_hashing();
        }
    }

    fn changed(&mut self) {
        self.dirty = true;
        self.reader = None;
        self.known_sha256 = None;
    }

    fn size(&self) -> u64 {
        self.view.size().max(self.early.end())
    }

    /// Asks the quota for a file of `size` bytes before more than one buffer of it is stored; a
    /// smaller one is charged when it is published.
    async fn reserve(&mut self, size: u64) -> Result<()> {
        let size = self.claimed(size);
        if size.bytes <= SMALL || self.claim.covers(size) {
            return Ok(());
        }
        // What happens seldom is kept out of the future, which every open file has one of.
        Box::pin(self.claim_more(size)).await
    }

    async fn claim_more(&mut self, size: Size) -> Result<()> {
        if self.claim.row().is_none() {
            let (target, afresh) = (&self.publish.target, self.publish.from_nothing);
            return self.claim.begin(target, afresh, size).await;
        }
        let durable = match &mut self.sink {
            Some(sink) => Some(sink.checkpoint().await?),
            None => None,
        };
        let written = Written {
            view: &self.view,
            stored: &self.publish.stored,
            from_nothing: self.publish.from_nothing,
        };
        self.claim.advance(written.progress(durable), size).await
    }

    fn claimed(&self, bytes: u64) -> Size {
        let new = self.publish.target.node.is_none();
        // The bytes of the version that is replaced are free again at publish.
        let credit = match self.entry.owner == Some(self.principal.account) && !new {
            true => self.entry.size,
            false => 0,
        };
        Size { bytes, credit, new }
    }

    /// Ends the upload without publishing it, in the background; the file stays as it was.
    fn leave(&mut self, remains: Remains) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let sink = self.sink.take();
        let stored = std::mem::take(&mut self.publish.stored);
        let mut blobs: Vec<_> = stored.iter().map(|info| info.id).collect();
        blobs.extend(sink.as_ref().map(BlobSink::id));
        let size = self.claimed(self.view.size());
        let view = std::mem::take(&mut self.view);
        let from_nothing = self.publish.from_nothing;
        let nothing = Claim::new(self.vfs.clone(), self.principal.clone());
        let mut claim = std::mem::replace(&mut self.claim, nothing);
        self.vfs.tasks().spawn(async move {
            if remains == Remains::Keep && claim.row().is_some() {
                let written = Written {
                    view: &view,
                    stored: &stored,
                    from_nothing,
                };
                let kept = claim.keep_all(sink, written, size).await;
                if let Err(error) = kept {
                    tracing::debug!(error = ?error, "what an upload had on its way is not kept");
                }
            }
            claim.leave(remains, blobs).await;
        });
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        self.leave(Remains::Keep);
    }
}

fn too_long() -> Error {
    Error::invalid(format!("a file must not be longer than {MAX_SIZE} bytes"))
}
