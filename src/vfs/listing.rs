//! Listing a folder in pages, straight from the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::db::entries::{self, Moment};
use crate::db::kept;
use crate::db::sql::TenantTx;
use crate::db::uploads::Upload;
use crate::domain::error::Result;
use crate::domain::id::{NodeId, TenantId};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{follow, not_a_folder};
use crate::vfs::options;
use crate::vfs::resume;
use crate::vfs::service::Vfs;
use crate::vfs::upload::is_superseded_by;

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
    /// What the principal broke off.
    broken: BrokenOff,
}

/// Uploads that broke off, by what they show themselves as.
#[derive(Default)]
struct BrokenOff {
    /// Of files that are live, wherever these are.
    files: HashMap<NodeId, Upload>,
    /// Of the folder's names, with nothing live that they were opened on.
    names: BTreeMap<String, Upload>,
}

impl Listing {
    /// Starts to list what is at `path`.
    pub(in crate::vfs) async fn open(
        vfs: &Vfs,
        principal: &Principal,
        path: &VfsPath,
        broken_off: options::BrokenOff,
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
            return Ok(listing);
        }
        if broken_off == options::BrokenOff::Hidden {
            return Ok(listing);
        }
        let now = vfs.database().clock().now();
        for (upload, is_live) in kept::list(&mut tx, principal.account, now).await? {
            match (is_live, upload.node) {
                (true, Some(node)) => drop(listing.broken.files.insert(node, upload)),
                _ if upload.whole && upload.parent == entry.node => {
                    let name = upload.name.clone();
                    listing.broken.names.insert(name, upload);
                }
                _ => {}
            }
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
            broken: BrokenOff::default(),
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
            let names = (after.as_str(), self.after.as_deref());
            self.broken.show(&mut tx, names, &mut page).await?;
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

impl BrokenOff {
    /// Shows them in a page of the live names after the first of `names`, up to the second or the end.
    async fn show(
        &self,
        tx: &mut TenantTx,
        names: (&str, Option<&str>),
        page: &mut Vec<Entry>,
    ) -> Result<()> {
        if self.files.is_empty() && self.names.is_empty() {
            return Ok(());
        }
        for entry in page.iter_mut().filter(|entry| entry.kind == NodeKind::File) {
            let upload = self.files.get(&entry.node);
            let upload = upload.or_else(|| self.names.get(&entry.name));
            if let Some(upload) = upload.filter(|upload| !is_superseded_by(upload, entry)) {
                *entry = resume::shown(tx, upload, Some(entry)).await?;
            }
        }
        let (after, to) = names;
        let to = to.map_or(Bound::Unbounded, Bound::Included);
        for (name, upload) in self.names.range::<str, _>((Bound::Excluded(after), to)) {
            // In the order of the bytes, as the page is.
            if let Err(at) = page.binary_search_by(|entry| entry.name.as_str().cmp(name)) {
                let shown = resume::shown(tx, upload, None).await?;
                page.insert(at, shown);
            }
        }
        Ok(())
    }
}
