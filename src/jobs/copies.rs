//! Bringing blobs where they belong: to their tenant's region, and to its replica.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;

use crate::db::blobs::BlobInfo;
use crate::db::operation::{Operation, Record};
use crate::db::placement::{self, Placement};
use crate::db::sql::TenantTx;
use crate::db::{clocks, copies, leases};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{BlobId, RegionId, TenantId};
use crate::domain::principal::Actor;
use crate::vfs::copying;
use crate::vfs::key_copies;
use crate::vfs::service::Vfs;

const BATCH: i64 = 100;
const AT_ONCE: usize = 8;
/// How long one instance has a tenant's copying to itself: as long as it lives and does not give it back, since one
/// blob may take hours, and another instance would begin it anew.
const LEASE: Duration = Duration::from_secs(30 * 24 * 3600);
const KIND: &str = "copying";

/// Copies a tenant's blobs to where they belong; returns how many copies were made.
///
/// A blob that is not in its tenant's region is copied there, and the copy becomes its object; what it
/// leaves stays as a copy until it is removed. Then what the replica lacks is copied there, after the keys
/// that it needs were wrapped by what the replica's region has for that. Whatever is
/// done is noted at once, so that the next round, on any instance, goes on from there.
///
/// # Errors
/// The first that kept a blob where it is; the others were still tried, unless where they go does not answer.
pub async fn run(vfs: &Vfs, tenant: TenantId) -> Result<u64> {
    let placement = placement::find(vfs.database(), tenant).await?;
    if placement.keys_destroyed_at.is_some() {
        // Nobody can tell whether a copy is whole, or has any use for one.
        return Ok(0);
    }
    let round = Round {
        vfs,
        tenant,
        placement: &placement,
    };
    let mut outcome = Outcome::default();
    let ended = round.run(&mut outcome).await;
    if outcome.leased {
        // Whoever comes next may go on. If this does not get through, it is this instance's until it ends.
        let released = leases::release(vfs.database(), tenant, KIND, vfs.instance()).await;
        ended.and(released)?;
    } else {
        ended?;
    }
    let mut tx = vfs.database().read(tenant).await?;
    let any = copies::any(&mut tx).await?;
    drop(tx);
    if any {
        vfs.committer().run(tenant, &Actor::job(), Release).await?;
    }
    let tidied = key_copies::tidy(vfs.keys(), tenant).await;
    match outcome.failed {
        Some(error) => Err(error),
        None => tidied.map(|()| outcome.copied),
    }
}

struct Round<'a> {
    vfs: &'a Vfs,
    tenant: TenantId,
    placement: &'a Placement,
}

#[derive(Default)]
struct Outcome {
    copied: u64,
    /// Whether the work is this instance's to give back.
    leased: bool,
    failed: Option<Error>,
}

/// Whether there is any use in going on.
enum Target {
    Answers,
    Silent,
}

