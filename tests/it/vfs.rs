//! What the file system promises beyond the model: quota under concurrency, rights, damage, full
//! stores, uploads that break off.

use std::time::Duration;

use bytes::Bytes;
use sealift::db::entries;
use sealift::db::grants::{self, Grant, Subject};
use sealift::db::operation::{self, Record};
use sealift::db::sql::{Dialect, TenantTx};
use sealift::db::tenants::NewTenant;
use sealift::db::usage::{self, Amount};
use sealift::domain::change::Committed;
use sealift::domain::clock::Timestamp;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::id::{NodeId, RegionId};
use sealift::domain::node::{AttributeUpdate, Attributes, Entry, NodeKind};
use sealift::domain::principal::Actor;
use sealift::domain::rights::Rights;
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};
use sealift::jobs::hash::Hashing;
use sealift::jobs::runner::{self, JobSettings};
use sealift::net::budget::Budget;
use sealift::storage::faulty::Operation;
use sealift::vfs::history::Restore;
use sealift::vfs::options::{Create, WriteOptions};
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;

use crate::support::dialects::on_both;
use crate::support::installation::followed;
use crate::support::world::{World, clean, get, new_tenant, path, put, replace, update};

on_both!(
    a_broken_off_upload_shows_nothing_and_expires,
    a_damaged_blob_is_a_read_error,
    a_deleted_folder_comes_back_whole_and_counts_again,
    a_full_store_leaves_the_old_file_and_no_leftovers,
    a_listing_shows_only_the_way_to_what_is_granted,
    a_second_creator_is_refused,
    a_time_of_creation_stays_with_its_file,
    denials_name_the_missing_right,
    a_folder_is_not_its_holders_to_take_away,
    files_that_are_mostly_holes_do_not_overflow_the_counters,
    folders_cannot_move_into_each_other_at_once,
    out_of_order_writes_are_hashed_later,
    opening_a_file_that_is_there_leaves_its_mode,
    quota_is_exact_under_concurrency,
    replacing_a_file_promises_its_room_to_nobody_before_it_is_done,
    sequential_writes_are_hashed_as_they_come,
    the_audit_chain_is_whole,
    what_was_cut_off_does_not_come_back,
);

async fn files_that_are_mostly_holes_do_not_overflow_the_counters(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    for (name, fits) in [("/a", true), ("/b", false)] {
        let mut writer = session.open_write(&path(name), replace()).await.unwrap();
        let written = match writer.write_at(5 << 60, Bytes::from_static(b"x")).await {
            Ok(()) => writer.commit().await.map(drop),
            Err(error) => Err(error),
        };
        let outcome = written.map_err(|error| error.kind());
        assert_eq!(outcome, if fits { Ok(()) } else { Err(ErrorKind::Quota) });
    }
    put(&session, &path("/small"), b"goes on").await.unwrap();
    clean(&world).await;
}

/// What SQLite's planner makes of the queries, which has no statistics to go by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checking_a_big_tree_reads_each_entry_a_few_times() {
    const FOLDERS: usize = 20_000;
    let world = World::new(Dialect::Sqlite).await;
    world.account("ann").await;
    let committer = world.vfs.committer();
    let grow = Grow {
        below: world.tenant.root,
        folders: FOLDERS,
    };
    let actor = Actor::operator();
    committer.run(world.tenant.id, &actor, grow).await.unwrap();
    // Less than a second, or minutes if it looked at each for each.
    let checked = tokio::time::timeout(Duration::from_secs(30), clean(&world));
    checked.await.expect("checked in time");
}

/// Makes many folders as one change.
struct Grow {
    below: NodeId,
    folders: usize,
}

#[async_trait::async_trait]
impl operation::Operation for Grow {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        for index in 0..self.folders {
            let folder = Entry {
                node: NodeId::mint(next.at),
                parent: self.below,
                name: index.to_string(),
                kind: NodeKind::Folder,
                content: None,
                size: 0,
                owner: None,
                attributes: Attributes::folder(next.at),
                born: next.seq,
                died: None,
            };
            entries::insert(tx, &folder).await?;
        }
        let files = i64::try_from(self.folders).unwrap();
        let used = Amount { bytes: 0, files };
        usage::charge(tx, None, used, Amount::default()).await?;
        Ok(Record::Nothing)
    }
}

