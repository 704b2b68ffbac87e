//! Writers that meet in one file, and users who ask for what nobody should be given.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use sealift::accounts::manage::Directory;
use sealift::accounts::manage_accounts::NewAccount;
use sealift::db::audit::{self, ChainState};
use sealift::db::commit::Committer;
use sealift::db::database::{Database, Location};
use sealift::db::grants::{self, Grant, Subject};
use sealift::db::migrate;
use sealift::db::operation::{Operation, Record};
use sealift::db::sql::{Dialect, TenantTx};
use sealift::db::tenants;
use sealift::domain::change::Committed;
use sealift::domain::clock::SystemClock;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::node::AttributeUpdate;
use sealift::domain::principal::Actor;
use sealift::domain::rights::Rights;
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};
use sealift::jobs::hash::Hashing;
use sealift::jobs::runner::{self, JobSettings};
use sealift::storage::faulty;
use sealift::vfs::history::PastTree;
use sealift::vfs::options::WriteOptions;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;

use crate::support::dialects::on_both;
use crate::support::installation::followed;
use crate::support::lossy::LossyProxy;
use crate::support::postgres::Postgres;
use crate::support::world::{World, clean, get, new_tenant, path, put, replace, update};

on_both!(
    a_file_deleted_while_it_is_changed_comes_back_whole,
    a_file_replaced_while_it_is_changed_is_not_mixed_with_its_successor,
    a_look_at_the_future_sweeps_no_upload_away,
    a_move_gives_nobody_rights_that_a_copy_would_not,
    a_panic_in_one_operation_does_not_stop_the_others,
    a_writer_that_failed_reserves_nothing_more,
    appends_that_meet_are_all_kept,
    sizes_near_the_limit_leave_the_counters_right,
    the_hashing_job_does_not_read_holes_without_end,
    what_may_not_be_seen_is_denied_in_the_same_words_whether_it_is_there_or_not,
    what_was_synced_stays_when_the_file_is_deleted_before_the_end,
    writing_backwards_byte_by_byte_ends_soon,
);

async fn appends_that_meet_are_all_kept(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let log = path("/log");
    put(&ann, &log, b"start,").await.unwrap();
    let append = WriteOptions {
        append: true,
        ..update()
    };
    let mut first = ann.open_write(&log, append).await.unwrap();
    let mut second = bob.open_write(&log, append).await.unwrap();
    first.write_at(0, "ann1,".into()).await.unwrap();
    second.write_at(0, "bob1,".into()).await.unwrap();
    first.sync().await.unwrap();
    first.write_at(0, "ann2,".into()).await.unwrap();
    second.commit().await.unwrap();
    first.commit().await.unwrap();
    let whole = get(&ann, &log).await.unwrap();
    assert_eq!(String::from_utf8(whole).unwrap(), "start,ann1,bob1,ann2,");
    runner::round(&world.vfs, JobSettings::default())
        .await
        .unwrap();
    clean(&world).await;
}

async fn a_file_deleted_while_it_is_changed_comes_back_whole(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let file = path("/x");
    put(&ann, &file, &[7; 1000]).await.unwrap();
    let mut writer = ann.open_write(&file, update()).await.unwrap();
    writer.write_at(1000, "end".into()).await.unwrap();
    ann.remove_file(&file).await.unwrap();
    writer.commit().await.unwrap();
    let whole = get(&ann, &file).await.unwrap();
    assert_eq!(
        whole[..1000],
        [7; 1000],
        "no zeros where there was something"
    );
    assert_eq!(&whole[1000..], b"end");
    clean(&world).await;
}

async fn a_file_replaced_while_it_is_changed_is_not_mixed_with_its_successor(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let (file, new) = (path("/x"), path("/new"));
    put(&ann, &file, b"aaaaaaaa").await.unwrap();
    let mut writer = ann.open_write(&file, update()).await.unwrap();
    writer.write_at(4, "1".into()).await.unwrap();
    put(&ann, &new, b"bbbbbbbb").await.unwrap();
    ann.rename(&new, &file, Overwrite::Allow).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(get(&ann, &file).await.unwrap(), b"aaaa1aaa");
    clean(&world).await;
}

