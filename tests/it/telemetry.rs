//! Traces, metrics and logs on their way to a collector, and what is when there is none.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::{run, succeed};
use crate::support::folder::TempFolder;
use crate::support::listeners::{Identity, Listener, free_port};
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const SECRET: &str = "hunter2";

fn sent_to(port: u16, identity: &Identity) -> Vec<(String, String)> {
    let authority = identity.certificate.display().to_string();
    [
        ("OTLP_ENDPOINT", format!("https://localhost:{port}")),
        ("OTLP_HEADERS", format!("x-key={SECRET}")),
        ("CA_FILE", authority),
        ("INTERVAL", "1s".to_owned()),
        ("TRACE_ONE_IN", "1".to_owned()),
    ]
    .map(|(name, value)| (format!("SEALIFT__TELEMETRY__{name}"), value))
    .into_iter()
    // Whoever is believed which trace a request belongs to.
    .chain([(
        "SEALIFT__HTTPS__FORWARDERS".to_owned(),
        "127.0.0.1/32".to_owned(),
    )])
    .collect()
}

#[track_caller]
fn upload(server: &Server, name: &str) {
    let mut command = Command::new("curl");
    let address = server.ready.listeners.https.unwrap();
    command
        .args([
            "-sk",
            "--fail",
            "--user",
            &format!("{DEMO}:{}", server.password()),
        ])
        .args(["--header", &format!("traceparent: 00-{TRACE}-{PARENT}-01")])
        .args(["-T", "-", &format!("https://{address}/api/v1/files/{name}")]);
    succeed(&run(command, "text"));
}

#[test]
fn traces_metrics_and_logs_reach_a_collector_over_tls() {
    let folder = TempFolder::new();
    let (identity, port) = (Identity::new(&folder.join("tls")), free_port());
    let collector = Listener::collector(folder.path(), &identity, port);
    let server = Server::up_with(&folder.join("data"), &sent_to(port, &identity));
    upload(&server, "a-name-that-nobody-is-told");
    let log = server.log();
    let instance = server.ready.instance.clone();
    // What waits is sent at the end.
    server.stop();
    assert!(!log.contains("does not take telemetry"), "{log}");

    let heard = collector.heard_json();
    let text = collector.heard();
    assert!(!text.contains("a-name-that-nobody-is-told"));
    for one in &heard {
        assert_eq!(one["resource"]["service.name"], "sealift");
        assert_eq!(
            one["resource"]["service.version"],
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(one["resource"]["service.instance.id"], instance);
        assert_eq!(one["key"], SECRET);
    }
    let spans: Vec<_> = heard.iter().filter(|one| one["trace"] == TRACE).collect();
    let find = |name: &str, parent: &Value| {
        let found = spans
            .iter()
            .find(|span| span["name"] == name && span["parent"] == *parent);
        found.unwrap_or_else(|| panic!("no {name} in {spans:?}"))["span"].clone()
    };
    let request = find("request", &Value::from(PARENT));
    let transfer = find("transfer", &request);
    find("commit", &transfer);
    assert!(spans.iter().any(|span| span["name"] == "store"));
    let named = |signal: &str, key: &str, name: &str| {
        heard
            .iter()
            .any(|one| one["signal"] == signal && one[key] == name)
    };
    assert!(named("metric", "name", "sealift.transfers"));
    assert!(named("metric", "name", "sealift.store.duration"));
    assert!(named("log", "body", "ready"));
}

#[test]
fn a_collector_that_is_down_holds_nothing_up_and_is_found_when_it_is_back() {
    let folder = TempFolder::new();
    let (identity, port) = (Identity::new(&folder.join("tls")), free_port());
    let server = Server::up_with(&folder.join("data"), &sent_to(port, &identity));
    upload(&server, "one");
    wait_for("the warning", SOON, || {
        server
            .log()
            .contains("does not take telemetry")
            .then_some(())
    });
    upload(&server, "two");
    let collector = Listener::collector(folder.path(), &identity, port);
    wait_for("metrics to arrive", SOON, || {
        let heard = collector.heard_json();
        heard
            .iter()
            .any(|one| one["signal"] == "metric")
            .then_some(())
    });
    // It is back for a kind when something of that is taken, and spans come of what is done.
    upload(&server, "three");
    wait_for("the server to say so", SOON, || {
        server
            .log()
            .contains("the collector takes telemetry again")
            .then_some(())
    });
    assert_eq!(server.log().matches("does not take telemetry").count(), 1);
    assert!(!server.log().contains(SECRET));
    drop(collector);
    // Nor does it hold up the end.
    server.stop();
}
