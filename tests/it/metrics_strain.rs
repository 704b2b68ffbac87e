//! What a server counts when memory is short, listeners are gone, and work is left over.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::client::{paramiko, run, succeed};
use crate::support::cloud;
use crate::support::folder::{TempFolder, write_random};
use crate::support::ftp_client::text;
use crate::support::listeners::{Identity, Listener, free_port};
use crate::support::scraped::Scraped;
use crate::support::server::{DEMO, Server, program};
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);
const BUDGET: f64 = (16 << 20) as f64;

/// A small server with a second region, a syslog server that listens and a collector that does not.
fn settings(folder: &Path, syslog: u16, identity: &Identity) -> Vec<(String, String)> {
    let text = |path: &Path| path.display().to_string();
    let mut all = vec![
        ("METRICS__LISTEN", "127.0.0.1:0".to_owned()),
        ("MEMORY__BUDGET", "16MiB".to_owned()),
        ("SFTP__HANDLES", "1000".to_owned()),
        ("RETENTION__INTERVAL", "200ms".to_owned()),
        ("REGION__FAR__KIND", "local".to_owned()),
        ("REGION__FAR__PATH", text(&folder.join("far"))),
        ("STORAGE__REGION", "main".to_owned()),
        ("SYSLOG__SERVERS", format!("localhost:{syslog}")),
        ("SYSLOG__CA_FILE", text(&identity.certificate)),
        (
            "TELEMETRY__OTLP_ENDPOINT",
            format!("http://127.0.0.1:{}", free_port()),
        ),
        ("TELEMETRY__INTERVAL", "1s".to_owned()),
        ("TELEMETRY__TRACE_ONE_IN", "1".to_owned()),
    ];
    if !cloud::wanted() {
        all.push(("REGION__MAIN__KIND", "local".to_owned()));
    }
    all.into_iter()
        .map(|(name, value)| (format!("SEALIFT__{name}"), value))
        .collect()
}

/// Puts a file, so that there are commits, blobs and lines of the audit log.
#[track_caller]
fn upload(server: &Server, file: &Path) {
    let address = server.ready.listeners.https.unwrap();
    let user = format!("{DEMO}:{}", server.password());
    let mut command = Command::new("curl");
    command
        .args(["-sk", "--fail", "--user", &user, "-T", text(file)])
        .arg(format!("https://{address}/api/v1/files/"));
    succeed(&run(command, ""));
}

