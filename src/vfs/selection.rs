//! Files and folders of one moment, to be taken away together: whatever changes meanwhile, a walk through
//! them shows the same, and so does the next one.

use std::collections::HashSet;

use crate::db::entries::Moment;
use crate::db::{clocks, tenants};
use crate::domain::audit_kind::AuditKind;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{NodeId, TenantId};
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::follow;
use crate::vfs::landing::numbered;
use crate::vfs::read::FileReader;
use crate::vfs::service::Vfs;
use crate::vfs::session::Session;
use crate::vfs::walk::Walk;

/// What was selected. Cheap to clone, but for the list of what was named.
#[derive(Clone)]
pub struct Selection {
    vfs: Vfs,
    principal: Principal,
    tenant: TenantId,
    seq: i64,
    named: Vec<Entry>,
}

/// A walk through a selection: in the order of what was named, a folder before what is in it.
pub struct SelectionWalk {
    selection: Selection,
    walk: Walk,
}

/// A file or folder of a selection.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The version that was current.
    pub entry: Entry,
    /// Its path within the selection, without a slash before it.
    pub path: String,
}

/// What a selection is for, as the audit log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is downloaded, which is written down.
    Archive,
    /// It is copied, which each copy says itself.
    Copy,
}

impl Session {
    /// Selects what is at these paths now. Whoever may list and read a folder may do so with all that is
    /// below, so that only what is named is asked for.
    ///
    /// # Errors
    /// Invalid when nothing is named, or the root and something else; NotFound, NotFolder, Denied; Unavailable
    /// when the database does not answer.
    pub async fn select(&self, paths: &[VfsPath], purpose: Purpose) -> Result<Selection> {
        let verb = match purpose {
            Purpose::Archive => "download",
            Purpose::Copy => "copy",
        };
        let tenant = self.principal().tenant;
        let mut tx = self.vfs().database().snapshot(tenant).await?;
        let seq = clocks::latest(&mut tx).await?.seq;
        let mut named = Vec::new();
        let mut names = HashSet::new();
        for path in paths {
            let (chain, access) = follow(&mut tx, self.principal(), path).await?;
            let entry = access.see(&mut tx, path, &chain).await?;
            let needed = match entry.kind {
                NodeKind::File => Rights::READ,
                NodeKind::Folder => Rights::READ_ONLY,
            };
            self.noted(access.require(&chain, needed), verb, path)?;
            if path.is_root() && paths.len() > 1 {
                return Err(Error::invalid(
                    "the uppermost folder holds all else that is named; ask for it by itself",
                ));
            }
            named.push(Entry {
                name: free_name(&mut names, &entry.name),
                ..entry.clone()
            });
        }
        if named.is_empty() {
            return Err(Error::invalid("name at least one path"));
        }
        drop(tx);
        if purpose == Purpose::Archive {
            for path in paths {
                self.note(AuditKind::Download, format!("{path} in an archive"));
            }
        }
        Ok(Selection {
            vfs: self.vfs().clone(),
            principal: self.principal().clone(),
            tenant,
            seq,
            named,
        })
    }
}

/// The name, with a number if something else that was named has it.
fn free_name(names: &mut HashSet<String>, name: &str) -> String {
    let numbers = 1..;
    let mut tried = numbers.map(|number: u32| numbered(name, &number.to_string(), number == 1));
    let free = tried.find(|tried| names.insert(tried.clone()));
    free.unwrap_or_else(|| name.to_owned())
}

impl Selection {
    /// What the only thing that was named is called, if there is only one.
    pub fn name(&self) -> Option<&str> {
        match self.named.as_slice() {
            [only] => Some(&only.name),
            _ => None,
        }
    }

    /// The folder that was named, if that is all.
    ///
    /// # Errors
    /// Invalid when something else was named, or more.
    pub(in crate::vfs) fn folder(&self) -> Result<NodeId> {
        match self.named.as_slice() {
            [only] if only.kind == NodeKind::Folder => Ok(only.node),
            _ => Err(Error::invalid("one folder can be copied at a time")),
        }
    }

    /// Walks through it from the start.
    pub fn walk(&self) -> SelectionWalk {
        let mut walk = Walk::new(&self.vfs, self.tenant, Moment::At(self.seq));
        match self.named.as_slice() {
            [root] if root.name.is_empty() => walk.enter(root.node, Vec::new(), String::new()),
            named => walk.enter_some(named.to_vec(), Vec::new()),
        }
        SelectionWalk {
            selection: self.clone(),
            walk,
        }
    }

    /// Opens a file of it.
    ///
    /// # Errors
    /// NotFound when its past is not kept any more; Unavailable.
    pub async fn open(&self, entry: &Entry) -> Result<FileReader> {
        let mut tx = self.vfs.database().snapshot(self.tenant).await?;
        let reader = FileReader::open(&self.vfs, &mut tx, entry.clone()).await?;
        Ok(reader.sent_to(&self.principal))
    }

    /// Fails when something of it may have been forgotten meanwhile.
    async fn check_kept(&self) -> Result<()> {
        let now = self.vfs.database().now().await?;
        let tenant = tenants::by_id(self.vfs.database(), self.tenant).await?;
        let tenant = tenant.ok_or_else(|| Error::not_found("no such tenant"))?;
        let mut tx = self.vfs.database().read(self.tenant).await?;
        match clocks::seq_at(&mut tx, now.minus(tenant.retention)).await? > self.seq {
            true => Err(Error::new(
                ErrorKind::Changed,
                "what was selected is not kept any more; select it again",
            )),
            false => Ok(()),
        }
    }
}

impl SelectionWalk {
    /// What comes next; none at the end, when nothing is missing.
    ///
    /// # Errors
    /// Changed when the past that it walks through is not kept any more; Unavailable when the database
    /// does not answer.
    pub async fn next(&mut self) -> Result<Option<Selected>> {
        let Some(found) = self.walk.next().await? else {
            self.selection.check_kept().await?;
            return Ok(None);
        };
        if found.entry.kind == NodeKind::Folder {
            let node = found.entry.node;
            self.walk.enter(node, found.path.clone(), String::new());
        }
        Ok(Some(Selected {
            path: found.path.join("/"),
            entry: found.entry,
        }))
    }
}
