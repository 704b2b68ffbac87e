//! Very many uploads that broke off. On both databases.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sealift::db::operation::{Operation, Record};
use sealift::db::sql::{Dialect, TenantTx};
use sealift::db::uploads::{self, Upload};
use sealift::db::usage::Amount;
use sealift::db::{kept, upload_edits};
use sealift::domain::change::Committed;
use sealift::domain::clock::{Clock, Timestamp};
use sealift::domain::error::Result;
use sealift::domain::id::{InstanceId, LinkId, NodeId, UploadId};
use sealift::domain::node::{AttributeUpdate, Entry};
use sealift::domain::path::VfsPath;
use sealift::domain::principal::{Actor, LinkPass, Principal};
use sealift::jobs::sweep::{self, Keep};
use sealift::vfs::session::Session;

use crate::support::dialects::on_both;
use crate::support::world::{World, clean, get, path, put, update};

/// What one page of a listing has at most.
const PAGE: usize = 1000;

on_both! {
    very_many_that_broke_off_are_listed_page_by_page_each_in_its_folder,
    what_broke_off_in_very_many_pieces_expires_in_several_transactions,
    who_comes_by_a_link_sees_nothing_that_its_account_broke_off,
}

/// How long what broke off is kept.
const KEPT: Duration = Duration::from_secs(3600);

/// Writes uploads down as they are when they broke off.
struct BrokenOff(Vec<Upload>);

#[async_trait]
impl Operation for BrokenOff {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        for upload in &self.0 {
            uploads::begin(tx, upload).await?;
        }
        Ok(Record::Nothing)
    }
}

impl World {
    async fn have_broken_off(&self, uploads: Vec<Upload>) {
        let (committer, actor) = (self.vfs.committer(), Actor::operator());
        let written = committer.run(self.tenant.id, &actor, BrokenOff(uploads));
        written.await.unwrap();
    }
}

/// A whole file that broke off under a name.
fn broken_off(session: &Session, parent: NodeId, name: String, size: u64, at: i64) -> Upload {
    let touched_at = Timestamp(1_800_000_000_000_000 + at);
    Upload {
        id: UploadId::mint(touched_at),
        epoch: 2,
        instance: InstanceId::NIL,
        account: session.principal().account,
        parent,
        name,
        node: None,
        base: None,
        whole: true,
        size,
        hash_state: Some(vec![7; 108]),
        reserved: Amount::default(),
        touched_at,
    }
}

/// One step of what has them expire.
struct Expire {
    now: Timestamp,
    room: usize,
    /// Set when it is applied.
    are_gone: Arc<AtomicBool>,
}

#[async_trait]
impl Operation for Expire {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let (until, mut room) = (self.now.minus(KEPT), self.room);
        let are_gone = kept::expire(tx, until, self.now, 200, &mut room).await?;
        self.are_gone.store(are_gone, Ordering::SeqCst);
        Ok(Record::Nothing)
    }
}

async fn what_broke_off_in_very_many_pieces_expires_in_several_transactions(dialect: Dialect) {
    const PIECES: usize = 2_500;
    const ROOM: usize = 1_000;
    let world = World::new(dialect).await;
    let (ann, at) = (world.account("ann").await, path("/pieces"));
    put(&ann, &at, &[7; 300]).await.unwrap();
    let mut writer = ann.open_write(&at, update()).await.unwrap();
    writer.write_at(300, "longer".into()).await.unwrap();
    for index in 0..PIECES {
        let offset = index as u64 % 2 * 10 + 200;
        writer.write_at(offset, "x".into()).await.unwrap();
    }
    // Reading ends the blob, so that all of it is stored.
    writer.read_at(0, 1).await.unwrap();
    writer.abandon().await;
    world.vfs.drain().await;
    let entry = ann.stat(&at).await.unwrap();
    assert_eq!(entry.size, 306);
    let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
    let now = world.clock.now();
    let account = ann.principal().account;
    let place = (entry.parent, "pieces");
    let found = kept::find(&mut tx, account, place.0, place.1, Some(entry.node), now).await;
    let id = found.unwrap().unwrap().id;
    drop(tx);
    let left = async || {
        let mut tx = world.vfs.database().read(world.tenant.id).await.unwrap();
        upload_edits::load(&mut tx, id).await.unwrap().len()
    };
    let pieces = left().await;
    assert!((PIECES - 10..=PIECES).contains(&pieces), "{pieces}");
    world.clock.advance(KEPT + Duration::from_secs(1));
    let mut steps = Vec::new();
    loop {
        let are_gone = Arc::new(AtomicBool::new(false));
        let expire = Expire {
            now: world.clock.now(),
            room: ROOM,
            are_gone: are_gone.clone(),
        };
        let (committer, actor) = (world.vfs.committer(), Actor::job());
        let expired = committer.run(world.tenant.id, &actor, expire).await;
        expired.unwrap();
        steps.push(left().await);
        // From the first step on nobody goes on with it.
        assert_eq!(ann.stat(&at).await.unwrap().size, 300);
        clean(&world).await;
        if are_gone.load(Ordering::SeqCst) {
            break;
        }
    }
    assert_eq!(steps, [pieces - ROOM, pieces - 2 * ROOM, 0]);
    assert_eq!(get(&ann, &at).await.unwrap(), [7; 300]);
    assert_eq!(ann.space().await.unwrap().used_bytes, 300);
    // However many there are, one sweep discards all.
    let root = entry.parent;
    let many = |index: i64| broken_off(&ann, root, format!("{index}.part"), 1, index);
    world.have_broken_off((0..450).map(many).collect()).await;
    assert_eq!(listed(&ann, &VfsPath::root()).await.len(), 451);
    let keep = Keep {
        blob_grace: Duration::ZERO,
        upload_expiry: KEPT,
    };
    world.clock.advance(KEPT + Duration::from_secs(1));
    sweep::run(&world.vfs, world.tenant.id, keep).await.unwrap();
    assert_eq!(listed(&ann, &VfsPath::root()).await.len(), 1);
    clean(&world).await;
}

