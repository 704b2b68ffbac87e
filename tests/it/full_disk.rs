//! A disk that is full.

use std::ffi::OsStr;
use std::fs;

use crate::support::folder::{TempFolder, write_random};
use crate::support::https_door::ask;
use crate::support::server::{DEMO, Server};

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
    let put = |file: &std::path::Path, name: &str| {
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
