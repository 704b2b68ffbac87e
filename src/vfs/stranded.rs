//! Uploads that are this instance's, or may be, and that nobody here writes to: others cannot go on with them until they
//! are let go, which is tried again until the database answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use crate::db::commit::Committer;
use crate::db::kept;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::change::Committed;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{TenantId, UploadId};
use crate::domain::principal::Actor;
use crate::vfs::upload::Leave;

/// Between two attempts, each of which has the patience of a commit.
const PAUSE: Duration = Duration::from_secs(2);
/// So many attempts there may be for one upload before it is not taken over any more: while nothing can be committed,
/// and it can be read that an upload is free, clients try for hours.
const MOST_OF_ONE: usize = 8;

/// Lets them go. The lease of the instance, when it is over, does so as well.
pub struct Stranded {
    committer: Committer,
    waiting: Waiting,
    tasks: Mutex<JoinSet<()>>,
}

/// How many attempts there are for each.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<HashMap<UploadId, usize>>>);

impl Stranded {
    /// None yet.
    pub fn new(committer: Committer) -> Self {
        Self {
            committer,
            waiting: Waiting::default(),
            tasks: Mutex::default(),
        }
    }

    /// Fails for an upload that was taken over very often already without knowing how that ended.
    ///
    /// # Errors
    /// Unavailable.
    pub fn check(&self, upload: UploadId) -> Result<()> {
        match self.waiting.lock().get(&upload) {
            Some(&count) if count >= MOST_OF_ONE => Err(Error::new(
                ErrorKind::Unavailable,
                "the server's database does not answer; try again in a moment",
            )),
            _ => Ok(()),
        }
    }

    /// Leaves an upload; what cannot be committed now is committed later.
    ///
    /// # Errors
    /// As [`Leave`]; Unavailable and StorageFull when it is left later.
    pub async fn leave(&self, tenant: TenantId, actor: &Actor, leave: Leave) -> Result<()> {
        let left = self.committer.run(tenant, actor, leave.clone()).await;
        if let Err(error) = &left
            && is_passing(error)
        {
            let letting_go = LetGo {
                leave: leave.later(),
                holder: None,
            };
            self.let_go(tenant, actor, letting_go);
        }
        left.map(drop)
    }

    /// Has an upload let go later, again and again until it is known what became of it.
    pub fn let_go(&self, tenant: TenantId, actor: &Actor, letting_go: LetGo) {
        let (committer, actor) = (self.committer.clone(), actor.clone());
        let upload = letting_go.leave.upload.map(|(id, _)| id);
        let counted = upload.map(|id| self.waiting.count(id));
        let letting_go = async move {
            let _counted = counted;
            loop {
                tokio::time::sleep(PAUSE).await;
                let gone = committer.run(tenant, &actor, letting_go.clone()).await;
                match gone {
                    Err(error) if is_passing(&error) => {}
                    Err(error) if !is_over(&error) => {
                        tracing::warn!(upload = ?upload, tenant.id = %tenant, error = ?error, "an upload cannot be gone on with until this instance ends");
                        return;
                    }
                    Ok(_) | Err(_) => return,
                }
            }
        };
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(letting_go);
    }

    /// Ends what is under way and waits until it has ended.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.shutdown().await;
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave {
    /// The same once it is not certain any more that blobs which are held on to still are.
    fn later(self) -> Self {
        match self.lent_by {
            Some(_) => Self {
                blobs: Vec::new(),
                lent_by: None,
                ..self
            },
            None => self,
        }
    }
}

/// Whether it may be otherwise later.
fn is_passing(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::Unavailable
    )
}

/// Whether there is nothing to let go any more.
fn is_over(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Stale)
}

impl Waiting {
    fn count(&self, upload: UploadId) -> Counted {
        *self.lock().entry(upload).or_default() += 1;
        Counted {
            waiting: self.clone(),
            upload,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UploadId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt, as long as it lasts.
struct Counted {
    waiting: Waiting,
    upload: UploadId,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock();
        if let Some(count) = waiting.get_mut(&self.upload) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.upload);
            }
        }
    }
}

/// Leaves an upload, if it is held as is thought.
#[derive(Clone)]
pub struct LetGo {
    /// The upload, under the epoch in which it is held.
    pub leave: Leave,
    /// What was drawn when it was taken over, where it is not known whether it was: another may have it under the
    /// same epoch.
    pub holder: Option<[u8; 16]>,
}

#[async_trait]
impl Operation for LetGo {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        if let (Some(holder), Some((id, epoch))) = (self.holder, self.leave.upload)
            && !kept::is_held_by(tx, id, epoch, holder).await?
        {
            return Ok(Record::Nothing);
        }
        self.leave.apply(tx, next).await
    }
}
