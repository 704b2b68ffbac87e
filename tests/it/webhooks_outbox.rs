//! What is to be told is written down with the change itself, on both databases.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sealift::accounts::manage::Directory;
use sealift::accounts::webhook_views::WebhookChange;
use sealift::accounts::webhook_views::{NewWebhook, Which};
use sealift::db::sql::Dialect;
use sealift::db::{deliveries, told_folders, webhooks};
use sealift::domain::principal::Actor;
use sealift::domain::temporary::TemporaryNames;
use sealift::jobs::webhook_care;
use sealift::jobs::webhook_settings::WebhookSettings;
use sealift::net::reach::Reach;
use sealift::server::keys::source;
use sealift::vfs::history::Restore;
use sealift::vfs::rename::Overwrite;
use sealift::vfs::session::Session;

use crate::support::dialects::on_both;
use crate::support::world::{World, path, replace};

on_both!(
    nothing_is_written_down_where_nobody_listens,
    many_changes_at_once_are_written_down_each_once,
    a_deleted_file_that_is_brought_back_is_told,
    the_quota_of_an_account_is_told_with_its_name,
    a_quota_is_told_of_a_file_whose_bytes_were_reserved_on_the_way,
    a_folder_that_a_rename_replaces_is_told_as_deleted,
    files_in_a_folder_with_a_temporary_name_are_told_when_it_is_renamed,
    what_is_in_a_folder_is_told_as_it_was_when_it_got_its_name,
    many_files_of_a_renamed_folder_are_told_each_once_whoever_dies_on_the_way,
    what_was_done_long_ago_is_forgotten,
);

struct Listener {
    world: World,
    directory: Directory,
}

impl Listener {
    async fn new(dialect: Dialect) -> Self {
        let world = World::new(dialect).await;
        let directory = Directory::new(world.vfs.committer().clone(), 1_000);
        let reach = Reach {
            allow: vec!["127.0.0.1".parse().unwrap()],
            clear: true,
        };
        let new = NewWebhook {
            name: "hook".to_owned(),
            url: format!("http://{}/", IpAddr::from([127, 0, 0, 1])),
            topics: "all".parse().unwrap(),
            path: "/".to_owned(),
            made_by: "a test".to_owned(),
        };
        let keys = source(world.vfs.keys().clone());
        let tenant = &world.tenant.name;
        let added = directory.add_webhook(tenant, new, &reach, &keys).await;
        added.unwrap();
        Self { world, directory }
    }

    /// Tells of the next part of folders that were renamed; false when there is none.
    async fn tell_more(&self) -> bool {
        let (db, tenant) = (self.world.vfs.database(), &self.world.tenant);
        let now = db.now().await.unwrap();
        let mut tx = db.write(tenant.id).await.unwrap();
        let all = webhooks::list(&mut tx).await.unwrap();
        let hidden = TemporaryNames::default();
        let told = told_folders::tell(&mut tx, &hidden, &all, now).await;
        tx.commit().await.unwrap();
        told.unwrap()
    }

    /// Kinds, paths and data of what is to be told, in order.
    async fn told(&self) -> Vec<(String, String, serde_json::Value)> {
        let (db, tenant) = (self.world.vfs.database(), &self.world.tenant);
        let now = db.now().await.unwrap();
        while self.tell_more().await {}
        loop {
            let mut tx = db.write(tenant.id).await.unwrap();
            let all = webhooks::list(&mut tx).await.unwrap();
            let more = deliveries::spread(&mut tx, &all, now).await.unwrap();
            tx.commit().await.unwrap();
            if !more {
                break;
            }
        }
        let which = Which::Name("hook".to_owned());
        let found = self
            .directory
            .webhook_deliveries(&tenant.name, &which, None, None, 1_000)
            .await;
        let mut all: Vec<_> = found.unwrap().0;
        all.reverse();
        let text = |data: &serde_json::Value| data["path"].as_str().unwrap_or("").to_owned();
        all.into_iter()
            .map(|one| (one.kind.to_owned(), text(&one.data), one.data))
            .collect()
    }
}

async fn store(session: &Session, name: &str, bytes: &[u8]) {
    let mut writer = session.open_write(&path(name), replace()).await.unwrap();
    writer.append(Bytes::copy_from_slice(bytes)).await.unwrap();
    writer.commit().await.unwrap();
}

