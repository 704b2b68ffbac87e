//! What was deleted, seen and brought back: by operators and support, by a tenant's administrators, and at the
//! command line.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::admin_door::{AdminDoor, token};
use crate::support::hooked::Hooked;
use crate::support::https_door::{Answer, HttpsDoor};
use crate::support::receiver::Receiver;
use crate::support::server::{Server, sealift};
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);
const CHIEF: &str = "chief@demo";
const POST: [&str; 2] = ["-X", "POST"];

/// Stores files of the demo account; each holds its own path.
#[track_caller]
fn store(door: &HttpsDoor, paths: &[&str]) {
    for path in paths {
        let stored = door.put(&format!("{path}?parents=true"), path, &[]);
        assert_eq!(stored.status, 201, "{}", stored.text());
    }
}

#[track_caller]
fn delete(door: &HttpsDoor, path: &str) {
    let path = format!("/api/v1/entries{path}?recursive=true");
    let deleted = door.demo(&["-X", "DELETE"], &path);
    assert_eq!(deleted.status, 204, "{}", deleted.text());
}

/// The items of a page.
#[track_caller]
fn items(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"].as_array().unwrap().clone()
}

/// What the item of this name is brought back by.
#[track_caller]
fn node(items: &[Value], name: &str) -> String {
    let found = items.iter().find(|one| one["name"] == name);
    found.unwrap()["node"].as_str().unwrap().to_owned()
}

fn restore(node: &str) -> String {
    format!("/deleted/{node}/restore")
}

