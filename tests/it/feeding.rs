//! How uploads feed a store that takes no small piece, with much memory and with little.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use sealift::crypto::open::sealed_bytes;
use sealift::db::blobs::{self, BlobRecord};
use sealift::db::contents;
use sealift::db::sql::Dialect;
use sealift::domain::id::{BlobId, ContentId};
use sealift::net::budget::Budget;
use sealift::storage::faulty::Operation;
use sealift::storage::memory::MemoryStore;
use sealift::storage::store::Shape;
use sealift::vfs::session::Session;

use crate::support::world::{World, clean, get, new_tenant, path, put, replace};

const MIB: usize = 1 << 20;
/// What clients ask for at a time.
const REQUEST: usize = 255 << 10;

fn shape() -> Shape {
    Shape {
        whole: MIB,
        least_piece: MIB,
        first_piece: MIB,
        most_piece: 2 * MIB,
        most: 40 << 20,
        most_pieces: 35,
        read: MIB,
        reads_ahead: 2,
    }
}

async fn world(budget: usize) -> (World, Session) {
    let tenant = new_tenant("acme");
    let store = |clock| MemoryStore::new(clock).shaped(shape());
    let world = World::over(Dialect::Sqlite, tenant, Budget::new(budget), store).await;
    let session = world.account("ann").await;
    (world, session)
}

fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes
}

async fn stored(world: &World) -> Vec<BlobRecord> {
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    let all = blobs::scan(&mut tx, BlobId::NIL, 10_000).await.unwrap();
    all.into_iter().filter(|blob| blob.uses > 0).collect()
}

async fn is_hashed(world: &World) -> bool {
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    contents::unhashed(&mut tx, ContentId::NIL, i64::MAX, 10)
        .await
        .unwrap()
        .is_empty()
}

#[tokio::test]
async fn with_memory_to_spare_a_file_is_one_blob() {
    let (world, session) = world(64 << 20).await;
    for (name, length) in [("/small", 100), ("/whole", MIB), ("/large", 30 * MIB + 5)] {
        let content = bytes(length);
        put(&session, &path(name), &content).await.unwrap();
        assert!(get(&session, &path(name)).await.unwrap() == content);
    }
    assert_eq!(stored(&world).await.len(), 3);
    assert!(is_hashed(&world).await);
}

#[tokio::test]
async fn a_blob_ends_where_the_store_ends_it_and_the_content_goes_on() {
    let (world, session) = world(64 << 20).await;
    let content = bytes(90 * MIB);
    put(&session, &path("/f"), &content).await.unwrap();
    assert!(get(&session, &path("/f")).await.unwrap() == content);
    assert_eq!(stored(&world).await.len(), 3);
    assert!(is_hashed(&world).await);
}

#[tokio::test]
async fn without_memory_uploads_go_on_in_small_blobs_and_none_waits_for_another() {
    const UPLOADS: usize = 6;
    // What is granted at admission, and next to nothing to spare.
    let (world, session) = world(UPLOADS * 140 * 1024).await;
    let content = bytes(3 * MIB);
    let mut writers = Vec::new();
    for number in 0..UPLOADS {
        let name = path(&format!("/{number}"));
        writers.push((session.open_write(&name, replace()).await.unwrap(), name));
    }
    // In turns, so that all are in the middle at the same time.
    for (index, part) in content.chunks(100_000).enumerate() {
        for (writer, _) in &mut writers {
            let offset = (index * 100_000) as u64;
            let part = Bytes::copy_from_slice(part);
            writer.write_at(offset, part).await.unwrap();
        }
    }
    for (writer, name) in writers {
        writer.commit().await.unwrap();
        assert!(get(&session, &name).await.unwrap() == content);
    }
    assert!(world.vfs.budget().peak() <= world.vfs.budget().total());
    let stored = stored(&world).await;
    assert!(stored.len() > 2 * UPLOADS, "{} blobs", stored.len());
    assert!(is_hashed(&world).await);
}

#[tokio::test]
async fn without_memory_a_file_in_order_may_become_more_blobs_than_one_out_of_order_may_have_pieces()
 {
    let (world, session) = world(8 * MIB).await;
    let mut writer = session.open_write(&path("/f"), replace()).await.unwrap();
    let budget = world.vfs.budget();
    let others = budget.try_take(budget.total() - budget.used()).unwrap();
    let part = Bytes::from(bytes(64 << 10));
    for index in 0..1_100 {
        let offset = index * part.len() as u64;
        writer.write_at(offset, part.clone()).await.unwrap();
    }
    drop(others);
    writer.commit().await.unwrap();
    let stored = stored(&world).await;
    assert!(stored.len() > 1_024, "{} blobs", stored.len());
    let content = get(&session, &path("/f")).await.unwrap();
    assert_eq!(content.len(), 1_100 * part.len());
    assert!(content.chunks(part.len()).all(|piece| piece == part));
}

#[tokio::test]
async fn a_checkpoint_leaves_blobs_alone_that_have_not_changed() {
    let (world, session) = world(8 * MIB).await;
    let content = bytes(40 * MIB);
    let mut writer = session.open_write(&path("/f"), replace()).await.unwrap();
    // Others have the rest.
    let budget = world.vfs.budget();
    let others = budget.try_take(budget.total() - budget.used()).unwrap();
    for (index, part) in content.chunks(64 << 10).enumerate() {
        let part = Bytes::copy_from_slice(part);
        let offset = (index * (64 << 10)) as u64;
        writer.write_at(offset, part).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
    }
    // Each was linked at the checkpoint at which it came, and once more if it was not complete by then.
    let stored = stored(&world).await;
    assert!(stored.len() > 50, "{} blobs", stored.len());
    let times: BTreeSet<_> = stored.iter().map(|blob| blob.at).collect();
    assert!(times.len() > 2, "{times:?}");
    drop(others);
    writer.commit().await.unwrap();
    assert!(get(&session, &path("/f")).await.unwrap() == content);
    clean(&world).await;
}

