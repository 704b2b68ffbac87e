//! Looks, every few seconds, whether what this instance depends on answers.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::crypto::kms::KmsKeys;
use crate::db::database::Database;
use crate::db::placement;
use crate::domain::error::{Error, Result};
use crate::domain::id::RegionId;
use crate::net::readiness::{Part, Readiness, RegionPart};
use crate::storage::regions::Regions;
use crate::storage::store::BlobStore;

/// How often database and blob stores are asked, and how long a round waits for them.
const LOOK: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(4);
/// How long a blob store may take, since calls on it may: one that is slow is there. The others are looked at
/// meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the key service is asked: each time costs.
const KEY_LOOK: Duration = Duration::from_secs(60);
/// One lost answer is no outage: that many in a row are.
const LOST: u32 = 2;

/// What is looked at.
pub struct Dependencies {
    /// The database.
    pub database: Database,
    /// The regions that the settings name.
    pub regions: Vec<Region>,
    /// Their stores, which are told what is seen.
    pub stores: Regions,
    /// That of new tenants, which counts as long as there are none.
    pub home: RegionId,
    /// How long the instance serves on with the keys that it has in memory.
    pub key_life: Duration,
}

/// A region that is looked at.
pub struct Region {
    /// Its number.
    pub id: RegionId,
    /// Its name.
    pub name: Arc<str>,
    /// Its blob store.
    pub store: Arc<dyn BlobStore>,
    /// Its key service; none where a key file serves.
    pub key_service: Option<KmsKeys>,
}

/// Looks until `stop`, and notes what it sees in `readiness`.
///
/// An instance is ready while any of the regions that tenants live in, or keep copies in, can be used: the
/// others' tenants are told so when they ask for what is there.
pub async fn watch(on: Dependencies, readiness: Readiness, stop: CancellationToken) {
    let mut database = Watched::new("database", None);
    let regions = on.regions.into_iter().map(|region| WatchedRegion {
        store: Watched::new("store", Some(region.name.clone())),
        keys: Watched::new("keys", Some(region.name.clone())),
        question: JoinSet::new(),
        asked: Instant::now(),
        region,
    });
    let mut regions: Vec<_> = regions.collect();
    let mut used = BTreeSet::from([on.home]);
    let mut keys_due = Instant::now();
    let rounds = Box::pin(async {
        loop {
            let asks_keys = keys_due <= Instant::now();
            let stores = join_all(regions.iter_mut().map(WatchedRegion::look));
            tokio::join!(database.ask(on.database.probe()), stores);
            for one in &regions {
                match one.store.lost == 0 && one.question.is_empty() {
                    true => on.stores.note_answer(one.region.id),
                    // What lies elsewhere as well is better asked for there.
                    false => on.stores.note_silence(one.region.id),
                }
            }
            if asks_keys {
                join_all(regions.iter_mut().map(WatchedRegion::look_at_keys)).await;
                keys_due = Instant::now() + KEY_LOOK;
            }
            // Tenants are where they were when that cannot be asked.
            let asked = tokio::time::timeout(ANSWER, placement::in_use(&on.database)).await;
            if let Ok(Ok(found)) = asked {
                used = found;
            }
            let mut parts = vec![database.part(database.is_there())];
            parts.extend(region_parts(&regions, &used, on.home, on.key_life));
            readiness.note(parts);
            tokio::time::sleep(LOOK).await;
        }
    });
    stop.run_until_cancelled(rounds).await;
}

struct WatchedRegion {
    region: Region,
    store: Watched,
    keys: Watched,
    /// The questions that the store has not answered yet, and when the first was asked.
    question: JoinSet<(Result<()>, Duration)>,
    asked: Instant,
}

impl WatchedRegion {
    async fn look(&mut self) {
        if self.question.is_empty() {
            self.asked = Instant::now();
        }
        // One that is lost may be back, whatever becomes of what was asked before.
        if self.question.is_empty() || !self.store.is_there() {
            let (store, asked) = (self.region.store.clone(), Instant::now());
            self.question
                .spawn(async move { (store.look().await, asked.elapsed()) });
        }
        match tokio::time::timeout(ANSWER, self.question.join_next()).await {
            Ok(Some(Ok((outcome, took)))) => {
                if outcome.is_ok() {
                    self.question = JoinSet::new();
                }
                self.store.hear(outcome, took);
            }
            Ok(_) => {
                let broken = Err(Error::internal("a look at a store broke off"));
                self.store.hear(broken, Duration::ZERO);
            }
            Err(_) if self.asked.elapsed() < PATIENCE => self.store.wait(self.asked.elapsed()),
            Err(_) => {
                self.question = JoinSet::new();
                self.store.miss();
                // It was given the time of several.
                self.store.lost = self.store.lost.max(LOST);
            }
        }
    }

