//! Tenants that move from region to region, and replicas.

use std::sync::Arc;
use std::time::Duration;

use sealift::db::sql::Dialect;
use sealift::db::{contents, copies, placement};
use sealift::domain::clock::Clock;
use sealift::domain::error::ErrorKind;
use sealift::domain::id::{BlobId, ContentId, RegionId};
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};
use sealift::jobs::hash::Hashing;
use sealift::jobs::runner::{self, JobSettings};
use sealift::jobs::sweep::{self, Keep};
use sealift::jobs::{copies as copying, mend, orphans, purge};
use sealift::net::budget::Budget;
use sealift::storage::faulty::{Faults, FaultyStore, Operation};
use sealift::storage::memory::MemoryStore;
use sealift::storage::regions::Regions;
use sealift::storage::store::BlobStore;
use sealift::vfs::session::Session;

use crate::support::cloud;
use crate::support::dialects::on_both;
use crate::support::placing::{copied_to, moved_to};
use crate::support::wait::until;
use crate::support::world::{World, get, new_tenant, path, put};

on_both!(
    a_tenant_moves_and_its_files_with_it,
    a_move_goes_on_where_it_was_cut_short,
    a_replica_is_read_when_the_region_is_destroyed,
    a_damaged_blob_is_read_from_its_copy_and_mended,
    copies_go_with_their_blobs,
    leftovers_are_removed_while_blobs_are_being_copied,
    a_move_to_the_replica_makes_good_what_is_damaged_there,
    the_last_copy_of_a_blob_is_never_removed,
    blobs_that_cannot_be_copied_do_not_keep_others_from_it,
    nothing_more_is_copied_to_a_region_that_does_not_answer,
    a_replica_that_is_given_up_during_a_round_is_no_failure,
    a_replica_that_is_named_again_while_it_is_given_up_is_kept,
    copies_that_were_not_made_anew_do_not_count_as_there,
    what_a_move_leaves_in_the_replica_is_no_copy_before_it_was_read_back,
    a_region_that_does_not_answer_is_told_and_the_others_are_checked,
    a_copy_is_read_when_the_region_does_not_answer_at_all,
    a_replica_that_was_emptied_or_damaged_is_made_anew_by_a_repair,
    what_a_region_has_lost_is_put_back_by_a_repair,
    copies_of_large_files_wait_for_the_memory_that_others_hold,
    leavings_are_removed_while_another_region_does_not_answer,
    no_store_sees_content_or_names,
    a_copy_that_takes_long_is_left_to_who_makes_it,
    copies_that_are_made_after_the_tenant_has_moved_back_are_removed,
    what_is_gone_everywhere_is_not_said_to_have_a_copy,
    a_region_that_is_lost_for_good_does_not_stop_housekeeping,
    a_region_that_lets_nothing_be_removed_keeps_no_other_from_being_swept,
    what_is_said_once_not_to_be_there_is_asked_for_again,
    what_was_begun_and_is_known_to_nobody_is_removed,
);

const HERE: RegionId = RegionId::MAIN;
const THERE: RegionId = RegionId(1);
const FILES: u64 = 20;

struct Two {
    world: World,
    session: Session,
    stores: [Arc<dyn BlobStore>; 2],
    faults: [Faults; 2],
}

impl Two {
    async fn new(dialect: Dialect) -> Self {
        let mut stores: Vec<Arc<dyn BlobStore>> = Vec::new();
        if cloud::wanted() {
            stores.push(Arc::new(cloud::store().await));
            stores.push(Arc::new(cloud::store().await));
        }
        let mut faults = Vec::new();
        let regions = |clock: Arc<dyn Clock>| {
            if stores.is_empty() {
                stores = vec![
                    Arc::new(MemoryStore::new(clock.clone())),
                    Arc::new(MemoryStore::new(clock)),
                ];
            }
            Regions::new(
                [HERE, THERE]
                    .into_iter()
                    .zip(&stores)
                    .map(|(region, store)| {
                        let store = FaultyStore::new(store.clone());
                        faults.push(store.faults());
                        (region, Arc::new(store) as Arc<dyn BlobStore>)
                    }),
            )
        };
        let tenant = new_tenant("acme");
        let world = World::across(dialect, tenant, Budget::new(64 << 20), regions).await;
        let session = world.account("ann").await;
        Self {
            session,
            stores: stores.try_into().ok().unwrap(),
            faults: faults.try_into().ok().unwrap(),
            world,
        }
    }

