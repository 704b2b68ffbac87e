//! Links by which files are sent into a folder that is not seen.

use std::fs;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use sealift::domain::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::admin_door::AdminDoor;
use crate::support::client::{cached, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::https_door::{Answer, HttpsDoor};
use crate::support::links::Link;
use crate::support::tus::{PIECE, SPEAK, Tus, location, noise, sha256, tree};
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(20);

fn stocked() -> HttpsDoor {
    let door = HttpsDoor::up();
    let put = door.put("/inbox/report.txt?parents=true", "the first", &[]);
    assert_eq!(put.status, 201, "{}", put.text());
    door
}

fn inbox<'a>(door: &'a HttpsDoor, more: Value) -> Link<'a> {
    let mut wanted = json!({ "path": "/inbox", "kind": "upload", "name": "for the tax office" });
    let (all, more) = (wanted.as_object_mut().unwrap(), more);
    all.extend(more.as_object().unwrap().clone());
    door.link(&wanted)
}

fn named(name: &str) -> String {
    format!(
        "Upload-Metadata: filename {}",
        BASE64.encode(name.as_bytes())
    )
}

/// Begins an upload by tus.
#[track_caller]
fn begin(link: &Link<'_>, name: &str, length: usize) -> Answer {
    let (length, metadata) = (format!("Upload-Length: {length}"), named(name));
    let words = ["-X", "POST", "-H", SPEAK, "-H", &length, "-H", &metadata];
    link.ask(&words, "/uploads")
}