/// Runs a script that says one line and then holds what it has until it is killed.
#[track_caller]
fn holding(server: &Server, script: &str, words: &[&str], seen: impl FnOnce(&str)) {
    let mut client = paramiko(script, server, words)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(client.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    seen(line.trim());
    client.kill().unwrap();
    client.wait().unwrap();
}

/// Waits until a look at the metrics shows what it should.
#[track_caller]
fn seen(server: &Server, what: &str, is_there: impl Fn(&Scraped) -> bool) -> Scraped {
    wait_for(what, SOON, || {
        Some(Scraped::of(server)).filter(|scraped| is_there(scraped))
    })
}

fn is_more(scraped: &Scraped, name: &str, labels: &[(&str, &str)]) -> bool {
    scraped.get(name, labels).is_some_and(|value| value > 0.0)
}

#[test]
fn what_is_short_late_or_left_over_is_counted() {
    let folder = TempFolder::new();
    let (identity, port) = (Identity::new(&folder.join("tls")), free_port());
    let rsyslog = Listener::rsyslog(folder.path(), &identity, port);
    let settings = settings(folder.path(), port, &identity);
    let data = folder.join("data");
    let server = Server::up_with(&data, &settings);
    let file = folder.join("file");
    write_random(&file, 1 << 20);
    upload(&server, &file);

    holding(&server, "open_many.py", &["900"], |taken| {
        let taken: f64 = taken.parse().unwrap();
        assert!((100.0..900.0).contains(&taken), "{taken} were open");
        let full = seen(&server, "uploads to be refused", |scraped| {
            is_more(
                scraped,
                "sealift_memory_budget_refused_total",
                &[("need", "upload")],
            )
        });
        assert_eq!(full.get("sealift_uploads_open", &[]), Some(taken));
        assert_eq!(
            full.get("sealift_memory_budget_size_bytes", &[]),
            Some(BUDGET)
        );
        let used = full.get("sealift_memory_budget_used_bytes", &[]).unwrap();
        assert!((BUDGET / 4.0..=BUDGET).contains(&used), "{used}");
        let buffers = [("need", "buffer")];
        let name = "sealift_memory_budget_refused_total";
        assert!(is_more(&full, name, &buffers));
    });
    seen(&server, "memory to be given back", |scraped| {
        scraped.get("sealift_memory_budget_used_bytes", &[]) == Some(0.0)
    });
    let sent = ["kept", text(&file), "700000"];
    holding(&server, "break_off.py", &sent, |said| {
        assert_eq!(said, "sent");
    });

    let name = format!("localhost:{port}");
    for (counter, labels) in [
        (
            "sealift_syslog_messages_total",
            [("content", "audit"), ("outcome", "sent")],
        ),
        (
            "sealift_syslog_messages_total",
            [("content", "log"), ("outcome", "sent")],
        ),
    ] {
        let labels = [labels[0], labels[1], ("server", &name)];
        seen(&server, &format!("{labels:?}"), |scraped| {
            is_more(scraped, counter, &labels)
        });
    }
    for signal in ["logs", "traces"] {
        let labels = [("signal", signal), ("outcome", "lost")];
        seen(&server, &format!("{labels:?}"), |scraped| {
            is_more(scraped, "sealift_telemetry_items_total", &labels)
        });
    }
    for job in ["settle", "purge", "sweep", "expire", "hash", "orphans"] {
        let labels = [("job", job), ("outcome", "ok")];
        seen(&server, &format!("{labels:?}"), |scraped| {
            is_more(scraped, "sealift_job_duration_seconds_count", &labels)
        });
    }
    let now = Scraped::of(&server);
    assert!(is_more(&now, "sealift_telemetry_failed_total", &[]));
    assert!(is_more(&now, "sealift_commit_batch_count", &[]));
    for part in ["database", "store", "keys"] {
        let labels = [("part", part)];
        assert_eq!(now.get("sealift_ready_part", &labels), Some(1.0), "{part}");
        let latency = now.get("sealift_ready_part_latency_seconds", &labels);
        // A key file is always there: nobody is asked.
        let least = if part == "keys" { 0.0 } else { 1e-9 };
        assert!(latency >= Some(least), "{part}: {latency:?}");
    }
    for gauge in [
        "sealift_uptime_seconds",
        "sealift_runtime_workers",
        "sealift_runtime_tasks",
        "process_cpu_seconds_total",
        "process_open_fds",
    ] {
        assert!(is_more(&now, gauge, &[]), "{gauge}");
    }
    assert!(now.get("sealift_runtime_queue", &[]).is_some());
    let most = now.get("process_max_fds", &[]);
    assert!(most >= now.get("process_open_fds", &[]), "{most:?}");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(now.get("sealift_build_info", &version), Some(1.0));

    // What is kept, stored and not copied yet is counted when a server starts.
    let mut replica = Command::new(program());
    replica
        .args(["tenant", "set", "demo", "--replica", "far", "--data"])
        .arg(&data)
        .envs(cloud::ground(&data))
        .envs(settings.iter().cloned());
    succeed(&run(replica, ""));
    server.stop();
    let server = Server::up_with(&data, &settings);
    let counted = seen(&server, "tenants to be counted", |scraped| {
        is_more(scraped, "sealift_tenant_files", &[("tenant", "demo")])
    });
    assert_eq!(counted.get("sealift_uploads_kept", &[]), Some(1.0));
    let lag = counted.get("sealift_replica_lag_seconds", &[("region", "far")]);
    assert!(lag.is_some_and(|lag| lag >= 0.0), "{lag:?}");
    let labels = [("job", "copy"), ("outcome", "ok")];
    seen(&server, "a copy", |scraped| {
        is_more(scraped, "sealift_job_duration_seconds_count", &labels)
    });
    server.stop();
    drop(rsyslog);
}