    async fn fill(&self) {
        for number in 0..FILES {
            let name = path(&format!("/{number}"));
            put(&self.session, &name, &content(number)).await.unwrap();
        }
    }

    async fn assert_readable(&self) {
        for number in 0..FILES {
            let read = get(&self.session, &path(&format!("/{number}"))).await;
            assert!(read.unwrap() == content(number));
        }
    }

    async fn move_to(&self, region: RegionId) {
        self.world.place(moved_to(region)).await;
        // Until then new blobs may still go where the tenant was.
        self.world.clock.advance(Duration::from_secs(11));
    }

    async fn replicate_to(&self, region: RegionId) {
        self.world.place(copied_to(Some(region))).await;
    }

    async fn copy(&self) -> sealift::domain::error::Result<u64> {
        copying::run(&self.world.vfs, self.world.tenant.id).await
    }

    /// How many blobs lack their copy, as the lag is told.
    async fn lacking(&self, replica: RegionId) -> usize {
        let db = self.world.vfs.database();
        let placement = placement::find(db, self.world.tenant.id).await.unwrap();
        let mut tx = db.read(self.world.tenant.id).await.unwrap();
        let since = placement.replicated_at;
        let missing = copies::missing(&mut tx, replica, since, 1_000).await;
        missing.unwrap().len()
    }

    async fn left(&self, region: RegionId) -> u64 {
        let db = self.world.vfs.database();
        let mut tx = db.read(self.world.tenant.id).await.unwrap();
        copies::left(&mut tx, region).await.unwrap().0
    }

    async fn sweep(&self, grace: Duration) -> u64 {
        let keep = Keep {
            blob_grace: grace,
            upload_expiry: Duration::from_secs(3600),
        };
        let swept = sweep::run(&self.world.vfs, self.world.tenant.id, keep).await;
        swept.unwrap()
    }

    async fn assert_clean(&self) {
        let report = fsck::check(&self.world.vfs, Repair::No, Depth::Bytes).await;
        let report = report.unwrap();
        assert!(report.clean, "{:?}", report.problems);
        assert_eq!(report.orphans, 0);
    }
}

/// From a few bytes to some MiB, so that blobs are put and written in pieces.
fn content(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 10 + (number * number * 9_000) as usize];
    fastrand::Rng::with_seed(number).fill(&mut bytes);
    bytes
}

async fn objects(store: &Arc<dyn BlobStore>) -> Vec<BlobId> {
    let list = store.list(None, 1_000).await.unwrap();
    list.iter().map(|blob| blob.id).collect()
}

async fn destroy(store: &Arc<dyn BlobStore>) {
    for id in objects(store).await {
        store.discard(id).await.unwrap();
    }
}

async fn a_tenant_moves_and_its_files_with_it(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    assert_eq!(objects(&two.stores[1]).await.len(), 0);
    let reader = two.session.open_read(&path("/19")).await.unwrap();

    two.move_to(THERE).await;
    put(&two.session, &path("/new"), b"new").await.unwrap();
    assert_eq!(objects(&two.stores[1]).await.len(), 1);
    assert_eq!(two.left(THERE).await, FILES);
    assert_eq!(two.copy().await.unwrap(), FILES);
    assert_eq!(two.left(THERE).await, 0);
    assert_eq!(two.copy().await.unwrap(), 0);

    // For a database that is restored from a backup, what was left behind stays for a while.
    assert_eq!(two.sweep(Duration::from_secs(3600)).await, 0);
    two.assert_clean().await;
    two.world.clock.advance(Duration::from_secs(3601));
    assert_eq!(two.sweep(Duration::from_secs(3600)).await, FILES);
    assert_eq!(objects(&two.stores[0]).await.len(), 0);
    two.assert_readable().await;
    two.assert_clean().await;
    // Opened before the move.
    let read = reader.read_at(0, 10).await.unwrap();
    assert_eq!(read, content(19)[..10]);
}

async fn a_move_goes_on_where_it_was_cut_short(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.move_to(THERE).await;
    two.faults[1].fill_after(12 << 20);
    let error = two.copy().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let left = two.left(THERE).await;
    assert!(left > 0, "{left}");
    two.assert_readable().await;
    two.faults[1].mend();
    // An answer that is lost leaves a copy that nobody noted.
    two.faults[1].lose_reply(Operation::Put, ErrorKind::Unavailable, 1);
    let error = two.copy().await.map(drop);
    drop(error);
    two.copy().await.unwrap();
    assert_eq!(two.left(THERE).await, 0);
    two.world.clock.advance(Duration::from_secs(1));
    two.sweep(Duration::ZERO).await;
    two.assert_readable().await;
    two.assert_clean().await;
}

