//! Data connections that are not the client's, though they come from its address: other people behind
//! the same router, or other programs on the same machine.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::version::{TLS12, TLS13};

use crate::support::ftp_door::{FtpDoor, code, epsv, get, next, put, size};
use crate::support::ftp_raw::{DataPort, FtpRaw, Stream};
use crate::support::server::DEMO;

fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

/// Sends a command once the strays, and then the client, have connected.
fn begin(client: &mut FtpRaw, line: &str, stray: impl FnOnce(u16)) -> Stream {
    let port = epsv(client);
    stray(port);
    let own = connect(port);
    assert_eq!(code(client, line), 150);
    client.open(DataPort::Connected(own)).unwrap()
}

#[test]
fn in_the_clear_whoever_hung_up_without_a_byte_gives_way() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let mut data = begin(&mut client, "STOR a", |port| {
        for _ in 0..10 {
            drop(connect(port));
        }
    });
    data.write_all(b"content").unwrap();
    drop(data);
    assert_eq!(next(&mut client), 226);
    let mut data = begin(&mut client, "RETR a", |port| drop(connect(port)));
    let mut got = Vec::new();
    data.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"content");
    assert_eq!(next(&mut client), 226);
    // A client that sends nothing connects and hangs up, too; and one with content may be done already.
    for (content, length) in [(b"".as_slice(), 0), (b"short", 5)] {
        let port = epsv(&mut client);
        let mut own = connect(port);
        own.write_all(content).unwrap();
        drop(own);
        assert_eq!(code(&mut client, "STOR a"), 150);
        assert_eq!(next(&mut client), 226);
        assert_eq!(size(&mut client, "a"), Some(length));
    }
    let port = epsv(&mut client);
    drop(connect(port));
    let mut own = connect(port);
    own.write_all(b"quick").unwrap();
    drop(own);
    assert_eq!(code(&mut client, "STOR a"), 150);
    assert_eq!(next(&mut client), 226);
    assert_eq!(get(&mut client, "RETR a"), b"quick");
}

#[test]
fn over_tls_whoever_does_not_shake_hands_gives_way() {
    let door = FtpDoor::up();
    for version in [&TLS12, &TLS13] {
        let mut client = door.sealed();
        client.versions(&[version]);
        assert_eq!(put(&mut client, "STOR a", b"content"), 226);
        let mut strays = Vec::new();
        let mut data = begin(&mut client, "RETR a", |port| {
            // One says nothing, one hangs up, one speaks something else.
            strays.push(connect(port));
            drop(connect(port));
            strays.push(connect(port));
            strays[1].write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        });
        let mut got = Vec::new();
        data.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"content");
        let _ = data.close();
        assert_eq!(next(&mut client), 226);
        for mut stray in strays {
            let mut got = Vec::new();
            let _ = stray.read_to_end(&mut got);
            assert!(!got.windows(7).any(|part| part == b"content"));
        }
    }
}

#[test]
fn where_sessions_must_be_resumed_whoever_resumes_none_gives_way() {
    let door = FtpDoor::up_with(&[("RESUMPTION", "required")]);
    for version in [&TLS12, &TLS13] {
        let sealed = || {
            let mut client = door.stranger();
            client.versions(&[version]);
            client.secure();
            client.login(DEMO, &door.server.password());
            client
        };
        let (mut client, thief) = (sealed(), sealed());
        assert_eq!(put(&mut client, "STOR a", b"content"), 226);
        let port = epsv(&mut client);
        let stray = connect(port);
        let own = connect(port);
        let stealing = std::thread::spawn(move || {
            // With a session of somebody else's.
            let mut got = Vec::new();
            if let Ok(mut stream) = thief.open(DataPort::Connected(stray)) {
                let _ = stream.read_to_end(&mut got);
            }
            got
        });
        assert_eq!(code(&mut client, "RETR a"), 150);
        let mut data = client.open(DataPort::Connected(own)).unwrap();
        let mut got = Vec::new();
        data.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"content");
        let _ = data.close();
        assert_eq!(next(&mut client), 226);
        assert_eq!(stealing.join().unwrap(), b"");
        // Where nobody else came, it is told at once what is wrong.
        client.versions(&[version]);
        let done = client.download("RETR a").unwrap();
        assert_eq!(done.codes, [150, 522]);
    }
}
