//! Uploads with an address below the front end: what becomes of them when a request, or an answer of the database,
//! is lost.

use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::poll;
use sealift::db::links::{self, Link};
use sealift::db::sql::Dialect;
use sealift::db::{addressed, instances};
use sealift::domain::clock::Clock as _;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::id::{LinkId, UploadAddress};
use sealift::domain::link::{LinkKind, LinkLimits};
use sealift::domain::node::AttributeUpdate;
use sealift::domain::principal::{LinkPass, Principal};
use sealift::domain::rights::Rights;
use sealift::storage::faulty::Operation;
use sealift::vfs::addressed::NewUpload;
use sealift::vfs::addressed_piece::{PieceWriter, Trust, Verdict};
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;

use crate::support::dialects::on_both;
use crate::support::lossy::losing;
use crate::support::wait::until;
use crate::support::world::{World, clean, get, path, put, replace};

const MIB: usize = 1 << 20;

on_both!(
    what_is_announced_by_a_link_beyond_all_that_counts_refuses_nobody,
    what_a_link_leads_to_is_found_though_it_is_renamed_meanwhile,
    a_request_that_goes_away_while_it_takes_over_leaves_the_upload_to_others,
);

fn new(at: &str, length: u64) -> NewUpload {
    NewUpload {
        path: Some(path(at)),
        overwrite: Overwrite::Forbid,
        length: Some(length),
        metadata: String::new(),
        sender: None,
        is_told: true,
    }
}

async fn piece(session: &Session, id: UploadAddress, offset: u64) -> Result<PieceWriter> {
    let piece = session.write_piece(id, offset, None, Trust::AsItComes, |_| None);
    piece.await
}

async fn what_is_announced_by_a_link_beyond_all_that_counts_refuses_nobody(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let mut link = Link {
        id: LinkId::random(),
        account: ann.principal().account,
        kind: LinkKind::Upload,
        node: world.tenant.root,
        name: "in".to_owned(),
        password: None,
        made_at: world.clock.now(),
        revoked_at: None,
        used_at: None,
        uses: 0,
        bytes: 0,
        limits: LinkLimits::default(),
    };
    let (db, tenant) = (world.vfs.database(), world.tenant.id);
    let mut tx = db.write(tenant).await.unwrap();
    links::insert(&mut tx, &link, &[7; 32]).await.unwrap();
    tx.commit().await.unwrap();
    let outsider = world.vfs.session(Principal {
        link: Some(LinkPass {
            id: link.id,
            node: link.node,
            name: link.name.clone(),
        }),
        ..ann.principal().clone()
    });
    for at in ["/a", "/b", "/c"] {
        outsider.create_upload(new(at, 1 << 62)).await.unwrap();
    }
    let mut tx = db.write(tenant).await.unwrap();
    let pending = addressed::pending_by(&mut tx, link.id).await.unwrap();
    assert_eq!((pending.files, pending.file_bytes), (3, 3 << 62));
    link.limits.bytes = Some(1 << 40);
    links::alter(&mut tx, &link).await.unwrap();
    tx.commit().await.unwrap();
    let refused = outsider.create_upload(new("/d", 1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Quota);
    clean(&world).await;
}

async fn what_a_link_leads_to_is_found_though_it_is_renamed_meanwhile(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for at in ["/a", "/a/b"] {
        ann.make_folder(&path(at), AttributeUpdate::default())
            .await
            .unwrap();
    }
    put(&ann, &path("/a/b/file"), b"alpha").await.unwrap();
    let node = ann.held(&path("/a/b"), Rights::LIST).await.unwrap().node;
    // What the path was when a request came.
    let outsider = world.vfs.session(Principal {
        home: path("/a/b"),
        link: Some(LinkPass {
            id: LinkId::random(),
            node,
            name: String::new(),
        }),
        ..ann.principal().clone()
    });
    let rename = async |from: &str, to: &str| {
        let (from, to) = (path(from), path(to));
        ann.rename(&from, &to, Overwrite::Forbid).await.unwrap();
    };
    rename("/a/b", "/a/c").await;
    let found = outsider.held(&path("/a/b"), Rights::LIST).await.unwrap();
    assert_eq!((found.node, found.name.as_str()), (node, "c"));
    rename("/a", "/z").await;
    assert_eq!(get(&outsider, &path("/a/b/file")).await.unwrap(), b"alpha");
    // What got the old name is not behind the link.
    for at in ["/a", "/a/b"] {
        ann.make_folder(&path(at), AttributeUpdate::default())
            .await
            .unwrap();
    }
    put(&ann, &path("/a/b/file"), b"another").await.unwrap();
    assert_eq!(get(&outsider, &path("/a/b/file")).await.unwrap(), b"alpha");
    let none = outsider.held(&path("/a/b/none"), Rights::LIST).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::NotFound);
    // Who asked for a path counts on its depth, and looks again where that is.
    rename("/z/c", "/c").await;
    let moved = outsider.held(&path("/a/b"), Rights::LIST).await;
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::Stale);
    ann.remove_tree(&path("/c")).await.unwrap();
    let gone = outsider.held(&path("/a/b"), Rights::LIST).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::Denied);
    clean(&world).await;
}

