//! A file as whoever writes it sees it: with what is not published yet.

use bytes::Bytes;

use crate::db::entries;
use crate::db::sql::TenantTx;
use crate::db::uploads::Upload;
use crate::domain::error::Result;
use crate::domain::id::NodeId;
use crate::domain::node::{Attributes, Entry};
use crate::domain::path::VfsPath;
use crate::vfs::access::{Access, follow};
use crate::vfs::options::BrokenOff;
use crate::vfs::piece_memory::PieceMemory;
use crate::vfs::read::FileReader;
use crate::vfs::resume;
use crate::vfs::senders::Amount;
use crate::vfs::session::Session;
use crate::vfs::source::Source;
use crate::vfs::target::Over;
use crate::vfs::write::FileWriter;

impl Session {
    /// What this principal broke off at a path that was followed, as a file shows itself; none where that is hidden.
    pub(in crate::vfs) async fn shown(
        &self,
        tx: &mut TenantTx,
        path: &VfsPath,
        place: (&[Entry], &Access),
    ) -> Result<Option<(Upload, Entry)>> {
        match self.broken_off {
            BrokenOff::Hidden => Ok(None),
            BrokenOff::Shown => resume::look(tx, &self.principal, self.now(), path, place).await,
        }
    }

    /// Whether another session of this account is sending a file to a path, or a part of it: how much is there
    /// when that is done, or kept if it breaks off, nobody can say yet.
    ///
    /// # Errors
    /// NotFolder, Denied; Unavailable when the database does not answer.
    pub async fn is_being_sent(&self, path: &VfsPath) -> Result<bool> {
        let mut tx = self.vfs.database().read(self.principal.tenant).await?;
        let (chain, access) = follow(&mut tx, &self.principal, path).await?;
        let above = path.names().len();
        let (Some(parent), Some(name)) = (chain.get(above.saturating_sub(1)), path.name()) else {
            return Ok(false);
        };
        let here = ((parent.node, name.as_str()), &access);
        let (principal, found) = (&self.principal, chain.get(above));
        resume::is_held(&self.vfs, &mut tx, principal, here, found, Amount::Part).await
    }
}

impl FileWriter {
    /// Up to `length` bytes at `offset`, with what this handle wrote.
    ///
    /// # Errors
    /// As reading and writing.
    pub async fn read_at(&mut self, offset: u64, length: usize) -> Result<Bytes> {
        self.settle().await?;
        self.draft.reader().read_at(offset, length).await
    }

    /// The file as this handle sees it now, for reading: what is written later does not change it. It
    /// is no published content, even if it has the same bytes, so that nothing reckoned of it is kept as
    /// that of one.
    ///
    /// # Errors
    /// As writing; Busy as well when it is in very many pieces and memory is short.
    pub async fn reader(&mut self) -> Result<FileReader> {
        self.settle().await?;
        let mut known = PieceMemory::default();
        known.cover(self.vfs.budget(), self.draft.runs().len())?;
        let entry = Entry {
            content: None,
            ..self.entry()
        };
        let content = self.draft.reader().clone();
        let reader = FileReader::of(self.principal.tenant, entry, content);
        let reader = reader.counted(known.into_share());
        Ok(reader.lent(self.draft.lend()))
    }

    /// What a copy of the file as this handle sees it starts from.
    ///
    /// # Errors
    /// As writing.
    pub async fn source(&mut self) -> Result<Source> {
        self.settle().await?;
        Ok(Source {
            tenant: self.principal.tenant,
            content: self.draft.content(),
            loan: Some(self.draft.lend()),
        })
    }

    /// Whether this goes on with an upload that broke off, and nothing was written since.
    pub fn is_untouched(&self) -> bool {
        self.is_untouched
    }

    /// Whether no version of the file is published, as far as this handle knows.
    pub fn is_new(&self) -> bool {
        self.publish.target.node.is_none()
    }

    /// Publishes what is written only in place of the version that was there when it was opened: laid over
    /// another, it would make a file that nobody wrote.
    pub fn pin(&mut self) {
        if self.publish.over == Over::Current && self.publish.target.node.is_some() {
            self.publish.target.only = Some(self.entry.version());
        }
    }

    /// The file as this handle sees it.
    pub fn entry(&self) -> Entry {
        let shown = &self.entry.attributes;
        let attributes = Attributes {
            modified: self.publish.written_at.unwrap_or(shown.modified),
            ..*shown
        };
        Entry {
            size: self.draft.size().max(self.early.end()),
            attributes: attributes.with(self.publish.update),
            ..self.entry.clone()
        }
    }

    /// The file as it is now that this has published it as `node`: as this handle sees it when the database does not
    /// tell, since that must not keep anybody from going on.
    pub(in crate::vfs) async fn as_published(&mut self, node: NodeId) -> Entry {
        let (vfs, tenant) = (self.vfs.clone(), self.principal.tenant);
        let read = async {
            let mut tx = vfs.database().read(tenant).await?;
            entries::live(&mut tx, node).await
        };
        match read.await {
            Ok(Some(entry)) => entry,
            // Deleted meanwhile.
            Ok(None) => self.entry.clone(),
            Err(error) => {
                tracing::debug!(error = ?error, "what was published is shown as it was written");
                let size = self.draft.size();
                Entry {
                    content: (size > 0).then_some(self.publish.content),
                    owner: Some(self.principal.account),
                    ..self.entry()
                }
            }
        }
    }

    /// Stores all that was written, and tells its SHA-256 when it is known: always, if it came in
    /// order from nothing.
    ///
    /// # Errors
    /// As writing.
    pub async fn sha256(&mut self) -> Result<Option<[u8; 32]>> {
        self.settle().await?;
        Ok(self.draft.sha256())
    }

    /// Stores all that was written, in blobs that can be read, and publishes nothing.
    ///
    /// # Errors
    /// As writing.
    pub async fn settle(&mut self) -> Result<()> {
        self.require_going_on()?;
        self.flush_early().await?;
        let finished = self.draft.finish_blob().await;
        self.checked(finished).await
    }
}
