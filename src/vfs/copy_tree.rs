//! Copying what is in a folder: no bytes move, and each file and folder is one change.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::node::NodeKind;
use crate::domain::path::{Name, VfsPath};
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
    /// nothing yet. What is gone meanwhile is left out. Returns what could not be copied; after a hundred of these
    /// it ends.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn copy_into(
        &self,
        selection: &Selection,
        from: &VfsPath,
        to: &VfsPath,
    ) -> Result<Vec<Failure>> {
        let mut copying = Copying::new(self);
        copying.copy_all(selection.walk(), (from, to)).await?;
        Ok(copying.failures)
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
    under_way: FuturesUnordered<BoxFuture<'a, Copied>>,
    failures: Vec<Failure>,
    /// The folders that were not copied.
    lost: Vec<VfsPath>,
}

impl<'a> Copying<'a> {
    fn new(session: &'a Session) -> Self {
        Self {
            session,
            under_way: FuturesUnordered::new(),
            failures: Vec::new(),
            lost: Vec::new(),
        }
    }

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
            self.copy(from, to, found.entry.kind).await;
            if self.failures.len() >= FAILURES {
                break;
            }
        }
        while let Some(copied) = self.under_way.next().await {
            self.note(copied);
        }
        Ok(())
    }

    async fn copy(&mut self, from: VfsPath, to: Result<VfsPath>, kind: NodeKind) {
        if self.lost.iter().any(|lost| from.starts_with(lost)) {
            return;
        }
        let session = self.session;
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
        if kind == NodeKind::Folder {
            let copied = session.copy_folder(&from, &to, Overwrite::Forbid).await;
            if copied.is_err() {
                self.lost.push(from);
            }
            self.note((to, kind, copied));
            return;
        }
        self.under_way.push(Box::pin(async move {
            let copied = session.copy_file(&from, &to, Overwrite::Forbid).await;
            (to, kind, copied)
        }));
        if self.under_way.len() >= AT_ONCE
            && let Some(copied) = self.under_way.next().await
        {
            self.note(copied);
        }
    }

    fn note(&mut self, (path, kind, copied): Copied) {
        match copied {
            // Gone since it was seen.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.failures.push(Failure { path, kind, error }),
            Ok(()) => {}
        }
    }
}
