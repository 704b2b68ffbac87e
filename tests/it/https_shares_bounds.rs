//! What strangers can take who have a link for sending files: no more than it is held to, and nothing once it
//! has ended.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::admin_door::{AdminDoor, token};
use crate::support::folder::TempFolder;
use crate::support::https_door::{Answer, HttpsDoor, ask};
use crate::support::links::{Link, SHARES};
use crate::support::server::{DEMO, Server};
use crate::support::tus::{SPEAK, Tus, location, noise};
use crate::support::wait::wait_for;
use crate::support::web_client::post;

const SOON: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);
const FOLDER: &str = "/api/v1/folders/inbox";

/// A server that sweeps up all the time.
fn busy() -> AdminDoor {
    let door = HttpsDoor::up_set([("RETENTION__INTERVAL", "1s")]);
    let root = token(&door.server, "root", "operator");
    assert_eq!(door.demo(&["-X", "POST"], FOLDER).status, 201);
    AdminDoor { door, root }
}

fn inbox<'a>(door: &'a HttpsDoor, more: Value) -> Link<'a> {
    let mut wanted = json!({ "path": "/inbox", "kind": "upload" });
    let (all, more) = (wanted.as_object_mut().unwrap(), more);
    all.extend(more.as_object().unwrap().clone());
    door.link(&wanted)
}

#[track_caller]
fn part(link: &Link<'_>, length: usize) -> Answer {
    let length = format!("Upload-Length: {length}");
    let concat = "Upload-Concat: partial";
    let words = ["-X", "POST", "-H", SPEAK, "-H", &length, "-H", concat];
    link.ask(&words, "/uploads")
}

#[track_caller]
fn join(link: &Link<'_>, parts: &[&str], name: &str) -> Answer {
    let concat = format!("Upload-Concat: final;{}", parts.join(" "));
    let name = data_encoding::BASE64.encode(name.as_bytes());
    let metadata = format!("Upload-Metadata: filename {name}");
    let words = ["-X", "POST", "-H", SPEAK, "-H", &concat, "-H", &metadata];
    link.ask(&words, "/uploads")
}

fn reserved(admin: &AdminDoor) -> i64 {
    let tenant = admin.root(&[], "/tenants/demo");
    tenant.json()["reserved_bytes"].as_i64().unwrap()
}

#[track_caller]
fn is_full(answer: &Answer) {
    let text = answer.text();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (507, "quota"),
        "{text}"
    );
    assert!(text.contains("this link"), "{text}");
}

#[test]
fn parts_are_held_to_what_the_files_are_held_to() {
    let admin = busy();
    let limits = json!({ "max_files": 1, "max_size": 10, "patterns": ["*.txt"] });
    let link = inbox(&admin.door, limits);
    let nobody = Tus::at(&admin.door.address().to_string(), "x:y");
    let first = location(&part(&link, 6));
    is_full(&part(&link, 5));
    let second = location(&part(&link, 4));
    is_full(&part(&link, 1));
    // The parts are of the one file that is taken.
    is_full(&link.put("a.txt", "x", &[]));
    assert_eq!(nobody.patch(&first, 0, b"012345", &[]).status, 204);
    assert_eq!(nobody.patch(&second, 0, b"6789", &[]).status, 204);
    is_full(&part(&link, 1));
    assert_eq!(join(&link, &[&first, &second], "a.pdf").status, 400);
    let joined = join(&link, &[&first, &second], "a.txt");
    assert_eq!(joined.status, 201, "{}", joined.text());
    assert_eq!(admin.door.get("/inbox/a.txt", &[]).text(), "0123456789");
    assert_eq!(part(&link, 1).problem(), "link-over");
    // Of a link that takes two files, the second may come while the first does.
    let link = inbox(&admin.door, json!({ "max_files": 2, "max_size": 10 }));
    for _ in 0..4 {
        location(&part(&link, 5));
    }
    is_full(&part(&link, 1));
}

#[test]
fn there_are_so_many_parts_at_a_time() {
    let admin = busy();
    let link = inbox(&admin.door, json!({ "max_files": 1 }));
    let url = admin
        .door
        .url(&format!("{}/uploads?part=[1-1002]", link.url));
    let begun = Command::new("curl")
        .args(["--silent", "--insecure", "-X", "POST", "-H", SPEAK])
        .args(["-H", "Upload-Concat: partial", "-H", "Upload-Length: 0"])
        .args(["--output", "/dev/null", "--write-out", "%{http_code}\n"])
        .arg(&url)
        .output()
        .unwrap();
    let told = String::from_utf8(begun.stdout).unwrap();
    let told: Vec<_> = told.lines().collect();
    assert_eq!(told.len(), 1002);
    let taken = told.iter().take_while(|status| **status == "201");
    assert_eq!(taken.count(), 1000);
    assert_eq!(told[1000..], ["507"; 2]);
    // More than end with the link at once: a job ends the others, and another link takes as many.
    let at = format!("{SHARES}/{}", link.id);
    assert_eq!(admin.door.demo(&["-X", "DELETE"], &at).status, 204);
    location(&part(&inbox(&admin.door, json!({})), 0));
}

