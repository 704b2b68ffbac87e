//! Uploads that are left to an instance at which nobody writes them: others can go on with them all the same.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sealift::db::operation::{Operation, Record};
use sealift::db::sql::{Dialect, TenantTx};
use sealift::db::{kept, uploads};
use sealift::domain::change::Committed;
use sealift::domain::clock::Timestamp;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::id::{InstanceId, UploadId};
use sealift::domain::path::VfsPath;
use sealift::domain::principal::Actor;
use sealift::vfs::session::Session;
use sealift::vfs::stranded::LetGo;
use sealift::vfs::upload::{Leave, Remains};

use crate::support::dialects::on_both;
use crate::support::lossy::{LossyProxy, losing};
use crate::support::wait::until;
use crate::support::world::{World, clean, get, path, put, replace, update};

const LENGTH: usize = 300_000;

on_both! {
    only_who_took_an_upload_over_lets_it_go,
}

/// Takes an upload over and does nothing with it.
struct Take {
    id: UploadId,
    epoch: i64,
    instance: InstanceId,
    holder: [u8; 16],
    now: Timestamp,
}

#[async_trait]
impl Operation for Take {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let Self {
            id,
            epoch,
            instance,
            holder,
            now,
        } = *self;
        kept::take_over(tx, id, epoch, instance, holder, now).await?;
        Ok(Record::Nothing)
    }
}

async fn only_who_took_an_upload_over_lets_it_go(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    break_off(&ann).await;
    world.vfs.drain().await;
    let (db, tenant) = (world.vfs.database(), world.tenant.id);
    let root = ann.stat(&VfsPath::root()).await.unwrap().node;
    let (account, now) = (ann.principal().account, db.clock().now());
    let mut tx = db.read(tenant).await.unwrap();
    let found = kept::find(&mut tx, account, root, "a", None, now).await;
    let free = found.unwrap().unwrap();
    drop(tx);
    let (id, epoch, own, other) = (free.id, free.epoch, [1; 16], [2; 16]);
    let actor = Actor::operator();
    let run = async |operation: LetGo| {
        let committer = world.vfs.committer();
        let run = committer.run(tenant, &actor, operation);
        run.await.map(drop)
    };
    let let_go = |epoch: i64, holder: [u8; 16]| LetGo {
        leave: Leave {
            upload: Some((id, epoch)),
            remains: Remains::Keep,
            blobs: Vec::new(),
            lent_by: None,
        },
        holder: Some(holder),
    };
    let state = async || {
        let mut tx = db.read(tenant).await.unwrap();
        let upload = uploads::find(&mut tx, id).await.unwrap().unwrap();
        (upload.epoch, upload.instance)
    };
    let nobody = InstanceId::NIL;
    // It was not taken over.
    run(let_go(epoch + 1, own)).await.unwrap();
    assert_eq!(state().await, (epoch, nobody));
    let take = Take {
        id,
        epoch,
        instance: world.vfs.instance(),
        holder: own,
        now,
    };
    let taken = world.vfs.committer().run(tenant, &actor, take);
    taken.await.unwrap();
    // Another thinks that it was they, or it is of long ago.
    for (epoch, holder) in [(epoch + 1, other), (epoch, own), (epoch + 2, own)] {
        run(let_go(epoch, holder)).await.unwrap();
    }
    assert_eq!(state().await, (epoch + 1, world.vfs.instance()));
    // Also when the answer to that is lost.
    for _ in 0..2 {
        run(let_go(epoch + 1, own)).await.unwrap();
        assert_eq!(state().await, (epoch + 2, nobody));
    }
    clean(&world).await;
}

/// Begins an upload of `/a` that is written down, and breaks off.
async fn break_off(ann: &Session) {
    let mut writer = ann.open_write(&path("/a"), replace()).await.unwrap();
    let bytes = Bytes::from(vec![7; LENGTH]);
    writer.write_at(0, bytes).await.unwrap();
    writer.abandon().await;
}

/// Goes on with it at another instance, once that can be done.
async fn go_on_elsewhere(world: &World) {
    let other = world.beside();
    let ann = other.session_of("ann").await;
    let at = path("/a");
    let mut writer = None;
    until("an upload to be let go", async || {
        writer = ann.open_write(&at, update()).await.ok();
        writer.is_some()
    })
    .await;
    let mut writer = writer.unwrap();
    let from = writer.entry().size as usize;
    assert!(from > 0);
    let rest = Bytes::from(vec![7; LENGTH - from]);
    writer.write_at(from as u64, rest).await.unwrap();
    writer.commit().await.unwrap();
    assert!(get(&ann, &at).await.unwrap() == vec![7; LENGTH]);
    other.vfs.drain().await;
}

async fn losing_world() -> (World, LossyProxy, Session) {
    let (world, proxy) = losing().await;
    let ann = world.account("ann").await;
    // Blobs for what comes are announced with it.
    put(&ann, &path("/first"), b"first").await.unwrap();
    (world, proxy, ann)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_over_of_which_nothing_is_heard_keeps_nobody_out() {
    let (world, proxy, ann) = losing_world().await;
    break_off(&ann).await;
    world.vfs.drain().await;
    proxy.lose.store(usize::MAX, SeqCst);
    let refused = ann.open_write(&path("/a"), update()).await.err().unwrap();
    proxy.lose.store(0, SeqCst);
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    go_on_elsewhere(&world).await;
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_ends_does_not_wait_for_a_database_that_is_away() {
    let (world, proxy, ann) = losing_world().await;
    break_off(&ann).await;
    world.vfs.drain().await;
    proxy.stop.store(usize::MAX, SeqCst);
    let refused = ann.open_write(&path("/a"), update()).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let drained = tokio::time::timeout(Duration::from_secs(30), world.vfs.drain());
    drained.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_while_nothing_can_be_committed_is_let_go_later() {
    let (world, proxy, ann) = losing_world().await;
    break_off(&ann).await;
    world.vfs.drain().await;
    let writer = ann.open_write(&path("/a"), update()).await.unwrap();
    proxy.stop.store(usize::MAX, SeqCst);
    writer.abandon().await;
    // One commit gives up before that.
    let what = "what could not be committed to be tried again";
    until(what, async || proxy.stop.load(SeqCst) < usize::MAX - 9).await;
    proxy.stop.store(0, SeqCst);
    go_on_elsewhere(&world).await;
    clean(&world).await;
}
