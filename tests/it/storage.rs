//! What `BlobStore` promises, asked of every store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sealift::domain::clock::{Clock, ManualClock, SystemClock, Timestamp};
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::id::BlobId;
use sealift::storage::breaker::Breaker;
use sealift::storage::faulty::{FaultyStore, Operation};
use sealift::storage::local::LocalStore;
use sealift::storage::memory::MemoryStore;
use sealift::storage::proven::{Look, Proven};
use sealift::storage::store::{BlobStore, BlobWriter, Checkpoint};
use tokio::task::JoinSet;

use crate::support::folder::TempFolder;
use crate::support::seaweed::Seaweed;

macro_rules! conformance {
    ($($name:ident)*) => {
        mod local {
            $(#[tokio::test]
            async fn $name() {
                let folder = super::TempFolder::new();
                let store = super::LocalStore::open(&folder.join("store")).unwrap();
                super::$name(std::sync::Arc::new(store)).await;
            })*
        }

        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(std::sync::Arc::new(super::MemoryStore::default())).await;
            })*
        }

        mod s3_over_http {
            $(#[tokio::test]
            async fn $name() {
                let server = super::Seaweed::shared();
                let store = server.store(&server.http()).await;
                super::$name(std::sync::Arc::new(store)).await;
            })*
        }

        mod s3_over_https {
            $(#[tokio::test]
            async fn $name() {
                let server = super::Seaweed::shared();
                let store = server.store(&server.https()).await;
                super::$name(std::sync::Arc::new(store)).await;
            })*
        }

        mod breaker_without_trouble {
            $(#[tokio::test]
            async fn $name() {
                let inner = std::sync::Arc::new(super::MemoryStore::default());
                super::$name(std::sync::Arc::new(super::Breaker::new(inner, "memory"))).await;
            })*
        }

        mod proven {
            $(#[tokio::test]
            async fn $name() {
                let inner = std::sync::Arc::new(super::MemoryStore::default());
                let proof = |_| -> super::Look { Box::pin(async { Ok(()) }) };
                let proven = super::Proven::new(inner, Box::new(proof));
                super::$name(std::sync::Arc::new(proven)).await;
            })*
        }

        mod faulty_without_faults {
            $(#[tokio::test]
            async fn $name() {
                let inner = std::sync::Arc::new(super::MemoryStore::default());
                super::$name(std::sync::Arc::new(super::FaultyStore::new(inner))).await;
            })*
        }
    };
}

conformance! {
    what_was_put_is_read
    the_first_owner_stays_and_is_not_listed
    a_range_beyond_the_end_is_corrupt
    a_missing_blob_is_not_found
    a_blob_is_written_once
    a_blob_in_pieces_is_invisible_before_finish
    small_and_large_pieces_arrive_in_order
    one_of_many_puts_and_finishes_wins
    one_of_many_begins_wins_where_the_store_can_tell
    salvage_keeps_the_checkpointed_part
    salvage_may_be_repeated_and_follow_finish
    salvage_of_too_little_is_corrupt
    salvage_of_nothing_is_not_found
    a_writer_can_do_nothing_after_salvage
    a_dropped_writer_leaves_an_unfinished_blob
    delete_is_complete_and_may_be_repeated
    a_deleted_id_can_be_written_again
    list_pages_in_order_with_unfinished_blobs
    list_tells_length_and_time
    probe_succeeds_and_leaves_nothing
}

type Store = Arc<dyn BlobStore>;

