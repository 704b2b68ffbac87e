//! What was deleted: what of it is listed, and what keeps it from being brought back.

use std::time::Duration;

use sealift::db::deleted::{self as rows, Place};
use sealift::db::sql::Dialect;
use sealift::db::tenants;
use sealift::domain::error::{Error, ErrorKind};
use sealift::domain::id::{NodeId, TenantId};
use sealift::domain::principal::Actor;
use sealift::domain::rights::Rights;
use sealift::jobs::purge;
use sealift::jobs::runner::{self, JobSettings};
use sealift::vfs::deleted::{self, DeletedView, RestoredView};
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;

use crate::support::dialects::on_both;
use crate::support::world::{World, clean, get, new_tenant, path, put};

on_both!(
    a_file_comes_back_whole_and_counts_again,
    a_list_goes_on_where_a_part_ended,
    a_look_at_few_versions_says_where_to_go_on,
    a_name_that_is_taken_keeps_what_had_it_deleted,
    a_quota_that_is_full_keeps_a_file_deleted,
    no_tenant_sees_or_brings_back_what_is_another_s,
    only_what_is_deleted_is_listed,
    what_is_in_a_deleted_folder_comes_back_with_the_uppermost,
    what_is_not_kept_any_more_is_not_there,
);

async fn folder(session: &Session, at: &str) {
    session
        .make_folder(&path(at), Default::default())
        .await
        .unwrap();
}

async fn node(session: &Session, at: &str) -> NodeId {
    session.stat(&path(at)).await.unwrap().node
}

/// All that was deleted out of a folder, in parts of two.
async fn listed(world: &World, at: &str) -> Vec<DeletedView> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let database = world.vfs.database();
        let page = deleted::list(database, world.tenant.id, &path(at), after, 2)
            .await
            .unwrap();
        assert!(page.items.len() <= 2);
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

async fn names(world: &World, at: &str) -> Vec<String> {
    let all = listed(world, at).await.into_iter();
    all.map(|one| one.name).collect()
}

async fn restored(world: &World, tenant: TenantId, node: NodeId) -> Result<RestoredView, Error> {
    deleted::restore(world.vfs.committer(), tenant, &Actor::operator(), node).await
}

async fn back(world: &World, node: NodeId) -> Result<RestoredView, Error> {
    restored(world, world.tenant.id, node).await
}

async fn only_what_is_deleted_is_listed(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    folder(&ann, "/in").await;
    folder(&ann, "/out").await;
    for name in ["gone", "twice", "anew", "old", "moved", "back", "away"] {
        put(&ann, &path(&format!("/in/{name}")), name.as_bytes())
            .await
            .unwrap();
    }
    // Versions of what is there.
    put(&ann, &path("/in/anew"), b"another").await.unwrap();
    let rename = async |from: &str, to: &str| {
        ann.rename(&path(from), &path(to), Overwrite::Allow)
            .await
            .unwrap();
    };
    rename("/in/old", "/in/new").await;
    rename("/in/moved", "/out/moved").await;
    let remove = async |at: &str| ann.remove_file(&path(at)).await.unwrap();
    let back_again = node(&ann, "/in/back").await;
    remove("/in/back").await;
    back(&world, back_again).await.unwrap();
    // What was deleted: where it was last.
    let twice = node(&ann, "/in/twice").await;
    remove("/in/twice").await;
    back(&world, twice).await.unwrap();
    remove("/in/twice").await;
    rename("/in/away", "/out/away").await;
    remove("/out/away").await;
    let gone = node(&ann, "/in/gone").await;
    remove("/in/gone").await;
    put(&ann, &path("/in/gone"), b"again").await.unwrap();
    remove("/in/gone").await;
    // A rename over a file ends that.
    put(&ann, &path("/in/over"), b"1").await.unwrap();
    put(&ann, &path("/in/under"), b"22").await.unwrap();
    rename("/in/over", "/in/under").await;

    assert_eq!(
        names(&world, "/in").await,
        ["gone", "gone", "twice", "under"]
    );
    assert_eq!(names(&world, "/out").await, ["away"]);
    assert_eq!(names(&world, "/").await, [""; 0]);
    let all = listed(&world, "/in").await;
    let first = all.first().unwrap();
    assert_eq!(first.node, gone.to_string());
    assert_eq!(
        (first.path.as_str(), first.kind, first.size),
        ("/in/gone", "file", 4)
    );
    assert_eq!(
        (first.user.as_deref(), first.protocol.as_str()),
        (Some("ann"), "sftp")
    );
    assert!(all[0].deleted_at < all[1].deleted_at);
    let by: Vec<_> = all.iter().map(|one| one.by.as_str()).collect();
    assert_eq!(by, ["delete", "delete", "delete", "rename"]);

    // The list goes with the folder, and what is in it then comes and goes with that.
    rename("/in", "/elsewhere").await;
    assert_eq!(
        listed(&world, "/elsewhere").await[0].path,
        "/elsewhere/gone"
    );
    ann.remove_tree(&path("/elsewhere")).await.unwrap();
    let all = listed(&world, "/").await;
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].path.as_str(), all[0].kind, all[0].size),
        ("/elsewhere", "folder", 0)
    );
    for (at, kind, said) in [
        ("/elsewhere", ErrorKind::NotFound, "listed in '/'"),
        ("/out/moved", ErrorKind::NotFolder, "is a file"),
    ] {
        let database = world.vfs.database();
        let page = deleted::list(database, world.tenant.id, &path(at), None, 2).await;
        let error = page.unwrap_err();
        assert_eq!(error.kind(), kind, "{at}");
        assert!(error.context().contains(said), "{error}");
    }
}

