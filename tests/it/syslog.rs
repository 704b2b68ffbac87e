//! The log and the audit logs on their way to a real syslog server over TLS.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::{run, succeed};
use crate::support::folder::TempFolder;
use crate::support::listeners::{Identity, Listener, free_port};
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);

fn told_to(port: u16, identity: &Identity) -> [(String, String); 2] {
    let authority = identity.certificate.display().to_string();
    [
        (
            "SEALIFT__SYSLOG__SERVERS".to_owned(),
            format!("localhost:{port}"),
        ),
        ("SEALIFT__SYSLOG__CA_FILE".to_owned(), authority),
    ]
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
        .args(["-T", "-", &format!("https://{address}/api/v1/files/{name}")]);
    succeed(&run(command, "text"));
}

/// A value of a line's structured data.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

/// The numbers of audit records, as they came.
fn numbers(heard: &str) -> Vec<i64> {
    let lines = heard
        .lines()
        .filter(|line| line.contains(" tenant=\"demo\""));
    lines
        .map(|line| value(line, "number").unwrap().parse().unwrap())
        .collect()
}

/// Whether it is told that something was stored.
fn has(listener: &Listener, path: &str) -> Option<()> {
    let heard = listener.heard();
    let wanted = format!("] {path} 4 bytes");
    let is_it = |line: &str| value(line, "event") == Some("store") && line.ends_with(&wanted);
    heard.lines().any(is_it).then_some(())
}

#[test]
fn audit_records_come_in_order_through_outages_and_restarts_and_none_is_lost() {
    let folder = TempFolder::new();
    let (identity, port) = (Identity::new(&folder.join("tls")), free_port());
    let rsyslog = Listener::rsyslog(folder.path(), &identity, port);
    let settings = told_to(port, &identity);
    let server = Server::up_with(&folder.join("data"), &settings);
    upload(&server, "before");
    wait_for("the first record", SOON, || has(&rsyslog, "/before"));
    drop(rsyslog);

    // Nobody listens, and nobody waits for that.
    for name in ["while-1", "while-2", "while-3"] {
        upload(&server, name);
    }
    let rsyslog = Listener::rsyslog(folder.path(), &identity, port);
    upload(&server, "after");
    wait_for("what was held back", SOON, || has(&rsyslog, "/after"));
    server.stop();
    wait_for("the end of the log", SOON, || {
        rsyslog.heard().contains(" ended\n").then_some(())
    });

    // What is known to be there is not sent again.
    let so_far = numbers(&rsyslog.heard());
    let server = Server::up_with(&folder.join("data"), &settings);
    upload(&server, "again");
    wait_for("the last record", SOON, || has(&rsyslog, "/again"));
    let log = server.admin(&["audit", "list", "demo", "--json"], "");
    let log: Value = serde_json::from_str(&log).unwrap();
    let heard = rsyslog.heard();
    let all = numbers(&heard);
    let last_before = *so_far.last().unwrap();
    assert!(
        all[so_far.len()..]
            .iter()
            .all(|number| *number > last_before),
        "{all:?}"
    );

    // Each record comes after those before it; some may come twice.
    let mut next = 1;
    for number in &all {
        assert!(*number <= next, "{all:?}");
        next = next.max(number + 1);
    }
    for record in log.as_array().unwrap() {
        let number = record["number"].as_i64().unwrap();
        if number >= next {
            continue;
        }
        let wanted = format!(" number=\"{number}\" ");
        let line = heard.lines().find(|line| line.contains(&wanted)).unwrap();
        assert!(line.starts_with("<13"), "{line}");
        assert_eq!(value(line, "event"), record["kind"].as_str());
        assert_eq!(value(line, "protocol"), record["protocol"].as_str());
        assert_eq!(value(line, "address"), record["address"].as_str());
        assert_eq!(value(line, "account"), record["user"].as_str());
        let detail = record["detail"].as_str().unwrap();
        assert!(line.ends_with(&format!("] {detail}")), "{line}");
    }
    // The log is there too.
    assert!(
        heard
            .lines()
            .any(|line| line.contains(" log [sealift@32473 target=\"sealift::"))
    );
    server.stop();
}

#[test]
fn a_server_that_is_not_who_it_should_be_is_told_nothing() {
    let folder = TempFolder::new();
    let (identity, port) = (Identity::new(&folder.join("tls")), free_port());
    let rsyslog = Listener::rsyslog(folder.path(), &identity, port);
    let other = Identity::new(&folder.join("other"));
    let server = Server::up_with(&folder.join("data"), &told_to(port, &other));
    upload(&server, "file");
    wait_for("a warning", SOON, || {
        server
            .log()
            .contains("the audit log does not reach a syslog server")
            .then_some(())
    });
    assert!(!rsyslog.heard().contains("sealift"), "{}", rsyslog.heard());
    server.stop();
}
