//! WebDAV as its clients see it: methods, conditions, and what is refused.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::client::{run, succeed};
use crate::support::dav::{Dav, hrefs};
use crate::support::folder::TempFolder;
use crate::support::https_door::{HttpsDoor, ask};
use crate::support::server::DEMO;
use crate::support::wait::wait_for;
use crate::support::web_client::{Browser, post};

fn demo(door: &HttpsDoor) -> Dav {
    Dav::of(door.address(), &door.user())
}

#[test]
fn litmus_finds_nothing_to_complain_of() {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let mut litmus = Command::new("litmus");
    litmus
        .args(["-k", &door.url("/dav/"), DEMO, &door.server.password()])
        .current_dir(folder.path());
    let said = succeed(&run(litmus, ""));
    for suite in ["basic", "copymove", "props", "locks", "http"] {
        assert!(
            said.contains(&format!("<- summary for `{suite}'")),
            "{said}"
        );
    }
    assert_eq!(said.matches("100.0%").count(), 5, "{said}");
    assert!(!said.contains("FAIL"), "{said}");
    // A fragment never comes as far as us: HTTP's library takes it off, as it is no part of an address
    // that a server is asked for (RFC 9110 section 4.2.5).
    assert_eq!(said.matches("WARNING").count(), 1, "{said}");
    assert!(said.contains("including fragment"), "{said}");
}

#[test]
fn strangers_are_asked_who_they_are_and_told_what_there_is() {
    let door = HttpsDoor::up();
    for path in ["/", "/dav", "/dav/x"] {
        let options = door.ask(&["-X", "OPTIONS"], path);
        assert_eq!(options.status, 200);
        assert_eq!(options.header("dav"), Some("1, 2"), "{path}");
        assert_eq!(options.header("ms-author-via"), Some("DAV"));
        let stranger = door.ask(&["-X", "PROPFIND"], path);
        assert_eq!(stranger.status, 401);
        assert_eq!(
            stranger.header("www-authenticate"),
            Some("Basic realm=\"Sealift\", charset=\"UTF-8\"")
        );
    }
    let wrong = Dav::of(door.address(), "demo@demo:wrong");
    assert_eq!(wrong.find("/", "0").status, 401);
    let front = door.demo(&["-X", "PROPFIND", "-H", "Depth: 1"], "/");
    assert_eq!(hrefs(&front), ["/", "/dav/"]);
    let api = door.ask(&[], "/api/v1/me");
    let basic = api.header("www-authenticate").unwrap();
    assert!(basic.starts_with("Basic "), "{basic}");
    // Which would have browsers ask in a box of their own.
    let page = door.ask(&["-H", "Sec-Fetch-Mode: cors"], "/api/v1/me");
    assert_eq!(
        page.header("www-authenticate"),
        Some("Bearer realm=\"Sealift\"")
    );
    let unknown = demo(&door).ask("REPORT", "/", &[]);
    assert_eq!(unknown.status, 405);
    assert!(unknown.header("allow").unwrap().contains("PROPFIND"));
}