impl Round<'_> {
    async fn run(&self, outcome: &mut Outcome) -> Result<()> {
        let placement = self.placement;
        self.relocate(outcome).await?;
        match placement.replica.filter(|to| *to != placement.region) {
            Some(replica) => self.replicate(replica, outcome).await,
            None => Ok(()),
        }
    }

    async fn relocate(&self, outcome: &mut Outcome) -> Result<()> {
        let to = self.placement.region;
        let mut after = BlobId::NIL;
        loop {
            let mut tx = self.vfs.database().read(self.tenant).await?;
            let page = copies::elsewhere(&mut tx, to, after, BATCH).await?;
            drop(tx);
            let Some(last) = page.last() else {
                return Ok(());
            };
            if !self.go_on(outcome).await? {
                return Ok(());
            }
            after = last.info.id;
            // Also those that have their copy there: it becomes the one that everything hangs on.
            let infos = page.iter().map(|blob| blob.info).collect();
            let (ids, target) = self.copy_all(infos, to, outcome).await?;
            let switch = Switch { ids, to };
            let committer = self.vfs.committer();
            committer.run(self.tenant, &Actor::job(), switch).await?;
            if let Target::Silent = target {
                return Ok(());
            }
        }
    }

    async fn replicate(&self, to: RegionId, outcome: &mut Outcome) -> Result<()> {
        let start = (self.placement.replicated_at, BlobId::NIL);
        // What cannot be copied must not keep the others from it, nor must keys that cannot be wrapped.
        let mut after = start;
        let mut wraps = true;
        loop {
            let mut tx = self.vfs.database().snapshot(self.tenant).await?;
            let horizon = clocks::latest(&mut tx).await?.at;
            let page = copies::missing_after(&mut tx, to, after, BATCH).await?;
            let none_left = match page.is_empty() {
                true => copies::missing_after(&mut tx, to, start, 1)
                    .await?
                    .is_empty(),
                false => false,
            };
            drop(tx);
            // Before a blob is said to be there that nobody could read there.
            wraps = wraps && self.wrap_keys(to, outcome).await;
            let Some(last) = page.last() else {
                return match none_left && horizon > start.0 {
                    true => self.note_replicated(to, horizon).await,
                    false => Ok(()),
                };
            };
            if !self.go_on(outcome).await? {
                return Ok(());
            }
            after = (last.at, last.info.id);
            let infos = page.iter().map(|blob| blob.info).collect();
            if let (_, Target::Silent) = self.copy_all(infos, to, outcome).await? {
                return Ok(());
            }
        }
    }

    /// Has the tenant's keys wrapped for its replica; says whether that is worth trying again in this round.
    async fn wrap_keys(&self, to: RegionId, outcome: &mut Outcome) -> bool {
        let keys = self.vfs.keys();
        if !keys.ring().wraps_for(to) {
            // What is missing there is told of the replica; the copies are of use as long as the first key service is.
            tracing::debug!(tenant.id = %self.tenant, region = %to, "nothing wraps keys for a replica");
            return false;
        }
        match key_copies::make(keys, self.tenant, to).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(tenant.id = %self.tenant, region = %to, error = ?error, "a replica cannot be read without the tenant's own key service; its keys are wrapped for it later");
                outcome.failed.get_or_insert(error);
                false
            }
        }
    }

    async fn note_replicated(&self, to: RegionId, until: Timestamp) -> Result<()> {
        placement::set_replicated(self.vfs.database(), self.tenant, to, until).await
    }

    /// Whether this instance still has the work to itself.
    async fn go_on(&self, outcome: &mut Outcome) -> Result<bool> {
        let (db, instance) = (self.vfs.database(), self.vfs.instance());
        outcome.leased = leases::take(db, self.tenant, KIND, instance, LEASE).await?;
        Ok(outcome.leased)
    }

    /// Copies blobs and notes the copies; returns those that are there. Nothing more is begun once the region does not
    /// answer: each blob would be waited for in vain.
    async fn copy_all(
        &self,
        blobs: Vec<BlobInfo>,
        to: RegionId,
        outcome: &mut Outcome,
    ) -> Result<(Vec<BlobId>, Target)> {
        if let Some(first) = blobs.first()
            && let Err(error) = self.ask(to, first.id).await
        {
            outcome.failed.get_or_insert(error);
            return Ok((Vec::new(), Target::Silent));
        }
        let committer = self.vfs.committer();
        let announce = Announce {
            ids: blobs.iter().map(|info| info.id).collect(),
            to,
        };
        committer.run(self.tenant, &Actor::job(), announce).await?;
        let is_silent = AtomicBool::new(false);
        let copies = blobs.into_iter().map(|info| {
            let is_silent = &is_silent;
            async move {
                if is_silent.load(Ordering::Relaxed) {
                    return (info.id, Copied::Left);
                }
                match self.copy(&info, to).await {
                    Ok(()) => (info.id, Copied::Done),
                    Err(error) if error.kind() == ErrorKind::Unavailable => {
                        let answer = self.ask(to, info.id).await;
                        is_silent.fetch_or(answer.is_err(), Ordering::Relaxed);
                        (info.id, Copied::Failed(answer.err().unwrap_or(error)))
                    }
                    Err(error) => (info.id, Copied::Failed(error)),
                }
            }
        });
        let mut copies = futures_util::stream::iter(copies).buffer_unordered(AT_ONCE);
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        while let Some((id, copied)) = copies.next().await {
            match copied {
                Copied::Done => done.push(id),
                Copied::Failed(error) => {
                    // That a region does not answer concerns all of them, and is told once, of the round.
                    if error.kind() != ErrorKind::Unavailable {
                        tracing::warn!(blob = %id, tenant.id = %self.tenant, region = %to, error = ?error, "a blob was not copied; it is tried again");
                    }
                    outcome.failed.get_or_insert(error);
                    failed.push(id);
                }
                Copied::Left => failed.push(id),
            }
        }
        drop(copies);
        outcome.copied += done.len() as u64;
        let note = Note {
            done: done.clone(),
            failed,
            to,
        };
        committer.run(self.tenant, &Actor::job(), note).await?;
        let target = match is_silent.into_inner() {
            true => Target::Silent,
            false => Target::Answers,
        };
        Ok((done, target))
    }

    /// Asks a region for a blob, to see whether it answers.
    async fn ask(&self, region: RegionId, id: BlobId) -> Result<()> {
        match self.vfs.store(region)?.length(id).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(Error::new(
                ErrorKind::Unavailable,
                "a region does not answer; what was to be copied there waits for it",
            )
            .because(format!("region number {region}: {error:?}"))),
            _ => Ok(()),
        }
    }

    /// From wherever it is whole.
    async fn copy(&self, info: &BlobInfo, to: RegionId) -> Result<()> {
        let first = copying::copy(self.vfs, self.tenant, info, info.region, to).await;
        let Err(first) = first else {
            return Ok(());
        };
        let mut tx = self.vfs.database().read(self.tenant).await?;
        let places = copies::whereabouts(&mut tx, info.id).await?;
        drop(tx);
        for from in places
            .into_iter()
            .filter(|from| *from != info.region && *from != to)
        {
            let copied = copying::copy(self.vfs, self.tenant, info, from, to).await;
            if copied.is_ok() {
                return Ok(());
            }
        }
        Err(first)
    }
}

