//! A transfer under way, as its session sees it: a task that tells how it goes, and can be ended.

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::ftp::cuts::Cuts;
use crate::ftp::ending::Ending;
use crate::ftp::transfer::{News, Transfer};

/// A transfer under way.
pub struct Running {
    /// What ends it before its end.
    pub cuts: Cuts,
    news: UnboundedReceiver<News>,
    task: JoinSet<Ending>,
}

/// What is heard of it next.
pub enum Step {
    /// It is over; nothing follows.
    Ended(Ending),
    /// It goes on.
    News(News),
}

impl Running {
    /// Starts a transfer, which tells its news there.
    pub fn start(transfer: Transfer, news: UnboundedReceiver<News>) -> Self {
        let cuts = Cuts::default();
        let mut task = JoinSet::new();
        task.spawn(transfer.run(cuts.clone()));
        Self { cuts, news, task }
    }

    /// Waits for what is heard next, in order. May be dropped at any time.
    pub async fn step(&mut self) -> Step {
        let ended = tokio::select! {
            biased;
            Some(news) = self.news.recv() => return Step::News(news),
            ended = self.task.join_next() => ended,
        };
        match ended {
            Some(Ok(ending)) => Step::Ended(ending),
            other => {
                tracing::error!(outcome = ?other.map(|r| r.is_ok()), "a transfer ended without a word");
                Step::Ended(Ending::Stopped)
            }
        }
    }

    /// Waits for its end.
    pub async fn wait(mut self) {
        while self.task.join_next().await.is_some() {}
    }
}
