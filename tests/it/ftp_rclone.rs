//! rclone's ftp backend: a thousand files there and back, and nothing sent twice.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::client::{python, run};
use crate::support::folder::{TempFolder, sums, write_random};
use crate::support::ftp_client::{Way, text};
use crate::support::server::{DEMO, Server};

const FILES: u64 = 300;

#[test]
fn rclone_syncs_checks_and_fetches_back_in_every_way() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let out = folder.folder("out");
    for number in 0..FILES {
        let place = folder.folder(&format!("out/d{}", number % 10));
        write_random(&place.join(format!("f {number}")), number * 97);
    }
    write_random(&out.join("large"), 20_000_000);
    fs::write(out.join("[odd] *name* é"), "odd").unwrap();
    for way in Way::ALL {
        there_and_back(&folder, &server, way, &out);
    }
    server.stop();
}

#[test]
fn rclone_goes_into_folders_whose_names_are_patterns_by_list_alone() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let out = folder.folder("out");
    for name in ["[b]", "b", "a*c", "what?", "[deep]/[er]"] {
        let place = folder.folder(&format!("out/{name}"));
        fs::write(place.join("[z]"), name).unwrap();
        fs::write(place.join("z"), "another").unwrap();
    }
    let (there, back) = ("peer:there", folder.folder("back"));
    let by_list = |words: &[&str]| {
        let words = [&["--ftp-disable-mlsd"], words].concat();
        rclone(&server, Way::Clear, &words);
    };
    by_list(&["copy", text(&out), there]);
    by_list(&["check", "--download", text(&out), there]);
    by_list(&["copy", there, text(&back)]);
    assert_eq!(sums(&out), sums(&back));
    server.stop();
}

fn there_and_back(folder: &TempFolder, server: &Server, way: Way, out: &Path) {
    let there = format!("peer:{way:?}");
    let back = folder.folder(&format!("back-{way:?}"));
    let first = rclone(
        server,
        way,
        &["sync", "--transfers", "8", text(out), &there],
    );
    assert!(first.contains("Copied (new)"), "{first}");
    rclone(
        server,
        way,
        &["check", "--download", "--checkers", "8", text(out), &there],
    );
    let second = rclone(server, way, &["sync", text(out), &there]);
    assert!(!second.contains("Copied"), "{second}");
    assert!(!second.contains("modification time"), "{second}");
    rclone(
        server,
        way,
        &["copy", "--transfers", "8", &there, text(&back)],
    );
    assert_eq!(sums(out), sums(&back), "{way:?}");
    rclone(server, way, &["purge", &there]);
}

fn rclone(server: &Server, way: Way, words: &[&str]) -> String {
    let program = python("rclone");
    let mut obscure = Command::new(&program);
    obscure.args(["obscure", &server.password()]);
    let secret = String::from_utf8(run(obscure, "").stdout).unwrap();
    let address = way.address(server);
    let mut command = Command::new(program);
    command
        .args([
            "--config",
            "/dev/null",
            "--retries",
            "1",
            "--low-level-retries",
            "1",
            "-v",
        ])
        .args(words)
        .env("RCLONE_CONFIG_PEER_TYPE", "ftp")
        .env("RCLONE_CONFIG_PEER_HOST", address.ip().to_string())
        .env("RCLONE_CONFIG_PEER_PORT", address.port().to_string())
        .env("RCLONE_CONFIG_PEER_USER", DEMO)
        .env("RCLONE_CONFIG_PEER_PASS", secret.trim())
        .env("RCLONE_CONFIG_PEER_TLS", (way == Way::Implicit).to_string())
        .env(
            "RCLONE_CONFIG_PEER_EXPLICIT_TLS",
            (way == Way::Explicit).to_string(),
        )
        .env("RCLONE_CONFIG_PEER_NO_CHECK_CERTIFICATE", "true");
    let output = run(command, "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{way:?} {words:?}: {said}");
    said
}
