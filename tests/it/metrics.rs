//! What a server counts, read by Prometheus' own tools after real transfers.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::client::{SshOptions, cached, run, sftp, sftp_ok, succeed};
use crate::support::folder::{TempFolder, write_random};
use crate::support::ftp_client::{Way, curl_ok, text};
use crate::support::ftp_door::{FtpDoor, code};
use crate::support::ftp_raw::FtpRaw;
use crate::support::hooked::Hooked;
use crate::support::https_door::HttpsDoor;
use crate::support::receiver::{Receiver, Reply};
use crate::support::scraped::Scraped;
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

const SIZE: u64 = 300_000;
const SOON: Duration = Duration::from_secs(60);
const LOCK: &str = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope>\
                    <D:locktype><D:write/></D:locktype></D:lockinfo>";
/// Claims that what is sent is empty.
const SUM_OF_NOTHING: &str = "Repr-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

fn listening() -> [(String, String); 1] {
    [(
        "SEALIFT__METRICS__LISTEN".to_owned(),
        "127.0.0.1:0".to_owned(),
    )]
}

#[test]
fn transfers_of_all_doors_are_counted_as_they_went() {
    let folder = TempFolder::new();
    let server = Server::up_with(&folder.join("data"), &listening());
    let (file, back) = (folder.join("file"), folder.join("back"));
    write_random(&file, SIZE);

    let options = SshOptions::with_new_key(&server, &folder.join(""));
    let (from, to) = (file.display(), back.display());
    sftp_ok(
        &server,
        &options,
        &format!("put {from} by-sftp\nget by-sftp {to}\n"),
    );
    assert!(
        !sftp(&server, &options, &[], "get nothing\n")
            .status
            .success()
    );

    curl_ok(
        &server,
        Way::Explicit,
        &["-T", text(&file), &Way::Explicit.url(&server, "by-ftps")],
    );
    curl_ok(
        &server,
        Way::Explicit,
        &["-o", text(&back), &Way::Explicit.url(&server, "by-ftps")],
    );

    let url = |path: &str| {
        let address = server.ready.listeners.https.unwrap();
        format!("https://{address}/api/v1/files/{path}")
    };
    let https = |words: &[&str], path: &str| {
        let mut command = Command::new("curl");
        let user = format!("{DEMO}:{}", server.password());
        command
            .args(["-sk", "--user", &user])
            .args(words)
            .arg(url(path));
        run(command, "")
    };
    succeed(&https(&["--fail", "-T", text(&file)], "by-https"));
    succeed(&https(&["--fail", "-o", text(&back)], "by-https"));
    https(&[], "nothing");
    let mut stranger = Command::new("curl");
    stranger
        .args(["-sk", "--user", "demo@demo:wrong"])
        .arg(url("by-https"));
    succeed(&run(stranger, ""));

    // Sessions of SSH end a moment after their clients.
    let is_over =
        |scraped: &Scraped| scraped.get("sealift_sessions", &[("protocol", "sftp")]) == Some(0.0);
    let seen = wait_for("the sessions to be over", Duration::from_secs(30), || {
        Some(Scraped::of(&server)).filter(is_over)
    });
    for protocol in ["sftp", "ftps", "https"] {
        for direction in ["in", "out"] {
            let labels = [("protocol", protocol), ("direction", direction)];
            let moved = seen.get("sealift_transfer_bytes_total", &labels);
            assert_eq!(moved, Some(SIZE as f64), "{labels:?}");
            let labels = [labels[0], labels[1], ("outcome", "complete")];
            let count = seen.get("sealift_transfers_total", &labels);
            assert_eq!(count, Some(1.0), "{labels:?}");
        }
        let labels = [("protocol", protocol), ("outcome", "success")];
        let logins = seen.get("sealift_logins_total", &labels);
        assert!(logins.is_some_and(|count| count >= 1.0), "{labels:?}");
    }
    assert_eq!(seen.sum("sealift_transfers_total"), 6.0);
    let labels = [("protocol", "https"), ("outcome", "failure")];
    assert_eq!(seen.get("sealift_logins_total", &labels), Some(1.0));
    for protocol in ["https", "sftp"] {
        let labels = [("protocol", protocol), ("kind", "not-found")];
        let errors = seen.get("sealift_errors_total", &labels);
        assert!(errors.is_some_and(|count| count >= 1.0), "{labels:?}");
    }
    for direction in ["in", "out"] {
        let labels = [("tenant", "demo"), ("direction", direction)];
        let moved = seen.get("sealift_tenant_transfer_bytes_total", &labels);
        assert_eq!(moved, Some(3.0 * SIZE as f64));
    }
    for operation in ["put", "read", "look"] {
        let labels = [
            ("region", "main"),
            ("operation", operation),
            ("outcome", "ok"),
        ];
        let calls = seen.get("sealift_store_duration_seconds_count", &labels);
        assert!(calls.is_some_and(|count| count >= 1.0), "{labels:?}");
    }
    for operation in ["begin-read", "begin-write", "commit", "query", "statement"] {
        let labels = [("operation", operation), ("outcome", "ok")];
        let calls = seen.get("sealift_database_duration_seconds_count", &labels);
        assert!(calls.is_some_and(|count| count >= 1.0), "{labels:?}");
    }
    assert_eq!(seen.get("sealift_ready", &[]), Some(1.0));
    assert!(seen.get("process_resident_memory_bytes", &[]).unwrap() > 1e6);
    // No names of accounts or files anywhere.
    assert!(
        seen.values()
            .all(|value| !value.contains("by-") && !value.contains('@'))
    );
    // The other format tells of the same.
    let open = Scraped::open(&server);
    let names = |scraped: &Scraped| {
        let mut names: Vec<_> = scraped.names().map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(names(&open), names(&seen));
    server.stop();

    // What tenants store is counted when a server starts, and each minute.
    let server = Server::up_with(&folder.join("data"), &listening());
    let stored = wait_for("tenants to be counted", Duration::from_secs(30), || {
        Scraped::of(&server).get("sealift_tenant_stored_bytes", &[("tenant", "demo")])
    });
    assert_eq!(stored, 3.0 * SIZE as f64);
    server.stop();
}

#[test]
fn bytes_move_while_a_transfer_goes_on_and_what_breaks_off_is_told_from_what_came_through() {
    let folder = TempFolder::new();
    let server = Server::up_with(&folder.join("data"), &listening());
    let file = folder.join("file");
    write_random(&file, 50_000_000);
    let url = format!(
        "https://{}/api/v1/files/slow",
        server.ready.listeners.https.unwrap()
    );
    let mut client = Command::new("curl")
        .args(["-sk", "--limit-rate", "1M", "--user"])
        .arg(format!("{DEMO}:{}", server.password()))
        .args(["-T", text(&file), &url])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let labels = [("protocol", "https"), ("direction", "in")];
    let moved = |scraped: &Scraped| scraped.get("sealift_transfer_bytes_total", &labels);
    let first = wait_for("bytes to move", Duration::from_secs(30), || {
        moved(&Scraped::of(&server)).filter(|bytes| *bytes > 0.0)
    });
    let later = wait_for("more bytes to move", Duration::from_secs(30), || {
        Some(Scraped::of(&server)).filter(|seen| moved(seen) > Some(first))
    });
    assert_eq!(later.sum("sealift_transfers_total"), 0.0);
    assert_eq!(later.get("sealift_uploads_open", &[]), Some(1.0));
    client.kill().unwrap();
    client.wait().unwrap();
    let ended = [labels[0], labels[1], ("outcome", "broken-off")];
    wait_for("the end of the transfer", Duration::from_secs(60), || {
        let seen = Scraped::of(&server);
        let is_over = seen.get("sealift_uploads_open", &[]) == Some(0.0);
        (is_over && seen.get("sealift_transfers_total", &ended) == Some(1.0)).then_some(())
    });
    server.stop();
}

/// The alert rules of the documents, in a file.
fn alert_rules(folder: &TempFolder) -> PathBuf {
    let document = fs::read_to_string("docs/monitoring.md").unwrap();
    let rules = document.split("```yaml\n").skip(1);
    let rules = rules.map(|rest| rest.split("```").next().unwrap());
    let rules: Vec<_> = rules.filter(|text| text.starts_with("groups:")).collect();
    assert_eq!(rules.len(), 1);
    let file = folder.join("rules.yml");
    fs::write(&file, rules[0]).unwrap();
    file
}

fn promtool() -> Command {
    Command::new(cached("monitoring-servers/usr/bin/promtool"))
}

#[test]
fn the_alert_rules_of_the_documents_are_rules() {
    let folder = TempFolder::new();
    let mut check = promtool();
    check.args(["check", "rules"]).arg(alert_rules(&folder));
    succeed(&run(check, ""));
}

#[test]
fn alerts_fire_when_what_they_wait_for_happens_for_the_first_time() {
    let folder = TempFolder::new();
    let server = Server::up_with(&folder.join("data"), &listening());
    let fresh = Scraped::of(&server);
    server.stop();
    let errors = "sealift_errors_total";
    let watched = [
        ("SealiftDefects", errors, "kind", "internal", 5),
        ("SealiftDefects", errors, "kind", "corrupt", 5),
        (
            "SealiftUploadsRefused",
            "sealift_memory_budget_refused_total",
            "need",
            "upload",
            1,
        ),
        (
            "SealiftStoreFull",
            "sealift_store_full_total",
            "region",
            "main",
            1,
        ),
        (
            "SealiftWebhooksWait",
            "sealift_webhooks_attempts_total",
            "outcome",
            "dead",
            1,
        ),
    ];
    let mut cases = Vec::new();
    for (alert, name, label, value, count) in watched {
        // As a server has them of which nothing was asked.
        let series = fresh.of_name(name);
        let series: Vec<_> = series
            .filter(|(labels, _)| labels[label] == value)
            .collect();
        assert_eq!(series.len(), count, "{name}: {series:?}");
        for (labels, at_start) in series {
            assert_eq!(at_start, 0.0, "{name} {labels}");
            let labels = labels.as_object().unwrap().iter();
            let labels: Vec<_> = labels
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let firing = format!("count(ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}})");
            let once = json!([{ "labels": "{}", "value": 1 }]);
            cases.push(json!({
                "name": format!("{alert} {labels:?}"),
                "interval": "1m",
                "input_series": [{
                    "series": format!("{name}{{{}}}", labels.join(",")),
                    "values": "0x5 1x20",
                }],
                "promql_expr_test": [
                    { "expr": firing, "eval_time": "5m", "exp_samples": [] },
                    { "expr": firing, "eval_time": "12m", "exp_samples": once },
                ],
            }));
        }
    }
    let rules = alert_rules(&folder);
    let tests = json!({ "rule_files": [rules], "evaluation_interval": "1m", "tests": cases });
    // What is JSON is YAML.
    let file = folder.join("tests.yml");
    fs::write(&file, tests.to_string()).unwrap();
    let mut test = promtool();
    test.args(["test", "rules"]).arg(&file);
    succeed(&run(test, ""));
}

#[test]
fn every_error_that_a_client_is_told_of_is_counted_once_where_it_was_told() {
    let door = HttpsDoor::up_set([("METRICS__LISTEN", "127.0.0.1:0")]);
    let empty = Scraped::of(&door.server);
    assert_eq!(empty.sum("sealift_errors_total"), 0.0);
    let file = "/api/v1/files/f";
    let put = ["-X", "PUT", "--data-binary", "content"];
    let put = |words: &[&'static str]| [&put[..], words].concat();
    assert_eq!(door.demo(&put(&[]), file).status, 201);
    let lock = ["-X", "LOCK", "--data-binary", LOCK, "-H", "Depth: 0"];
    assert_eq!(door.demo(&lock, "/dav/locked").status, 201);
    let uploads = ["-X", "POST", "-H", "Tus-Resumable: 1.0.0"];
    let told = [
        ("https", "not-found", door.demo(&[], "/api/v1/files/none")),
        ("https", "invalid", door.demo(&[], "/api/v1/files/a%00b")),
        ("https", "no-such-address", door.demo(&[], "/api/v1/none")),
        ("https", "unauthenticated", door.ask(&[], file)),
        (
            "https",
            "changed",
            door.demo(&put(&["-H", "If-Match: \"x\""]), file),
        ),
        (
            "https",
            "checksum",
            door.demo(&put(&["-H", SUM_OF_NOTHING]), file),
        ),
        (
            "https",
            "method-not-allowed",
            door.demo(&["-X", "PUT"], "/api/v1/me"),
        ),
        (
            "https",
            "version",
            door.demo(&uploads[..2], "/api/v1/uploads"),
        ),
        ("webdav", "not-found", door.demo(&[], "/dav/none")),
        ("webdav", "unauthenticated", door.ask(&[], "/dav/f")),
        ("webdav", "locked", door.demo(&put(&[]), "/dav/locked")),
        (
            "webdav",
            "denied",
            door.demo(&["-X", "PROPFIND", "-H", "Depth: infinity"], "/dav/"),
        ),
    ];
    let seen = Scraped::of(&door.server);
    for (protocol, kind, answer) in &told {
        assert!(answer.status >= 400, "{kind}: {}", answer.status);
        let labels = [("protocol", *protocol), ("kind", *kind)];
        let count = seen.get("sealift_errors_total", &labels);
        assert_eq!(count, Some(1.0), "{labels:?}: {}", answer.text());
    }
    assert_eq!(seen.sum("sealift_errors_total"), told.len() as f64);
}

#[test]
fn every_metric_is_in_the_table_of_the_documents_and_no_other() {
    let document = fs::read_to_string("docs/monitoring.md").unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut told: Vec<_> = rows
        .filter_map(|row| row.split('`').next())
        .map(str::to_owned)
        .collect();
    let mut sources = String::new();
    for file in [
        "src/domain/measures.rs",
        "src/ops/gauges.rs",
        "src/ops/own_process.rs",
    ] {
        sources += &fs::read_to_string(file).unwrap();
    }
    let names = sources.split('"').skip(1).step_by(2);
    let names = names.filter(|name| name.starts_with("sealift.") || name.starts_with("process."));
    let mut counted: Vec<_> = names.map(|name| name.replace('.', "_")).collect();
    counted.sort();
    told.retain(|name| name.starts_with("sealift_") || name.starts_with("process_"));
    let plain = |name: &String| {
        let name = name.trim_end_matches("_total");
        name.trim_end_matches("_bytes")
            .trim_end_matches("_seconds")
            .to_owned()
    };
    let mut told: Vec<_> = told.iter().map(plain).collect();
    told.sort();
    assert_eq!(told, counted);
}

#[test]
fn errors_over_ftp_are_counted_by_how_the_client_came() {
    let door = HttpsDoor::up_set([("METRICS__LISTEN", "127.0.0.1:0")]);
    let listeners = &door.server.ready.listeners;
    let password = door.server.password();
    let (mut clear, _) = FtpRaw::connect(listeners.ftp.unwrap()).unwrap();
    clear.login(DEMO, &password);
    let mut sealed = FtpDoor::implicit_at(listeners.ftps.unwrap());
    assert_eq!(code(&mut sealed, "USER demo@demo"), 331);
    assert_eq!(code(&mut sealed, "PASS wrong"), 530);
    sealed.login(DEMO, &password);
    for _ in 0..2 {
        assert_eq!(code(&mut sealed, "DELE none"), 550);
    }
    assert_eq!(code(&mut clear, "DELE none"), 550);
    let seen = Scraped::of(&door.server);
    for (protocol, kind, count) in [
        ("ftp", "not-found", 1.0),
        ("ftps", "not-found", 2.0),
        ("ftps", "unauthenticated", 1.0),
    ] {
        let labels = [("protocol", protocol), ("kind", kind)];
        let told = seen.get("sealift_errors_total", &labels);
        assert_eq!(told, Some(count), "{labels:?}");
    }
    assert_eq!(seen.sum("sealift_errors_total"), 4.0);
}

#[test]
fn certificates_and_what_webhooks_were_not_told_are_shown() {
    let hooked = Hooked::up_with(&[("GIVE_UP_AFTER", "1s")]);
    let receiver = Receiver::answering(|_, told| match told.what().1.as_str() {
        "/a" => Reply::Status(204),
        _ => Reply::Status(503),
    });
    hooked.hook(&receiver.url("/"), &[]);
    hooked.put("/a", "some");
    hooked.put("/b", "some");
    let attempts = |outcome: &str| {
        let seen = Scraped::of(&hooked.server);
        let labels = [("outcome", outcome)];
        seen.get("sealift_webhooks_attempts_total", &labels)
    };
    wait_for("it to be given up", SOON, || {
        attempts("dead").filter(|count| *count > 0.0)
    });
    assert_eq!(
        (attempts("dead"), attempts("delivered")),
        (Some(1.0), Some(1.0))
    );
    assert!(attempts("failed").is_some_and(|count| count >= 1.0));
    let seen = Scraped::of(&hooked.server);
    let left = seen.get("sealift_certificate_left_seconds", &[("name", "localhost")]);
    assert!(left.is_some_and(|left| left > 86_400.0), "{left:?}");
    // What the database knows is counted at the start.
    let hooked = hooked.kill();
    wait_for("the census", SOON, || {
        let seen = Scraped::of(&hooked.server);
        let dead = seen.get("sealift_webhooks_dead", &[]);
        (dead == Some(1.0)).then(|| {
            assert_eq!(seen.get("sealift_webhooks_waiting", &[]), Some(0.0));
            assert_eq!(seen.get("sealift_webhooks_lag_seconds", &[]), Some(0.0));
        })
    });
}