#[test]
fn files_are_sent_by_a_link_and_nothing_is_replaced() {
    let door = stocked();
    let link = inbox(&door, json!({}));
    let info = link.get("").json();
    assert_eq!(
        (&info["kind"], &info["name"]),
        (&json!("upload"), &json!("for the tax office"))
    );
    let mut names = Vec::new();
    for text in ["second", "third"] {
        let sent = link.put("report.txt?sender=Ann%20Example", text, &[]);
        assert_eq!(sent.status, 201, "{}", sent.text());
        assert_eq!(sent.json()["size"], text.len());
        names.push(sent.json()["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(names, ["report (2).txt", "report (3).txt"]);
    let empty = link.put("empty", "", &[]);
    assert_eq!((empty.status, &empty.json()["size"]), (201, &json!(0)));
    assert_eq!(empty.header("x-sealift-name"), Some("empty"));
    let chunked = link.put(
        "chunked",
        "unknown length",
        &["-H", "Transfer-Encoding: chunked", "--http1.1"],
    );
    assert_eq!(chunked.json()["size"], 14, "{}", chunked.text());
    assert_eq!(door.get("/inbox/report.txt", &[]).text(), "the first");
    assert_eq!(door.get("/inbox/report%20(3).txt", &[]).text(), "third");
    assert_eq!(door.get("/inbox/chunked", &[]).text(), "unknown length");
    let shown = link.shown();
    assert_eq!(
        (&shown["files"], &shown["bytes"]),
        (&json!(4), &json!(25)),
        "{shown}"
    );
    let log = wait_for("the log", SOON, || {
        let log = door.server.admin(&["audit", "list", "demo", "--json"], "");
        Some(log).filter(|log| log.contains("from 'Ann Example'"))
    });
    let line = log
        .lines()
        .find(|line| line.contains("report (2).txt"))
        .unwrap();
    assert!(
        line.contains("127.0.0.1") && line.contains("link 'for the tax office'"),
        "{line}"
    );
}

#[test]
fn nothing_is_seen_by_a_link_that_takes_files() {
    let door = stocked();
    let link = inbox(&door, json!({}));
    for rest in [
        "/folders",
        "/file",
        "/files/report.txt",
        "/archive",
        "/folders/x",
    ] {
        let refused = link.get(rest);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (403, "upload-only"),
            "{rest}"
        );
        assert_eq!(
            link.ask(&["--head"], rest.trim_end_matches("/x")).status,
            403
        );
    }
    assert_eq!(link.ask(&["-X", "DELETE"], "/files/report.txt").status, 405);
    // What comes out does not tell whether a name was taken but by the name that the file gets.
    let begun = begin(&link, "report.txt", 1);
    assert_eq!(begun.status, 201, "{}", begun.text());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let door = stocked();
    let link = inbox(&door, json!({}));
    for name in [
        "..%2fout",
        "a%2fb",
        "..",
        ".",
        "%2e%2e",
        "a/b",
        "..%5cout",
        "a%5Cb",
        "a%00b",
        "a%0ab",
        "%ff",
        &"x".repeat(256),
    ] {
        let refused = link.put(name, "x", &["--path-as-is"]);
        assert!(
            matches!(refused.status, 400 | 404 | 405),
            "{name}: {}",
            refused.status
        );
    }
    for name in ["../out", "a/b", "/out", "..", "", "a\\b", "a\0b"] {
        let refused = begin(&link, name, 1);
        assert_eq!(refused.status, 400, "{name:?}: {}", refused.text());
    }
    for (key, value) in [("path", "/out"), ("folder", "/"), ("path", "../out")] {
        let metadata = format!("{},{key} {}", named("a"), BASE64.encode(value.as_bytes()));
        let words = [
            "-X",
            "POST",
            "-H",
            SPEAK,
            "-H",
            "Upload-Length: 1",
            "-H",
            &metadata,
        ];
        let refused = link.ask(&words, "/uploads");
        assert_eq!(refused.status, 400, "{key}: {}", refused.text());
    }
    let files: Vec<_> = tree(&door.server)
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(files, ["/inbox/report.txt"]);
}

#[test]
fn a_link_takes_as_much_as_it_is_held_to() {
    let door = stocked();
    let link = inbox(
        &door,
        json!({ "max_files": 2, "max_size": 10, "patterns": ["*.txt", "x*"] }),
    );
    assert_eq!(link.put("a.pdf", "x", &[]).status, 400);
    assert_eq!(begin(&link, "a.pdf", 1).status, 400);
    assert_eq!(link.put("a.txt", "0123456789a", &[]).status, 413);
    assert_eq!(begin(&link, "a.txt", 11).status, 413);
    let chunked = ["-H", "Transfer-Encoding: chunked", "--http1.1"];
    assert_eq!(link.put("a.txt", "x", &chunked).status, 411);
    assert_eq!(link.put("a.txt", "0123456789", &[]).status, 201);
    // What is on its way counts, too.
    let at = location(&begin(&link, "x", 3));
    assert_eq!(link.put("b.txt", "x", &[]).status, 507);
    let words = ["-X", "DELETE", "-H", SPEAK];
    assert_eq!(door.ask(&words, &at).status, 204);
    assert_eq!(link.put("b.txt", "x", &[]).status, 201);
    for refused in [
        link.put("c.txt", "x", &[]),
        begin(&link, "c.txt", 1),
        link.get(""),
        link.get("/folders"),
    ] {
        assert_eq!(refused.problem(), "link-over");
    }
    let link = inbox(&door, json!({ "max_bytes": 10 }));
    assert_eq!(link.put("a", "0123456", &[]).status, 201);
    let full = link.put("b", "0123", &[]);
    assert_eq!(
        (full.status, full.problem().as_str()),
        (507, "quota"),
        "{}",
        full.text()
    );
    assert_eq!(link.put("b", "012", &[]).status, 201);
    assert_eq!(link.put("c", "0", &[]).status, 507);
    // An empty file takes no bytes.
    assert_eq!(link.put("d", "", &[]).status, 201);
}

#[test]
fn a_body_that_breaks_off_or_is_another_leaves_nothing() {
    let door = stocked();
    let link = inbox(&door, json!({ "max_files": 1 }));
    let other = [
        "-H",
        "X-Checksum-Sha256: 0000000000000000000000000000000000000000000000000000000000000000",
    ];
    assert_eq!(link.put("a", "x", &other).status, 422);
    let sum = format!("X-Checksum-Sha256: {}", sha256(b"x"));
    assert_eq!(link.put("a", "x", &["-H", &sum]).status, 201);
    let files = tree(&door.server);
    assert_eq!(files.as_object().unwrap().len(), 2, "{files}");
}

/// Begins to send a file by a link, as somebody who says nothing more after `bytes`.
fn sending(link: &Link<'_>, name: &str, words: &[&str], bytes: &[u8]) -> (Child, ChildStdin) {
    let url = link.door.url(&format!("{}/files/{name}", link.url));
    let mut client = Command::new("curl")
        .args(["--silent", "--insecure", "--no-buffer", "-T", "-", &url])
        .args(["--write-out", "%{http_code}"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = client.stdin.take().unwrap();
    pipe.write_all(bytes).unwrap();
    (client, pipe)
}

#[test]
fn what_a_client_sent_that_has_vanished_is_in_nobodys_way() {
    for version in ["--http1.1", "--http2"] {
        let admin = AdminDoor::up();
        let put = admin.door.put("/inbox/report.txt?parents=true", "x", &[]);
        assert_eq!(put.status, 201, "{}", put.text());
        let link = inbox(&admin.door, json!({ "max_files": 1 }));
        let (mut client, _pipe) = sending(&link, "a", &[version], &noise(13, 700_000));
        let reserved = || {
            let tenant = admin.root(&[], "/tenants/demo");
            tenant.json()["reserved_bytes"].as_i64().unwrap()
        };
        wait_for("the upload to be on its way", SOON, || {
            (reserved() > 0).then_some(())
        });
        assert_eq!(link.put("b", "x", &[]).status, 507);
        client.kill().unwrap();
        client.wait().unwrap();
        wait_for("the upload to be forgotten", SOON, || {
            (reserved() == 0).then_some(())
        });
        let sent = link.put("b", "x", &[]);
        assert_eq!(sent.status, 201, "{version}: {}", sent.text());
        let files = tree(admin.server());
        assert_eq!(files.as_object().unwrap().len(), 2, "{files}");
    }
}

#[test]
fn a_file_that_lands_when_its_link_has_ended_is_told_so() {
    let admin = AdminDoor::up();
    let put = admin.door.put("/inbox/report.txt?parents=true", "x", &[]);
    assert_eq!(put.status, 201, "{}", put.text());
    let link = inbox(&admin.door, json!({}));
    let (client, pipe) = sending(&link, "late", &[], &noise(14, 700_000));
    wait_for("the upload to be on its way", SOON, || {
        let tenant = admin.root(&[], "/tenants/demo").json();
        (tenant["reserved_bytes"] != 0).then_some(())
    });
    // It ends by itself, of which no session is told.
    let end = SystemClock.now().plus(Duration::from_secs(1)).to_string();
    let altered = link.alter(&json!({ "expires_at": end }));
    assert_eq!(altered.status, 200, "{}", altered.text());
    wait_for("the link to end", SOON, || {
        (link.get("").status == 410).then_some(())
    });
    drop(pipe);
    let ended = client.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        told.ends_with("410") && told.contains("link-over"),
        "{told}"
    );
    assert_eq!(admin.door.get("/inbox/late", &[]).status, 404);
}

#[test]
fn a_file_that_lands_where_its_folder_was_deleted_is_told_what_is_told_to_who_asks_anew() {
    let admin = AdminDoor::up();
    let put = admin.door.put("/inbox/report.txt?parents=true", "x", &[]);
    assert_eq!(put.status, 201, "{}", put.text());
    let link = inbox(&admin.door, json!({}));
    let (client, pipe) = sending(&link, "late", &[], &noise(15, 700_000));
    wait_for("the upload to be on its way", SOON, || {
        let tenant = admin.root(&[], "/tenants/demo").json();
        (tenant["reserved_bytes"] != 0).then_some(())
    });
    let all = "/api/v1/entries/inbox?recursive=true";
    assert_eq!(admin.door.demo(&["-X", "DELETE"], all).status, 204);
    drop(pipe);
    let ended = client.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        told.ends_with("410") && told.contains("link-over"),
        "{told}"
    );
    assert_eq!(link.put("anew", "x", &[]).problem(), "link-over");
}

#[test]
fn the_quota_of_the_tenant_counts() {
    let door = stocked();
    door.server
        .admin(&["tenant", "set", "demo", "--quota", "100B"], "");
    let link = inbox(&door, json!({}));
    let full = link.put("a", &"x".repeat(200), &[]);
    assert_eq!(
        (full.status, full.problem().as_str()),
        (507, "quota"),
        "{}",
        full.text()
    );
    assert!(!full.text().contains("demo"), "{}", full.text());
    assert_eq!(begin(&link, "a", 200).status, 507);
    assert_eq!(link.put("a", &"x".repeat(50), &[]).status, 201);
}

#[test]
fn an_upload_by_tus_goes_on_after_a_cut_and_only_by_its_link() {
    let door = stocked();
    let (link, other) = (inbox(&door, json!({})), inbox(&door, json!({})));
    let bytes = noise(11, 900_001);
    let at = location(&begin(&link, "report.txt", bytes.len()));
    assert!(at.starts_with(&format!("{}/uploads/", link.url)), "{at}");
    let nobody = Tus::at(&door.address().to_string(), "x:y");
    assert_eq!(nobody.patch(&at, 0, &bytes[..300_000], &[]).status, 204);
    let mut cut = nobody.hold(&at, 300_000, &bytes[300_000..700_000]);
    cut.client.kill().unwrap();
    cut.client.wait().unwrap();
    let offset = wait_for("the rest to be durable", SOON, || {
        let offset = nobody.offset(&at);
        let probe = nobody.patch(&at, offset, &[], &[]);
        (probe.status == 204).then(|| nobody.offset(&at))
    });
    assert!(offset >= 300_000);
    // By another link, and by the account itself, it is not there.
    let id = at.rsplit('/').next().unwrap();
    assert_eq!(
        other
            .ask(&["--head", "-H", SPEAK], &format!("/uploads/{id}"))
            .status,
        404
    );
    let own = Tus::of(&door.server);
    assert_eq!(own.head(&format!("/api/v1/uploads/{id}")).status, 404);
    let mine = own.begin("mine", 3);
    let mine = mine.rsplit('/').next().unwrap();
    assert_eq!(
        link.ask(&["--head", "-H", SPEAK], &format!("/uploads/{mine}"))
            .status,
        404
    );
    let last = nobody.patch(&at, offset, &bytes[offset..], &[]);
    assert_eq!(last.status, 204, "{}", last.text());
    assert_eq!(last.header("x-sealift-name"), Some("report%20%282%29.txt"));
    assert_eq!(
        nobody.head(&at).header("x-sealift-name"),
        Some("report%20%282%29.txt")
    );
    let files = tree(&door.server);
    assert_eq!(files["/inbox/report (2).txt"], sha256(&bytes));
    assert_eq!(files["/inbox/report.txt"], sha256(b"the first"));
}

#[test]
fn tus_js_client_sends_by_a_link_whole_and_in_parallel() {
    let door = stocked();
    let link = inbox(&door, json!({ "max_files": 3, "password": "open sesame" }));
    let folder = TempFolder::new();
    let (file, bytes) = (folder.join("file"), noise(12, 3_000_000));
    fs::write(&file, &bytes).unwrap();
    let url = door.url(&format!("{}/uploads", link.url));
    for (words, name) in [
        (["sent", "1000000", "1", "0"], "sent"),
        (["sent", "700000", "3", "0"], "sent (2)"),
        (["broken", "500000", "1", "1200000"], "broken"),
    ] {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tus/upload.js");
        let mut command = Command::new("node");
        command
            .arg(script)
            .arg(cached("node/node_modules"))
            .args([&url, "x:open sesame"])
            .arg(&file)
            .args(words);
        let printed = succeed(&run(command, ""));
        assert!(printed.ends_with("done\n"), "{printed}");
        let files = tree(&door.server);
        assert_eq!(files[&format!("/inbox/{name}")], sha256(&bytes), "{files}");
    }
    assert_eq!(link.shown()["files"], 3);
    assert_eq!(link.ask(&["--user", ":open sesame"], "").status, 410);
}

#[test]
fn what_is_on_its_way_does_not_arrive_once_the_link_has_ended() {
    let door = stocked();
    let link = inbox(&door, json!({}));
    let nobody = Tus::at(&door.address().to_string(), "x:y");
    let at = location(&begin(&link, "late", 10));
    assert_eq!(nobody.patch(&at, 0, b"01234", &[]).status, 204);
    let revoke = format!("/api/v1/shares/{}", link.id);
    assert_eq!(door.demo(&["-X", "DELETE"], &revoke).status, 204);
    let late = nobody.patch(&at, 5, b"56789", &[]);
    assert_eq!((late.status, late.problem().as_str()), (410, "link-over"));
    // Nor by a maker who may not write there any more.
    let link = inbox(&door, json!({}));
    let at = location(&begin(&link, "later", 10));
    let deleted = door.demo(&["-X", "DELETE"], "/api/v1/entries/inbox?recursive=true");
    assert_eq!(deleted.status, 204);
    let late = nobody.patch(&at, 0, b"0123456789", &["-H", PIECE]);
    assert_eq!(late.status, 410, "{}", late.text());
    assert_eq!(link.put("x", "y", &[]).status, 410);
}