#[test]
fn a_token_stands_in_place_of_a_password() {
    let door = HttpsDoor::up();
    let make = |scopes: &[&str]| {
        let wanted = json!({ "name": "drive", "scopes": scopes }).to_string();
        let made = post(&door, &["--user", &door.user()], "/api/v1/tokens", &wanted);
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let (reader, writer) = (make(&["files:read"]), make(&["files:read", "files:write"]));
    let as_writer = Dav::of(door.address(), &format!("{DEMO}:{writer}"));
    assert_eq!(as_writer.put("/f", "text", &[]).status, 201);
    let as_reader = Dav::of(door.address(), &format!("{DEMO}:{reader}"));
    assert_eq!(as_reader.get("/f").text(), "text");
    assert_eq!(as_reader.put("/f", "more", &[]).status, 403);
    let other = Dav::of(door.address(), &format!("root@demo:{writer}"));
    assert_eq!(other.get("/f").status, 401);
    // Only here: the API has Bearer for them.
    let basic = format!("{DEMO}:{writer}");
    assert_eq!(door.ask(&["--user", &basic], "/api/v1/me").status, 401);
    let bearer = format!("Authorization: Bearer {reader}");
    assert_eq!(door.ask(&["-H", &bearer], "/dav/f").text(), "text");
}

#[test]
fn a_browser_does_nothing_for_the_pages_of_other_sites() {
    let door = HttpsDoor::up();
    let browser = Browser::log_in(&door, DEMO, &door.server.password());
    let put = ["-X", "PUT", "--data-raw", "x"];
    assert_eq!(
        browser.ask(&put, "/dav/f").status,
        403,
        "no page of ours made it"
    );
    assert_eq!(browser.page(&put, "/dav/f").status, 201);
    let foreign = ["-H", "Origin: https://evil.example"];
    let user = door.user();
    for method in ["PUT", "DELETE", "MOVE", "PROPFIND", "LOCK"] {
        let words = [&foreign[..], &["-X", method, "--user", &user]].concat();
        assert_eq!(door.ask(&words, "/dav/f").status, 403, "{method}");
    }
}

#[test]
fn a_file_has_the_versions_ranges_and_sums_of_the_api() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    let new = dav.put("/f.txt", "0123456789", &[]);
    assert_eq!(new.status, 201);
    let tag = new.header("etag").unwrap().to_owned();
    let part = dav.ask("GET", "/f.txt", &["-H", "Range: bytes=2-4"]);
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    let head = dav.ask("HEAD", "/f.txt", &["--head"]);
    assert_eq!(head.header("content-length"), Some("10"));
    assert_eq!(head.header("etag"), Some(tag.as_str()));
    assert!(head.header("repr-digest").is_some());
    let known = format!("If-None-Match: {tag}");
    assert_eq!(dav.ask("GET", "/f.txt", &["-H", &known]).status, 304);
    let found = dav.find("/f.txt", "0").text();
    assert!(found.contains(&tag.replace('"', "&quot;")), "{found}");
    let same = format!("If-Match: {tag}");
    assert_eq!(dav.put("/f.txt", "second", &["-H", &same]).status, 204);
    for method in ["PUT", "DELETE"] {
        let refused = dav.send(method, "/f.txt", &["-H", &same], "third");
        assert_eq!(refused.status, 412, "{method}");
    }
    assert_eq!(
        dav.put("/f.txt", "x", &["-H", "If-None-Match: *"]).status,
        412
    );
    let listed = format!("If: ([{tag}])");
    assert_eq!(dav.put("/f.txt", "x", &["-H", &listed]).status, 412);
    let wrong = dav.put(
        "/f.txt",
        "x",
        &["-H", &format!("X-Checksum-Sha256: {}", "0".repeat(64))],
    );
    assert_eq!(wrong.status, 422);
    assert_eq!(
        dav.put("/f.txt", "x", &["-H", "Content-Range: bytes 0-0/6"])
            .status,
        400
    );
    assert_eq!(dav.get("/f.txt").text(), "second");
    assert_eq!(dav.get("/").status, 405, "of a folder PROPFIND tells");
}

