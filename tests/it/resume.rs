//! Uploads that break off: kept for their own account, and gone on with on any instance.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::poll;
use sealift::db::blobs;
use sealift::db::contents;
use sealift::db::instances;
use sealift::db::sql::Dialect;
use sealift::db::tenants::NewTenant;
use sealift::domain::error::ErrorKind;
use sealift::domain::id::{BlobId, RegionId};
use sealift::domain::path::VfsPath;
use sealift::domain::sum::SumKind;
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};
use sealift::jobs::runner::{self, JobSettings};
use sealift::storage::faulty::Operation;
use sealift::vfs::options::{Create, WriteOptions};
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;
use sealift::vfs::write::FileWriter;
use sha2::{Digest, Sha256};

use crate::support::dialects::on_both;
use crate::support::wait::until;
use crate::support::world::{World, clean, get, new_tenant, path, put, replace, update};

const MIB: usize = 1 << 20;
/// What may have to be sent again.
const PART: u64 = 8 << 20;

on_both!(
    a_broken_off_append_is_gone_on_with_behind_what_others_appended,
    a_broken_off_change_is_laid_over_the_version_of_then,
    a_broken_off_upload_is_seen_by_its_own_account_only,
    a_broken_off_upload_never_looks_complete,
    a_fresh_upload_discards_what_broke_off,
    a_frozen_writer_changes_nothing_after_a_take_over,
    a_resumed_upload_ends_with_the_hash_of_the_whole,
    an_upload_of_a_dead_instance_is_gone_on_with_by_another,
    an_upload_of_a_dead_instance_that_is_read_holds_back_what_is_durable_of_it,
    an_upload_of_a_living_connection_is_not_taken_over,
    broken_off_uploads_are_listed_in_their_place,
    nothing_is_published_by_closing_what_was_not_gone_on_with,
    storing_that_is_given_up_loses_nothing,
    two_cannot_go_on_with_one_upload,
    what_a_frozen_instance_stores_late_is_removed,
    what_broke_off_can_be_renamed_and_deleted,
    what_is_to_be_whole_or_nothing_has_no_name_when_its_instance_is_dead,
    what_is_to_be_whole_or_nothing_leaves_nothing,
    what_was_to_replace_a_file_counts_from_its_first_byte,
    what_broke_off_is_not_gone_on_with_while_another_sends_it_anew,
);

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
    bytes
}

async fn write(writer: &mut FileWriter, from: usize, bytes: &[u8]) {
    for (index, chunk) in bytes.chunks(64 * 1024).enumerate() {
        let offset = (from + index * 64 * 1024) as u64;
        let chunk = Bytes::copy_from_slice(chunk);
        writer.write_at(offset, chunk).await.unwrap();
    }
}

/// Sends a part of a file and loses the connection.
async fn break_off(session: &Session, at: &VfsPath, from: usize, bytes: &[u8]) {
    let mut writer = session.open_write(at, update()).await.unwrap();
    write(&mut writer, from, bytes).await;
    writer.abandon().await;
}

async fn listed(session: &Session) -> Vec<(String, u64)> {
    let mut listing = session.list(&VfsPath::root()).await.unwrap();
    let mut all = Vec::new();
    loop {
        let page = listing.next_page().await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page.into_iter().map(|entry| (entry.name, entry.size)));
    }
}

async fn size(session: &Session, at: &VfsPath) -> u64 {
    session.stat(at).await.unwrap().size
}

/// What a client that goes on sends: what the file lacks.
async fn go_on(session: &Session, at: &VfsPath, bytes: &[u8]) -> u64 {
    let from = size(session, at).await;
    let mut writer = session.open_write(at, update()).await.unwrap();
    write(&mut writer, from as usize, &bytes[from as usize..]).await;
    writer.commit().await.unwrap();
    from
}

