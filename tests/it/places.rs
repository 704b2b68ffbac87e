//! The places that an account and its tenant have for sessions, at two servers on the same PostgreSQL.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Barrier;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};

use crate::support::client::run;
use crate::support::cloud::block_on;
use crate::support::ftp_door::{ask, code};
use crate::support::ftp_raw::{FtpRaw, Reply};
use crate::support::https_door;
use crate::support::serving::Serving;
use crate::support::two::{SECRET, Two};
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(30);
/// A server that was killed has its lease for half a minute.
const LEASE_AND_MORE: Duration = Duration::from_secs(90);

/// Logs in over FTP; the reply to the password.
#[track_caller]
fn ftp(address: SocketAddr, account: &str) -> (FtpRaw, Reply) {
    let (mut client, _) = FtpRaw::connect(address).unwrap();
    client.secure();
    assert_eq!(code(&mut client, &format!("USER {account}")), 331);
    let reply = ask(&mut client, &format!("PASS {SECRET}"));
    (client, reply)
}

#[track_caller]
fn refused_by_ftp(serving: &Serving, account: &str, whose: &str) {
    let (mut client, reply) = ftp(serving.ftp.unwrap(), account);
    assert_eq!(reply.code, 421, "{reply:?}");
    let told = format!("the {whose} has 1 sessions, as many as it may have");
    assert!(reply.text.contains(&told), "{reply:?}");
    assert!(client.reply().is_err(), "and the connection is closed");
}

#[track_caller]
fn logs_in_by_ftp(serving: &Serving, account: &str, within: Duration) -> FtpRaw {
    wait_for("a place", within, || {
        let (client, reply) = ftp(serving.ftp.unwrap(), account);
        assert!([230, 421].contains(&reply.code), "{reply:?}");
        (reply.code == 230).then_some(client)
    })
}

/// OpenSSH's sftp, which must be turned away.
#[track_caller]
fn refused_by_sftp(serving: &Serving, account: &str) {
    let mut command = Command::new("sshpass");
    command
        .args(["-p", SECRET, "sftp", "-F", "none"])
        .args(["-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null"])
        .args(["-P", &serving.port.to_string()])
        .arg(format!("{account}@127.0.0.1"));
    let refusal = run(command, "pwd\n");
    assert!(!refusal.status.success());
    let told = String::from_utf8_lossy(&refusal.stderr).into_owned();
    assert!(told.contains("as many as it may have"), "{told}");
}

#[test]
fn places_are_those_of_all_servers_together() {
    let two = Two::new();
    let (one, other) = (two.start("one"), two.start("other"));
    two.run(&["account", "set", "ann@acme", "--sessions", "1"]);
    let mut held = logs_in_by_ftp(&one, "ann@acme", SOON);
    refused_by_ftp(&other, "ann@acme", "account");
    refused_by_sftp(&other, "ann@acme");
    assert_eq!(code(&mut held, "QUIT"), 221);
    let mut held = logs_in_by_ftp(&other, "ann@acme", SOON);
    refused_by_ftp(&one, "ann@acme", "account");
    refused_by_sftp(&one, "ann@acme");
    assert_eq!(code(&mut held, "QUIT"), 221);
    drop(logs_in_by_ftp(&one, "ann@acme", SOON));

    // Who logs in with each request has a place while one is under way.
    let url = format!("https://{}/api/v1/me", one.https.unwrap());
    let user = format!("ann@acme:{SECRET}");
    let me = || https_door::ask(&["--user", &user], &url).status;
    wait_for("a place", SOON, || (me() == 200).then_some(()));
    let held = logs_in_by_ftp(&other, "ann@acme", SOON);
    wait_for("the other to be heard", SOON, || {
        (me() == 429).then_some(())
    });
    drop(held);
    wait_for("a place", SOON, || (me() == 200).then_some(()));

    // Those of the tenant are counted in the same way.
    two.run(&["account", "set", "ann@acme", "--sessions", "none"]);
    two.run(&["account", "add", "bob@acme", "--password-stdin"]);
    two.run(&["tenant", "set", "acme", "--sessions", "1"]);
    let _held = logs_in_by_ftp(&one, "ann@acme", SOON);
    refused_by_ftp(&other, "bob@acme", "tenant");
    one.stop();
    // What has ended in good order has no places.
    drop(logs_in_by_ftp(&other, "bob@acme", SOON));
    other.stop();
}

