//! What must be encrypted, and by whose word.

use crate::support::ftp_door::{FtpDoor, code, get, put};
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