async fn stored_hash(world: &World, session: &Session, at: &VfsPath) -> Option<[u8; 32]> {
    let entry = session.stat(at).await.unwrap();
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    let content = contents::load(&mut tx, entry.content.unwrap()).await;
    content.unwrap().sha256
}

async fn a_broken_off_upload_is_seen_by_its_own_account_only(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let bytes = noise(3 * MIB);
    put(&ann, &path("/old"), b"published").await.unwrap();
    for at in [path("/old"), path("/new")] {
        let mut writer = ann.open_write(&at, replace()).await.unwrap();
        write(&mut writer, 0, &bytes).await;
        writer.abandon().await;
        world.vfs.drain().await;
        let kept = size(&ann, &at).await;
        assert!(kept < bytes.len() as u64);
        assert!(kept + 64 * 1024 >= bytes.len() as u64, "{kept}");
    }
    // Whoever reads gets what is published; the own account may look at the rest.
    assert_eq!(size(&bob, &path("/old")).await, 9);
    assert_eq!(get(&bob, &path("/old")).await.unwrap(), b"published");
    assert_eq!(get(&ann, &path("/old")).await.unwrap(), b"published");
    let unknown = bob.stat(&path("/new")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    let unknown = bob.open_read(&path("/new")).await.err().unwrap();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    let stored = get(&ann, &path("/new")).await.unwrap();
    assert!(stored.len() + 64 * 1024 >= bytes.len());
    assert!(bytes.starts_with(&stored));
    let file = ann.open_sum(&path("/new")).await.unwrap();
    let sum = ann.sum(&file, SumKind::Sha256).await.unwrap();
    assert_eq!(sum, Sha256::digest(&stored).to_vec());
    drop(file);
    clean(&world).await;
    for at in [path("/old"), path("/new")] {
        let from = go_on(&ann, &at, &bytes).await;
        assert!(from > 0);
        assert!(get(&bob, &at).await.unwrap() == bytes);
    }
    clean(&world).await;
}

async fn a_broken_off_upload_never_looks_complete(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    for (name, length) in [
        ("/a", 5),
        ("/b", 64 * 1024),
        ("/c", 100_000),
        ("/d", 128 * 1024),
    ] {
        let (at, bytes) = (path(name), noise(length));
        let mut writer = session.open_write(&at, replace()).await.unwrap();
        write(&mut writer, 0, &bytes).await;
        // Reading ends the blob, so that all of it is stored.
        writer.read_at(0, 10).await.unwrap();
        writer.abandon().await;
        world.vfs.drain().await;
        assert_eq!(size(&session, &at).await, length as u64 - 1);
        let unread = get(&session, &at).await.unwrap();
        assert_eq!(unread, &bytes[..length - 1]);
        go_on(&session, &at, &bytes).await;
        assert_eq!(get(&session, &at).await.unwrap(), bytes);
    }
    clean(&world).await;
}

async fn a_resumed_upload_ends_with_the_hash_of_the_whole(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let (at, bytes) = (path("/big"), noise(20 * MIB + 12_345));
    let mut sent = 0;
    for part in [300 * 1024, 9 * MIB, 15 * MIB + 7] {
        let from = match sent {
            0 => 0,
            _ => size(&session, &at).await as usize,
        };
        assert!(from + 64 * 1024 >= sent, "{from} of {sent}");
        break_off(&session, &at, from, &bytes[from..part]).await;
        world.vfs.drain().await;
        sent = part;
    }
    go_on(&session, &at, &bytes).await;
    let expected: [u8; 32] = Sha256::digest(&bytes).into();
    assert_eq!(stored_hash(&world, &session, &at).await, Some(expected));
    assert!(get(&session, &at).await.unwrap() == bytes);
    clean(&world).await;
}

async fn a_fresh_upload_discards_what_broke_off(dialect: Dialect) {
    let tight = NewTenant {
        quota_bytes: Some(10 * MIB as u64),
        ..new_tenant("acme")
    };
    let world = World::with(dialect, tight).await;
    let session = world.account("ann").await;
    let at = path("/a");
    for (create, truncate) in [(Create::IfMissing, true), (Create::New, false)] {
        break_off(&session, &at, 0, &noise(6 * MIB)).await;
        world.vfs.drain().await;
        assert!(session.space().await.unwrap().used_bytes > 5 * MIB as u64);
        let options = WriteOptions {
            create,
            truncate,
            ..replace()
        };
        let mut writer = session.open_write(&at, options).await.unwrap();
        write(&mut writer, 0, b"afresh").await;
        writer.commit().await.unwrap();
        assert_eq!(size(&session, &at).await, 6);
        assert_eq!(session.space().await.unwrap().used_bytes, 6);
        session.remove_file(&at).await.unwrap();
    }
    // One that breaks off late does not come back over what was sent meanwhile.
    let mut late = session.open_write(&at, replace()).await.unwrap();
    write(&mut late, 0, &noise(MIB)).await;
    put(&session, &at, b"meanwhile").await.unwrap();
    late.abandon().await;
    world.vfs.drain().await;
    assert_eq!(size(&session, &at).await, 9);
    assert_eq!(session.space().await.unwrap().used_bytes, 9);
    clean(&world).await;
}

async fn nothing_is_published_by_closing_what_was_not_gone_on_with(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let (at, bytes) = (path("/a"), noise(MIB));
    break_off(&ann, &at, 0, &bytes).await;
    world.vfs.drain().await;
    let kept = size(&ann, &at).await;
    let mut opened = ann.open_write(&at, update()).await.unwrap();
    assert_eq!(opened.entry().size, kept);
    opened.sync().await.unwrap();
    opened.commit().await.unwrap();
    world.vfs.drain().await;
    assert_eq!(size(&ann, &at).await, kept);
    // A length that is set by name does not publish it either.
    ann.truncate(&at, 1000).await.unwrap();
    world.vfs.drain().await;
    assert_eq!(size(&ann, &at).await, 1000);
    let unknown = bob.stat(&at).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    go_on(&ann, &at, &bytes).await;
    assert!(get(&bob, &at).await.unwrap() == bytes);
    clean(&world).await;
}

async fn a_broken_off_change_is_laid_over_the_version_of_then(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let at = path("/table");
    let mut expected = noise(MIB);
    put(&ann, &at, &expected).await.unwrap();
    let change = noise(300_000);
    let mut writer = ann.open_write(&at, update()).await.unwrap();
    write(&mut writer, 500_000, &change).await;
    write(&mut writer, 100_000, b"second").await;
    write(&mut writer, MIB, &change).await;
    writer.abandon().await;
    world.vfs.drain().await;
    assert!(size(&ann, &at).await > MIB as u64);
    assert_eq!(size(&bob, &at).await, MIB as u64);
    // Another's version comes in between.
    let mut other = bob.open_write(&at, update()).await.unwrap();
    write(&mut other, 0, b"another's").await;
    other.commit().await.unwrap();
    expected[..9].copy_from_slice(b"another's");
    expected[500_000..800_000].copy_from_slice(&change);
    expected[100_000..100_006].copy_from_slice(b"second");
    expected.extend_from_slice(&change);
    go_on(&ann, &at, &expected).await;
    assert!(get(&bob, &at).await.unwrap() == expected);
    clean(&world).await;
}

async fn a_broken_off_append_is_gone_on_with_behind_what_others_appended(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let at = path("/log");
    let append = WriteOptions {
        append: true,
        ..update()
    };
    put(&ann, &at, b"begun|").await.unwrap();
    let lines = noise(200_000);
    let mut writer = ann.open_write(&at, append).await.unwrap();
    write(&mut writer, 0, &lines).await;
    writer.abandon().await;
    world.vfs.drain().await;
    let mut other = bob.open_write(&at, append).await.unwrap();
    write(&mut other, 0, b"bob|").await;
    other.commit().await.unwrap();
    // A client knows how much of its lines arrived from how much longer the file is for it.
    let sent = (size(&ann, &at).await - size(&bob, &at).await) as usize;
    assert!(sent > 100_000);
    let mut writer = ann.open_write(&at, append).await.unwrap();
    write(&mut writer, 0, &lines[sent..]).await;
    writer.commit().await.unwrap();
    let expected = [b"begun|bob|".as_slice(), &lines].concat();
    assert!(get(&bob, &at).await.unwrap() == expected);
    clean(&world).await;
}

async fn broken_off_uploads_are_listed_in_their_place(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    for name in ["/b", "/d", "/f"] {
        put(&ann, &path(name), b"there").await.unwrap();
    }
    for name in ["/a", "/c", "/d", "/g"] {
        break_off(&ann, &path(name), 0, &noise(MIB)).await;
    }
    world.vfs.drain().await;
    let all = listed(&ann).await;
    let all: Vec<_> = all
        .iter()
        .map(|(name, size)| (name.as_str(), *size > 5))
        .collect();
    assert_eq!(
        all,
        [
            ("a", true),
            ("b", false),
            ("c", true),
            ("d", true),
            ("f", false),
            ("g", true)
        ]
    );
    let others = listed(&bob).await;
    let others: Vec<_> = others
        .iter()
        .map(|(name, size)| (name.as_str(), *size > 5))
        .collect();
    assert_eq!(others, [("b", false), ("d", false), ("f", false)]);
}

async fn an_upload_of_a_living_connection_is_not_taken_over(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (at, bytes) = (path("/a"), noise(2 * MIB));
    let mut first = ann.open_write(&at, replace()).await.unwrap();
    write(&mut first, 0, &bytes[..MIB]).await;
    let hidden = ann.stat(&at).await.unwrap_err();
    assert_eq!(hidden.kind(), ErrorKind::NotFound);
    let refused = ann.open_write(&at, update()).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    write(&mut first, MIB, &bytes[MIB..]).await;
    first.commit().await.unwrap();
    assert!(get(&ann, &at).await.unwrap() == bytes);
    clean(&world).await;
}

async fn what_was_to_replace_a_file_counts_from_its_first_byte(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let (at, bytes) = (path("/a"), noise(MIB));
    put(&ann, &at, b"the old bytes").await.unwrap();
    for sent in [0, 1, 5_000, 60_000] {
        let mut writer = ann.open_write(&at, replace()).await.unwrap();
        write(&mut writer, 0, &bytes[..sent]).await;
        // While it lives, nothing is laid behind the old bytes either.
        if sent == 60_000 {
            write(&mut writer, sent, &bytes[sent..400_000]).await;
            let refused = ann.open_write(&at, update()).await.err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::Busy);
        }
        writer.abandon().await;
        world.vfs.drain().await;
        let kept = size(&ann, &at).await;
        assert!(kept <= sent as u64 || sent == 60_000, "{kept}");
        assert_eq!(listed(&ann).await, [("a".to_owned(), kept)]);
        assert_eq!(size(&bob, &at).await, 13);
        assert_eq!(get(&ann, &at).await.unwrap(), b"the old bytes");
    }
    go_on(&ann, &at, &bytes).await;
    assert!(get(&bob, &at).await.unwrap() == bytes);
    // And with nothing of it kept.
    drop(ann.open_write(&at, replace()).await.unwrap());
    world.vfs.drain().await;
    assert_eq!(go_on(&ann, &at, &bytes[..77]).await, 0);
    assert!(get(&bob, &at).await.unwrap() == bytes[..77]);
    clean(&world).await;
}

