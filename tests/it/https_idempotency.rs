//! `Idempotency-Key`: what is sent twice is done once.

use std::thread;

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::support::admin_door::{AdminDoor, json as json_of};
use crate::support::https_door::{Answer, HttpsDoor, ask};
use crate::support::links::SHARES;
use crate::support::tus::{PIECE, SPEAK, UPLOADS};
use crate::support::web_client::Browser;

fn keyed(door: &HttpsDoor, key: &str, path: &str, body: &Value) -> Answer {
    let key = format!("Idempotency-Key: {key}");
    door.send("POST", path, &body.to_string(), &["-H", &key])
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("x-sealift-replayed") == Some("true")
}

#[test]
fn the_same_request_is_answered_alike_and_done_once() {
    let door = HttpsDoor::up();
    door.put("/a", "a", &[]);
    let copy = json!({ "from": "/a", "to": "/b" });
    let first = keyed(&door, "\"key-1\"", "/copy", &copy);
    assert_eq!(first.status, 201, "{}", first.text());
    assert!(!is_replayed(&first));
    let second = keyed(&door, "key-1", "/copy", &copy);
    assert!(is_replayed(&second));
    assert_eq!((second.status, &second.body), (201, &first.body));
    for name in ["location", "etag", "content-type"] {
        assert_eq!(second.header(name), first.header(name), "{name}");
    }
    // Without the key it is another request.
    assert_eq!(
        door.send("POST", "/copy", &copy.to_string(), &[]).status,
        409
    );
    let moving = json!({ "from": "/b", "to": "/c" });
    let moved: Vec<_> = (0..2)
        .map(|_| keyed(&door, "key-2", "/move", &moving))
        .collect();
    assert_eq!([moved[0].status, moved[1].status], [200, 200]);
    let made: Vec<_> = (0..2)
        .map(|_| keyed(&door, "key-3", "/folders/new", &json!({})))
        .collect();
    assert_eq!([made[0].status, made[1].status], [201, 201]);
    assert_eq!(made[0].body, made[1].body);
}

#[test]
fn another_request_with_the_same_key_is_refused() {
    let door = HttpsDoor::up();
    door.put("/a", "a", &[]);
    let copy = |to: &str| json!({ "from": "/a", "to": to });
    assert_eq!(keyed(&door, "k", "/copy", &copy("/b")).status, 201);
    for (path, body) in [
        ("/copy", copy("/c")),
        ("/move", copy("/b")),
        ("/copy?x=1", copy("/b")),
    ] {
        let refused = keyed(&door, "k", path, &body);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (422, "key-used")
        );
    }
    let long = "x".repeat(256);
    for key in ["", "\"\"", "a b", &long] {
        let key = format!("Idempotency-Key: {key}");
        let key = match key.ends_with(": ") {
            true => "Idempotency-Key;".to_owned(),
            false => key,
        };
        let body = copy("/c").to_string();
        let refused = door.send("POST", "/copy", &body, &["-H", &key]);
        assert_eq!(refused.status, 400, "{key}");
    }
    let large = json!({ "from": "x".repeat(70_000), "to": "/b" });
    let large = keyed(&door, "large", "/copy", &large);
    assert_eq!(large.status, 413);
    assert!(large.text().contains("Idempotency-Key"), "{}", large.text());
}

