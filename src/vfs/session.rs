//! All that can be done to files, by one principal.

use std::ops::Range;
use std::sync::Arc;

use crate::db::audit::Happening;
use crate::db::operation::Operation;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{AttributeUpdate, Entry, Version};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::domain::sum::SumKind;
use crate::vfs::access::{follow, parent_of};
use crate::vfs::attributes::SetAttributes;
use crate::vfs::condition::{Condition, OnCondition};
use crate::vfs::copy_file::CopyFile;
use crate::vfs::held::{Held, Touch, Unlocked};
use crate::vfs::listing::Listing;
use crate::vfs::make_folder::MakeFolder;
use crate::vfs::options::{BrokenOff, Create, Length, WriteOptions};
use crate::vfs::original::{Goal, Original};
use crate::vfs::read::FileReader;
use crate::vfs::remove::{Expect, Remove};
use crate::vfs::rename::{Overwrite, Rename, place_for_new};
use crate::vfs::seen::{Telling, Told};
use crate::vfs::service::Vfs;
use crate::vfs::space::{self, Space};
use crate::vfs::sums;
use crate::vfs::write::FileWriter;

/// The only way to files: carries the principal, whose tenant and rights bound all it does. Cheap
/// to clone.
#[derive(Clone)]
pub struct Session {
    pub(in crate::vfs) vfs: Vfs,
    pub(in crate::vfs) principal: Principal,
    /// What must be so of what it changes.
    pub(in crate::vfs) conditions: Arc<[Condition]>,
    /// The locks that the client holds; none if it does not go by locks.
    pub(in crate::vfs) held: Option<Held>,
    /// What it makes of uploads that its account broke off.
    pub(in crate::vfs) broken_off: BrokenOff,
    /// Where it is told what its changes made, if that is asked for.
    pub(in crate::vfs) told: Option<Told>,
}

impl Vfs {
    /// The files as `principal` may use them.
    pub fn session(&self, principal: Principal) -> Session {
        Session {
            vfs: self.clone(),
            principal,
            conditions: Arc::default(),
            held: None,
            broken_off: BrokenOff::Shown,
            told: None,
        }
    }
}

impl Session {
    /// Who acts.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The same, but what it is asked to change, copy or move is refused (Changed) unless it is one of
    /// these versions, and of those that were asked for before; that is looked at in the very transaction
    /// that changes it.
    #[must_use]
    pub fn only_if(&self, versions: Vec<Version>) -> Self {
        self.provided(Condition {
            only: Some(versions),
            ..Condition::default()
        })
    }

    /// The same, unless a condition holds of it, and all that were made before.
    #[must_use]
    pub fn provided(&self, condition: Condition) -> Self {
        let conditions = self.conditions.iter().cloned().chain([condition]);
        Self {
            conditions: conditions.collect(),
            ..self.clone()
        }
    }

    /// The same, for which there is only what is published: what broke off is neither seen nor renamed nor deleted.
    #[must_use]
    pub fn as_published(&self) -> Self {
        Self {
            broken_off: BrokenOff::Hidden,
            ..self.clone()
        }
    }

    /// The same, and where it is told what each change made, as it was made: looking afterwards would find what
    /// others did since.
    pub fn telling(&self) -> (Self, Told) {
        let told = Told::default();
        let session = Self {
            told: Some(told.clone()),
            ..self.clone()
        };
        (session, told)
    }

    /// Whose files these are.
    pub(in crate::vfs) fn vfs(&self) -> &Vfs {
        &self.vfs
    }

    /// What is at a path: with the length of what this principal broke off, if it did.
    ///
    /// # Errors
    /// NotFound, NotFolder, Denied; Unavailable when the database does not answer.
    pub async fn stat(&self, path: &VfsPath) -> Result<Entry> {
        let mut tx = self.vfs.database().read(self.principal.tenant).await?;
        let (chain, access) = follow(&mut tx, &self.principal, path).await?;
        if let Some((_, shown)) = self.shown(&mut tx, path, (&chain, &access)).await?
            && access.rights(&chain).contains(Rights::LIST)
        {
            return Ok(shown);
        }
        let entry = access.see(&mut tx, path, &chain).await?;
        Ok(entry.clone())
    }