async fn nothing_is_written_down_where_nobody_listens(dialect: Dialect) {
    let world = World::new(dialect).await;
    let session = world.account("ann").await;
    store(&session, "/a", b"some").await;
    let mut tx = world.vfs.database().write(world.tenant.id).await.unwrap();
    let rows = tx.rows_without_tenant("SELECT count(*) FROM outbox").await;
    assert_eq!(rows.unwrap()[0].int(0).unwrap(), 0);
}

async fn many_changes_at_once_are_written_down_each_once(dialect: Dialect) {
    let listener = Listener::new(dialect).await;
    let session = listener.world.account("ann").await;
    let names: Vec<_> = (0..100).map(|number| format!("/{number}")).collect();
    join_all(names.iter().map(|name| store(&session, name, b"some"))).await;
    join_all(names.iter().map(|name| store(&session, name, b""))).await;
    let told = listener.told().await;
    assert_eq!(told.len(), 200);
    for name in &names {
        let of: Vec<_> = told.iter().filter(|(_, path, _)| path == name).collect();
        let facts: Vec<_> = of
            .iter()
            .map(|(kind, _, data)| (kind.as_str(), &data["size"], &data["replaced"]))
            .collect();
        let (yes, no) = (&true.into(), &false.into());
        assert_eq!(
            facts,
            [
                ("file.stored", &4.into(), no),
                ("file.stored", &0.into(), yes)
            ]
        );
    }
    let mut changes: Vec<_> = told
        .iter()
        .map(|(.., data)| data["change"].as_i64())
        .collect();
    assert!(changes.is_sorted());
    changes.dedup();
    assert_eq!(changes.len(), 200);
}

async fn a_deleted_file_that_is_brought_back_is_told(dialect: Dialect) {
    let listener = Listener::new(dialect).await;
    let session = listener.world.account("ann").await;
    session
        .make_folder(&path("/in"), Default::default())
        .await
        .unwrap();
    store(&session, "/in/a", b"some").await;
    let node = session.stat(&path("/in/a")).await.unwrap().node;
    session.remove_file(&path("/in/a")).await.unwrap();
    let committer = listener.world.vfs.committer();
    let tenant = listener.world.tenant.id;
    committer
        .run(tenant, &Actor::operator(), Restore { node })
        .await
        .unwrap();
    let told = listener.told().await;
    let kinds = kinds_and_paths(&told);
    assert_eq!(
        kinds,
        [
            ("file.stored", "/in/a"),
            ("file.deleted", "/in/a"),
            ("file.restored", "/in/a")
        ]
    );
}