#[test]
fn operators_and_administrators_bring_back_files_and_whole_folders() {
    let admin = AdminDoor::up();
    admin.account("demo", "chief", true);
    let files = ["/in/a", "/in/sub/b", "/in/sub/deep/c", "/in/stays"];
    store(&admin.door, &files);
    let used = || {
        let tenant = admin.done("GET", "/tenants/demo", None).json();
        (tenant["used_bytes"].clone(), tenant["used_files"].clone())
    };
    let before = used();
    let link = admin.door.link(&json!({ "path": "/in/sub" }));
    // Not deleted: a new version, and a new name.
    assert_eq!(admin.door.put("/in/stays", "/in/stays", &[]).status, 200);
    let moving = json!({ "from": "/in/stays", "to": "/in/stayed" }).to_string();
    assert_eq!(admin.door.send("POST", "/move", &moving, &[]).status, 200);
    delete(&admin.door, "/in/a");
    delete(&admin.door, "/in/sub");

    let list = "/deleted?path=/in";
    let listed = admin.done("GET", &format!("/tenants/demo{list}"), None);
    assert_eq!(
        listed.json(),
        admin.account_asks(CHIEF, &[], list).json(),
        "the same at both doors"
    );
    let all = items(&listed);
    assert!(listed.json()["next"].is_null());
    let names: Vec<_> = all.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["a", "sub"]);
    let file = &all[0];
    let told = |name: &str| file[name].as_str().unwrap();
    assert_eq!(
        ["path", "kind", "by", "protocol", "user"].map(told),
        ["/in/a", "file", "delete", "https", "demo"]
    );
    assert_eq!(file["size"], 5);
    assert!(told("deleted_at").ends_with('Z'), "{file}");
    assert_eq!(all[1]["kind"], "folder");
    // What lay below a folder is not listed beside it.
    assert!(items(&admin.account_asks(CHIEF, &[], "/deleted")).is_empty());

    link.assert_over();

    let (a, sub) = (node(&all, "a"), node(&all, "sub"));
    let back = admin.done("POST", &format!("/tenants/demo{}", restore(&a)), None);
    assert_eq!(
        back.json(),
        json!({ "node": a, "path": "/in/a", "kind": "file", "size": 5 })
    );
    let back = admin.account_asks(CHIEF, &POST, &restore(&sub));
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(
        back.json(),
        json!({ "node": sub, "path": "/in/sub", "kind": "folder", "size": 0 })
    );
    for path in ["/in/a", "/in/sub/b", "/in/sub/deep/c"] {
        assert_eq!(admin.door.get(path, &[]).text(), path);
    }
    assert_eq!(link.get("/files/deep/c").text(), "/in/sub/deep/c");
    assert_eq!(used(), before);
    assert!(items(&admin.account_asks(CHIEF, &[], list)).is_empty());

    let log = admin.server().audit_with("both", |log| {
        log.matches(r#""kind":"restore""#).count() == 2
    });
    let log: Vec<Value> = serde_json::from_str(&log).unwrap();
    let done = log.iter().filter(|one| one["kind"] == "restore");
    let done: Vec<_> = done
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap().to_owned();
            (text("detail"), text("protocol"), one["account"].is_null())
        })
        .collect();
    let by = |detail: &str, protocol: &str, is_operator: bool| {
        (detail.to_owned(), protocol.to_owned(), is_operator)
    };
    assert_eq!(
        done,
        [
            by("/in/a (by operator root)", "admin", true),
            by("/in/sub", "https", false)
        ]
    );
    let checked = admin.server().admin(&["fsck", "--json"], "");
    assert!(checked.contains(r#""clean":true"#), "{checked}");
}

#[test]
fn support_and_administrators_may_and_nobody_else() {
    let admin = AdminDoor::up();
    admin.done("POST", "/tenants", Some(r#"{"name":"bolt"}"#));
    for tenant in ["demo", "bolt"] {
        admin.account(tenant, "chief", true);
    }
    admin.account("demo", "ann", false);
    store(&admin.door, &["/a"]);
    delete(&admin.door, "/a");
    let a = node(&items(&admin.account_asks(CHIEF, &[], "/deleted")), "a");

    let (sue, mona) = (
        token(admin.server(), "sue", "support"),
        token(admin.server(), "mona", "monitor"),
    );
    let of = |tenant: &str, path: &str| format!("/tenants/{tenant}{path}");
    for (words, path) in [(&[][..], "/deleted".to_owned()), (&POST[..], restore(&a))] {
        let refused = admin.by(&mona, words, &of("demo", &path));
        assert_eq!((refused.status, refused.problem().as_str()), (403, "role"));
        let refused = admin.account_asks("ann@demo", words, &path);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (403, "denied")
        );
        let path = format!("/api/v1/admin{path}");
        assert_eq!(admin.door.ask(words, &path).status, 401);
    }
    // Of another tenant, it is as if it were not.
    for answer in [
        admin.account_asks("chief@bolt", &POST, &restore(&a)),
        admin.root(&POST, &of("bolt", &restore(&a))),
    ] {
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (404, "not-found")
        );
    }
    assert!(items(&admin.account_asks("chief@bolt", &[], "/deleted")).is_empty());

    assert_eq!(
        items(&admin.by(&sue, &[], &of("demo", "/deleted"))).len(),
        1
    );
    let back = admin.by(&sue, &POST, &of("demo", &restore(&a)));
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(admin.door.get("/a", &[]).text(), "/a");
    let log = admin.server().audit_with("who did it", |log| {
        log.contains(r#""detail":"/a (by operator sue)""#)
    });
    // What monitors are refused is not kept for ever.
    assert!(!log.contains("mona"), "{log}");
    let log = admin.server().log();
    assert!(log.contains("operator=mona"), "{log}");
}

#[test]
fn what_is_in_the_way_is_said_with_what_to_do() {
    let admin = AdminDoor::up();
    admin.account("demo", "chief", true);
    let list = |path: &str| {
        let path = format!("/deleted?path={path}");
        items(&admin.account_asks(CHIEF, &[], &path))
    };
    let refused = |node: &str, status: u16, word: &str, said: &str| {
        let answer = admin.account_asks(CHIEF, &POST, &restore(node));
        let text = answer.text();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, word),
            "{text}"
        );
        assert!(text.contains(said), "{text}");
    };
    store(&admin.door, &["/in/a", "/in/d/b", "/in/d/c"]);
    delete(&admin.door, "/in/d/b");
    let b = node(&list("/in/d"), "b");
    delete(&admin.door, "/in/d");
    let d = node(&list("/in"), "d");
    let first = format!("'/in/d' is deleted; bring that back first: it is {d}");
    refused(&b, 409, "folder-deleted", &first);
    delete(&admin.door, "/in/a");
    let a = node(&list("/in"), "a");
    store(&admin.door, &["/in/a"]);
    refused(&a, 409, "already-exists", "another '/in/a' now");
    delete(&admin.door, "/in/a");
    let quota = Some(r#"{"quota_files":1}"#);
    admin.done("PATCH", "/tenants/demo", quota);
    refused(&a, 507, "quota", "quota");
    let quota = Some(r#"{"quota_files":null}"#);
    admin.done("PATCH", "/tenants/demo", quota);
    for one in [&d, &b, &a] {
        assert_eq!(
            admin.account_asks(CHIEF, &POST, &restore(one)).status,
            200,
            "{one}"
        );
    }
    refused(&a, 409, "already-exists", "it is '/in/a'");
    let none = "0".repeat(32);
    refused(&none, 404, "not-found", "kept");
    refused("a", 400, "invalid", "32 lowercase hex digits");

    for (query, status, word, said) in [
        (
            "path=/in/d/c",
            409,
            "not-folder",
            "is a file; name the folder",
        ),
        ("path=/in/none", 404, "not-found", "listed in '/in'"),
        ("path=in", 400, "invalid", "start with '/'"),
        ("path=/in/../in", 400, "invalid", "'..'"),
        ("path=/%00", 400, "invalid", "NUL"),
        ("limit=0", 400, "invalid", "limit"),
        ("cursor=x", 400, "invalid", "cursor"),
        ("cursor=eA", 400, "invalid", "cursor"),
    ] {
        let answer = admin.account_asks(CHIEF, &[], &format!("/deleted?{query}"));
        let text = answer.text();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, word),
            "{query}: {text}"
        );
        assert!(text.contains(said), "{query}: {text}");
    }
}

