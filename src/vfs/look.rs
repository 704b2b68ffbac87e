//! What is published, as programs ask for it: with its checksum and the rights of who asks. Uploads that
//! broke off do not show here.

use crate::db::entries::{self, Moment};
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::error::Result;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::rights::Rights;
use crate::vfs::access::{Access, below, follow, is_a_folder, no_such, not_a_folder};
use crate::vfs::read::FileReader;
use crate::vfs::seen::Seen;
use crate::vfs::session::Session;

/// A part of a folder.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its entries, by name.
    pub items: Vec<Seen>,
    /// The name after which the next part begins, if there is more.
    pub next: Option<String>,
}

impl Session {
    /// What is published at a path.
    ///
    /// # Errors
    /// NotFound, NotFolder, Denied; Unavailable when the database does not answer.
    pub async fn look(&self, path: &VfsPath) -> Result<Seen> {
        let mut tx = self.vfs().database().read(self.principal().tenant).await?;
        Seen::at(&mut tx, self.principal(), path).await
    }

    /// Up to `limit` entries of a folder with names after `after`.
    ///
    /// # Errors
    /// NotFound, NotFolder, Denied; Unavailable when the database does not answer.
    pub async fn page(&self, path: &VfsPath, after: &str, limit: usize) -> Result<Page> {
        let page = self.try_page(path, after, limit).await;
        self.noted(page, "list", path)
    }

    async fn try_page(&self, path: &VfsPath, after: &str, limit: usize) -> Result<Page> {
        let tenant = self.principal().tenant;
        let mut tx = self.vfs().database().snapshot(tenant).await?;
        let (chain, access) = follow(&mut tx, self.principal(), path).await?;
        let folder = access.see(&mut tx, path, &chain).await?;
        if folder.kind == NodeKind::File {
            return Err(not_a_folder(&path.to_string()));
        }
        let mut found = children(&mut tx, &access, &chain, after, limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|entry| entry.name.clone());
        let rights = |entry: &Entry| access.rights(&below(&chain, entry));
        let found = found.into_iter().map(|entry| (rights(&entry), entry));
        let found = found.map(|(rights, entry)| (entry, rights)).collect();
        Ok(Page {
            items: Seen::all(&mut tx, found).await?,
            next: last.filter(|_| more),
        })
    }

    /// Opens a file for reading, as it is published.
    ///
    /// # Errors
    /// NotFound, IsFolder, Denied, Unavailable.
    pub async fn open_published(&self, path: &VfsPath) -> Result<FileReader> {
        let reader = self.noted(self.try_open_published(path).await, "download", path)?;
        Ok(reader.sent_to(self.principal()))
    }

    /// Writes down that a file is sent to who asked for it.
    pub fn note_download(&self, path: &VfsPath) {
        self.note(AuditKind::Download, path.to_string());
    }

    async fn try_open_published(&self, path: &VfsPath) -> Result<FileReader> {
        let tenant = self.principal().tenant;
        let mut tx = self.vfs().database().snapshot(tenant).await?;
        let (chain, access) = follow(&mut tx, self.principal(), path).await?;
        let missing = chain.len() <= path.names().len();
        if missing || !access.rights(&chain).contains(Rights::READ) {
            access.see(&mut tx, path, &chain).await?;
        }
        access.require(&chain, Rights::READ)?;
        let entry = chain.last().ok_or_else(|| no_such(path))?;
        match entry.kind {
            NodeKind::Folder => Err(is_a_folder(&path.to_string())),
            NodeKind::File => FileReader::open(self.vfs(), &mut tx, entry.clone()).await,
        }
    }
}

/// Up to `limit` children of the last folder of a chain with names after `after`, as far as they may
/// be seen: all, or those through which the way leads to what may.
///
/// # Errors
/// Unavailable when the database does not answer.
pub(in crate::vfs) async fn children(
    tx: &mut TenantTx,
    access: &Access,
    chain: &[Entry],
    after: &str,
    limit: usize,
) -> Result<Vec<Entry>> {
    let Some(folder) = chain.last() else {
        return Ok(Vec::new());
    };
    if access.rights(chain).contains(Rights::LIST) {
        return entries::page(tx, folder.node, after, limit, Moment::Now).await;
    }
    let mut ways = Vec::new();
    for node in access.ways(tx, folder.node).await? {
        ways.extend(entries::live(tx, node).await?);
    }
    ways.retain(|way| way.name.as_str() > after);
    ways.sort_by(|a, b| a.name.cmp(&b.name));
    ways.truncate(limit);
    Ok(ways)
}