fn bytes(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

/// As many bytes, or as the store wants a piece to have that is not a blob's last.
fn piece(store: &Store, length: usize, seed: u64) -> Bytes {
    bytes(length.max(store.shape().least_piece), seed)
}

/// Waits until all that was written has arrived.
async fn arrive(writer: &mut Box<dyn BlobWriter>) {
    while writer.relieve().await.unwrap() {}
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

async fn whole(store: &Store, id: BlobId) -> Bytes {
    let length = store.length(id).await.unwrap().unwrap();
    store.read(id, 0..length).await.unwrap().freeze()
}

async fn the_first_owner_stays_and_is_not_listed(store: Store) {
    assert_eq!(store.owner().await.unwrap(), None);
    let mut claims = JoinSet::new();
    for number in 0..5 {
        let store = store.clone();
        claims.spawn(async move { store.claim(&format!("owner {number}")).await.unwrap() });
    }
    let told = claims.join_all().await;
    let owner = store.owner().await.unwrap();
    assert!(told.iter().all(|told| Some(told) == owner.as_ref()));
    assert_eq!(Some(store.claim("late").await.unwrap()), owner);
    assert!(store.list(None, 10).await.unwrap().is_empty());
    assert!(store.unfinished(None, 10).await.unwrap().is_empty());
    let id = BlobId::random();
    store.put(id, bytes(10, 1)).await.unwrap();
    assert_eq!(store.list(None, 1).await.unwrap().len(), 1);
}

async fn what_was_put_is_read(store: Store) {
    for length in [0, 1, 100_000, 3 << 20] {
        let (id, sealed) = (BlobId::random(), bytes(length, 1));
        store.put(id, sealed.clone()).await.unwrap();
        assert_eq!(store.length(id).await.unwrap(), Some(length as u64));
        assert!(whole(&store, id).await == sealed);
        let (from, to) = (length / 3, length / 2);
        let part = store.read(id, from as u64..to as u64).await.unwrap();
        assert!(part == sealed[from..to]);
        let end = length as u64;
        assert!(store.read(id, end..end).await.unwrap().is_empty());
    }
}

async fn a_range_beyond_the_end_is_corrupt(store: Store) {
    let id = BlobId::random();
    store.put(id, bytes(100, 1)).await.unwrap();
    for range in [0..101, 100..101, 101..101, 1_000..2_000, 0..u64::MAX] {
        let error = kind(store.read(id, range).await);
        assert_eq!(error, Some(ErrorKind::Corrupt));
    }
}

async fn a_missing_blob_is_not_found(store: Store) {
    let id = BlobId::random();
    assert_eq!(store.length(id).await.unwrap(), None);
    for range in [0..0, 0..10] {
        let error = kind(store.read(id, range).await);
        assert_eq!(error, Some(ErrorKind::NotFound));
    }
}

async fn a_blob_is_written_once(store: Store) {
    let (id, first, second) = (BlobId::random(), bytes(1000, 1), bytes(2000, 2));
    store.put(id, first.clone()).await.unwrap();
    let again = store.put(id, second).await;
    assert_eq!(kind(again), Some(ErrorKind::AlreadyExists));
    let stored = match store.begin(id).await {
        Ok(mut writer) => {
            writer.write(bytes(10, 3)).await.unwrap();
            writer.finish().await
        }
        Err(error) => Err(error),
    };
    assert_eq!(kind(stored), Some(ErrorKind::AlreadyExists));
    assert_eq!(whole(&store, id).await, first);

    let id = BlobId::random();
    let mut writer = store.begin(id).await.unwrap();
    writer.write(bytes(10, 3)).await.unwrap();
    store.put(id, first.clone()).await.unwrap();
    assert_eq!(kind(writer.finish().await), Some(ErrorKind::AlreadyExists));
    assert_eq!(whole(&store, id).await, first);
}

async fn a_blob_in_pieces_is_invisible_before_finish(store: Store) {
    let length = piece(&store, 1 << 20, 1).len();
    let (id, sealed) = (BlobId::random(), bytes(3 * length, 1));
    let mut writer = store.begin(id).await.unwrap();
    for at in 0..3 {
        assert_eq!(store.length(id).await.unwrap(), None);
        assert_eq!(kind(store.read(id, 0..1).await), Some(ErrorKind::NotFound));
        let piece = sealed.slice(at * length..(at + 1) * length);
        writer.write(piece).await.unwrap();
        let checkpoint = writer.checkpoint().await.unwrap();
        assert!(checkpoint.length <= (at as u64 + 1) * length as u64);
    }
    assert_eq!(store.length(id).await.unwrap(), None);
    writer.finish().await.unwrap();
    assert!(whole(&store, id).await == sealed);
}

async fn small_and_large_pieces_arrive_in_order(store: Store) {
    let least = store.shape().least_piece;
    let (id, sealed) = (BlobId::random(), bytes(9_000_000 + least, 1));
    let mut random = fastrand::Rng::with_seed(2);
    let mut writer = store.begin(id).await.unwrap();
    let mut rest = sealed.clone();
    writer.write(Bytes::new()).await.unwrap();
    while !rest.is_empty() {
        let largest = match random.u8(0..8) {
            0 => 2_500_000,
            1 => 0,
            _ => 70_000,
        };
        let length = (least + random.usize(0..=largest)).min(rest.len());
        writer.write(rest.split_to(length)).await.unwrap();
        if random.u8(0..30) == 0 {
            writer.checkpoint().await.unwrap();
        }
    }
    writer.finish().await.unwrap();
    assert!(whole(&store, id).await == sealed);

    let empty = BlobId::random();
    store.begin(empty).await.unwrap().finish().await.unwrap();
    assert_eq!(store.length(empty).await.unwrap(), Some(0));
}

async fn one_of_many_puts_and_finishes_wins(store: Store) {
    // SeaweedFS queues those who want one object by polling, and of two uploads in parts that are
    // completed at one moment it lets both win: one of them is enough to contend with puts.
    let (rounds, contenders, writers) = match store.shape().least_piece {
        0 => (10, 16, 5),
        _ => (3, 6, 1),
    };
    for round in 0..rounds {
        let id = BlobId::random();
        let mut tasks = JoinSet::new();
        for seed in 0..contenders {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let sealed = bytes(10_000 + seed as usize, seed);
                let stored = match (seed + round) % contenders {
                    turn if turn < writers => match store.begin(id).await {
                        Ok(mut writer) => {
                            writer.write(sealed.clone()).await.unwrap();
                            writer.finish().await
                        }
                        Err(error) => Err(error),
                    },
                    _ => store.put(id, sealed.clone()).await,
                };
                (stored, sealed)
            });
        }
        let mut won = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            match ended.unwrap() {
                (Ok(()), sealed) => won.push(sealed),
                (Err(error), _) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
            }
        }
        assert_eq!(won.len(), 1);
        assert!(whole(&store, id).await == won[0]);
    }
}

