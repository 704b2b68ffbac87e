//! Looks, every few seconds, whether what this instance depends on answers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::crypto::kms::KmsKeys;
use crate::db::database::Database;
use crate::domain::error::Result;
use crate::net::readiness::{Part, Readiness};
use crate::storage::store::BlobStore;

/// How often database and blob store are asked, and how long they may take.
const LOOK: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(4);
/// How often the key service is asked: each time costs.
const KEY_LOOK: Duration = Duration::from_secs(60);
/// One lost answer is no outage: that many in a row are.
const LOST: u32 = 2;

/// What is looked at.
pub struct Dependencies {
    /// The database.
    pub database: Database,
    /// The blob store of the region of new tenants.
    pub store: Arc<dyn BlobStore>,
    /// The key service there; none where a key file serves.
    pub key_service: Option<KmsKeys>,
    /// How long the instance serves on with the keys that it has in memory.
    pub key_life: Duration,
}

/// Looks until `stop`, and notes what it sees in `readiness`.
pub async fn watch(on: Dependencies, readiness: Readiness, stop: CancellationToken) {
    let mut database = Watched::new("database");
    let mut store = Watched::new("store");
    let mut keys = Watched::new("keys");
    let mut keys_due = Instant::now();
    let rounds = Box::pin(async {
        loop {
            tokio::join!(
                database.ask(on.database.probe()),
                store.ask(on.store.look()),
            );
            if let Some(service) = &on.key_service
                && keys_due <= Instant::now()
            {
                keys.ask(service.probe("the region of new tenants")).await;
                keys_due = Instant::now() + KEY_LOOK;
            }
            let parts = vec![
                database.part(|lost, _| lost < LOST),
                store.part(|lost, _| lost < LOST),
                keys.part(|_, silent_for| silent_for < on.key_life),
            ];
            readiness.note(parts);
            tokio::time::sleep(LOOK).await;
        }
    });
    stop.run_until_cancelled(rounds).await;
}

/// One part over time.
struct Watched {
    name: &'static str,
    /// Answers that did not come, since the last that came.
    lost: u32,
    /// The last answer that came.
    heard: Instant,
    latency: Option<Duration>,
    problem: Option<String>,
}

impl Watched {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            lost: 0,
            heard: Instant::now(),
            latency: Some(Duration::ZERO),
            problem: None,
        }
    }

    async fn ask(&mut self, question: impl Future<Output = Result<()>>) {
        let asked = Instant::now();
        let problem = match tokio::time::timeout(ANSWER, question).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((error.context().to_owned(), format!("{error:?}"))),
            Err(_) => Some((
                "there was no answer in time".to_owned(),
                "no answer".to_owned(),
            )),
        };
        match problem {
            None => {
                if self.lost > 0 {
                    tracing::info!(part = self.name, "answers again");
                }
                self.lost = 0;
                self.heard = Instant::now();
                self.latency = Some(asked.elapsed());
                self.problem = None;
            }
            Some((sentence, cause)) => {
                if self.lost == 0 {
                    tracing::warn!(part = self.name, cause, "does not answer");
                }
                self.lost = self.lost.saturating_add(1);
                self.latency = None;
                self.problem = Some(sentence);
            }
        }
    }

    /// As it stands, ready as `judge` says of the answers lost and the time since the last that came.
    fn part(&self, judge: impl Fn(u32, Duration) -> bool) -> Part {
        Part {
            name: self.name,
            ready: self.lost == 0 || judge(self.lost, self.heard.elapsed()),
            latency: self.latency,
            problem: self.problem.clone(),
        }
    }
}