async fn what_was_cut_off_does_not_come_back(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let file = path("/a");
    let mut writer = session.open_write(&file, replace()).await.unwrap();
    let some = Bytes::from_static(b"some bytes");
    writer.write_at(0, some).await.unwrap();
    writer.resize(0).await.unwrap();
    writer.resize(7).await.unwrap();
    writer.commit().await.unwrap();
    let reader = session.open_read(&file).await.unwrap();
    assert_eq!(&reader.read_at(0, 100).await.unwrap()[..], [0; 7]);
}

async fn opening_a_file_that_is_there_leaves_its_mode(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let with_mode = |mode| WriteOptions {
        attributes: AttributeUpdate {
            mode: Some(mode),
            ..AttributeUpdate::default()
        },
        ..replace()
    };
    // sshfs asks for mode 0 when it opens what is there.
    for mode in [0o640, 0] {
        let file = path("/a");
        let mut writer = session.open_write(&file, with_mode(mode)).await.unwrap();
        let some = Bytes::from_static(b"x");
        writer.write_at(0, some).await.unwrap();
        writer.commit().await.unwrap();
        let entry = session.stat(&file).await.unwrap();
        assert_eq!(entry.attributes.mode, 0o640);
    }
}

async fn quota_is_exact_under_concurrency(dialect: Dialect) {
    const FILE: usize = 300 * 1024;
    let world = World::with(
        dialect,
        NewTenant {
            quota_bytes: Some(10 * FILE as u64 + 100),
            ..new_tenant("acme")
        },
    )
    .await;
    let session = world.account("ann").await;
    let uploads = (0..16).map(|i| {
        let session = session.clone();
        async move { put(&session, &path(&format!("/f{i}")), &vec![7; FILE]).await }
    });
    let outcomes = futures_util::future::join_all(uploads).await;
    world.vfs.drain().await;
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::Quota, "{error:?}");
        assert!(
            error.context().contains("quota of tenant reached"),
            "{error}"
        );
    }
    assert!(stored <= 10, "{stored} files fitted");
    // What failed reserved nothing for good: the room that is left can be used to the last byte.
    for i in stored..10 {
        put(&session, &path(&format!("/more{i}")), &vec![7; FILE])
            .await
            .unwrap();
    }
    put(&session, &path("/rest"), &[7; 100]).await.unwrap();
    let over = put(&session, &path("/over"), &[7; 1]).await.unwrap_err();
    assert_eq!(over.kind(), ErrorKind::Quota);
    // Replacing needs only the difference.
    put(&session, &path("/rest"), &[8; 100]).await.unwrap();
    let space = session.space().await.unwrap();
    assert_eq!(space.used_bytes, space.total_bytes);
    clean(&world).await;
}

async fn replacing_a_file_promises_its_room_to_nobody_before_it_is_done(dialect: Dialect) {
    const MIB: usize = 1 << 20;
    let world = World::with(
        dialect,
        NewTenant {
            quota_bytes: Some(20 * MIB as u64),
            ..new_tenant("acme")
        },
    )
    .await;
    let session = world.account("ann").await;
    put(&session, &path("/x"), &vec![1; 18 * MIB])
        .await
        .unwrap();
    // A smaller version is on its way, and will free room only when it is published.
    let mut smaller = session.open_write(&path("/x"), replace()).await.unwrap();
    smaller
        .write_at(0, Bytes::from(vec![2; MIB]))
        .await
        .unwrap();
    let space = session.space().await.unwrap();
    assert_eq!(space.used_bytes, 18 * MIB as u64);
    let early = put(&session, &path("/y"), &vec![3; 3 * MIB])
        .await
        .unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Quota);
    smaller.commit().await.unwrap();
    put(&session, &path("/y"), &vec![3; 19 * MIB])
        .await
        .unwrap();
    clean(&world).await;
}

