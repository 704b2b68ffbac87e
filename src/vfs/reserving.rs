//! What a file that is being written asks the quota for.

use crate::domain::error::Result;
use crate::vfs::claim::Size;
use crate::vfs::start::{MAX_SIZE, too_long};
use crate::vfs::write::FileWriter;

/// A file up to this long is charged when it is published and makes no claim before.
const SMALL: u64 = 256 << 10;

impl FileWriter {
    /// Asks the quota now for all of a file that is said to become so long: of two that do not both fit, one comes
    /// through, and the other is refused before anything of it is sent.
    ///
    /// # Errors
    /// Quota when there is no room; Invalid when no file may be so long.
    pub async fn expect(&mut self, size: u64) -> Result<()> {
        match size > MAX_SIZE {
            true => Err(too_long()),
            false => self.reserve(size).await,
        }
    }

    /// Asks the quota for a file of `size` bytes before more than [`SMALL`] of it is stored, and writes
    /// down now and then what is durable. Who writes over the same bytes again and again takes room for
    /// all of these until they are published, and is asked for half of it.
    pub(in crate::vfs) async fn reserve(&mut self, size: u64) -> Result<()> {
        self.begin().await?;
        let is_due = self.claim.is_due(self.draft.size(), self.now());
        let size = self.claimed(size.max(self.draft.written() / 2));
        if size.bytes <= SMALL || (self.claim.covers(size) && !is_due) {
            return Ok(());
        }
        // What happens seldom is kept out of the future, which every open file has one of.
        Box::pin(self.claim_more(size)).await
    }

    async fn claim_more(&mut self, size: Size) -> Result<()> {
        if self.claim.row().is_none() {
            let opened = (&self.publish.target, self.entry.content);
            return self.claim.begin(opened, self.draft.is_whole(), size).await;
        }
        let progress = self.draft.checkpoint().await?;
        let durable = progress.size;
        self.claim.advance(progress, size).await?;
        self.claim.checkpointed(durable, self.now());
        Ok(())
    }

    pub(in crate::vfs) fn claimed(&self, bytes: u64) -> Size {
        let new = self.is_new();
        // The bytes of the version that is replaced are free again at publish.
        let credit = match self.entry.owner == Some(self.principal.account) && !new {
            true => self.entry.size,
            false => 0,
        };
        Size { bytes, credit, new }
    }
}
