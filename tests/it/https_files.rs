//! Files over HTTPS: uploading, downloading, folders, conditions, refusals.

use std::fs;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};

use crate::support::folder::TempFolder;
use crate::support::https_door::{Answer, HttpsDoor};
use crate::support::server::DEMO;
use crate::support::wait::wait_for;
use crate::support::web_line::WebLine;

const SOON: Duration = Duration::from_secs(30);

fn sum(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(bytes)))
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(bytes as u64);
    (0..bytes).map(|_| random.u8(..)).collect()
}

impl HttpsDoor {
    /// Puts a short text.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, text: &str, more: &[&str]) -> Answer {
        let words = [&["-X", "PUT", "--data-binary", text], more].concat();
        self.demo(&words, &format!("/api/v1/files{path}"))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str, more: &[&str]) -> Answer {
        self.demo(more, &format!("/api/v1/files{path}"))
    }

    /// Sends JSON.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, json: &str, more: &[&str]) -> Answer {
        let kind = "Content-Type: application/json";
        let words = [&["-X", method, "-H", kind, "--data-binary", json], more].concat();
        self.demo(&words, &format!("/api/v1{path}"))
    }
}

#[test]
fn a_file_goes_up_and_comes_back_over_both_versions_of_http() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let content = noise(3 << 20);
    let local = folder.join("local");
    fs::write(&local, &content).unwrap();
    let mut tags = Vec::new();
    for (version, status) in [("--http1.1", 201), ("--http2", 200)] {
        let words = [version, "-T", local.to_str().unwrap()];
        let put = door.demo(&words, "/api/v1/files/a%20b.HTML");
        assert_eq!(put.status, status, "{}", put.text());
        assert_eq!(put.json()["path"], "/a b.HTML");
        assert_eq!(put.json()["sha256"], sum(&content));
        assert_eq!(put.header("location"), Some("/api/v1/files/a%20b.HTML"));
        let got = door.get("/a%20b.HTML", &[version]);
        assert_eq!(got.status, 200);
        assert!(got.body == content, "{} bytes", got.body.len());
        assert_eq!(got.header("etag"), put.header("etag"));
        assert_eq!(got.header("repr-digest"), Some(digest(&content).as_str()));
        assert_eq!(got.header("accept-ranges"), Some("bytes"));
        assert_eq!(got.header("content-type"), Some("text/html"));
        assert_eq!(
            got.header("content-disposition"),
            Some("attachment; filename=\"a b.HTML\"")
        );
        let policy = got.header("content-security-policy").unwrap();
        assert!(policy.starts_with("sandbox;"), "{policy}");
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        let head = door.get("/a%20b.HTML", &[version, "--head"]);
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-length"), Some("3145728"));
        assert_eq!(head.header("etag"), put.header("etag"));
        tags.push(put.header("etag").unwrap().to_owned());
    }
    assert_ne!(tags[0], tags[1], "each version has a tag of its own");
    let downloads = |log: &str| log.matches(r#""kind":"download""#).count();
    let log = door
        .server
        .audit_with("both downloads", |log| downloads(log) >= 2);
    assert_eq!(downloads(&log), 2, "{log}");
}

#[test]
fn what_a_put_did_is_told_as_it_was_when_its_file_was_published() {
    let door = HttpsDoor::up();
    door.put("/gone", "old", &[]);
    door.put("/moved", "old", &[]);
    let mut lines: Vec<_> = ["new", "gone", "moved"]
        .map(|name| begin_put(&door, name))
        .into();
    // Meanwhile one is made by another, one deleted, and one renamed.
    assert_eq!(door.put("/new", "other", &[]).status, 201);
    assert_eq!(
        door.demo(&["-X", "DELETE"], "/api/v1/entries/gone").status,
        204
    );
    let to = r#"{"from":"/moved","to":"/elsewhere"}"#;
    let moved = door.send("POST", "/move", to, &[]);
    assert_eq!(moved.status, 200, "{}", moved.text());
    let told = [(200, "/new"), (201, "/gone"), (200, "/elsewhere")];
    for (line, (status, path)) in lines.iter_mut().zip(told) {
        line.send("late");
        let answer = line.answer("PUT");
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(answer.json()["path"], path);
        let location = format!("/api/v1/files{path}");
        assert_eq!(answer.header("location"), Some(location.as_str()));
        assert_eq!(door.get(path, &[]).text(), "late");
    }
}

