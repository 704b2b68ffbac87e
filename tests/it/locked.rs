//! A database that answers and takes no changes: clients are told within bounds, balancers are told, and nothing has to
//! be restarted.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::https_door::{self, HttpsDoor};
use crate::support::site::Site;
use crate::support::wait::wait_for;

/// Waits until readiness is answered so on the port without TLS; what is said of the database.
#[track_caller]
fn database(clear: &str, status: u16) -> Value {
    let url = format!("http://{clear}/readyz");
    let told = wait_for("readiness to change", Duration::from_secs(120), || {
        let answer = https_door::ask(&[], &url);
        (answer.status == status).then(|| answer.json())
    });
    told["parts"][0].clone()
}

#[test]
fn a_file_that_another_process_has_locked_makes_a_server_not_ready() {
    let door = HttpsDoor::up();
    let clear = door.clear().to_string();
    door.put("/before", "some", &[]);
    database(&clear, 200);
    let file = door.server.data().join("sealift.db");
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Several at once, who wait for one another.
    let since = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let door = &door;
            scope.spawn(move || {
                let words = ["-X", "PUT", "--data-binary", "some"];
                let refused = door.demo(&words, &format!("/api/v1/files/{number}"));
                assert_eq!(refused.status, 503, "{}", refused.text());
                assert_eq!(refused.problem(), "unavailable");
            });
        }
    });
    assert!(since.elapsed() < Duration::from_secs(60));
    let part = database(&clear, 503);
    assert!(since.elapsed() < Duration::from_secs(60));
    let problem = part["problem"].as_str().unwrap();
    assert!(problem.starts_with("nothing could be written"), "{part}");
    other.execute_batch("ROLLBACK").unwrap();
    let part = database(&clear, 200);
    assert_eq!(part["problem"], Value::Null);
    wait_for("the port to open", Duration::from_secs(60), || {
        https_door::is_answered(&door.url("/healthz")).then_some(())
    });
    door.put("/after", "some", &[]);
    assert_eq!(door.get("/before", &[]).text(), "some");
}

#[test]
fn a_postgresql_that_is_set_to_take_no_changes_makes_a_server_not_ready() {
    let (site, urls) = Site::on_postgres();
    let more = "[http]\nlisten = [\"127.0.0.1:0\"]\n";
    site.write_urls(&urls.server, Some(&urls.owner), more);
    let server = site.serve();
    let ready: Value = serde_json::from_slice(&fs::read(site.at("ready.json")).unwrap()).unwrap();
    let clear = ready["listeners"]["http"].as_str().unwrap();
    database(clear, 200);
    let (_, name) = urls.server.rsplit_once('/').unwrap();
    // Its connections are made anew, as by a database that was started again.
    let set = |what: &str| {
        let sql = format!(
            "BEGIN READ WRITE; ALTER ROLE CURRENT_USER IN DATABASE {name} {what}; COMMIT; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE usename = current_user AND datname = current_database() \
             AND pid <> pg_backend_pid()"
        );
        let ran = Command::new("psql")
            .args([
                &urls.server,
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                &sql,
            ])
            .output();
        let ran = ran.unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{errors}");
    };
    set("SET default_transaction_read_only = on");
    let part = database(clear, 503);
    assert_eq!(part["problem"], "the database is set to take no changes");
    set("RESET default_transaction_read_only");
    database(clear, 200);
    server.stop();
}