async fn what_was_synced_stays_when_the_file_is_deleted_before_the_end(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let file = path("/x");
    let mut writer = ann.open_write(&file, replace()).await.unwrap();
    writer.write_at(0, "synced,".into()).await.unwrap();
    writer.sync().await.unwrap();
    ann.remove_file(&file).await.unwrap();
    writer.write_at(7, "more".into()).await.unwrap();
    writer.sync().await.unwrap();
    ann.remove_file(&file).await.unwrap();
    put(&ann, &file, b"another").await.unwrap();
    writer.write_at(11, "!".into()).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(get(&ann, &file).await.unwrap(), b"synced,more!");
    clean(&world).await;
}

async fn sizes_near_the_limit_leave_the_counters_right(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let most = i64::MAX as u64;
    let mut outcomes = Vec::new();
    for name in ["/a", "/b", "/c"] {
        put(&ann, &path(name), b"x").await.unwrap();
    }
    for name in ["/a", "/b", "/c"] {
        outcomes.push(ann.truncate(&path(name), most).await);
        outcomes.push(ann.truncate(&path(name), most / 2).await);
        let mut writer = ann.open_write(&path(name), update()).await.unwrap();
        outcomes.push(writer.write_at(most - 1, "x".into()).await);
        outcomes.push(writer.commit().await.map(drop));
    }
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_ne!(error.kind(), ErrorKind::Internal, "{error:?}");
    }
    world.vfs.drain().await;
    for name in ["/a", "/b", "/c"] {
        ann.truncate(&path(name), 1).await.unwrap();
    }
    clean(&world).await;
    assert_eq!(ann.space().await.unwrap().used_bytes, 3);
}

async fn a_writer_that_failed_reserves_nothing_more(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let mut writer = ann.open_write(&path("/x"), replace()).await.unwrap();
    writer.write_at(0, "x".into()).await.unwrap();
    world
        .faults
        .fail(faulty::Operation::Put, ErrorKind::StorageFull, 1);
    assert!(writer.sync().await.is_err());
    world.vfs.drain().await;
    let error = writer.resize(100 << 20).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert!(writer.read_at(0, 1).await.is_err());
    assert!(writer.commit().await.is_err());
    world.vfs.drain().await;
    assert_eq!(ann.space().await.unwrap().used_bytes, 0);
}

async fn a_look_at_the_future_sweeps_no_upload_away(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let mut writer = ann.open_write(&path("/x"), replace()).await.unwrap();
    for i in 0..40 {
        let bytes = Bytes::from(vec![1; 256 * 1024]);
        writer.write_at(i * 256 * 1024, bytes).await.unwrap();
    }
    // Far beyond the instance's lease.
    let future = world
        .vfs
        .database()
        .clock()
        .now()
        .plus(Duration::from_secs(1 << 31));
    PastTree::at(&world.vfs, world.tenant.id, future)
        .await
        .unwrap();
    runner::round(&world.vfs, JobSettings::default())
        .await
        .unwrap();
    writer.commit().await.unwrap();
    clean(&world).await;
}

async fn writing_backwards_byte_by_byte_ends_soon(dialect: Dialect) {
    const PIECES: u64 = 40_000;
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/x"), &vec![0; 2 * PIECES as usize])
        .await
        .unwrap();
    let mut writer = ann.open_write(&path("/x"), update()).await.unwrap();
    let started = Instant::now();
    for i in (0..PIECES).rev() {
        writer.write_at(i * 2, "x".into()).await.unwrap();
    }
    writer.commit().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(60));
    let whole = get(&ann, &path("/x")).await.unwrap();
    assert!(whole.chunks(2).all(|pair| pair == b"x\0"));
    clean(&world).await;
}

