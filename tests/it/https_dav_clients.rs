//! Other people's clients of WebDAV: rclone, davfs2, cadaver; and what Explorer and Finder send.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::client::{python, run, succeed, write_odd_files};
use crate::support::dav::{Dav, hrefs};
use crate::support::folder::{TempFolder, sums, write_random};
use crate::support::https_door::HttpsDoor;
use crate::support::server::DEMO;
use crate::support::wait::wait_for;

const FILES: u64 = 300;

fn demo(door: &HttpsDoor) -> Dav {
    Dav::of(door.address(), &door.user())
}

#[test]
fn rclone_syncs_checks_and_fetches_back() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let out = folder.folder("out");
    for number in 0..FILES {
        let place = folder.folder(&format!("out/d{}", number % 10));
        write_random(&place.join(format!("f {number}")), number * 97);
    }
    write_random(&out.join("large"), 20_000_000);
    write_odd_files(&folder.folder("out/odd"));
    let out = out.to_str().unwrap();
    // ownCloud's ways set times as well.
    for vendor in ["other", "owncloud"] {
        let there = format!("peer:{vendor}");
        let back = folder.folder(&format!("back-{vendor}"));
        let first = rclone(&door, vendor, &["sync", "--transfers", "8", out, &there]);
        assert!(first.contains("Copied (new)"), "{first}");
        rclone(&door, vendor, &["check", "--download", out, &there]);
        let second = rclone(&door, vendor, &["sync", out, &there]);
        assert!(!second.contains("Copied"), "{second}");
        let moved = format!("{there}-moved");
        rclone(&door, vendor, &["moveto", &there, &moved]);
        let copied = format!("{there}-copied");
        rclone(&door, vendor, &["copy", &moved, &copied]);
        rclone(
            &door,
            vendor,
            &["copy", "--transfers", "8", &copied, back.to_str().unwrap()],
        );
        assert_eq!(sums(Path::new(out)), sums(&back), "{vendor}");
        rclone(&door, vendor, &["purge", &copied]);
    }
    door.server.stop();
}

fn rclone(door: &HttpsDoor, vendor: &str, words: &[&str]) -> String {
    let program = python("rclone");
    let mut obscure = Command::new(&program);
    obscure.args(["obscure", &door.server.password()]);
    let secret = String::from_utf8(run(obscure, "").stdout).unwrap();
    let mut command = Command::new(program);
    command
        .args(["--config", "/dev/null", "--retries", "1"])
        .args(["--low-level-retries", "1", "-v", "--no-check-certificate"])
        .args(words)
        .env("RCLONE_CONFIG_PEER_TYPE", "webdav")
        .env("RCLONE_CONFIG_PEER_URL", door.url("/dav/"))
        .env("RCLONE_CONFIG_PEER_VENDOR", vendor)
        .env("RCLONE_CONFIG_PEER_USER", DEMO)
        .env("RCLONE_CONFIG_PEER_PASS", secret.trim());
    let output = run(command, "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{vendor} {words:?}: {said}");
    said
}

#[test]
fn davfs2_makes_a_drive_of_it() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let drive = Drive::mount(&door, &folder);
    let there = folder.join("drive");
    fs::write(there.join("f"), "text").unwrap();
    fs::create_dir(there.join("d")).unwrap();
    write_random(&there.join("d/large"), 3_000_000);
    fs::rename(there.join("f"), there.join("d/g \u{e9}")).unwrap();
    let wanted = sums(&there.join("d"));
    assert_eq!(fs::read(there.join("d/g \u{e9}")).unwrap(), b"text");
    // It sends files a while after they are closed, at the latest now.
    drive.unmount();
    let dav = demo(&door);
    assert_eq!(dav.get("/d/g%20%C3%A9").text(), "text");
    assert_eq!(dav.get("/d/large").body.len(), 3_000_000);
    let drive = Drive::mount(&door, &folder);
    assert_eq!(sums(&there.join("d")), wanted);
    fs::remove_dir_all(there.join("d")).unwrap();
    drive.unmount();
    assert_eq!(hrefs(&dav.find("/", "1")), ["/dav/"]);
}