async fn what_broke_off_is_not_gone_on_with_while_another_sends_it_anew(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (again, third) = (world.session_of("ann").await, world.session_of("ann").await);
    let (at, bytes) = (path("/a"), noise(MIB));
    for sent in [1000, MIB] {
        let mut late = ann.open_write(&at, replace()).await.unwrap();
        write(&mut late, 0, &bytes).await;
        let mut anew = again.open_write(&at, replace()).await.unwrap();
        write(&mut anew, 0, &bytes[..sent]).await;
        late.keep().await;
        assert!(third.is_being_sent(&at).await.unwrap());
        let refused = third.open_write(&at, update()).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Busy);
        anew.discard().await;
        go_on(&third, &at, &bytes).await;
        assert!(get(&ann, &at).await.unwrap() == bytes);
        ann.remove_file(&at).await.unwrap();
    }
    clean(&world).await;
}

async fn what_is_to_be_whole_or_nothing_leaves_nothing(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (at, bytes) = (path("/a"), noise(MIB));
    put(&ann, &at, b"the old bytes").await.unwrap();
    let whole = WriteOptions {
        resumable: false,
        ..replace()
    };
    let mut writer = ann.open_write(&at, whole).await.unwrap();
    write(&mut writer, 0, &bytes).await;
    writer.abandon().await;
    world.vfs.drain().await;
    assert_eq!(size(&ann, &at).await, 13);
    clean(&world).await;
}