#[test]
fn what_is_purged_is_neither_listed_nor_brought_back() {
    let door = HttpsDoor::up_set([("RETENTION__INTERVAL", "1s")]);
    let root = token(&door.server, "root", "operator");
    let admin = AdminDoor { door, root };
    store(&admin.door, &["/a"]);
    delete(&admin.door, "/a");
    let list = || items(&admin.done("GET", "/tenants/demo/deleted", None));
    let a = node(&list(), "a");
    let body = Some(r#"{"retention_seconds":0}"#);
    admin.done("PATCH", "/tenants/demo", body);
    wait_for("the past to be purged", SOON, || {
        list().is_empty().then_some(())
    });
    let gone = admin.root(&POST, &format!("/tenants/demo{}", restore(&a)));
    assert_eq!((gone.status, gone.problem().as_str()), (404, "not-found"));
    assert_eq!(admin.door.get("/a", &[]).status, 404);
}

#[test]
fn a_long_list_comes_in_parts() {
    let admin = AdminDoor::up();
    let files: Vec<_> = (0..5).map(|number| format!("/in/{number}")).collect();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    store(&admin.door, &files);
    for file in &files {
        delete(&admin.door, file);
    }
    let (mut paths, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let path = format!("/tenants/demo/deleted?path=/in&limit=2{cursor}");
        let page = admin.done("GET", &path, None);
        let some = items(&page);
        sizes.push(some.len());
        paths.extend(
            some.iter()
                .map(|one| one["path"].as_str().unwrap().to_owned()),
        );
        match page.json()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paths, files);
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn what_is_sent_again_with_its_key_is_answered_alike() {
    let admin = AdminDoor::up();
    admin.account("demo", "chief", true);
    store(&admin.door, &["/a"]);
    delete(&admin.door, "/a");
    let a = node(&items(&admin.account_asks(CHIEF, &[], "/deleted")), "a");
    let keyed = [&POST[..], &["-H", "Idempotency-Key: once"]].concat();
    let [first, second] = [0, 1].map(|_| admin.account_asks(CHIEF, &keyed, &restore(&a)));
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!((second.status, second.text()), (200, first.text()));
    assert_eq!(second.header("x-sealift-replayed"), Some("true"));
    let again = admin.account_asks(CHIEF, &POST, &restore(&a));
    assert_eq!(again.problem(), "already-exists");
}

#[test]
fn webhooks_are_told_of_what_is_brought_back() {
    let hooked = Hooked::up();
    let receiver = Receiver::start();
    let events = ["--events", "file.restored,folder.restored"];
    hooked.hook(&receiver.url("/"), &events);
    for path in ["/a", "/in/b"] {
        hooked.put(&format!("{path}?parents=true"), path);
    }
    for path in ["/a", "/in"] {
        let path = format!("/entries{path}?recursive=true");
        assert_eq!(hooked.ask(&["-X", "DELETE"], &path).status, 204);
    }
    let all = items(&hooked.ask(&[], "/admin/deleted"));
    let a = node(&all, "a");
    let back = hooked.ask(&POST, &format!("/admin{}", restore(&a)));
    assert_eq!(back.status, 200, "{}", back.text());
    let told = receiver.wait_for(1);
    assert_eq!(
        told[0].what(),
        ("file.restored".to_owned(), "/a".to_owned())
    );
    assert_eq!(told[0].body["data"]["node"], a);
    assert_eq!(told[0].body["data"]["size"], 2);
    // And at the command line, beside the server.
    let node = node(&all, "in");
    hooked
        .server
        .admin(&["deleted", "restore", "demo", &node], "");
    let told = receiver.wait_for(2);
    assert_eq!(
        told[1].what(),
        ("folder.restored".to_owned(), "/in".to_owned())
    );
    assert_eq!(told[1].body["data"]["protocol"], "admin");
    assert_eq!(hooked.ask(&[], "/files/in/b").text(), "/in/b");
    hooked.server.stop();
}

#[test]
fn the_command_line_lists_and_brings_back_beside_the_server() {
    let door = HttpsDoor::up();
    let server: &Server = &door.server;
    let run = |words: &[&str]| -> Value {
        let said = server.admin(&[words, &["--json"]].concat(), "");
        serde_json::from_str(&said).unwrap()
    };
    store(&door, &["/in/a", "/in/b", "/in/d/c"]);
    for path in ["/in/a", "/in/b", "/in/d"] {
        delete(&door, path);
    }
    assert_eq!(run(&["deleted", "list", "demo"]), json!([]));
    let all = run(&["deleted", "list", "demo", "/in"]);
    let all = all.as_array().unwrap();
    let paths: Vec<_> = all.iter().map(|one| &one["path"]).collect();
    assert_eq!(paths, ["/in/a", "/in/b", "/in/d"]);
    let said = server.admin(&["deleted", "list", "demo", "/in", "--limit", "2"], "");
    assert!(said.contains("/in/b") && !said.contains("/in/d"), "{said}");
    assert!(said.contains("raise --limit"), "{said}");
    assert!(said.contains("demo") && said.contains("5 B"), "{said}");

    let data = server.data().to_str().unwrap();
    let refused = |words: &[&str], code: i32, subject: &str| {
        let words = [&["deleted"][..], words, &["--data", data]].concat();
        let ran = sealift(&words, "");
        let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(code), "{words:?}: {errors}");
        assert!(errors.contains(subject), "{words:?}: {errors}");
    };
    let [a, b, d] = ["a", "b", "d"].map(|name| node(all, name));
    delete(&door, "/in");
    let first = "'/in' is deleted; bring that back first";
    refused(&["restore", "demo", &a], 1, first);
    let above = node(run(&["deleted", "list", "demo"]).as_array().unwrap(), "in");
    for one in [&above, &a, &d] {
        run(&["deleted", "restore", "demo", one]);
    }
    let said = server.admin(&["deleted", "restore", "demo", &b], "");
    assert_eq!(said, "/in/b is there again\n");
    for path in ["/in/a", "/in/b", "/in/d/c"] {
        assert_eq!(door.get(path, &[]).text(), path);
    }
    refused(&["restore", "demo", &a], 1, "it is '/in/a'");
    refused(&["restore", "demo", "a"], 2, "32 lowercase hex digits");
    refused(&["restore", "nowhere", &a], 1, "nowhere");
    refused(&["list", "demo", "/in/a"], 1, "is a file");
    refused(&["list", "demo", "in"], 1, "start with '/'");
    let log = server.admin(&["audit", "list", "demo"], "");
    assert!(log.contains("restore") && log.contains("/in/d"), "{log}");
}