/// Begins to put four bytes, and returns when the server waits for them.
fn begin_put(door: &HttpsDoor, name: &str) -> WebLine {
    let mut line = WebLine::to(door);
    announce(door, &mut line, name, 4);
    assert_eq!(line.answer("PUT").status, 100);
    line
}

/// Sends no more of a file than how long it is.
fn announce(door: &HttpsDoor, line: &mut WebLine, name: &str, length: usize) {
    let user = BASE64.encode(door.user().as_bytes());
    line.send(&format!(
        "PUT /api/v1/files/{name} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {user}\r\n\
         Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    ));
}

#[test]
fn of_two_files_that_do_not_both_fit_one_is_stored_and_the_other_never_asked_for() {
    let door = HttpsDoor::up();
    let set = ["account", "set", DEMO, "--quota", "1MiB"];
    door.server.admin(&set, "");
    let (length, mut line) = (600_000, WebLine::to(&door));
    announce(&door, &mut line, "first", length);
    assert_eq!(line.answer("PUT").status, 100);
    let folder = TempFolder::new();
    let file = folder.join("file");
    fs::write(&file, "x".repeat(length)).unwrap();
    let second = ["-T", file.to_str().unwrap()];
    for path in ["/api/v1/files/second", "/dav/second"] {
        let mut late = WebLine::to(&door);
        announce(&door, &mut late, "second", length);
        assert_eq!(late.answer("PUT").status, 507, "no body was asked for");
        let refused = door.demo(&second, path);
        assert_eq!(refused.status, 507, "{}", refused.text());
    }
    line.send(&"x".repeat(length));
    assert_eq!(line.answer("PUT").status, 201);
    // What replaces it takes no more room than it, and what broke off none.
    let again = door.demo(&second, "/api/v1/files/first");
    assert_eq!(again.status, 200, "{}", again.text());
    let mut lost = WebLine::to(&door);
    announce(&door, &mut lost, "lost", 400_000);
    assert_eq!(lost.answer("PUT").status, 100);
    drop(lost);
    fs::write(&file, "x".repeat(400_000)).unwrap();
    wait_for("what was announced to be given back", SOON, || {
        let put = door.demo(&second, "/api/v1/files/third");
        (put.status == 201).then_some(())
    });
}

#[test]
fn an_empty_file_and_odd_names_are_files_like_others() {
    let door = HttpsDoor::up();
    for path in [
        "/empty",
        "/%C3%A4%25%3F%23%22",
        "/a%2Bb",
        "/%2e%2e%2e",
        "/x%0Ay",
    ] {
        assert_eq!(door.put(path, "", &[]).status, 201, "{path}");
        let got = door.get(path, &[]);
        assert_eq!((got.status, got.body.len()), (200, 0), "{path}");
        assert_eq!(got.header("content-length"), Some("0"));
    }
    let listed = door.demo(&[], "/api/v1/folders").json();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().collect();
    assert!(
        names.iter().any(|item| item["name"] == "\u{e4}%?#\""),
        "{listed}"
    );
}

#[test]
fn parts_of_a_file_are_sent_as_they_are_asked_for() {
    let door = HttpsDoor::up();
    let put = door.put("/f.txt", "0123456789", &[]);
    let tag = put.header("etag").unwrap().to_owned();
    for (range, status, content, said) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=8-100", 206, "89", Some("bytes 8-9/10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
        ("lines=1", 200, "0123456789", None),
    ] {
        let got = door.get("/f.txt", &["-H", &format!("Range: {range}")]);
        assert_eq!(
            (got.status, got.text().as_str()),
            (status, content),
            "{range}"
        );
        assert_eq!(got.header("content-range"), said, "{range}");
    }
    let none = door.get("/f.txt", &["-H", "Range: bytes=10-"]);
    assert_eq!(
        (none.status, none.problem().as_str()),
        (416, "no-such-range")
    );
    assert_eq!(none.header("content-range"), Some("bytes */10"));
    let ours = format!("If-Range: {tag}");
    let got = door.get("/f.txt", &["-H", "Range: bytes=0-0", "-H", &ours]);
    assert_eq!(got.status, 206);
    door.put("/f.txt", "abcdefghij", &[]);
    let got = door.get("/f.txt", &["-H", "Range: bytes=0-0", "-H", &ours]);
    assert_eq!((got.status, got.text().as_str()), (200, "abcdefghij"));
}

#[test]
fn who_knows_a_version_is_told_so_and_who_knows_another_is_refused() {
    let door = HttpsDoor::up();
    let old = door
        .put("/f", "old", &[])
        .header("etag")
        .unwrap()
        .to_owned();
    let new = door
        .put("/f", "new", &[])
        .header("etag")
        .unwrap()
        .to_owned();
    let known = door.get("/f", &["-H", &format!("If-None-Match: \"x\", W/{new}")]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(known.header("etag"), Some(new.as_str()));
    let got = door.get("/f", &["-H", &format!("If-None-Match: {old}")]);
    assert_eq!(got.text(), "new");
    let changed = door.get("/f", &["-H", &format!("If-Match: {old}")]);
    assert_eq!(
        (changed.status, changed.problem().as_str()),
        (412, "changed")
    );
    let date = got.header("last-modified").unwrap();
    let same = door.get("/f", &["-H", &format!("If-Modified-Since: {date}")]);
    assert_eq!(same.status, 304);
    let early = "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(door.get("/f", &["-H", early]).status, 412);
    let bad = door.get("/f", &["-H", "If-None-Match: abc"]);
    assert_eq!(bad.status, 400);
}

#[test]
fn uploads_replace_only_what_they_are_told_to() {
    let door = HttpsDoor::up();
    let old = door
        .put("/f", "old", &[])
        .header("etag")
        .unwrap()
        .to_owned();
    let taken = door.put("/f", "x", &["-H", "If-None-Match: *"]);
    assert_eq!((taken.status, taken.problem().as_str()), (412, "changed"));
    assert_eq!(door.put("/g", "x", &["-H", "If-None-Match: *"]).status, 201);
    let other_than = format!("If-None-Match: \"x\", {old}");
    let known = door.put("/f", "x", &["-H", &other_than]);
    assert_eq!((known.status, known.problem().as_str()), (412, "changed"));
    assert_eq!(door.put("/h", "x", &["-H", &other_than]).status, 201);
    assert_eq!(door.put("/h", "y", &["-H", &other_than]).status, 200);
    let known = format!("If-Match: {old}");
    assert_eq!(door.put("/f", "new", &["-H", &known]).status, 200);
    let changed = door.put("/f", "x", &["-H", &known]);
    assert_eq!(
        (changed.status, changed.problem().as_str()),
        (412, "changed")
    );
    assert_eq!(
        door.put("/nothing", "x", &["-H", "If-Match: *"]).status,
        412
    );
    assert_eq!(door.get("/f", &[]).text(), "new");
    assert_eq!(door.get("/nothing", &[]).status, 404);
}

#[test]
fn an_upload_with_another_checksum_than_it_says_changes_nothing() {
    let door = HttpsDoor::up();
    door.put("/f", "old", &[]);
    let right = format!("Repr-Digest: {}", digest(b"new"));
    let hex = format!("X-Checksum-Sha256: {}", sum(b"new"));
    for header in [&right, &right.replace("Repr", "Content"), &hex] {
        let wrong = door.put("/f", "other", &["-H", header]);
        assert_eq!(
            (wrong.status, wrong.problem().as_str()),
            (422, "checksum"),
            "{header}"
        );
        assert_eq!(door.get("/f", &[]).text(), "old");
        let wrong = door.put("/none", "other", &["-H", header]);
        assert_eq!(wrong.status, 422);
        assert_eq!(door.get("/none", &[]).status, 404);
    }
    assert_eq!(
        door.put("/f", "x", &["-H", "Repr-Digest: sha-256=abc"])
            .status,
        400
    );
    assert_eq!(
        door.put("/f", "new", &["-H", &right, "-H", &hex]).status,
        200
    );
}

#[test]
fn folders_on_the_way_are_made_if_that_is_asked_for() {
    let door = HttpsDoor::up();
    let missing = door.put("/a/b/c", "x", &[]);
    assert_eq!(
        (missing.status, missing.problem().as_str()),
        (404, "not-found")
    );
    assert_eq!(door.put("/a/b/c?parents=true", "x", &[]).status, 201);
    let through = door.put("/a/b/c/d?parents=true", "x", &[]);
    assert_eq!(
        (through.status, through.problem().as_str()),
        (409, "not-folder")
    );
    let over = door.put("/a/b", "x", &[]);
    assert_eq!((over.status, over.problem().as_str()), (409, "is-folder"));
    let time = "X-Modified: 2001-02-03T04:05:06Z";
    let put = door.put("/a/old", "x", &["-H", time]);
    assert_eq!(put.json()["modified"], "2001-02-03T04:05:06.000000Z");
    let got = door.get("/a/old", &[]);
    assert_eq!(
        got.header("last-modified"),
        Some("Sat, 03 Feb 2001 04:05:06 GMT")
    );
    let made = door.demo(&["-X", "POST"], "/api/v1/folders/new");
    assert_eq!((made.status, &made.json()["kind"]), (201, &"folder".into()));
    let again = door.demo(&["-X", "POST"], "/api/v1/folders/new");
    assert_eq!(
        (again.status, again.problem().as_str()),
        (409, "already-exists")
    );
    let deep = door.demo(&["-X", "POST"], "/api/v1/folders/new/x/y?parents=true");
    assert_eq!(deep.status, 201);
}

#[test]
fn a_folder_is_listed_in_parts_that_make_up_the_whole() {
    let door = HttpsDoor::up();
    for name in ["e", "c", "a", "d", "b"] {
        door.put(&format!("/dir/{name}?parents=true"), name, &[]);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let part = door
            .demo(&[], &format!("/api/v1/folders/dir?limit=2{cursor}"))
            .json();
        let items = part["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        for item in items {
            names.push(item["name"].as_str().unwrap().to_owned());
            assert_eq!(item["sha256"], sum(names.last().unwrap().as_bytes()));
            assert!(
                item["rights"]
                    .as_array()
                    .unwrap()
                    .contains(&"delete".into())
            );
        }
        match part["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let looked = door.demo(&[], "/api/v1/entries/dir/a").json();
    let got = door.get("/dir/a", &[]);
    assert_eq!(looked["etag"], got.header("etag").unwrap());
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=%25%25",
        "cursor=AA",
        "limti=1",
        "limit=1&parents=true",
    ] {
        let refused = door.demo(&[], &format!("/api/v1/folders/dir?{query}"));
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "invalid"),
            "{query}"
        );
    }
    let misspelt = door.demo(&["-T", "/dev/null"], "/api/v1/files/none/a?parent=true");
    let detail = misspelt.json()["detail"].to_string();
    assert!(
        detail.contains("'parent'") && detail.contains("parents, modified"),
        "{detail}"
    );
    let file = door.demo(&[], "/api/v1/folders/dir/a");
    assert_eq!((file.status, file.problem().as_str()), (409, "not-folder"));
}

#[test]
fn entries_are_moved_copied_changed_and_deleted_on_condition() {
    let door = HttpsDoor::up();
    let old = door
        .put("/a", "one", &[])
        .header("etag")
        .unwrap()
        .to_owned();
    let way = r#"{"from":"/a","to":"/b"}"#;
    let copied = door.send("POST", "/copy", way, &[]);
    assert_eq!(copied.status, 201, "{}", copied.text());
    assert_eq!(copied.header("location"), Some("/api/v1/files/b"));
    let taken = door.send("POST", "/move", way, &[]);
    assert_eq!(
        (taken.status, taken.problem().as_str()),
        (409, "already-exists")
    );
    let known = format!("If-Match: {old}");
    door.put("/a", "two", &[]);
    let over = r#"{"from":"/a","to":"/b","overwrite":true}"#;
    for verb in ["/move", "/copy"] {
        let changed = door.send("POST", verb, over, &["-H", &known]);
        assert_eq!(
            (changed.status, changed.problem().as_str()),
            (412, "changed")
        );
    }
    let mode = r#"{"mode":"0600","modified":"2001-02-03T04:05:06Z"}"#;
    assert_eq!(
        door.send("PATCH", "/entries/a", mode, &["-H", &known])
            .status,
        412
    );
    let set = door.send("PATCH", "/entries/a", mode, &[]);
    assert_eq!((set.status, &set.json()["mode"]), (200, &"0600".into()));
    let gone = door.demo(&["-X", "DELETE", "-H", &known], "/api/v1/entries/a");
    assert_eq!(gone.status, 412);
    assert_eq!(door.send("POST", "/move", over, &[]).status, 200);
    assert_eq!(door.get("/b", &[]).text(), "two");
    assert_eq!(door.get("/a", &[]).status, 404);
    door.put("/dir/x?parents=true", "x", &[]);
    let full = door.demo(&["-X", "DELETE"], "/api/v1/entries/dir");
    assert_eq!((full.status, full.problem().as_str()), (409, "not-empty"));
    let tree = door.demo(&["-X", "DELETE"], "/api/v1/entries/dir?recursive=true");
    assert_eq!((tree.status, tree.body.len()), (204, 0));
    let tag = door
        .demo(&[], "/api/v1/entries/b")
        .header("etag")
        .unwrap()
        .to_owned();
    let known = format!("If-Match: {tag}");
    let gone = door.demo(&["-X", "DELETE", "-H", &known], "/api/v1/entries/b");
    assert_eq!(gone.status, 204);
}

#[test]
fn names_are_found_below_a_folder_in_parts() {
    let door = HttpsDoor::up();
    for path in [
        "/x/Report-1.pdf",
        "/x/y/report-2.PDF",
        "/z/report-3.txt",
        "/x/other",
    ] {
        door.put(&format!("{path}?parents=true"), "x", &[]);
    }
    let find = |query: &str| -> Vec<String> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let part = door.demo(&[], &format!("/api/v1/search?{query}{cursor}"));
            assert_eq!(part.status, 200, "{}", part.text());
            let part = part.json();
            let items = part["items"].as_array().unwrap().iter();
            found.extend(items.map(|item| item["path"].as_str().unwrap().to_owned()));
            match part["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    let all = ["/x/Report-1.pdf", "/x/y/report-2.PDF", "/z/report-3.txt"];
    assert_eq!(find("name=REPORT"), all);
    assert_eq!(find("name=report&limit=1"), all);
    assert_eq!(find("name=*.pdf&under=/x"), all[..2]);
    assert_eq!(find("name=report-?.txt"), all[2..]);
    assert_eq!(find("name=y"), ["/x/y"]);
    assert_eq!(door.demo(&[], "/api/v1/search?name=").status, 400);
    assert_eq!(
        door.demo(&[], "/api/v1/search?name=a&under=/none").status,
        404
    );
}

#[test]
fn paths_lead_nowhere_else_however_they_are_written() {
    let door = HttpsDoor::up();
    door.put("/dir/f?parents=true", "x", &[]);
    for path in [
        "/dir/../f",
        "/%2e%2e/f",
        "/..%2ff",
        "/dir/.",
        "/dir/%2e",
        "/a%00b",
        "/%ff%fe",
        "/%c3%28",
        "/..",
        "/dir%2f..%2f..%2fetc",
        "/a%2f%2e%2e",
    ] {
        for method in ["GET", "PUT"] {
            let words = ["--path-as-is", "-X", method];
            let refused = door.demo(&words, &format!("/api/v1/files{path}"));
            assert_eq!(
                (refused.status, refused.problem().as_str()),
                (400, "invalid"),
                "{path}"
            );
        }
        let words = ["--path-as-is", "-X", "DELETE"];
        let refused = door.demo(&words, &format!("/api/v1/entries{path}?recursive=true"));
        assert_eq!(refused.status, 400, "{path}");
    }
    for harmless in ["/dir%2ff", "//dir//f", "/dir/f/", "/%64ir/f"] {
        let got = door.demo(&["--path-as-is"], &format!("/api/v1/files{harmless}"));
        assert_eq!((got.status, got.text().as_str()), (200, "x"), "{harmless}");
    }
    let long = "n".repeat(256);
    assert_eq!(door.get(&format!("/{long}"), &[]).status, 400);
    for way in [
        r#"{"from":"/dir/../f","to":"/g"}"#,
        r#"{"from":"dir","to":"/g"}"#,
        r#"{"from":"/a\u0000","to":"/g"}"#,
        r#"{"from":"/dir/f"}"#,
        "{",
        "[]",
    ] {
        let refused = door.send("POST", "/move", way, &[]);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "invalid"),
            "{way}"
        );
    }
    assert_eq!(door.get("/dir/f", &[]).text(), "x");
}