async fn a_full_store_leaves_the_old_file_and_no_leftovers(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let file = path("/report");
    put(&session, &file, b"old").await.unwrap();
    for size in [1000, 3_000_000] {
        world.faults.fill_after(500);
        let error = put(&session, &file, &vec![1; size]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(get(&session, &file).await.unwrap(), b"old");
        world.faults.mend();
    }
    world.vfs.drain().await;
    runner::round(&world.vfs, JobSettings::default())
        .await
        .unwrap();
    let report = fsck::check(&world.vfs, Repair::No, Depth::Bytes)
        .await
        .unwrap();
    assert!(report.clean, "{:?}", report.problems);
    let stored = world
        .vfs
        .store(RegionId::MAIN)
        .unwrap()
        .list(None, 100)
        .await
        .unwrap();
    assert_eq!(stored.len(), 1, "only the old file's blob is left");
    assert_eq!(session.space().await.unwrap().used_bytes, 3);
}

async fn a_damaged_blob_is_a_read_error(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let file = path("/scan");
    put(&session, &file, &vec![5; 200_000]).await.unwrap();
    let blob = world
        .vfs
        .store(RegionId::MAIN)
        .unwrap()
        .list(None, 1)
        .await
        .unwrap()[0];
    world.faults.flip(blob.id, 70_000 + 68);
    let reader = session.open_read(&file).await.unwrap();
    let error = reader.read_at(70_000, 1000).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(!error.context().contains(&blob.id.to_string()));
    for (depth, clean) in [(Depth::Bytes, false), (Depth::Records, true)] {
        let report = fsck::check(&world.vfs, Repair::No, depth).await.unwrap();
        assert_eq!(report.clean, clean, "{depth:?}");
    }
}

async fn a_broken_off_upload_shows_nothing_and_expires(dialect: Dialect) {
    let world = World::with(
        dialect,
        NewTenant {
            quota_bytes: Some(100 << 20),
            ..new_tenant("acme")
        },
    )
    .await;
    let session = world.account("ann").await;
    let file = path("/big");
    put(&session, &file, b"old").await.unwrap();
    let mut writer = session.open_write(&file, replace()).await.unwrap();
    for i in 0..400_u64 {
        let bytes = Bytes::from(vec![i as u8; 64 * 1024]);
        writer.write_at(i * 64 * 1024, bytes).await.unwrap();
    }
    writer.abandon().await;
    world.vfs.drain().await;
    assert_eq!(get(&session, &file).await.unwrap(), b"old");
    let kept = session.space().await.unwrap();
    assert!(kept.used_bytes > 3, "what is kept stays reserved");
    clean(&world).await;

    let settings = JobSettings {
        blob_grace: Duration::ZERO,
        ..JobSettings::default()
    };
    world
        .clock
        .advance(settings.upload_expiry + Duration::from_secs(1));
    runner::round(&world.vfs, settings).await.unwrap();
    assert_eq!(session.space().await.unwrap().used_bytes, 3);
    let stored = world
        .vfs
        .store(RegionId::MAIN)
        .unwrap()
        .list(None, 100)
        .await
        .unwrap();
    assert_eq!(stored.len(), 1, "only the old file's blob is left");
    clean(&world).await;
}

async fn a_second_creator_is_refused(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let new = WriteOptions {
        create: Create::New,
        ..update()
    };
    let first = ann.open_write(&path("/x"), new).await.unwrap();
    let mut second = bob.open_write(&path("/x"), new).await.unwrap();
    second
        .write_at(0, Bytes::from_static(b"bob"))
        .await
        .unwrap();
    second.commit().await.unwrap();
    let error = first.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(get(&ann, &path("/x")).await.unwrap(), b"bob");
    clean(&world).await;
}

async fn denials_name_the_missing_right(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let reader = world.account_with("rita", Rights::READ_ONLY, None).await;
    put(&ann, &path("/x"), b"x").await.unwrap();
    ann.make_folder(&path("/d"), Default::default())
        .await
        .unwrap();
    assert_eq!(get(&reader, &path("/x")).await.unwrap(), b"x");
    for (outcome, right) in [
        (put(&reader, &path("/y"), b"").await, "write"),
        (put(&reader, &path("/x"), b"").await, "overwrite"),
        (reader.remove_file(&path("/x")).await, "delete"),
        (reader.remove_folder(&path("/d")).await, "delete"),
        (
            reader.make_folder(&path("/e"), Default::default()).await,
            "make-folders",
        ),
        (
            reader
                .rename(&path("/x"), &path("/z"), Overwrite::Forbid)
                .await,
            "rename",
        ),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.context().contains(&format!("'{right}'")), "{error}");
    }
}