#[test]
fn the_last_places_are_given_once_however_many_want_them_at_both_servers() {
    const PLACES: usize = 3;
    const CLIENTS: usize = 8;
    let two = Two::new();
    let (one, other) = (two.start("one"), two.start("other"));
    for round in 0..4 {
        let account = format!("client{round}@acme");
        two.run(&["account", "add", &account, "--password-stdin"]);
        two.run(&["account", "set", &account, "--sessions", "3"]);
        let start = Barrier::new(CLIENTS);
        let clients: Vec<_> = std::thread::scope(|scope| {
            let each = (0..CLIENTS).map(|number| {
                let serving = if number % 2 == 0 { &one } else { &other };
                let (address, start, account) = (serving.ftp.unwrap(), &start, &account);
                scope.spawn(move || {
                    let (mut client, _) = FtpRaw::connect(address).unwrap();
                    client.secure();
                    assert_eq!(code(&mut client, &format!("USER {account}")), 331);
                    start.wait();
                    let reply = ask(&mut client, &format!("PASS {SECRET}"));
                    (client, reply.code)
                })
            });
            let each: Vec<_> = each.collect();
            each.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let are = |code: u16| clients.iter().filter(|(_, said)| *said == code).count();
        assert_eq!((are(230), are(421)), (PLACES, CLIENTS - PLACES));
    }
    one.stop();
    other.stop();
}

#[test]
fn a_server_that_was_killed_has_no_places_when_its_lease_is_over() {
    let two = Two::new();
    let (one, other) = (two.start("one"), two.start("other"));
    two.run(&["account", "set", "ann@acme", "--sessions", "1"]);
    let _held = logs_in_by_ftp(&one, "ann@acme", SOON);
    one.kill();
    refused_by_ftp(&other, "ann@acme", "account");
    drop(logs_in_by_ftp(&other, "ann@acme", LEASE_AND_MORE));
    other.stop();
}

#[test]
fn logins_that_wait_for_each_other_leave_the_connections_to_other_tenants() {
    const CLIENTS: usize = 20;
    let two = Two::new();
    let one = two.start("one");
    two.run(&["account", "set", "ann@acme", "--sessions", "1"]);
    two.run(&["tenant", "add", "bolt"]);
    two.run(&["account", "add", "ben@bolt", "--password-stdin"]);
    // From now on the password is known.
    drop(logs_in_by_ftp(&one, "ann@acme", SOON));
    let file = two.folder.join("file");
    fs::write(&file, "of another tenant").unwrap();
    let put = format!("put {} file\n", file.display());
    let turn = InTurn::taken(&two.urls.owner, "acme");
    let address = one.ftp.unwrap();
    let codes: Vec<_> = std::thread::scope(|scope| {
        let each = (0..CLIENTS).map(|_| scope.spawn(move || ftp(address, "ann@acme")));
        let each: Vec<_> = each.collect();
        wait_for("a login to wait", SOON, || {
            (turn.waiting() > 0).then_some(())
        });
        one.sftp("ben@bolt", SECRET, &put);
        assert_eq!(turn.waiting(), 1);
        drop(turn);
        let all: Vec<_> = each.into_iter().map(|one| one.join().unwrap()).collect();
        all.iter().map(|(_, reply)| reply.code).collect()
    });
    let are = |code: u16| codes.iter().filter(|said| **said == code).count();
    assert_eq!((are(230), are(421)), (1, CLIENTS - 1), "{codes:?}");
    one.stop();
}

/// The lock behind which logins of a tenant go on in turn, as long as somebody else has it.
struct InTurn {
    url: String,
    _holder: PgConnection,
}

impl InTurn {
    fn taken(url: &str, tenant: &str) -> Self {
        let holder = block_on(async {
            let mut holder = PgConnection::connect(url).await.unwrap();
            let find = sqlx::query("SELECT id FROM tenants WHERE name = $1").bind(tenant);
            let id: i64 = find.fetch_one(&mut holder).await.unwrap().get(0);
            let lock = sqlx::query("SELECT pg_advisory_lock(24225, $1::int)").bind(id);
            lock.execute(&mut holder).await.unwrap();
            holder
        });
        let url = url.to_owned();
        Self {
            url,
            _holder: holder,
        }
    }

    /// Connections that wait for it.
    fn waiting(&self) -> i64 {
        block_on(async {
            let mut watcher = PgConnection::connect(&self.url).await.unwrap();
            let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 24225 \
                         AND NOT granted AND database = \
                         (SELECT oid FROM pg_database WHERE datname = current_database())";
            sqlx::query(count)
                .fetch_one(&mut watcher)
                .await
                .unwrap()
                .get(0)
        })
    }
}
