//! TLS on FTP's two connections, again and again, and what testssl.sh thinks of it.

use rustls::version::{TLS12, TLS13};

use crate::support::folder::TempFolder;
use crate::support::ftp_client::Way;
use crate::support::ftp_raw::FtpRaw;
use crate::support::server::{DEMO, Server};
use crate::support::testssl;

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

#[test]
fn testssl_finds_nothing_on_the_port_of_implicit_tls() {
    testssl(Way::Implicit, &[]);
}

#[test]
fn testssl_finds_nothing_behind_auth_tls() {
    testssl(Way::Explicit, &["--starttls", "ftp"]);
}

fn testssl(way: Way, words: &[&str]) {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    testssl::finds_nothing(way.address(&server), words);
    server.stop();
}
