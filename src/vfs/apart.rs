//! Writing a file whose folders are not there yet: they are made when all of it came, so that one that does
//! not come leaves nothing behind.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::{entries, folders};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{follow, no_such, not_a_folder, path_of};
use crate::vfs::addressed;
use crate::vfs::condition::{self, Pinned};
use crate::vfs::held::Touch;
use crate::vfs::options::WriteOptions;
use crate::vfs::remove::kill;
use crate::vfs::rename::Overwrite;
use crate::vfs::session::Session;
use crate::vfs::sink;
use crate::vfs::start::Start;
use crate::vfs::target::Target;
use crate::vfs::write::FileWriter;

impl Session {
    /// Opens a file for writing whose folder is not there, if the folder may be made and the file written in
    /// it. It has no place until [`Session::settle`] gives it one.
    ///
    /// # Errors
    /// NotFolder when a file is on the way, Denied, Busy (no memory left), Unavailable.
    pub async fn open_apart(&self, path: &VfsPath, options: WriteOptions) -> Result<FileWriter> {
        let opened = self.try_open_apart(path, options).await;
        self.noted(opened, "store", path)
    }

    /// Makes the folders that are missing on the way to a file that was opened apart, as one change, and has it
    /// published there. Unless that comes about, the folders go again, as far as nothing else is in them.
    ///
    /// # Errors
    /// AlreadyExists when a file is there by now that is not to be replaced; IsFolder, NotFolder, Denied, Quota,
    /// Unavailable.
    pub async fn settle(
        &self,
        writer: &mut FileWriter,
        path: &VfsPath,
        overwrite: Overwrite,
    ) -> Result<MadeFolders> {
        let folder = path.parent().ok_or_else(|| no_such(path))?;
        let nodes = Arc::new(Mutex::new(Vec::new()));
        let operation = MakeMissing {
            principal: self.principal().clone(),
            folder: folder.clone(),
            made: nodes.clone(),
        };
        let touched = [(&folder, Touch::Node)];
        let made = self.run_unlocked(&touched, operation).await;
        let change = self.noted(made, "make-folder", &folder)?;
        let nodes = std::mem::take(&mut *nodes.lock().unwrap_or_else(PoisonError::into_inner));
        let made = MadeFolders {
            session: self.clone(),
            undo: Some(TakeBack {
                folder,
                born: change.seq,
                nodes,
            }),
        };
        match self.place(writer, path, overwrite).await {
            Ok(()) => Ok(made),
            Err(error) => {
                made.take_back().await;
                Err(error)
            }
        }
    }

    async fn place(
        &self,
        writer: &mut FileWriter,
        path: &VfsPath,
        overwrite: Overwrite,
    ) -> Result<()> {
        let overwrite = match condition::pin(&self.conditions, None)? {
            Pinned::OnNothing => Overwrite::Forbid,
            Pinned::No | Pinned::On(_) => overwrite,
        };
        let destination = self.destination(path, overwrite).await;
        let destination = self.noted(destination, "store", path)?;
        let target = Target {
            held: self.held.clone(),
            ..addressed::target(&destination)
        };
        writer.retarget(target, None).await
    }

    async fn try_open_apart(&self, path: &VfsPath, options: WriteOptions) -> Result<FileWriter> {
        let (Some(folder), Some(name)) = (path.parent(), path.name()) else {
            return Err(no_such(path));
        };
        let mut tx = self
            .vfs()
            .database()
            .snapshot(self.principal().tenant)
            .await?;
        let (chain, access) = follow(&mut tx, self.principal(), &folder).await?;
        if chain.len() <= folder.names().len() {
            may_go_on(&chain)?;
            access.require(&chain, Rights::MAKE_FOLDERS)?;
        }
        access.require(&chain, Rights::WRITE)?;
        drop(tx);
        let target = Target {
            parent: NodeId::NIL,
            name: name.as_str().to_owned(),
            node: None,
            exclusive: false,
            only: None,
            held: None,
            since: access.seq(),
        };
        let start = Start {
            entry: self.new_file(NodeId::NIL, name.as_str()),
            target,
            base: None,
            counted: None,
            resumed: None,
            discard: None,
            admission: self.vfs().admit(self.principal(), sink::GRANTED)?,
        };
        let (vfs, principal) = (self.vfs().clone(), self.principal().clone());
        Ok(FileWriter::new(vfs, principal, options, start))
    }
}

/// Folders that were made for a file: they go again, as far as nothing else is in them, unless they are kept.
#[must_use]
pub struct MadeFolders {
    session: Session,
    undo: Option<TakeBack>,
}

impl MadeFolders {
    /// Keeps them.
    pub fn keep(mut self) {
        self.undo = None;
    }

    /// Has them go, and waits until they have.
    pub async fn take_back(mut self) {
        if let Some(undo) = self.undo.take() {
            take_back(&self.session, undo).await;
        }
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        if let Some(undo) = self.undo.take() {
            let session = self.session.clone();
            let tasks = session.vfs().tasks().clone();
            tasks.spawn(async move { take_back(&session, undo).await });
        }
    }
}

async fn take_back(session: &Session, undo: TakeBack) {
    if undo.nodes.is_empty() {
        return;
    }
    if let Err(error) = session.run(undo).await {
        tracing::debug!(error = ?error, "folders of a file that did not come are left");
    }
}

struct MakeMissing {
    principal: Principal,
    folder: VfsPath,
    /// The folders, from above; set when the operation is committed.
    made: Arc<Mutex<Vec<NodeId>>>,
}

#[async_trait]
impl Operation for MakeMissing {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let (chain, access) = follow(tx, &self.principal, &self.folder).await?;
        may_go_on(&chain)?;
        let names = self.folder.names();
        let missing = names
            .get(chain.len().saturating_sub(1)..)
            .unwrap_or_default();
        if !missing.is_empty() {
            // What is made below has no rights of its own.
            access.require(&chain, Rights::MAKE_FOLDERS)?;
        }
        let deepest = chain
            .last()
            .ok_or_else(|| Error::internal("a folder without a chain"))?;
        let owner = Some(self.principal.account);
        let made = folders::make_below(tx, deepest.node, missing, owner, next).await?;
        let nodes = made.iter().map(|folder| folder.node).collect();
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
        Ok(match made.is_empty() {
            true => Record::Nothing,
            false => Record::Change(Happening::new(
                AuditKind::MakeFolder,
                self.folder.to_string(),
            )),
        })
    }
}

fn may_go_on(chain: &[Entry]) -> Result<()> {
    match chain.last() {
        Some(last) if last.kind == NodeKind::File => Err(not_a_folder(&path_of(chain))),
        _ => Ok(()),
    }
}

/// Takes folders away that are as they were made, and empty. Who made them may undo it.
struct TakeBack {
    folder: VfsPath,
    born: i64,
    nodes: Vec<NodeId>,
}

#[async_trait]
impl Operation for TakeBack {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let mut has_gone = false;
        for node in self.nodes.iter().rev() {
            let found = entries::live(tx, *node).await?;
            let Some(entry) = found.filter(|entry| entry.born == self.born) else {
                break;
            };
            if entries::has_children(tx, *node).await? {
                break;
            }
            kill(tx, &entry, next).await?;
            has_gone = true;
        }
        let detail = format!("{}, since no file came into it", self.folder);
        Ok(match has_gone {
            true => Record::Change(Happening::new(AuditKind::Delete, detail)),
            false => Record::Nothing,
        })
    }
}
