//! What a publish leaves over of the blobs that were made for it.

use std::collections::HashSet;

use crate::db::blobs;
use crate::db::sql::TenantTx;
use crate::domain::clock::Timestamp;
use crate::domain::content::ExtentMap;
use crate::domain::error::Result;
use crate::domain::id::{BlobId, InstanceId};

/// What its writer does after a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is closed.
    Ends,
    /// It goes on, and shows what it showed.
    GoesOn,
}

/// The blobs that were made for a file, of which the version that is published may not name all.
#[derive(Clone, Debug)]
pub struct Made {
    /// Which instance holds on to those that are needed.
    pub instance: InstanceId,
    /// All that were made for it.
    pub blobs: Vec<BlobId>,
    /// Those that are needed even if the version does not name them, since somebody borrowed from them or its
    /// writer shows them. Others may be among them, which an upload that was gone on with brought.
    pub needed: HashSet<BlobId>,
    /// Whether its writer does not show all that were made.
    pub has_unshown: bool,
}

impl Made {
    /// Gives up those that neither `map` names nor anybody needs; says which are needed and not named: they
    /// stay as if they were still being written. To be called when nothing else of the upload names any.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn give_up(
        &self,
        tx: &mut TenantTx,
        map: &ExtentMap,
        at: Timestamp,
    ) -> Result<Vec<BlobId>> {
        let named: HashSet<_> = map.runs().filter_map(|run| run.blob).collect();
        let mut spared = Vec::new();
        for id in self.needed.difference(&named) {
            blobs::spare(tx, *id, self.instance, at).await?;
            spared.push(*id);
        }
        for id in &self.blobs {
            if !named.contains(id) && !self.needed.contains(id) {
                blobs::discard(tx, *id, at).await?;
            }
        }
        Ok(spared)
    }
}