#[test]
fn bodies_that_do_not_fit_are_problems() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let local = folder.join("large");
    fs::write(&local, format!(r#"{{"from":"{}"}}"#, "x".repeat(70_000))).unwrap();
    let from = format!("@{}", local.display());
    let large = door.send("POST", "/move", &from, &[]);
    assert_eq!((large.status, large.problem().as_str()), (413, "too-large"));
    let text = door.demo(
        &["-X", "POST", "-H", "Content-Type: text/plain", "-d", "{}"],
        "/api/v1/move",
    );
    assert_eq!((text.status, text.problem().as_str()), (415, "not-json"));
    for (method, path) in [
        ("POST", "/files/x"),
        ("PUT", "/folders/x"),
        ("GET", "/move"),
        ("PATCH", "/search"),
    ] {
        let refused = door.demo(&["-X", method], &format!("/api/v1{path}"));
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (405, "method-not-allowed"),
            "{path}"
        );
    }
}

#[test]
fn a_folder_is_copied_with_all_that_is_in_it() {
    let door = HttpsDoor::up();
    for (path, text) in [("/dir/a", "one"), ("/dir/sub/b", "two"), ("/dir/sub/c", "")] {
        let put = door.put(&format!("{path}?parents=true"), text, &[]);
        assert_eq!(put.status, 201);
    }
    let none = door.demo(&["-X", "POST"], "/api/v1/folders/dir/none");
    assert_eq!(none.status, 201);
    let copy = |from: &str, to: &str, more: &[&str]| {
        let way = serde_json::json!({ "from": from, "to": to, "overwrite": true }).to_string();
        door.send("POST", "/copy", &way, more)
    };
    let copied = copy("/dir", "/dir2", &[]);
    assert_eq!(copied.status, 201, "{}", copied.text());
    assert_eq!(copied.json()["kind"], "folder");
    for (path, text) in [
        ("/dir2/a", "one"),
        ("/dir2/sub/b", "two"),
        ("/dir2/sub/c", ""),
    ] {
        assert_eq!(door.get(path, &[]).text(), text, "{path}");
    }
    assert_eq!(
        door.demo(&[], "/api/v1/entries/dir2/none").json()["kind"],
        "folder"
    );
    // What is there is nobody's to be mixed with.
    let taken = copy("/dir", "/dir2", &[]);
    assert_eq!(
        (taken.status, taken.problem().as_str()),
        (409, "already-exists")
    );
    for (from, to) in [("/dir", "/dir/x"), ("/dir", "/dir"), ("/dir/sub", "/dir")] {
        let refused = copy(from, to, &[]);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "invalid")
        );
    }
    let other = copy("/dir", "/dir3", &["-H", "If-Match: \"x\""]);
    assert_eq!((other.status, other.problem().as_str()), (412, "changed"));
    assert_eq!(door.demo(&[], "/api/v1/entries/dir3").status, 404);
    // Room for a part of it: the folder, the one in it, and some of the files.
    let few = ["tenant", "set", "demo", "--quota-files", "14"];
    door.server.admin(&few, "");
    let full = copy("/dir", "/dir4", &[]);
    assert_eq!((full.status, full.problem().as_str()), (507, "quota"));
    assert!(
        full.text().contains("could not be copied"),
        "{}",
        full.text()
    );
    assert_eq!(door.demo(&[], "/api/v1/entries/dir4").status, 200);
}