async fn one_of_many_begins_wins_where_the_store_can_tell(store: Store) {
    let id = BlobId::random();
    let begins = (0..16).map(|_| store.begin(id));
    let begun = futures_util::future::join_all(begins).await;
    let (writers, refused): (Vec<_>, Vec<_>) = begun.into_iter().partition(Result::is_ok);
    assert!(!writers.is_empty());
    for error in refused {
        assert_eq!(kind(error), Some(ErrorKind::AlreadyExists));
    }
    let mut finished = 0;
    for writer in writers {
        match writer.unwrap().finish().await {
            Ok(()) => finished += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
        }
    }
    assert_eq!(finished, 1);
}

/// Writes `written`, checkpoints, writes more without a checkpoint, and breaks off.
async fn break_off(store: &Store, id: BlobId, written: &Bytes) -> Checkpoint {
    let mut writer = store.begin(id).await.unwrap();
    writer.write(written.clone()).await.unwrap();
    arrive(&mut writer).await;
    let checkpoint = writer.checkpoint().await.unwrap();
    writer.write(bytes(2 << 20, 99)).await.unwrap();
    checkpoint
}

async fn salvage_keeps_the_checkpointed_part(store: Store) {
    for length in [0, 5_000, 5 << 20] {
        let (id, mut written) = (BlobId::random(), piece(&store, length, 1));
        if length == 0 {
            written.clear();
        }
        let checkpoint = break_off(&store, id, &written).await;
        assert_eq!(checkpoint.length, written.len() as u64);
        assert_eq!(store.length(id).await.unwrap(), None);
        store.salvage(id, &checkpoint).await.unwrap();
        assert_eq!(store.length(id).await.unwrap(), Some(checkpoint.length));
        assert!(whole(&store, id).await == written);
        assert_eq!(
            kind(store.put(id, bytes(1, 1)).await),
            Some(ErrorKind::AlreadyExists)
        );
    }
}

