//! What those who write a file at the same time see of it, and what is left of it in the end.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use sealift::db::sql::Dialect;
use sealift::db::tenants::NewTenant;
use sealift::domain::clock::Timestamp;
use sealift::domain::error::ErrorKind;
use sealift::domain::id::RegionId;
use sealift::domain::node::AttributeUpdate;
use sealift::domain::rights::Rights;
use sealift::domain::sum::SumKind;
use sealift::jobs::runner::{self, JobSettings};
use sealift::net::budget::Budget;
use sealift::vfs::addressed::NewUpload;
use sealift::vfs::addressed_piece::{Trust, Verdict};
use sealift::vfs::options::WriteOptions;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;
use sha2::{Digest, Sha256};

use crate::support::dialects::on_both;
use crate::support::lossy::losing;
use crate::support::wait::until;
use crate::support::world::{World, clean, get, new_tenant, path, put, replace, update};

on_both!(
    bytes_that_came_early_and_files_in_many_pieces_count,
    checksums_of_what_is_not_published_are_not_kept,
    what_broke_off_is_there_as_soon_as_it_is_closed_again_or_cut,
    mode_and_times_of_what_broke_off_come_with_the_rest_or_are_refused,
    mode_and_times_of_what_one_did_not_write_need_their_own_right,
    two_who_append_to_a_file_that_neither_found_lose_nothing,
    who_writes_into_a_name_that_was_free_leaves_what_came_there_meanwhile,
    who_asked_for_an_empty_file_gets_one_whatever_came_there_meanwhile,
    who_sets_a_mode_and_writes_nothing_sees_it_after_a_sync,
    bytes_that_were_written_over_before_they_were_published_go,
    who_writes_over_the_same_bytes_again_and_again_comes_to_the_quota,
    who_sends_the_last_piece_after_another_did_is_told_to_ask_again,
);

async fn who_sets_a_mode_and_writes_nothing_sees_it_after_a_sync(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/a"), b"there").await.unwrap();
    let private = AttributeUpdate {
        mode: Some(0o600),
        ..AttributeUpdate::default()
    };
    let mut writer = ann.open_write(&path("/a"), update()).await.unwrap();
    writer.set_attributes(private).await.unwrap();
    writer.sync().await.unwrap();
    assert_eq!(writer.entry().attributes.mode & 0o777, 0o600);
    let published = ann.stat(&path("/a")).await.unwrap();
    assert_eq!(published.attributes.mode & 0o777, 0o600);
    writer.commit().await.unwrap();
    clean(&world).await;
}

async fn checksums_of_what_is_not_published_are_not_kept(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (at, old, new) = (path("/a"), [b'A'; 5000], [b'B'; 5000]);
    put(&ann, &at, &old).await.unwrap();
    let mut writer = ann.open_write(&at, update()).await.unwrap();
    let bytes = Bytes::copy_from_slice(&new);
    writer.write_at(0, bytes.clone()).await.unwrap();
    for kind in [SumKind::Md5, SumKind::Sha256] {
        let draft = writer.reader().await.unwrap();
        let own = ann.sum(&draft, kind).await.unwrap();
        let published = ann.open_sum(&at).await.unwrap();
        assert_ne!(own, ann.sum(&published, kind).await.unwrap());
    }
    let draft = writer.reader().await.unwrap();
    let sum = ann.sum(&draft, SumKind::Sha256).await.unwrap();
    assert_eq!(sum, Sha256::digest(new).to_vec());
    // Others may have changed it meanwhile, so that what is published by fsync is not what is seen here.
    let bob = world.account("bob").await;
    let mut other = bob.open_write(&at, update()).await.unwrap();
    other
        .write_at(5000, Bytes::from_static(b"C"))
        .await
        .unwrap();
    other.commit().await.unwrap();
    writer.sync().await.unwrap();
    let draft = writer.reader().await.unwrap();
    ann.sum(&draft, SumKind::Md5).await.unwrap();
    let published = ann.open_sum(&at).await.unwrap();
    let kept = ann.sum(&published, SumKind::Md5).await.unwrap();
    let size = published.entry().size;
    let read = ann.sums_of(&published, SumKind::Md5, 0..size, size).await;
    assert_eq!((size, kept), (5001, read.unwrap()));
    writer.commit().await.unwrap();
    clean(&world).await;
}