    /// What this principal may do with what is at a path.
    ///
    /// # Errors
    /// NotFound, NotFolder, Denied; Unavailable when the database does not answer.
    pub async fn rights(&self, path: &VfsPath) -> Result<Rights> {
        let mut tx = self.vfs.database().read(self.principal.tenant).await?;
        let (chain, access) = follow(&mut tx, &self.principal, path).await?;
        access.see(&mut tx, path, &chain).await?;
        Ok(access.rights(&chain))
    }

    /// What is in a folder.
    ///
    /// # Errors
    /// NotFound, NotFolder, Denied; Unavailable when the database does not answer.
    pub async fn list(&self, path: &VfsPath) -> Result<Listing> {
        let listing = Listing::open(&self.vfs, &self.principal, path, self.broken_off).await;
        self.noted(listing, "list", path)
    }

    /// Makes a folder in one that exists.
    ///
    /// # Errors
    /// AlreadyExists, NotFound, NotFolder, Denied, Quota, Unavailable.
    pub async fn make_folder(&self, path: &VfsPath, update: AttributeUpdate) -> Result<()> {
        let operation = MakeFolder {
            principal: self.principal.clone(),
            path: path.clone(),
            update,
        };
        let made = self.run_unlocked(&[(path, Touch::Node)], operation).await;
        self.noted(made, "make-folder", path).map(drop)
    }

    /// Deletes a file; its past stays.
    ///
    /// # Errors
    /// NotFound, IsFolder, Denied, Unavailable.
    pub async fn remove_file(&self, path: &VfsPath) -> Result<()> {
        self.remove(path, Expect::File).await
    }

    /// Deletes an empty folder.
    ///
    /// # Errors
    /// NotFound, NotFolder, NotEmpty, Denied, Unavailable.
    pub async fn remove_folder(&self, path: &VfsPath) -> Result<()> {
        self.remove(path, Expect::EmptyFolder).await
    }

    /// Deletes a file or folder with all that is below it, as one change.
    ///
    /// # Errors
    /// NotFound, Denied, Unavailable.
    pub async fn remove_tree(&self, path: &VfsPath) -> Result<()> {
        self.remove(path, Expect::Tree).await
    }

    /// Renames or moves a file or folder, as one change.
    ///
    /// # Errors
    /// NotFound, NotFolder, IsFolder, NotEmpty, AlreadyExists, Invalid (into itself), Denied,
    /// Unavailable.
    pub async fn rename(&self, from: &VfsPath, to: &VfsPath, overwrite: Overwrite) -> Result<()> {
        let operation = Rename {
            principal: self.principal.clone(),
            from: from.clone(),
            to: to.clone(),
            overwrite,
            broken_off: self.broken_off,
            now: self.now(),
        };
        let touched = [(from, Touch::Tree), (to, Touch::Tree)];
        let renamed = self.run_on(from, &touched, operation).await;
        self.noted(renamed, "rename", from).map(drop)
    }

    /// Gives a file that is being written, and was never published, another place, where it is
    /// published in the end: in place of what is there, if that is allowed.
    ///
    /// # Errors
    /// NotFound, NotFolder, IsFolder, AlreadyExists, Denied, Unavailable.
    pub async fn rename_new(
        &self,
        writer: &mut FileWriter,
        to: &VfsPath,
        overwrite: Overwrite,
    ) -> Result<()> {
        let mut tx = self.vfs.database().snapshot(self.principal.tenant).await?;
        let (chain, access) = follow(&mut tx, &self.principal, to).await?;
        let (chain, found) = parent_of(&mut tx, &access, to, chain).await?;
        drop(tx);
        let target = place_for_new(&access, &chain, found.as_ref(), to, overwrite)?;
        writer.retarget(target, found.as_ref()).await
    }

    /// Copies a file as it is published, as one change; no bytes move. A new file gets the mode of
    /// the old one, a file that is there keeps its own. What this principal broke off is not copied: half a file
    /// would be there for all.
    ///
    /// # Errors
    /// NotFound, NotFolder, IsFolder, AlreadyExists, Changed, Invalid (onto itself, or it lies in what it would
    /// replace), Denied, Quota, Locked, Unavailable.
    pub async fn copy_file(
        &self,
        from: &VfsPath,
        to: &VfsPath,
        overwrite: Overwrite,
    ) -> Result<()> {
        let operation = CopyFile {
            principal: self.principal.clone(),
            original: Original::At(from.clone()),
            goal: Goal {
                path: to.clone(),
                folder: None,
            },
            overwrite,
            new_node: NodeId::mint(self.now()),
        };
        let touched = [(to, Touch::Replaced)];
        let copied = self.run_on(from, &touched, operation).await;
        self.noted(copied, "copy", from).map(drop)
    }