/// Lets an account do everything in a folder.
async fn grant_all(world: &World, ann: &Session, whom: &Session, folder: &str) {
    let folder = ann.stat(&path(folder)).await.unwrap();
    let grant = Grant {
        subject: Subject::Account(whom.principal().account),
        node: folder.node,
        rights: Rights::ALL,
    };
    let mut tx = world.vfs.database().write(world.tenant.id).await.unwrap();
    grants::set(&mut tx, grant).await.unwrap();
    tx.commit().await.unwrap();
}

async fn a_folder_is_not_its_holders_to_take_away(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for folder in ["/home", "/home/bob", "/home/bob/in", "/home/bob/tree"] {
        ann.make_folder(&path(folder), Default::default())
            .await
            .unwrap();
    }
    for file in ["/home/bob/x", "/home/bob/tree/y"] {
        put(&ann, &path(file), b"x").await.unwrap();
    }
    let bob = world.account_with("bob", Rights::NONE, None).await;
    grant_all(&world, &ann, &bob, "/home/bob").await;
    let (own, inside) = (path("/home/bob"), path("/home/bob/in/b"));
    let eve = world.account_with("eve", Rights::NONE, None).await;
    grant_all(&world, &ann, &eve, "/home/bob/tree").await;
    grant_all(&world, &ann, &eve, "/home/bob/in").await;
    for (outcome, right) in [
        (bob.remove_tree(&own).await, "delete"),
        (bob.remove_folder(&own).await, "delete"),
        (
            bob.rename(&own, &path("/home/b"), Overwrite::Forbid).await,
            "rename",
        ),
        (
            eve.rename(&path("/home/bob/tree"), &inside, Overwrite::Forbid)
                .await,
            "rename",
        ),
        (
            eve.rename(
                &path("/home/bob/tree/y"),
                &path("/home/bob/in"),
                Overwrite::Replace,
            )
            .await,
            "rename",
        ),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.context().contains(&format!("'{right}'")), "{error}");
    }
    bob.remove_tree(&path("/home/bob/tree")).await.unwrap();
    bob.remove_file(&path("/home/bob/x")).await.unwrap();
    clean(&world).await;
}

async fn a_listing_shows_only_the_way_to_what_is_granted(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for folder in ["/in", "/in/bob", "/in/other", "/secret"] {
        ann.make_folder(&path(folder), Default::default())
            .await
            .unwrap();
    }
    put(&ann, &path("/in/bob/x"), b"x").await.unwrap();
    put(&ann, &path("/in/file"), b"x").await.unwrap();
    let bob = world.account_with("bob", Rights::NONE, None).await;
    grant_all(&world, &ann, &bob, "/in/bob").await;
    for (folder, expected) in [("/", "in"), ("/in", "bob"), ("/in/bob", "x")] {
        let page = bob
            .list(&path(folder))
            .await
            .unwrap()
            .next_page()
            .await
            .unwrap();
        let names: Vec<_> = page.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, [expected]);
    }
    // Not even whether something is there can be told.
    for hidden in ["/secret", "/secret/x", "/in/other", "/in/file"] {
        let error = bob.stat(&path(hidden)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{hidden}");
    }
    // The grant follows the folder.
    ann.rename(&path("/in"), &path("/out"), Overwrite::Forbid)
        .await
        .unwrap();
    assert_eq!(get(&bob, &path("/out/bob/x")).await.unwrap(), b"x");
}

