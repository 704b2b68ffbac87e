//! Writing a file: bytes in any order go to blobs as they come, and become a version at commit.

use bytes::Bytes;
use tracing::Instrument as _;

use crate::db::entries;
use crate::db::sql::Dialect;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{ContentId, NodeId};
use crate::domain::node::{AttributeUpdate, Entry};
use crate::domain::principal::Principal;
use crate::domain::traffic::{Direction, Ending, Transfer};
use crate::net::budget::Share;
use crate::vfs::admission::Admission;
use crate::vfs::claim::Claim;
use crate::vfs::draft::{Draft, Place};
use crate::vfs::early::Early;
use crate::vfs::gather;
use crate::vfs::leftover::Then;
use crate::vfs::options::{Create, WriteOptions};
use crate::vfs::publish::Publish;
use crate::vfs::published::Report;
use crate::vfs::resume::Discard;
use crate::vfs::senders::{Amount, Sending};
use crate::vfs::service::Vfs;
use crate::vfs::source::Source;
use crate::vfs::start::{MAX_SIZE, Start, not_set, too_long};
use crate::vfs::target::{Over, Target};
use crate::vfs::upload::Remains;

/// What became of the name of a file that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was deleted or given to another in the database.
    Deleted,
    /// It is promised to another that is being written, too.
    Promised,
}

/// A file open for writing. What it wrote is published by [`FileWriter::commit`] or
/// [`FileWriter::sync`], and by nothing else: dropped, it leaves the file as it was, and what is
/// stored is kept for whoever goes on with it.
pub struct FileWriter {
    pub(in crate::vfs) vfs: Vfs,
    pub(in crate::vfs) principal: Principal,
    append: bool,
    pub(in crate::vfs) resumable: bool,
    /// How the file should show itself now.
    pub(in crate::vfs) entry: Entry,
    pub(in crate::vfs) publish: Publish,
    pub(in crate::vfs) draft: Draft,
    pub(in crate::vfs) early: Early,
    pub(in crate::vfs) claim: Claim,
    /// To be done before anything of this is stored.
    discard: Option<Box<Discard>>,
    dirty: bool,
    /// Whether this goes on with an upload that broke off, and nothing came yet.
    pub(in crate::vfs) is_untouched: bool,
    /// Whether the file was deleted by whoever writes it: it goes when it is closed.
    pub(in crate::vfs) is_unlinked: bool,
    pub(in crate::vfs) over: bool,
    pub(in crate::vfs) transfer: Transfer,
    /// As long as it may be gone on with only when it has broken off.
    pub(in crate::vfs) sending: Option<Sending>,
    /// What knowing very many pieces of what is there takes.
    _counted: Option<Share>,
    _admission: Admission,
}

impl FileWriter {
    pub(in crate::vfs) fn new(
        vfs: Vfs,
        principal: Principal,
        options: WriteOptions,
        start: Start,
    ) -> Self {
        let now = vfs.database().clock().now();
        let is_new = start.target.node.is_none();
        let resumed = start.resumed.as_ref();
        let over = match resumed {
            Some(own) if own.upload.whole => Over::Nothing,
            Some(_) => Over::Current,
            None if options.truncate || options.create == Create::New => Over::Nothing,
            None if is_new => Over::Vacant,
            None => Over::Current,
        };
        // What was not there is all new, as far as this knows.
        let whole = over != Over::Current;
        let base = start.base.filter(|_| !whole);
        let mut draft = Draft::new(vfs.clone(), principal.tenant, whole, base);
        let mut claim = Claim::new(vfs.clone(), principal.clone()).keeping(options.resumable);
        let is_untouched = start.resumed.is_some();
        if let Some(resumed) = start.resumed {
            claim.go_on(&resumed.upload);
            let edits = (resumed.edits, resumed.known);
            draft.replay(edits, &resumed.blobs, resumed.upload.hash_state);
        }
        let early = Early::new(vfs.budget().clone());
        let given = Some(options.attributes)
            .filter(|_| is_new)
            .unwrap_or_default();
        let publish = Publish {
            // What begins from nothing is changed by that.
            written_at: whole.then_some(now),
            ..Publish::new(&principal, start.target, over, given, now)
        };
        let is_sent = over == Over::Nothing && options.resumable;
        let place = publish.target.place();
        let sending = is_sent.then(|| vfs.senders().begin(&principal, place, Amount::Whole));
        let shown = Entry {
            attributes: start.entry.attributes.with(given),
            ..start.entry
        };
        Self {
            vfs,
            transfer: Transfer::new(&principal, Direction::In),
            principal,
            append: options.append,
            resumable: options.resumable,
            entry: shown,
            publish,
            draft,
            early,
            claim,
            discard: start.discard,
            dirty: whole,
            is_untouched,
            is_unlinked: false,
            over: false,
            sending,
            _counted: start.counted,
            _admission: start.admission,
        }
    }

