//! Searching, paging and selecting, as programs do, on both databases.

use sealift::db::sql::Dialect;
use sealift::domain::error::ErrorKind;
use sealift::domain::node::{AttributeUpdate, NodeKind};
use sealift::domain::rights::Rights;
use sealift::vfs::condition::Condition;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::search::NamePattern;
use sealift::vfs::selection::{Purpose, Selection};
use sealift::vfs::session::Session;

use crate::support::dialects::on_both;
use crate::support::world::{World, get, path, put};

on_both!(
    a_change_on_condition_is_refused_once_the_version_is_another,
    a_search_shows_what_may_be_seen_and_goes_on_where_it_ended,
    a_selection_stays_as_it_was,
    a_selection_needs_the_right_to_read,
);

pub(crate) async fn folder(session: &Session, name: &str) {
    let update = AttributeUpdate::default();
    session.make_folder(&path(name), update).await.unwrap();
}

async fn a_search_shows_what_may_be_seen_and_goes_on_where_it_ended(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    let mut wanted = Vec::new();
    for name in ["/a", "/a/b", "/c"] {
        folder(&session, name).await;
        for number in 0..7 {
            let file = format!("{name}/Match-{number}");
            put(&session, &path(&file), b"x").await.unwrap();
            put(&session, &path(&format!("{name}/other-{number}")), b"x")
                .await
                .unwrap();
            wanted.push(file);
        }
    }
    wanted.sort();
    let pattern = NamePattern::parse("match").unwrap();
    for limit in [1, 2, 5, 1000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let root = path("/");
            let part = session
                .search(&root, &pattern, after.as_ref(), limit)
                .await
                .unwrap();
            assert!(part.items.len() <= limit);
            found.extend(part.items.iter().map(|(at, _)| at.to_string()));
            match part.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        found.sort();
        assert_eq!(found, wanted, "in parts of {limit}");
    }
    let stranger = world.account_with("bob", Rights::NONE, None).await;
    let refused = stranger
        .search(&path("/"), &pattern, None, 10)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
}

pub(crate) async fn names(selection: &Selection) -> Vec<String> {
    let (mut walk, mut names) = (selection.walk(), Vec::new());
    while let Some(selected) = walk.next().await.unwrap() {
        if selected.entry.kind == NodeKind::File {
            let file = selection.open(&selected.entry).await.unwrap();
            let content = file.read_at(0, 100).await.unwrap();
            let content = String::from_utf8(content.to_vec()).unwrap();
            names.push(format!("{}={content}", selected.path));
        } else {
            names.push(selected.path);
        }
    }
    names
}

async fn a_selection_stays_as_it_was(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    folder(&session, "/d").await;
    folder(&session, "/d/e").await;
    for (name, content) in [("/d/a", "1"), ("/d/e/b", "2"), ("/d/z", "3"), ("/f", "4")] {
        put(&session, &path(name), content.as_bytes())
            .await
            .unwrap();
    }
    let selection = session
        .select(&[path("/d"), path("/f")], Purpose::Archive)
        .await
        .unwrap();
    let before = names(&selection).await;
    assert_eq!(before, ["d", "d/a=1", "d/e", "d/e/b=2", "d/z=3", "f=4"]);
    put(&session, &path("/d/a"), b"changed").await.unwrap();
    put(&session, &path("/d/new"), b"new").await.unwrap();
    session.remove_file(&path("/d/z")).await.unwrap();
    session
        .rename(&path("/d/e"), &path("/e"), Overwrite::Forbid)
        .await
        .unwrap();
    session.remove_tree(&path("/d")).await.unwrap();
    session.remove_file(&path("/f")).await.unwrap();
    assert_eq!(names(&selection).await, before);
}

async fn a_selection_needs_the_right_to_read(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    folder(&session, "/d").await;
    let lister = world.account_with("bob", Rights::LIST, None).await;
    let refused = lister.select(&[path("/d")], Purpose::Archive).await;
    let refused = refused.map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    let none = session.select(&[], Purpose::Archive).await;
    let none = none.map(drop).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid);
}

async fn a_change_on_condition_is_refused_once_the_version_is_another(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    put(&session, &path("/f"), b"old").await.unwrap();
    let old = session.look(&path("/f")).await.unwrap().entry.version();
    let careful = session.only_if(vec![old]);
    // Opened over the version that it may replace, and that is another one when it is published.
    let mut writer = careful
        .open_write(&path("/f"), crate::support::world::replace())
        .await
        .unwrap();
    writer
        .write_at(0, bytes::Bytes::from_static(b"late"))
        .await
        .unwrap();
    put(&session, &path("/f"), b"new").await.unwrap();
    let refused = writer.commit().await.map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Changed);
    let refusals = [
        careful.remove_file(&path("/f")).await,
        careful
            .rename(&path("/f"), &path("/g"), Overwrite::Allow)
            .await,
        careful
            .copy_file(&path("/f"), &path("/g"), Overwrite::Allow)
            .await,
    ];
    for refused in refusals {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Changed);
    }
    assert_eq!(get(&session, &path("/f")).await.unwrap(), b"new");
    // Of what is elsewhere, too.
    put(&session, &path("/g"), b"goal").await.unwrap();
    let goal = session.look(&path("/g")).await.unwrap().entry.version();
    let careful = session.provided(Condition {
        at: Some(path("/g")),
        only: Some(vec![goal]),
        ..Condition::default()
    });
    let (from, to) = (path("/f"), path("/g"));
    careful
        .copy_file(&from, &to, Overwrite::Allow)
        .await
        .unwrap();
    for gone in [false, true] {
        if gone {
            session.remove_file(&to).await.unwrap();
        }
        let refused = careful.copy_file(&from, &to, Overwrite::Allow).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Changed);
        let refused = careful.rename(&from, &to, Overwrite::Allow).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Changed);
    }
    let new = session.look(&path("/f")).await.unwrap().entry.version();
    session
        .only_if(vec![old, new])
        .remove_file(&path("/f"))
        .await
        .unwrap();
}
