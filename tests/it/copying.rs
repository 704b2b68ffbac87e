//! Copies share what is stored: no byte moves, and what is shared stays as long as one names it.

use std::time::Duration;

use bytes::Bytes;
use sealift::db::sql::Dialect;
use sealift::db::tenants::NewTenant;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::id::RegionId;
use sealift::domain::node::AttributeUpdate;
use sealift::domain::rights::Rights;
use sealift::jobs::runner::{self, JobSettings};
use sealift::vfs::rename::Overwrite;
use sealift::vfs::write::FileWriter;

use crate::support::dialects::on_both;
use crate::support::world::{World, clean, get, new_tenant, path, put, replace, update};

on_both!(
    a_copied_file_outlives_the_one_it_was_copied_from,
    a_copy_charges_the_quota_like_an_upload,
    a_copy_needs_rights_on_both_ends,
    what_a_copy_replaces_goes_in_the_same_change,
    a_part_of_a_file_is_laid_into_another,
    what_is_not_published_yet_can_be_copied,
    what_was_copied_before_its_writer_gave_up_is_there,
    what_was_copied_from_a_reader_of_an_unpublished_file_is_there,
    what_was_copied_and_then_cut_off_where_it_came_from_is_there,
    what_others_wrote_over_is_still_there_for_who_copies_it_within_a_file,
    what_was_copied_from_what_broke_off_is_there,
);

async fn a_copied_file_outlives_the_one_it_was_copied_from(dialect: Dialect) {
    let forgetful = NewTenant {
        retention: Duration::ZERO,
        ..new_tenant("acme")
    };
    let world = World::with(dialect, forgetful).await;
    let session = world.account("ann").await;
    let bytes = fastrand::Rng::with_seed(1)
        .u64(..)
        .to_le_bytes()
        .repeat(100_000);
    put(&session, &path("/a"), &bytes).await.unwrap();
    session
        .copy_file(&path("/a"), &path("/b"), Overwrite::Forbid)
        .await
        .unwrap();
    let mut writer = session.open_write(&path("/c"), replace()).await.unwrap();
    let source = session.open_read(&path("/a")).await.unwrap().source();
    assert_eq!(source.size(), 800_000);
    let copied = writer
        .copy_from(&source, 0, u64::MAX, Some(0))
        .await
        .unwrap();
    assert_eq!(copied, 800_000);
    writer.commit().await.unwrap();
    let store = world.vfs.store(RegionId::MAIN).unwrap();
    assert_eq!(store.list(None, 100).await.unwrap().len(), 1);
    session.remove_file(&path("/a")).await.unwrap();
    let settings = JobSettings {
        blob_grace: Duration::ZERO,
        ..JobSettings::default()
    };
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(10));
        runner::round(&world.vfs, settings).await.unwrap();
    }
    for copy in ["/b", "/c"] {
        assert!(get(&session, &path(copy)).await.unwrap() == bytes, "{copy}");
    }
    clean(&world).await;
    for copy in ["/b", "/c"] {
        session.remove_file(&path(copy)).await.unwrap();
    }
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(10));
        runner::round(&world.vfs, settings).await.unwrap();
    }
    assert_eq!(store.list(None, 100).await.unwrap().len(), 0);
    clean(&world).await;
}

