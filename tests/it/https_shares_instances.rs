//! Links at two servers on the same PostgreSQL: none gives more than there is.

use std::thread;

use serde_json::{Value, json};

use crate::support::https_door::{Answer, ask};
use crate::support::serving::Serving;
use crate::support::two::{SECRET, Two};

fn url(serving: &Serving, path: &str) -> String {
    format!("https://{}{path}", serving.https.unwrap())
}

#[track_caller]
fn as_ann(serving: &Serving, words: &[&str], path: &str) -> Answer {
    let user = format!("ann@acme:{SECRET}");
    ask(&[&["--user", &user], words].concat(), &url(serving, path))
}

#[track_caller]
fn send(serving: &Serving, words: &[&str], path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let json = ["-H", "Content-Type: application/json", "--data", &body];
    as_ann(serving, &[&json[..], words].concat(), path)
}

#[test]
fn two_servers_give_no_more_downloads_than_there_are() {
    let two = Two::new();
    let servers = [two.start("one"), two.start("other")];
    let home = "/api/v1/files/home/ann/a?parents=true";
    let put = as_ann(&servers[0], &["-X", "PUT", "--data-binary", "alpha"], home);
    assert_eq!(put.status, 201, "{}", put.text());
    let wanted = json!({ "path": "/home/ann/a", "max_downloads": 3 });
    let made = send(&servers[0], &[], "/api/v1/shares", &wanted);
    assert_eq!(made.status, 201, "{}", made.text());
    let link = made.json()["url"].as_str().unwrap().to_owned();
    let file = format!("{link}/file");
    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..12)
            .map(|number| {
                let at = url(&servers[number % 2], &file);
                scope.spawn(move || ask(&[], &at))
            })
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let given = answers.iter().filter(|answer| answer.status == 200);
    assert_eq!(given.count(), 3);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(refused.problem(), "link-over");
    }
    // What one revokes, the other refuses at once.
    let more = send(
        &servers[0],
        &[],
        "/api/v1/shares",
        &json!({ "path": "/home/ann/a" }),
    );
    let link = more.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(ask(&[], &url(&servers[1], &link)).status, 200);
    let id = more.json()["id"].as_str().unwrap().to_owned();
    let at = format!("/api/v1/shares/{id}");
    assert_eq!(as_ann(&servers[0], &["-X", "DELETE"], &at).status, 204);
    assert_eq!(ask(&[], &url(&servers[1], &link)).status, 410);
    // A link by which files are sent takes no more than it is held to, wherever they are sent.
    let wanted = json!({ "path": "/home/ann", "kind": "upload", "max_files": 4 });
    let made = send(&servers[0], &[], "/api/v1/shares", &wanted);
    let link = made.json()["url"].as_str().unwrap().to_owned();
    let answers: Vec<_> = thread::scope(|scope| {
        let sending: Vec<_> = (0..12)
            .map(|number| {
                let at = url(&servers[number % 2], &format!("{link}/files/a"));
                scope.spawn(move || ask(&["-X", "PUT", "--data-binary", "beta"], &at))
            })
            .collect();
        sending.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for answer in &answers {
        assert!(
            matches!(answer.status, 201 | 410 | 507),
            "{}",
            answer.text()
        );
    }
    let taken: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    let mut names: Vec<_> = taken
        .iter()
        .map(|taken| taken.json()["name"].to_string())
        .collect();
    names.sort();
    let expected = [2, 3, 4, 5].map(|number| format!("\"a ({number})\""));
    let said: Vec<_> = answers.iter().map(Answer::text).collect();
    assert_eq!(names, expected, "{said:#?}");
    assert_eq!(
        as_ann(&servers[1], &[], "/api/v1/files/home/ann/a").text(),
        "alpha"
    );
    two.run(&["fsck"]);
    servers.into_iter().for_each(Serving::stop);
}

#[test]
fn a_request_with_a_key_is_done_once_at_two_servers() {
    let two = Two::new();
    let servers = [two.start("one"), two.start("other")];
    let wanted = json!({ "name": "t", "scopes": ["account"] });
    for server in &servers {
        assert_eq!(as_ann(server, &[], "/api/v1/me").status, 200);
    }
    let key = ["-H", "Idempotency-Key: k"];
    let answers: Vec<_> = thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|number| {
                let (server, wanted) = (&servers[number % 2], &wanted);
                scope.spawn(move || send(server, &key, "/api/v1/tokens", wanted))
            })
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 201 | 409))
    );
    let listed = as_ann(&servers[0], &[], "/api/v1/tokens").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let again = send(&servers[1], &key, "/api/v1/tokens", &wanted);
    assert_eq!(again.header("x-sealift-replayed"), Some("true"));
    servers.into_iter().for_each(Serving::stop);
}
