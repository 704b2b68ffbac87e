//! Clients that are made from the description of the API: they compile, and what their types say is so.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use sealift::http::reply::KINDS;
use serde_json::{Value, json};

use crate::support::admin_door::AdminDoor;
use crate::support::client::{cached, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::https_door::{HttpsDoor, ask};

/// Makes types of the document at `url`, compiles the program that uses them, strictly, and runs it; what it
/// finds wrong it fails with.
#[track_caller]
fn use_generated(url: &str, types: &str, program: &str, words: &[&str]) {
    let folder = TempFolder::new();
    let document = folder.join("openapi.json");
    fs::write(&document, ask(&[], url).body).unwrap();
    let modules = cached("typescript/node_modules");
    symlink(&modules, folder.join("node_modules")).unwrap();
    fs::write(folder.join("package.json"), r#"{ "type": "module" }"#).unwrap();
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/openapi");
    let source = format!("{program}.ts");
    fs::copy(programs.join(&source), folder.join(&source)).unwrap();

    let mut generator = Command::new(modules.join(".bin/openapi-typescript"));
    let types = folder.join(&format!("{types}.d.ts"));
    generator.arg(&document).arg("--output").arg(types);
    succeed(&run(generator, ""));
    let mut compiler = Command::new(modules.join(".bin/tsc"));
    compiler
        .current_dir(folder.path())
        .args(["--strict", "--noEmitOnError", "--pretty", "false"])
        .args(["--target", "es2022", "--module", "nodenext"])
        .args(["--types", "node"])
        .arg(&source);
    let compiled = run(compiler, "");
    let said = String::from_utf8_lossy(&compiled.stdout);
    assert!(compiled.status.success(), "{said}");
    let mut node = Command::new("node");
    node.env("NODE_TLS_REJECT_UNAUTHORIZED", "0")
        .arg(folder.join(&format!("{program}.js")))
        .args(words);
    assert_eq!(succeed(&run(node, "")), "done\n");
}

#[test]
fn a_client_that_is_generated_compiles_and_its_types_are_true() {
    let door = HttpsDoor::up();
    let (url, user) = (door.url(""), door.user());
    let document = format!("{url}/api/v1/openapi.json");
    use_generated(&document, "public", "account", &[&url, &user]);
    door.server.stop();
}

#[test]
fn a_client_of_operators_that_is_generated_compiles_and_its_types_are_true() {
    let admin = AdminDoor::up();
    let url = admin.url("");
    let document = format!("{url}/api/v1/openapi.json");
    use_generated(&document, "operators", "operator", &[&url, &admin.root]);
}

#[test]
fn the_document_says_where_the_server_is_and_how_to_log_in() {
    let admin = AdminDoor::up();
    let document = admin.door.ask(&[], "/api/v1/openapi.json").json();
    assert_eq!(document["servers"], json!([{ "url": "/" }]));
    let schemes = &document["components"]["securitySchemes"];
    let told = |name: &str, field: &str| schemes[name][field].as_str().unwrap();
    assert_eq!(
        (told("basic", "type"), told("basic", "scheme")),
        ("http", "basic")
    );
    assert_eq!(
        (told("token", "type"), told("token", "scheme")),
        ("http", "bearer")
    );
    assert_eq!(
        (told("session", "in"), told("session", "name")),
        ("cookie", "__Host-sealift")
    );
    assert_eq!(
        (told("csrf", "in"), told("csrf", "name")),
        ("header", "x-sealift-csrf")
    );
    let with_page = json!([{ "token": [] }, { "basic": [] }, { "csrf": [], "session": [] }]);
    assert_eq!(document["security"], with_page);
    let of = |path: &str, method: &str| &document["paths"][path][method]["security"];
    assert_eq!(*of("/api/v1/sessions", "post"), json!([]));
    assert_eq!(*of("/api/v1/shared/{token}", "get"), json!([]));
    assert_eq!(*of("/api/v1/uploads", "options"), json!([]));
    let without_page = json!([{ "token": [] }, { "basic": [] }, { "session": [] }]);
    assert_eq!(*of("/api/v1/me", "get"), without_page);
    assert_eq!(*of("/api/v1/move", "post"), Value::Null);
    let page = admin.door.ask(&[], "/api/v1/").text();
    for words in [
        "__Host-sealift",
        "x-sealift-csrf",
        "bearer",
        "Nobody has to log in.",
    ] {
        assert!(page.contains(words), "{words}");
    }

    let document = ask(&[], &admin.url("/api/v1/openapi.json")).json();
    assert_eq!(document["security"], json!([{ "token": [] }]));
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    assert_eq!(schemes.len(), 1);
    assert_eq!(document["servers"], json!([{ "url": "/" }]));
}

#[test]
fn the_docs_name_every_kind_of_error_and_its_status() {
    let text = fs::read_to_string("docs/api.md").unwrap();
    let (_, table) = text.split_once("| status | kinds |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let mut told = BTreeSet::new();
    for row in table.lines().skip(2) {
        let mut cells = row.split('|').skip(1);
        let status: u16 = cells.next().unwrap().trim().parse().unwrap();
        let words = cells.next().unwrap().split('`').skip(1).step_by(2);
        // Headers and settings stand there, too.
        let kind = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        told.extend(words.filter(kind).map(|word| (word, status)));
    }
    assert_eq!(told, BTreeSet::from(KINDS));
}
