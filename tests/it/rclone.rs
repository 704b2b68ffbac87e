//! rclone: a thousand files there and back, and nothing sent twice.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::client::{odd_names, python, run, succeed, write_odd_files};
use crate::support::folder::{TempFolder, sums, write_random};
use crate::support::mount::Mount;
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

#[test]
fn checksums_are_found_and_compared_without_fetching() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let out = folder.folder("out");
    write_odd_files(&out);
    write_random(&out.join("large"), 9_000_001);
    write_random(&out.join("empty"), 0);
    let (here, there) = (text(&out), "sealift:there");
    rclone_with_shell(&server, &["copy", here, there]);

    let said = rclone_with_shell(&server, &["check", "-vv", here, there]);
    assert!(said.contains("0 differences found"), "{said}");
    assert!(!said.contains("hashes could not be checked"), "{said}");
    assert!(
        said.contains("Using md5") || said.contains("Running remote command: md5sum"),
        "{said}"
    );
    for kind in ["md5", "sha1", "sha256"] {
        let theirs = sums_of(&server, kind, there, &[]);
        assert_eq!(theirs.lines().count(), odd_names().len() + 2);
        // The same when they come from the files themselves.
        assert_eq!(
            theirs,
            sums_of(&server, kind, there, &["--download"]),
            "{kind}"
        );
        assert_eq!(theirs, sums_of(&server, kind, here, &[]), "{kind}");
    }
    let shown = rclone_printing(&server, &["about", there]);
    assert!(shown.contains("Free:"), "{shown}");

    fs::write(out.join("large"), vec![0; 9_000_001]).unwrap();
    let command = rclone_over(&server, &["check", here, there], &SHELL);
    let checked = run(command, "");
    assert!(!checked.status.success());
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.contains("large: md5 differ"), "{said}");
    server.stop();
}

#[test]
fn a_mount_reads_and_writes_without_a_cache() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let (out, there) = (folder.folder("out"), folder.folder("mounted"));
    write_random(&out.join("large"), 20_000_003);
    write_odd_files(&out);
    let words = ["mount", "sealift:", text(&there), "--vfs-cache-mode", "off"];
    let mount = || Mount::new(rclone_over(&server, &words, &NO_SHELL), &there);
    let mounted = mount();
    let copied = there.join("copied");
    // By a process of its own: one that another test starts from here has this one's open files for
    // an instant, and rclone takes the end of any of them for the end of the file.
    let mut copy = Command::new("cp");
    copy.arg("-r").args([&out, &copied]);
    succeed(&run(copy, ""));
    mounted.unmount();
    let mounted = mount();
    assert_eq!(sums(&out), sums(&copied));
    let mut part = vec![0; 100_000];
    let file = fs::File::open(copied.join("large")).unwrap();
    for at in [15_000_000, 3, 19_900_003, 7_654_321] {
        file.read_exact_at(&mut part, at).unwrap();
        let expected = &fs::read(out.join("large")).unwrap()[at as usize..][..part.len()];
        assert!(part == expected, "{at}");
    }
    drop(file);
    fs::rename(copied.join("large"), there.join("renamed")).unwrap();
    fs::remove_dir_all(&copied).unwrap();
    mounted.unmount();
    server.stop();
}

fn sums_of(server: &Server, kind: &str, place: &str, words: &[&str]) -> String {
    // One by one: rclone says that nothing is supported while it is finding out what is.
    let words = [&["hashsum", "--checkers", "1", kind, place], words].concat();
    let mut lines: Vec<_> = rclone_printing(server, &words)
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines.join("\n")
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

/// What it is to know of the server beforehand: that it has no commands.
const NO_SHELL: [(&str, &str); 2] = [("SHELL_TYPE", "none"), ("DISABLE_HASHCHECK", "true")];
/// The same: which checksums to ask for.
const SHELL: [(&str, &str); 1] = [("HASHES", "md5,sha1,sha256")];

/// Returns the log of a run that succeeded.
fn rclone(server: &Server, words: &[&str]) -> String {
    logged(&run(rclone_over(server, words, &NO_SHELL), ""))
}

/// The same, finding out by itself which commands there are.
fn rclone_with_shell(server: &Server, words: &[&str]) -> String {
    logged(&run(rclone_over(server, words, &SHELL), ""))
}

/// The same, returning what is printed.
fn rclone_printing(server: &Server, words: &[&str]) -> String {
    succeed(&run(rclone_over(server, words, &SHELL), ""))
}

fn logged(output: &Output) -> String {
    succeed(output);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn rclone_over(server: &Server, words: &[&str], more: &[(&str, &str)]) -> Command {
    let obscured = succeed(&run(rclone_command(&["obscure", &server.password()]), ""));
    let mut command = rclone_command(words);
    let port = server.port().to_string();
    let remote = [
        ("TYPE", "sftp"),
        ("HOST", "127.0.0.1"),
        ("PORT", &port),
        ("USER", DEMO),
        ("PASS", obscured.trim()),
    ];
    for (name, value) in remote.iter().chain(more) {
        command.env(format!("RCLONE_CONFIG_SEALIFT_{name}"), value);
    }
    command
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