async fn two_cannot_go_on_with_one_upload(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (at, bytes) = (path("/a"), noise(2 * MIB));
    break_off(&ann, &at, 0, &bytes[..MIB]).await;
    world.vfs.drain().await;
    let (one, two) = tokio::join!(ann.open_write(&at, update()), ann.open_write(&at, update()));
    let (winner, loser) = match (one, two) {
        (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
        (one, two) => panic!("{:?} {:?}", one.err(), two.err()),
    };
    assert_eq!(loser.kind(), ErrorKind::Busy);
    winner.abandon().await;
    world.vfs.drain().await;
    go_on(&ann, &at, &bytes).await;
    assert!(get(&ann, &at).await.unwrap() == bytes);
    clean(&world).await;
}

/// An instance of its own over the same database and store.
async fn second_instance(world: &World) -> World {
    let second = world.beside();
    let lease = Duration::from_secs(1 << 30);
    let (db, instance) = (second.vfs.database(), second.vfs.instance());
    instances::renew(db, instance, lease).await.unwrap();
    second
}

async fn an_upload_of_a_dead_instance_is_gone_on_with_by_another(dialect: Dialect) {
    let world = Arc::new(World::new(dialect).await);
    let other = second_instance(&world).await;
    world.account("ann").await;
    let (mine, theirs) = (world.session_of("ann").await, other.session_of("ann").await);
    let (at, bytes) = (path("/a"), noise(40 * MIB));
    let sent = 30 * MIB;
    let mut frozen = mine.open_write(&at, replace()).await.unwrap();
    for (index, part) in bytes[..sent].chunks(MIB).enumerate() {
        write(&mut frozen, index * MIB, part).await;
        world.clock.advance(Duration::from_secs(1));
    }
    let sent = trickle(&world, &mut frozen, &bytes, sent).await;
    let hidden = theirs.stat(&at).await.unwrap_err();
    assert_eq!(hidden.kind(), ErrorKind::NotFound);
    let db = world.vfs.database();
    instances::release(db, world.vfs.instance()).await.unwrap();
    let kept = size(&theirs, &at).await;
    assert!(kept + 2 * PART >= sent as u64, "{kept}");
    go_on(&theirs, &at, &bytes).await;
    assert!(get(&theirs, &at).await.unwrap() == bytes);
    let expected: [u8; 32] = Sha256::digest(&bytes).into();
    assert_eq!(stored_hash(&other, &theirs, &at).await, Some(expected));
    // The one that was thought dead wakes up.
    let lease = Duration::from_secs(1 << 30);
    instances::renew(db, world.vfs.instance(), lease)
        .await
        .unwrap();
    write_until_refused(&mut frozen, sent).await;
    drop(frozen);
    assert!(get(&theirs, &at).await.unwrap() == bytes);
    other.vfs.drain().await;
    clean(&world).await;
}

async fn what_is_to_be_whole_or_nothing_has_no_name_when_its_instance_is_dead(dialect: Dialect) {
    let world = World::new(dialect).await;
    let other = second_instance(&world).await;
    world.account("ann").await;
    let (mine, theirs) = (world.session_of("ann").await, other.session_of("ann").await);
    let (new, old, bytes) = (path("/new"), path("/old"), noise(40 * MIB));
    put(&mine, &old, b"before").await.unwrap();
    let whole = WriteOptions {
        resumable: false,
        ..replace()
    };
    let mut frozen = Vec::new();
    for at in [&new, &old] {
        let mut writer = mine.open_write(at, whole).await.unwrap();
        for (index, part) in bytes[..20 * MIB].chunks(MIB).enumerate() {
            write(&mut writer, index * MIB, part).await;
            world.clock.advance(Duration::from_secs(1));
        }
        frozen.push(writer);
    }
    let db = world.vfs.database();
    instances::release(db, world.vfs.instance()).await.unwrap();
    let gone = theirs.stat(&new).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert_eq!(size(&theirs, &old).await, 6);
    assert_eq!(get(&theirs, &old).await.unwrap(), b"before");
    drop(frozen);
    world.vfs.drain().await;
    other.vfs.drain().await;
    assert_eq!(theirs.space().await.unwrap().used_bytes, 6);
    clean(&other).await;
}

async fn an_upload_of_a_dead_instance_that_is_read_holds_back_what_is_durable_of_it(
    dialect: Dialect,
) {
    let world = World::new(dialect).await;
    let other = second_instance(&world).await;
    world.account("ann").await;
    let (mine, theirs) = (world.session_of("ann").await, other.session_of("ann").await);
    let (at, bytes) = (path("/a"), noise(40 * MIB));
    let mut frozen = mine.open_write(&at, replace()).await.unwrap();
    for (index, part) in bytes[..20 * MIB].chunks(MIB).enumerate() {
        write(&mut frozen, index * MIB, part).await;
        world.clock.advance(Duration::from_secs(1));
    }
    trickle(&world, &mut frozen, &bytes, 20 * MIB).await;
    let db = world.vfs.database();
    instances::release(db, world.vfs.instance()).await.unwrap();
    let held = theirs.space().await.unwrap().used_bytes;
    let kept = size(&theirs, &at).await;
    assert!(held > kept, "{held}");
    // Before anybody has swept up.
    let read = get(&theirs, &at).await.unwrap();
    assert_eq!(read.len() as u64, kept);
    other.vfs.drain().await;
    assert_eq!(theirs.space().await.unwrap().used_bytes, kept);
    go_on(&theirs, &at, &bytes).await;
    assert_eq!(theirs.space().await.unwrap().used_bytes, bytes.len() as u64);
    drop(frozen);
    world.vfs.drain().await;
    clean(&other).await;
}

async fn what_a_frozen_instance_stores_late_is_removed(dialect: Dialect) {
    let world = World::new(dialect).await;
    let other = second_instance(&world).await;
    world.account("ann").await;
    let mine = world.session_of("ann").await;
    let (db, instance) = (world.vfs.database(), world.vfs.instance());
    let store = world.vfs.store(RegionId::MAIN).unwrap().clone();
    let round = async || {
        let round = runner::round(&other.vfs, JobSettings::default());
        round.await.unwrap();
    };
    // It has the object in hand when its lease runs out.
    world.faults.hold(Operation::Put);
    let (at, bytes) = (path("/a"), noise(200_000));
    let mut storing = Box::pin(put(&mine, &at, &bytes));
    until("the object to be on its way", async || {
        if let Poll::Ready(ended) = poll!(&mut storing) {
            panic!("it ended before: {ended:?}");
        }
        world.faults.calls(Operation::Put) > 0
    })
    .await;
    instances::release(db, instance).await.unwrap();
    round().await;
    let lease = Duration::from_secs(1 << 30);
    instances::renew(db, instance, lease).await.unwrap();
    world.faults.release(Operation::Put);
    let refused = storing.await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Stale);
    world.vfs.drain().await;
    assert_eq!(store.list(None, 10).await.unwrap().len(), 1);
    round().await;
    assert!(store.list(None, 10).await.unwrap().is_empty());
    // What comes when its writer is gone is removed later. Until then it is no orphan.
    let mut tx = db.read(world.tenant.id).await.unwrap();
    let known = blobs::scan(&mut tx, BlobId::NIL, 100).await.unwrap();
    drop(tx);
    let late = known.iter().find(|blob| blob.is_remembered()).unwrap();
    let late = late.info.id;
    store.put(late, Bytes::from_static(b"late")).await.unwrap();
    clean(&other).await;
    let report = fsck::check(&other.vfs, Repair::No, Depth::Records).await;
    assert_eq!(report.unwrap().orphans, 0);
    round().await;
    world.clock.advance(Duration::from_secs(9 * 24 * 3600));
    round().await;
    assert!(store.list(None, 10).await.unwrap().is_empty());
    let mut tx = db.read(world.tenant.id).await.unwrap();
    assert!(blobs::find(&mut tx, late).await.unwrap().is_none());
}