async fn two_who_append_to_a_file_that_neither_found_lose_nothing(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let at = path("/new.log");
    let append = WriteOptions {
        append: true,
        ..update()
    };
    let mut first = ann.open_write(&at, append).await.unwrap();
    let mut second = bob.open_write(&at, append).await.unwrap();
    // So long that it is written down as an upload before it is closed.
    let long = vec![b'l'; 600_000];
    for (writer, bytes) in [(&mut first, &long[..]), (&mut second, b"of bob\n")] {
        let bytes = Bytes::copy_from_slice(bytes);
        writer.append(bytes).await.unwrap();
    }
    second.commit().await.unwrap();
    first.sync().await.unwrap();
    first.append(Bytes::from_static(b"more")).await.unwrap();
    first.commit().await.unwrap();
    let whole = [b"of bob\n", &long[..], b"more"].concat();
    assert!(get(&ann, &at).await.unwrap() == whole);
    // What was hashed as it was written is not the hash of both.
    let file = ann.open_sum(&at).await.unwrap();
    let sum = ann.sum(&file, SumKind::Sha256).await.unwrap();
    assert_eq!(sum, Sha256::digest(whole).to_vec());
    clean(&world).await;
}

async fn who_writes_into_a_name_that_was_free_leaves_what_came_there_meanwhile(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let at = path("/parts");
    let private = WriteOptions {
        attributes: AttributeUpdate {
            mode: Some(0o600),
            ..AttributeUpdate::default()
        },
        ..update()
    };
    let idle = ann.open_write(&at, private).await.unwrap();
    let mut writer = ann.open_write(&at, private).await.unwrap();
    let mut other = bob.open_write(&at, update()).await.unwrap();
    other
        .write_at(0, Bytes::from_static(b"one "))
        .await
        .unwrap();
    writer
        .write_at(4, Bytes::from_static(b"two"))
        .await
        .unwrap();
    other.commit().await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(get(&ann, &at).await.unwrap(), b"one two");
    idle.commit().await.unwrap();
    assert_eq!(get(&ann, &at).await.unwrap(), b"one two");
    // What it would have got as a new file is not for the one that is there.
    assert_eq!(ann.stat(&at).await.unwrap().attributes.mode, 0o644);
    clean(&world).await;
}

async fn who_asked_for_an_empty_file_gets_one_whatever_came_there_meanwhile(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let at = path("/whole");
    let truncating = ann.open_write(&at, replace()).await.unwrap();
    let mut cutting = ann.open_write(&at, update()).await.unwrap();
    cutting.resize(0).await.unwrap();
    for mut writer in [truncating, cutting] {
        put(&ann, &at, b"came meanwhile").await.unwrap();
        writer.write_at(0, Bytes::from_static(b"x")).await.unwrap();
        writer.commit().await.unwrap();
        assert_eq!(get(&ann, &at).await.unwrap(), b"x");
    }
    clean(&world).await;
}

/// Breaks off an upload of so many bytes; returns how many are kept.
async fn break_off(session: &Session, at: &str, bytes: usize) -> u64 {
    let mut writer = session.open_write(&path(at), replace()).await.unwrap();
    writer
        .write_at(0, Bytes::from(vec![b'x'; bytes]))
        .await
        .unwrap();
    writer.keep().await;
    session.stat(&path(at)).await.unwrap().size
}

async fn what_broke_off_is_there_as_soon_as_it_is_closed_again_or_cut(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let kept = break_off(&ann, "/b", 1_600_000).await;
    for _ in 0..10 {
        let writer = ann.open_write(&path("/b"), update()).await.unwrap();
        writer.commit().await.unwrap();
        assert_eq!(ann.stat(&path("/b")).await.unwrap().size, kept);
    }
    for size in (1..=10).rev().map(|step| step * 1000) {
        ann.truncate(&path("/b"), size).await.unwrap();
        assert_eq!(ann.stat(&path("/b")).await.unwrap().size, size);
    }
    clean(&world).await;
}

