//! rclone: a thousand files there and back, and nothing sent twice.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::client::{python, run, succeed, write_odd_files};
use crate::support::folder::{TempFolder, sums, write_random};
use crate::support::server::{DEMO, Server};

const FILES: usize = 1_000;

#[test]
fn a_thousand_files_are_synced_checked_and_fetched_back() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let (out, back) = (folder.folder("out"), folder.folder("back"));
    write_files(&out);
    let (here, there, back_here) = (text(&out), "sealift:there", text(&back));

    let first = rclone(&server, &["sync", "--transfers", "8", here, there]);
    assert!(first.contains("Copied (new)"), "{first}");
    rclone(
        &server,
        &["check", "--download", "--checkers", "8", here, there],
    );

    let second = rclone(&server, &["sync", here, there]);
    assert!(!second.contains("Copied"), "{second}");
    assert!(!second.contains("modification time"), "{second}");

    rclone(&server, &["copy", "--transfers", "8", there, back_here]);
    assert_eq!(sums(&out), sums(&back));

    for entry in fs::read_dir(&out).unwrap().take(5) {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, "changed").unwrap();
        } else {
            fs::remove_dir_all(path).unwrap();
        }
    }
    rclone(&server, &["sync", here, there]);
    rclone(
        &server,
        &["check", "--download", "--checkers", "8", here, there],
    );
    rclone(&server, &["purge", there]);
    server.stop();
}

/// rclone cannot be told when to exchange keys, so the server is.
#[test]
fn large_files_survive_new_keys_every_16_mib() {
    let folder = TempFolder::new();
    let wrapper = ["env", "SEALIFT__SFTP__REKEY_BYTES=16MiB"].map(OsStr::new);
    let server = Server::up_under(&wrapper, &folder.join("data"));
    let (out, back) = (folder.folder("out"), folder.folder("back"));
    for number in 0..3 {
        write_random(&out.join(format!("large {number}")), 70_000_003);
    }
    let (here, there, back_here) = (text(&out), "sealift:there", text(&back));
    rclone(&server, &["copy", "--transfers", "3", here, there]);
    rclone(&server, &["copy", "--transfers", "3", there, back_here]);
    assert_eq!(sums(&out), sums(&back));
    server.stop();
}

fn write_files(folder: &Path) {
    let odd = folder.join("odd ünï [names]");
    fs::create_dir(&odd).unwrap();
    let mut written = write_odd_files(&odd).len();
    let mut dice = fastrand::Rng::with_seed(1_000);
    while written < FILES {
        let inside = folder.join(format!("folder {}/{}", written % 13, written % 7));
        fs::create_dir_all(&inside).unwrap();
        let size = match written % 100 {
            0 => 0,
            1 => dice.u64(1_000_000..9_000_000),
            2..10 => dice.u64(60_000..300_000),
            _ => dice.u64(1..5_000),
        };
        write_random(&inside.join(format!("file {written}")), size);
        written += 1;
    }
}

/// Returns the log of a run that succeeded.
fn rclone(server: &Server, words: &[&str]) -> String {
    let obscured = succeed(&run(rclone_command(&["obscure", &server.password()]), ""));
    let mut command = rclone_command(words);
    let remote = [
        ("TYPE", "sftp"),
        ("HOST", "127.0.0.1"),
        ("PORT", &server.port().to_string()),
        ("USER", DEMO),
        ("PASS", obscured.trim()),
        ("SHELL_TYPE", "none"),
        ("DISABLE_HASHCHECK", "true"),
    ];
    for (name, value) in remote {
        command.env(format!("RCLONE_CONFIG_SEALIFT_{name}"), value);
    }
    let output = run(command, "");
    succeed(&output);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn rclone_command(words: &[&str]) -> Command {
    let program: PathBuf = python("rclone");
    let mut command = Command::new(program);
    command
        .args([
            "--config",
            "/dev/null",
            "-v",
            "--stats",
            "0",
            "--retries",
            "1",
        ])
        .args(words);
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
