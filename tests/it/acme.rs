//! Certificates from an authority by ACME: ordered once, served by every instance, renewed without a restart.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use sealift::db::acme::{self, Failures, SealedSecret, StoredCertificate};
use sealift::db::sql::Dialect;
use sealift::domain::clock::Timestamp;

use crate::support::client::run;
use crate::support::dialects::on_both;
use crate::support::folder::TempFolder;
use crate::support::https_door::ask;
use crate::support::pebble::{Pebble, free_port};
use crate::support::server::sealift;
use crate::support::serving::Serving;
use crate::support::two::Two;
use crate::support::wait::wait_for;
use crate::support::world::World;

on_both!(what_two_authorities_issued_for_a_host_is_kept_beside_each_other);

const HOST: &str = "files.example.test";
const SOON: Duration = Duration::from_secs(60);
/// How long certificates last: two thirds of it are time enough to see each.
const LIFE: Duration = Duration::from_secs(45);

/// Has a server answer on port `http`, with these lines of `[tls]`.
fn write(all: &Two, name: &str, http: u16, tls: &str) {
    let more = format!("[tls]\n{tls}\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n");
    all.write(name, &more);
}

/// The lines that have a server order from an authority.
fn ordering(pebble: &Pebble) -> String {
    format!(
        "acme_hosts = [\"{HOST}\"]\nacme_directory = \"{}\"\nacme_ca = \"{}\"\n\
         acme_terms_agreed = true\nacme_contact = \"ops@example.test\"",
        pebble.directory,
        pebble.ca.display()
    )
}

/// Issuer and serial number of the certificate that a client gets which asks for a host.
fn shown(address: SocketAddr, host: &str) -> (String, String) {
    let mut client = Command::new("openssl");
    let address = address.to_string();
    client.args(["s_client", "-connect", &address, "-servername", host]);
    let pem = run(client, "").stdout;
    let mut reader = Command::new("openssl");
    reader.args(["x509", "-noout", "-issuer", "-serial"]);
    let told = run(reader, &String::from_utf8_lossy(&pem)).stdout;
    let told = String::from_utf8_lossy(&told).into_owned();
    let (issuer, serial) = told.split_once('\n').unwrap_or_default();
    (issuer.to_owned(), serial.trim().to_owned())
}

/// The number of the certificate that came from the authority, once it is served.
fn issued(serving: &Serving, but: &str) -> String {
    let address = serving.https.unwrap();
    wait_for(
        "the authority's certificate",
        Duration::from_secs(120),
        || {
            let (issuer, serial) = shown(address, HOST);
            (issuer.contains("Pebble") && serial != but).then_some(serial)
        },
    )
}

#[test]
fn a_certificate_is_ordered_served_by_all_instances_and_renewed_by_any() {
    let all = Two::without_servers();
    let port = free_port();
    let pebble = Pebble::start(all.folder.path(), port, LIFE);
    // The authority asks an instance that has ordered nothing.
    write(&all, "answers", port, &all.own_certificate());
    write(&all, "one", 0, &ordering(&pebble));
    write(&all, "other", 0, &ordering(&pebble));
    all.run(&["migrate"]);
    let answers = all.start("answers");
    let one = all.start("one");
    let first = issued(&one, "");
    let log = one.log();
    assert!(
        log.contains("there is no certificate of this host yet"),
        "{log}"
    );
    let other = all.start("other");
    assert_eq!(
        issued(&other, ""),
        first,
        "it is had from the database, at once"
    );
    let unknown = format!("http://127.0.0.1:{port}/.well-known/acme-challenge");
    assert_eq!(ask(&[], &format!("{unknown}/nothing")).status, 404);
    assert_eq!(
        ask(&["--path-as-is"], &format!("{unknown}/a%2Fb")).status,
        404
    );

    // Without a restart; and not by whoever ordered the first, when that is gone.
    let second = issued(&one, &first);
    wait_for("the other to serve it, too", SOON, || {
        (shown(other.https.unwrap(), HOST).1 == second).then_some(())
    });
    one.kill();
    issued(&other, &second);
    let orders = other
        .log()
        .matches("ordering a certificate by ACME")
        .count();
    assert!(orders > 0, "{}", other.log());
    let plain = shown(answers.https.unwrap(), HOST);
    assert!(!plain.0.contains("Pebble"), "{plain:?}");
    answers.stop();
    other.stop();
}

