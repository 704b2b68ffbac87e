//! Purge of files in very many pieces: it comes to its end, and what is left in between agrees.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::poll;
use sealift::db::contents::{self, Left};
use sealift::db::operation::{Operation, Record};
use sealift::db::sql::{Dialect, TenantTx};
use sealift::db::{blobs, detached};
use sealift::domain::change::Committed;
use sealift::domain::error::Result;
use sealift::domain::id::ContentId;
use sealift::domain::node::AttributeUpdate;
use sealift::domain::principal::Actor;
use sealift::jobs::{purge, settle};
use sealift::vfs::session::Session;

use crate::support::dialects::on_both;
use crate::support::world::{World, clean, get, path, put, replace};

on_both!(
    what_is_in_many_pieces_is_purged_bit_by_bit,
    a_content_that_is_cut_short_agrees_with_its_blobs,
);

/// Stores a file with bytes at so many places, too far from each other to be gathered, and holes between.
async fn scatter(session: &Session, at: &str, pieces: u64) {
    let mut writer = session.open_write(&path(at), replace()).await.unwrap();
    for number in 0..pieces {
        let byte = Bytes::from_static(b"x");
        writer.write_at(number << 30, byte).await.unwrap();
    }
    writer.commit().await.unwrap();
}

async fn count(world: &World, sql: &'static str) -> i64 {
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    let rows = tx.rows_without_tenant(sql).await.unwrap();
    rows[0].int(0).unwrap()
}

const ROWS: &str = "SELECT count(*) FROM extents";

async fn what_is_in_many_pieces_is_purged_bit_by_bit(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    scatter(&ann, "/replaced", 3_000).await;
    put(&ann, &path("/replaced"), b"short").await.unwrap();
    ann.make_folder(&path("/d"), AttributeUpdate::default())
        .await
        .unwrap();
    for name in ["/d/a", "/d/b", "/d/c"] {
        put(&ann, &path(name), b"small").await.unwrap();
    }
    scatter(&ann, "/d/b", 3_000).await;
    ann.remove_tree(&path("/d")).await.unwrap();
    settle::run(&world.vfs, world.tenant.id).await.unwrap();
    let before = count(&world, ROWS).await;
    assert!(before > 11_000, "{before}");
    world.clock.advance(world.tenant.retention * 2);
    // Wherever it is cut short, what is there agrees.
    let mut purging = Box::pin(purge::run(&world.vfs, &world.tenant));
    let cut_short = loop {
        if poll!(&mut purging).is_ready() {
            break false;
        }
        if count(&world, ROWS).await < before {
            break true;
        }
    };
    if cut_short {
        drop(purging);
        world.vfs.drain().await;
        clean(&world).await;
        purge::run(&world.vfs, &world.tenant).await.unwrap();
    }
    assert_eq!(count(&world, ROWS).await, 1);
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    assert!(detached::doomed(&mut tx, 1).await.unwrap().is_empty());
    drop(tx);
    assert_eq!(get(&ann, &path("/replaced")).await.unwrap(), b"short");
    clean(&world).await;
}

/// Drops the use of a content, two runs at a time.
struct DropUse {
    content: ContentId,
    left: Left,
}

#[async_trait]
impl Operation for DropUse {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let left = contents::drop_use(tx, self.content, next.at, 2).await?;
        assert_eq!(left, self.left);
        Ok(Record::Nothing)
    }
}

async fn a_content_that_is_cut_short_agrees_with_its_blobs(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    scatter(&ann, "/a", 3).await;
    let content = ann.stat(&path("/a")).await.unwrap().content.unwrap();
    let (committer, job) = (world.vfs.committer(), Actor::job());
    for (left, size) in [
        (Left::Rest((1 << 30) + 1), Some((1 << 30) + 1)),
        (Left::Rest(1), Some(1)),
        (Left::Gone(1), None),
    ] {
        let less = DropUse { content, left };
        let dropped = committer.run(world.tenant.id, &job, less);
        dropped.await.unwrap();
        let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
        let found = contents::scan(&mut tx, ContentId::NIL, 10).await.unwrap();
        let found: Vec<_> = found.iter().map(|it| (it.size, it.extents)).collect();
        let expected: Vec<_> = size.map(|size| (size, size)).into_iter().collect();
        assert_eq!(found, expected);
        assert_eq!(blobs::miscounted(&mut tx).await.unwrap(), []);
    }
}