async fn salvage_may_be_repeated_and_follow_finish(store: Store) {
    let (id, written) = (BlobId::random(), piece(&store, 5_000, 1));
    let checkpoint = break_off(&store, id, &written).await;
    for _ in 0..3 {
        store.salvage(id, &checkpoint).await.unwrap();
        assert_eq!(store.length(id).await.unwrap(), Some(checkpoint.length));
    }

    let first = piece(&store, 5_000, 1).len();
    let (id, sealed) = (BlobId::random(), bytes(first + 4_000, 1));
    let mut writer = store.begin(id).await.unwrap();
    writer.write(sealed.slice(..first)).await.unwrap();
    let checkpoint = writer.checkpoint().await.unwrap();
    writer.write(sealed.slice(first..)).await.unwrap();
    writer.finish().await.unwrap();
    store.salvage(id, &checkpoint).await.unwrap();
    assert!(whole(&store, id).await == sealed);
}

async fn salvage_of_too_little_is_corrupt(store: Store) {
    let id = BlobId::random();
    let mut checkpoint = break_off(&store, id, &piece(&store, 5_000, 1)).await;
    checkpoint.length = 1 << 40;
    let salvaged = store.salvage(id, &checkpoint).await;
    assert_eq!(kind(salvaged), Some(ErrorKind::Corrupt));
    assert_eq!(store.length(id).await.unwrap(), None);

    let id = BlobId::random();
    store.put(id, bytes(5_000, 1)).await.unwrap();
    let salvaged = store.salvage(id, &checkpoint).await;
    assert_eq!(kind(salvaged), Some(ErrorKind::Corrupt));
    assert_eq!(store.length(id).await.unwrap(), Some(5_000));
}

async fn salvage_of_nothing_is_not_found(store: Store) {
    let checkpoint = Checkpoint::default();
    let salvaged = store.salvage(BlobId::random(), &checkpoint).await;
    assert_eq!(kind(salvaged), Some(ErrorKind::NotFound));
}

async fn a_writer_can_do_nothing_after_salvage(store: Store) {
    let (id, written) = (BlobId::random(), piece(&store, 5_000, 1));
    let mut writer = store.begin(id).await.unwrap();
    writer.write(written.clone()).await.unwrap();
    arrive(&mut writer).await;
    let checkpoint = writer.checkpoint().await.unwrap();
    store.salvage(id, &checkpoint).await.unwrap();
    // Whether it is told at once or at the end does not matter.
    for seed in 0..5 {
        drop(writer.write(bytes(1 << 20, seed)).await);
    }
    while let Ok(true) = writer.relieve().await {}
    assert!(writer.checkpoint().await.is_err());
    assert!(writer.finish().await.is_err());
    assert!(whole(&store, id).await == written[..checkpoint.length as usize]);
}

async fn a_dropped_writer_leaves_an_unfinished_blob(store: Store) {
    let id = BlobId::random();
    drop(break_off(&store, id, &piece(&store, 5_000, 1)).await);
    assert_eq!(store.list(None, 10).await.unwrap(), []);
    let list = store.unfinished(None, 10).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].id, id);
    assert!(!list[0].finished);
    // S3 would have to be asked for each.
    assert!(list[0].length >= 5_000 || list[0].length == 0);
}

async fn delete_is_complete_and_may_be_repeated(store: Store) {
    let (finished, unfinished) = (BlobId::random(), BlobId::random());
    store.put(finished, bytes(5_000, 1)).await.unwrap();
    // So that a store that keeps files open has it open.
    store.read(finished, 0..1).await.unwrap();
    let checkpoint = break_off(&store, unfinished, &piece(&store, 5_000, 1)).await;
    for _ in 0..2 {
        store.delete(finished).await.unwrap();
        store.discard(unfinished).await.unwrap();
        let read = store.read(finished, 0..1).await;
        assert_eq!(kind(read), Some(ErrorKind::NotFound));
        assert_eq!(store.length(finished).await.unwrap(), None);
        let salvaged = store.salvage(unfinished, &checkpoint).await;
        assert_eq!(kind(salvaged), Some(ErrorKind::NotFound));
        assert_eq!(store.list(None, 10).await.unwrap(), []);
        assert_eq!(store.unfinished(None, 10).await.unwrap(), []);
    }

    let id = BlobId::random();
    let mut writer = store.begin(id).await.unwrap();
    writer.write(piece(&store, 10, 1)).await.unwrap();
    arrive(&mut writer).await;
    store.discard(id).await.unwrap();
    drop(writer.write(bytes(10, 1)).await);
    assert_eq!(kind(writer.finish().await), Some(ErrorKind::NotFound));
    assert_eq!(store.length(id).await.unwrap(), None);
}