async fn mode_and_times_of_what_broke_off_come_with_the_rest_or_are_refused(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let kept = break_off(&ann, "/b", 1_600_000).await;
    let old = AttributeUpdate {
        modified: Some(Timestamp::from_seconds(1_000_000_000)),
        ..AttributeUpdate::default()
    };
    let mut writer = ann.open_write(&path("/b"), update()).await.unwrap();
    writer.set_attributes(old).await.unwrap();
    let error = writer.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert!(
        error.context().contains("mode and times are not set"),
        "{error}"
    );
    assert_eq!(ann.stat(&path("/b")).await.unwrap().size, kept);
    let mut writer = ann.open_write(&path("/b"), update()).await.unwrap();
    writer.set_attributes(old).await.unwrap();
    writer
        .write_at(kept, Bytes::from_static(b"rest"))
        .await
        .unwrap();
    writer.commit().await.unwrap();
    let stored = ann.stat(&path("/b")).await.unwrap();
    assert_eq!(
        (stored.size, Some(stored.attributes.modified)),
        (kept + 4, old.modified)
    );
    clean(&world).await;
}

async fn mode_and_times_of_what_one_did_not_write_need_their_own_right(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let rights = Rights::LIST | Rights::READ | Rights::WRITE | Rights::OVERWRITE;
    let bob = world.account_with("bob", rights, None).await;
    let (there, new) = (path("/there"), path("/new"));
    put(&ann, &there, b"of ann").await.unwrap();
    let before = ann.stat(&there).await.unwrap().attributes;
    let open = AttributeUpdate {
        mode: Some(0o777),
        modified: Some(Timestamp::from_seconds(7)),
        ..AttributeUpdate::default()
    };
    let late = AttributeUpdate {
        modified: Some(Timestamp::from_seconds(1_000_000_000)),
        ..AttributeUpdate::default()
    };
    for update_only in [open, late] {
        let mut writer = bob.open_write(&there, update()).await.unwrap();
        writer.write_at(0, Bytes::new()).await.unwrap();
        writer.set_attributes(update_only).await.unwrap();
        let error = writer.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.context().contains("'set-attributes'"), "{error}");
        assert_eq!(ann.stat(&there).await.unwrap().attributes, before);
    }
    // What one writes has its times from who writes it: before it is closed, and after fsync too.
    for (at, options) in [(&there, update()), (&there, replace()), (&new, update())] {
        let mut writer = bob.open_write(at, options).await.unwrap();
        writer
            .write_at(0, Bytes::from_static(b"bob"))
            .await
            .unwrap();
        writer.set_attributes(open).await.unwrap();
        for _ in 0..2 {
            writer.sync().await.unwrap();
        }
        writer.set_attributes(late).await.unwrap();
        writer.commit().await.unwrap();
        let stored = ann.stat(at).await.unwrap().attributes;
        assert_eq!(Some(stored.modified), late.modified);
    }
    // An empty file is written too.
    let mut writer = bob.open_write(&path("/empty"), update()).await.unwrap();
    writer.set_attributes(late).await.unwrap();
    writer.commit().await.unwrap();
    clean(&world).await;
}