async fn a_frozen_writer_changes_nothing_after_a_take_over(dialect: Dialect) {
    let world = World::new(dialect).await;
    let other = second_instance(&world).await;
    world.account("ann").await;
    let (mine, theirs) = (world.session_of("ann").await, other.session_of("ann").await);
    let (at, bytes) = (path("/a"), noise(20 * MIB));
    for by_close in [true, false] {
        let mut frozen = mine.open_write(&at, replace()).await.unwrap();
        for (index, part) in bytes[..18 * MIB].chunks(MIB).enumerate() {
            write(&mut frozen, index * MIB, part).await;
            world.clock.advance(Duration::from_secs(1));
        }
        trickle(&world, &mut frozen, &bytes, 18 * MIB).await;
        let db = world.vfs.database();
        instances::release(db, world.vfs.instance()).await.unwrap();
        // Sweeping while it sleeps must not remove what the upload names.
        runner::round(&other.vfs, JobSettings::default())
            .await
            .unwrap();
        let mut taken = theirs.open_write(&at, update()).await.unwrap();
        let from = taken.entry().size as usize;
        assert!(from > 0);
        let lease = Duration::from_secs(1 << 30);
        instances::renew(db, world.vfs.instance(), lease)
            .await
            .unwrap();
        match by_close {
            true => {
                let refused = frozen.commit().await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Stale, "{refused:?}");
            }
            false => frozen.abandon().await,
        }
        world.vfs.drain().await;
        let hidden = mine.stat(&at).await.unwrap_err();
        assert_eq!(hidden.kind(), ErrorKind::NotFound);
        write(&mut taken, from, &bytes[from..]).await;
        taken.commit().await.unwrap();
        assert!(get(&mine, &at).await.unwrap() == bytes);
        clean(&world).await;
        mine.remove_file(&at).await.unwrap();
    }
    let store = world.vfs.store(RegionId::MAIN).unwrap();
    assert!(!store.list(None, 10).await.unwrap().is_empty());
}

