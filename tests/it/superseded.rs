//! Uploads that are found dead when their account has long sent, moved or deleted the file otherwise: nothing
//! of them comes back.

use std::time::Duration;

use bytes::Bytes;
use sealift::db::instances;
use sealift::db::sql::Dialect;
use sealift::db::tenants::NewTenant;
use sealift::domain::error::ErrorKind;
use sealift::domain::path::VfsPath;
use sealift::jobs::runner::{self, JobSettings};
use sealift::vfs::options::WriteOptions;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;
use sealift::vfs::write::FileWriter;

use crate::support::dialects::on_both;
use crate::support::world::{World, clean, get, new_tenant, path, put, replace, update};

const MIB: usize = 1 << 20;

on_both!(
    a_file_that_is_published_twice_is_another_when_it_was_deleted_in_between,
    a_late_upload_that_comes_through_is_published,
    a_name_that_is_given_to_another_file_is_not_gone_on_with,
    changes_to_a_file_that_is_deleted_do_not_count_for_long,
    what_a_dead_instance_had_under_way_holds_back_no_more_than_is_durable,
    what_broke_off_before_a_fresh_upload_was_published_goes_with_that,
    what_broke_off_goes_along_with_its_file,
    what_follows_a_sync_is_kept_when_it_breaks_off,
    what_is_found_dead_late_does_not_come_back_when_its_name_is_free_again,
);

/// How a name becomes free again.
#[derive(Clone, Copy, Debug)]
enum Freed {
    DeletedByAnother,
    Renamed,
    RenamedByAnother,
}

const WAYS: [Freed; 3] = [
    Freed::DeletedByAnother,
    Freed::Renamed,
    Freed::RenamedByAnother,
];

async fn free(way: Freed, own: &Session, other: &Session, at: &VfsPath) {
    let away = path("/away");
    match way {
        Freed::DeletedByAnother => other.remove_file(at).await.unwrap(),
        Freed::Renamed => own.rename(at, &away, Overwrite::Allow).await.unwrap(),
        Freed::RenamedByAnother => other.rename(at, &away, Overwrite::Allow).await.unwrap(),
    }
    let _ = other.remove_file(&away).await;
}

async fn write(writer: &mut FileWriter, bytes: usize) {
    for offset in (0..bytes).step_by(50_000) {
        let piece = Bytes::from(vec![b'l'; 50_000.min(bytes - offset)]);
        writer.write_at(offset as u64, piece).await.unwrap();
    }
}

/// Nothing is there, and whoever appends makes a file of no more than that.
async fn is_free(session: &Session, at: &VfsPath) {
    let gone = session.stat(at).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let mut listing = session.list(&VfsPath::root()).await.unwrap();
    assert!(listing.next_page().await.unwrap().is_empty());
    assert_eq!(session.space().await.unwrap().used_bytes, 0);
    let append = WriteOptions {
        append: true,
        ..update()
    };
    let mut writer = session.open_write(at, append).await.unwrap();
    writer.append(Bytes::from_static(b"line\n")).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(get(session, at).await.unwrap(), b"line\n");
    session.remove_file(at).await.unwrap();
}

async fn what_is_found_dead_late_does_not_come_back_when_its_name_is_free_again(dialect: Dialect) {
    let world = World::with(dialect, limited()).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let (again, at) = (world.session_of("ann").await, path("/report.part"));
    // So much that it is written down as an upload, and so little that it is not.
    for sent in [MIB, 100_000] {
        for (fresh, old) in [
            (&b"anew"[..], false),
            (b"", false),
            (b"anew", true),
            (b"", true),
        ] {
            for way in WAYS {
                if old {
                    put(&ann, &at, b"old").await.unwrap();
                }
                let mut late = ann.open_write(&at, replace()).await.unwrap();
                write(&mut late, sent).await;
                put(&again, &at, fresh).await.unwrap();
                free(way, &again, &bob, &at).await;
                late.keep().await;
                is_free(&again, &at).await;
            }
        }
    }
    clean(&world).await;
}

