//! The job that hashes what was written out of order.

use std::time::Duration;

use bytes::Bytes;
use sealift::crypto::open::sealed_bytes;
use sealift::db::sql::Dialect;
use sealift::db::{contents, instances};
use sealift::domain::id::ContentId;
use sealift::jobs::hash::Hashing;
use sealift::jobs::runner::{self, JobSettings};
use sealift::storage::faulty::Operation;
use sealift::vfs::session::Session;
use tokio::task::JoinSet;

use crate::support::dialects::on_both;
use crate::support::wait::until;
use crate::support::world::{World, path, replace};

on_both!(
    contents_that_cannot_be_read_keep_no_other_from_its_sum,
    what_one_instance_hashes_no_other_reads_and_nothing_waits_for_it,
);

/// Stores a file of which no SHA-256 is known; says which content it has.
async fn store_unhashed(session: &Session, at: &str) -> ContentId {
    let mut writer = session.open_write(&path(at), replace()).await.unwrap();
    for byte in [b"x", b"y"] {
        writer.write_at(0, Bytes::from_static(byte)).await.unwrap();
    }
    writer.commit().await.unwrap();
    session.stat(&path(at)).await.unwrap().content.unwrap()
}

async fn sum(world: &World, content: ContentId) -> Option<[u8; 32]> {
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    contents::load(&mut tx, content).await.unwrap().sha256
}

async fn contents_that_cannot_be_read_keep_no_other_from_its_sum(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let mut damaged = Vec::new();
    for number in 0..17 {
        let content = store_unhashed(&ann, &format!("/damaged{number}")).await;
        let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
        let stored = contents::load(&mut tx, content).await.unwrap();
        for info in &stored.blobs {
            world.faults.flip(info.id, sealed_bytes(info.size) - 1);
        }
        damaged.push(content);
        // Ids are in the order of time.
        world.clock.advance(Duration::from_millis(10));
    }
    let good = store_unhashed(&ann, "/good").await;
    let hashing = Hashing::default();
    for _ in 0..2 {
        runner::hashing_round(&world.vfs, &hashing).await.unwrap();
    }
    assert!(sum(&world, good).await.is_some());
    for content in &damaged {
        assert_eq!(sum(&world, *content).await, None);
    }
    // They have their turn again.
    world.faults.mend();
    for _ in 0..3 {
        runner::hashing_round(&world.vfs, &hashing).await.unwrap();
    }
    for content in damaged {
        assert!(sum(&world, content).await.is_some());
    }
}

async fn what_one_instance_hashes_no_other_reads_and_nothing_waits_for_it(dialect: Dialect) {
    let world = World::new(dialect).await;
    let other = world.beside();
    let lease = Duration::from_secs(1 << 30);
    let renewed = instances::renew(world.vfs.database(), other.vfs.instance(), lease);
    renewed.await.unwrap();
    let ann = world.account("ann").await;
    let content = store_unhashed(&ann, "/x").await;
    let tenant = world.tenant.id;
    world.faults.hold(Operation::Read);
    let mut hashing = JoinSet::new();
    let vfs = world.vfs.clone();
    hashing.spawn(async move { Hashing::default().run(&vfs, tenant).await });
    until("the content to be read", async || {
        world.faults.calls(Operation::Read) > 0
    })
    .await;
    let reads = world.faults.calls(Operation::Read);
    assert_eq!(Hashing::default().run(&other.vfs, tenant).await.unwrap(), 0);
    for vfs in [&world.vfs, &other.vfs] {
        runner::round(vfs, JobSettings::default()).await.unwrap();
    }
    assert_eq!(world.faults.calls(Operation::Read), reads);
    world.faults.release(Operation::Read);
    let hashed = hashing.join_next().await.unwrap().unwrap();
    assert_eq!(hashed.unwrap(), 1);
    assert!(sum(&world, content).await.is_some());
    // It is given back.
    let content = store_unhashed(&ann, "/y").await;
    assert_eq!(Hashing::default().run(&other.vfs, tenant).await.unwrap(), 1);
    assert!(sum(&world, content).await.is_some());
}