async fn a_deleted_folder_comes_back_whole_and_counts_again(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    ann.make_folder(&path("/d"), Default::default())
        .await
        .unwrap();
    ann.make_folder(&path("/d/e"), Default::default())
        .await
        .unwrap();
    put(&ann, &path("/d/e/x"), &[1; 5000]).await.unwrap();
    let folder = ann.stat(&path("/d")).await.unwrap();
    for settle in [false, true] {
        ann.remove_tree(&path("/d")).await.unwrap();
        assert_eq!(
            ann.stat(&path("/d")).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        if settle {
            runner::round(&world.vfs, JobSettings::default())
                .await
                .unwrap();
            let space = ann.space().await.unwrap();
            assert_eq!((space.used_bytes, space.used_files), (0, 0));
        }
        clean(&world).await;
        restore(&world, &ann, folder.node).await;
        assert_eq!(get(&ann, &path("/d/e/x")).await.unwrap(), [1; 5000]);
        let space = ann.space().await.unwrap();
        assert_eq!((space.used_bytes, space.used_files), (5000, 3));
        clean(&world).await;
    }
}

async fn restore(world: &World, by: &Session, node: NodeId) {
    let (committer, actor) = (world.vfs.committer(), by.principal().actor());
    let restored = committer.run(world.tenant.id, &actor, Restore { node });
    restored.await.unwrap();
}

async fn a_time_of_creation_stays_with_its_file(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (old, new) = (path("/old"), path("/new"));
    put(&ann, &old, b"first").await.unwrap();
    let made = ann.stat(&old).await.unwrap();
    assert_eq!(made.created(), made.node.minted());
    let long_ago = Timestamp::from_seconds(1_000_000_000);
    let update = AttributeUpdate {
        created: Some(long_ago),
        ..AttributeUpdate::default()
    };
    ann.set_attributes(&old, update).await.unwrap();
    // Sent anew, renamed, deleted and brought back.
    put(&ann, &old, b"second").await.unwrap();
    ann.rename(&old, &new, Overwrite::Forbid).await.unwrap();
    ann.remove_file(&new).await.unwrap();
    restore(&world, &ann, made.node).await;
    let there = ann.stat(&new).await.unwrap();
    assert_eq!((there.node, there.created()), (made.node, long_ago));
    // A copy is another file.
    ann.copy_file(&new, &old, Overwrite::Forbid).await.unwrap();
    let copy = ann.stat(&old).await.unwrap();
    assert_eq!(copy.created(), copy.node.minted());
    clean(&world).await;
}

async fn folders_cannot_move_into_each_other_at_once(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for _ in 0..10 {
        ann.make_folder(&path("/a"), Default::default())
            .await
            .unwrap();
        ann.make_folder(&path("/b"), Default::default())
            .await
            .unwrap();
        let (a, b) = (path("/a"), path("/b"));
        let (a_in_b, b_in_a) = (path("/b/a"), path("/a/b"));
        let one = ann.rename(&a, &a_in_b, Overwrite::Forbid);
        let other = ann.rename(&b, &b_in_a, Overwrite::Forbid);
        let (one, other) = tokio::join!(one, other);
        assert!(one.is_ok() != other.is_ok(), "exactly one wins");
        let top = if one.is_ok() { b } else { a };
        ann.remove_tree(&top).await.unwrap();
    }
    clean(&world).await;
}

async fn sequential_writes_are_hashed_as_they_come(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    // Slightly out of order, as rclone sends.
    let mut writer = ann.open_write(&path("/x"), replace()).await.unwrap();
    let mut chunks: Vec<_> = bytes.chunks(30_000).enumerate().collect();
    for pair in chunks.chunks_mut(2) {
        pair.reverse();
    }
    for (i, chunk) in chunks {
        let offset = i as u64 * 30_000;
        writer
            .write_at(offset, Bytes::copy_from_slice(chunk))
            .await
            .unwrap();
    }
    writer.commit().await.unwrap();
    assert!(get(&ann, &path("/x")).await.unwrap() == bytes);
    assert_eq!(stored_hash(&world, "/x").await, Some(sha256(&bytes)));
}

async fn out_of_order_writes_are_hashed_later(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let mut writer = ann.open_write(&path("/x"), replace()).await.unwrap();
    for i in (0..20_u64).rev() {
        let bytes = Bytes::from(vec![i as u8; 1 << 20]);
        writer.write_at(i << 20, bytes).await.unwrap();
    }
    writer.commit().await.unwrap();
    assert_eq!(stored_hash(&world, "/x").await, None);
    let hashing = Hashing::default();
    let hashed = runner::hashing_round(&world.vfs, &hashing);
    hashed.await.unwrap();
    let bytes = get(&ann, &path("/x")).await.unwrap();
    assert_eq!(bytes.len(), 20 << 20);
    assert_eq!(stored_hash(&world, "/x").await, Some(sha256(&bytes)));
    clean(&world).await;
}

async fn the_audit_chain_is_whole(dialect: Dialect) {
    use sealift::db::audit::{self, ChainState};
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/x"), b"x").await.unwrap();
    get(&ann, &path("/x")).await.unwrap();
    ann.remove_file(&path("/x")).await.unwrap();
    world.vfs.drain().await;
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    let records = audit::page(&mut tx, 0, 100).await.unwrap();
    let kinds: Vec<_> = records.iter().map(|record| record.kind.as_str()).collect();
    assert_eq!(kinds, ["store", "download", "delete"]);
    assert_eq!(followed(&mut tx).await, ChainState::Whole(3));
}

async fn stored_hash(world: &World, at: &str) -> Option<[u8; 32]> {
    use sealift::db::contents;
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    let names = path(at);
    let chain = entries::resolve(&mut tx, names.names(), entries::Moment::Now)
        .await
        .unwrap();
    let content = chain.last().unwrap().content.unwrap();
    contents::load(&mut tx, content).await.unwrap().sha256
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_holds_back_only_those_who_wait_for_it() {
    let world = World::new(Dialect::Sqlite).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/x"), b"x").await.unwrap();
    world.faults.hold(Operation::Put);
    let mut stuck = tokio::task::JoinSet::new();
    let writer = ann.clone();
    stuck.spawn(async move { put(&writer, &path("/y"), b"y").await });
    ann.make_folder(&path("/d"), Default::default())
        .await
        .unwrap();
    assert_eq!(get(&ann, &path("/x")).await.unwrap(), b"x");
    assert_eq!(
        ann.stat(&path("/y")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    world.faults.release(Operation::Put);
    stuck.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(get(&ann, &path("/y")).await.unwrap(), b"y");
}

struct Panics;

#[async_trait::async_trait]
impl operation::Operation for Panics {
    async fn apply(&self, _tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        panic!("as a defect would");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_one_change_does_not_stop_the_next() {
    let world = World::new(Dialect::Sqlite).await;
    let ann = world.account("ann").await;
    let committer = world.vfs.committer();
    let actor = ann.principal().actor();
    let panicked = committer.run(world.tenant.id, &actor, Panics).await;
    assert_eq!(panicked.unwrap_err().kind(), ErrorKind::Internal);
    put(&ann, &path("/x"), b"x").await.unwrap();
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_budget_refuses_or_shrinks_and_never_waits() {
    let budget = Budget::new(400 * 1024);
    let world = World::within(Dialect::Sqlite, new_tenant("acme"), budget.clone()).await;
    let ann = world.account("ann").await;
    // Three are admitted with a frame each; for a fourth there is no room.
    let mut writers = Vec::new();
    for number in 0..3 {
        let at = path(&format!("/f{number}"));
        writers.push(ann.open_write(&at, replace()).await.unwrap());
    }
    let Err(refused) = ann.open_write(&path("/f3"), replace()).await else {
        panic!("a fourth upload was admitted");
    };
    assert_eq!(refused.kind(), ErrorKind::Busy);
    // Those that are in go on, in any order, with next to nothing left.
    let bytes: Vec<u8> = (0..2_000_000_u32).map(|i| (i % 253) as u8).collect();
    for (index, chunk) in bytes.chunks(100_000).enumerate() {
        for writer in &mut writers {
            let offset = index as u64 * 100_000;
            let chunk = Bytes::copy_from_slice(chunk);
            writer.write_at(offset, chunk).await.unwrap();
        }
        assert!(budget.used() <= budget.total());
    }
    for writer in writers {
        writer.commit().await.unwrap();
    }
    assert_eq!(budget.used(), 0, "all is given back");
    for number in 0..3 {
        let at = path(&format!("/f{number}"));
        assert!(get(&ann, &at).await.unwrap() == bytes);
    }
    clean(&world).await;
}