    /// Sets mode and times.
    ///
    /// # Errors
    /// NotFound, Denied, Unavailable.
    pub async fn set_attributes(&self, path: &VfsPath, update: AttributeUpdate) -> Result<()> {
        let operation = SetAttributes {
            principal: self.principal.clone(),
            path: path.clone(),
            update,
        };
        let touched = [(path, Touch::Node)];
        let set = self.run_on(path, &touched, operation).await;
        self.noted(set, "set-attributes", path).map(drop)
    }

    /// Sets the length of a file, or of an upload that this principal broke off: that stays as
    /// unpublished as it is.
    ///
    /// # Errors
    /// As writing.
    pub async fn truncate(&self, path: &VfsPath, size: u64) -> Result<()> {
        let options = WriteOptions {
            create: Create::Never,
            truncate: size == 0,
            append: false,
            resumable: true,
            attributes: AttributeUpdate::default(),
        };
        let mut writer = self.open_write(path, options).await?;
        let broke_off = writer.is_untouched();
        writer.resize(size).await?;
        match broke_off {
            true => writer.keep().await,
            false => drop(writer.commit().await?),
        }
        Ok(())
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// NotFound, IsFolder, Denied, Unavailable.
    pub async fn open_read(&self, path: &VfsPath) -> Result<FileReader> {
        self.open_to_send(path, Length::Any).await
    }

    /// The same, but while what is kept of an upload that this principal broke off shows another length than is
    /// published, nothing is read: whoever was told that length takes as many bytes of the published version for all
    /// of it.
    ///
    /// # Errors
    /// As [`Session::open_read`]; Busy, saying what broke off.
    pub async fn open_shown(&self, path: &VfsPath) -> Result<FileReader> {
        self.open_to_send(path, Length::Shown).await
    }

    async fn open_to_send(&self, path: &VfsPath, length: Length) -> Result<FileReader> {
        let opened = self.try_open_read(path, length).await;
        let reader = self.noted(opened, "download", path)?;
        self.note(AuditKind::Download, path.to_string());
        reader.fetch_small();
        Ok(reader.sent_to(&self.principal))
    }

    /// Opens a file of which only checksums are wanted.
    ///
    /// # Errors
    /// As [`Session::open_read`].
    pub async fn open_sum(&self, path: &VfsPath) -> Result<FileReader> {
        let opened = self.try_open_read(path, Length::Any).await;
        let reader = self.noted(opened, "checksum", path)?;
        self.note(AuditKind::Checksum, path.to_string());
        Ok(reader)
    }

    /// The checksum of the whole file: the one that is kept, or else by reading it, and then it is kept.
    ///
    /// # Errors
    /// Invalid when it is mostly holes; as reading.
    pub async fn sum(&self, file: &FileReader, kind: SumKind) -> Result<Vec<u8>> {
        let sum = self.sum_within(file, kind, u64::MAX).await?;
        sum.ok_or_else(|| Error::internal("no file is that large"))
    }

    /// The same; none when it is not kept, and `most` bytes are not enough to compute it.
    ///
    /// # Errors
    /// Invalid when it is mostly holes; as reading.
    pub async fn sum_within(
        &self,
        file: &FileReader,
        kind: SumKind,
        most: u64,
    ) -> Result<Option<Vec<u8>>> {
        sums::whole(&self.vfs, &self.principal, file, kind, most).await
    }

    /// Checksums of the blocks of `block` bytes each in a part of a file, one after the other; the
    /// last block may be shorter. Never kept.
    ///
    /// # Errors
    /// Invalid when it is too much to read; as reading.
    pub async fn sums_of(
        &self,
        file: &FileReader,
        kind: SumKind,
        part: Range<u64>,
        block: u64,
    ) -> Result<Vec<u8>> {
        sums::blocks(&self.vfs, file, kind, part, block).await
    }

    /// Fails unless a file may be read that is at a path, or would be made there.
    ///
    /// # Errors
    /// Denied; Unavailable when the database does not answer.
    pub async fn check_read(&self, path: &VfsPath) -> Result<()> {
        let mut tx = self.vfs.database().read(self.principal.tenant).await?;
        let (chain, access) = follow(&mut tx, &self.principal, path).await?;
        match chain.len() >= path.names().len() {
            true => self.noted(access.require(&chain, Rights::READ), "download", path),
            // Opening says what is missing on the way.
            false => Ok(()),
        }
    }

    /// Opens a file for writing; others see nothing of it until it is committed.
    ///
    /// # Errors
    /// NotFound, AlreadyExists, IsFolder, Denied, Busy (no memory left), Unavailable.
    pub async fn open_write(&self, path: &VfsPath, options: WriteOptions) -> Result<FileWriter> {
        let writer = self.try_open_write(path, options).await;
        let mut writer = self.noted(writer, "store", path)?;
        writer.begin().await?;
        Ok(writer)
    }

    /// Quota and use.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn space(&self) -> Result<Space> {
        space::of(&self.vfs, &self.principal).await
    }

