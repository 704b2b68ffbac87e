//! TLS on FTP's two connections, again and again, and what testssl.sh thinks of it.

use std::collections::BTreeSet;
use std::process::Command;

use rustls::version::{TLS12, TLS13};
use serde_json::Value;

use crate::support::client::run;
use crate::support::folder::TempFolder;
use crate::support::ftp_client::{Way, text};
use crate::support::ftp_raw::FtpRaw;
use crate::support::server::{DEMO, Server};

/// `FTP_TLS_ROUNDS=4000` for what is promised.
fn rounds() -> usize {
    let rounds = std::env::var_os("FTP_TLS_ROUNDS");
    rounds.map_or(400, |rounds| rounds.to_str().unwrap().parse().unwrap())
}

#[test]
fn auth_tls_never_fails() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let address = Way::Explicit.address(&server);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || {
                for round in 0..rounds() / 4 {
                    let (mut client, greeting) = FtpRaw::connect(address).unwrap();
                    assert_eq!(greeting.code, 220);
                    let version = if round % 2 == 0 { &TLS13 } else { &TLS12 };
                    client.versions(&[version]);
                    let upgraded = client
                        .auth_tls()
                        .unwrap_or_else(|e| panic!("{worker} {round}: {e}"));
                    assert_eq!(upgraded.code, 234, "{round}");
                    let answer = client
                        .command("FEAT")
                        .unwrap_or_else(|e| panic!("{worker} {round}: {e}"));
                    assert_eq!(answer.code, 211, "{round}");
                }
            });
        }
    });
    server.stop();
}

#[test]
fn data_connections_resume_the_session_of_their_control_connection() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let password = server.password();
    for (way, version) in [
        (Way::Explicit, &TLS13),
        (Way::Explicit, &TLS12),
        (Way::Implicit, &TLS13),
        (Way::Implicit, &TLS12),
    ] {
        let mut client = connect(&server, way, version);
        client.login(DEMO, &password);
        for setting in ["PBSZ 0", "PROT P", "TYPE I"] {
            assert_eq!(client.command(setting).unwrap().code, 200);
        }
        client.protect = true;
        let content = vec![b'x'; 3_000];
        for round in 0..rounds() / 8 {
            let sent = client.upload("STOR f", &content).unwrap();
            assert_eq!(sent.codes, [150, 226], "{way:?} {version:?} {round}");
            assert!(
                sent.resumed && sent.clean,
                "{way:?} {version:?} {round}: {sent:?}"
            );
            let got = client.download("RETR f").unwrap();
            assert_eq!(got.codes, [150, 226], "{way:?} {version:?} {round}");
            assert!(got.resumed && got.clean, "{way:?} {version:?} {round}");
            assert!(got.data == content, "{way:?} {version:?} {round}");
        }
    }
    server.stop();
}

fn connect(
    server: &Server,
    way: Way,
    version: &'static rustls::SupportedProtocolVersion,
) -> FtpRaw {
    let address = way.address(server);
    match way {
        Way::Implicit => {
            FtpRaw::connect_implicit_with(address, &[version])
                .unwrap()
                .0
        }
        _ => {
            let mut client = FtpRaw::connect(address).unwrap().0;
            client.versions(&[version]);
            assert_eq!(client.auth_tls().unwrap().code, 234);
            client
        }
    }
}

/// What it finds of the certificate that `sealift up` made: it is signed by nobody else, nobody could
/// revoke it, and it is for ten years, since clients that met it once would have to be told of another.
const OF_OUR_OWN: [&str; 4] = [
    "DNS_CAArecord",
    "cert_chain_of_trust",
    "cert_revocation",
    "cert_validityPeriod",
];

#[test]
fn testssl_finds_nothing_on_the_port_of_implicit_tls() {
    testssl(Way::Implicit);
}

#[test]
fn testssl_finds_nothing_behind_auth_tls() {
    testssl(Way::Explicit);
}

/// All but what takes minutes and asks about the same: client simulations, and each cipher by itself.
fn testssl(way: Way) {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let report = folder.join("report.json");
    let mut command = Command::new("testssl");
    command
        .args([
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "off",
            "--nodns",
            "none",
        ])
        .args([
            "--openssl-timeout",
            "20",
            "--protocols",
            "--server-defaults",
        ])
        .args([
            "--server-preference",
            "--vulnerable",
            "--jsonfile",
            text(&report),
        ])
        .args(
            (way == Way::Explicit)
                .then_some(["--starttls", "ftp"])
                .into_iter()
                .flatten(),
        )
        .arg(way.address(&server).to_string());
    let output = run(command, "");
    let said = String::from_utf8_lossy(&output.stdout);
    let findings: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let mut bad = BTreeSet::new();
    let mut seen = 0;
    for finding in findings.as_array().unwrap() {
        seen += 1;
        let (id, severity) = (
            finding["id"].as_str().unwrap(),
            finding["severity"].as_str().unwrap(),
        );
        // A warning is what testssl could not try.
        if !OF_OUR_OWN.contains(&id) && !matches!(severity, "OK" | "INFO" | "DEBUG" | "WARN") {
            bad.insert(format!("{id} {severity}: {}", finding["finding"]));
        }
    }
    assert!(seen > 30, "{said}");
    assert_eq!(bad, BTreeSet::new(), "{said}");
    server.stop();
}