async fn a_replica_is_read_when_the_region_is_destroyed(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    assert_eq!(two.copy().await.unwrap(), FILES);
    assert_eq!(two.copy().await.unwrap(), 0);
    put(&two.session, &path("/later"), b"later").await.unwrap();
    assert_eq!(two.copy().await.unwrap(), 1);

    for operation in [Operation::Read, Operation::Length] {
        two.faults[0].fail(operation, ErrorKind::Unavailable, u64::MAX);
    }
    two.assert_readable().await;
    two.faults[0].mend();
    destroy(&two.stores[0]).await;
    two.assert_readable().await;

    // What is left of the tenant moves to where it is whole.
    two.move_to(THERE).await;
    two.copy().await.unwrap();
    assert_eq!(two.left(THERE).await, 0);
    two.assert_readable().await;
    let later = get(&two.session, &path("/later")).await.unwrap();
    assert_eq!(later, b"later");
    put(&two.session, &path("/after"), b"after").await.unwrap();
}

async fn a_damaged_blob_is_read_from_its_copy_and_mended(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    let damaged = objects(&two.stores[0]).await;
    for (number, id) in damaged.iter().enumerate() {
        let length = two.stores[0].length(*id).await.unwrap().unwrap();
        let mut sealed = two.stores[0].read(*id, 0..length).await.unwrap();
        two.stores[0].discard(*id).await.unwrap();
        match number % 3 {
            // Gone, cut short, and changed.
            0 => continue,
            1 => sealed.truncate(sealed.len() - 1),
            _ => *sealed.last_mut().unwrap() ^= 1,
        }
        two.stores[0].put(*id, sealed.freeze()).await.unwrap();
    }
    let report = fsck::check(&two.world.vfs, Repair::No, Depth::Bytes).await;
    let problems = report.unwrap().problems;
    let named = problems
        .iter()
        .filter(|line| line.contains("is damaged in region main"));
    assert_eq!(named.count(), damaged.len(), "{problems:?}");
    let copy = objects(&two.stores[1]).await[0];
    let whole = two.stores[1].length(copy).await.unwrap().unwrap();
    let bytes = two.stores[1].read(copy, 0..whole).await.unwrap();
    two.stores[1].discard(copy).await.unwrap();
    let report = fsck::check(&two.world.vfs, Repair::No, Depth::Records).await;
    let problems = report.unwrap().problems.join("\n");
    assert!(
        problems.contains("in region number 1 is missing"),
        "{problems}"
    );
    two.stores[1].put(copy, bytes.freeze()).await.unwrap();

    two.assert_readable().await;
    let reports = two.world.vfs.damage().take().await;
    assert_eq!(reports.len(), damaged.len());
    for report in &reports {
        mend::mend(&two.world.vfs, report).await.unwrap();
    }
    destroy(&two.stores[1]).await;
    two.assert_readable().await;
}

async fn copies_go_with_their_blobs(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    two.assert_clean().await;
    two.world.place(copied_to(None)).await;
    two.copy().await.unwrap();
    two.world.clock.advance(Duration::from_secs(1));
    assert_eq!(two.sweep(Duration::ZERO).await, FILES);
    assert_eq!(objects(&two.stores[1]).await.len(), 0);
    two.assert_readable().await;
    two.assert_clean().await;
}

async fn no_store_sees_content_or_names(dialect: Dialect) {
    const SECRET: &[u8] = b"Gehaltsliste-4711";
    let two = Two::new(dialect).await;
    two.replicate_to(THERE).await;
    for length in [SECRET.len(), 200_000, 3 << 20] {
        let content: Vec<u8> = SECRET.iter().copied().cycle().take(length).collect();
        let name = path(&format!("/Gehaltsliste-4711-{length}"));
        put(&two.session, &name, &content).await.unwrap();
    }
    two.copy().await.unwrap();
    let mut looked_at = 0;
    for store in &two.stores {
        for id in objects(store).await {
            let length = store.length(id).await.unwrap().unwrap();
            let sealed = store.read(id, 0..length).await.unwrap();
            for word in [&SECRET[..12], b"acme", b"ann@"] {
                assert!(!sealed.windows(word.len()).any(|bytes| bytes == word));
            }
            looked_at += 1;
        }
    }
    assert_eq!(looked_at, 6);
}

