//! Random operations by several sessions, with looks at earlier times and purges in between,
//! against a plain model in memory, on both databases.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sealift::db::sql::Dialect;
use sealift::domain::clock::{Clock, Timestamp};
use sealift::domain::error::ErrorKind;
use sealift::domain::node::NodeKind;
use sealift::domain::path::VfsPath;
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};
use sealift::jobs::runner::{self, JobSettings};
use sealift::vfs::history::PastTree;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;

use crate::support::world::{World, get, path, put, update};

const STEPS: usize = 400;

/// A tree by path; a folder is `None`.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations_agree_with_a_model_on_sqlite() {
    Box::pin(run(Dialect::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations_agree_with_a_model_on_postgresql() {
    Box::pin(run(Dialect::Postgres)).await;
}

async fn run(dialect: Dialect) {
    let given = std::env::var_os("SEALIFT_SEED");
    let given = given.and_then(|seed| seed.to_str()?.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    report(&format!("SEALIFT_SEED={seed} on {dialect:?}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new(dialect).await;
    let sessions = [world.account("ann").await, world.account("bob").await];
    let mut tree = Tree::new();
    let mut past: Vec<(Timestamp, Tree)> = Vec::new();
    let settings = JobSettings {
        blob_grace: Duration::from_secs(0),
        ..JobSettings::default()
    };
    for step in 0..STEPS {
        world
            .clock
            .advance(Duration::from_secs(random.u64(0..4000)));
        let session = &sessions[random.usize(0..2)];
        let context = format!("seed {seed}, step {step}");
        operate(&mut random, session, &mut tree, &context).await;
        if random.u8(0..10) == 0 {
            // Changes of one instant are a microsecond apart, so the last may be a little ahead. A
            // look makes the time final, whatever is committed later.
            world.clock.advance(Duration::from_millis(1));
            let now = world.clock.now();
            PastTree::at(&world.vfs, world.tenant.id, now)
                .await
                .unwrap();
            past.push((now, tree.clone()));
        }
        if random.u8(0..15) == 0 && !past.is_empty() {
            let (time, then) = &past[random.usize(0..past.len())];
            if world.clock.now().since(*time) < world.tenant.retention {
                check_past(&world, *time, then, &context).await;
            }
        }
        if random.u8(0..20) == 0 {
            runner::round(&world.vfs, settings).await.unwrap();
        }
        if random.u8(0..40) == 0 {
            check_live(session, &tree, &context).await;
            world.vfs.drain().await;
            let report = fsck::check(&world.vfs, Repair::No, Depth::Bytes)
                .await
                .unwrap();
            assert!(report.clean, "{context}: {:?}", report.problems);
        }
    }
    world
        .clock
        .advance(world.tenant.retention + Duration::from_secs(1));
    runner::round(&world.vfs, settings).await.unwrap();
    runner::round(&world.vfs, settings).await.unwrap();
    check_live(&sessions[0], &tree, "at the end").await;
    let report = fsck::check(&world.vfs, Repair::No, Depth::Bytes)
        .await
        .unwrap();
    assert!(report.clean, "{:?}", report.problems);
    assert_eq!(
        report.entries,
        tree.len() as u64 + 1,
        "all of the past is purged"
    );
    let files = tree
        .values()
        .flatten()
        .filter(|bytes| !bytes.is_empty())
        .count();
    assert_eq!(report.contents, files as u64, "seed {seed}");
}

#[expect(clippy::print_stdout, reason = "a failure must be repeatable")]
fn report(line: &str) {
    println!("{line}");
}

async fn operate(random: &mut fastrand::Rng, session: &Session, tree: &mut Tree, context: &str) {
    let at = some_path(random);
    let target = path(&at);
    match random.u8(0..12) {
        0..=3 => {
            let size = [0, 10, 1000, 70_000, 400_000][random.usize(0..5)];
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
                .take(size)
                .collect();
            let done = put(session, &target, &bytes).await.map_err(|e| e.kind());
            let expected = match parent_kind(tree, &at) {
                Err(kind) => Err(kind),
                Ok(()) if matches!(tree.get(&at), Some(None)) => Err(ErrorKind::IsFolder),
                Ok(()) => {
                    tree.insert(at.clone(), Some(bytes));
                    Ok(())
                }
            };
            assert_eq!(done, expected, "{context}: put {at}");
        }
        4..=5 => {
            let done = session.make_folder(&target, Default::default()).await;
            let expected = match parent_kind(tree, &at) {
                Err(kind) => Err(kind),
                Ok(()) if tree.contains_key(&at) => Err(ErrorKind::AlreadyExists),
                Ok(()) => {
                    tree.insert(at.clone(), None);
                    Ok(())
                }
            };
            assert_eq!(
                done.map_err(|e| e.kind()),
                expected,
                "{context}: mkdir {at}"
            );
        }
        6 => {
            let done = session.remove_tree(&target).await.map_err(|e| e.kind());
            let expected = match parent_kind(tree, &at) {
                Err(kind) => Err(kind),
                Ok(()) if !tree.contains_key(&at) => Err(ErrorKind::NotFound),
                Ok(()) => {
                    tree.retain(|path, _| *path != at && !is_below(path, &at));
                    Ok(())
                }
            };
            assert_eq!(done, expected, "{context}: remove {at}");
        }
        7 => {
            let done = session.remove_folder(&target).await.map_err(|e| e.kind());
            let expected = match (parent_kind(tree, &at), tree.get(&at)) {
                (Err(kind), _) => Err(kind),
                (_, None) => Err(ErrorKind::NotFound),
                (_, Some(Some(_))) => Err(ErrorKind::NotFolder),
                (_, Some(None)) if has_below(tree, &at) => Err(ErrorKind::NotEmpty),
                (_, Some(None)) => {
                    tree.remove(&at);
                    Ok(())
                }
            };
            assert_eq!(done, expected, "{context}: rmdir {at}");
        }
        8..=9 => rename(random, session, tree, &at, context).await,
        10 => {
            let Some(Some(bytes)) = tree.get_mut(&at) else {
                return;
            };
            let mut writer = session.open_write(&target, update()).await.unwrap();
            for _ in 0..random.usize(1..4) {
                let offset = random.usize(0..bytes.len() + 1000);
                let piece: Vec<u8> = vec![random.u8(..); random.usize(1..3000)];
                if bytes.len() < offset + piece.len() {
                    bytes.resize(offset + piece.len(), 0);
                }
                bytes[offset..offset + piece.len()].copy_from_slice(&piece);
                writer
                    .write_at(offset as u64, Bytes::from(piece))
                    .await
                    .unwrap();
                if random.bool() {
                    let size = random.usize(0..bytes.len() + 100);
                    bytes.resize(size, 0);
                    writer.resize(size as u64).await.unwrap();
                }
                if random.u8(0..4) == 0 {
                    writer.sync().await.unwrap();
                }
                let whole = writer.read_at(0, 1 << 20).await.unwrap();
                assert!(whole == *bytes, "{context}: a writer sees its own writes");
            }
            writer.commit().await.unwrap();
        }
        _ => {
            let found = get(session, &target).await.map_err(|e| e.kind());
            let expected = match (parent_kind(tree, &at), tree.get(&at)) {
                (Err(kind), _) => Err(kind),
                (_, None) => Err(ErrorKind::NotFound),
                (_, Some(None)) => Err(ErrorKind::IsFolder),
                (_, Some(Some(bytes))) => Ok(bytes.clone()),
            };
            assert!(found == expected, "{context}: get {at}");
        }
    }
}

async fn rename(
    random: &mut fastrand::Rng,
    session: &Session,
    tree: &mut Tree,
    from: &str,
    context: &str,
) {
    let to = some_path(random);
    let overwrite = [Overwrite::Allow, Overwrite::Forbid][random.usize(0..2)];
    let done = session.rename(&path(from), &path(&to), overwrite).await;
    let expected = expected_rename(tree, from, &to, overwrite);
    if expected == Ok(true) {
        let moved: Vec<_> = tree
            .iter()
            .filter(|(path, _)| *path == from || is_below(path, from))
            .map(|(path, value)| (path.clone(), value.clone()))
            .collect();
        tree.retain(|path, _| path != from && !is_below(path, from));
        for (path, value) in moved {
            tree.insert(format!("{to}{}", &path[from.len()..]), value);
        }
    }
    let context = format!("{context}: rename {from} {to} {overwrite:?}");
    assert_eq!(done.map_err(|e| e.kind()), expected.map(drop), "{context}");
}

/// Whether anything moves, or why it must not.
fn expected_rename(
    tree: &Tree,
    from: &str,
    to: &str,
    overwrite: Overwrite,
) -> Result<bool, ErrorKind> {
    parent_kind(tree, from)?;
    let source = tree.get(from).ok_or(ErrorKind::NotFound)?;
    parent_kind(tree, to)?;
    if is_below(to, from) {
        return Err(ErrorKind::Invalid);
    }
    if from == to {
        return Ok(false);
    }
    match (source, tree.get(to)) {
        (_, None) => Ok(true),
        _ if overwrite == Overwrite::Forbid => Err(ErrorKind::AlreadyExists),
        (Some(_), Some(None)) => Err(ErrorKind::IsFolder),
        (None, Some(Some(_))) => Err(ErrorKind::NotFolder),
        (None, Some(None)) if has_below(tree, to) => Err(ErrorKind::NotEmpty),
        _ => Ok(true),
    }
}

async fn check_live(session: &Session, tree: &Tree, context: &str) {
    let mut found = Tree::new();
    let mut folders = vec![VfsPath::root()];
    while let Some(folder) = folders.pop() {
        let mut listing = session.list(&folder).await.unwrap();
        loop {
            let page = listing.next_page().await.unwrap();
            if page.is_empty() {
                break;
            }
            for entry in page {
                let at = VfsPath::resolve(&folder, entry.name.as_bytes()).unwrap();
                let bytes = match entry.kind {
                    NodeKind::File => Some(get(session, &at).await.unwrap()),
                    NodeKind::Folder => None,
                };
                found.insert(at.to_string(), bytes);
                if entry.kind == NodeKind::Folder {
                    folders.push(at);
                }
            }
        }
    }
    assert!(found == *tree, "{context}: the tree differs");
}

async fn check_past(world: &World, time: Timestamp, tree: &Tree, context: &str) {
    let past = PastTree::at(&world.vfs, world.tenant.id, time)
        .await
        .unwrap();
    let mut seen = 0;
    let mut folders = vec![VfsPath::root()];
    while let Some(folder) = folders.pop() {
        let mut listing = past.list(&folder).await.unwrap();
        loop {
            let page = listing.next_page().await.unwrap();
            if page.is_empty() {
                break;
            }
            for entry in page {
                seen += 1;
                let at = VfsPath::resolve(&folder, entry.name.as_bytes()).unwrap();
                let Some(then) = tree.get(&at.to_string()) else {
                    panic!("{context}: {at} was not there at {time}");
                };
                match then {
                    None => folders.push(at),
                    Some(bytes) => {
                        let reader = past.open_read(&at).await.unwrap();
                        let whole = reader.read_at(0, 1 << 20).await.unwrap();
                        assert!(whole == *bytes, "{context}: {at} differs at {time}");
                    }
                }
            }
        }
    }
    assert_eq!(
        seen,
        tree.len(),
        "{context}: something is missing at {time}"
    );
}

/// What an operation on `at` meets on the way to its last name.
fn parent_kind(tree: &Tree, at: &str) -> Result<(), ErrorKind> {
    let mut above = String::new();
    let names: Vec<_> = at.split('/').skip(1).collect();
    for name in &names[..names.len() - 1] {
        above = format!("{above}/{name}");
        match tree.get(&above) {
            None => return Err(ErrorKind::NotFound),
            Some(Some(_)) => return Err(ErrorKind::NotFolder),
            Some(None) => {}
        }
    }
    Ok(())
}

fn some_path(random: &mut fastrand::Rng) -> String {
    let depth = random.usize(1..4);
    (0..depth)
        .map(|_| ["/a", "/b", "/é c"][random.usize(0..3)])
        .collect()
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn has_below(tree: &Tree, folder: &str) -> bool {
    tree.keys().any(|path| is_below(path, folder))
}