async fn the_quota_of_an_account_is_told_with_its_name(dialect: Dialect) {
    let listener = Listener::new(dialect).await;
    let all = sealift::domain::rights::Rights::ALL;
    let session = listener.world.account_with("ann", all, Some(10)).await;
    store(&session, "/a", b"12345678").await;
    session
        .copy_file(&path("/a"), &path("/b"), Overwrite::Allow)
        .await
        .unwrap_err();
    store(&session, "/b", b"9").await;
    let told = listener.told().await;
    let levels: Vec<_> = told
        .iter()
        .filter(|(kind, ..)| kind == "quota.near")
        .map(|(.., data)| {
            (
                data["account"].as_str().unwrap(),
                data["percent"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(levels, [("ann", 80), ("ann", 90)]);
}

async fn a_quota_is_told_of_a_file_whose_bytes_were_reserved_on_the_way(dialect: Dialect) {
    let listener = Listener::new(dialect).await;
    let all = sealift::domain::rights::Rights::ALL;
    let session = listener.world.account_with("ann", all, Some(1 << 20)).await;
    let mut writer = session.open_write(&path("/a"), replace()).await.unwrap();
    for _ in 0..15 {
        let piece = Bytes::from(vec![7; 60 << 10]);
        writer.append(piece).await.unwrap();
    }
    writer.commit().await.unwrap();
    let told = listener.told().await;
    let kinds: Vec<_> = told
        .iter()
        .map(|(kind, _, data)| (kind.as_str(), data["percent"].as_i64()))
        .collect();
    assert_eq!(kinds, [("file.stored", None), ("quota.near", Some(80))]);
    assert_eq!(told[1].2["used"], 900 << 10);
}

fn kinds_and_paths(told: &[(String, String, serde_json::Value)]) -> Vec<(&str, &str)> {
    let all = told.iter();
    all.map(|(kind, path, _)| (kind.as_str(), path.as_str()))
        .collect()
}

async fn a_folder_that_a_rename_replaces_is_told_as_deleted(dialect: Dialect) {
    let listener = Listener::new(dialect).await;
    let session = listener.world.account("ann").await;
    for folder in ["/new", "/old"] {
        let made = session.make_folder(&path(folder), Default::default()).await;
        made.unwrap();
    }
    store(&session, "/new/a", b"some").await;
    let over = Overwrite::Allow;
    session
        .rename(&path("/new"), &path("/old"), over)
        .await
        .unwrap();
    let told = listener.told().await;
    let kinds = kinds_and_paths(&told);
    assert_eq!(
        kinds,
        [
            ("file.stored", "/new/a"),
            ("folder.deleted", "/old"),
            ("folder.renamed", "/old")
        ]
    );
}

async fn make(session: &Session, folders: &[&str]) {
    for folder in folders {
        let made = session.make_folder(&path(folder), Default::default()).await;
        made.unwrap();
    }
}

async fn rename(session: &Session, from: &str, to: &str) {
    let (from, to) = (path(from), path(to));
    let renamed = session.rename(&from, &to, Overwrite::Forbid);
    renamed.await.unwrap();
}

async fn files_in_a_folder_with_a_temporary_name_are_told_when_it_is_renamed(dialect: Dialect) {
    let listener = Listener::new(dialect).await;
    let session = listener.world.account("ann").await;
    make(
        &session,
        &["/b.tmp", "/b.tmp/sub", "/b.tmp/sub/in.part", "/b.tmp/none"],
    )
    .await;
    for (name, bytes) in [
        ("/b.tmp/a", "some"),
        ("/b.tmp/empty", ""),
        ("/b.tmp/c.part", "c"),
        ("/b.tmp/sub/d", "dd"),
        ("/b.tmp/sub/in.part/e", "e"),
    ] {
        store(&session, name, bytes.as_bytes()).await;
    }
    rename(&session, "/b.tmp", "/b.part").await;
    assert_eq!(listener.told().await, []);
    rename(&session, "/b.part", "/b").await;
    let told = listener.told().await;
    let mut kinds = kinds_and_paths(&told);
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            ("file.stored", "/b/a"),
            ("file.stored", "/b/empty"),
            ("file.stored", "/b/sub/d"),
            ("folder.renamed", "/b")
        ]
    );
    let (.., a) = told.iter().find(|(_, path, _)| path == "/b/a").unwrap();
    let entry = session.stat(&path("/b/a")).await.unwrap();
    let (.., folder) = told.iter().find(|(_, path, _)| path == "/b").unwrap();
    for (name, value) in [
        ("node", entry.node.to_string().into()),
        ("size", 4.into()),
        (
            "sha256",
            "a6b46dd0d1ae5e86cbc8f37e75ceeb6760230c1ca4ffbcb0c97b96dd7d9c464b".into(),
        ),
        ("by", "rename".into()),
        ("from", "/b.part/a".into()),
        ("replaced", false.into()),
        ("account", "ann".into()),
        ("protocol", folder["protocol"].clone()),
        ("address", folder["address"].clone()),
        ("change", folder["change"].clone()),
    ] {
        assert_eq!(a[name], value, "{name}");
    }
    // What was hidden below is told when that gets a name of its own, and once.
    rename(&session, "/b/c.part", "/b/c").await;
    rename(&session, "/b/sub/in.part", "/b/in").await;
    rename(&session, "/b", "/x").await;
    let later = listener.told().await;
    let mut kinds = kinds_and_paths(later.get(told.len()..).unwrap());
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            ("file.stored", "/b/c"),
            ("file.stored", "/b/in/e"),
            ("folder.renamed", "/b/in"),
            ("folder.renamed", "/x")
        ]
    );
}

async fn what_is_in_a_folder_is_told_as_it_was_when_it_got_its_name(dialect: Dialect) {
    let listener = Listener::new(dialect).await;
    let session = listener.world.account("ann").await;
    make(&session, &["/b.tmp", "/b.tmp/sub"]).await;
    for name in [
        "/b.tmp/gone",
        "/b.tmp/other",
        "/b.tmp/sub/new",
        "/b.tmp/sub/same",
    ] {
        store(&session, name, b"one").await;
    }
    rename(&session, "/b.tmp", "/b").await;
    session.remove_file(&path("/b/gone")).await.unwrap();
    rename(&session, "/b/other", "/moved").await;
    store(&session, "/b/sub/new", b"longer").await;
    store(&session, "/b/late", b"").await;
    rename(&session, "/b/sub", "/sub").await;
    rename(&session, "/b", "/b.tmp").await;
    let told = listener.told().await;
    let mut stored: Vec<_> = told
        .iter()
        .filter(|(kind, ..)| kind == "file.stored")
        .map(|(_, path, data)| (path.as_str(), data["size"].as_i64().unwrap()))
        .collect();
    stored.sort_unstable();
    assert_eq!(
        stored,
        [
            ("/b/gone", 3),
            ("/b/late", 0),
            ("/b/other", 3),
            ("/b/sub/new", 3),
            ("/b/sub/new", 6),
            ("/b/sub/same", 3)
        ]
    );
    // Before what came after.
    let changes = told.iter().map(|(.., data)| data["change"].as_i64());
    assert!(changes.is_sorted());
}

