//! Clients that never stop sending, a byte at a time.

use std::time::Duration;

use data_encoding::BASE64;

use crate::support::https_door::HttpsDoor;
use crate::support::web_line::WebLine;

/// Far less than a body takes that comes in bytes, and far more than the server allows.
const WITHIN: Duration = Duration::from_secs(60);

/// Begins a request whose body is long, and sends nothing of it.
fn begin(door: &HttpsDoor, request: &str, headers: &str) -> WebLine {
    let mut line = WebLine::to(door);
    line.send(&format!(
        "{request} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: 60000\r\n\r\n"
    ));
    line
}

#[test]
fn strangers_must_send_all_of_a_small_body_in_the_time_for_logging_in() {
    let door = HttpsDoor::up_set([("LIMITS__LOGIN_TIME", "2s"), ("HTTPS__STALL_TIME", "1h")]);
    let link = door.demo(
        &["--json", r#"{"path":"/","password":"pass-of-link"}"#],
        "/api/v1/shares",
    );
    let link = link.json()["token"].as_str().unwrap().to_owned();
    for path in [
        "/api/v1/sessions",
        &format!("/api/v1/shared/{link}/password"),
    ] {
        let json = "Content-Type: application/json\r\n";
        let mut line = begin(&door, &format!("POST {path}"), json);
        let answer = line.drip(" ", WITHIN);
        assert_eq!(answer.status, 408, "{path}: {}", answer.text());
        assert_eq!(answer.problem(), "stalled");
    }
}

#[test]
fn a_small_body_must_come_as_a_whole_before_a_large_one_would_be_broken_off() {
    let door = HttpsDoor::up_with(&[("STALL_TIME", "2s")]);
    let user = BASE64.encode(door.user().as_bytes());
    let user = format!("Authorization: Basic {user}\r\n");
    let json = format!("{user}Content-Type: application/json\r\n");
    let once = format!("{json}Idempotency-Key: k\r\n");
    for (request, headers) in [
        ("POST /api/v1/move", &json),
        ("POST /api/v1/move", &once),
        ("PROPFIND /dav/", &user),
        ("PROPPATCH /dav/a", &user),
        ("LOCK /dav/a", &user),
    ] {
        let answer = begin(&door, request, headers).drip(" ", WITHIN);
        assert_eq!(answer.status, 408, "{request}: {}", answer.text());
    }
    // A file may come as slowly as it likes, as long as it moves.
    let mut line = WebLine::to(&door);
    line.send(&format!(
        "PUT /api/v1/files/slow HTTP/1.1\r\nHost: a\r\n{user}Content-Length: 400\r\n\r\n"
    ));
    let answer = line.drip("x", WITHIN);
    assert_eq!(answer.status, 201, "{}", answer.text());
}
