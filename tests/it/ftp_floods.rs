//! FTP and clients that never stop sending: what ends a session ends theirs as any other.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use crate::support::ftp_door::{FtpDoor, SECRET, code, epsv, size};
use crate::support::ftp_raw::FtpRaw;
use crate::support::wait::wait_for;

/// Longer than any deadline that the tests set, and than most machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client in the clear that sends lines over and over until the server hangs up.
struct Flood(JoinHandle<Vec<String>>);

impl Flood {
    fn of(client: &FtpRaw, lines: &str) -> Self {
        let mut sending = client.socket().try_clone().unwrap();
        let reading = client.socket().try_clone().unwrap();
        let many = lines.repeat(200);
        spawn(move || while sending.write_all(many.as_bytes()).is_ok() {});
        Self(spawn(move || replies(reading)))
    }

    /// Waits for the end; what was answered that is no "200 fine".
    fn end(self) -> Vec<String> {
        wait_for("the end of a flood", PATIENCE, || {
            self.0.is_finished().then_some(())
        });
        self.0.join().unwrap()
    }
}

fn replies(mut socket: TcpStream) -> Vec<String> {
    let (mut block, mut rest, mut seen) = ([0; 65_536], String::new(), Vec::new());
    while let Ok(length @ 1..) = socket.read(&mut block) {
        rest.push_str(std::str::from_utf8(&block[..length]).unwrap());
        while let Some((line, behind)) = rest.split_once("\r\n") {
            if line != "200 fine" {
                seen.push(line.to_owned());
            }
            rest = behind.to_owned();
        }
    }
    seen
}

#[test]
fn a_stranger_has_no_longer_to_log_in_by_sending_all_the_time() {
    let door = FtpDoor::up_set(&[("LIMITS__LOGIN_TIME", "2s")]);
    for lines in ["NOOP\r\n", "NOOP\r\nUSER nobody@nowhere\r\n"] {
        let seen = Flood::of(&door.stranger(), lines).end();
        assert!(seen.last().unwrap().starts_with("421 "), "{seen:?}");
    }
}

#[test]
fn a_session_that_never_stops_sending_ends_with_its_account() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &[]);
    let run = |words: &[&str]| door.server.admin(words, "");
    run(&["account", "methods", &ann, "--clear-text", "true"]);
    let client = || {
        let mut client = door.stranger();
        client.login(&ann, SECRET);
        client
    };
    let idle = Flood::of(&client(), "NOOP\r\n");
    // And with a transfer, which is answered first.
    let mut busy = client();
    let port = epsv(&mut busy);
    let mut data = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(code(&mut busy, "STOR a"), 150);
    data.write_all(b"some of it").unwrap();
    let busy = Flood::of(&busy, "NOOP\r\n");
    run(&["account", "disable", &ann]);
    let seen = idle.end();
    assert!(
        seen.last().unwrap().starts_with("421 the account "),
        "{seen:?}"
    );
    let seen = busy.end();
    let [.., transfer, farewell] = seen.as_slice() else {
        panic!("{seen:?}");
    };
    assert!(transfer.starts_with("426 the account "), "{seen:?}");
    assert!(farewell.starts_with("421 the account "), "{seen:?}");
    assert_eq!(size(&mut door.clear(), "a"), None);
}

#[test]
fn a_session_that_never_stops_sending_ends_when_the_server_drains() {
    let mut door = FtpDoor::up();
    let known = Flood::of(&door.clear(), "NOOP\r\n");
    let stranger = Flood::of(&door.stranger(), "NOOP\r\n");
    door.server.signal("TERM");
    for flood in [known, stranger] {
        let seen = flood.end();
        assert!(
            seen.last().unwrap().starts_with("421 the server "),
            "{seen:?}"
        );
    }
    assert!(door.server.wait().success());
}
