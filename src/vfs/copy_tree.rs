//! Copying what is in a folder: no bytes move, and each file and folder is one change.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::domain::error::{Error, Result};
use crate::domain::id::NodeId;
use crate::domain::node::{Entry, NodeKind};
use crate::domain::path::{Name, VfsPath};
use crate::vfs::copy_file::CopyFile;
use crate::vfs::copy_folder::CopyFolder;
use crate::vfs::held::Touch;
use crate::vfs::original::{Goal, Original};
use crate::vfs::rename::Overwrite;
use crate::vfs::selection::{Selection, SelectionWalk};
use crate::vfs::session::Session;

/// Files that are copied at once: their changes are committed together.
const AT_ONCE: usize = 16;
/// After so many failures a copy ends.
const FAILURES: usize = 100;

/// Something that was not copied.
#[derive(Debug)]
pub struct Failure {
    /// Where it would have gone; where it is, if its name would be too long there.
    pub path: VfsPath,
    /// What it is. What is in a folder that was not copied is not spoken of.
    pub kind: NodeKind,
    /// Why.
    pub error: Error,
}

impl Session {
    /// Copies all that `selection`, which is the folder `from` alone, has in it into the folder `to`, where there is
    /// nothing yet, and which is `made`: the versions that were seen, whatever becomes of them meanwhile. Returns what
    /// could not be copied; after a hundred of these it ends.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn copy_into(
        &self,
        selection: &Selection,
        from: &VfsPath,
        (to, made): (&VfsPath, NodeId),
    ) -> Result<Vec<Failure>> {
        let folder = selection.folder()?;
        let mut copying = Copying {
            session: self,
            folder,
            made: vec![(to.clone(), made)],
            under_way: FuturesUnordered::new(),
            failures: Vec::new(),
            lost: Vec::new(),
        };
        copying.copy_all(selection.walk(), (from, to)).await?;
        Ok(copying.failures)
    }

    async fn copy_seen_file(&self, original: Original, goal: Goal) -> Result<()> {
        let (from, to) = (original.path().clone(), goal.path.clone());
        let operation = CopyFile {
            principal: self.principal().clone(),
            original,
            goal,
            overwrite: Overwrite::Forbid,
            new_node: NodeId::mint(self.now()),
        };
        let touched = [(&to, Touch::Replaced)];
        let copied = self.run_unlocked(&touched, operation).await;
        self.noted(copied, "copy", &from).map(drop)
    }

    async fn copy_seen_folder(&self, original: Original, goal: Goal) -> Result<NodeId> {
        let (from, to) = (original.path().clone(), goal.path.clone());
        let new_node = NodeId::mint(self.now());
        let operation = CopyFolder {
            principal: self.principal().clone(),
            original,
            goal,
            overwrite: Overwrite::Forbid,
            new_node,
        };
        let touched = [(&to, Touch::Tree)];
        let copied = self.run_unlocked(&touched, operation).await;
        self.noted(copied, "copy", &from).map(|_| new_node)
    }
}

/// A path below another.
fn below_of(folder: &VfsPath, below: &str) -> Result<VfsPath> {
    below.split('/').try_fold(folder.clone(), |path, name| {
        path.join(Name::parse(name.as_bytes())?)
    })
}

/// Where something went, what it is, and what came of it.
type Copied = (VfsPath, NodeKind, Result<()>);

/// A folder that is being copied.
struct Copying<'a> {
    session: &'a Session,
    /// Which it is.
    folder: NodeId,
    /// The copies of the folders that the walk is in, from above.
    made: Vec<(VfsPath, NodeId)>,
    under_way: FuturesUnordered<BoxFuture<'a, Copied>>,
    failures: Vec<Failure>,
    /// The folders that were not copied.
    lost: Vec<VfsPath>,
}

impl Copying<'_> {
    /// Copies what a walk through `from` comes upon below it.
    async fn copy_all(
        &mut self,
        mut walk: SelectionWalk,
        (from, to): (&VfsPath, &VfsPath),
    ) -> Result<()> {
        while let Some(found) = walk.next().await? {
            // What was selected itself comes first, unless it is the root.
            let below = match from.is_root() {
                true => found.path.as_str(),
                false => match found.path.split_once('/') {
                    Some((_, below)) => below,
                    None => continue,
                },
            };
            let from = below_of(from, below)?;
            let to = below_of(to, below);
            self.copy(from, to, found.entry).await;
            if self.failures.len() >= FAILURES {
                break;
            }
        }
        while let Some(copied) = self.under_way.next().await {
            self.note(copied);
        }
        Ok(())
    }

    async fn copy(&mut self, from: VfsPath, to: Result<VfsPath>, entry: Entry) {
        if self.lost.iter().any(|lost| from.starts_with(lost)) {
            return;
        }
        let (session, kind) = (self.session, entry.kind);
        let to = match to {
            Ok(to) => to,
            Err(error) => {
                self.note((from.clone(), kind, Err(error)));
                if kind == NodeKind::Folder {
                    self.lost.push(from);
                }
                return;
            }
        };
        let goal = Goal {
            folder: self.copy_above(&to),
            path: to.clone(),
        };
        let original = Original::Seen {
            folder: self.folder,
            path: from.clone(),
            entry: Box::new(entry),
        };
        if kind == NodeKind::Folder {
            let copied = session.copy_seen_folder(original, goal).await;
            match &copied {
                Ok(node) => self.made.push((to.clone(), *node)),
                Err(_) => self.lost.push(from),
            }
            self.note((to, kind, copied.map(drop)));
            return;
        }
        self.under_way.push(Box::pin(async move {
            let copied = session.copy_seen_file(original, goal).await;
            (to, kind, copied)
        }));
        if self.under_way.len() >= AT_ONCE
            && let Some(copied) = self.under_way.next().await
        {
            self.note(copied);
        }
    }

    /// The copy of the folder that something goes into; the walk has left those that do not lead there.
    fn copy_above(&mut self, to: &VfsPath) -> Option<NodeId> {
        let above = to.parent()?;
        self.made.retain(|(path, _)| above.starts_with(path));
        self.made.last().map(|(_, node)| *node)
    }

    fn note(&mut self, (path, kind, copied): Copied) {
        if let Err(error) = copied {
            self.failures.push(Failure { path, kind, error });
        }
    }
}