async fn what_was_begun_and_is_known_to_nobody_is_removed(dialect: Dialect) {
    let two = Two::new(dialect).await;
    let lost = BlobId::random();
    let mut writer = two.stores[0].begin(lost).await.unwrap();
    let piece = vec![1; two.stores[0].shape().least_piece.max(10)];
    writer.write(piece.into()).await.unwrap();
    while writer.relieve().await.unwrap() {}
    drop(writer);
    // An upload in progress, of which the database knows.
    let options = crate::support::world::replace();
    let mut writer = two.session.open_write(&path("/f"), options).await.unwrap();
    for at in 0..120 {
        let bytes = bytes::Bytes::from(vec![1; 100_000]);
        writer.write_at(at * 100_000, bytes).await.unwrap();
    }
    if !cloud::wanted() {
        // A real server dates by its own clock, which is behind the test's.
        assert_eq!(orphans::run(&two.world.vfs).await.unwrap(), 0);
    }
    two.world.clock.advance(Duration::from_secs(7_300));
    assert_eq!(orphans::run(&two.world.vfs).await.unwrap(), 1);
    let left = two.stores[0].unfinished(None, 10).await.unwrap();
    assert!(left.iter().all(|blob| blob.id != lost));
    writer.commit().await.unwrap();
    assert_eq!(
        get(&two.session, &path("/f")).await.unwrap().len(),
        12_000_000
    );
}

async fn leftovers_are_removed_while_blobs_are_being_copied(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.move_to(THERE).await;
    // Some are copied and looked at, and not noted yet.
    two.faults[1].hold(Operation::Read);
    let copying = two.copy();
    let repairing = async {
        until("some copies", async || {
            objects(&two.stores[1]).await.len() >= 5
        })
        .await;
        let report = fsck::check(&two.world.vfs, Repair::Yes, Depth::Records).await;
        assert_eq!(report.unwrap().removed, 0);
        two.faults[1].release(Operation::Read);
    };
    let (copied, ()) = tokio::join!(copying, repairing);
    copied.unwrap();
    assert_eq!(objects(&two.stores[1]).await.len() as u64, FILES);
    destroy(&two.stores[0]).await;
    two.assert_readable().await;
}

async fn a_move_to_the_replica_makes_good_what_is_damaged_there(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    destroy(&two.stores[1]).await;
    two.move_to(THERE).await;
    two.copy().await.unwrap();
    assert_eq!(two.left(THERE).await, 0);
    destroy(&two.stores[0]).await;
    two.assert_readable().await;
}

async fn the_last_copy_of_a_blob_is_never_removed(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.move_to(THERE).await;
    two.copy().await.unwrap();
    destroy(&two.stores[1]).await;
    two.world.clock.advance(Duration::from_secs(1));
    assert_eq!(two.sweep(Duration::ZERO).await, 0);
    let reports = two.world.vfs.damage().take();
    let reports = tokio::time::timeout(Duration::from_secs(10), reports).await;
    for report in reports.unwrap() {
        mend::mend(&two.world.vfs, &report).await.unwrap();
    }
    assert_eq!(two.sweep(Duration::ZERO).await, FILES);
    two.assert_readable().await;
    two.assert_clean().await;
}

async fn blobs_that_cannot_be_copied_do_not_keep_others_from_it(dialect: Dialect) {
    const LOST: usize = 120;
    let two = Two::new(dialect).await;
    for number in 0..LOST {
        let name = path(&format!("/lost{number}"));
        put(&two.session, &name, b"lost").await.unwrap();
    }
    destroy(&two.stores[0]).await;
    put(&two.session, &path("/whole"), b"whole").await.unwrap();
    two.replicate_to(THERE).await;
    two.copy().await.unwrap_err();
    assert_eq!(objects(&two.stores[1]).await.len(), 1);
}