async fn who_comes_by_a_link_sees_nothing_that_its_account_broke_off(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let shared = folder(&ann, "/shared").await;
    put(&ann, &path("/shared/there"), b"there").await.unwrap();
    let broken = broken_off(&ann, shared.node, "broken off".to_owned(), 10, 0);
    world.have_broken_off(vec![broken]).await;
    let link = LinkPass {
        id: LinkId::random(),
        node: shared.node,
        name: "link".to_owned(),
    };
    let guest = world.vfs.session(Principal {
        link: Some(link),
        ..ann.principal().clone()
    });
    let names = async |session: &Session| {
        let all = listed(session, &path("/shared")).await;
        all.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(&ann).await, ["broken off", "there"]);
    assert_eq!(names(&guest).await, ["there"]);
}

/// All that a folder shows, in order, as it comes in pages.
async fn listed(session: &Session, folder: &VfsPath) -> Vec<(String, u64)> {
    let mut listing = session.list(folder).await.unwrap();
    let mut all = Vec::new();
    loop {
        let page = listing.next_page().await.unwrap();
        assert!(page.len() <= PAGE, "a page has {} names", page.len());
        if page.is_empty() {
            return all;
        }
        all.extend(page.into_iter().map(|entry| (entry.name, entry.size)));
    }
}

async fn folder(session: &Session, at: &str) -> Entry {
    let at = path(at);
    let made = session.make_folder(&at, AttributeUpdate::default());
    made.await.unwrap();
    session.stat(&at).await.unwrap()
}

async fn very_many_that_broke_off_are_listed_page_by_page_each_in_its_folder(dialect: Dialect) {
    const MANY: usize = 20_000;
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let folders = [folder(&ann, "/one").await, folder(&ann, "/two").await];
    let mut expected = [BTreeMap::new(), BTreeMap::new()];
    let mut published = [BTreeMap::new(), BTreeMap::new()];
    let mut broken = Vec::new();
    for index in 0..MANY {
        let (which, size) = (usize::from(index % 4 == 3), index as u64 + 10);
        let name = format!("{:05}.part", index * 7919 % MANY);
        expected[which].insert(name.clone(), size);
        let parent = folders[which].node;
        broken.push(broken_off(&ann, parent, name, size, index as i64));
    }
    // Files that are published lie between and over them, and some were to be replaced.
    for index in 0..120 {
        let (which, name) = (
            index % 2,
            format!("{:05}.{}", index * 150, ["done", "part"][index % 3 % 2]),
        );
        let at = path(&format!("/{}/{name}", ["one", "two"][which]));
        put(&bob, &at, b"five!").await.unwrap();
        published[which].insert(name.clone(), 5);
        let entry = bob.stat(&at).await.unwrap();
        expected[which].entry(name).or_insert(5);
        if index % 5 == 0 {
            // Under the name that it had when it was begun.
            let (size, name) = (index as u64 + 1_000_000, "elsewhere".to_owned());
            let over = Upload {
                node: Some(entry.node),
                base: entry.content,
                ..broken_off(&ann, folders[1 - which].node, name, size, MANY as i64)
            };
            expected[which].insert(entry.name, size);
            broken.push(over);
        }
    }
    // Of many under one name the last one counts.
    for index in 0..2_500 {
        let size = 3_000_000 - index as u64;
        broken.push(broken_off(
            &ann,
            folders[0].node,
            "12345.many".to_owned(),
            size,
            -index,
        ));
    }
    expected[0].insert("12345.many".to_owned(), 3_000_000);
    for some in broken.chunks(2_000) {
        world.have_broken_off(some.to_vec()).await;
    }
    for (which, at) in [path("/one"), path("/two")].iter().enumerate() {
        let expected: Vec<_> = expected[which].clone().into_iter().collect();
        let all = listed(&ann, at).await;
        let wrong = all.iter().zip(&expected).find(|(one, other)| one != other);
        assert_eq!(wrong, None);
        assert_eq!(all.len(), expected.len());
        let published: Vec<_> = published[which].clone().into_iter().collect();
        assert_eq!(listed(&bob, at).await, published);
        // As each shows itself alone.
        for (name, size) in expected.iter().step_by(500) {
            let at = path(&format!("{at}/{name}"));
            assert_eq!(ann.stat(&at).await.unwrap().size, *size, "{at}");
        }
    }
}