async fn a_list_goes_on_where_a_part_ended(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let mut expected = Vec::new();
    for number in 0..7 {
        let at = path(&format!("/{number} \u{e4}"));
        put(&ann, &at, b"x").await.unwrap();
        put(&ann, &at, b"y").await.unwrap();
        expected.push(at.name().unwrap().to_string());
        ann.remove_file(&at).await.unwrap();
    }
    put(&ann, &path("/stays"), b"x").await.unwrap();
    assert_eq!(names(&world, "/").await, expected);
    // What is brought back in between is gone from what is left, and all else is still told once.
    let database = world.vfs.database();
    let list = async |after| {
        deleted::list(database, world.tenant.id, &path("/"), after, 3)
            .await
            .unwrap()
    };
    let first = list(None).await;
    for one in &first.items {
        back(&world, one.node.parse().unwrap()).await.unwrap();
    }
    let rest: Vec<_> = list(first.next).await.items.into_iter().collect();
    let rest: Vec<_> = rest.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(rest, expected[3..6]);
    assert_eq!(names(&world, "/").await, expected[3..]);
}

async fn a_look_at_few_versions_says_where_to_go_on(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for text in ["1", "22", "333", "4444", "55555"] {
        put(&ann, &path("/replaced"), text.as_bytes())
            .await
            .unwrap();
    }
    put(&ann, &path("/x"), b"x").await.unwrap();
    ann.remove_file(&path("/x")).await.unwrap();
    let root = world.tenant.root;
    let database = world.vfs.database();
    let (mut looks, mut place, mut found) = (0, Some(Place::default()), Vec::new());
    while let Some(after) = place {
        let mut tx = database.snapshot(world.tenant.id).await.unwrap();
        let (some, next) = rows::page(&mut tx, root, &after, 2, 10).await.unwrap();
        found.extend(some);
        place = next;
        looks += 1;
    }
    // Four that were replaced and one that was deleted, two at a time.
    assert_eq!(looks, 3);
    let found: Vec<_> = found.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(found, ["x"]);
}

async fn a_file_comes_back_whole_and_counts_again(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    folder(&ann, "/in").await;
    put(&ann, &path("/in/a"), b"first").await.unwrap();
    put(&ann, &path("/in/a"), &[7; 5000]).await.unwrap();
    let file = node(&ann, "/in/a").await;
    ann.remove_file(&path("/in/a")).await.unwrap();
    let space = ann.space().await.unwrap();
    assert_eq!((space.used_bytes, space.used_files), (0, 1));
    // Where it was goes by the folder, not by what that was called.
    ann.rename(&path("/in"), &path("/new"), Overwrite::Forbid)
        .await
        .unwrap();
    let there = back(&world, file).await.unwrap();
    assert_eq!(
        (there.path.as_str(), there.kind, there.size),
        ("/new/a", "file", 5000)
    );
    assert_eq!(there.node, file.to_string());
    assert_eq!(get(&ann, &path("/new/a")).await.unwrap(), [7; 5000]);
    let space = ann.space().await.unwrap();
    assert_eq!((space.used_bytes, space.used_files), (5000, 2));
    let error = back(&world, file).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.context().contains("it is '/new/a'"), "{error}");
    clean(&world).await;
}

async fn a_name_that_is_taken_keeps_what_had_it_deleted(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    folder(&ann, "/in").await;
    put(&ann, &path("/in/a"), b"old").await.unwrap();
    let old = node(&ann, "/in/a").await;
    ann.remove_file(&path("/in/a")).await.unwrap();
    put(&ann, &path("/in/a"), b"new").await.unwrap();
    let error = back(&world, old).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.context().contains("another '/in/a' now"), "{error}");
    ann.rename(&path("/in/a"), &path("/in/b"), Overwrite::Forbid)
        .await
        .unwrap();
    back(&world, old).await.unwrap();
    assert_eq!(get(&ann, &path("/in/a")).await.unwrap(), b"old");
    assert_eq!(get(&ann, &path("/in/b")).await.unwrap(), b"new");
    clean(&world).await;
}