    /// Discards what broke off under the name before, unless this goes on with it. The first write does
    /// it too.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub(in crate::vfs) async fn begin(&mut self) -> Result<()> {
        if let Some(discard) = self.discard.take() {
            let (tenant, actor) = (self.principal.tenant, self.principal.actor());
            let discarded = self.vfs.committer().run(tenant, &actor, *discard);
            Box::pin(discarded).await?;
        }
        Ok(())
    }

    /// Writes bytes at an offset, or at the end of a file opened for appending. What lies between
    /// the end and the offset reads as zeros.
    ///
    /// # Errors
    /// Quota, StorageFull, Unavailable; after an error nothing of the file is published.
    pub async fn write_at(&mut self, offset: u64, bytes: Bytes) -> Result<()> {
        if self.append {
            return self.append(bytes).await;
        }
        let end = offset.checked_add(bytes.len() as u64);
        let end = end.filter(|end| *end <= MAX_SIZE).ok_or_else(too_long)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.written();
        let next = self.draft.size();
        let Some(bytes) = self.early.hold(next, offset, bytes) else {
            return Ok(());
        };
        if offset != next || self.early.meets(offset, end) {
            self.flush_early().await?;
        }
        self.put(Place::At(offset), &bytes).await?;
        while let Some((offset, held)) = self.early.take_due(self.draft.size()) {
            self.put(Place::At(offset), &held.bytes).await?;
        }
        Ok(())
    }

    /// Writes bytes at the end, which is where it is when they are published.
    ///
    /// # Errors
    /// As [`FileWriter::write_at`].
    pub async fn append(&mut self, bytes: Bytes) -> Result<()> {
        self.flush_early().await?;
        let end = self.draft.size().checked_add(bytes.len() as u64);
        end.filter(|end| *end <= MAX_SIZE).ok_or_else(too_long)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.written();
        self.put(Place::End, &bytes).await
    }

    /// Lays up to `length` bytes of `source`, from `from` on, at `to`; none is the end, and so is all in a
    /// file opened for appending. Says how many there were. Extents are shared: the cost is their number.
    ///
    /// # Errors
    /// As writing; and publishing fails with Stale when what was copied is purged before.
    pub async fn copy_from(
        &mut self,
        source: &Source,
        from: u64,
        length: u64,
        to: Option<u64>,
    ) -> Result<u64> {
        self.require_going_on()?;
        if source.tenant != self.principal.tenant {
            return Err(Error::internal("a copy from another tenant"));
        }
        self.written();
        let copied = self.try_copy(source, from, length, to).await;
        self.checked(copied).await
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
        if size == 0 && self.publish.over == Over::Vacant {
            // Nothing that was there before this stays.
            self.publish.over = Over::Nothing;
        }
        self.flush_early().await?;
        if size == self.draft.size() {
            return Ok(());
        }
        self.written();
        self.reserve(size).await?;
        let resized = self.draft.resize(size);
        self.checked(resized).await?;
        self.changed();
        Ok(())
    }

    /// Stores and publishes what there is, and goes on (fsync@openssh.com).
    ///
    /// # Errors
    /// As [`FileWriter::commit`].
    pub async fn sync(&mut self) -> Result<()> {
        self.require_going_on()?;
        if self.is_untouched || self.is_unlinked {
            return Ok(());
        }
        self.store(Then::GoesOn).await?;
        // Not what came of it the last time, if nothing did now.
        if let Some(published) = self.publish.report.take() {
            let node = published.node;
            self.publish.target.node = Some(node);
            if published.is_new {
                // Should it be deleted, what is published next is another file: nobody else who has this one
                // open may take that for it.
                self.publish.own_node = Some(node);
                self.publish.new_node = NodeId::mint(self.now());
            }
            self.entry = self.as_published(node).await;
            self.publish.hashed_over = Some(self.publish.content);
            self.publish.content = ContentId::mint(self.now());
            self.publish.over = Over::Current;
            self.draft
                .start_over(published.as_written, &published.spared);
        } else {
            self.entry.attributes = self.entry.attributes.with(self.publish.update);
        }
        self.publish.update = AttributeUpdate::default();
        self.publish.written_at = None;
        let claim = Claim::new(self.vfs.clone(), self.principal.clone());
        self.claim = claim.keeping(self.resumable);
        self.dirty = false;
        self.sending = None;
        Ok(())
    }

    /// Stores and publishes what was written. When this returns `Ok`, the blob store has confirmed
    /// the bytes and the database has committed the change. An upload that was gone on with and got
    /// nothing stays as it was, and attributes for it are refused (Stale); a file that was deleted meanwhile
    /// through the same session is gone.
    ///
    /// # Errors
    /// Quota, Denied, NotFound (the folder is gone), AlreadyExists (of a file that was to be new),
    /// StorageFull, Unavailable: the file is as it was before.
    pub async fn commit(self) -> Result<Entry> {
        // What a disk and SQLite do takes less time than going from thread to thread for each of it.
        let in_place = self.dirty
            && self.draft.is_small()
            && !gather::is_due(&self.draft)
            && self.vfs.database().dialect() == Dialect::Sqlite;
        let vfs = self.vfs.clone();
        let commit = Box::pin(self.commit_here());
        match in_place {
            true => vfs.committer().in_place().run(vfs.tasks(), commit).await,
            false => commit.await,
        }
    }

    async fn commit_here(self) -> Result<Entry> {
        let span = self.transfer.span();
        Box::pin(self.commit_traced()).instrument(span).await
    }

    async fn commit_traced(mut self) -> Result<Entry> {
        self.require_going_on()?;
        match (self.is_unlinked, self.is_untouched) {
            (true, _) => self.left(Remains::Discard).await,
            (false, true) => {
                self.left(Remains::Keep).await;
                if !self.publish.update.is_empty() {
                    return Err(not_set());
                }
            }
            (false, false) => self.store(Then::Ends).await?,
        }
        let entry = self.entry();
        if !std::mem::replace(&mut self.over, true) {
            let published = self.publish.report.read();
            let spared = published.map_or_else(|| self.draft.spared(), |done| done.spared);
            if !spared.is_empty() {
                self.give_up(spared);
            }
        }
        self.transfer.end(Ending::Complete);
        Ok(entry)
    }

    /// Gives up: what was stored goes, and the file is as it was.
    pub async fn discard(mut self) {
        self.left(Remains::Discard).await;
    }

    /// Gives up, because the connection broke: what can be stored is kept for a while, if it is resumable.
    pub async fn abandon(self) {
        drop(self);
    }

    /// The same, and waits until it is kept: whoever asks then finds it, and can go on with it.
    pub async fn keep(mut self) {
        self.left(Remains::Keep).await;
    }

    /// Lets the file go when it is closed, as unlink of POSIX does with an open file: its name is
    /// deleted already, and free for another upload. Says whether it goes: what was deleted under its
    /// name was another file if this one lives on elsewhere, and then what is written to it is published
    /// there.
    ///
    /// # Errors
    /// Unavailable when the database does not answer; the file does not go then.
    pub async fn unlink(&mut self, fate: Fate) -> Result<bool> {
        if let (Fate::Deleted, Some(node)) = (fate, self.publish.target.node) {
            let mut tx = self.vfs.database().read(self.principal.tenant).await?;
            if entries::live(&mut tx, node).await?.is_some() {
                return Ok(false);
            }
        }
        self.is_unlinked = true;
        self.sending = None;
        self.publish.target.parent = NodeId::NIL;
        let (target, content) = (&self.publish.target, self.entry.content);
        if let Err(error) = self.claim.rename(target, content).await {
            // The name is free when the file is closed, then.
            tracing::debug!(error = ?error, "a deleted file that is written keeps its name");
        }
        Ok(true)
    }

    /// Gives a file that was never published another place, where it will be published.
    pub(in crate::vfs) async fn retarget(
        &mut self,
        target: Target,
        over: Option<&Entry>,
    ) -> Result<()> {
        self.claim
            .rename(&target, over.and_then(|over| over.content))
            .await?;
        if over.is_some() && self.publish.update.mode.is_none() {
            // Its own, not that of what it replaces.
            self.publish.update.mode = Some(self.entry.attributes.mode);
        }
        self.entry.content = over.and_then(|over| over.content);
        self.entry.parent = target.parent;
        self.entry.name.clone_from(&target.name);
        let since = target.since.max(self.publish.target.since);
        self.publish.target = Target { since, ..target };
        if let Some(amount) = self.sending.as_ref().map(Sending::amount) {
            self.sends(amount);
        }
        if over.is_some() {
            self.publish.over = Over::Nothing;
        }
        Ok(())
    }

    /// What broke off counts as gone on with though nothing more came: a client whose last bytes got
    /// through, and whose end did not, says now that this is all. [`FileWriter::commit`] publishes it.
    pub fn go_on(&mut self) {
        if self.is_untouched {
            self.changed();
        }
    }

    /// Where it will be said what came of publishing it.
    pub fn report(&self) -> Report {
        self.publish.report.clone()
    }

    async fn store(&mut self, then: Then) -> Result<()> {
        let stored = Box::pin(self.try_store(then)).await;
        if let Err(error) = &stored
            && error.kind() == ErrorKind::Stale
        {
            self.vfs.sealers().discard(self.principal.tenant);
        }
        self.checked(stored).await
    }

    async fn try_store(&mut self, then: Then) -> Result<()> {
        self.flush_early().await?;
        if !self.dirty {
            return Ok(());
        }
        self.begin().await?;
        self.draft.finish_blob().await?;
        let (tenant, over) = (self.principal.tenant, self.publish.over);
        let most_pieces = gather::most_pieces(self.vfs.budget());
        let most = (over, most_pieces);
        let gathered = gather::before_publishing(&self.vfs, tenant, &mut self.draft, most);
        let gathered = Box::pin(gathered).await?;
        let publish = Publish {
            edits: self.draft.edits().to_vec(),
            gathered,
            most_pieces,
            stored: self.draft.linkable(),
            made: Some(self.draft.left_over(then)),
            sha256: self.draft.sha256(),
            upload: self.claim.row(),
            ..self.publish.clone()
        };
        let actor = self.principal.actor();
        let committed = self.vfs.committer().run(tenant, &actor, publish).await?;
        self.entry.born = committed.seq;
        if let Some(published) = self.publish.report.read() {
            self.publish.target.since = committed.seq;
            self.entry.node = published.node;
            let written_at = self.publish.written_at;
            self.entry.attributes.modified =
                written_at.map_or(committed.at, |at| at.min(committed.at));
        }
        Ok(())
    }

    async fn try_copy(
        &mut self,
        source: &Source,
        from: u64,
        length: u64,
        to: Option<u64>,
    ) -> Result<u64> {
        self.flush_early().await?;
        let end = from.saturating_add(length).min(source.size());
        let length = end.saturating_sub(from);
        if length == 0 {
            return Ok(0);
        }
        let (place, to) = match to.filter(|_| !self.append) {
            None => (Place::End, self.draft.size()),
            Some(to) => (Place::At(to), to),
        };
        let after = to.checked_add(length).filter(|end| *end <= MAX_SIZE);
        let after = after.ok_or_else(too_long)?;
        self.reserve(self.draft.size().max(after)).await?;
        self.draft.copy(source, from, end, place)?;
        self.changed();
        Ok(length)
    }

    async fn put(&mut self, place: Place, bytes: &Bytes) -> Result<()> {
        self.require_going_on()?;
        let written = self.try_put(place, bytes).await;
        self.checked(written).await
    }

    async fn try_put(&mut self, place: Place, bytes: &Bytes) -> Result<()> {
        let size = self.draft.size();
        let end = match place {
            Place::At(offset) => size.max(offset + bytes.len() as u64),
            Place::End => size + bytes.len() as u64,
        };
        self.reserve(end).await?;
        self.draft.write(place, bytes).await?;
        self.transfer.moved(bytes.len());
        self.changed();
        Ok(())
    }

    pub(in crate::vfs) async fn flush_early(&mut self) -> Result<()> {
        for (offset, held) in self.early.take() {
            self.put(Place::At(offset), &held.bytes).await?;
        }
        Ok(())
    }

    /// Something is written now: what its handle shows from now on is the time that the file will have, since
    /// clients (git on sshfs) look before they close it and compare afterwards.
    fn written(&mut self) {
        self.publish.written_at = Some(self.now());
    }

    fn changed(&mut self) {
        self.dirty = true;
        self.is_untouched = false;
        self.announce();
    }

    /// Says that more is about to come, before anything does: whoever sends files as a whole of which SIZE tells
    /// how much is there does not go on meanwhile. The first write does it too.
    pub fn announce(&mut self) {
        if self.sending.is_none() && self.resumable && !self.is_unlinked {
            self.sends(Amount::Part);
        }
    }

    fn sends(&mut self, amount: Amount) {
        let place = self.publish.target.place();
        self.sending = Some(self.vfs.senders().begin(&self.principal, place, amount));
    }

    pub(in crate::vfs) fn require_going_on(&self) -> Result<()> {
        match self.over {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::Stale,
                "an earlier error ended this upload; open the file again",
            )),
        }
    }

    pub(in crate::vfs) fn now(&self) -> Timestamp {
        self.vfs.database().clock().now()
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        drop(self.leave(Remains::Keep));
    }
}
