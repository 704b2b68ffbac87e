//! Listing a folder in pages, straight from the database.

use std::collections::BTreeSet;

use crate::db::entries::{self, Moment};
use crate::domain::error::Result;
use crate::domain::id::{NodeId, TenantId};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{follow, not_a_folder};
use crate::vfs::service::Vfs;

const PAGE: usize = 1000;

/// A folder being listed. A name that is there from the first page to the last is shown exactly
/// once, whatever changes meanwhile, since pages go by name.
pub struct Listing {
    vfs: Vfs,
    tenant: TenantId,
    folder: NodeId,
    /// Where the next page starts; none at the end.
    after: Option<String>,
    moment: Moment,
    /// When the folder itself may not be listed: the children that lead to what may.
    only: Option<BTreeSet<NodeId>>,
}

impl Listing {
    /// Starts to list what is at `path`.
    pub(in crate::vfs) async fn open(
        vfs: &Vfs,
        principal: &Principal,
        path: &VfsPath,
    ) -> Result<Self> {
        let mut tx = vfs.database().read(principal.tenant).await?;
        let (chain, access) = follow(&mut tx, principal, path).await?;
        let entry = access.see(&mut tx, path, &chain).await?;
        if entry.kind == NodeKind::File {
            return Err(not_a_folder(&path.to_string()));
        }
        let mut listing = Self::past(vfs, principal.tenant, entry.node, Moment::Now);
        if !access.rights(&chain).contains(Rights::LIST) {
            listing.only = Some(access.ways(&mut tx, entry.node).await?);
        }
        Ok(listing)
    }

    /// Starts to list a folder at a moment; the caller has checked that this is allowed.
    pub(in crate::vfs) fn past(
        vfs: &Vfs,
        tenant: TenantId,
        folder: NodeId,
        moment: Moment,
    ) -> Self {
        Self {
            vfs: vfs.clone(),
            tenant,
            folder,
            after: Some(String::new()),
            moment,
            only: None,
        }
    }

    /// Goes on, with the next page, after `name`: back to where a page was not used to its end.
    pub fn go_on_after(&mut self, name: &str) {
        self.after = Some(name.to_owned());
    }

    /// Up to 1,000 entries more, by name, without `.` and `..`; none at the end.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn next_page(&mut self) -> Result<Vec<Entry>> {
        while let Some(after) = self.after.clone() {
            // In one moment, lest a version that dies between live and past is shown twice.
            let mut tx = self.vfs.database().snapshot(self.tenant).await?;
            let mut page = entries::page(&mut tx, self.folder, &after, PAGE, self.moment).await?;
            self.after = page.last().map(|entry| entry.name.clone());
            if let Some(only) = &self.only {
                page.retain(|entry| only.contains(&entry.node));
            }
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }
}