async fn what_a_copy_replaces_goes_in_the_same_change(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let rights = Rights::READ_ONLY | Rights::WRITE | Rights::OVERWRITE | Rights::MAKE_FOLDERS;
    let bob = world.account_with("bob", rights, None).await;
    for folder in ["/from", "/full"] {
        let update = AttributeUpdate::default();
        session.make_folder(&path(folder), update).await.unwrap();
    }
    put(&session, &path("/full/old"), b"old").await.unwrap();
    put(&session, &path("/a"), b"a").await.unwrap();
    let (a, full, from) = (path("/a"), path("/full"), path("/from"));
    let kind = |copied: Result<()>| copied.unwrap_err().kind();
    let copied = session.copy_file(&a, &full, Overwrite::Allow).await;
    assert_eq!(kind(copied), ErrorKind::IsFolder);
    let copied = session
        .copy_folder(&from, &full, Overwrite::Allow)
        .await
        .map(drop);
    assert_eq!(kind(copied), ErrorKind::AlreadyExists);
    for copied in [
        bob.copy_file(&a, &full, Overwrite::Replace).await,
        bob.copy_folder(&from, &full, Overwrite::Replace)
            .await
            .map(drop),
    ] {
        assert_eq!(
            kind(copied),
            ErrorKind::Denied,
            "it cannot delete the folder"
        );
    }
    let old = path("/full/old");
    let within = session.copy_file(&old, &full, Overwrite::Replace).await;
    assert_eq!(kind(within), ErrorKind::Invalid);
    let only = session.only_if(Vec::new());
    let copied = only
        .copy_folder(&from, &full, Overwrite::Replace)
        .await
        .map(drop);
    assert_eq!(kind(copied), ErrorKind::Changed);
    assert_eq!(get(&session, &old).await.unwrap(), b"old");

    let replaced = session.copy_file(&a, &full, Overwrite::Replace).await;
    replaced.unwrap();
    assert_eq!(get(&session, &full).await.unwrap(), b"a");
    let replaced = session.copy_folder(&from, &full, Overwrite::Replace).await;
    replaced.unwrap();
    put(&session, &path("/full/new"), b"new").await.unwrap();
    let replaced = session.copy_folder(&from, &full, Overwrite::Replace).await;
    replaced.unwrap();
    let gone = get(&session, &path("/full/new")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    world.clock.advance(Duration::from_secs(10));
    let round = runner::round(&world.vfs, JobSettings::default()).await;
    round.unwrap();
    clean(&world).await;
}

async fn a_copy_charges_the_quota_like_an_upload(dialect: Dialect) {
    let small = NewTenant {
        quota_bytes: Some(1_000_000),
        ..new_tenant("acme")
    };
    let world = World::with(dialect, small).await;
    let session = world.account("ann").await;
    put(&session, &path("/a"), &vec![1; 400_000]).await.unwrap();
    let copy = async |to: &str, overwrite| {
        let copied = session.copy_file(&path("/a"), &path(to), overwrite).await;
        copied.map_err(|error| error.kind())
    };
    assert_eq!(copy("/b", Overwrite::Forbid).await, Ok(()));
    assert_eq!(copy("/c", Overwrite::Forbid).await, Err(ErrorKind::Quota));
    assert_eq!(copy("/b", Overwrite::Allow).await, Ok(()));
    let taken = copy("/b", Overwrite::Forbid).await;
    assert_eq!(taken, Err(ErrorKind::AlreadyExists));
    assert_eq!(copy("/a", Overwrite::Allow).await, Err(ErrorKind::Invalid));
    assert_eq!(session.space().await.unwrap().used_bytes, 800_000);

    let mut writer = session.open_write(&path("/c"), replace()).await.unwrap();
    let source = session.open_read(&path("/a")).await.unwrap().source();
    let outcome = writer.copy_from(&source, 0, u64::MAX, Some(0)).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Quota);
    clean(&world).await;
}

async fn a_copy_needs_rights_on_both_ends(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/a"), b"secret").await.unwrap();
    put(&ann, &path("/old"), b"old").await.unwrap();
    for (name, rights, to) in [
        ("writer", Rights::WRITE | Rights::LIST, "/b"),
        ("reader", Rights::READ | Rights::LIST, "/b"),
        ("adder", Rights::READ | Rights::WRITE | Rights::LIST, "/old"),
    ] {
        let session = world.account_with(name, rights, None).await;
        let (from, to) = (path("/a"), path(to));
        let copied = session.copy_file(&from, &to, Overwrite::Allow).await;
        let error = copied.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{name}");
    }
    assert_eq!(get(&ann, &path("/old")).await.unwrap(), b"old");
}

async fn a_part_of_a_file_is_laid_into_another(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    put(&session, &path("/a"), b"0123456789").await.unwrap();
    put(&session, &path("/b"), b"abcdef").await.unwrap();
    let source = session.open_read(&path("/a")).await.unwrap().source();
    let mut writer = session.open_write(&path("/b"), update()).await.unwrap();
    assert_eq!(writer.copy_from(&source, 3, 4, Some(1)).await.unwrap(), 4);
    assert_eq!(writer.copy_from(&source, 8, 100, Some(8)).await.unwrap(), 2);
    assert_eq!(
        writer.copy_from(&source, 10, 100, Some(0)).await.unwrap(),
        0
    );
    // Within one file, also where the two parts overlap.
    let own = writer.source().await.unwrap();
    assert_eq!(writer.copy_from(&own, 0, 4, Some(2)).await.unwrap(), 4);
    writer.write_at(0, Bytes::from_static(b"A")).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(get(&session, &path("/b")).await.unwrap(), b"A3a345\0\089");
    clean(&world).await;
}

