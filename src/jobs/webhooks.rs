//! Telling others what happened: at least once, in order as far as nothing fails, each webhook for itself.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::second_factor::KeySource;
use crate::crypto::webhook_signature::SigningSecret;
use crate::db::deliveries::{self, Delivery, DeliveryState, Outcome, Todo};
use crate::db::leases;
use crate::db::tenants::{self, Tenant};
use crate::db::told_folders;
use crate::db::webhooks::{self, Webhook, WebhookState};
use crate::domain::clock::Timestamp;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::id::{TenantId, WebhookId};
use crate::domain::measures;
use crate::jobs::webhook_settings::WebhookSettings;
use crate::jobs::{webhook_attempt, webhook_care};
use crate::net::post::{Failure, Line, Poster};
use crate::vfs::service::Vfs;

/// How often all tenants are looked at: for what other instances wrote down, and what is due again.
const EVERY: Duration = Duration::from_secs(1);
/// Each so many of these looks, it is looked whether there is something to clean up.
const CARE: u64 = 60;
/// Of folders that were renamed, so many parts are told of before other things have their turn.
const FOLDERS: usize = 10;
/// How long a webhook is one instance's, and how long before the end it is renewed.
const LEASE: Duration = Duration::from_secs(60);
const RENEW_BEFORE: Duration = Duration::from_secs(30);
/// How long an answer may take before its place is another's.
const PROMPT: Duration = Duration::from_secs(1);
/// After so many failures in a row, the next is tried after a pause.
const PATIENT: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

type Key = (TenantId, WebhookId);

/// What tells others. Stopped before the instance's leases are given back.
pub struct Webhooks {
    shared: Arc<Shared>,
}

struct Shared {
    vfs: Vfs,
    keys: KeySource,
    settings: WebhookSettings,
    poster: Poster,
    places: Places,
    /// How many of them a tenant may have.
    places_each: Mutex<BTreeMap<TenantId, Arc<Places>>>,
    /// Webhooks that a task works for; until when they are this instance's.
    working: Mutex<BTreeMap<Key, Working>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What may be on its way: receivers that answer need not wait for those that do not.
struct Places {
    prompt: Semaphore,
    /// Of answers that take long.
    slow: Semaphore,
}

impl Places {
    fn new(prompt: usize) -> Self {
        Self {
            prompt: Semaphore::new(prompt.max(1)),
            slow: Semaphore::new(prompt.max(1) * 4),
        }
    }
}

#[derive(Clone, Copy)]
struct Working {
    is_busy: bool,
    leased_until: Option<Instant>,
}

impl Webhooks {
    /// Starts to tell.
    pub fn start(vfs: &Vfs, keys: KeySource, settings: WebhookSettings) -> Self {
        let poster = Poster::new(
            settings.reach.clone(),
            settings.time,
            settings.authorities.clone(),
        );
        let shared = Arc::new(Shared {
            vfs: vfs.in_background(),
            keys,
            places: Places::new(settings.at_once),
            places_each: Mutex::default(),
            settings,
            poster,
            working: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let watching = shared.clone();
        shared.tasks.spawn(async move {
            let stop = watching.stop.clone();
            stop.run_until_cancelled(watching.watch()).await;
        });
        Self { shared }
    }

    /// Stops; what is on its way and was not answered is sent again by whoever comes next.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    async fn watch(self: Arc<Self>) {
        let mut is_down = false;
        let mut rounds = 0_u64;
        let mut due = interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                told = self.vfs.committer().told() => Some(told),
                _ = due.tick() => None,
            };
            let done = match told {
                Some(told) => self.round(told, false).await,
                None => match webhooks::tenants(self.vfs.database()).await {
                    Ok(all) => {
                        rounds += 1;
                        self.round(all, rounds.is_multiple_of(CARE)).await
                    }
                    Err(error) => Err(error),
                },
            };
            // Once each time, not once a second.
            match done {
                Err(error) if !is_down => {
                    tracing::warn!(error = ?error, "webhooks wait; it is tried again");
                    is_down = true;
                }
                Err(_) => {}
                Ok(()) => is_down = false,
            }
        }
    }

    async fn round(
        self: &Arc<Self>,
        tenants: impl IntoIterator<Item = TenantId>,
        with_care: bool,
    ) -> Result<()> {
        let mut outcome = Ok(());
        for tenant in tenants {
            let mut done = self.look_after(tenant).await;
            if with_care && done.is_ok() {
                done = webhook_care::run(&self.vfs, tenant, &self.settings).await;
            }
            outcome = outcome.and(done);
        }
        outcome
    }

