//! tus clients of others as they are: tus-js-client and tuspy.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::client::{cached, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::https_door::HttpsDoor;
use crate::support::tus::{UPLOADS, noise, sha256, tree};

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/tus")
        .join(name)
}

fn javascript(door: &HttpsDoor, file: &Path, words: [&str; 4]) -> String {
    let mut command = Command::new("node");
    command
        .arg(script("upload.js"))
        .arg(cached("node/node_modules"))
        .args([door.url(UPLOADS), door.user()])
        .arg(file)
        .args(words);
    succeed(&run(command, ""))
}

#[test]
fn tus_js_client_uploads_whole_in_chunks_in_parallel_and_after_a_break() {
    let door = HttpsDoor::up();
    let folder = TempFolder::new();
    let (file, bytes) = (folder.join("file"), noise(6, 9_000_000));
    fs::write(&file, &bytes).unwrap();
    // The path, the size of chunks, how many at once, after how many bytes it breaks off.
    for words in [
        ["/whole", "0", "1", "0"],
        ["/chunks", "1000000", "1", "0"],
        ["/broken", "1000000", "1", "3500000"],
        ["/parallel", "700000", "4", "0"],
    ] {
        let printed = javascript(&door, &file, words);
        assert!(printed.ends_with("done\n"), "{printed}");
        assert_eq!(tree(&door.server)[words[0]], sha256(&bytes), "{words:?}");
    }
    door.server.stop();
}

#[test]
fn tuspy_goes_on_where_it_broke_off_and_checks_sums() {
    let door = HttpsDoor::up();
    let folder = TempFolder::new();
    let (file, bytes) = (folder.join("file"), noise(7, 5_000_000));
    fs::write(&file, &bytes).unwrap();
    let mut command = Command::new(cached("tus/bin/python3"));
    command
        .args(["-B"])
        .arg(script("upload.py"))
        .args([door.url(UPLOADS), door.user()])
        .arg(&file)
        .args(["/tuspy", "600000"]);
    assert_eq!(succeed(&run(command, "")), "done\n");
    assert_eq!(tree(&door.server)["/tuspy"], sha256(&bytes));
    door.server.stop();
}