fn limited() -> NewTenant {
    NewTenant {
        quota_bytes: Some(1 << 40),
        ..new_tenant("acme")
    }
}

async fn what_broke_off_before_a_fresh_upload_was_published_goes_with_that(dialect: Dialect) {
    let world = World::with(dialect, limited()).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let (again, at) = (world.session_of("ann").await, path("/report"));
    for fresh in [0, 1000, MIB] {
        for old in [false, true] {
            for way in WAYS {
                if old {
                    put(&ann, &at, b"old").await.unwrap();
                }
                let mut late = ann.open_write(&at, replace()).await.unwrap();
                write(&mut late, MIB).await;
                let mut anew = again.open_write(&at, replace()).await.unwrap();
                write(&mut anew, fresh).await;
                late.keep().await;
                anew.commit().await.unwrap();
                assert_eq!(again.stat(&at).await.unwrap().size, fresh as u64);
                let used = again.space().await.unwrap().used_bytes;
                assert_eq!(used, fresh as u64);
                free(way, &again, &bob, &at).await;
                is_free(&again, &at).await;
            }
        }
    }
    clean(&world).await;
}

async fn a_late_upload_that_comes_through_is_published(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let again = world.session_of("ann").await;
    for sent in [MIB, 1000] {
        let at = path("/report");
        let mut late = ann.open_write(&at, replace()).await.unwrap();
        write(&mut late, sent).await;
        put(&again, &at, b"meanwhile").await.unwrap();
        assert_eq!(get(&again, &at).await.unwrap(), b"meanwhile");
        // Whoever closes last has the last word, as on a disk.
        late.commit().await.unwrap();
        assert_eq!(get(&again, &at).await.unwrap(), vec![b'l'; sent]);
    }
    clean(&world).await;
}

async fn a_name_that_is_given_to_another_file_is_not_gone_on_with(dialect: Dialect) {
    let world = World::with(dialect, limited()).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let (again, at) = (world.session_of("ann").await, path("/report"));
    for sent in [MIB, 100_000] {
        for old in [false, true] {
            for copied in [false, true] {
                if old {
                    put(&ann, &at, b"old").await.unwrap();
                }
                let mut late = ann.open_write(&at, replace()).await.unwrap();
                write(&mut late, sent).await;
                let part = path("/report.part");
                put(&again, &part, b"anew").await.unwrap();
                match copied {
                    true => {
                        again.copy_file(&part, &at, Overwrite::Allow).await.unwrap();
                        again.remove_file(&part).await.unwrap();
                    }
                    false => again.rename(&part, &at, Overwrite::Allow).await.unwrap(),
                }
                late.keep().await;
                assert_eq!(again.stat(&at).await.unwrap().size, 4);
                free(Freed::RenamedByAnother, &again, &bob, &at).await;
                is_free(&again, &at).await;
            }
        }
    }
    // Who deletes a file means the one that is being sent, too.
    put(&ann, &at, b"old").await.unwrap();
    let mut late = ann.open_write(&at, replace()).await.unwrap();
    write(&mut late, MIB).await;
    again.remove_file(&at).await.unwrap();
    late.keep().await;
    is_free(&again, &at).await;
    clean(&world).await;
}

async fn what_broke_off_goes_along_with_its_file(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let (at, away) = (path("/f"), path("/g"));
    for sent in [MIB, 100_000] {
        put(&bob, &at, b"old").await.unwrap();
        let mut late = ann.open_write(&at, replace()).await.unwrap();
        write(&mut late, sent).await;
        bob.rename(&at, &away, Overwrite::Forbid).await.unwrap();
        late.keep().await;
        let kept = ann.stat(&away).await.unwrap().size;
        assert!(kept > 3, "{kept}");
        bob.remove_file(&away).await.unwrap();
        let gone = ann.stat(&at).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        assert_eq!(ann.stat(&away).await.unwrap().size, kept);
        let mut writer = ann.open_write(&away, update()).await.unwrap();
        let rest = Bytes::from_static(b"rest");
        writer.write_at(kept, rest).await.unwrap();
        writer.commit().await.unwrap();
        assert_eq!(bob.stat(&away).await.unwrap().size, kept + 4);
        ann.remove_file(&away).await.unwrap();
    }
    clean(&world).await;
}