async fn a_request_that_goes_away_while_it_takes_over_leaves_the_upload_to_others(
    dialect: Dialect,
) {
    let world = World::new(dialect).await;
    let (second, third) = (world.beside(), world.beside());
    let (db, lease) = (world.vfs.database(), Duration::from_secs(1 << 30));
    for instance in [second.vfs.instance(), third.vfs.instance()] {
        instances::renew(db, instance, lease).await.unwrap();
    }
    world.account("ann").await;
    let first = world.session_of("ann").await;
    let (second, third) = (
        second.session_of("ann").await,
        third.session_of("ann").await,
    );
    let mut bytes = vec![0; 40 * MIB];
    fastrand::Rng::with_seed(40).fill(&mut bytes);
    let id = first.create_upload(new("/a", bytes.len() as u64));
    let id = id.await.unwrap();
    // An instance that dies in the middle of a blob.
    let mut frozen = piece(&first, id, 0).await.unwrap();
    let mut parts = bytes.chunks(MIB);
    until("something to be durable", async || {
        let part = Bytes::copy_from_slice(parts.next().expect("more of it"));
        assert!(frozen.write(part).await);
        world.clock.advance(Duration::from_secs(1));
        let standing = second.upload_standing(id).await.unwrap();
        standing.offset > 0
    })
    .await;
    instances::release(db, world.vfs.instance()).await.unwrap();
    let durable = async || second.upload_standing(id).await.unwrap().offset;
    let mut offset = durable().await;
    world.faults.hold(Operation::Salvage);
    let mut taking = Box::pin(piece(&second, id, offset));
    until("the upload to be taken over", async || {
        if let Poll::Ready(ended) = poll!(&mut taking) {
            // What was on its way has become durable meanwhile.
            assert!(ended.is_err());
            offset = durable().await;
            taking = Box::pin(piece(&second, id, offset));
        }
        world.faults.calls(Operation::Salvage) > 0
    })
    .await;
    // It is the second one's until that knows that nobody waits any more.
    let held = piece(&third, id, offset).await.err().unwrap();
    assert_eq!(held.kind(), ErrorKind::Stale);
    drop(taking);
    world.faults.release(Operation::Salvage);
    let mut rest = None;
    until("the upload to be let go", async || {
        match piece(&third, id, offset).await {
            Ok(writer) => rest = Some(writer),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Stale),
        }
        rest.is_some()
    })
    .await;
    let mut rest = rest.unwrap();
    for part in bytes[offset as usize..].chunks(MIB) {
        assert!(rest.write(Bytes::copy_from_slice(part)).await);
    }
    let stored = rest.finish(Verdict::Counts).await.unwrap();
    assert_eq!(stored, bytes.len() as u64);
    drop(frozen);
    instances::renew(db, world.vfs.instance(), lease)
        .await
        .unwrap();
    assert!(get(&first, &path("/a")).await.unwrap() == bytes);
    clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_to_an_upload_is_recognised_when_the_answer_was_lost() {
    let (world, proxy) = losing().await;
    let ann = world.account("ann").await;
    // Blobs for what comes are announced with it.
    put(&ann, &path("/first"), b"first").await.unwrap();
    let lose = || proxy.lose.store(1, SeqCst);
    let is_lost = || proxy.lose.load(SeqCst) == 0;
    lose();
    let id = ann.create_upload(new("/a", 10)).await.unwrap();
    assert!(is_lost());
    let mut half = piece(&ann, id, 0).await.unwrap();
    assert!(half.write(Bytes::from_static(b"01234")).await);
    lose();
    assert_eq!(half.finish(Verdict::Counts).await.unwrap(), 5);
    assert!(is_lost());
    let mut rest = piece(&ann, id, 5).await.unwrap();
    assert!(rest.write(Bytes::from_static(b"56789")).await);
    assert_eq!(rest.finish(Verdict::Counts).await.unwrap(), 10);
    assert_eq!(get(&ann, &path("/a")).await.unwrap(), b"0123456789");

    let mut writer = ann.open_write(&path("/part"), replace()).await.unwrap();
    let bytes = Bytes::from(vec![7; 300_000]);
    writer.write_at(0, bytes).await.unwrap();
    writer.keep().await;
    lose();
    ann.rename(&path("/part"), &path("/moved"), Overwrite::Forbid)
        .await
        .unwrap();
    assert!(is_lost());
    assert!(ann.stat(&path("/moved")).await.unwrap().size > 0);
    lose();
    ann.remove_file(&path("/moved")).await.unwrap();
    assert!(is_lost());
    let gone = ann.stat(&path("/moved")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    clean(&world).await;
}