async fn nothing_more_is_copied_to_a_region_that_does_not_answer(dialect: Dialect) {
    const MANY: usize = 250;
    let two = Two::new(dialect).await;
    for number in 0..MANY {
        let name = path(&format!("/{number}"));
        put(&two.session, &name, b"some").await.unwrap();
    }
    two.replicate_to(THERE).await;
    let there = &two.faults[1];
    let silent = |error: sealift::domain::error::Error| {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let said = error.context();
        assert!(said.contains("a region does not answer"), "{error}");
    };
    there.fail(Operation::Length, ErrorKind::Unavailable, u64::MAX);
    silent(two.copy().await.unwrap_err());
    assert_eq!(there.calls(Operation::Length), 1);
    assert_eq!(there.calls(Operation::Put), 0);
    there.mend();

    // It falls silent while some are on their way: those are the last.
    there.fail(Operation::Put, ErrorKind::Unavailable, u64::MAX);
    there.hold(Operation::Put);
    let falling = async {
        until("copies are on their way", async || {
            there.calls(Operation::Put) >= 8
        })
        .await;
        there.fail(Operation::Length, ErrorKind::Unavailable, u64::MAX);
        there.release(Operation::Put);
    };
    let (copied, ()) = tokio::join!(two.copy(), falling);
    silent(copied.unwrap_err());
    assert_eq!(there.calls(Operation::Put), 8);
    there.mend();
    two.copy().await.unwrap();
    assert_eq!(objects(&two.stores[1]).await.len(), MANY);
    assert_eq!(two.lacking(THERE).await, 0);
    two.assert_clean().await;
}

async fn a_replica_that_is_given_up_during_a_round_is_no_failure(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    let (db, tenant) = (two.world.vfs.database(), two.world.tenant.id);
    two.world.place(copied_to(None)).await;
    let noted = placement::set_replicated(db, tenant, THERE, db.clock().now());
    noted.await.unwrap();
    let placed = placement::find(db, tenant).await.unwrap();
    assert_eq!(placed.replicated_at, sealift::domain::clock::Timestamp(0));
}

async fn copies_that_were_not_made_anew_do_not_count_as_there(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    destroy(&two.stores[1]).await;
    two.world.place(copied_to(None)).await;
    two.copy().await.unwrap();
    two.replicate_to(THERE).await;
    for operation in [Operation::Put, Operation::Begin] {
        two.faults[1].fail(operation, ErrorKind::Unavailable, u64::MAX);
    }
    two.copy().await.unwrap_err();
    assert_eq!(two.lacking(THERE).await as u64, FILES);
    two.faults[1].mend();
    assert_eq!(two.copy().await.unwrap(), FILES);
    assert_eq!(two.lacking(THERE).await, 0);
    destroy(&two.stores[0]).await;
    two.assert_readable().await;
}

async fn what_a_move_leaves_in_the_replica_is_no_copy_before_it_was_read_back(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    destroy(&two.stores[0]).await;
    two.move_to(THERE).await;
    two.replicate_to(HERE).await;
    for operation in [Operation::Put, Operation::Begin] {
        two.faults[0].fail(operation, ErrorKind::Unavailable, u64::MAX);
    }
    two.copy().await.unwrap_err();
    assert_eq!(two.left(THERE).await, 0);
    assert_eq!(two.lacking(HERE).await as u64, FILES);
    two.faults[0].mend();
    two.copy().await.unwrap();
    assert_eq!(two.lacking(HERE).await, 0);
    destroy(&two.stores[1]).await;
    two.assert_readable().await;
}

async fn a_region_that_does_not_answer_is_told_and_the_others_are_checked(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    let lost = objects(&two.stores[1]).await[0];
    two.stores[1].discard(lost).await.unwrap();
    let stranger = BlobId::random();
    let put = two.stores[1].put(stranger, b"x".as_slice().into());
    put.await.unwrap();
    for operation in [Operation::Read, Operation::Length, Operation::List] {
        two.faults[0].fail(operation, ErrorKind::Unavailable, u64::MAX);
    }
    for depth in [Depth::Records, Depth::Bytes] {
        let report = fsck::check(&two.world.vfs, Repair::No, depth).await;
        let report = report.unwrap();
        let told = |what: &str| {
            report
                .problems
                .iter()
                .filter(|line| line.contains(what))
                .count()
        };
        assert!(!report.clean);
        assert_eq!(
            told("region main cannot be checked"),
            1,
            "{:?}",
            report.problems
        );
        assert_eq!(
            told(&format!("copy of blob {lost}")),
            1,
            "{:?}",
            report.problems
        );
        assert_eq!(report.orphans, 1, "{:?}", report.problems);
    }
}