async fn what_follows_a_sync_is_kept_when_it_breaks_off(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for (at, more) in [("/long", MIB), ("/short", 100_000)] {
        let mut writer = ann.open_write(&path(at), replace()).await.unwrap();
        write(&mut writer, 1000).await;
        writer.sync().await.unwrap();
        write(&mut writer, more).await;
        writer.keep().await;
        let kept = ann.stat(&path(at)).await.unwrap().size;
        assert!(kept > 1000 && kept <= more as u64, "{kept}");
    }
    clean(&world).await;
}

async fn a_file_that_is_published_twice_is_another_when_it_was_deleted_in_between(
    dialect: Dialect,
) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let (at, away) = (path("/d"), path("/c"));
    let mut first = ann.open_write(&at, replace()).await.unwrap();
    write(&mut first, 10).await;
    first.sync().await.unwrap();
    bob.rename(&at, &away, Overwrite::Forbid).await.unwrap();
    let cy = world.account("cy").await;
    let mut second = cy.open_write(&away, replace()).await.unwrap();
    second
        .write_at(0, Bytes::from_static(b"for c"))
        .await
        .unwrap();
    bob.remove_file(&away).await.unwrap();
    first
        .write_at(0, Bytes::from_static(b"acknowledged"))
        .await
        .unwrap();
    first.commit().await.unwrap();
    second.commit().await.unwrap();
    assert_eq!(get(&bob, &at).await.unwrap(), b"acknowledged");
    assert_eq!(get(&bob, &away).await.unwrap(), b"for c");
    clean(&world).await;
}

async fn what_a_dead_instance_had_under_way_holds_back_no_more_than_is_durable(dialect: Dialect) {
    let world = World::with(dialect, limited()).await;
    let other = world.beside();
    let (db, lease) = (world.vfs.database(), Duration::from_secs(1 << 30));
    instances::renew(db, other.vfs.instance(), lease)
        .await
        .unwrap();
    let ann = world.account("ann").await;
    put(&ann, &path("/old"), b"old").await.unwrap();
    let mut open = Vec::new();
    for at in ["/a", "/b", "/old"] {
        let mut writer = ann.open_write(&path(at), replace()).await.unwrap();
        write(&mut writer, 400_000).await;
        open.push(writer);
    }
    let used = async || ann.space().await.unwrap().used_bytes;
    assert!(used().await > 3 * MIB as u64);
    instances::release(db, world.vfs.instance()).await.unwrap();
    runner::round(&other.vfs, JobSettings::default())
        .await
        .unwrap();
    assert_eq!(used().await, 3);
    let theirs = other.session_of("ann").await;
    // Its sender takes that for begun anew.
    assert_eq!(theirs.stat(&path("/old")).await.unwrap().size, 0);
    for at in ["/a", "/b"] {
        let gone = theirs.stat(&path(at)).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }
    // Those who wake up change nothing.
    for writer in open {
        assert!(writer.commit().await.is_err());
    }
    instances::renew(db, world.vfs.instance(), lease)
        .await
        .unwrap();
    theirs.remove_file(&path("/old")).await.unwrap();
    clean(&world).await;
}

async fn changes_to_a_file_that_is_deleted_do_not_count_for_long(dialect: Dialect) {
    let world = World::with(dialect, limited()).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let at = path("/f");
    put(&bob, &at, b"old").await.unwrap();
    let mut writer = ann.open_write(&at, update()).await.unwrap();
    write(&mut writer, MIB).await;
    writer.keep().await;
    assert!(ann.stat(&at).await.unwrap().size > 3);
    bob.remove_file(&at).await.unwrap();
    runner::round(&world.vfs, JobSettings::default())
        .await
        .unwrap();
    assert_eq!(ann.space().await.unwrap().used_bytes, 0);
    clean(&world).await;
}
