//! Checksums by FTP: their values, as Python computes them, and that nobody has to wait for their end.

use std::fs;
use std::time::Duration;

use crate::support::client::{paramiko, python, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::ftp_door::{FtpDoor, SECRET, ask, code, next, noise, put};
use crate::support::ftp_raw::FtpRaw;
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);
/// As much as may be read of what was never written.
const LARGE: u64 = 1 << 30;
/// Prints the sum that its first word names, of the bytes of a file from an offset up to another one.
const REFERENCE: &str = "
import hashlib, sys, zlib
kind, name, start, end = sys.argv[1:]
part = open(name, 'rb').read()[int(start):int(end)]
print('%08x' % zlib.crc32(part) if kind == 'crc32' else hashlib.new(kind, part).hexdigest())
";

/// A checksum as Python has it, in lower case.
fn reference(kind: &str, content: &[u8], start: usize, end: usize) -> String {
    let folder = TempFolder::new();
    let file = folder.join("content");
    fs::write(&file, content).unwrap();
    let mut command = std::process::Command::new(python("python3"));
    command.args(["-c", REFERENCE, kind]).arg(&file);
    command.args([start.to_string(), end.to_string()]);
    succeed(&run(command, "")).trim().to_owned()
}

#[test]
fn checksums_are_those_that_python_computes() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let content = noise(300_000);
    for name in ["f", "a b", "a b 7", "it's \"x\""] {
        assert_eq!(put(&mut client, &format!("STOR {name}"), &content), 226);
    }
    assert_eq!(put(&mut client, "STOR empty", b""), 226);
    let size = content.len();
    for (verb, kind) in [
        ("XCRC", "crc32"),
        ("XMD5", "md5"),
        ("MD5", "md5"),
        ("XSHA1", "sha1"),
        ("XSHA", "sha1"),
        ("XSHA256", "sha256"),
        ("XSHA512", "sha512"),
    ] {
        for (words, start, end) in [
            ("f", 0, size),
            ("f 100", 100, size),
            // The byte at the end of a range is not a part of it.
            ("f 100 5000", 100, 5_000),
            ("f 0 1", 0, 1),
            ("f 299999 300000", size - 1, size),
            ("f 70000 900000", 70_000, size),
            ("\"f\"", 0, size),
            ("\"f\" 65530 65545", 65_530, 65_545),
            ("\"a b\" 1 3", 1, 3),
            ("a b 2 9", 2, 9),
            ("a b 7", 0, size),
            ("\"a b 7\" 5", 5, size),
            ("it's \"x\" 3 4", 3, 4),
        ] {
            let line = format!("{verb} {words}");
            let reply = ask(&mut client, &line);
            let expected = reference(kind, &content, start, end).to_uppercase();
            assert_eq!(reply.text.trim(), format!("250 {expected}"), "{line}");
        }
        let none = reference(kind, &content, 0, 0).to_uppercase();
        let empty = ask(&mut client, &format!("{verb} empty"));
        assert_eq!(empty.text.trim(), format!("250 {none}"), "{verb}");
        for (words, refusal) in [
            ("f 300000", 501),
            ("f 9 9", 501),
            ("f 9 3", 501),
            ("g", 550),
        ] {
            assert_eq!(code(&mut client, &format!("{verb} {words}")), refusal);
        }
    }
    for (name, kind) in [
        ("SHA-256", "sha256"),
        ("crc32", "crc32"),
        ("MD5", "md5"),
        ("SHA-1", "sha1"),
        ("SHA-512", "sha512"),
    ] {
        let chosen = ask(&mut client, &format!("OPTS HASH {name}"));
        let name = name.to_uppercase();
        assert_eq!(chosen.text.trim(), format!("200 {name}"));
        let reply = ask(&mut client, "HASH a b 7");
        let expected = reference(kind, &content, 0, size);
        let whole = format!("213 {name} 0-299999 {expected} a b 7");
        assert_eq!(reply.text.trim(), whole);
        let features = ask(&mut client, "FEAT").text;
        assert!(features.contains(&format!("{name}*")), "{features}");
    }
    assert_eq!(code(&mut client, "OPTS HASH SHA-3"), 501);
}