#[test]
fn what_is_on_its_way_by_a_link_takes_no_room_once_that_has_ended() {
    let admin = busy();
    let (door, server) = (&admin.door, admin.server());
    let nobody = Tus::at(&door.address().to_string(), "x:y");
    let bytes = noise(31, 600_000);
    let send = |link: &Link<'_>| {
        let at = location(&part(link, bytes.len() + 1));
        assert_eq!(nobody.patch(&at, 0, &bytes, &[]).status, 204);
        assert!(reserved(&admin) > 500_000);
    };
    let gone = |what: &str| {
        wait_for(what, SOON, || (reserved(&admin) == 0).then_some(()));
    };
    let revoked = inbox(door, json!({}));
    send(&revoked);
    let at = format!("{SHARES}/{}", revoked.id);
    assert_eq!(door.demo(&["-X", "DELETE"], &at).status, 204);
    assert_eq!(reserved(&admin), 0, "it goes with the link");
    let soon = jiff::Timestamp::now() + Duration::from_secs(5);
    let expiring = inbox(door, json!({ "expires_at": soon.to_string() }));
    send(&expiring);
    gone("what came by a link that expired to end");
    expiring.assert_over();
    server.admin(
        &["account", "add", "bob@demo", "--password-stdin"],
        "the password\n",
    );
    server.admin(&["grant", "add", "bob@demo", "demo:/inbox", "all"], "");
    let user = ["--user", "bob@demo:the password"];
    let wanted = json!({ "path": "/inbox", "kind": "upload" }).to_string();
    let made = post(door, &user, SHARES, &wanted).json();
    let by_bob = Link {
        door,
        id: made["id"].as_str().unwrap().to_owned(),
        url: made["url"].as_str().unwrap().to_owned(),
    };
    send(&by_bob);
    server.admin(&["account", "remove", "bob@demo"], "");
    gone("what came by a link of somebody who was removed to end");
}

/// Whether anything is in one of the folders of the blobs.
fn has_blobs(blobs: &Path) -> bool {
    let inside = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    inside(blobs).any(|folder| inside(&folder.path()).next().is_some())
}

#[test]
fn what_a_put_began_goes_with_the_server_that_was_killed() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let settings = [("SEALIFT__RETENTION__INTERVAL".to_owned(), "1s".to_owned())];
    let server = Server::up_with(&data, &settings);
    let user = format!("{DEMO}:{}", server.password());
    let at = |server: &Server, path: &str| {
        format!("https://{}{path}", server.ready.listeners.https.unwrap())
    };
    let made = ask(&["--user", &user, "-X", "POST"], &at(&server, FOLDER));
    assert_eq!(made.status, 201, "{}", made.text());
    let wanted = json!({ "path": "/inbox", "kind": "upload", "max_files": 1 }).to_string();
    let words = [
        "--user",
        &user,
        "-H",
        "Content-Type: application/json",
        "-d",
        &wanted,
    ];
    let link = ask(&words, &at(&server, SHARES)).json();
    let file = format!("{}/files/a", link["url"].as_str().unwrap());
    let put = |server: &Server| ask(&["-X", "PUT", "-d", "x"], &at(server, &file));
    let mut client = Command::new("curl")
        .args(["--silent", "--insecure", "--limit-rate", "100k", "-T", "-"])
        .arg(at(&server, &file))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = client.stdin.take().unwrap();
    let feeding = thread::spawn(move || {
        // Until the server is killed.
        let _ = std::io::Write::write_all(&mut pipe, &noise(32, 64 << 20));
    });
    // Nothing else is stored. To ask by the link would take the place that the upload is to have.
    wait_for("the upload to be on its way", SOON, || {
        has_blobs(&data.join("blobs")).then_some(())
    });
    server.kill();
    client.wait().unwrap();
    feeding.join().unwrap();
    let server = Server::up_with(&data, &settings);
    // Its lease is over after half a minute.
    let sent = wait_for("the link to take a file again", MINUTE * 2, || {
        let sent = put(&server);
        (sent.status != 507).then_some(sent)
    });
    assert_eq!(sent.status, 201, "{}", sent.text());
    server.stop();
}

#[test]
fn a_maker_is_not_told_where_a_link_leads_that_they_may_not_see() {
    let admin = busy();
    let (door, server) = (&admin.door, admin.server());
    server.admin(
        &["account", "add", "bob@demo", "--password-stdin"],
        "the password\n",
    );
    for path in ["/theirs", "/secret-merger"] {
        let made = door.demo(&["-X", "POST"], &format!("/api/v1/folders{path}"));
        assert_eq!(made.status, 201);
    }
    server.admin(&["grant", "add", "bob@demo", "demo:/theirs", "all"], "");
    let user = ["--user", "bob@demo:the password"];
    let bob = |words: &[&str], path: &str| door.ask(&[&user[..], words].concat(), path);
    assert_eq!(door.put("/theirs/d", "x", &[]).status, 201);
    let made = post(
        door,
        &user,
        SHARES,
        &json!({ "path": "/theirs/d" }).to_string(),
    );
    assert_eq!(made.json()["path"], "/theirs/d", "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let moved = json!({ "from": "/theirs/d", "to": "/secret-merger/d" }).to_string();
    assert_eq!(door.send("POST", "/move", &moved, &[]).status, 200);
    let one = bob(&[], &format!("{SHARES}/{id}"));
    let all = bob(&[], SHARES).json();
    for shown in [one.json(), all["items"][0].clone()] {
        assert_eq!(
            (&shown["path"], &shown["state"]),
            (&Value::Null, &json!("barred")),
            "{shown}"
        );
    }
    assert_eq!(
        door.ask(&[], made.json()["url"].as_str().unwrap()).status,
        410
    );
    // Whoever looks after the tenant sees both.
    let seen = admin.root(&[], "/tenants/demo/links").json();
    let seen = &seen["items"][0];
    assert_eq!(
        (&seen["path"], &seen["state"]),
        (&json!("/secret-merger/d"), &json!("barred"))
    );
    let back = json!({ "from": "/secret-merger/d", "to": "/theirs/e" }).to_string();
    assert_eq!(door.send("POST", "/move", &back, &[]).status, 200);
    let shown = bob(&[], &format!("{SHARES}/{id}")).json();
    assert_eq!(
        (&shown["path"], &shown["state"]),
        (&json!("/theirs/e"), &json!("live"))
    );
}
