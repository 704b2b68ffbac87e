//! A disk that is full.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::folder::{TempFolder, write_random};
use crate::support::https_door::ask;
use crate::support::server::{DEMO, Server, program};
use crate::support::wait::wait_for;

/// Mounts a small file system where the blobs go, for the server alone.
const MOUNT: &str = "mount -t tmpfs -o size=40m tmpfs \"$0\" && exec \"$@\"";

#[test]
fn an_upload_that_fills_the_disk_gives_its_room_back() {
    let folder = TempFolder::new();
    let (data, large, small) = (
        folder.join("data"),
        folder.join("large"),
        folder.join("small"),
    );
    let blobs = data.join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    write_random(&large, 60 << 20);
    write_random(&small, 200_000);
    let alone = ["unshare", "--user", "--map-root-user", "--mount"];
    let words = alone.iter().chain(&["sh", "-c", MOUNT]).map(OsStr::new);
    let wrapper: Vec<_> = words.chain([blobs.as_os_str()]).collect();
    let server = Server::up_under(&wrapper, &data);
    let https = server.ready.listeners.https.unwrap();
    let user = format!("{DEMO}:{}", server.password());
    let put = |file: &Path, name: &str| {
        let words = ["--user", &user, "-T", file.to_str().unwrap()];
        ask(&words, &format!("https://{https}/api/v1/files/{name}"))
    };
    assert_eq!(put(&small, "before").status, 201);
    let full = put(&large, "large");
    assert_eq!(
        (full.status, full.problem().as_str()),
        (507, "storage-full")
    );
    // At once, and not when somebody cleans up.
    assert_eq!(put(&small, "behind").status, 201);
    server.stop();
}

/// What the server needs to enter where a small disk is mounted, and to purge at once.
const ENTER: [&str; 4] = ["nsenter", "--user", "--mount", "--preserve-credentials"];
const AT_ONCE: [&str; 3] = [
    "env",
    "SEALIFT__RETENTION__INTERVAL=200ms",
    "SEALIFT__RETENTION__BLOB_GRACE=0s",
];
/// Mounts a small file system, and keeps it until nobody holds the other end of the input.
const KEEP: &str =
    "mount -t tmpfs -o size=40m,mode=700 tmpfs \"$0\" && echo mounted && exec cat >/dev/null";

/// A small disk that only those see who enter; it goes with this.
struct SmallDisk {
    keeper: Child,
    target: String,
}

impl SmallDisk {
    fn at(folder: &Path) -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", KEEP])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let told = keeper.stdout.take().unwrap();
        BufReader::new(told).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n");
        let target = format!("--target={}", keeper.id());
        Self { keeper, target }
    }

    /// What comes before the words of a command that is to see it.
    fn enter(&self) -> Vec<&OsStr> {
        let words = ENTER.into_iter().chain([self.target.as_str()]);
        words.map(OsStr::new).collect()
    }

    #[track_caller]
    fn run(&self, words: &[&OsStr]) {
        let all = [&self.enter()[..], words].concat();
        let ran = Command::new(all[0]).args(&all[1..]).output().unwrap();
        assert!(ran.status.success(), "{words:?}: {ran:?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

#[test]
fn a_disk_that_clients_filled_can_be_emptied_again() {
    let folder = TempFolder::new();
    let (data, small) = (folder.join("data"), folder.join("small"));
    let content = folder.join("content");
    fs::create_dir(&small).unwrap();
    Server::up(&data).stop();
    let disk = SmallDisk::at(&small);
    let words = ["sh", "-c", r#"mv "$0"/blobs "$0"/sealift.db* "$1""#];
    let words: Vec<_> = words.iter().map(OsStr::new).collect();
    disk.run(&[&words[..], &[data.as_os_str(), small.as_os_str()]].concat());
    for name in ["blobs", "sealift.db"] {
        symlink(small.join(name), data.join(name)).unwrap();
    }
    let wrapper = [disk.enter(), AT_ONCE.into_iter().map(OsStr::new).collect()].concat();
    let start = || Server::up_under(&wrapper, &data);
    let curl = |server: &Server, words: &[&str], path: &str| {
        let user = format!("{DEMO}:{}", server.password());
        let https = server.ready.listeners.https.unwrap();
        let words = [&["--user", &user], words].concat();
        ask(&words, &format!("https://{https}{path}"))
    };
    let put = |server: &Server, name: usize| {
        let words = ["-T", content.to_str().unwrap()];
        curl(server, &words, &format!("/api/v1/files/{name}"))
    };

    let server = start();
    let mut files = 0;
    for size in [1 << 20, 60_000, 3_000, 100] {
        write_random(&content, size);
        loop {
            let answer = put(&server, files);
            if answer.status == 507 {
                assert_eq!(answer.problem(), "storage-full");
                break;
            }
            assert_eq!(answer.status, 201, "{}", answer.text());
            files += 1;
        }
    }
    assert!(files > 20, "{files}");
    // What takes next to nothing is still taken.
    assert_eq!(curl(&server, &["-X", "MKCOL"], "/dav/folder").status, 201);
    // Nothing else that clients store takes what is kept back for that.
    let note = "n".repeat(60_000);
    let properties = format!(
        "<propertyupdate xmlns='DAV:'><set><prop><note xmlns='x:'>{note}</note></prop></set></propertyupdate>"
    );
    fs::write(&content, properties).unwrap();
    let body = format!("@{}", content.display());
    let patch = ["-X", "PROPPATCH", "--data-binary", &body];
    let refused = (0..1000).find(|number| {
        let folder = format!("/dav/folder-{number}");
        let made = curl(&server, &["-X", "MKCOL"], &folder).status;
        made == 507 || curl(&server, &patch, &folder).status == 507
    });
    assert!(refused.is_some());
    let lock = "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>";
    for (method, path, body) in [
        ("LOCK", "/dav/new", lock),
        ("PUT", "/api/v1/files/empty", ""),
    ] {
        let answer = curl(&server, &["-X", method, "--data-binary", body], path);
        assert_eq!(answer.status, 507, "{method}: {}", answer.text());
    }
    for name in 0..files {
        let path = format!("/api/v1/entries/{name}");
        let removed = curl(&server, &["-X", "DELETE"], &path);
        assert_eq!(removed.status, 204, "{}", removed.text());
    }
    server.stop();
    let server = start();
    let words = [program(), "tenant", "set", "demo", "--retention", "1s"];
    let words: Vec<_> = words
        .into_iter()
        .chain(["--data"])
        .map(OsStr::new)
        .collect();
    disk.run(&[&words[..], &[data.as_os_str()]].concat());
    write_random(&content, 1 << 20);
    wait_for("room", Duration::from_secs(60), || {
        (put(&server, files).status == 201).then_some(())
    });
    server.stop();
}
