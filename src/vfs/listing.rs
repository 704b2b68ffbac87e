//! Listing a folder in pages, straight from the database.

use std::collections::BTreeSet;

use crate::db::entries::{self, Moment};
use crate::db::kept::{self, Shown};
use crate::db::sql::TenantTx;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, NodeId, TenantId};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{follow, not_a_folder};
use crate::vfs::options::BrokenOff;
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
    /// Who sees what it broke off there; none where nothing is shown.
    whose: Option<AccountId>,
}

impl Listing {
    /// Starts to list what is at `path`.
    pub(in crate::vfs) async fn open(
        vfs: &Vfs,
        principal: &Principal,
        path: &VfsPath,
        broken_off: BrokenOff,
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
        let (account, now) = (principal.account, vfs.database().clock().now());
        // Who comes by a link has nothing to do with what the account broke off.
        let may_see = principal.link.is_none() && broken_off == BrokenOff::Shown;
        if may_see && kept::any(&mut tx, account, now).await? {
            listing.whose = Some(account);
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
            whose: None,
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
            if let Some(account) = self.whose {
                self.show_broken_off(&mut tx, account, &after, &mut page)
                    .await?;
            }
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

    /// Shows in a page of the live names behind `after` what an account broke off. There may be so much of it that the
    /// page ends earlier.
    async fn show_broken_off(
        &self,
        tx: &mut TenantTx,
        account: AccountId,
        after: &str,
        page: &mut Vec<Entry>,
    ) -> Result<()> {
        let last = page.last().filter(|_| page.len() == PAGE);
        let shown = Shown {
            account,
            folder: self.folder,
            after,
            to: last.map(|entry| entry.name.as_str()),
            now: self.vfs.database().clock().now(),
        };
        let (uploads, to) = kept::page(tx, shown, PAGE).await?;
        if let Some(to) = to {
            page.truncate(page.partition_point(|entry| entry.name <= to));
        }
        let live = page.len();
        for (name, upload) in &uploads {
            // In the order of the bytes, as the page is.
            let is_live = page
                .get(..live)
                .is_some_and(|page| page.binary_search_by(|entry| entry.name.cmp(name)).is_ok());
            if !is_live {
                page.push(resume::shown(tx, upload, None).await?);
            }
        }
        page.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        page.truncate(PAGE);
        let is_file =
            |entry: &&mut Entry| entry.kind == NodeKind::File && entry.node != NodeId::NIL;
        for entry in page.iter_mut().filter(is_file) {
            let upload = uploads.get(&entry.name);
            if let Some(upload) = upload.filter(|upload| !is_superseded_by(upload, entry)) {
                *entry = resume::shown(tx, upload, Some(entry)).await?;
            }
        }
        Ok(())
    }
}
