//! The same story through SFTP, FTP, FTPS, HTTPS and WebDAV: the same outcomes, refusals, trees and history.

use std::time::Duration;

use serde_json::Value;

use crate::support::client::{run, script, succeed};
use crate::support::ftp_door::{FtpDoor, SECRET};
use crate::support::wait::wait_for;

/// What a door made of the story.
#[derive(Debug, PartialEq)]
struct Told {
    steps: Vec<Value>,
    history: Vec<Value>,
}

#[test]
fn one_story_is_the_same_through_every_door() {
    let door = FtpDoor::up();
    let sftp = tell(&door, "sftp", door.server.port(), 0);
    let https = door.server.ready.listeners.https.unwrap().port();
    for (kind, port) in [
        ("ftp", door.address().port()),
        ("ftps", door.implicit().port()),
        ("https", https),
        ("webdav", https),
    ] {
        let told = tell(
            &door,
            kind,
            port,
            sftp.history.len() - missing_records(kind),
        );
        assert_eq!(told.steps.len(), sftp.steps.len(), "{kind}");
        for (ours, theirs) in told.steps.iter().zip(&sftp.steps) {
            // What a protocol has no word for cannot be told.
            if ours["none"].is_null() {
                assert_eq!(ours, theirs, "{kind}");
            }
        }
        let missing = told.steps.iter().filter(|step| !step["none"].is_null());
        assert_eq!(missing.count(), words_missing(kind), "{kind}");
        let (ours, theirs) = match kind {
            // Whoever logs in with each request never logs out.
            "https" => (told.history, without(&sftp.history, "logout")),
            // Modes are not set, and times are: two records of one kind are one.
            "webdav" => (
                merged(&told.history),
                merged(&without(&sftp.history, "logout")),
            ),
            _ => (told.history, sftp.history.clone()),
        };
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{kind}");
        }
        assert_eq!(ours, theirs, "{kind}");
    }
}

/// How many steps the protocol has no word for: removing only what is empty, only a folder or only a file,
/// and setting modes.
fn words_missing(kind: &str) -> usize {
    match kind {
        "https" => 3,
        "webdav" => 5,
        _ => 0,
    }
}

/// How many records of the story are missing: two of logging out, two of modes.
fn missing_records(kind: &str) -> usize {
    match kind {
        "https" => 2,
        "webdav" => 4,
        _ => 0,
    }
}

fn without(history: &[Value], kind: &str) -> Vec<Value> {
    let rest = history.iter().filter(|record| record["kind"] != kind);
    rest.cloned().collect()
}

/// One record of several that differ only in their number among the changes.
fn merged(history: &[Value]) -> Vec<Value> {
    let mut merged = history.to_vec();
    for record in &mut merged {
        record.as_object_mut().unwrap().remove("seq");
    }
    merged.dedup();
    merged
}

/// Tells it to a tenant of its own, first as somebody who may do all, then as somebody who may read.
/// The history has at least `records`, the last of which is written down a little later.
fn tell(door: &FtpDoor, kind: &str, port: u16, records: usize) -> Told {
    let run_admin = |words: &[&str], input: &str| door.server.admin(words, input);
    let tenant = format!("door-{kind}");
    run_admin(&["tenant", "add", &tenant, "--quota", "2MiB"], "");
    let mut steps = Vec::new();
    for (user, more) in [("writer", None), ("reader", Some("--read-only"))] {
        let account = format!("{user}@{tenant}");
        let mut words = vec!["account", "add", &account, "--password-stdin"];
        words.extend(["--home", "/"]);
        words.extend(more);
        run_admin(&words, &format!("{SECRET}\n"));
        run_admin(
            &["account", "methods", &account, "--clear-text", "true"],
            "",
        );
        let command = script("parity.py", port, &account, SECRET, &[kind, user]);
        let printed = succeed(&run(command, ""));
        let lines = printed.lines();
        steps.extend(lines.map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    let log = wait_for("the history", Duration::from_secs(20), || {
        let log = run_admin(&["audit", "list", &tenant, "--after", "0", "--json"], "");
        let log: Value = serde_json::from_str(&log).unwrap();
        let all = log.as_array().unwrap().clone();
        let ended = all.iter().filter(|record| record["kind"] == "logout");
        let is_whole = records > 0 || ended.count() == 2;
        (is_whole && all.len() >= records).then_some(all)
    });
    Told {
        steps,
        history: log.iter().map(|record| plain(record, &tenant)).collect(),
    }
}

/// A record without what must differ: when, which session, which door.
fn plain(record: &Value, tenant: &str) -> Value {
    let text = record.to_string().replace(tenant, "door");
    let mut record: Value = serde_json::from_str(&text).unwrap();
    let fields = record.as_object_mut().unwrap();
    for field in [
        "account", "at", "time", "session", "hash", "previous", "protocol", "id", "number",
    ] {
        fields.remove(field);
    }
    record
}
