//! What clients of the HTTPS port meet while the server's own disk is gone.

use std::fs;
use std::time::Duration;

use crate::support::https_door::{self, Answer, HttpsDoor};
use crate::support::wait::wait_for;
use crate::support::web_line::WebLine;

/// Waits until readiness is answered so on the port without TLS.
fn readiness(door: &HttpsDoor, status: u16) -> Answer {
    let url = format!("http://{}/readyz", door.clear());
    wait_for("readiness to change", Duration::from_secs(120), || {
        Some(https_door::ask(&[], &url)).filter(|answer| answer.status == status)
    })
}

#[test]
fn a_lost_folder_of_blobs_is_an_outage_and_no_damage() {
    let door = HttpsDoor::up();
    let long = "x".repeat(100_000);
    for (name, content) in [("small", "abc"), ("long", &*long)] {
        door.put(&format!("/{name}"), content, &[]);
    }
    let share = door.demo(
        &["--json", r#"{"path":"/long","max_downloads":1}"#],
        "/api/v1/shares",
    );
    let share = share.json();
    let link = format!("/api/v1/shared/{}/file", share["token"].as_str().unwrap());
    // Whoever is there stays when the ports close.
    let mut line = WebLine::to(&door);
    assert_eq!(line.ask("GET", "/api/v1/me", "").status, 200);

    let blobs = door.server.data().join("blobs");
    let away = door.server.data().join("blobs.away");
    fs::rename(&blobs, &away).unwrap();
    let refused = |answer: Answer| {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.problem(), "unavailable");
    };
    for path in ["/api/v1/files/small", "/api/v1/files/long", &link] {
        refused(line.ask("GET", path, ""));
    }
    refused(line.ask("PUT", "/api/v1/files/new", "new"));
    let dav = line.ask("GET", "/dav/long", "");
    assert_eq!(dav.status, 503, "{}", dav.text());
    // What the database knows it knows.
    assert_eq!(line.ask("HEAD", "/api/v1/files/long", "").status, 200);
    assert_eq!(line.ask("GET", "/api/v1/files/new", "").status, 404);

    let told = readiness(&door, 503).json();
    let parts = told["parts"].as_array().unwrap();
    let store = parts.iter().find(|part| part["name"] == "store").unwrap();
    assert_eq!(store["ready"], false);
    assert!(store["latency_ms"].is_null());
    let problem = store["problem"].as_str().unwrap();
    let data = door.server.data().to_str().unwrap();
    assert!(!problem.contains(data), "{problem}");
    let https = door.url("/healthz");
    wait_for("the port to close", Duration::from_secs(60), || {
        (!https_door::is_answered(&https)).then_some(())
    });

    fs::rename(&away, &blobs).unwrap();
    readiness(&door, 200);
    wait_for("the port to open", Duration::from_secs(60), || {
        https_door::is_answered(&https).then_some(())
    });
    assert_eq!(door.get("/small", &[]).text(), "abc");
    // What was not sent was not counted.
    assert_eq!(door.ask(&[], &link).text(), long);
    assert_eq!(door.ask(&[], &link).status, 410);
    let log = door.server.log();
    assert!(!log.contains("damaged"), "{log}");
    assert!(!log.contains("is missing"), "{log}");
    assert!(log.contains("blobs"), "{log}");
}