async fn a_copy_is_read_when_the_region_does_not_answer_at_all(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    // For ever, as nothing that vanishes on its way comes back.
    two.faults[0].hold(Operation::Read);
    let read = tokio::time::timeout(Duration::from_secs(100), two.assert_readable());
    read.await.unwrap();
    assert!(two.world.vfs.regions().is_silent(HERE));
    // Nothing is damaged, and so nothing is mended.
    assert!(two.world.vfs.damage().taken().is_empty());

    two.faults[0].release(Operation::Read);
    two.world.vfs.regions().note_answer(HERE);
    destroy(&two.stores[1]).await;
    two.assert_readable().await;
}

async fn a_replica_that_was_emptied_or_damaged_is_made_anew_by_a_repair(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    let (lost, kept) = (objects(&two.stores[1]).await, 1);
    for id in &lost[kept..] {
        two.stores[1].discard(*id).await.unwrap();
    }
    let damaged = lost[0];
    let length = two.stores[1].length(damaged).await.unwrap().unwrap();
    let mut sealed = two.stores[1].read(damaged, 0..length).await.unwrap();
    two.stores[1].discard(damaged).await.unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    two.stores[1].put(damaged, sealed.freeze()).await.unwrap();

    let report = fsck::check(&two.world.vfs, Repair::No, Depth::Bytes).await;
    let report = report.unwrap();
    let missing = report.problems.iter();
    let missing = missing.filter(|line| line.contains("in region number 1 is missing"));
    assert_eq!(missing.count() as u64, FILES - 1, "{:?}", report.problems);
    assert_eq!(report.mendable, FILES, "{:?}", report.problems);
    assert_eq!(two.lacking(THERE).await, 0);
    let report = fsck::check(&two.world.vfs, Repair::Yes, Depth::Bytes).await;
    assert_eq!(report.unwrap().mended, FILES);
    assert_eq!(two.lacking(THERE).await as u64, FILES);
    assert_eq!(two.copy().await.unwrap(), FILES);
    assert_eq!(two.lacking(THERE).await, 0);
    two.assert_clean().await;
    destroy(&two.stores[0]).await;
    two.assert_readable().await;
}

async fn what_a_region_has_lost_is_put_back_by_a_repair(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    destroy(&two.stores[0]).await;
    let report = fsck::check(&two.world.vfs, Repair::No, Depth::Records).await;
    let report = report.unwrap();
    assert_eq!(report.mendable, FILES, "{:?}", report.problems);
    assert!(report.problems[0].contains("is missing in region main"));
    let report = fsck::check(&two.world.vfs, Repair::Yes, Depth::Records).await;
    assert_eq!(report.unwrap().mended, FILES);
    two.assert_clean().await;
    destroy(&two.stores[1]).await;
    two.assert_readable().await;
}

async fn copies_of_large_files_wait_for_the_memory_that_others_hold(dialect: Dialect) {
    let two = Two::new(dialect).await;
    let content = vec![7; 9 << 20];
    for number in 0..8 {
        let name = path(&format!("/large{number}"));
        put(&two.session, &name, &content).await.unwrap();
    }
    two.replicate_to(THERE).await;
    // So that all of them want memory at once, which is enough for two or three.
    two.faults[0].delay(Operation::Read, Duration::from_millis(50));
    assert_eq!(two.copy().await.unwrap(), 8);
    assert_eq!(two.lacking(THERE).await, 0);
}

async fn leavings_are_removed_while_another_region_does_not_answer(dialect: Dialect) {
    let two = Two::new(dialect).await;
    for store in &two.stores {
        let mut writer = store.begin(BlobId::random()).await.unwrap();
        let piece = vec![1; store.shape().least_piece.max(10)];
        writer.write(piece.into()).await.unwrap();
        while writer.relieve().await.unwrap() {}
    }
    let begun = async |number: usize| {
        let store = &two.stores[number];
        store.unfinished(None, 10).await.unwrap().len()
    };
    two.world.clock.advance(Duration::from_secs(7_300));
    two.faults[0].fail(Operation::List, ErrorKind::Unavailable, u64::MAX);
    orphans::run(&two.world.vfs).await.unwrap_err();
    assert_eq!((begun(0).await, begun(1).await), (1, 0));
    // Not only after an hour.
    two.faults[0].mend();
    two.world.clock.advance(Duration::from_secs(310));
    assert_eq!(orphans::run(&two.world.vfs).await.unwrap(), 1);
    assert_eq!(begun(0).await, 0);
}