#[test]
fn an_upload_is_begun_once_and_told_of_alike() {
    let door = HttpsDoor::up();
    let path = format!("Upload-Metadata: path {}", BASE64.encode(b"/a"));
    let words = [
        "-X",
        "POST",
        "-H",
        SPEAK,
        "-H",
        "Upload-Length: 3",
        "-H",
        &path,
        "-H",
        PIECE,
        "--data-binary",
        "ab",
        "-H",
        "Idempotency-Key: k",
    ];
    let [first, second] = [0, 1].map(|_| door.demo(&words, UPLOADS));
    assert_eq!(first.status, 201, "{}", first.text());
    assert!(is_replayed(&second));
    assert_eq!(second.status, 201);
    let told = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| !["date", "x-sealift-replayed"].contains(&name.as_str()));
        headers.sort();
        headers
    };
    assert_eq!(told(&second), told(&first));
    for name in [
        "tus-resumable",
        "upload-expires",
        "upload-offset",
        "location",
    ] {
        assert!(second.header(name).is_some(), "{name}");
    }
    // Going on by the method that proxies let through.
    let words = [
        "-X",
        "POST",
        "-H",
        SPEAK,
        "-H",
        "X-HTTP-Method-Override: PATCH",
        "-H",
        "Upload-Offset: 2",
        "-H",
        PIECE,
        "--data-binary",
        "c",
        "-H",
        "Idempotency-Key: last",
    ];
    let location = first.header("location").unwrap();
    let [first, second] = [0, 1].map(|_| door.demo(&words, location));
    assert_eq!(first.status, 204, "{}", first.text());
    assert!(is_replayed(&second));
    assert_eq!(told(&second), told(&first));
    assert_eq!(second.header("upload-offset"), Some("3"));
}

#[test]
fn whatever_refuses_an_upload_says_the_version_of_tus() {
    let door = HttpsDoor::up();
    let link = door.link(&json!({ "path": "/", "kind": "upload" }));
    let by_link = format!("{}/uploads", link.url);
    let keys = ["-X", "POST", "-H", "Idempotency-Key: a b"];
    let foreign = ["-X", "POST", "-H", "Sec-Fetch-Site: cross-site"];
    for (words, path, status) in [
        (&keys[..], UPLOADS, 400),
        (&foreign, UPLOADS, 403),
        (&foreign, &by_link, 403),
        (&["-X", "PUT"], UPLOADS, 405),
        (&["-X", "PUT"], &by_link, 405),
        (&["-X", "POST"], UPLOADS, 412),
    ] {
        let refused = door.demo(words, path);
        assert_eq!(refused.status, status, "{path}: {}", refused.text());
        let version = refused.header("tus-resumable");
        assert_eq!(version, Some("1.0.0"), "{words:?} {path}");
    }
    let other = door.demo(&[], "/api/v1/me");
    assert_eq!(other.header("tus-resumable"), None);
}

#[test]
fn a_key_is_of_its_account() {
    let door = HttpsDoor::up();
    let wanted = json!({ "name": "t", "scopes": ["account"] });
    let first = keyed(&door, "k", "/tokens", &wanted);
    assert_eq!(first.status, 201);
    door.server.admin(
        &["account", "add", "bob@demo", "--password-stdin"],
        "the password\n",
    );
    let words = [
        "--user",
        "bob@demo:the password",
        "-H",
        "Idempotency-Key: k",
        "-H",
        "Content-Type: application/json",
        "--data",
    ];
    let text = wanted.to_string();
    let other = door.ask(&[&words[..], &[&text]].concat(), "/api/v1/tokens");
    assert_eq!(other.status, 201, "{}", other.text());
    assert!(!is_replayed(&other));
    assert_ne!(other.json()["token"], first.json()["token"]);
    // Nobody's key is nothing.
    let words = &words[2..];
    let nobody = door.ask(&[words, &[&text]].concat(), "/api/v1/tokens");
    assert_eq!(nobody.problem(), "unauthenticated");
    // The same by the cookie of a session, which is the same account.
    let browser = Browser::log_in(&door, "demo@demo", &door.server.password());
    let words = [
        "-H",
        "Idempotency-Key: k",
        "-H",
        "Content-Type: application/json",
        "--data",
        &text,
    ];
    let again = browser.page(&words, "/api/v1/tokens");
    assert!(is_replayed(&again), "{}", again.text());
    assert_eq!(browser.ask(&words, "/api/v1/tokens").problem(), "csrf");
}