/// What davfs2 has mounted. It goes to the background by itself, so that it is no child of ours.
struct Drive {
    folder: std::path::PathBuf,
}

impl Drive {
    fn mount(door: &HttpsDoor, folder: &TempFolder) -> Self {
        let there = folder.folder("drive");
        let certificate = door.server.data().join("tls/certificate.pem");
        let trusted = folder.join("trusted.pem");
        fs::copy(certificate, &trusted).unwrap();
        let config = folder.join("davfs2.conf");
        // Younger kernels ask for more of a folder at once than its buffer of 16 KiB holds.
        let lines = format!(
            "use_locks 1\nbuf_size 256\ndelay_upload 0\ntrust_server_cert {}\n",
            trusted.display()
        );
        fs::write(&config, lines).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        let mut mount = Command::new("mount.davfs");
        mount
            .arg("-o")
            .arg(format!("conf={}", config.display()))
            .arg(door.url("/dav/"))
            .arg(&there);
        succeed(&run(
            mount,
            &format!("{DEMO}\n{}\n", door.server.password()),
        ));
        Self { folder: there }
    }

    fn unmount(self) {
        let mut command = Command::new("umount");
        command.arg(&self.folder);
        succeed(&run(command, ""));
        std::mem::forget(self);
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        let _ = command.args(["-i", "-l"]).arg(&self.folder).status();
    }
}

#[test]
fn cadaver_edits_with_locks() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let home = folder.folder("home");
    let address = door.address();
    let netrc = format!(
        "machine {} login {DEMO} password {}\n",
        address.ip(),
        door.server.password()
    );
    fs::write(home.join(".netrc"), netrc).unwrap();
    fs::set_permissions(home.join(".netrc"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.join("local"), "local").unwrap();
    // It asks whether the certificate is right only where it can read the answer from a terminal.
    let mut cadaver = Command::new("script");
    cadaver
        .args(["--quiet", "--return", "--command"])
        .arg(format!("cadaver {}", door.url("/dav/")))
        .arg("/dev/null")
        .env("HOME", &home)
        .env("TERM", "dumb")
        .current_dir(folder.path());
    let story = "y\nmkcol d\nput local d/f\nlock d/f\ndiscover d/f\nput local d/f\nunlock d/f\n\
                 copy d/f d/g\nmove d/g d/h\npropset d/h note value\npropget d/h note\nls d\n\
                 get d/h fetched\ndelete d/f\nquit\n";
    let ran = run(cadaver, story);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let dav = demo(&door);
    assert_eq!(
        hrefs(&dav.find("/d", "1")),
        ["/dav/d/", "/dav/d/h"],
        "{said}"
    );
    assert_eq!(
        fs::read(folder.join("fetched")).unwrap(),
        b"local",
        "{said}"
    );
    assert!(said.contains("value"), "{said}");
    assert!(!said.contains("failed"), "{said}");
}

/// What every request of Explorer's redirector carries.
const EXPLORER: [&str; 6] = [
    "-H",
    "User-Agent: Microsoft-WebDAV-MiniRedir/10.0.19045",
    "-H",
    "Translate: f",
    "-H",
    "Pragma: no-cache",
];