async fn what_is_not_published_yet_can_be_copied(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    for first_is_published in [true, false] {
        let mut first = session.open_write(&path("/a"), replace()).await.unwrap();
        let some = Bytes::from_static(b"not published");
        first.write_at(0, some).await.unwrap();
        let source = first.source().await.unwrap();
        let mut second = session.open_write(&path("/b"), replace()).await.unwrap();
        second.copy_from(&source, 4, 9, Some(0)).await.unwrap();
        drop(source);
        second.commit().await.unwrap();
        match first_is_published {
            true => drop(first.commit().await.unwrap()),
            false => first.abandon().await,
        }
        world.vfs.drain().await;
        assert_eq!(get(&session, &path("/b")).await.unwrap(), b"published");
        clean(&world).await;
    }
}

async fn what_was_copied_before_its_writer_gave_up_is_there(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    // So much that it is written down as an upload, and so little that it is not.
    for (at, length) in [("/long", 600_000), ("/short", 1_000)] {
        let bytes = Bytes::from(vec![7; length]);
        for is_published in [true, false] {
            let mut first = session.open_write(&path("/f"), replace()).await.unwrap();
            first.write_at(0, bytes.clone()).await.unwrap();
            let mut second = session.open_write(&path(at), replace()).await.unwrap();
            let source = first.source().await.unwrap();
            // By way of a third, which gives up too.
            let mut third = session.open_write(&path("/g"), replace()).await.unwrap();
            let all = third.copy_from(&source, 0, u64::MAX, Some(0)).await;
            assert_eq!(all.unwrap(), length as u64);
            drop(source);
            let source = third.source().await.unwrap();
            let last = second.copy_from(&source, 0, u64::MAX, Some(0)).await;
            assert_eq!(last.unwrap(), length as u64);
            drop(source);
            first.discard().await;
            third.discard().await;
            match is_published {
                true => drop(second.commit().await.unwrap()),
                false => second.discard().await,
            }
            assert!(get(&session, &path(at)).await.unwrap() == bytes);
        }
    }
    world.vfs.drain().await;
    clean(&world).await;
}

async fn what_was_copied_from_a_reader_of_an_unpublished_file_is_there(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    // So much that it is written down as an upload, and so little that it is not.
    for (at, length) in [("/long", 600_000), ("/short", 1_000)] {
        let bytes = Bytes::from(vec![7; length]);
        for is_published in [true, false] {
            let mut first = session.open_write(&path("/f"), replace()).await.unwrap();
            first.write_at(0, bytes.clone()).await.unwrap();
            let reader = first.reader().await.unwrap();
            let mut early = session.open_write(&path(at), replace()).await.unwrap();
            let source = reader.source();
            let copied = early.copy_from(&source, 0, u64::MAX, Some(0)).await;
            assert_eq!(copied.unwrap(), length as u64);
            drop(source);
            first.resize(0).await.unwrap();
            first.write_at(0, Bytes::from_static(b"x")).await.unwrap();
            match is_published {
                true => drop(first.commit().await.unwrap()),
                false => first.discard().await,
            }
            early.commit().await.unwrap();
            assert!(get(&session, &path(at)).await.unwrap() == bytes);
            // Also when it is copied only now; what is read is there as long as it is open.
            sweep(&world).await;
            let read = reader.read_at(length as u64 - 1, 5).await.unwrap();
            assert_eq!(read, b"\x07"[..]);
            let mut late = session.open_write(&path("/g"), replace()).await.unwrap();
            let source = reader.source();
            let copied = late.copy_from(&source, 0, u64::MAX, Some(0)).await;
            assert_eq!(copied.unwrap(), length as u64);
            drop(source);
            drop(reader);
            late.commit().await.unwrap();
            assert!(get(&session, &path("/g")).await.unwrap() == bytes);
        }
    }
    clean(&world).await;
}