#[test]
fn what_is_too_large_is_not_computed_and_the_sum_that_is_kept_is_told() {
    let door = FtpDoor::up_with(&[("CHECKSUM_LIMIT", "1MiB")]);
    let mut client = door.clear();
    let content = noise((1 << 20) + 1);
    assert_eq!(put(&mut client, "STOR f", &content), 226);
    assert_eq!(code(&mut client, "OPTS HASH MD5"), 200);
    for (line, refusal) in [
        ("HASH f", 556),
        ("XMD5 f", 550),
        ("XSHA512 f 0 1048577", 550),
    ] {
        let refused = ask(&mut client, line);
        assert_eq!(refused.code, refusal, "{line}");
        assert!(refused.text.contains("SHA-256"), "{}", refused.text);
    }
    let kept = reference("sha256", &content, 0, content.len());
    let told = ask(&mut client, "XSHA256 f").text;
    assert_eq!(told.trim(), format!("250 {}", kept.to_uppercase()));
    let part = reference("md5", &content, 1, content.len());
    let told = ask(&mut client, "XMD5 f 1").text;
    assert_eq!(told.trim(), format!("250 {}", part.to_uppercase()));
}

/// A server with a file whose checksums take long.
fn with_large() -> FtpDoor {
    let door = FtpDoor::up();
    let size = LARGE.to_string();
    succeed(&run(
        paramiko("hole.py", &door.server, &["large", &size]),
        "",
    ));
    door
}

/// Asks for more sums than anybody waits for; returns when the first is being computed.
#[track_caller]
fn ask_for_many(door: &FtpDoor, client: &mut FtpRaw) {
    let lines: Vec<_> = (0..40).map(|at| format!("XMD5 large {at}\r\n")).collect();
    client.send(lines.concat().as_bytes()).unwrap();
    door.server
        .audit_with("the first sum", |log| log.contains("\"kind\":\"checksum\""));
}

#[test]
fn an_abort_ends_the_checksum_before_it_and_no_other() {
    let door = with_large();
    let mut client = door.clear();
    client.send(b"XSHA512 large\r\nABOR\r\nNOOP\r\n").unwrap();
    for code in [426, 226, 200] {
        assert_eq!(next(&mut client), code);
    }
    // Replies stay in their order: what is behind a sum waits, and ABOR is for the last of them.
    client.send(b"XCRC large 0 5\r\n").unwrap();
    client.send(b"NOOP\r\nXMD5 large\r\nABOR\r\n").unwrap();
    for code in [250, 200, 426, 226] {
        assert_eq!(next(&mut client), code);
    }
    client.send(b"XSHA1 large\r\n").unwrap();
    assert_eq!(code(&mut client, "ABOR"), 426);
    assert_eq!(next(&mut client), 226);
    assert_eq!(code(&mut client, "PWD"), 257);
}

#[test]
fn checksums_end_with_the_client_who_asked_for_them() {
    let door = with_large();
    let mut client = door.clear();
    ask_for_many(&door, &mut client);
    drop(client);
    let log = door
        .server
        .audit_with("the logout", |log| log.contains("\"kind\":\"logout\""));
    let begun = log.matches("\"kind\":\"checksum\"").count();
    assert!(begun < 40, "{begun} were computed for nobody");
}

#[test]
fn checksums_end_with_the_account() {
    let door = with_large();
    let ann = door.account("ann", &[]);
    let plain = ["account", "methods", &ann, "--clear-text", "true"];
    door.server.admin(&plain, "");
    let mut client = door.stranger();
    client.login(&ann, SECRET);
    ask_for_many(&door, &mut client);
    door.server.admin(&["account", "disable", &ann], "");
    assert_eq!(last(&mut client), 421);
}

#[test]
fn checksums_end_when_the_server_does() {
    let door = with_large();
    let mut client = door.clear();
    ask_for_many(&door, &mut client);
    door.server.signal("TERM");
    assert_eq!(last(&mut client), 421);
    let mut server = door.server;
    assert!(server.wait().success());
}

/// The code behind all sums, of which most were not computed.
#[track_caller]
fn last(client: &mut FtpRaw) -> u16 {
    let mut computed = 0;
    let code = wait_for("the last word", SOON, || match next(client) {
        250 => {
            computed += 1;
            None
        }
        426 => None,
        code => Some(code),
    });
    assert!(computed < 20, "{computed} were computed");
    code
}
