//! The same story through SFTP, FTP and FTPS: the same outcomes, refusals, trees and history.

use serde_json::Value;

use crate::support::client::{run, script, succeed};
use crate::support::ftp_door::{FtpDoor, SECRET};

/// What a door made of the story.
#[derive(Debug, PartialEq)]
struct Told {
    steps: Vec<Value>,
    history: Vec<Value>,
}

#[test]
fn one_story_is_the_same_through_every_door() {
    let door = FtpDoor::up();
    let sftp = tell(&door, "sftp", door.server.port());
    for (kind, port) in [
        ("ftp", door.address().port()),
        ("ftps", door.implicit().port()),
    ] {
        let told = tell(&door, kind, port);
        for (ours, theirs) in told.steps.iter().zip(&sftp.steps) {
            assert_eq!(ours, theirs, "{kind}");
        }
        for (ours, theirs) in told.history.iter().zip(&sftp.history) {
            assert_eq!(ours, theirs, "{kind}");
        }
        assert_eq!(told, sftp, "{kind}");
    }
}

/// Tells it to a tenant of its own, first as somebody who may do all, then as somebody who may read.
fn tell(door: &FtpDoor, kind: &str, port: u16) -> Told {
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
    let log = run_admin(&["audit", "list", &tenant, "--json"], "");
    let log: Value = serde_json::from_str(&log).unwrap();
    let records = log.as_array().unwrap().iter();
    Told {
        steps,
        history: records.map(|record| plain(record, &tenant)).collect(),
    }
}

/// A record without what must differ: when, which session, which door.
fn plain(record: &Value, tenant: &str) -> Value {
    let text = record.to_string().replace(tenant, "door");
    let mut record: Value = serde_json::from_str(&text).unwrap();
    let fields = record.as_object_mut().unwrap();
    for field in [
        "account", "at", "time", "session", "hash", "previous", "protocol", "id",
    ] {
        fields.remove(field);
    }
    record
}