async fn what_was_copied_and_then_cut_off_where_it_came_from_is_there(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let bytes = Bytes::from(vec![7; 9 << 20]);
    let write = async |writer: &mut FileWriter| {
        // So much that it is written down on the way what is durable.
        for part in [bytes.slice(..1), bytes.slice(1..), bytes.slice(..1)] {
            let size = writer.entry().size;
            writer.write_at(size, part).await.unwrap();
            world.clock.advance(Duration::from_secs(1));
        }
    };
    for then in ["close", "discard", "sync", "write on"] {
        let mut first = session.open_write(&path("/f"), replace()).await.unwrap();
        write(&mut first).await;
        let mut second = session.open_write(&path("/g"), replace()).await.unwrap();
        let source = first.source().await.unwrap();
        let copied = second.copy_from(&source, 0, 9 << 20, Some(0)).await;
        assert_eq!(copied.unwrap(), 9 << 20);
        drop(source);
        first.resize(0).await.unwrap();
        first.write_at(0, Bytes::from_static(b"x")).await.unwrap();
        let mut open = None;
        match then {
            "close" => drop(first.commit().await.unwrap()),
            "discard" => first.discard().await,
            "sync" => {
                first.sync().await.unwrap();
                open = Some(first);
            }
            _ => {
                write(&mut first).await;
                open = Some(first);
            }
        }
        sweep(&world).await;
        second.commit().await.unwrap();
        assert!(get(&session, &path("/g")).await.unwrap() == bytes, "{then}");
        if let Some(first) = open {
            first.commit().await.unwrap();
        }
        clean(&world).await;
    }
}

async fn what_others_wrote_over_is_still_there_for_who_copies_it_within_a_file(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let at = path("/a");
    put(&ann, &at, &[b'o'; 100]).await.unwrap();
    let mut writer = ann.open_write(&at, update()).await.unwrap();
    let more = Bytes::from_static(&[b'X'; 100]);
    writer.append(more).await.unwrap();
    writer.read_at(0, 1).await.unwrap();
    put(&bob, &at, &[b'B'; 500]).await.unwrap();
    // Of what is published then, all that was appended is cut off again.
    writer.resize(150).await.unwrap();
    writer.sync().await.unwrap();
    assert!(get(&ann, &at).await.unwrap() == [b'B'; 150]);
    sweep(&world).await;
    let own = writer.source().await.unwrap();
    assert_eq!(writer.copy_from(&own, 100, 50, Some(0)).await.unwrap(), 50);
    let line = Bytes::from_static(b"new line");
    writer.append(line).await.unwrap();
    drop(own);
    writer.commit().await.unwrap();
    let whole = [&[b'X'; 50][..], &[b'B'; 100], b"new line"].concat();
    assert_eq!(get(&ann, &at).await.unwrap(), whole);
    clean(&world).await;
}

async fn what_was_copied_from_what_broke_off_is_there(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let bytes = Bytes::from(vec![7; 3 << 20]);
    let (at, copy) = (path("/f"), path("/copy"));
    for way in ["anew", "removed", "gone on with", "left"] {
        let mut first = session.open_write(&at, replace()).await.unwrap();
        first.write_at(0, bytes.clone()).await.unwrap();
        first.keep().await;
        let reader = session.open_read(&at).await.unwrap();
        let kept = reader.entry().size;
        let mut writer = session.open_write(&copy, replace()).await.unwrap();
        let source = reader.source();
        let copied = writer.copy_from(&source, 0, u64::MAX, Some(0)).await;
        assert_eq!(copied.unwrap(), kept);
        drop(source);
        match way {
            "anew" => put(&session, &at, b"anew").await.unwrap(),
            "removed" => session.remove_file(&at).await.unwrap(),
            "gone on with" => {
                let mut rest = session.open_write(&at, update()).await.unwrap();
                rest.resize(10).await.unwrap();
                rest.commit().await.unwrap();
            }
            _ => {}
        }
        sweep(&world).await;
        writer.commit().await.unwrap();
        let whole = get(&session, &copy).await.unwrap();
        assert!(whole == bytes[..kept as usize], "{way}");
        // Whoever has it open goes on reading.
        sweep(&world).await;
        assert_eq!(reader.read_at(kept - 1, 5).await.unwrap(), b"\x07"[..]);
        drop(reader);
        let _ = session.remove_file(&at).await;
        session.remove_file(&copy).await.unwrap();
    }
    clean(&world).await;
}

/// What was given up goes, and what nothing named for a while too.
async fn sweep(world: &World) {
    let settings = JobSettings {
        blob_grace: Duration::ZERO,
        ..JobSettings::default()
    };
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(1));
        runner::round(&world.vfs, settings).await.unwrap();
    }
}