    /// Makes deliveries of what was written down, and starts tasks for webhooks with something due.
    async fn look_after(self: &Arc<Self>, tenant: TenantId) -> Result<()> {
        let db = self.vfs.database();
        let now = db.now().await?;
        let mut tx = db.read(tenant).await?;
        let mut todo = deliveries::look(&mut tx, now).await?;
        drop(tx);
        if todo.has_folders || todo.has_news {
            self.spread(tenant, &todo, now).await?;
            let mut tx = db.read(tenant).await?;
            todo = deliveries::look(&mut tx, now).await?;
        }
        for webhook in todo.due {
            let key = (tenant, webhook);
            if !self.begin(key) {
                continue;
            }
            let shared = self.clone();
            self.tasks.spawn(async move {
                let stop = shared.stop.clone();
                let worked = stop.run_until_cancelled(shared.work(key)).await;
                if let Some(Err(error)) = worked {
                    tracing::warn!(tenant.id = %key.0, error = ?error, "a webhook waits; it is tried again");
                }
                shared.end(key);
            });
        }
        Ok(())
    }

    /// Makes deliveries of what was written down: of files of folders before what came after them, unless
    /// these are so many that the rest of them, and other tenants, would wait for long.
    async fn spread(&self, tenant: TenantId, todo: &Todo, now: Timestamp) -> Result<()> {
        let db = self.vfs.database();
        let mut has_folders = todo.has_folders;
        for _ in 0..FOLDERS {
            if !has_folders {
                break;
            }
            let mut tx = db.write(tenant).await?;
            let all = webhooks::list(&mut tx).await?;
            let own = webhooks::temporary(&mut tx).await?;
            let hidden = own.as_ref().unwrap_or(&self.settings.temporary);
            has_folders = told_folders::tell(&mut tx, hidden, &all, now).await?;
            tx.commit().await?;
        }
        let mut has_news = todo.has_news;
        while has_news {
            let mut tx = db.write(tenant).await?;
            let all = webhooks::list(&mut tx).await?;
            has_news = deliveries::spread(&mut tx, &all, now).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Working>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a task works for a webhook; false when one does.
    fn begin(&self, key: Key) -> bool {
        let mut all = self.lock();
        let working = all.entry(key).or_insert(Working {
            is_busy: false,
            leased_until: None,
        });
        !std::mem::replace(&mut working.is_busy, true)
    }

    fn end(&self, key: Key) {
        let mut all = self.lock();
        let now = Instant::now();
        if let Some(working) = all.get_mut(&key) {
            working.is_busy = false;
        }
        all.retain(|_, w| w.is_busy || w.leased_until.is_some_and(|until| until > now));
    }

    /// Whether a webhook is this instance's for a while.
    async fn is_mine(&self, (tenant, webhook): Key) -> Result<bool> {
        let until = self.lock().get(&(tenant, webhook)).map(|w| w.leased_until);
        let now = Instant::now();
        if until
            .flatten()
            .is_some_and(|until| until > now + RENEW_BEFORE)
        {
            return Ok(true);
        }
        let (db, instance) = (self.vfs.database(), self.vfs.instance());
        let kind = format!("webhook {webhook}");
        let is_mine = leases::take(db, tenant, &kind, instance, LEASE).await?;
        if let Some(working) = self.lock().get_mut(&(tenant, webhook)) {
            working.leased_until = is_mine.then_some(now + LEASE);
        }
        Ok(is_mine)
    }

    /// Sends what is due at a webhook until nothing is.
    async fn work(&self, key: Key) -> Result<()> {
        let (tenant, id) = key;
        let db = self.vfs.database();
        let mut lines: Vec<Option<Line>> = Vec::new();
        let (mut url, mut failures) = (String::new(), 0_u32);
        let mut is_taken = false;
        while self.is_mine(key).await? {
            let now = db.now().await?;
            // Who has not answered yet may not answer at all.
            let each = match is_taken {
                true => self.settings.at_once_each,
                false => 1,
            };
            let mut tx = db.read(tenant).await?;
            let found = webhooks::find(&mut tx, id).await?;
            let Some(webhook) = found.filter(|one| one.state == WebhookState::Enabled) else {
                return Ok(());
            };
            let due = deliveries::due(&mut tx, id, now, each).await?;
            let told = deliveries::told(&mut tx).await?;
            drop(tx);
            let Some(sender) = tenants::by_id(db, tenant)
                .await?
                .filter(|_| !due.is_empty())
            else {
                return Ok(());
            };
            if url != webhook.url {
                lines.clear();
                url.clone_from(&webhook.url);
            }
            lines.resize_with(due.len().max(lines.len()), || None);
            let outcomes = self.send(&sender, &webhook, &due, &mut lines).await?;
            self.note(&sender, id, &outcomes).await?;
            let is_well = |one: &Outcome| one.state == DeliveryState::Delivered;
            is_taken = outcomes.iter().any(is_well);
            failures = match is_taken {
                true => 0,
                false => failures.saturating_add(1),
            };
            if failures >= PATIENT && self.pause(tenant, &webhook, failures, (told, now)).await? {
                failures = 0;
            }
        }
        Ok(())
    }

    /// Waits after failures; true when somebody has changed the webhook or had it told again since `now`, when it was
    /// told of all up to number `told`, and so need not wait for the end of it.
    async fn pause(
        &self,
        tenant: TenantId,
        webhook: &Webhook,
        failures: u32,
        (told, now): (i64, Timestamp),
    ) -> Result<bool> {
        let doublings = failures.saturating_sub(PATIENT).min(16);
        let longest = self.settings.longest_delay.min(LONGEST_PAUSE);
        let pause = self.settings.first_delay.saturating_mul(1 << doublings);
        let mut left = pause.min(longest);
        while !left.is_zero() {
            let part = left.min(EVERY);
            tokio::time::sleep(part).await;
            left = left.saturating_sub(part);
            let mut tx = self.vfs.database().read(tenant).await?;
            let is_changed = webhooks::find(&mut tx, webhook.id).await?.as_ref() != Some(webhook);
            if is_changed || deliveries::is_renewed(&mut tx, webhook.id, told, now).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn places_of(&self, tenant: TenantId) -> Arc<Places> {
        let most = self.settings.at_once / 4;
        let all = self.places_each.lock();
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        let places = all
            .entry(tenant)
            .or_insert_with(|| Arc::new(Places::new(most)));
        places.clone()
    }

    /// Sends one thing when there is a place for it, and leaves that to others if the answer takes long.
    async fn send_one(
        &self,
        (tenant, own): (&Tenant, &Places),
        (url, secrets): (&str, &[SigningSecret]),
        delivery: &Delivery,
        line: &mut Option<Line>,
    ) -> std::result::Result<u16, Failure> {
        let lost = |said: &str| Failure::Lost(said.to_owned());
        let place = own.prompt.acquire().await;
        let place = (place, self.places.prompt.acquire().await);
        if place.0.is_err() || place.1.is_err() {
            return Err(lost("the server ends"));
        }
        // Of this try, however long it had to wait.
        let now = self.vfs.database().now().await;
        let now = now.map_err(|_| lost("the database does not answer"))?;
        let message = webhook_attempt::message(tenant, delivery, secrets, now);
        let mut posting = pin!(self.poster.post(url, &message, line));
        if let Ok(answer) = timeout(PROMPT, posting.as_mut()).await {
            return answer;
        }
        let slow = (own.slow.try_acquire(), self.places.slow.try_acquire());
        if slow.0.is_ok() && slow.1.is_ok() {
            drop(place);
            return posting.await;
        }
        drop(slow);
        posting.await
    }

    async fn send(
        &self,
        tenant: &Tenant,
        webhook: &Webhook,
        due: &[Delivery],
        lines: &mut [Option<Line>],
    ) -> Result<Vec<Outcome>> {
        let db = self.vfs.database();
        let now = db.now().await?;
        let secrets = webhook_attempt::secrets(&self.keys, tenant, webhook, now).await;
        let secrets = match &secrets {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                return secrets.map(|_| Vec::new());
            }
            // It cannot be opened any more: others can neither.
            Err(error) => Err(error.context()),
            Ok(secrets) => Ok(secrets),
        };
        // Slow receivers of one tenant leave places for those of others.
        let places = self.places_of(tenant.id);
        let places = &places;
        let sending = due.iter().zip(lines).map(|(delivery, line)| async move {
            let answer = match secrets {
                Ok(secrets) => {
                    let to = (webhook.url.as_str(), secrets.as_slice());
                    self.send_one((tenant, places), to, delivery, line).await
                }
                Err(said) => Err(Failure::Lost(said.to_owned())),
            };
            (delivery, answer)
        });
        let answers = join_all(sending).await;
        let now = db.now().await?;
        let settings = &self.settings;
        let outcomes = answers
            .into_iter()
            .map(|(delivery, answer)| webhook_attempt::outcome(settings, delivery, answer, now));
        Ok(outcomes.collect())
    }

    async fn note(&self, tenant: &Tenant, id: WebhookId, outcomes: &[Outcome]) -> Result<()> {
        let db = self.vfs.database();
        let now = db.now().await?;
        let mut tx = db.write(tenant.id).await?;
        for outcome in outcomes {
            if outcome.state == DeliveryState::Dead {
                tracing::warn!(tenant.id = %tenant.id, webhook.id = %id, said = outcome.said, "gave up telling a webhook");
            }
            deliveries::note(&mut tx, id, outcome, now).await?;
        }
        tx.commit().await?;
        for outcome in outcomes {
            let word = match outcome.state {
                DeliveryState::Waiting => "failed",
                DeliveryState::Dead | DeliveryState::Delivered => outcome.state.word(),
            };
            measures::webhook(word, 1);
        }
        if outcomes.iter().any(webhook_attempt::is_gone) {
            webhook_care::turn_off(&self.vfs, tenant.id, id).await?;
        }
        Ok(())
    }
}