async fn bytes_that_came_early_and_files_in_many_pieces_count(dialect: Dialect) {
    const PIECES: u64 = 1300;
    let budget = Budget::new(8 << 20);
    let world = World::within(dialect, new_tenant("acme"), budget.clone()).await;
    let ann = world.account("ann").await;
    let mut writer = ann.open_write(&path("/early"), replace()).await.unwrap();
    let before = budget.used();
    let piece = vec![7; 100_000];
    let held = |count: u64| (1..=count).map(|index| index * 100_000);
    for offset in held(10) {
        let bytes = Bytes::copy_from_slice(&piece);
        writer.write_at(offset, bytes).await.unwrap();
    }
    assert!(budget.used() >= before + 1_000_000);
    // More than may be held is written as it is.
    for offset in held(30).skip(10) {
        let bytes = Bytes::copy_from_slice(&piece);
        writer.write_at(offset, bytes).await.unwrap();
        assert!(budget.used() <= budget.total());
    }
    writer
        .write_at(0, Bytes::copy_from_slice(&piece))
        .await
        .unwrap();
    writer.commit().await.unwrap();
    assert!(get(&ann, &path("/early")).await.unwrap() == vec![7; 3_100_000]);
    let mut writer = ann.open_write(&path("/pieces"), replace()).await.unwrap();
    for offset in (0..PIECES).rev() {
        writer
            .write_at(20_000 * offset, Bytes::from_static(b"x"))
            .await
            .unwrap();
    }
    writer.commit().await.unwrap();
    world.vfs.drain().await;
    let before = budget.used();
    let reader = ann.open_read(&path("/pieces")).await.unwrap();
    assert!(budget.used() >= before + 100 * PIECES as usize);
    drop(reader);
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_synced_goes_on_though_what_was_published_cannot_be_read_back() {
    let (world, proxy) = losing().await;
    let (ann, at) = (world.account("ann").await, path("/a"));
    // Blobs for what comes are announced with it.
    put(&ann, &path("/first"), b"first").await.unwrap();
    let mut writer = ann.open_write(&at, replace()).await.unwrap();
    writer.write_at(0, "synced, ".into()).await.unwrap();
    proxy.cut.store(1, SeqCst);
    writer.sync().await.unwrap();
    assert_eq!(proxy.cut.load(SeqCst), 0);
    assert_eq!(get(&ann, &at).await.unwrap(), b"synced, ");
    writer.write_at(8, "and more".into()).await.unwrap();
    let private = AttributeUpdate {
        mode: Some(0o600),
        ..AttributeUpdate::default()
    };
    writer.set_attributes(private).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(get(&ann, &at).await.unwrap(), b"synced, and more");
    let mode = ann.stat(&at).await.unwrap().attributes.mode;
    assert_eq!(mode & 0o777, 0o600);
    clean(&world).await;
}

#[tokio::test]
async fn files_in_very_many_pieces_take_no_more_memory_than_there_is() {
    const HANDLES: usize = 64;
    const PIECES: u64 = 3_000;
    let budget = Budget::new(24 << 20);
    let world = World::within(Dialect::Sqlite, new_tenant("acme"), budget.clone()).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    put(&bob, &path("/bob"), &vec![7; 1 << 20]).await.unwrap();
    let before = budget.used();
    let mut writers = Vec::new();
    for number in 0..HANDLES {
        let at = path(&format!("/{number}"));
        writers.push(ann.open_write(&at, replace()).await.unwrap());
    }
    let mut refused = 0;
    for piece in (0..PIECES).rev() {
        let mut left = Vec::new();
        for mut writer in writers {
            match writer.write_at(piece * 2, "x".into()).await {
                Ok(()) => left.push(writer),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy);
                    assert!(error.context().contains("short of memory"), "{error}");
                    refused += 1;
                }
            }
        }
        writers = left;
    }
    assert!((1..HANDLES).contains(&refused), "{refused}");
    // Each byte of a piece is known by 192.
    let counted = (HANDLES - refused) * (PIECES as usize - 2 * 1024) * 192;
    assert!(budget.used() > before + counted, "{}", budget.used());
    // Others are served.
    assert!(get(&bob, &path("/bob")).await.unwrap() == vec![7; 1 << 20]);
    put(&bob, &path("/new"), &vec![8; 1 << 20]).await.unwrap();
    for writer in writers {
        writer.commit().await.unwrap();
    }
    world.vfs.drain().await;
    until("all to be given back", async || budget.used() <= before).await;
    clean(&world).await;
}