async fn a_deleted_id_can_be_written_again(store: Store) {
    let (id, second) = (BlobId::random(), bytes(50, 2));
    store.put(id, bytes(5_000, 1)).await.unwrap();
    store.read(id, 0..5_000).await.unwrap();
    store.delete(id).await.unwrap();
    store.put(id, second.clone()).await.unwrap();
    assert_eq!(whole(&store, id).await, second);
}

async fn list_pages_in_order_with_unfinished_blobs(store: Store) {
    assert_eq!(store.list(None, 10).await.unwrap(), []);
    let mut expected = Vec::new();
    for number in 0..60 {
        let id = BlobId::random();
        let finished = number % 3 != 0;
        match finished {
            true => store.put(id, bytes(10, 1)).await.unwrap(),
            false => {
                let mut writer = store.begin(id).await.unwrap();
                writer.write(bytes(10, 1)).await.unwrap();
                arrive(&mut writer).await;
            }
        }
        expected.push((id, finished));
    }
    expected.sort();
    for limit in [1, 7, 60, 1_000] {
        let mut found = Vec::new();
        for finished in [true, false] {
            let mut after = None;
            loop {
                let page = match finished {
                    true => store.list(after, limit).await.unwrap(),
                    false => store.unfinished(after, limit).await.unwrap(),
                };
                assert!(page.len() <= limit);
                assert!(page.is_sorted_by_key(|blob| blob.id));
                let Some(last) = page.last() else {
                    break;
                };
                after = Some(last.id);
                found.extend(page);
            }
        }
        found.sort_by_key(|blob| blob.id);
        let found: Vec<_> = found.iter().map(|blob| (blob.id, blob.finished)).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(store.list(None, 0).await.unwrap(), []);
}

async fn list_tells_length_and_time(store: Store) {
    let before = SystemClock.now().minus(Duration::from_secs(2));
    let id = BlobId::random();
    store.put(id, bytes(1_234, 1)).await.unwrap();
    let after = SystemClock.now().plus(Duration::from_secs(2));
    let list = store.list(None, 10).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].id, list[0].length), (id, 1_234));
    assert!(before <= list[0].modified && list[0].modified <= after);
}

async fn probe_succeeds_and_leaves_nothing(store: Store) {
    store.probe().await.unwrap();
    assert_eq!(store.unfinished(None, 10).await.unwrap(), []);
    assert_eq!(store.list(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn the_memory_store_dates_blobs_by_its_clock() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_000)));
    let store = MemoryStore::new(clock);
    store.put(BlobId::random(), bytes(1, 1)).await.unwrap();
    let list = store.list(None, 1).await.unwrap();
    assert_eq!(list[0].modified, Timestamp::from_seconds(1_000));
}

#[tokio::test]
async fn a_local_store_keeps_its_blobs_when_it_is_opened_again() {
    let folder = TempFolder::new();
    let (id, begun) = (BlobId::random(), BlobId::random());
    let store: Store = Arc::new(LocalStore::open(folder.path()).unwrap());
    store.put(id, bytes(1_000, 1)).await.unwrap();
    let checkpoint = break_off(&store, begun, &bytes(1_000, 2)).await;
    drop(store);
    let store: Store = Arc::new(LocalStore::open(folder.path()).unwrap());
    assert_eq!(whole(&store, id).await, bytes(1_000, 1));
    store.salvage(begun, &checkpoint).await.unwrap();
    assert_eq!(whole(&store, begun).await, bytes(1_000, 2));
    let digits = id.to_string();
    let path = folder.path().join("blobs").join(&digits[..2]).join(&digits);
    assert_eq!(std::fs::read(path).unwrap(), bytes(1_000, 1));
}

