//! Links to files and folders: what those see who have one, and when it ends.

use std::fs;
use std::io::Read as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::folder::TempFolder;
use crate::support::https_door::{HttpsDoor, ask};
use crate::support::links::{Link, SHARES};
use crate::support::wait::wait_for;
use crate::support::web_client::{cookie_of, post};

const SOON: Duration = Duration::from_secs(20);

fn stocked() -> HttpsDoor {
    let door = HttpsDoor::up();
    for (path, text) in [
        ("/private/team/a.txt", "alpha"),
        ("/private/team/sub/b.html", "<script>x</script>"),
        ("/private/other.txt", "secret"),
    ] {
        let put = door.put(&format!("{path}?parents=true"), text, &[]);
        assert_eq!(put.status, 201, "{}", put.text());
    }
    door
}

fn audit(door: &HttpsDoor) -> String {
    door.server.admin(&["audit", "list", "demo", "--json"], "")
}

#[track_caller]
fn wait_until_over(link: &Link<'_>) {
    wait_for("the link to end", SOON, || {
        (link.get("").status == 410).then_some(())
    });
    link.assert_over();
}

#[test]
fn a_link_to_a_file_gives_the_file_and_nothing_else() {
    let door = stocked();
    let link = door.link(&json!({ "path": "/private/team/a.txt", "name": "for bob" }));
    let info = link.get("");
    assert_eq!(info.status, 200, "{}", info.text());
    let told = json!({
        "needs_password": false, "kind": "download", "name": "a.txt", "is_folder": false, "size": 5,
        "expires_at": null,
    });
    assert_eq!(info.json(), told);
    let got = link.get("/file");
    assert_eq!((got.status, got.text().as_str()), (200, "alpha"));
    let kept = got.header("content-disposition").unwrap();
    assert!(kept.starts_with("attachment"), "{kept}");
    let tag = got.header("etag").unwrap().to_owned();
    let known = link.ask(&["-H", &format!("If-None-Match: {tag}")], "/file");
    assert_eq!(known.status, 304);
    let part = link.ask(&["-r", "1-2", "-H", &format!("If-Range: {tag}")], "/file");
    assert_eq!((part.status, part.text().as_str()), (206, "lp"));
    assert_eq!(part.header("content-range"), Some("bytes 1-2/5"));
    let other = link.ask(&["-r", "1-2", "-H", "If-Range: \"x\""], "/file");
    assert_eq!(other.status, 200);
    let head = link.ask(&["--head"], "/file");
    assert_eq!(head.header("content-length"), Some("5"));
    assert_eq!(link.ask(&["-r", "9-"], "/file").status, 416);
    for rest in ["/folders", "/files/a.txt", "/files/../other.txt"] {
        let refused = link.ask(&["--path-as-is"], rest);
        assert!(
            matches!(refused.status, 400 | 404 | 409),
            "{rest}: {}",
            refused.text()
        );
        assert!(!refused.text().contains("private"), "{}", refused.text());
    }
    assert_eq!(link.put("x", "y", &[]).problem(), "download-only");
    let shown = link.shown();
    assert_eq!(shown["downloads"], 2, "{shown}");
    assert_eq!(shown["state"], "live");
    assert!(shown["used_at"].is_string());
    let log = wait_for("the log", SOON, || {
        Some(audit(&door)).filter(|log| log.contains("/private/team/a.txt by link 'for bob'"))
    });
    for kind in ["link-add", "link-open", "download"] {
        assert!(log.contains(&format!(r#""kind":"{kind}""#)), "{kind}");
    }
    let token = link.url.rsplit('/').next().unwrap();
    assert!(!log.contains(token) && !door.server.log().contains(token));
}

#[test]
fn a_link_to_a_folder_shows_what_is_below_it_and_no_more() {
    let door = stocked();
    let link = door.link(&json!({ "path": "/private/team" }));
    let listed = link.get("/folders");
    assert_eq!(listed.status, 200, "{}", listed.text());
    let listed = listed.json();
    let items = listed["items"].as_array().unwrap().iter();
    let paths: Vec<_> = items.map(|item| item["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/a.txt", "/sub"]);
    assert!(listed["items"][0]["rights"].is_null());
    let first = link.get("/folders?limit=1").json();
    let next = first["next"].as_str().unwrap();
    let second = link.get(&format!("/folders?limit=1&cursor={next}")).json();
    assert_eq!(second["items"][0]["name"], "sub");
    let below = link.get("/folders/sub").json();
    assert_eq!(below["items"][0]["path"], "/sub/b.html");
    let page = link.get("/files/sub/b.html?inline=true");
    assert_eq!(page.text(), "<script>x</script>");
    let kept = page.header("content-disposition").unwrap();
    assert!(kept.starts_with("attachment"), "{kept}");
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("sandbox")
    );
    let zip = link.get("/archive");
    assert_eq!(zip.header("content-type"), Some("application/zip"));
    let names = String::from_utf8_lossy(&zip.body).into_owned();
    assert!(names.contains("team/sub/b.html") && !names.contains("private"));
    let tar = link.get("/archive?format=tar&path=/sub");
    let names = String::from_utf8_lossy(&tar.body).into_owned();
    assert!(names.contains("sub/b.html") && !names.contains("a.txt"));
    for rest in [
        "/files/..%2fother.txt",
        "/files/sub/..%2f..%2f..%2fother.txt",
        "/files/%2e%2e/other.txt",
        "/folders/..",
        "/archive?path=/../other.txt",
        "/archive?path=/a.txt&path=/sub/../a.txt",
        "/files//private/other.txt",
        "/files/nothing",
        "/files/sub",
        "/file",
    ] {
        let refused = link.ask(&["--path-as-is"], rest);
        assert!(
            matches!(refused.status, 400 | 404 | 409),
            "{rest}: {} {}",
            refused.status,
            refused.text()
        );
        assert!(!refused.text().contains("secret"), "{}", refused.text());
        assert!(!refused.text().contains("/private"), "{}", refused.text());
    }
    for method in ["DELETE", "PATCH", "POST"] {
        let refused = link.ask(&["-X", method], "/files/a.txt");
        assert_eq!(refused.status, 405, "{method}");
    }
}

#[test]
fn a_link_follows_what_it_leads_to_and_ends_with_it() {
    let door = stocked();
    let file = door.link(&json!({ "path": "/private/team/a.txt" }));
    let folder = door.link(&json!({ "path": "/private/team" }));
    let moved = json!({ "from": "/private/team", "to": "/elsewhere" }).to_string();
    assert_eq!(door.send("POST", "/move", &moved, &[]).status, 200);
    assert_eq!(file.get("/file").text(), "alpha");
    assert_eq!(folder.get("/files/a.txt").text(), "alpha");
    assert_eq!(file.shown()["path"], "/elsewhere/a.txt");
    // What gets the old name is not what the link leads to.
    door.put("/private/team/a.txt?parents=true", "another", &[]);
    assert_eq!(file.get("/file").text(), "alpha");
    assert_eq!(folder.get("/files/a.txt").text(), "alpha");
    door.put("/elsewhere/a.txt", "replaced", &[]);
    assert_eq!(file.get("/file").text(), "replaced");
    let deleted = door.demo(
        &["-X", "DELETE"],
        "/api/v1/entries/elsewhere?recursive=true",
    );
    assert_eq!(deleted.status, 204);
    file.assert_over();
    folder.assert_over();
    assert_eq!(file.shown()["state"], "gone");
}

#[test]
fn a_link_ends_by_its_maker_by_time_and_by_its_count_in_the_same_words() {
    let door = stocked();
    let wanted = json!({ "path": "/private/team/a.txt" });
    let revoked = door.link(&wanted);
    let at = format!("{SHARES}/{}", revoked.id);
    assert_eq!(door.demo(&["-X", "DELETE"], &at).status, 204);
    revoked.assert_over();
    assert_eq!(door.demo(&["-X", "DELETE"], &at).status, 404);
    assert_eq!(door.demo(&[], &at).status, 404);
    let soon = jiff::Timestamp::now() + Duration::from_millis(1500);
    let expiring = door.link(&json!({ "path": "/private/team", "expires_at": soon.to_string() }));
    assert_eq!(expiring.get("").status, 200);
    wait_until_over(&expiring);
    assert_eq!(expiring.shown()["state"], "expired");
    assert_eq!(expiring.alter(&json!({ "expires_at": null })).status, 200);
    assert_eq!(expiring.get("").status, 200);
    let once = door.link(&json!({ "path": "/private/team/a.txt", "max_downloads": 1 }));
    assert_eq!(once.ask(&["--head"], "/file").status, 200);
    let archive = once.ask(&["--head"], "/archive");
    assert_eq!(
        (archive.status, archive.header("content-type")),
        (200, Some("application/zip"))
    );
    assert_eq!(once.get("/file").status, 200);
    assert_eq!(once.get("/file").status, 410);
    assert_eq!(once.shown()["state"], "used-up");
    assert_eq!(once.alter(&json!({ "max_downloads": 2 })).status, 200);
    assert_eq!(once.get("/file").status, 200);
    assert_eq!(once.get("/file").problem(), "link-over");
    // A text that was never one, and one that was changed.
    let mut wrong = revoked.url.clone();
    wrong.pop();
    for url in [wrong.as_str(), "/api/v1/shared/x", "/api/v1/shared/sll_"] {
        let unknown = door.ask(&[], url);
        assert_eq!(
            (unknown.status, unknown.problem().as_str()),
            (404, "no-such-link")
        );
    }
}

#[test]
fn a_link_does_no_more_than_its_maker_may_now() {
    let door = stocked();
    let admin = |words: &[&str]| door.server.admin(words, "the password\n");
    admin(&["account", "add", "bob@demo", "--password-stdin"]);
    admin(&[
        "grant",
        "add",
        "bob@demo",
        "demo:/private/team",
        "read-only",
    ]);
    let wanted = |path: &str| json!({ "path": path, "kind": "download" }).to_string();
    let by_bob = |path: &str| {
        let user = ["--user", "bob@demo:the password"];
        post(&door, &user, SHARES, &wanted(path))
    };
    let refused = by_bob("/private/other.txt");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (403, "denied")
    );
    let upload = json!({ "path": "/private/team", "kind": "upload" }).to_string();
    let user = ["--user", "bob@demo:the password"];
    assert_eq!(post(&door, &user, SHARES, &upload).problem(), "denied");
    let made = by_bob("/private/team");
    assert_eq!(made.status, 201, "{}", made.text());
    let link = Link {
        door: &door,
        id: made.json()["id"].as_str().unwrap().to_owned(),
        url: made.json()["url"].as_str().unwrap().to_owned(),
    };
    assert_eq!(link.get("/files/a.txt").text(), "alpha");
    // To others than its maker it is not there.
    let at = format!("{SHARES}/{}", link.id);
    assert_eq!(door.demo(&[], &at).status, 404);
    assert_eq!(door.demo(&["-X", "DELETE"], &at).status, 404);
    admin(&["grant", "remove", "bob@demo", "demo:/private/team"]);
    link.assert_over();
    admin(&[
        "grant",
        "add",
        "bob@demo",
        "demo:/private/team",
        "read-only",
    ]);
    assert_eq!(link.get("").status, 200);
    admin(&["account", "disable", "bob@demo"]);
    link.assert_over();
    admin(&["account", "enable", "bob@demo"]);
    assert_eq!(link.get("").status, 200);
    admin(&["tenant", "disable", "demo"]);
    link.assert_over();
}

const LARGE: usize = 64 << 20;

fn large() -> HttpsDoor {
    let (door, folder) = (HttpsDoor::up(), TempFolder::new());
    let local = folder.join("large");
    let file = fs::File::create(&local).unwrap();
    file.set_len(LARGE as u64).unwrap();
    let put = door.demo(&["-T", local.to_str().unwrap()], "/api/v1/files/large");
    assert_eq!(put.status, 201, "{}", put.text());
    door
}

/// A download that has begun, of which nobody reads the rest yet.
fn begun(link: &Link<'_>) -> (Child, ChildStdout) {
    let mut client = Command::new("curl")
        .args(["--silent", "--insecure"])
        .arg(link.door.url(&format!("{}/file", link.url)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = client.stdout.take().unwrap();
    output.read_exact(&mut [0; 1024]).unwrap();
    (client, output)
}

#[test]
fn a_download_ends_when_its_link_is_revoked() {
    let door = large();
    let link = door.link(&json!({ "path": "/large" }));
    let (mut client, mut output) = begun(&link);
    let at = format!("{SHARES}/{}", link.id);
    assert_eq!(door.demo(&["-X", "DELETE"], &at).status, 204);
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert!(!client.wait().unwrap().success());
    assert!(rest.len() < LARGE - 1024, "{} bytes", rest.len());
}

#[test]
fn a_download_that_breaks_off_goes_on_without_being_counted_again() {
    let door = large();
    let link = door.link(&json!({ "path": "/large", "max_downloads": 1 }));
    let (mut client, output) = begun(&link);
    assert_eq!(link.get("/file").problem(), "link-over", "it is under way");
    client.kill().unwrap();
    client.wait().unwrap();
    drop(output);
    // What comes later in the file, as download managers and `curl -C` ask for it.
    let head = link.ask(&["--head"], "/file");
    assert_eq!(head.status, 200, "it may be gone on with");
    let tag = format!("If-Range: {}", head.header("etag").unwrap());
    let rest = link.ask(&["-r", &format!("{}-", LARGE - 5), "-H", &tag], "/file");
    assert_eq!((rest.status, rest.body.len()), (206, 5));
    // And its beginning, as soon as the server knows that it broke off.
    let again = wait_for("the download to begin anew", SOON, || {
        let again = link.get("/file");
        (again.status == 200).then_some(again)
    });
    assert_eq!(again.body.len(), LARGE);
    assert_eq!(link.shown()["downloads"], 1);
    assert_eq!(link.get("/file").status, 410);
}

#[test]
fn where_the_host_stands_for_a_tenant_links_of_others_lead_nowhere() {
    let door = stocked();
    let link = door.link(&json!({ "path": "/private/team/a.txt" }));
    for words in [
        &["tenant", "add", "bolt"][..],
        &["tenant", "host", "add", "bolt", "bolt.example"],
        &["tenant", "host", "add", "demo", "demo.example"],
    ] {
        door.server.admin(words, "");
    }
    let at = |host: &str| {
        let port = door.address().port();
        let resolve = format!("{host}:{port}:127.0.0.1");
        let url = format!("https://{host}:{port}{}", link.url);
        ask(&["--resolve", &resolve], &url).status
    };
    assert_eq!([at("demo.example"), at("bolt.example")], [200, 404]);
}

#[test]
fn a_password_is_asked_for_before_anything_is_told() {
    let door = stocked();
    let link = door.link(&json!({ "path": "/private/team/a.txt", "password": "open sesame" }));
    assert_eq!(link.get("").json(), json!({ "needs_password": true }));
    for rest in ["/file", "/folders", "/archive", "/files/x"] {
        let asked = link.get(rest);
        assert_eq!((asked.status, asked.problem().as_str()), (401, "password"));
    }
    let by = |password: &str| link.ask(&["--user", &format!("anybody:{password}")], "/file");
    assert_eq!(by("open sesame").text(), "alpha");
    assert_eq!(by("wrong").status, 401);
    let given = |password: &str| {
        let body = json!({ "password": password }).to_string();
        post(&door, &[], &format!("{}/password", link.url), &body)
    };
    assert_eq!(given("wrong").status, 401);
    let right = given("open sesame");
    assert_eq!(right.status, 204, "{}", right.text());
    let line = right.header("set-cookie").unwrap();
    for part in [
        "HttpOnly",
        "Secure",
        "SameSite=Strict",
        &format!("Path={};", link.url),
    ] {
        assert!(line.contains(part), "{line}");
    }
    let cookie = format!("Cookie: {}", cookie_of(&right));
    let with = |rest: &str| link.ask(&["-H", &cookie], rest);
    assert_eq!(with("/file").text(), "alpha");
    assert_eq!(with("").json()["name"], "a.txt");
    // It opens no other link, and not this one once the password is another.
    let other = door.link(&json!({ "path": "/private/team/a.txt", "password": "open sesame" }));
    assert_eq!(other.ask(&["-H", &cookie], "/file").status, 401);
    let forged = cookie.replace('.', ".0");
    assert_eq!(link.ask(&["-H", &forged], "/file").status, 401);
    assert_eq!(link.alter(&json!({ "password": "another" })).status, 200);
    assert_eq!(with("/file").status, 401);
    assert_eq!(by("open sesame").status, 401);
    assert_eq!(link.alter(&json!({ "password": null })).status, 200);
    assert_eq!(link.get("/file").text(), "alpha");
    let log = wait_for("the log", SOON, || {
        Some(audit(&door)).filter(|log| log.contains("wrong password"))
    });
    assert!(log.contains(r#""kind":"link-failed""#) && log.contains(r#""kind":"link-alter""#));
    assert!(log.contains("127.0.0.1") && !log.contains("sesame"));
}

#[test]
fn wrong_passwords_of_a_link_are_slowed_down_and_its_maker_is_not() {
    let door = stocked();
    let wanted = json!({ "path": "/private/team/a.txt", "password": "open sesame" });
    let (link, other) = (door.link(&wanted), door.link(&wanted));
    let by =
        |link: &Link<'_>, password: &str| link.ask(&["--user", &format!(":{password}")], "/file");
    let refused = (0..8).map(|_| by(&link, "wrong").status);
    let refused: Vec<_> = refused.collect();
    assert!(refused.starts_with(&[401, 401, 401, 401]), "{refused:?}");
    assert!(refused.contains(&429), "{refused:?}");
    let locked = by(&link, "open sesame");
    assert_eq!((locked.status, locked.problem().as_str()), (429, "busy"));
    let wait = locked
        .header("retry-after")
        .unwrap()
        .parse::<u64>()
        .unwrap();
    let said = format!("try again in {wait} second");
    assert!(
        wait > 0 && locked.text().contains(&said),
        "{wait}: {}",
        locked.text()
    );
    assert_eq!(by(&other, "open sesame").status, 200);
    assert_eq!(door.demo(&[], "/api/v1/me").status, 200);
}

#[test]
fn what_a_link_may_not_be_is_refused() {
    let door = stocked();
    let post = |wanted: Value| door.send("POST", "/shares", &wanted.to_string(), &[]);
    let at = "/private/team";
    for (wanted, status) in [
        (json!({}), 400),
        (json!({ "path": "/nothing" }), 404),
        (json!({ "path": "/private/team/../other.txt" }), 400),
        (json!({ "path": at, "kind": "both" }), 400),
        (json!({ "path": at, "max_downloads": 0 }), 400),
        (json!({ "path": at, "max_downloads": -1 }), 400),
        (json!({ "path": at, "max_files": 1 }), 400),
        (json!({ "path": at, "patterns": ["*"] }), 400),
        (json!({ "path": at, "password": "" }), 400),
        (json!({ "path": at, "password": "x".repeat(2000) }), 400),
        (json!({ "path": at, "name": "x".repeat(101) }), 400),
        (json!({ "path": at, "name": "a\nb" }), 400),
        (
            json!({ "path": at, "expires_at": "2001-01-01T00:00:00Z" }),
            400,
        ),
        (json!({ "path": at, "expires_at": "tomorrow" }), 400),
        (
            json!({ "path": at, "kind": "upload", "max_downloads": 1 }),
            400,
        ),
        (
            json!({ "path": "/private/team/a.txt", "kind": "upload" }),
            409,
        ),
        (
            json!({ "path": at, "kind": "upload", "patterns": ["a\nb"] }),
            400,
        ),
        (json!({ "path": at, "other": 1 }), 400),
    ] {
        let answer = post(wanted.clone());
        assert_eq!(answer.status, status, "{wanted}: {}", answer.text());
    }
    for late in ["9999-12-31T23:59:59Z", "9999-12-30T22:00:00.5Z"] {
        let late = post(json!({ "path": at, "expires_at": late }));
        assert_eq!(late.status, 400);
        let most = "a time is at most 9999-12-30T22:00:00Z";
        assert!(late.text().contains(most), "{}", late.text());
    }
    let listed = door.demo(&[], SHARES).json();
    assert_eq!(listed["items"], json!([]));
    let last = post(json!({ "path": at, "expires_at": "9999-12-30T22:00:00Z" }));
    assert_eq!(last.status, 201, "{}", last.text());
    assert_eq!(last.json()["expires_at"], "9999-12-30T22:00:00.000000Z");
}

#[test]
fn null_takes_a_name_and_patterns_from_a_link() {
    let door = stocked();
    let wanted = json!({
        "path": "/private/team", "kind": "upload", "name": "in", "patterns": ["*.pdf"], "password": "open sesame",
    });
    let link = door.link(&wanted);
    let altered = link.alter(&json!({ "name": null, "patterns": null }));
    assert_eq!(altered.status, 200, "{}", altered.text());
    let shown = link.shown();
    assert_eq!(
        (&shown["name"], &shown["patterns"]),
        (&json!(""), &json!([]))
    );
    assert_eq!(shown["has_password"], true);
}

#[test]
fn a_maker_sees_their_links_newest_first_in_pages() {
    let door = stocked();
    let links: Vec<_> = (0..5)
        .map(|n| door.link(&json!({ "path": "/private/team", "name": format!("link {n}") })))
        .collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = door.demo(&[], &format!("{SHARES}?limit=2{cursor}")).json();
        for item in page["items"].as_array().unwrap() {
            seen.push(item["id"].as_str().unwrap().to_owned());
            assert!(item["token"].is_null() && item["url"].is_null());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let made: Vec<_> = links.iter().rev().map(|link| link.id.clone()).collect();
    assert_eq!(seen, made);
}

#[test]
fn a_token_makes_links_within_what_it_is_for_and_no_longer_than_it_lasts() {
    let door = stocked();
    let token = |scopes: &[&str]| {
        let wanted = json!({ "name": "t", "scopes": scopes, "expires_in": 3600 }).to_string();
        let made = door.send("POST", "/tokens", &wanted, &[]);
        format!(
            "Authorization: Bearer {}",
            made.json()["token"].as_str().unwrap()
        )
    };
    let make =
        |token: &str, wanted: Value| post(&door, &["-H", token], SHARES, &wanted.to_string());
    let reader = token(&["account", "files:read"]);
    let made = make(&reader, json!({ "path": "/private/team" }));
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(
        made.json()["expires_at"].is_string(),
        "as long as the token at most"
    );
    let upload = json!({ "path": "/private/team", "kind": "upload" });
    assert_eq!(make(&reader, upload).problem(), "denied");
    let late = json!({ "path": "/private/team", "expires_at": "2200-01-01T00:00:00Z" });
    assert_eq!(make(&reader, late).problem(), "denied");
    let at = format!("{SHARES}/{}", made.json()["id"].as_str().unwrap());
    let json_is = "Content-Type: application/json";
    let change = ["-X", "PATCH", "-H", json_is, "-H", &reader, "--data"];
    let longer = door.ask(
        &[&change[..], &[r#"{"expires_at":"2200-01-01T00:00:00Z"}"#]].concat(),
        &at,
    );
    assert_eq!(longer.problem(), "denied");
    let files = token(&["files:read", "files:write"]);
    assert_eq!(
        make(&files, json!({ "path": "/private/team" })).problem(),
        "scope"
    );
    assert_eq!(door.ask(&["-H", &files], SHARES).problem(), "scope");
}