async fn the_hashing_job_does_not_read_holes_without_end(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/x"), b"x").await.unwrap();
    ann.truncate(&path("/x"), 1 << 50).await.unwrap();
    let hashing = Hashing::default();
    let round = runner::hashing_round(&world.vfs, &hashing);
    tokio::time::timeout(Duration::from_secs(20), round)
        .await
        .expect("the round must end")
        .unwrap();
}

struct Panics;

#[async_trait]
impl Operation for Panics {
    async fn apply(&self, _tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        panic!("a defect");
    }
}

async fn a_panic_in_one_operation_does_not_stop_the_others(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let committer = world.vfs.committer();
    let outcome = committer.run(world.tenant.id, &Actor::job(), Panics).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Internal);
    let file = path("/x");
    let stored = put(&ann, &file, b"x");
    tokio::time::timeout(Duration::from_secs(20), stored)
        .await
        .expect("the tenant must not be stuck")
        .unwrap();
}

async fn grant(world: &World, to: &Session, on: &str, by: &Session, rights: Rights) {
    let node = by.stat(&path(on)).await.unwrap().node;
    let grant = Grant {
        subject: Subject::Account(to.principal().account),
        node,
        rights,
    };
    let mut tx = world.vfs.database().write(world.tenant.id).await.unwrap();
    grants::set(&mut tx, grant).await.unwrap();
    tx.commit().await.unwrap();
}

async fn a_move_gives_nobody_rights_that_a_copy_would_not(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for folder in ["/drop", "/home", "/out"] {
        ann.make_folder(&path(folder), AttributeUpdate::default())
            .await
            .unwrap();
    }
    put(&ann, &path("/drop/salaries"), b"secret").await.unwrap();
    let bob = world.account_with("bob", Rights::NONE, None).await;
    let dropping = Rights::LIST | Rights::WRITE | Rights::RENAME;
    grant(&world, &bob, "/drop", &ann, dropping).await;
    grant(&world, &bob, "/home", &ann, Rights::ALL).await;
    grant(&world, &bob, "/out", &ann, Rights::LIST | Rights::RENAME).await;
    // The usual way of dropping: under another name first.
    put(&bob, &path("/drop/x.part"), b"x").await.unwrap();
    bob.rename(&path("/drop/x.part"), &path("/drop/x"), Overwrite::Forbid)
        .await
        .unwrap();
    let moved = bob
        .rename(&path("/drop/salaries"), &path("/home/s"), Overwrite::Forbid)
        .await;
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::Denied);
    put(&bob, &path("/home/x"), b"x").await.unwrap();
    let planted = bob
        .rename(&path("/home/x"), &path("/out/x"), Overwrite::Forbid)
        .await;
    let error = planted.unwrap_err();
    assert!(error.context().contains("'write'"), "{error}");
}