#[tokio::test]
async fn what_a_dead_put_left_is_no_obstacle_and_is_deleted() {
    let folder = TempFolder::new();
    let store: Store = Arc::new(LocalStore::open(folder.path()).unwrap());
    let id = BlobId::random();
    let digits = id.to_string();
    let subfolder = folder.path().join("blobs").join(&digits[..2]);
    std::fs::create_dir(&subfolder).unwrap();
    let debris = subfolder.join(format!("{digits}.put"));
    std::fs::write(&debris, b"half").unwrap();
    let list = store.unfinished(None, 10).await.unwrap();
    assert_eq!(list.len(), 1);
    assert!(!list[0].finished);
    store.put(id, bytes(100, 1)).await.unwrap();
    assert!(!debris.exists());

    // A crash between linking and unlinking leaves two names of one file.
    std::fs::hard_link(subfolder.join(&digits), &debris).unwrap();
    let again = store.put(id, bytes(200, 2)).await;
    assert_eq!(kind(again), Some(ErrorKind::AlreadyExists));
    assert_eq!(whole(&store, id).await, bytes(100, 1));
    let list = store.list(None, 10).await.unwrap();
    assert_eq!(list.len(), 1);
    assert!(list[0].finished);
    store.delete(id).await.unwrap();
    assert!(!debris.exists());
}

