//! The audit log as it is shown by the command line, the API and an export, and as the documents describe it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use sealift::accounts::manage_audit::AuditQuery;
use sealift::domain::audit_kind::AuditKind;
use serde_json::Value;

use crate::support::admin_door::AdminDoor;
use crate::support::client::run;
use crate::support::dialects::on_both_databases;
use crate::support::installation::{Installation, name};
use crate::support::server::{Server, sealift};

on_both_databases!(records_are_shown_with_the_names_of_accounts_that_there_are);

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn list(server: &Server, words: &[&str]) -> Vec<Value> {
    let words = [&["audit", "list", "demo", "--json"], words].concat();
    serde_json::from_str(&server.admin(&words, "")).unwrap()
}

/// A log with records of the accounts `demo` and `ann`.
fn two_accounts() -> AdminDoor {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    let ann = "ann@demo:long-secret";
    let demo = admin.door.user();
    for (user, login, home) in [("demo", demo.as_str(), ""), ("ann", ann, "/home/ann")] {
        let put = ["--user", login, "-X", "PUT", "--data-binary", "some"];
        let path = format!("/api/v1/files{home}/{user}.txt");
        let put = admin.door.ask(&put, &path);
        assert_eq!(put.status, 201, "{}", put.text());
    }
    admin.server().audit_with("both logins", |log| {
        log.matches(r#""kind":"login""#).count() == 2
    });
    admin
}

#[test]
fn records_tell_who_did_it_by_name_and_a_removed_account_by_number() {
    let admin = two_accounts();
    let server = admin.server();
    let accounts = server.admin(&["account", "list", "demo", "--json"], "");
    let accounts: Vec<Value> = serde_json::from_str(&accounts).unwrap();
    let ann = accounts.iter().find(|one| one["login"] == "ann@demo");
    let id = ann.unwrap()["id"].clone();
    assert!(id.is_i64(), "{accounts:?}");
    let shown = admin.root(&[], "/tenants/demo/accounts/ann").json();
    assert_eq!(shown["id"], id, "{shown}");
    let all = admin.root(&[], "/tenants/demo/accounts").json();
    let item = |all: &Value| {
        let items = all["items"].as_array().unwrap().clone();
        items.into_iter().find(|one| one["user"] == "ann").unwrap()
    };
    assert_eq!(item(&all)["id"], id, "{all}");

    let search = || admin.root(&[], "/tenants/demo/audit?kind=store&path=ann.txt");
    let export = || admin.root(&[], "/tenants/demo/audit/export?kind=store&path=ann.txt");
    let of_all_doors = || {
        [
            search().json()["items"][0].clone(),
            lines(&export().text())[0].clone(),
            list(server, &["--kind", "store", "--path", "ann.txt"])[0].clone(),
        ]
    };
    let table = || server.admin(&["audit", "list", "demo", "--kind", "store"], "");
    for record in of_all_doors() {
        assert_eq!(record["account"], id, "{record}");
        assert_eq!(record["user"], "ann", "{record}");
    }
    let row = |table: &str| {
        let row = table.lines().find(|row| row.contains("ann.txt")).unwrap();
        row.split_whitespace().nth(3).unwrap().to_owned()
    };
    assert_eq!(row(&table()), "ann");
    // What nobody of the tenant did has neither.
    let added = list(server, &["--kind", "account-add"])[0].clone();
    assert!(
        added["account"].is_null() && added["user"].is_null(),
        "{added}"
    );

    server.admin(&["account", "remove", "ann@demo"], "");
    for record in of_all_doors() {
        assert_eq!(record["account"], id, "{record}");
        assert_eq!(record["user"], Value::Null, "{record}");
    }
    assert_eq!(row(&table()), format!("#{id}"));
    let removed = list(server, &["--kind", "account-remove"])[0].clone();
    let detail = removed["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("number {id}")), "{detail}");
    let of_removed = list(server, &["--account", &id.to_string(), "--kind", "store"]);
    assert_eq!(of_removed.len(), 1, "{of_removed:?}");
}

async fn records_are_shown_with_the_names_of_accounts_that_there_are(world: Installation) {
    world
        .log_in("ann@acme", "acme-secret", "192.0.2.1")
        .await
        .unwrap();
    world.committer.drain().await;
    let find = async || {
        let span = world
            .directory
            .audit_span("acme", AuditQuery::default())
            .await;
        let (found, _) = world
            .directory
            .audit_search(&span.unwrap(), None, 1000)
            .await
            .unwrap();
        found
            .into_iter()
            .rfind(|line| line.kind == "login")
            .unwrap()
    };
    assert_eq!(find().await.user.as_deref(), Some("ann"));
    let number = find().await.account;
    let ann = name("ann@acme");
    let removed = world.directory.remove_account(&ann, None);
    removed.await.unwrap();
    assert_eq!((find().await.account, find().await.user), (number, None));
}

#[test]
fn the_command_line_narrows_the_log_as_the_api_does() {
    let admin = two_accounts();
    let server = admin.server();
    let items = |query: &str| {
        let answer = admin.root(&[], &format!("/tenants/demo/audit?limit=1000&{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["items"].as_array().unwrap().clone()
    };
    let long_ago = "2000-01-01T00:00:00Z";
    for (words, query, is_some) in [
        (&[][..], "".to_owned(), true),
        (&["--kind", "store"], "kind=store".to_owned(), true),
        (&["--user", "ann"], "user=ann".to_owned(), true),
        (&["--user", "ann@demo"], "user=ann".to_owned(), true),
        (&["--account", "1"], "account=1".to_owned(), true),
        (&["--path", "ann.txt"], "path=ann.txt".to_owned(), true),
        (
            &["--address", "127.0.0.1"],
            "address=127.0.0.1".to_owned(),
            true,
        ),
        (
            &["--address", "192.0.2.9"],
            "address=192.0.2.9".to_owned(),
            false,
        ),
        (&["--from", long_ago], format!("from={long_ago}"), true),
        (&["--to", long_ago], format!("to={long_ago}"), false),
        (
            &["--user", "ann", "--kind", "store"],
            "user=ann&kind=store".to_owned(),
            true,
        ),
    ] {
        let by_cli = list(server, words);
        assert_eq!(by_cli, items(&query), "{words:?}");
        assert_eq!(!by_cli.is_empty(), is_some, "{words:?}");
    }
    // The newest first, or from the first on.
    let newest = list(server, &[]);
    let mut oldest = list(server, &["--after", "0"]);
    let first = oldest[0]["number"].as_i64().unwrap();
    assert_eq!(first, 1);
    let some = list(server, &["--limit", "2", "--before", "4"]);
    assert_eq!(some, [oldest[2].clone(), oldest[1].clone()]);
    let some = list(server, &["--after", "2", "--limit", "2"]);
    assert_eq!(some, oldest[2..4]);
    oldest.reverse();
    assert_eq!(newest, oldest);

    let data = server.data().to_str().unwrap();
    for (words, why) in [
        (["--kind", "nonsense"], "tenant-add"),
        (["--from", "yesterday"], "RFC 3339"),
        (["--address", "x"], "IP address"),
    ] {
        let words = [&["audit", "list", "demo", "--data", data], &words[..]].concat();
        let refused = sealift(&words, "");
        let errors = said(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{errors}");
        assert!(errors.contains(why), "{errors}");
    }
    for path in ["audit", "audit/export"] {
        let refused = admin.root(&[], &format!("/tenants/demo/{path}?kind=nonsense"));
        let answer = (refused.status, refused.problem());
        assert_eq!(answer, (400, "invalid".to_owned()));
        let sentence = refused.text();
        assert!(sentence.contains("nonsense"), "{sentence}");
        assert!(sentence.contains("account-add, "), "{sentence}");
    }
}

#[test]
fn the_documents_name_every_kind_of_records_and_no_other() {
    let document = fs::read_to_string("docs/audit.md").unwrap();
    let (_, kinds) = document.split_once("\n## Kinds\n").unwrap();
    let (kinds, _) = kinds.split_once("\n## ").unwrap();
    let rows = kinds.lines().filter_map(|line| line.strip_prefix("| `"));
    let first = rows.map(|row| row.split_once(" |").unwrap().0);
    let told: Vec<_> = first
        .flat_map(|cell| cell.split(", "))
        .map(|word| word.trim_matches('`'))
        .collect();
    let set: BTreeSet<_> = told.iter().copied().collect();
    assert_eq!(set.len(), told.len(), "one of them is there twice");
    let all: BTreeSet<_> = AuditKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(set, all);
}

#[test]
fn an_export_is_verified_by_what_the_documents_say() {
    let admin = two_accounts();
    let odd = "a\u{301}\u{1f600} \\\" \u{1b}[2J\n'";
    let home = format!("/{odd}");
    let server = admin.server();
    server.admin(&["account", "set", "ann@demo", "--home", &home], "");
    server.admin(&["account", "remove", "ann@demo"], "");
    let export = admin.root(&[], "/tenants/demo/audit/export").text();
    assert!(export.lines().count() > 6, "{export}");

    let document = fs::read_to_string("docs/audit.md").unwrap();
    let (_, script) = document.split_once("```python\n").unwrap();
    let (script, _) = script.split_once("```\n").unwrap();
    let verify = |export: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", script]);
        let ran = run(python, export);
        (ran.status.success(), said(&ran.stdout), said(&ran.stderr))
    };
    let (is_whole, told, errors) = verify(&export);
    assert!(is_whole, "{errors}");
    let all = lines(&export);
    let last = all.last().unwrap();
    let wanted = format!(
        "{} records follow from one another; the last hash is {}\n",
        all.len(),
        last["hash"].as_str().unwrap()
    );
    assert_eq!(told, wanted);

    let wrong = "record 3 was changed or is missing\n";
    let without: Vec<_> = export
        .lines()
        .enumerate()
        .filter(|(n, _)| *n != 2)
        .collect();
    let without: String = without
        .iter()
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    assert_eq!(verify(&without).2, wrong);
    let of_third = &all[2];
    for (field, value) in [
        ("kind", "\"tenant-add\""),
        ("detail", "\"other\""),
        ("account", "77"),
        ("seq", "77"),
        ("at", "\"2026-01-31T12:00:00.000000Z\""),
        ("session", "\"0123456789abcdef0123456789abcdef\""),
        ("protocol", "\"ftp\""),
        ("address", "\"192.0.2.7\""),
    ] {
        let mut changed = of_third.clone();
        changed[field] = serde_json::from_str(value).unwrap();
        assert_ne!(&changed, of_third, "{field}");
        let other = export.lines().enumerate().map(|(n, line)| match n {
            2 => format!("{changed}\n"),
            _ => format!("{line}\n"),
        });
        assert_eq!(verify(&other.collect::<String>()).2, wrong, "{field}");
    }
}