/// What came of a blob.
enum Copied {
    Done,
    Failed(Error),
    /// Nobody tried.
    Left,
}

/// Before the first byte, so that nobody takes an object for an orphan.
struct Announce {
    ids: Vec<BlobId>,
    to: RegionId,
}

#[async_trait]
impl Operation for Announce {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        for id in &self.ids {
            copies::announce(tx, *id, self.to, next.at).await?;
        }
        Ok(Record::Nothing)
    }
}

/// Afterwards. Meanwhile the tenant may have been moved elsewhere, and its copies swept up.
struct Note {
    done: Vec<BlobId>,
    failed: Vec<BlobId>,
    to: RegionId,
}

#[async_trait]
impl Operation for Note {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        for id in &self.done {
            if !copies::add(tx, *id, self.to, next.at).await? {
                copies::retract(tx, *id, self.to, next.at).await?;
            }
        }
        for id in &self.failed {
            copies::retract(tx, *id, self.to, next.at).await?;
        }
        Ok(Record::Nothing)
    }
}

struct Switch {
    ids: Vec<BlobId>,
    to: RegionId,
}

#[async_trait]
impl Operation for Switch {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        for id in &self.ids {
            copies::switch(tx, *id, self.to, next.at).await?;
        }
        Ok(Record::Nothing)
    }
}

struct Release;

#[async_trait]
impl Operation for Release {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        // As it is now: the operator may have changed it while blobs were copied.
        let Placement {
            region, replica, ..
        } = placement::of(tx).await?;
        copies::release_unwanted(tx, region, replica, next.at).await?;
        // What a move or an earlier replica left there is no copy before it was read back.
        if let Some(replica) = replica.filter(|to| *to != region)
            && copies::any_in_doubt(tx, replica).await?
        {
            placement::replicate_anew(tx).await?;
        }
        Ok(Record::Nothing)
    }
}