#[test]
fn explorer_connects_saves_renames_and_deletes() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    // It asks the root first, as a stranger, and goes on where it is told that there is WebDAV.
    let options = door.ask(&[&EXPLORER[..], &["-X", "OPTIONS"]].concat(), "/");
    assert_eq!(
        (options.status, options.header("ms-author-via")),
        (200, Some("DAV"))
    );
    let find = |path: &str, depth: &str| {
        let depth = format!("Depth: {depth}");
        dav.ask(
            "PROPFIND",
            path,
            &[&EXPLORER[..], &["-H", &depth, "-H", "Content-Length: 0"]].concat(),
        )
    };
    assert_eq!(find("", "0").status, 207);
    assert_eq!(hrefs(&find("", "1")), ["/dav/"]);
    // Of a new file: nothing is there, then an empty one, which is locked and filled.
    let name = "/New%20Text%20Document.txt";
    assert_eq!(find(name, "0").status, 404);
    assert_eq!(dav.put(name, "", &EXPLORER).status, 201);
    let locked = dav.lock(
        name,
        "exclusive",
        &[&EXPLORER[..], &["-H", "Timeout: Second-3600"]].concat(),
    );
    assert_eq!(locked.status, 200);
    let token = locked.header("lock-token").unwrap();
    let held = format!("If: ({token})");
    let with_token = [&EXPLORER[..], &["-H", &held]].concat();
    let times = "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:propertyupdate xmlns:D=\"DAV:\" \
        xmlns:Z=\"urn:schemas-microsoft-com:\"><D:set><D:prop>\
        <Z:Win32CreationTime>Tue, 14 Nov 2023 22:13:20 GMT</Z:Win32CreationTime>\
        <Z:Win32LastAccessTime>Tue, 14 Nov 2023 22:13:21 GMT</Z:Win32LastAccessTime>\
        <Z:Win32LastModifiedTime>Tue, 14 Nov 2023 22:13:22 GMT</Z:Win32LastModifiedTime>\
        <Z:Win32FileAttributes>00000000</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>";
    let patched = dav.send("PROPPATCH", name, &with_token, times);
    assert_eq!(patched.status, 207);
    let head = dav.ask("HEAD", name, &[&EXPLORER[..], &["--head"]].concat());
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("0"))
    );
    assert_eq!(dav.put(name, "typed in Notepad", &with_token).status, 204);
    let patched = dav.send("PROPPATCH", name, &with_token, times).text();
    assert_eq!(patched.matches("200 OK").count(), 4, "{patched}");
    assert_eq!(dav.unlock(name, token).status, 204);
    let found = find(name, "0").text();
    for shown in [
        "<D:getcontentlength>16</D:getcontentlength>",
        "<D:getlastmodified>Tue, 14 Nov 2023 22:13:22 GMT</D:getlastmodified>",
        "<D:creationdate>2023-11-14T22:13:20Z</D:creationdate>",
        "<D:displayname>New Text Document.txt</D:displayname>",
    ] {
        assert!(found.contains(shown), "{found}");
    }
    // Renamed, but never over what is there.
    let forbid = [&EXPLORER[..], &["-H", "Overwrite: F"]].concat();
    dav.put("/taken.txt", "", &EXPLORER);
    assert_eq!(dav.go("MOVE", name, "/taken.txt", &forbid).status, 412);
    assert_eq!(dav.go("MOVE", name, "/notes.txt", &forbid).status, 201);
    assert_eq!(dav.ask("MKCOL", "/New%20folder", &EXPLORER).status, 201);
    assert_eq!(dav.go("MOVE", "/New%20folder", "/old", &forbid).status, 201);
    assert_eq!(dav.ask("DELETE", "/old", &EXPLORER).status, 204);
    assert_eq!(hrefs(&find("", "1,noroot")).len(), 3);
}

const FINDER: [&str; 2] = [
    "-H",
    "User-Agent: WebDAVFS/3.0.0 (03008000) Darwin/23.1.0 (arm64)",
];