async fn what_two_authorities_issued_for_a_host_is_kept_beside_each_other(dialect: Dialect) {
    let world = World::new(dialect).await;
    let db = world.vfs.database();
    let made = |directory: &str, number, renew_at| StoredCertificate {
        host: HOST.to_owned(),
        directory: directory.to_owned(),
        number,
        secret: SealedSecret {
            provider: "test".to_owned(),
            wrapped: vec![1],
            sealed: vec![2],
        },
        renew_at: Timestamp(renew_at),
    };
    let (one, other) = (made("one", 1, 10), made("other", 1, 20));
    for certificate in [&one, &other] {
        acme::put_certificate(db, certificate).await.unwrap();
    }
    let best = async |directory| acme::best_certificate(db, HOST, directory).await.unwrap();
    let of = async |directory| acme::certificate(db, HOST, directory).await.unwrap();
    assert_eq!(of("one").await.as_ref(), Some(&one));
    assert_eq!(best("one").await.as_ref(), Some(&one));
    assert_eq!(of("other").await.as_ref(), Some(&other));
    assert_eq!(of("third").await, None);
    assert_eq!(
        best("third").await,
        Some(other),
        "the one that lasts longest"
    );

    // Nor does what fails at one authority keep another from being asked.
    let failures = Failures {
        count: 1,
        try_at: Timestamp(7),
    };
    for directory in ["one", "other"] {
        acme::put_failures(db, (HOST, directory), failures)
            .await
            .unwrap();
    }
    let newer = made("one", 2, 30);
    acme::put_certificate(db, &newer).await.unwrap();
    assert_eq!(of("one").await, Some(newer));
    let failed = async |directory| acme::failures(db, HOST, directory).await.unwrap();
    assert_eq!(failed("one").await, None);
    assert_eq!(failed("other").await, Some(failures));
}

#[test]
fn an_order_that_fails_leaves_a_self_signed_certificate_and_says_what_to_do() {
    let all = Two::without_servers();
    // Nobody listens where the authority asks.
    let pebble = Pebble::start(all.folder.path(), free_port(), LIFE);
    write(&all, "one", 0, &ordering(&pebble));
    all.run(&["migrate"]);
    let one = all.start("one");
    wait_for("the order to fail", SOON, || {
        let log = one.log();
        let said =
            log.contains("no certificate by ACME") && log.contains("port 80 of that address");
        said.then_some(())
    });
    let (issuer, _) = shown(one.https.unwrap(), HOST);
    assert!(issuer.contains("self-signed"), "{issuer}");
    assert_eq!(
        one.log().matches("ordering a certificate").count(),
        1,
        "the next is a minute away"
    );
    one.stop();
}

#[test]
fn what_acme_needs_is_said_before_anything_starts() {
    let folder = TempFolder::new();
    let file = folder.join("sealift.toml");
    for (lines, wanted) in [
        (
            "[tls]\nacme_hosts = [\"a.example\"]\n[http]\nlisten = [\"127.0.0.1:0\"]\n",
            "acme_terms_agreed",
        ),
        (
            "[tls]\nacme_hosts = [\"a.example\"]\nacme_terms_agreed = true\n",
            "needs http.listen",
        ),
        ("[tls]\nacme_hosts = [\"*.example\"]\n", "no name of a host"),
        ("[tls]\nacme_directory = \"http://a\"\n", "https://"),
        ("[tls]\nacme_contact = \"nobody\"\n", "address for mail"),
        (
            "[tls]\nacme_ca = \"/nowhere/ca.pem\"\n",
            "tls.acme_ca: '/nowhere/ca.pem' cannot be read",
        ),
    ] {
        fs::write(&file, lines).unwrap();
        let ran = sealift(&["check-config", "--config", file.to_str().unwrap()], "");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(
            !ran.status.success() && said.contains(wanted),
            "{lines}: {said}"
        );
    }
}
