//! Walking a tree in the order of its paths, a folder before what is in it, without holding it in memory.

use std::collections::VecDeque;

use crate::db::entries::{self, Moment};
use crate::domain::error::Result;
use crate::domain::id::{NodeId, TenantId};
use crate::domain::node::Entry;
use crate::vfs::service::Vfs;

/// Entries of one folder that are fetched at once.
const PAGE: usize = 500;
/// Entries that a walk holds at most, beside one page: what waits in folders further up is dropped
/// then, and fetched again.
const HELD: usize = 4000;

/// A walk. What it comes upon is not entered unless it is told so.
pub struct Walk {
    vfs: Vfs,
    tenant: TenantId,
    moment: Moment,
    levels: Vec<Level>,
    /// Statements so far, and entries that these brought.
    statements: usize,
    fetched: usize,
}

struct Level {
    folder: NodeId,
    /// How the folder is called below the start of the walk.
    path: Vec<String>,
    /// Where its next page starts.
    after: String,
    page: VecDeque<Entry>,
    is_over: bool,
}

/// What a walk came upon.
pub struct Found {
    /// The entry.
    pub entry: Entry,
    /// Its path below the start of the walk.
    pub path: Vec<String>,
}

impl Walk {
    /// Nowhere yet.
    pub fn new(vfs: &Vfs, tenant: TenantId, moment: Moment) -> Self {
        Self {
            vfs: vfs.clone(),
            tenant,
            moment,
            levels: Vec::new(),
            statements: 0,
            fetched: 0,
        }
    }

    /// Goes on with what is in `folder`, called `path`, behind `after`; then where it is now.
    pub fn enter(&mut self, folder: NodeId, path: Vec<String>, after: String) {
        self.levels.push(Level {
            folder,
            path,
            after,
            page: VecDeque::new(),
            is_over: false,
        });
    }

    /// Goes on with these, which lie in a folder called `path`; then where it is now.
    pub fn enter_some(&mut self, entries: Vec<Entry>, path: Vec<String>) {
        self.levels.push(Level {
            folder: NodeId::NIL,
            path,
            after: String::new(),
            page: entries.into(),
            is_over: true,
        });
    }

    /// Whether it is in a folder all of which is shown, so that all below is, too.
    pub fn is_open(&self) -> bool {
        self.levels
            .last()
            .is_some_and(|level| level.folder != NodeId::NIL)
    }

    /// How much work it was so far: entries that were looked at, and more for each statement.
    pub fn work(&self) -> usize {
        self.fetched + 20 * self.statements
    }

    /// What comes next; none at the end.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn next(&mut self) -> Result<Option<Found>> {
        loop {
            let Some(level) = self.levels.last_mut() else {
                return Ok(None);
            };
            if let Some(entry) = level.page.pop_front() {
                level.after.clone_from(&entry.name);
                let mut path = level.path.clone();
                path.push(entry.name.clone());
                return Ok(Some(Found { entry, path }));
            }
            if level.is_over {
                self.levels.pop();
                continue;
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        let mut held: usize = self.levels.iter().map(|level| level.page.len()).sum();
        let above = self
            .levels
            .iter_mut()
            .filter(|level| !level.page.is_empty());
        for level in above.filter(|level| level.folder != NodeId::NIL) {
            if held <= HELD {
                break;
            }
            held -= level.page.len();
            level.page = VecDeque::new();
            level.is_over = false;
        }
        let Some(level) = self.levels.last_mut() else {
            return Ok(());
        };
        // In one moment, lest a version that dies between live and past is shown twice.
        let mut tx = self.vfs.database().snapshot(self.tenant).await?;
        let page = entries::page(&mut tx, level.folder, &level.after, PAGE, self.moment).await?;
        self.statements += 1;
        self.fetched += page.len();
        // Of the past a page may be shorter than the next one.
        level.is_over = match self.moment {
            Moment::At(_) => page.is_empty(),
            Moment::Now => page.len() < PAGE,
        };
        level.page = page.into();
        Ok(())
    }
}