async fn many_files_of_a_renamed_folder_are_told_each_once_whoever_dies_on_the_way(
    dialect: Dialect,
) {
    const FOLDERS: usize = 70;
    const FILES: usize = 2_500;
    let listener = Listener::new(dialect).await;
    let session = listener.world.account("ann").await;
    make(&session, &["/b.tmp"]).await;
    let folders: Vec<_> = (0..FOLDERS).map(|at| format!("/b.tmp/{at}")).collect();
    let folders: Vec<_> = folders.iter().map(String::as_str).collect();
    make(&session, &folders).await;
    let name = |at: usize| match at < FILES / 2 {
        true => format!("/b.tmp/f{at}"),
        false => format!("/b.tmp/{}/f{at}", at % FOLDERS),
    };
    let names: Vec<_> = (0..FILES).map(name).collect();
    for some in names.chunks(200) {
        join_all(some.iter().map(|name| store(&session, name, b""))).await;
    }
    rename(&session, "/b.tmp", "/b").await;
    let (db, tenant) = (listener.world.vfs.database(), &listener.world.tenant);
    let mut parts = 0;
    loop {
        // One that dies before it commits.
        let now = db.now().await.unwrap();
        let mut tx = db.write(tenant.id).await.unwrap();
        let all = webhooks::list(&mut tx).await.unwrap();
        let hidden = TemporaryNames::default();
        let told = told_folders::tell(&mut tx, &hidden, &all, now).await;
        drop(tx);
        assert_eq!(told.unwrap(), listener.tell_more().await);
        parts += 1;
        let mut tx = db.read(tenant.id).await.unwrap();
        if !deliveries::look(&mut tx, now).await.unwrap().has_folders {
            break;
        }
    }
    assert!((3..30).contains(&parts), "{parts}");
    listener.told().await;
    let mut tx = db.write(tenant.id).await.unwrap();
    let rows = tx
        .rows_without_tenant(
            "SELECT o.path FROM outbox o JOIN webhook_deliveries d \
             ON d.tenant = o.tenant AND d.number = o.number AND d.part = o.part WHERE o.topic = 1",
        )
        .await
        .unwrap();
    let mut told: Vec<_> = rows.iter().map(|row| row.text(0).unwrap()).collect();
    told.sort_unstable();
    let mut expected: Vec<_> = names
        .iter()
        .map(|name| name.replace("/b.tmp", "/b"))
        .collect();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

async fn what_was_done_long_ago_is_forgotten(dialect: Dialect) {
    const DAY: Duration = Duration::from_secs(86_400);
    let listener = Listener::new(dialect).await;
    let (world, settings) = (&listener.world, WebhookSettings::default());
    let session = world.account("ann").await;
    store(&session, "/a", b"some").await;
    assert_eq!(listener.told().await.len(), 1);
    let which = Which::Name("hook".to_owned());
    let change = WebhookChange {
        enabled: Some(false),
        ..WebhookChange::default()
    };
    let tenant = &world.tenant.name;
    let altered = listener
        .directory
        .alter_webhook(tenant, which.clone(), change, &Reach::default())
        .await;
    assert_eq!(altered.unwrap().state, "disabled");
    // Nobody listens any more.
    store(&session, "/b", b"some").await;
    let found = async || {
        let all = listener
            .directory
            .webhook_deliveries(tenant, &which, None, None, 10)
            .await;
        all.unwrap().0
    };
    for (days, state) in [(2, Some("waiting")), (2, Some("dead")), (31, None)] {
        world.clock.advance(DAY * days);
        webhook_care::run(&world.vfs, world.tenant.id, &settings)
            .await
            .unwrap();
        let all = found().await;
        assert_eq!(all.first().map(|one| one.state), state);
        assert!(all.len() < 2);
    }
    let mut tx = world.vfs.database().write(world.tenant.id).await.unwrap();
    let rows = tx.rows_without_tenant("SELECT count(*) FROM outbox").await;
    assert_eq!(rows.unwrap()[0].int(0).unwrap(), 0);
}