/// Sends on slowly until what was sent before is written down, but for a part or two: a store tells
/// later than it is asked what has arrived. Says how much is sent.
async fn trickle(world: &World, writer: &mut FileWriter, bytes: &[u8], mut sent: usize) -> usize {
    let (db, instance) = (world.vfs.database(), world.vfs.instance());
    let session = world.session_of("ann").await;
    let what = "the store to tell what has arrived";
    until(what, async || {
        // As it would look if the instance died now.
        instances::release(db, instance).await.unwrap();
        let durable = session
            .stat(&path("/a"))
            .await
            .map_or(0, |entry| entry.size);
        let lease = Duration::from_secs(1 << 30);
        instances::renew(db, instance, lease).await.unwrap();
        if durable + 2 * PART >= sent as u64 {
            return true;
        }
        write(writer, sent, &bytes[sent..sent + 1024]).await;
        sent += 1024;
        world.clock.advance(Duration::from_secs(1));
        false
    })
    .await;
    sent
}

async fn write_until_refused(writer: &mut FileWriter, from: usize) {
    for offset in (from..from + 100 * MIB).step_by(MIB) {
        let bytes = Bytes::from(vec![9; MIB]);
        if let Err(error) = writer.write_at(offset as u64, bytes).await {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Stale
                        | ErrorKind::AlreadyExists
                        | ErrorKind::NotFound
                        | ErrorKind::Unavailable
                ),
                "{error:?}"
            );
            return;
        }
    }
    panic!("a frozen writer goes on for ever");
}