#[test]
fn finder_mounts_and_copies_a_file_with_its_shadow() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    let find = |path: &str, depth: &str, names: &str| {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:propfind xmlns:D=\"DAV:\"><D:prop>{names}\
             </D:prop></D:propfind>"
        );
        let depth = format!("Depth: {depth}");
        dav.send(
            "PROPFIND",
            path,
            &[&FINDER[..], &["-H", &depth]].concat(),
            &body,
        )
    };
    let stat = "<D:getlastmodified/><D:getcontentlength/><D:creationdate/><D:resourcetype/>";
    let options = dav.ask("OPTIONS", "/", &FINDER);
    assert!(
        options.header("dav").unwrap().contains('2'),
        "else it mounts for reading only"
    );
    assert_eq!(find("/", "0", stat).status, 207);
    let space = "<D:quota-available-bytes/><D:quota-used-bytes/><D:quota/><D:quotaused/>";
    assert_eq!(find("/", "0", space).status, 207);
    for probe in [
        "/.DS_Store",
        "/._.",
        "/.metadata_never_index",
        "/.Spotlight-V100",
    ] {
        assert_eq!(find(probe, "0", stat).status, 404, "{probe}");
    }
    // The file, and beside it its shadow with what macOS knows of it.
    for (name, length) in [("/Report.pdf", 300_000), ("/._Report.pdf", 4096)] {
        assert_eq!(find(name, "0", stat).status, 404);
        assert_eq!(dav.put(name, "", &FINDER).status, 201);
        let words = ["-H", "Depth: 0", "-H", "Timeout: Second-600"];
        let token = dav.locked(name, &[&FINDER[..], &words].concat());
        assert_eq!(find(name, "0", stat).status, 207);
        let local = door.server.data().join("local");
        write_random(&local, length);
        let local = local.to_str().unwrap();
        let (held, expected) = (
            format!("If: ({token})"),
            format!("X-Expected-Entity-Length: {length}"),
        );
        let chunked = [
            "--http1.1",
            "-T",
            local,
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            &expected,
            "-H",
            &held,
        ];
        let put = dav.ask("PUT", name, &[&FINDER[..], &chunked].concat());
        assert_eq!(put.status, 204, "{}", put.text());
        let found = find(name, "0", stat).text();
        assert!(
            found.contains(&format!("<D:getcontentlength>{length}<")),
            "{found}"
        );
        assert_eq!(dav.unlock(name, &token).status, 204);
        assert_eq!(dav.get(name).body, fs::read(local).unwrap());
    }
    let listed = hrefs(&find("/", "1", stat));
    assert_eq!(listed, ["/dav/", "/dav/._Report.pdf", "/dav/Report.pdf"]);
    for name in ["/Report.pdf", "/._Report.pdf"] {
        let to = format!("{}2", name);
        assert_eq!(dav.go("MOVE", name, &to, &FINDER).status, 201);
        assert_eq!(dav.ask("DELETE", &to, &FINDER).status, 204);
    }
}

#[test]
fn a_folder_of_many_files_is_told_of_while_it_is_read() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    dav.ask("MKCOL", "/many", &[]);
    dav.put("/many/000000", "x", &[]);
    // Doubled by copies of the folder into itself's neighbour would be deeper: files are copied one by one.
    let count = 10_000;
    let script = door.server.data().join("many");
    let mut lines = String::new();
    for number in 1..count {
        lines.push_str(&format!(
            "url = \"{}\"\nrequest = \"COPY\"\nheader = \"Destination: {}\"\nuser = \"{}\"\n\
             insecure\nsilent\noutput = \"/dev/null\"\nnext\n",
            dav.url("/many/000000"),
            dav.url(&format!("/many/{number:06}")),
            door.user()
        ));
    }
    fs::write(&script, lines.trim_end_matches("next\n")).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["--parallel", "--parallel-max", "50", "--config"])
        .arg(&script);
    succeed(&run(curl, ""));
    let before = peak_kib(&door);
    let mut readers: Vec<Child> = (0..8)
        .map(|_| {
            Command::new("curl")
                .args([
                    "-sk",
                    "--user",
                    &door.user(),
                    "-X",
                    "PROPFIND",
                    "-H",
                    "Depth: 1",
                ])
                .args([
                    "--limit-rate",
                    "2M",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code} %{size_download}",
                ])
                .arg(dav.url("/many"))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for reader in readers.drain(..) {
        let told = reader.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let (status, size) = told.split_once(' ').unwrap();
        assert_eq!(status, "207");
        assert!(size.parse::<u64>().unwrap() > 5_000_000, "{size}");
    }
    let grown = peak_kib(&door) - before;
    assert!(
        grown < 48 * 1024,
        "8 listings of 5 MB and more each took {grown} KiB"
    );
    assert_eq!(hrefs(&dav.find("/many", "1")).len(), count + 1);
    wait_for("the server to be well", Duration::from_secs(5), || {
        (door.ask(&[], "/healthz").status == 200).then_some(())
    });
}

/// The most memory that the server has had so far.
fn peak_kib(door: &HttpsDoor) -> i64 {
    let status = fs::read_to_string(format!("/proc/{}/status", door.server.ready.pid)).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
