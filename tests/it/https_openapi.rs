//! Clients that are made from the description of the API: they compile, and what their types say is so.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

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