#[test]
fn a_token_is_not_told_what_its_account_was() {
    let door = HttpsDoor::up();
    let new = |name: &str, scopes: &[&str]| {
        let wanted = json!({ "name": name, "scopes": scopes }).to_string();
        let made = door.send("POST", "/tokens", &wanted, &[]);
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let tokens = [
        new("reader", &["files:read"]),
        new("same", &["account", "files:read"]),
    ];
    let wanted = json!({ "name": "t", "scopes": ["account"] });
    let first = keyed(&door, "k", "/tokens", &wanted);
    assert_eq!(first.status, 201, "{}", first.text());
    for token in &tokens {
        let bearer = format!("Authorization: Bearer {token}");
        let words = [
            "-H",
            &bearer,
            "-H",
            "Idempotency-Key: k",
            "-H",
            "Content-Type: application/json",
            "--data",
            &wanted.to_string(),
        ];
        let refused = door.ask(&words, "/api/v1/tokens");
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (422, "key-used")
        );
    }
}

#[test]
fn a_key_means_nothing_at_the_port_for_operators() {
    let admin = AdminDoor::up();
    let key = ["-H", "Idempotency-Key: k"];
    let add = json!({ "name": "acme" }).to_string();
    let words = [&json_of("POST", &add)[..], &key].concat();
    let refused = admin.root(&words, "/tenants");
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("Idempotency-Key"));
    assert_eq!(admin.root(&[], "/tenants/acme").status, 404);
    // Nor is an account logged in there to find out whose key it is.
    admin.account("demo", "bob", false);
    let asked = [&["--user", "bob@demo:long-secret"], &words[..]].concat();
    let asked = ask(&asked, &admin.url("/api/v1/tenants"));
    assert_eq!(asked.status, 400, "{}", asked.text());
    let door = &admin.door;
    assert_eq!(door.demo(&[], "/api/v1/me").status, 200);
    let log = door
        .server
        .audit_with("the other login", |log| log.contains(r#""kind":"login""#));
    assert!(!log.contains("bob@demo by"), "{log}");
}

#[test]
fn what_is_shown_once_is_shown_again_and_lies_nowhere_in_clear() {
    let door = HttpsDoor::up();
    door.put("/a", "a", &[]);
    let wanted = json!({ "path": "/a", "password": "open sesame" });
    let answers: Vec<_> = (0..2)
        .map(|_| keyed(&door, "k", "/shares", &wanted))
        .collect();
    let token = answers[0].json()["token"].as_str().unwrap().to_owned();
    assert_eq!(answers[1].json()["token"], token);
    let listed = door.demo(&[], SHARES).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    let data = door.server.data().to_owned();
    door.server.stop();
    let (token, coded) = (token.as_bytes(), BASE64.encode(token.as_bytes()));
    let mut looked_at = 0;
    for file in std::fs::read_dir(&data).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            assert!(!holds(token) && !holds(&coded.as_bytes()[..60]), "{path:?}");
            assert!(!holds(b"open sesame"), "{path:?}");
            looked_at += usize::from(holds(b"SQLite format 3"));
        }
    }
    assert!(looked_at > 0, "there is a database in {data:?}");
}

#[test]
fn a_request_that_changed_nothing_may_be_sent_again_with_its_key() {
    let door = HttpsDoor::up();
    let copy = json!({ "from": "/a", "to": "/b" });
    assert_eq!(keyed(&door, "k", "/copy", &copy).status, 404);
    door.put("/a", "a", &[]);
    assert_eq!(keyed(&door, "k", "/copy", &copy).status, 201);
    let again = keyed(&door, "k", "/copy", &copy);
    assert!(is_replayed(&again));
}

#[test]
fn the_same_request_many_times_at_once_is_done_once() {
    let door = HttpsDoor::up();
    let wanted = json!({ "name": "t", "scopes": ["account"] });
    // Logged in before, so that nobody waits for a password to be looked at.
    assert_eq!(door.demo(&[], "/api/v1/me").status, 200);
    let statuses: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| keyed(&door, "k", "/tokens", &wanted)))
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for answer in &statuses {
        match answer.status {
            201 => {}
            409 => assert_eq!(answer.problem(), "under-way"),
            status => panic!("{status}: {}", answer.text()),
        }
    }
    assert!(statuses.iter().any(|answer| answer.status == 201));
    let listed = door.demo(&[], "/api/v1/tokens").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert!(is_replayed(&keyed(&door, "k", "/tokens", &wanted)));
}