#[test]
fn what_is_missing_or_in_the_way_has_the_standards_answers() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    dav.put("/f", "f", &[]);
    assert_eq!(dav.ask("MKCOL", "/d", &[]).status, 201);
    for (method, path, status) in [
        ("GET", "/none", 404),
        ("GET", "/f/below", 404),
        ("PROPFIND", "/none", 404),
        ("PUT", "/none/f", 409),
        ("PUT", "/f/below", 409),
        ("PUT", "/d", 405),
        ("PUT", "/", 405),
        ("MKCOL", "/d", 405),
        ("MKCOL", "/f", 405),
        ("MKCOL", "/none/d", 409),
        ("DELETE", "/none", 404),
        ("DELETE", "/", 403),
        ("LOCK", "/none/f", 409),
    ] {
        let words: &[&str] = match method {
            "PROPFIND" => &["-H", "Depth: 0"],
            _ => &[],
        };
        let answer = match method {
            "LOCK" => dav.lock(path, "exclusive", &[]),
            "PUT" => dav.put(path, "x", &[]),
            _ => dav.ask(method, path, words),
        };
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    for (path, to, words, status) in [
        ("/none", "/x", &[][..], 404),
        ("/f", "/none/x", &[], 409),
        ("/f", "/f", &[], 403),
        ("/d", "/d/below", &[], 403),
        ("/f", "/d", &["-H", "Overwrite: F"], 412),
        ("/f", "/d", &["-H", "Overwrite: X"], 400),
    ] {
        for method in ["COPY", "MOVE"] {
            let answer = dav.go(method, path, to, words);
            assert_eq!(
                answer.status,
                status,
                "{method} {path} {to}: {}",
                answer.text()
            );
        }
    }
    let elsewhere = ["-H", "Destination: https://other.example/dav/x"];
    assert_eq!(dav.ask("MOVE", "/f", &elsewhere).status, 502);
    let deep = dav.find("/", "infinity");
    assert_eq!(deep.status, 403);
    assert!(
        deep.text().contains("<D:propfind-finite-depth/>"),
        "{}",
        deep.text()
    );
    assert_eq!(
        dav.ask("PROPFIND", "/", &[]).status,
        403,
        "without a word it is infinity"
    );
    assert_eq!(dav.find("/", "2").status, 400);
}