#[tokio::test]
async fn what_is_no_file_is_a_damaged_blob_that_holds_nobody_up() {
    let folder = TempFolder::new();
    let store: Store = Arc::new(LocalStore::open(folder.path()).unwrap());
    for is_folder in [false, true] {
        let id = BlobId::random();
        store.put(id, bytes(1_000, 1)).await.unwrap();
        let digits = id.to_string();
        let path = folder.path().join("blobs").join(&digits[..2]).join(&digits);
        std::fs::remove_file(&path).unwrap();
        if is_folder {
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("own"), b"").unwrap();
        } else {
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.unwrap().success());
        }
        let read = store.read(id, 0..10).await;
        assert_eq!(kind(read), Some(ErrorKind::Corrupt));
        assert_eq!(store.length(id).await.unwrap(), Some(0));
        store.delete(id).await.unwrap();
        assert_eq!(path.exists(), is_folder);
    }
    assert_eq!(store.list(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_local_store_that_lost_its_folder_says_so() {
    let folder = TempFolder::new();
    let store = LocalStore::open(folder.path()).unwrap();
    std::fs::remove_dir_all(folder.path().join("blobs")).unwrap();
    let error = store.probe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.context().contains("blobs"), "{error}");
    std::fs::write(folder.path().join("blobs"), b"").unwrap();
    let put = store.put(BlobId::random(), bytes(1, 1)).await;
    assert_eq!(kind(put), Some(ErrorKind::Unavailable));
    let opened = LocalStore::open(folder.path());
    assert_eq!(kind(opened), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_local_store_tells_a_lost_folder_from_a_missing_blob() {
    let folder = TempFolder::new();
    let (blobs, away) = (folder.path().join("blobs"), folder.path().join("away"));
    let store = LocalStore::open(folder.path()).unwrap();
    let (id, other) = (BlobId::random(), BlobId::random());
    store.put(id, bytes(100, 1)).await.unwrap();
    assert_eq!(store.length(other).await.unwrap(), None);
    store.look().await.unwrap();

    std::fs::rename(&blobs, &away).unwrap();
    // At first nothing is there, then the folder on which the disk was mounted.
    for is_made in [false, true] {
        if is_made {
            std::fs::create_dir(&blobs).unwrap();
        }
        let unavailable = Some(ErrorKind::Unavailable);
        assert_eq!(kind(store.look().await), unavailable);
        for id in [id, other] {
            assert_eq!(kind(store.length(id).await), unavailable);
            assert_eq!(kind(store.read(id, 0..1).await), unavailable);
            assert_eq!(kind(store.delete(id).await), unavailable);
            assert_eq!(kind(store.begin(id).await.map(drop)), unavailable);
            assert_eq!(kind(store.put(id, bytes(1, 1)).await), unavailable);
            let salvaged = store.salvage(id, &Checkpoint::default()).await;
            assert_eq!(kind(salvaged), unavailable);
        }
        assert_eq!(kind(store.list(None, 10).await), unavailable);
    }
    assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 0);

    std::fs::remove_dir(&blobs).unwrap();
    std::fs::rename(&away, &blobs).unwrap();
    store.look().await.unwrap();
    assert_eq!(whole(&(Arc::new(store) as Store), id).await, bytes(100, 1));
}

#[tokio::test]
async fn a_local_store_knows_its_folder_on_another_device() {
    let folder = TempFolder::new();
    let blobs = folder.path().join("blobs");
    let store = LocalStore::open(folder.path()).unwrap();
    let second = LocalStore::open(folder.path()).unwrap();
    // The same files in a folder with another number, as after mounting again.
    std::fs::rename(&blobs, folder.path().join("away")).unwrap();
    std::fs::create_dir(&blobs).unwrap();
    let marker = folder.path().join("away/.store");
    std::fs::copy(marker, blobs.join(".store")).unwrap();
    store.look().await.unwrap();
    second.look().await.unwrap();
    assert_eq!(store.length(BlobId::random()).await.unwrap(), None);
    std::fs::write(blobs.join(".store"), "another").unwrap();
    assert_eq!(kind(store.look().await), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_local_store_marks_its_folder_again() {
    let folder = TempFolder::new();
    let store = LocalStore::open(folder.path()).unwrap();
    let marker = folder.path().join("blobs/.store");
    let before = std::fs::read(&marker).unwrap();
    std::fs::remove_file(&marker).unwrap();
    store.look().await.unwrap();
    assert_eq!(std::fs::read(&marker).unwrap(), before);
    assert_eq!(
        std::fs::read_dir(folder.path().join("blobs"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn a_faulty_store_fails_as_told() {
    let store = FaultyStore::new(Arc::new(MemoryStore::default()));
    let faults = store.faults();
    let id = BlobId::random();

    faults.fail(Operation::Put, ErrorKind::Unavailable, 1);
    let put = store.put(id, bytes(100, 1)).await;
    assert_eq!(kind(put), Some(ErrorKind::Unavailable));
    assert_eq!(store.length(id).await.unwrap(), None);

    faults.lose_reply(Operation::Put, ErrorKind::Unavailable, 1);
    let put = store.put(id, bytes(100, 1)).await;
    assert_eq!(kind(put), Some(ErrorKind::Unavailable));
    let put = store.put(id, bytes(100, 1)).await;
    assert_eq!(kind(put), Some(ErrorKind::AlreadyExists));
    assert_eq!(faults.calls(Operation::Put), 3);

    faults.flip(id, 50);
    let read = store.read(id, 40..60).await.unwrap();
    assert_eq!(read[10], bytes(100, 1)[50] ^ 1);
    faults.mend();
    let read = store.read(id, 40..60).await.unwrap();
    assert!(read == bytes(100, 1)[40..60]);

    faults.fill_after(150);
    store.put(BlobId::random(), bytes(100, 1)).await.unwrap();
    let put = store.put(BlobId::random(), bytes(100, 1)).await;
    assert_eq!(kind(put), Some(ErrorKind::StorageFull));
    let mut writer = store.begin(BlobId::random()).await.unwrap();
    writer.write(bytes(50, 1)).await.unwrap();
    let written = writer.write(bytes(1, 1)).await;
    assert_eq!(kind(written), Some(ErrorKind::StorageFull));
}

#[tokio::test]
async fn a_held_operation_waits_until_it_is_released() {
    let store = FaultyStore::new(Arc::new(MemoryStore::default()));
    let faults = store.faults();
    let id = BlobId::random();
    faults.hold(Operation::Put);
    let put = store.put(id, bytes(1, 1));
    let release = async {
        while faults.calls(Operation::Put) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.length(id).await.unwrap(), None);
        faults.release(Operation::Put);
    };
    let (put, ()) = tokio::join!(put, release);
    put.unwrap();
    assert_eq!(store.length(id).await.unwrap(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_operation_takes_its_time() {
    let store = FaultyStore::new(Arc::new(MemoryStore::default()));
    let delay = Duration::from_secs(20);
    store.faults().delay(Operation::Probe, delay);
    let start = tokio::time::Instant::now();
    store.probe().await.unwrap();
    assert!(start.elapsed() >= delay);
}
