//! Uploads that make the folders on their way: when all came, and not before.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::support::folder::TempFolder;
use crate::support::https_door::HttpsDoor;
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);

fn status(door: &HttpsDoor, path: &str) -> u16 {
    door.demo(&[], &format!("/api/v1/entries{path}")).status
}

/// Begins to put a file, and returns when the server waits for what is in it.
fn putting(door: &HttpsDoor, folder: &TempFolder, path: &str, words: &[&str]) -> Child {
    let log = folder.join("log");
    let client = Command::new("curl")
        .args(["-sSkv", "--http1.1", "--max-time", "120", "-o", "/dev/null"])
        .args(["-w", "%{http_code}", "--expect100-timeout", "120"])
        .args([
            "--user",
            &door.user(),
            "-T",
            "-",
            "-H",
            "Expect: 100-continue",
        ])
        .args(words)
        .arg(door.url(&format!("/api/v1/files{path}")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    wait_for("the server to wait", SOON, || {
        let said = fs::read_to_string(&log).unwrap();
        said.contains("HTTP/1.1 100").then_some(())
    });
    client
}

#[test]
fn an_upload_that_fails_leaves_no_folders() {
    let door = HttpsDoor::up();
    let wrong = format!("X-Checksum-Sha256: {}", "0".repeat(64));
    let put = door.put("/a/b/f?parents=true", "x", &["-H", &wrong]);
    assert_eq!((put.status, status(&door, "/a")), (422, 404));
    let unknown = ["-H", "If-Match: \"x\""];
    let put = door.put("/a/b/f?parents=true", "x", &unknown);
    assert_eq!((put.status, status(&door, "/a")), (412, 404));
    let part = ["-H", "Content-Range: bytes 0-0/2"];
    let put = door.put("/a/b/f?parents=true", "x", &part);
    assert_eq!((put.status, status(&door, "/a")), (400, 404));
    let made = door.demo(&["-X", "POST"], "/api/v1/folders/a");
    assert_eq!(made.status, 201);
    let put = door.put("/a/b/f?parents=true", "x", &["-H", &wrong]);
    assert_eq!((put.status, status(&door, "/a/b")), (422, 404));
    assert_eq!(status(&door, "/a"), 200, "it was there before");
}

#[test]
fn an_upload_that_breaks_off_leaves_no_folders() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    for length in [2, 5_000_000] {
        let mut client = putting(&door, &folder, "/a/b/f?parents=true", &[]);
        assert_eq!(status(&door, "/a"), 404, "while it comes");
        let mut input = client.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, &vec![7; length]).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
        drop(input);
        // What comes after it comes after what it left.
        let put = door.put("/other", "x", &[]);
        assert!(matches!(put.status, 200 | 201));
        assert_eq!(status(&door, "/a"), 404);
    }
    door.server.stop();
}

#[test]
fn a_whole_upload_makes_its_folders() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at >> 3) as u8).collect();
    let local = folder.join("local");
    fs::write(&local, &content).unwrap();
    let sum = data_encoding::HEXLOWER.encode(&Sha256::digest(&content));
    let words = [
        "-T",
        local.to_str().unwrap(),
        "-H",
        &format!("X-Checksum-Sha256: {sum}"),
    ];
    let put = door.demo(&words, "/api/v1/files/a/b/c/big?parents=true");
    assert_eq!(put.status, 201, "{}", put.text());
    assert_eq!(put.json()["sha256"], sum);
    let got = door.get("/a/b/c/big", &[]);
    assert_eq!(got.body, content);
    assert_eq!(got.header("etag"), put.header("etag"));
    let empty = door.put("/e/f/empty?parents=true", "", &["-H", "If-None-Match: *"]);
    assert_eq!(empty.status, 201, "{}", empty.text());
    assert_eq!(door.get("/e/f/empty", &[]).body, b"");
}

#[test]
fn uploads_into_one_new_folder_do_not_hinder_each_other() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let other = TempFolder::new();
    let wrong = format!("X-Checksum-Sha256: {}", "0".repeat(64));
    let failing = putting(&door, &folder, "/new/sub/a?parents=true", &["-H", &wrong]);
    let good = putting(&door, &other, "/new/sub/b?parents=true", &[]);
    let end = |mut client: Child| {
        let mut input = client.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"some").unwrap();
        drop(input);
        let said = client.wait_with_output().unwrap().stdout;
        String::from_utf8(said).unwrap()
    };
    assert_eq!(door.put("/new/sub/c?parents=true", "c", &[]).status, 201);
    assert_eq!(end(failing), "422");
    assert_eq!(end(good), "201");
    assert_eq!(door.get("/new/sub/b", &[]).text(), "some");
    assert_eq!(door.get("/new/sub/c", &[]).text(), "c");
    assert_eq!(status(&door, "/new/sub/a"), 404);
}

#[test]
fn a_name_that_is_taken_while_the_file_comes_is_not_replaced_by_a_new_file() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    for (at, header) in [
        ("/n/sub/a", "If-None-Match: *"),
        (
            "/m/sub/a",
            "If-Unmodified-Since: Wed, 01 Jan 2020 00:00:00 GMT",
        ),
    ] {
        let path = format!("{at}?parents=true");
        let mut client = putting(&door, &folder, &path, &["-H", header]);
        assert_eq!(door.put(&path, "theirs", &[]).status, 201);
        let mut input = client.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"ours").unwrap();
        drop(input);
        let said = client.wait_with_output().unwrap().stdout;
        assert_eq!(String::from_utf8(said).unwrap(), "412", "{header}");
        assert_eq!(door.get(at, &[]).text(), "theirs");
    }
}

#[test]
fn no_folder_is_made_where_none_may_be() {
    let door = HttpsDoor::up();
    let admin = |words: &[&str], input: &str| drop(door.server.admin(words, input));
    let words = [
        "account",
        "add",
        "eve@demo",
        "--password-stdin",
        "--home",
        "/eve",
    ];
    admin(&words, "a good secret\n");
    admin(&["grant", "remove", "eve@demo", "demo:/eve"], "");
    admin(
        &["grant", "add", "eve@demo", "demo:/eve", "list,read,write"],
        "",
    );
    let words = [
        "--user",
        "eve@demo:a good secret",
        "-X",
        "PUT",
        "--data-binary",
        "x",
    ];
    let put = door.ask(&words, "/api/v1/files/eve/new/f?parents=true");
    assert_eq!((put.status, put.problem().as_str()), (403, "denied"));
    assert!(put.text().contains("make-folders"), "{}", put.text());
    assert_eq!(status(&door, "/eve/new"), 404);
}