#[test]
fn folders_are_copied_and_moved_with_all_that_is_in_them() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    for folder in ["/a", "/a/b", "/a/b/c", "/there", "/there/old"] {
        assert_eq!(dav.ask("MKCOL", folder, &[]).status, 201);
    }
    for number in 0..40 {
        dav.put(&format!("/a/b/f{number}"), &format!("{number}"), &[]);
    }
    dav.put("/a/b/c/deep", "deep", &[]);
    assert_eq!(dav.go("COPY", "/a", "/copy", &[]).status, 201);
    assert_eq!(dav.get("/copy/b/c/deep").text(), "deep");
    assert_eq!(hrefs(&dav.find("/copy/b", "1")).len(), 42);
    assert_eq!(
        dav.go("COPY", "/a", "/alone", &["-H", "Depth: 0"]).status,
        201
    );
    assert_eq!(hrefs(&dav.find("/alone", "1")), ["/dav/alone/"]);
    assert_eq!(dav.go("COPY", "/a", "/there", &[]).status, 204);
    assert_eq!(
        dav.get("/there/old").status,
        404,
        "what was there is replaced"
    );
    assert_eq!(dav.go("MOVE", "/copy", "/there", &[]).status, 204);
    assert_eq!(dav.get("/there/b/f39").text(), "39");
    assert_eq!(dav.get("/copy/b/f39").status, 404);
    assert_eq!(
        dav.go("MOVE", "/there/b/f1", "/a", &[]).status,
        204,
        "a file over a folder"
    );
    assert_eq!(dav.get("/a").text(), "1");
    let log = wait_for("the log", Duration::from_secs(10), || {
        let log = door.server.admin(&["audit", "list", "demo", "--json"], "");
        log.contains("/copy -> /there").then_some(log)
    });
    assert!(log.contains(r#""protocol":"webdav""#));
    assert_eq!(dav.ask("DELETE", "/there", &[]).status, 204);
    assert_eq!(
        hrefs(&dav.find("/", "1")),
        ["/dav/", "/dav/a", "/dav/alone/"]
    );
}

#[test]
fn names_and_properties_of_every_kind_come_back_as_they_were() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    let names = [
        "%20a%20",
        "%C3%A9",
        "e%CC%81",
        "a%26b%3Cc%3E%22'",
        "%25%23%3F%3B",
        "100%25",
        "%F0%9F%9A%A2",
        "~a!$()*+,;=:@",
        "a%09%01",
        "...",
        "._x",
        ".DS_Store",
        "CON",
        "a%5Cb",
    ];
    for name in names {
        let path = format!("/{name}");
        assert_eq!(dav.put(&path, name, &[]).status, 201, "{name}");
        assert_eq!(dav.get(&path).text(), name);
        assert_eq!(
            dav.go("MOVE", &path, &format!("/{name}.x"), &[]).status,
            201,
            "{name}"
        );
        assert_eq!(
            dav.go("COPY", &format!("/{name}.x"), &path, &[]).status,
            201,
            "{name}"
        );
    }
    let listed = dav.find("/", "1");
    assert_eq!(hrefs(&listed).len(), 1 + 2 * names.len());
    for href in &hrefs(&listed)[1..] {
        let path = href.strip_prefix("/dav").unwrap();
        assert_eq!(dav.find(path, "0").status, 207, "{href}");
    }
    let patch = "<D:propertyupdate xmlns:D='DAV:' xmlns:Z='urn:z' xmlns:m='urn:schemas-microsoft-com:'>\
        <D:set><D:prop><Z:note xml:lang='de'>\u{e4} &amp; <Z:b/></Z:note>\
        <m:Win32LastModifiedTime>Tue, 14 Nov 2023 22:13:20 GMT</m:Win32LastModifiedTime>\
        <m:Win32FileAttributes>00000020</m:Win32FileAttributes></D:prop></D:set></D:propertyupdate>";
    let patched = dav.send("PROPPATCH", "/CON", &[], patch);
    assert_eq!(patched.status, 207);
    assert!(!patched.text().contains("403"), "{}", patched.text());
    dav.go("COPY", "/CON", "/kept", &[]);
    dav.go("MOVE", "/kept", "/kept2", &[]);
    let found = dav.find("/kept2", "0").text();
    assert!(
        found.contains("<n:note xmlns:n=\"urn:z\" xml:lang=\"de\">\u{e4} &amp; "),
        "{found}"
    );
    assert!(found.contains(">00000020<"), "{found}");
    let original = dav.find("/CON", "0").text();
    assert!(
        original.contains("Tue, 14 Nov 2023 22:13:20 GMT"),
        "{original}"
    );
    let protected = "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><D:getetag>x</D:getetag></D:prop>\
        </D:set><D:remove><D:prop><Z:note xmlns:Z='urn:z'/></D:prop></D:remove></D:propertyupdate>";
    let refused = dav.send("PROPPATCH", "/CON", &[], protected).text();
    assert!(
        refused.contains("403 Forbidden") && refused.contains("424 Failed"),
        "{refused}"
    );
    assert!(
        dav.find("/CON", "0").text().contains("urn:z"),
        "all or nothing"
    );
}

#[test]
fn tricks_with_paths_lead_nowhere() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    dav.put("/f", "f", &[]);
    for path in [
        "/../api",
        "/%2e%2e/f",
        "/a%2f..%2ff",
        "/f%00",
        "/%ff%fe",
        "/%zz",
        "/./f",
    ] {
        for method in ["GET", "PUT", "PROPFIND", "MKCOL", "DELETE", "LOCK"] {
            let answer = dav.ask(method, path, &["-H", "Depth: 0"]);
            assert_eq!(answer.status, 400, "{method} {path}");
        }
        let moved = dav.go("MOVE", "/f", path, &[]);
        assert_eq!(moved.status, 400, "{path}");
    }
    let long = format!("/{}", "a".repeat(256));
    assert_eq!(dav.put(&long, "x", &[]).status, 400);
    let out = ["-H", "Destination: /etc/passwd"];
    assert_eq!(dav.ask("COPY", "/f", &out).status, 404);
    for body in [
        "<",
        "<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><x>&y;</x>",
        "<x/>",
    ] {
        for method in ["PROPFIND", "PROPPATCH", "LOCK"] {
            let answer = dav.send(method, "/f", &["-H", "Depth: 0"], body);
            assert_eq!(answer.status, 400, "{method} {body}");
        }
    }
    let file = door.server.data().join("large");
    fs::write(&file, vec![b' '; 100 * 1024]).unwrap();
    let large = format!("@{}", file.display());
    let sent = dav.ask(
        "PROPFIND",
        "/f",
        &["-H", "Depth: 0", "--data-binary", &large],
    );
    assert_eq!(sent.status, 413);
}

