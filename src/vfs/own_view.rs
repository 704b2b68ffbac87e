//! A file as whoever writes it sees it: with what is not published yet.

use bytes::Bytes;

use crate::domain::error::Result;
use crate::domain::node::Entry;
use crate::vfs::read::FileReader;
use crate::vfs::source::Source;
use crate::vfs::write::FileWriter;

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
    /// As writing.
    pub async fn reader(&mut self) -> Result<FileReader> {
        self.settle().await?;
        let entry = Entry {
            content: None,
            ..self.entry()
        };
        let content = self.draft.reader().clone();
        let reader = FileReader::of(self.principal.tenant, entry, content);
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

    /// The file as this handle sees it.
    pub fn entry(&self) -> Entry {
        Entry {
            size: self.draft.size().max(self.early.end()),
            attributes: self.entry.attributes.with(self.publish.update),
            ..self.entry.clone()
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
        self.checked(finished)
    }
}
