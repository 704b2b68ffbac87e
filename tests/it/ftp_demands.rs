//! What must be encrypted, and by whose word: a port's, a tenant's, an account's.

use rustls::version::TLS13;

use crate::support::ftp_door::{FtpDoor, SECRET, code, epsv, get, put};
use crate::support::ftp_raw::FtpRaw;
use crate::support::server::DEMO;

/// The demo account over TLS, which has not said PROT yet.
fn sealed_control(door: &FtpDoor) -> FtpRaw {
    let mut client = door.stranger();
    assert_eq!(client.auth_tls().unwrap().code, 234);
    client.login(DEMO, &door.server.password());
    assert_eq!(code(&mut client, "PBSZ 0"), 200);
    client
}

/// On the port that begins with TLS.
fn implicit(door: &FtpDoor) -> FtpRaw {
    let mut client = door.implicit_stranger();
    client.login(DEMO, &door.server.password());
    assert_eq!(code(&mut client, "PBSZ 0"), 200);
    client
}

fn tenant(door: &FtpDoor, words: &[&str]) {
    let start = ["tenant", "ftp", "demo"];
    door.server.admin(&[&start, words].concat(), "");
}

#[test]
fn what_must_resume_a_session_does_not_come_in_the_clear() {
    let by_setting = FtpDoor::up_with(&[("RESUMPTION", "required"), ("DATA_TLS", "optional")]);
    let by_option = FtpDoor::up();
    by_option.options(
        DEMO,
        &["resumption=required", "data-tls=optional", "ccc=allowed"],
    );
    for door in [by_setting, by_option] {
        // Who logged in in the clear has no session of TLS to resume.
        let mut clear = door.clear();
        let mut sealed = sealed_control(&door);
        assert_eq!(code(&mut sealed, "PROT C"), 534);
        for client in [&mut clear, &mut sealed] {
            for how in ["EPSV", "EPRT |1|127.0.0.1|40000|"] {
                assert!(code(client, how) < 300, "{how}");
                for what in [
                    "LIST", "MLSD", "NLST", "RETR a", "STOR a", "APPE a", "STOU a",
                ] {
                    assert_eq!(code(client, what), 521, "{how} {what}");
                }
            }
        }
        // Where CCC is allowed at all, not before PROT P.
        assert!(code(&mut sealed, "CCC") >= 521);
        assert_eq!(code(&mut sealed, "PROT P"), 200);
        sealed.protect = true;
        assert_eq!(put(&mut sealed, "STOR a", b"x"), 226);
        assert_eq!(code(&mut sealed, "PROT C"), 534);
        assert_eq!(get(&mut sealed, "RETR a"), b"x");
    }
}

#[test]
fn each_port_has_its_own_demands_on_data() {
    let door = FtpDoor::up_set(&[
        ("FTP__DATA_TLS", "required"),
        ("FTPS__DATA_TLS", "optional"),
        ("FTPS__RESUMPTION", "required"),
    ]);
    assert_eq!(code(&mut sealed_control(&door), "PROT C"), 534);
    // What it must resume is no matter of the other port.
    let mut explicit = door.sealed();
    assert_eq!(put(&mut explicit, "STOR a", b"x"), 226);
    explicit.versions(&[&TLS13]);
    assert_eq!(get(&mut explicit, "RETR a"), b"x");
    let mut client = implicit(&door);
    assert_eq!(get(&mut client, "RETR a"), b"x");
    client.versions(&[&TLS13]);
    let done = client.download("RETR a").unwrap();
    assert_eq!(done.codes.last(), Some(&522), "{:?}", done.codes);
    drop(door);

    let door = FtpDoor::up_set(&[("FTPS__DATA_TLS", "optional")]);
    assert_eq!(code(&mut sealed_control(&door), "PROT C"), 534);
    let mut client = implicit(&door);
    assert_eq!(code(&mut client, "PROT C"), 200);
    client.protect = false;
    assert_eq!(put(&mut client, "STOR a", b"x"), 226);
    // An account's words go before its tenant's, and those before the port's.
    tenant(&door, &["data-tls=required"]);
    assert_eq!(code(&mut implicit(&door), "PROT C"), 534);
    door.options(DEMO, &["data-tls=optional"]);
    assert_eq!(code(&mut implicit(&door), "PROT C"), 200);
    assert_eq!(code(&mut sealed_control(&door), "PROT C"), 200);
    drop(door);

    // Unset, it is as the other's.
    let door = FtpDoor::up_set(&[
        ("FTP__RESUMPTION", "required"),
        ("FTP__DATA_TLS", "optional"),
    ]);
    let mut client = implicit(&door);
    client.versions(&[&TLS13]);
    let done = client.download("NLST").unwrap();
    assert_eq!(done.codes.last(), Some(&522), "{:?}", done.codes);
}

#[test]
fn nobody_logs_in_in_the_clear_where_the_port_wants_tls() {
    let door = FtpDoor::up_with(&[("LOGIN_TLS", "required")]);
    tenant(&door, &["login-tls=by-account"]);
    door.options(DEMO, &["login-tls=by-account", "ccc=allowed"]);
    let mut client = door.stranger();
    for name in [DEMO, "nobody@demo", "nobody@nowhere", "nobody"] {
        assert_eq!(code(&mut client, &format!("USER {name}")), 530, "{name}");
    }
    assert_eq!(code(&mut client, "PASS x"), 503);
    let mut client = door.sealed();
    epsv(&mut client);
    // Nor by a connection that was encrypted once.
    assert_eq!(code(&mut client, "CCC"), 200);
    client.clear().unwrap();
    assert_eq!(code(&mut client, "REIN"), 220);
    assert_eq!(code(&mut client, &format!("USER {DEMO}")), 530);
}

#[test]
fn a_tenant_and_an_account_may_want_tls_where_the_port_does_not() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &[]);
    let clear_text = ["account", "methods", &ann, "--clear-text", "true"];
    door.server.admin(&clear_text, "");
    let may = |account: &str| {
        let asked = code(&mut door.stranger(), &format!("USER {account}"));
        assert!(matches!(asked, 331 | 530), "{asked}");
        asked == 331
    };
    assert!(may(DEMO) && may(&ann));
    door.options(&ann, &["login-tls=required"]);
    assert!(may(DEMO) && !may(&ann));
    // The strictest counts.
    tenant(&door, &["login-tls=required"]);
    door.options(&ann, &["login-tls=by-account"]);
    assert!(!may(DEMO) && !may(&ann));
    door.sealed_as(&ann, SECRET);
    door.server
        .audit_with("why", |log| log.contains("in the clear"));
    tenant(&door, &["--clear"]);
    assert!(may(DEMO) && may(&ann));
}