async fn what_broke_off_can_be_renamed_and_deleted(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let bytes = noise(MIB);
    put(&ann, &path("/taken"), b"old").await.unwrap();
    for (to, overwrite) in [("/new", Overwrite::Forbid), ("/taken", Overwrite::Allow)] {
        break_off(&ann, &path("/a.part"), 0, &bytes).await;
        world.vfs.drain().await;
        let refused = ann
            .rename(&path("/a.part"), &path("/taken"), Overwrite::Forbid)
            .await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);
        ann.rename(&path("/a.part"), &path(to), overwrite)
            .await
            .unwrap();
        let gone = ann.stat(&path("/a.part")).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        assert!(go_on(&ann, &path(to), &bytes).await > 0);
        assert!(get(&bob, &path(to)).await.unwrap() == bytes);
    }
    for at in [path("/b"), path("/taken")] {
        let mut writer = ann.open_write(&at, replace()).await.unwrap();
        write(&mut writer, 0, &bytes).await;
        writer.abandon().await;
        world.vfs.drain().await;
        ann.remove_file(&at).await.unwrap();
        let gone = ann.stat(&at).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }
    assert_eq!(ann.space().await.unwrap().used_bytes, MIB as u64);
    clean(&world).await;
}

/// Whoever waits for an upload to be stored may give that up: all of it is still there to be gone on with.
async fn storing_that_is_given_up_loses_nothing(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let bytes = noise(12 * MIB);
    for at in [path("/old"), path("/new")] {
        if at == path("/old") {
            put(&ann, &at, b"published").await.unwrap();
        }
        let mut writer = ann.open_write(&at, replace()).await.unwrap();
        write(&mut writer, 0, &bytes).await;
        world.faults.hold(Operation::Finish);
        for _ in 0..2 {
            let mut settling = Box::pin(writer.settle());
            assert!(poll!(&mut settling).is_pending());
            drop(settling);
        }
        world.faults.release(Operation::Finish);
        writer.abandon().await;
        world.vfs.drain().await;
        // Clients need something to send.
        assert_eq!(size(&ann, &at).await, 12 * MIB as u64 - 1);
        go_on(&ann, &at, &bytes).await;
        assert!(get(&ann, &at).await.unwrap() == bytes);
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(stored_hash(&world, &ann, &at).await.unwrap_or(hash), hash);
    }
    // And whoever goes on writing instead does so behind it.
    let at = path("/on");
    let mut writer = ann.open_write(&at, replace()).await.unwrap();
    write(&mut writer, 0, &bytes).await;
    world.faults.hold(Operation::Finish);
    let mut settling = Box::pin(writer.settle());
    assert!(poll!(&mut settling).is_pending());
    drop(settling);
    world.faults.release(Operation::Finish);
    write(&mut writer, bytes.len(), b"more").await;
    writer.commit().await.unwrap();
    let whole = [&bytes[..], b"more"].concat();
    assert!(get(&ann, &at).await.unwrap() == whole);
    let hash = stored_hash(&world, &ann, &at).await;
    assert_eq!(hash, Some(Sha256::digest(&whole).into()));
    clean(&world).await;
}
