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
    ended: Option<Ending>,
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
        Self {
            cuts,
            news,
            ended: None,
            task,
        }
    }

    /// Waits for what is heard next, in order. May be dropped at any time.
    pub async fn step(&mut self) -> Step {
        let ending = match self.ended.take() {
            Some(ending) => ending,
            None => tokio::select! {
                biased;
                Some(news) = self.news.recv() => return Step::News(news),
                ended = self.task.join_next() => ended.and_then(Result::ok).unwrap_or_else(|| {
                    tracing::error!("a transfer ended without a word");
                    Ending::Stopped
                }),
            },
        };
        // It may have told something between the look for news and that for its end.
        match self.news.try_recv() {
            Ok(news) => {
                self.ended = Some(ending);
                Step::News(news)
            }
            Err(_) => Step::Ended(ending),
        }
    }

    /// Waits for its end.
    pub async fn wait(mut self) {
        while self.task.join_next().await.is_some() {}
    }
}