async fn a_replica_that_is_named_again_while_it_is_given_up_is_kept(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    let db = two.world.vfs.database();
    let tenant = two.world.tenant.id;
    two.world.place(copied_to(None)).await;
    two.copy().await.unwrap();
    two.replicate_to(THERE).await;
    // As if another instance had looked before they were given up.
    let horizon = db.clock().now();
    let noted = placement::set_replicated(db, tenant, THERE, horizon.plus(Duration::from_secs(9)));
    noted.await.unwrap();
    two.copy().await.unwrap();
    two.world.clock.advance(Duration::from_secs(1));
    assert_eq!(two.sweep(Duration::ZERO).await, 0);
    assert_eq!(two.lacking(THERE).await as u64, FILES);
    assert_eq!(two.copy().await.unwrap(), FILES);
    assert_eq!(two.lacking(THERE).await, 0);
    destroy(&two.stores[0]).await;
    two.assert_readable().await;
}

async fn a_copy_that_takes_long_is_left_to_who_makes_it(dialect: Dialect) {
    let two = Two::new(dialect).await;
    let content = vec![7; 20 << 20];
    put(&two.session, &path("/large"), &content).await.unwrap();
    two.move_to(THERE).await;
    let other = two.world.beside();
    two.faults[1].hold(Operation::Finish);
    let copying = two.copy();
    let meanwhile = async {
        until("the copy to be under way", async || {
            !two.stores[1].unfinished(None, 10).await.unwrap().is_empty()
        })
        .await;
        two.world.clock.advance(Duration::from_secs(2 * 3600));
        let copied = copying::run(&other.vfs, other.tenant.id).await;
        assert_eq!(copied.unwrap(), 0);
        two.faults[1].release(Operation::Finish);
    };
    let (copied, ()) = tokio::join!(copying, meanwhile);
    assert_eq!(copied.unwrap(), 1);
    // Then the work is anybody's.
    put(&two.session, &path("/next"), b"next").await.unwrap();
    two.replicate_to(HERE).await;
    assert!(copying::run(&other.vfs, other.tenant.id).await.unwrap() >= 1);
}

async fn copies_that_are_made_after_the_tenant_has_moved_back_are_removed(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.move_to(THERE).await;
    let other = two.world.beside();
    two.faults[1].hold(Operation::Put);
    two.faults[1].hold(Operation::Finish);
    let before = two.faults[1].calls(Operation::Put);
    let is_under_way = || two.faults[1].calls(Operation::Put) > before;
    let copying = async {
        let copied = two.copy().await;
        assert!(is_under_way(), "it ended before: {copied:?}");
        copied
    };
    let meanwhile = async {
        until("copies to be under way", async || is_under_way()).await;
        two.move_to(HERE).await;
        let copied = copying::run(&other.vfs, other.tenant.id).await;
        assert_eq!(copied.unwrap(), 0);
        two.sweep(Duration::from_secs(3600)).await;
        two.faults[1].release(Operation::Put);
        two.faults[1].release(Operation::Finish);
    };
    // What came in pieces was removed under the hands of who made it, which is told.
    let (copied, ()) = tokio::join!(copying, meanwhile);
    assert!(copied.is_ok_and(|copied| copied > 0) || !objects(&two.stores[1]).await.is_empty());
    for _ in 0..2 {
        two.world.clock.advance(Duration::from_secs(1));
        two.copy().await.unwrap();
        two.sweep(Duration::ZERO).await;
    }
    assert!(objects(&two.stores[1]).await.is_empty());
    assert_eq!(objects(&two.stores[0]).await.len() as u64, FILES);
    two.assert_readable().await;
    two.assert_clean().await;
}

async fn what_is_gone_everywhere_is_not_said_to_have_a_copy(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.replicate_to(THERE).await;
    two.copy().await.unwrap();
    destroy(&two.stores[0]).await;
    destroy(&two.stores[1]).await;
    for repair in [Repair::No, Repair::Yes] {
        let report = fsck::check(&two.world.vfs, repair, Depth::Records).await;
        let report = report.unwrap();
        assert_eq!((report.mendable, report.mended), (0, 0));
        assert_eq!(
            report.problems.len() as u64,
            2 * FILES,
            "{:?}",
            report.problems
        );
        for promise in ["there is a copy", "region has it", "makes it anew"] {
            let promised = report.problems.iter().any(|line| line.contains(promise));
            assert!(!promised, "{:?}", report.problems);
        }
    }
}