async fn what_may_not_be_seen_is_denied_in_the_same_words_whether_it_is_there_or_not(
    dialect: Dialect,
) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for folder in ["/secret", "/home", "/in", "/in/bob", "/in/other"] {
        ann.make_folder(&path(folder), AttributeUpdate::default())
            .await
            .unwrap();
    }
    put(&ann, &path("/secret/file"), b"x").await.unwrap();
    let bob = world.account_with("bob", Rights::NONE, None).await;
    grant(&world, &bob, "/home", &ann, Rights::ALL).await;
    grant(&world, &bob, "/in/bob", &ann, Rights::ALL).await;
    put(&bob, &path("/home/x"), b"x").await.unwrap();
    for (there, not_there) in [("/in/other", "/in/none"), ("/in/other/x", "/in/none/x")] {
        let name = |path: &str| path.replace("other", "none");
        let there = bob.stat(&path(there)).await.unwrap_err();
        let not_there = bob.stat(&path(not_there)).await.unwrap_err();
        assert_eq!(name(there.context()), not_there.context());
    }
    let mut seen = Vec::new();
    for hidden in [
        "/secret/file",
        "/secret/none",
        "/secret/file/y",
        "/secret/none/y",
    ] {
        let hidden = path(hidden);
        let outcomes = [
            bob.stat(&hidden).await.map(drop),
            bob.list(&hidden).await.map(drop),
            bob.open_read(&hidden).await.map(drop),
            bob.open_write(&hidden, replace()).await.map(drop),
            bob.make_folder(&hidden, AttributeUpdate::default()).await,
            bob.remove_file(&hidden).await,
            bob.remove_folder(&hidden).await,
            bob.set_attributes(&hidden, AttributeUpdate::default())
                .await,
            bob.truncate(&hidden, 1).await,
            bob.rename(&hidden, &path("/home/y"), Overwrite::Forbid)
                .await,
            bob.rename(&path("/home/x"), &hidden, Overwrite::Forbid)
                .await,
        ];
        let words = outcomes.map(|outcome| outcome.unwrap_err().context().to_owned());
        seen.push(words);
    }
    let [there, not_there, below_file, below_nothing] = seen.try_into().unwrap();
    for ((a, b), (c, d)) in there
        .iter()
        .zip(&not_there)
        .zip(below_file.iter().zip(&below_nothing))
    {
        assert_eq!(a, b);
        assert_eq!(c, d);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_leaves_the_blobs_of_a_tenant_added_meanwhile_alone() {
    let world = World::new(Dialect::Sqlite).await;
    let db = world.vfs.database().clone();
    world.faults.hold(faulty::Operation::List);
    let meanwhile = async {
        while world.faults.calls(faulty::Operation::List) == 0 {
            tokio::task::yield_now().await;
        }
        let tenant = tenants::add(&db, &new_tenant("late")).await.unwrap();
        let eve = world.in_tenant(tenant).account("eve").await;
        put(&eve, &path("/x"), b"here to stay").await.unwrap();
        world.faults.release(faulty::Operation::List);
        eve
    };
    let (report, eve) = tokio::join!(
        fsck::check(&world.vfs, Repair::Yes, Depth::Bytes),
        meanwhile
    );
    let report = report.unwrap();
    assert_eq!(report.removed, 0, "{report:?}");
    assert_eq!(get(&eve, &path("/x")).await.unwrap(), b"here to stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_not_done_twice() {
    let urls = Postgres::shared().fresh_database();
    let clock = Arc::new(SystemClock);
    let owner = Location::Postgres(urls.owner);
    let db = Database::open(&owner, 2, clock.clone()).await.unwrap();
    migrate::migrate(&db, "sealift_server").await.unwrap();
    let (head, rest) = urls.server.split_once("@127.0.0.1:").unwrap();
    let (port, name) = rest.split_once('/').unwrap();
    let proxy = LossyProxy::before(port.parse().unwrap()).await;
    let server = Location::Postgres(format!("{head}@127.0.0.1:{}/{name}", proxy.port));
    let db = Database::open(&server, 8, clock).await.unwrap();
    let directory = Directory::new(Committer::new(db.clone()), 1000);
    let tenant = directory.add_tenant(&new_tenant("acme")).await.unwrap();
    for number in 1..=3 {
        // The home is there already: no change of the tree, only an event.
        let name = format!("user{number}@acme");
        let new = NewAccount {
            home: Some(path("/")),
            ..NewAccount::new(name.parse().unwrap())
        };
        proxy.lose.store(1, SeqCst);
        directory.add_account(new).await.unwrap();
        assert_eq!(proxy.lose.load(SeqCst), 0);
    }
    let accounts = directory.accounts(Some("acme")).await.unwrap();
    assert_eq!(accounts.len(), 3);
    let id = tenants::by_name(&db, &tenant.name)
        .await
        .unwrap()
        .unwrap()
        .id;
    let mut tx = db.snapshot(id).await.unwrap();
    let log = audit::page(&mut tx, 0, 100).await.unwrap();
    let adds = log.iter().filter(|record| record.kind == "account-add");
    assert_eq!(adds.count(), 3);
    assert!(matches!(followed(&mut tx).await, ChainState::Whole(_)));
}