async fn what_is_in_a_deleted_folder_comes_back_with_the_uppermost(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    for at in ["/a", "/a/b", "/a/b/c", "/a/b/c/d"] {
        folder(&ann, at).await;
    }
    for at in ["/a/b/c/d/x", "/a/b/c/d/y"] {
        put(&ann, &path(at), b"some").await.unwrap();
    }
    let (x, y) = (
        node(&ann, "/a/b/c/d/x").await,
        node(&ann, "/a/b/c/d/y").await,
    );
    let (b, c) = (node(&ann, "/a/b").await, node(&ann, "/a/b/c").await);
    ann.remove_file(&path("/a/b/c/d/x")).await.unwrap();
    ann.remove_tree(&path("/a/b/c")).await.unwrap();
    ann.remove_tree(&path("/a/b")).await.unwrap();
    // Deleted itself, below what is, and deleted out of what is: the same has to be done first.
    for one in [c, y, x] {
        let error = back(&world, one).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.place(), Some("/a/b/"));
        let first = format!("'/a/b' is deleted; bring that back first: it is {b}");
        assert!(error.context().contains(&first), "{error}");
    }
    for (one, at) in [(b, "/a/b"), (c, "/a/b/c"), (x, "/a/b/c/d/x")] {
        assert_eq!(back(&world, one).await.unwrap().path, at);
    }
    for at in ["/a/b/c/d/x", "/a/b/c/d/y"] {
        assert_eq!(get(&ann, &path(at)).await.unwrap(), b"some");
    }
    clean(&world).await;
}

async fn a_quota_that_is_full_keeps_a_file_deleted(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account_with("ann", Rights::ALL, Some(10)).await;
    put(&ann, &path("/a"), b"12345678").await.unwrap();
    let file = node(&ann, "/a").await;
    ann.remove_file(&path("/a")).await.unwrap();
    put(&ann, &path("/b"), b"1234").await.unwrap();
    let error = back(&world, file).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota, "{error}");
    assert_eq!(names(&world, "/").await, ["a"]);
    ann.remove_file(&path("/b")).await.unwrap();
    back(&world, file).await.unwrap();
    clean(&world).await;
}

async fn what_is_not_kept_any_more_is_not_there(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    folder(&ann, "/d").await;
    put(&ann, &path("/d/x"), b"some").await.unwrap();
    put(&ann, &path("/early"), b"some").await.unwrap();
    let (folder, below) = (node(&ann, "/d").await, node(&ann, "/d/x").await);
    let early = node(&ann, "/early").await;
    ann.remove_file(&path("/early")).await.unwrap();
    ann.remove_tree(&path("/d")).await.unwrap();
    world.clock.advance(Duration::from_secs(15 * 24 * 3600));
    put(&ann, &path("/late"), b"some").await.unwrap();
    ann.remove_file(&path("/late")).await.unwrap();
    assert_eq!(names(&world, "/").await, ["d", "early", "late"]);
    world.clock.advance(Duration::from_secs(16 * 24 * 3600));
    purge::run(&world.vfs, &world.tenant).await.unwrap();
    assert_eq!(names(&world, "/").await, ["late"]);
    let gone = async |node| {
        let error = back(&world, node).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.place(), None);
        assert!(error.context().contains("kept"), "{error}");
    };
    for one in [early, folder, below] {
        gone(one).await;
    }
    runner::round(&world.vfs, JobSettings::default())
        .await
        .unwrap();
    for one in [early, folder, below, NodeId::random()] {
        gone(one).await;
    }
    clean(&world).await;
}

async fn no_tenant_sees_or_brings_back_what_is_another_s(dialect: Dialect) {
    let world = World::new(dialect).await;
    let ann = world.account("ann").await;
    let bolt = new_tenant("bolt");
    let bolt = tenants::add(world.vfs.database(), &bolt).await.unwrap();
    let other = world.in_tenant(bolt);
    let eve = other.account("eve").await;
    put(&ann, &path("/hers"), b"some").await.unwrap();
    put(&eve, &path("/theirs"), b"some").await.unwrap();
    let hers = node(&ann, "/hers").await;
    ann.remove_file(&path("/hers")).await.unwrap();
    eve.remove_file(&path("/theirs")).await.unwrap();
    assert_eq!(names(&world, "/").await, ["hers"]);
    assert_eq!(names(&other, "/").await, ["theirs"]);
    let error = restored(&other, other.tenant.id, hers).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(names(&world, "/").await, ["hers"]);
    back(&world, hers).await.unwrap();
}