async fn a_region_that_is_lost_for_good_does_not_stop_housekeeping(dialect: Dialect) {
    let two = Two::new(dialect).await;
    two.fill().await;
    two.move_to(THERE).await;
    two.copy().await.unwrap();
    // Written out of order, so that its sum is left to a job.
    let options = crate::support::world::replace();
    let mut writer = two.session.open_write(&path("/f"), options).await.unwrap();
    for at in (0..20_u64).rev() {
        let bytes = bytes::Bytes::from(vec![1; 1 << 20]);
        writer.write_at(at << 20, bytes).await.unwrap();
    }
    writer.commit().await.unwrap();
    let db = two.world.vfs.database();
    let unhashed = async || {
        let mut tx = db.read(two.world.tenant.id).await.unwrap();
        contents::unhashed(&mut tx, ContentId::NIL, 1 << 30, 10)
            .await
            .unwrap()
    };
    assert_eq!(unhashed().await.len(), 1);
    two.faults[0].fail(Operation::Delete, ErrorKind::Unavailable, u64::MAX);
    let settings = JobSettings {
        blob_grace: Duration::ZERO,
        ..JobSettings::default()
    };
    for _ in 0..2 {
        two.world.clock.advance(Duration::from_secs(1));
        runner::round(&two.world.vfs, settings).await.unwrap();
    }
    let hashing = Hashing::default();
    let hashed = runner::hashing_round(&two.world.vfs, &hashing);
    hashed.await.unwrap();
    assert!(unhashed().await.is_empty());
    let mut tx = db.read(two.world.tenant.id).await.unwrap();
    assert!(copies::any(&mut tx).await.unwrap());
    drop(tx);

    // The settings name it no more: nobody can remove anything there.
    let regions = Regions::new([(THERE, two.stores[1].clone())]);
    let left = two.world.over_regions(regions);
    let keep = Keep {
        blob_grace: Duration::ZERO,
        upload_expiry: Duration::from_secs(3600),
    };
    assert_eq!(
        sweep::run(&left.vfs, left.tenant.id, keep).await.unwrap(),
        0
    );
    let mut tx = left.vfs.database().read(left.tenant.id).await.unwrap();
    assert!(!copies::any(&mut tx).await.unwrap());
}

async fn a_region_that_lets_nothing_be_removed_keeps_no_other_from_being_swept(dialect: Dialect) {
    const MANY: usize = 250;
    let two = Two::new(dialect).await;
    let (vfs, tenant) = (&two.world.vfs, &two.world.tenant);
    let keep = Keep {
        blob_grace: Duration::ZERO,
        upload_expiry: Duration::from_secs(3600),
    };
    let come_and_go = async |count: usize| {
        for number in 0..count {
            let at = path(&format!("/{number}"));
            put(&two.session, &at, b"some").await.unwrap();
            two.session.remove_file(&at).await.unwrap();
        }
        two.world.clock.advance(tenant.retention * 2);
        purge::run(vfs, tenant).await.unwrap();
        two.world.clock.advance(Duration::from_secs(1));
    };
    two.faults[0].fail(Operation::Delete, ErrorKind::Unavailable, u64::MAX);
    come_and_go(MANY).await;
    let failed = sweep::run(vfs, tenant.id, keep).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unavailable);
    two.move_to(THERE).await;
    come_and_go(3).await;
    let objects = async |store: usize| two.stores[store].list(None, 1_000).await.unwrap().len();
    assert_eq!((objects(0).await, objects(1).await), (MANY, 3));
    let failed = sweep::run(vfs, tenant.id, keep).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unavailable);
    assert_eq!((objects(0).await, objects(1).await), (MANY, 0));
    two.faults[0].mend();
    assert_eq!(two.sweep(Duration::ZERO).await, MANY as u64);
    assert_eq!(objects(0).await, 0);
}

async fn what_is_said_once_not_to_be_there_is_asked_for_again(dialect: Dialect) {
    let two = Two::new(dialect).await;
    put(&two.session, &path("/one"), b"one").await.unwrap();
    two.faults[0].fail(Operation::Read, ErrorKind::NotFound, 1);
    assert_eq!(get(&two.session, &path("/one")).await.unwrap(), b"one");
}