    async fn look_at_keys(&mut self) {
        if let Some(service) = &self.region.key_service {
            let section = format!("region.{}", self.region.name);
            self.keys.ask(service.probe(&section)).await;
        }
    }

    fn has_keys(&self, life: Duration) -> bool {
        self.keys.lost == 0 || self.keys.heard.elapsed() < life
    }
}

/// The parts that there are in each region: ready as long as one of those that are used can be.
fn region_parts(
    regions: &[WatchedRegion],
    used: &BTreeSet<RegionId>,
    home: RegionId,
    key_life: Duration,
) -> [Part; 2] {
    let counts = |one: &&WatchedRegion| match used.is_empty() {
        true => one.region.id == home,
        false => used.contains(&one.region.id),
    };
    // Whom the settings do not name cannot be served by anybody.
    let counting: Vec<_> = match regions.iter().any(|one| counts(&one)) {
        true => regions.iter().filter(counts).collect(),
        false => regions.iter().collect(),
    };
    let keys = counting.iter().any(|one| one.has_keys(key_life));
    let stores = counting
        .iter()
        .any(|one| one.store.is_there() && (one.has_keys(key_life) || !keys));
    [
        Part {
            regions: regions
                .iter()
                .map(|one| one.store.region_part(one.store.is_there()))
                .collect(),
            ..worst(counting.iter().map(|one| &one.store), "store", stores)
        },
        Part {
            regions: regions
                .iter()
                .filter(|one| one.region.key_service.is_some())
                .map(|one| one.keys.region_part(one.has_keys(key_life)))
                .collect(),
            ..worst(counting.iter().map(|one| &one.keys), "keys", keys)
        },
    ]
}

/// All regions in one part: as the one that has been silent for longest.
fn worst<'a>(all: impl Iterator<Item = &'a Watched>, name: &'static str, ready: bool) -> Part {
    let worst = all.max_by_key(|one| (one.lost, one.latency));
    worst.map_or_else(
        || Watched::new(name, None).part(ready),
        |one| one.part(ready),
    )
}

/// One part over time.
struct Watched {
    name: &'static str,
    region: Option<Arc<str>>,
    /// Answers that did not come, since the last that came.
    lost: u32,
    /// The last answer that came.
    heard: Instant,
    latency: Option<Duration>,
    problem: Option<String>,
}

impl Watched {
    fn new(name: &'static str, region: Option<Arc<str>>) -> Self {
        Self {
            name,
            region,
            lost: 0,
            heard: Instant::now(),
            latency: Some(Duration::ZERO),
            problem: None,
        }
    }

    async fn ask(&mut self, question: impl Future<Output = Result<()>>) {
        let asked = Instant::now();
        match tokio::time::timeout(ANSWER, question).await {
            Ok(outcome) => self.hear(outcome, asked.elapsed()),
            Err(_) => self.miss(),
        }
    }

    /// An answer came after so long, or an error in its place.
    fn hear(&mut self, outcome: Result<()>, took: Duration) {
        let Err(error) = outcome else {
            if self.lost > 0 {
                tracing::info!(
                    part = self.name,
                    region = self.region.as_deref(),
                    "answers again"
                );
            }
            self.lost = 0;
            self.heard = Instant::now();
            self.latency = Some(took);
            self.problem = None;
            return;
        };
        self.lose(error.context().to_owned(), &format!("{error:?}"));
    }

    /// The answer may still come: what is known is that it takes longer than that.
    fn wait(&mut self, so_far: Duration) {
        if self.lost == 0 {
            self.latency = self.latency.max(Some(so_far));
        }
    }

    /// No answer came.
    fn miss(&mut self) {
        self.lose("there was no answer in time".to_owned(), "no answer");
    }

    fn lose(&mut self, sentence: String, cause: &str) {
        if self.lost == 0 {
            tracing::warn!(
                part = self.name,
                region = self.region.as_deref(),
                cause,
                "does not answer"
            );
        }
        self.lost = self.lost.saturating_add(1);
        self.latency = None;
        self.problem = Some(sentence);
    }

    fn is_there(&self) -> bool {
        self.lost < LOST
    }

    /// As it stands.
    fn part(&self, ready: bool) -> Part {
        Part {
            name: self.name,
            ready,
            latency: self.latency,
            problem: self.problem.clone(),
            regions: Vec::new(),
        }
    }

    /// As it stands in its region.
    fn region_part(&self, ready: bool) -> RegionPart {
        RegionPart {
            region: self.region.clone().unwrap_or_default(),
            ready,
            latency: self.latency,
            problem: self.problem.clone(),
        }
    }
}