    async fn remove(&self, path: &VfsPath, expect: Expect) -> Result<()> {
        let operation = Remove {
            principal: self.principal.clone(),
            path: path.clone(),
            expect,
            broken_off: self.broken_off,
            now: self.now(),
        };
        let touched = [(path, Touch::Tree)];
        let removed = self.run_on(path, &touched, operation).await;
        self.noted(removed, "delete", path).map(drop)
    }

    pub(in crate::vfs) fn now(&self) -> Timestamp {
        self.vfs.database().clock().now()
    }

    /// Runs what is done to what is at a path, on the conditions that there are.
    pub(in crate::vfs) async fn run_on(
        &self,
        path: &VfsPath,
        touched: &[(&VfsPath, Touch)],
        operation: impl Operation,
    ) -> Result<Committed> {
        if self.conditions.is_empty() {
            return self.run_unlocked(touched, operation).await;
        }
        let operation = OnCondition {
            principal: self.principal.clone(),
            path: path.clone(),
            conditions: self.conditions.clone(),
            operation,
        };
        self.run_unlocked(touched, operation).await
    }

    /// Runs what changes what is at these paths, unless others hold locks there, if this goes by locks. What is
    /// made, if anything, is at the last of them.
    pub(in crate::vfs) async fn run_unlocked(
        &self,
        touched: &[(&VfsPath, Touch)],
        operation: impl Operation,
    ) -> Result<Committed> {
        let (Some(told), Some((made, _))) = (&self.told, touched.last()) else {
            return self.run_free(touched, operation).await;
        };
        let principal = self.principal.clone();
        let telling = Telling::new(principal, made, told.clone(), operation);
        self.run_free(touched, telling).await
    }

    async fn run_free(
        &self,
        touched: &[(&VfsPath, Touch)],
        operation: impl Operation,
    ) -> Result<Committed> {
        let Some(held) = &self.held else {
            return self.run(operation).await;
        };
        let principal = self.principal.clone();
        self.run(Unlocked::new(principal, held.clone(), touched, operation))
            .await
    }

    pub(in crate::vfs) async fn run(&self, operation: impl Operation) -> Result<Committed> {
        let committer = self.vfs.committer();
        committer
            .run(self.principal.tenant, &self.principal.actor(), operation)
            .await
    }

    /// Writes refusals down in the audit log.
    pub(in crate::vfs) fn noted<T>(
        &self,
        outcome: Result<T>,
        verb: &str,
        path: &VfsPath,
    ) -> Result<T> {
        if let Err(error) = &outcome
            && matches!(error.kind(), ErrorKind::Denied | ErrorKind::Quota)
        {
            self.note(AuditKind::Refused, format!("{verb} {path}: {error}"));
        }
        outcome
    }

    /// Writes down what changes nothing.
    pub(in crate::vfs) fn note(&self, kind: AuditKind, detail: String) {
        let actor = self.principal.actor();
        let detail = match &self.principal.link {
            Some(link) => format!("{detail} by {link}"),
            None => detail,
        };
        let happening = Happening::new(kind, detail);
        self.vfs
            .committer()
            .note(self.principal.tenant, &actor, happening);
    }
}
