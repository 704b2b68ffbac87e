//! What FTP tells of files is what was set, and what may be done with them.

use std::time::Duration;

use crate::support::ftp_door::{FtpDoor, SECRET, ask, code, next, put};
use crate::support::ftp_raw::FtpRaw;
use crate::support::wait::wait_for;

/// The value of a fact of MLST.
#[track_caller]
fn fact(client: &mut FtpRaw, path: &str, name: &str) -> String {
    let told = ask(client, &format!("MLST {path}"));
    assert_eq!(told.code, 250, "{told:?}");
    let name = format!("{name}=");
    let mut facts = told.text.split([';', ' ', '\n', '\r']);
    let found = facts.find_map(|fact| fact.strip_prefix(&name));
    found.unwrap_or_else(|| panic!("{told:?}")).to_owned()
}

#[test]
fn times_and_modes_are_told_as_they_were_set() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    assert_eq!(put(&mut client, "STOR f", b"x"), 226);
    assert_eq!(code(&mut client, "MKD d"), 257);
    for path in ["f", "d"] {
        for (line, answer, told) in [
            ("SITE CHMOD 640 PATH", 200, [("UNIX.mode", "0640")].to_vec()),
            (
                "SITE UTIME 20200102030405 PATH",
                200,
                [("modify", "20200102030405")].to_vec(),
            ),
            (
                "SITE UTIME 202101020304 PATH",
                200,
                [("modify", "20210102030400"), ("UNIX.mode", "0640")].to_vec(),
            ),
            (
                "SITE UTIME PATH 20220102030401 20220102030402 20220102030403 UTC",
                200,
                [("modify", "20220102030402"), ("create", "20220102030403")].to_vec(),
            ),
            (
                "MFF modify=20230102030405.250;create=19991231235959;UNIX.mode=0755; PATH",
                213,
                [
                    ("modify", "20230102030405.250"),
                    ("create", "19991231235959"),
                    ("UNIX.mode", "0755"),
                ]
                .to_vec(),
            ),
            (
                "MFF unix.mode=600; PATH",
                213,
                [("modify", "20230102030405.250"), ("UNIX.mode", "0600")].to_vec(),
            ),
        ] {
            assert_eq!(code(&mut client, &line.replace("PATH", path)), answer);
            for (name, value) in told {
                assert_eq!(fact(&mut client, path, name), value, "{line} {path}");
            }
        }
        // Of several facts all are set, or none.
        let line = format!("MFF UNIX.mode=0777;type=dir; {path}");
        assert_eq!(code(&mut client, &line), 504);
        assert_eq!(fact(&mut client, path, "UNIX.mode"), "0600");
    }
}

#[test]
fn the_letters_of_perm_are_what_an_account_may_do() {
    let door = FtpDoor::up();
    let mut demo = door.clear();
    assert_eq!(put(&mut demo, "STOR f", b"x"), 226);
    assert_eq!(code(&mut demo, "MKD d"), 257);
    let ann = door.account("ann", &[]);
    for (ceiling, file, folder) in [
        ("all", "adfrw", "cdeflmp"),
        ("read-only", "r", "el"),
        ("list", "", "el"),
        ("list,read,write,make-folders", "r", "celm"),
        ("list,overwrite,delete,rename", "adfw", "deflp"),
    ] {
        door.server
            .admin(&["account", "set", &ann, "--ceiling", ceiling], "");
        let mut client = wait_for("the ceiling", Duration::from_secs(30), || {
            let mut client = door.sealed_as(&ann, SECRET);
            (fact(&mut client, "f", "perm") == file).then_some(client)
        });
        assert_eq!(fact(&mut client, "d", "perm"), folder, "{ceiling}");
    }
}

#[test]
fn an_account_has_an_idle_time_of_its_own() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &[]);
    door.options(&ann, &["idle=1s"]);
    let (mut demo, mut client) = (door.clear(), door.sealed_as(&ann, SECRET));
    assert_eq!(next(&mut client), 421);
    assert!(client.reply().is_err());
    // The others keep theirs.
    assert_eq!(code(&mut demo, "NOOP"), 200);
}