#[test]
fn quotas_are_told_and_kept() {
    let door = HttpsDoor::up();
    door.server
        .admin(&["tenant", "add", "small", "--quota", "100KiB"], "");
    door.server.admin(
        &[
            "account",
            "add",
            "ann@small",
            "--password-stdin",
            "--home",
            "/",
        ],
        "right horse\n",
    );
    let ann = Dav::of(door.address(), "ann@small:right horse");
    let quota = "<D:propfind xmlns:D='DAV:'><D:prop><D:quota-available-bytes/><D:quota-used-bytes/>\
                 </D:prop></D:propfind>";
    let home = "/";
    assert_eq!(ann.put("/a", &"a".repeat(1024), &[]).status, 201);
    let told = ann
        .send("PROPFIND", home, &["-H", "Depth: 0"], quota)
        .text();
    assert!(told.contains("<D:quota-available-bytes>101376<"), "{told}");
    assert!(told.contains("<D:quota-used-bytes>1024<"), "{told}");
    let file = door.server.data().join("large");
    fs::write(&file, vec![7; 200 * 1024]).unwrap();
    let large = format!("@{}", file.display());
    let refused = ann.ask("PUT", "/b", &["--data-binary", &large]);
    assert_eq!(refused.status, 507, "{}", refused.text());
    assert!(refused.text().contains("quota"), "{}", refused.text());
    assert_eq!(ann.get("/b").status, 404);
    // Nor is anything of another tenant's there.
    demo(&door).put("/secret", "secret", &[]);
    assert_eq!(ann.get("/secret").status, 404);
    assert_eq!(hrefs(&ann.find("/", "1")), ["/dav/", "/dav/a"]);
    let foreign = demo(&door).locked("/secret", &[]);
    assert_eq!(ann.unlock("/a", &foreign).status, 409);
}

#[test]
fn a_put_that_breaks_off_leaves_the_old_file() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    dav.put("/f", "old", &[]);
    let short = dav.put("/f", "new", &["-H", "X-Expected-Entity-Length: 10"]);
    assert_eq!(short.status, 400, "{}", short.text());
    let mut client = Command::new("curl")
        .args(["-sSk", "--http1.1", "--user", &door.user(), "-T", "-"])
        .arg(door.url("/dav/f"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    input.write_all(&vec![7; 1 << 20]).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    drop(input);
    assert_eq!(dav.get("/f").text(), "old");
    // The server goes on, and so does the name.
    assert_eq!(dav.put("/f", "new", &[]).status, 204);
    assert_eq!(dav.get("/f").text(), "new");
}

#[test]
fn a_body_waits_for_leave_and_comes_in_chunks() {
    let door = HttpsDoor::up();
    let file = door.server.data().join("large");
    fs::write(&file, vec![7; 3_000_000]).unwrap();
    let words = [
        "-H",
        "Expect: 100-continue",
        "-H",
        "Transfer-Encoding: chunked",
    ];
    let user = door.user();
    let more = ["--http1.1", "--user", &user, "-T", file.to_str().unwrap()];
    let put = ask(&[&words[..], &more].concat(), &door.url("/dav/large"));
    assert_eq!(put.status, 201);
    // Whoever may not write is told so before the body is sent.
    let wrong = [
        "--http1.1",
        "--user",
        "demo@demo:wrong",
        "-T",
        file.to_str().unwrap(),
    ];
    let refused = ask(&[&words[..], &wrong].concat(), &door.url("/dav/large"));
    assert_eq!(refused.status, 401);
    assert_eq!(demo(&door).get("/large").body.len(), 3_000_000);
}