#[tokio::test]
async fn a_file_is_written_in_so_many_pieces_and_fsync_starts_the_count_anew() {
    const MOST: u64 = 100_000;
    let (world, at) = (World::new(Dialect::Sqlite).await, path("/pieces"));
    let ann = world.account("ann").await;
    let mut writer = ann.open_write(&at, replace()).await.unwrap();
    let byte = Bytes::from_static(b"x");
    // Twice over so many, with fsync between.
    for index in 0..MOST / 5 * 6 {
        if index == MOST / 5 * 3 {
            writer.sync().await.unwrap();
        }
        writer.write_at(index % 2 * 10, byte.clone()).await.unwrap();
    }
    writer.commit().await.unwrap();
    assert_eq!(get(&ann, &at).await.unwrap(), b"x\0\0\0\0\0\0\0\0\0x");
    let mut writer = ann.open_write(&at, replace()).await.unwrap();
    let mut count = 0;
    let error = loop {
        match writer.write_at(count % 2 * 10, byte.clone()).await {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    // The first may be held until its turn comes.
    assert!((MOST..=MOST + 1).contains(&count), "{count}");
    assert_eq!(error.kind(), ErrorKind::Busy);
    for word in ["100000 pieces", "from the start to the end", "fsync"] {
        assert!(error.context().contains(word), "{error}");
    }
    drop(writer);
    clean(&world).await;
}

async fn bytes_that_were_written_over_before_they_were_published_go(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (at, length) = (path("/a"), 300_000);
    let mut writer = ann.open_write(&at, replace()).await.unwrap();
    for round in 0..6 {
        for byte in [1, 2] {
            let bytes = Bytes::from(vec![byte; length]);
            writer.write_at(0, bytes).await.unwrap();
            // Reads what it wrote, as sshfs does.
            writer.read_at(0, 1).await.unwrap();
        }
        if round % 2 == 0 {
            writer.sync().await.unwrap();
        } else {
            writer.commit().await.unwrap();
            writer = ann.open_write(&at, replace()).await.unwrap();
        }
    }
    writer.discard().await;
    world.vfs.drain().await;
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(1));
        let round = runner::round(&world.vfs, JobSettings::default()).await;
        round.unwrap();
    }
    // One blob for each version: those before the last are kept for a while.
    let store = world.vfs.store(RegionId::MAIN).unwrap();
    assert_eq!(store.list(None, 100).await.unwrap().len(), 6);
    assert!(get(&ann, &at).await.unwrap() == vec![2; length]);
    clean(&world).await;
}

async fn who_writes_over_the_same_bytes_again_and_again_comes_to_the_quota(dialect: Dialect) {
    let small = NewTenant {
        quota_bytes: Some(3_000_000),
        ..new_tenant("acme")
    };
    let world = World::with(dialect, small).await;
    let ann = world.account("ann").await;
    let bytes = Bytes::from(vec![7; 1_000_000]);
    let mut writer = ann.open_write(&path("/a"), replace()).await.unwrap();
    for _ in 0..3 {
        for _ in 0..4 {
            writer.write_at(0, bytes.clone()).await.unwrap();
            writer.read_at(0, 1).await.unwrap();
        }
        // What is published counts no more than there is of it.
        writer.sync().await.unwrap();
        assert_eq!(ann.space().await.unwrap().used_bytes, 1_000_000);
    }
    let mut outcome = Ok(());
    for _ in 0..20 {
        outcome = outcome.and(writer.write_at(0, bytes.clone()).await);
    }
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Quota);
    drop(writer);
    clean(&world).await;
    assert_eq!(ann.space().await.unwrap().used_bytes, 1_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_counts_until_it_is_dropped_and_a_few_bytes_keep_nothing_else() {
    let budget = Budget::new(64 << 20);
    let world = World::within(Dialect::Sqlite, new_tenant("acme"), budget.clone()).await;
    let ann = world.account("ann").await;
    let at = path("/large");
    put(&ann, &at, &vec![7; 3 << 20]).await.unwrap();
    world.vfs.drain().await;
    let before = budget.used();
    let reader = ann.open_read(&at).await.unwrap();
    let few = reader.read_at(0, 2).await.unwrap();
    let many = reader.read_at(0, 256 << 10).await.unwrap();
    drop(reader);
    assert!(budget.used() >= before + many.len());
    drop(many);
    // What was being fetched ahead ends soon after its reader.
    until("all to be given back", async || budget.used() <= before).await;
    assert_eq!(few, vec![7; 2]);
    clean(&world).await;
}

async fn who_sends_the_last_piece_after_another_did_is_told_to_ask_again(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let new = NewUpload {
        path: Some(path("/a")),
        overwrite: Overwrite::Forbid,
        length: Some(4),
        metadata: String::new(),
        sender: None,
        is_told: true,
    };
    let id = ann.create_upload(new).await.unwrap();
    let piece = || ann.write_piece(id, 0, None, Trust::AsItComes, |_| None);
    let mut first = piece().await.unwrap();
    let second = piece().await.err().unwrap();
    assert_eq!(second.kind(), ErrorKind::Stale, "it is under way");
    assert!(first.write(Bytes::from_static(b"done")).await);
    assert_eq!(first.finish(Verdict::Counts).await.unwrap(), 4);
    let second = piece().await.err().unwrap();
    assert_eq!(second.kind(), ErrorKind::Stale, "it is done, and not gone");
    assert_eq!(get(&ann, &path("/a")).await.unwrap(), b"done");
    clean(&world).await;
}
