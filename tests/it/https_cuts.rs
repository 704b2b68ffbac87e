//! Transfers over HTTPS that end before their end.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;

use crate::support::folder::TempFolder;
use crate::support::https_door::HttpsDoor;
use crate::support::server::DEMO;
use crate::support::wait::wait_for;
use crate::support::web_line;

const SOON: Duration = Duration::from_secs(60);

/// Sends bytes over TLS, then close_notify; says what came back.
fn raw(door: &HttpsDoor, head: &str) -> String {
    let mut client = web_line::pipe(door);
    let user = BASE64.encode(door.user().as_bytes());
    let head = head.replacen(
        "\r\n",
        &format!("\r\nHost: a\r\nAuthorization: Basic {user}\r\n"),
        1,
    );
    client
        .stdin
        .take()
        .unwrap()
        .write_all(head.as_bytes())
        .unwrap();
    let out = client.wait_with_output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn a_body_that_is_shorter_than_it_was_said_to_be_is_not_published() {
    let door = HttpsDoor::up_with(&[("STALL_TIME", "1s")]);
    door.put("/old", "old", &[]);
    for (path, head) in [
        ("new", "Content-Length: 100\r\n\r\n0123456789"),
        ("new", "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n"),
        ("new", "Transfer-Encoding: chunked\r\n\r\n5\r\n012"),
        ("new", "Transfer-Encoding: chunked\r\n\r\nzz\r\n012"),
        ("old", "Content-Length: 100\r\n\r\n0123456789"),
        (
            "old",
            "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n",
        ),
    ] {
        let request = format!("PUT /api/v1/files/{path} HTTP/1.1\r\n{head}");
        let answer = raw(&door, &request);
        assert!(
            !answer.contains(" 200 ") && !answer.contains(" 201 "),
            "{head:?}: {answer}"
        );
    }
    assert_eq!(door.get("/new", &[]).status, 404);
    assert_eq!(door.get("/old", &[]).text(), "old");
    // As a check of the way: a whole one is.
    let whole =
        "PUT /api/v1/files/new HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nnew";
    raw(&door, whole);
    assert_eq!(door.get("/new", &[]).text(), "new");
}

#[test]
fn an_upload_whose_client_is_killed_is_not_published() {
    let door = HttpsDoor::up();
    door.put("/f", "old", &[]);
    for version in ["--http1.1", "--http2"] {
        let mut client = Command::new("curl")
            .args(["-sSk", version, "--user", &door.user(), "-T", "-"])
            .arg(door.url("/api/v1/files/f"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all(&vec![7; 1 << 20]).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
        wait_for("the connection to be closed", SOON, || {
            (connections(&door) == 0).then_some(())
        });
        assert_eq!(door.get("/f", &[]).text(), "old", "{version}");
    }
}

#[test]
fn a_download_ends_when_its_account_is_disabled() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    large(&door, &folder);
    let mut client = fetch(&door, "--http2", &["--limit-rate", "100k"]);
    let mut first = [0; 1024];
    let mut output = client.stdout.take().unwrap();
    output.read_exact(&mut first).unwrap();
    door.server.admin(&["account", "disable", DEMO], "");
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert!(!client.wait().unwrap().success());
    assert!(rest.len() < LARGE - 1024, "{} bytes", rest.len());
}

#[test]
fn a_download_that_nobody_takes_is_broken_off() {
    let (door, folder) = (
        HttpsDoor::up_with(&[("STALL_TIME", "2s")]),
        TempFolder::new(),
    );
    large(&door, &folder);
    for version in ["--http1.1", "--http2"] {
        let mut client = fetch(&door, version, &[]);
        let mut output = client.stdout.take().unwrap();
        let mut first = [0; 1024];
        output.read_exact(&mut first).unwrap();
        wait_for("the server to hang up", SOON, || {
            (connections(&door) == 0).then_some(())
        });
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).unwrap();
        assert!(!client.wait().unwrap().success());
        assert!(rest.len() < LARGE - 1024, "{version}: {} bytes", rest.len());
    }
}

const LARGE: usize = 64 << 20;

fn large(door: &HttpsDoor, folder: &TempFolder) {
    let local = folder.join("large");
    fs::File::create(&local)
        .unwrap()
        .set_len(LARGE as u64)
        .unwrap();
    let put = door.demo(&["-T", local.to_str().unwrap()], "/api/v1/files/large");
    assert_eq!(put.status, 201, "{}", put.text());
}

fn fetch(door: &HttpsDoor, version: &str, more: &[&str]) -> Child {
    Command::new("curl")
        .args(["-sk", version, "--user", &door.user()])
        .args(more)
        .arg(door.url("/api/v1/files/large"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Connections to the server's port that both ends have open, or whose client has it open still.
fn connections(door: &HttpsDoor) -> usize {
    let port = format!(":{:04X}", door.address().port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let of_server = table.lines().filter(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next(), words.nth(1));
        local.is_some_and(|local| local.ends_with(&port)) && state == Some("01")
    });
    of_server.count()
}