#[tokio::test]
async fn what_breaks_off_is_kept_as_far_as_the_store_has_it() {
    let (world, session) = world(64 << 20).await;
    let mut writer = session.open_write(&path("/f"), replace()).await.unwrap();
    for (index, part) in bytes(5 * MIB).chunks(MIB).enumerate() {
        let offset = (index * MIB) as u64;
        let part = Bytes::copy_from_slice(part);
        writer.write_at(offset, part).await.unwrap();
    }
    writer.abandon().await;
    world.vfs.drain().await;
    let kept = stored(&world).await;
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].info.finished);
    // The store has made an object of it, so that whoever goes on needs no notes.
    let info = kept[0].info;
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    let notes = blobs::checkpoint(&mut tx, info.id).await.unwrap();
    assert_eq!(notes, None);
    let store = world.vfs.store(info.region).unwrap();
    let length = store.length(info.id).await.unwrap();
    assert_eq!(length, Some(sealed_bytes(info.size)));
    assert!(kept[0].info.size >= 3 * MIB as u64, "{:?}", kept[0].info);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_in_order_is_fetched_once_however_far_ahead() {
    for (reads_ahead, at_once) in [(1, 1), (2, 16), (4, 16)] {
        let tenant = new_tenant("acme");
        let shape = Shape {
            reads_ahead,
            ..shape()
        };
        let store = |clock| MemoryStore::new(clock).shaped(shape);
        let world = World::over(Dialect::Sqlite, tenant, Budget::new(64 * MIB), store).await;
        let session = world.account("ann").await;
        let content = bytes(30 * MIB);
        put(&session, &path("/f"), &content).await.unwrap();
        let reader = &session.open_read(&path("/f")).await.unwrap();
        let before = world.faults.calls(Operation::Read);
        let reads = (0..content.len() as u64).step_by(REQUEST);
        // Sent on, and not held: what is held counts.
        let reads =
            reads.map(|at| async move { reader.read_at(at, REQUEST).await.unwrap().to_vec() });
        let pieces: Vec<Vec<u8>> = stream::iter(reads).buffered(at_once).collect().await;
        assert!(pieces.concat() == content);
        // One more for the header, if the first was not of the beginning.
        let fetched = world.faults.calls(Operation::Read) - before;
        assert!((30..=31).contains(&fetched), "{reads_ahead}: {fetched}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_little_memory_what_is_read_in_order_is_fetched_in_small_chunks() {
    const SMALL: usize = 32 << 10;
    let (world, session) = world(64 * MIB).await;
    let content = bytes(16 * MIB);
    put(&session, &path("/f"), &content).await.unwrap();
    let budget = world.vfs.budget();
    let spared = std::iter::from_fn(|| budget.try_take_spare(MIB / 4));
    let mut spared: Vec<_> = spared.collect();
    // Less than a chunk takes.
    spared.truncate(spared.len() - 3);
    for at_once in [1, 16] {
        let reader = &session.open_read(&path("/f")).await.unwrap();
        let before = world.faults.calls(Operation::Read);
        let reads = (0..content.len() as u64).step_by(SMALL);
        let reads =
            reads.map(|at| async move { reader.read_at(at, SMALL).await.unwrap().to_vec() });
        let pieces: Vec<Vec<u8>> = stream::iter(reads).buffered(at_once).collect().await;
        assert!(pieces.concat() == content);
        let small_chunks = content.len() as u64 / (256 << 10);
        let fetched = world.faults.calls(Operation::Read) - before;
        assert!(
            (small_chunks..2 * small_chunks).contains(&fetched),
            "{at_once}: {fetched}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_at_random_fetches_nothing_ahead() {
    const READS: u64 = 100;
    let tenant = new_tenant("acme");
    let shape = Shape {
        reads_ahead: 4,
        ..shape()
    };
    let store = |clock| MemoryStore::new(clock).shaped(shape);
    let world = World::over(Dialect::Sqlite, tenant, Budget::new(64 * MIB), store).await;
    let session = world.account("ann").await;
    let content = bytes(60 * MIB);
    put(&session, &path("/f"), &content).await.unwrap();
    let reader = session.open_read(&path("/f")).await.unwrap();
    // In order at first, for so long that as much as can be is fetched ahead.
    for at in (0..16 * MIB).step_by(REQUEST) {
        reader.read_at(at as u64, REQUEST).await.unwrap();
    }
    let fetched = || world.faults.calls(Operation::Read);
    let before = fetched();
    // Each far from the one before, and none where another was.
    for number in 0..READS {
        let at = (30 * MIB + (number as usize * 17 % READS as usize) * (MIB / 4)) as u64;
        let piece = reader.read_at(at, 4096).await.unwrap();
        assert!(piece == content[at as usize..at as usize + 4096]);
    }
    // What was on its way already may have come in between.
    let fetched = fetched() - before;
    assert!((READS..=READS + 5).contains(&fetched), "{fetched}");
}
