//! Folders that are copied while others change them: what was there when they were selected, or told as missing.

use sealift::db::sql::Dialect;
use sealift::domain::error::ErrorKind;
use sealift::domain::id::NodeId;
use sealift::domain::rights::Rights;
use sealift::vfs::copy_tree::Failure;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::selection::{Purpose, Selection};
use sealift::vfs::session::Session;

use crate::selecting::{folder, names};
use crate::support::dialects::on_both;
use crate::support::world::{World, clean, path, put};

on_both!(
    what_is_moved_changed_or_deleted_meanwhile_is_copied_as_it_was,
    what_cannot_be_put_where_the_copy_was_is_told,
    what_nobody_may_read_any_more_is_told,
);

/// `/a/d` with files and a folder in it, selected, and its copy `/copy`, in which nothing is yet.
async fn begun(session: &Session) -> (Selection, NodeId) {
    for name in ["/a", "/a/d", "/a/d/e"] {
        folder(session, name).await;
    }
    for name in ["1", "2", "3", "4", "e/x"] {
        let at = path(&format!("/a/d/{name}"));
        put(session, &at, name.as_bytes()).await.unwrap();
    }
    let selection = session.select(&[path("/a/d")], Purpose::Copy).await;
    let (from, to) = (path("/a/d"), path("/copy"));
    let made = session.copy_folder(&from, &to, Overwrite::Forbid).await;
    (selection.unwrap(), made.unwrap())
}

async fn go_on(session: &Session, (selection, made): (Selection, NodeId)) -> Vec<Failure> {
    let (from, to) = (path("/a/d"), path("/copy"));
    let copied = session.copy_into(&selection, &from, (&to, made)).await;
    copied.unwrap()
}

async fn move_to(session: &Session, from: &str, to: &str) {
    let (from, to) = (path(from), path(to));
    session.rename(&from, &to, Overwrite::Allow).await.unwrap();
}

async fn content(session: &Session, at: &str) -> Vec<String> {
    let selected = session.select(&[path(at)], Purpose::Archive).await;
    names(&selected.unwrap()).await
}

async fn what_is_moved_changed_or_deleted_meanwhile_is_copied_as_it_was(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let copy = begun(&session).await;
    put(&session, &path("/a/d/1"), b"changed").await.unwrap();
    session.remove_file(&path("/a/d/2")).await.unwrap();
    move_to(&session, "/a/d/3", "/a/three").await;
    put(&session, &path("/new"), b"new").await.unwrap();
    move_to(&session, "/new", "/a/d/4").await;
    move_to(&session, "/a/d/e", "/e").await;
    move_to(&session, "/a", "/b").await;
    let failures = go_on(&session, copy).await;
    assert!(failures.is_empty(), "{failures:?}");
    let expected = ["copy", "copy/1=1", "copy/2=2", "copy/3=3", "copy/4=4"];
    let expected = [&expected[..], &["copy/e", "copy/e/x=e/x"]].concat();
    assert_eq!(content(&session, "/copy").await, expected);
    clean(&world).await;
}

async fn what_cannot_be_put_where_the_copy_was_is_told(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let copy = begun(&session).await;
    move_to(&session, "/copy", "/elsewhere").await;
    let missing = ["/copy/1", "/copy/2", "/copy/3", "/copy/4", "/copy/e"];
    let told = |failures: &[Failure]| {
        let kinds = failures.iter().map(|failure| failure.error.kind());
        assert!(kinds.into_iter().all(|kind| kind == ErrorKind::NotFound));
        let paths = failures.iter().map(|failure| failure.path.to_string());
        let mut paths: Vec<String> = paths.collect();
        paths.sort();
        paths
    };
    assert_eq!(told(&go_on(&session, copy.clone()).await), missing);
    // Another folder of that name is another folder.
    folder(&session, "/copy").await;
    assert_eq!(told(&go_on(&session, copy.clone()).await), missing);
    assert_eq!(content(&session, "/copy").await, ["copy"]);
    session.remove_folder(&path("/copy")).await.unwrap();
    move_to(&session, "/elsewhere", "/copy").await;
    assert!(go_on(&session, copy).await.is_empty());
    assert_eq!(content(&session, "/copy").await.len(), 7);
    clean(&world).await;
}

async fn what_nobody_may_read_any_more_is_told(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let copy = begun(&session).await;
    let bob = world.account_with("bob", Rights::LIST, None).await;
    let failures = go_on(&bob, copy.clone()).await;
    let kinds = failures.iter().map(|failure| failure.error.kind());
    assert!(kinds.into_iter().all(|kind| kind == ErrorKind::Denied));
    assert_eq!(failures.len(), 5);
    // Whose it is nobody can tell when the folder itself is gone.
    session.remove_tree(&path("/a")).await.unwrap();
    let failures = go_on(&session, copy).await;
    let kinds = failures.iter().map(|failure| failure.error.kind());
    assert!(kinds.into_iter().all(|kind| kind == ErrorKind::NotFound));
    assert_eq!(failures.len(), 5);
    clean(&world).await;
}
