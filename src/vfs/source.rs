//! What is copied from, without moving a byte.

use std::collections::BTreeMap;

use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::db::blobs::BlobInfo;
use crate::db::contents::StoredContent;
use crate::domain::content::{Extent, ExtentMap};
use crate::domain::id::{BlobId, TenantId};

/// A content, as it was when it was asked for, that a file of the same tenant may share.
#[derive(Clone, Debug)]
pub struct Source {
    /// Whose it is.
    pub(in crate::vfs) tenant: TenantId,
    /// Its runs, and the blobs they are in.
    pub(in crate::vfs) content: StoredContent,
    /// Of what its writer has not published yet.
    pub(in crate::vfs) loan: Option<Loan>,
}

/// Keeps writers from giving up blobs that somebody copies from before they are published: the database may
/// know them only as being written.
#[derive(Clone, Debug)]
pub struct Loan {
    /// Held of the writer whose file is copied from.
    pub(in crate::vfs) own: TaskTrackerToken,
    /// Of others, for the blobs that it has from these.
    pub(in crate::vfs) of_others: BTreeMap<BlobId, TaskTrackerToken>,
}

impl Loan {
    /// What is held for one blob.
    pub(in crate::vfs) fn of(&self, blob: BlobId) -> &TaskTrackerToken {
        self.of_others.get(&blob).unwrap_or(&self.own)
    }
}

impl Source {
    /// Nothing to copy.
    pub(in crate::vfs) fn empty(tenant: TenantId) -> Self {
        Self {
            tenant,
            content: StoredContent {
                map: ExtentMap::default(),
                blobs: Vec::new(),
                sha256: None,
            },
            loan: None,
        }
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.content.map.size()
    }

    /// How much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        let (runs, blobs) = (self.content.map.runs().len(), self.content.blobs.len());
        size_of::<Self>() + runs * 2 * size_of::<Extent>() + blobs * size_of::<BlobInfo>()
    }

    /// The runs of `from..to` and their blobs, to be laid at `at`.
    pub(in crate::vfs) fn slice(
        &self,
        from: u64,
        to: u64,
        at: u64,
    ) -> Vec<(Extent, Option<BlobInfo>)> {
        let runs = self.content.map.slice(from, to).into_iter();
        runs.map(|run| {
            let moved = Extent {
                start: at + (run.start - from),
                ..run
            };
            let blobs = &mut self.content.blobs.iter();
            let blob = blobs.find(|info| Some(info.id) == run.blob);
            (moved, blob.copied())
        })
        .collect()
    }
}
