//! FTP where TLS meets somebody who means no good: policies, upgrades, sessions, and ends without a
//! word.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};

use crate::support::ftp_door::{
    FtpDoor, SECRET, ask, code, connect_from, epsv, get, next, noise, put, size,
};
use crate::support::ftp_raw::{DataMode, FtpRaw};
use crate::support::server::DEMO;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn what_was_said_in_the_clear_is_forgotten_when_tls_begins() {
    let door = FtpDoor::up();
    let mut client = door.stranger();
    // Somebody on the way adds commands behind AUTH TLS.
    let injected = format!("AUTH TLS\r\nUSER {DEMO}\r\nNOOP\r\nMK");
    client.send(injected.as_bytes()).unwrap();
    assert_eq!(next(&mut client), 234);
    client.upgrade().unwrap();
    // One reply for one command: nothing was waiting, neither lines nor half a line.
    assert_eq!(code(&mut client, "SYST"), 215);
    assert_eq!(code(&mut client, "PASS x"), 503);

    // A login before AUTH TLS ends with it, and so does a port for data.
    let mut client = door.clear();
    epsv(&mut client);
    client.secure();
    assert_eq!(code(&mut client, "PWD"), 530);
    client.login(DEMO, &door.server.password());
    assert_eq!(code(&mut client, "RETR x"), 425);
    assert_eq!(code(&mut client, "AUTH TLS"), 503);
}

#[test]
fn no_way_leads_around_the_encryption_of_data() {
    let door = FtpDoor::up_with(&[("DATA_TLS", "optional")]);
    let ann = door.account("ann", &[]);
    door.options(&ann, &["data-tls=required", "ccc=allowed"]);
    let mut client = door.stranger();
    assert_eq!(client.auth_tls().unwrap().code, 234);
    // Before the login nobody knows who it will be.
    assert_eq!(code(&mut client, "PBSZ 0"), 200);
    assert_eq!(code(&mut client, "PROT C"), 200);
    client.login(&ann, SECRET);
    for how in [
        "EPSV",
        "PASV",
        "EPRT |1|127.0.0.1|40000|",
        "PORT 127,0,0,1,156,64",
    ] {
        assert!(code(&mut client, how) < 300, "{how}");
        for what in [
            "LIST", "MLSD", "NLST", "RETR x", "STOR x", "APPE x", "STOU x",
        ] {
            assert_eq!(code(&mut client, what), 521, "{how} {what}");
        }
    }
    // In the clear, the next transfer would not be asked.
    assert_eq!(code(&mut client, "CCC"), 521);
    assert_eq!(code(&mut client, "PROT C"), 534);
    assert_eq!(code(&mut client, "PROT P"), 200);
    assert_eq!(code(&mut client, "EPSV"), 229);
    assert_eq!(code(&mut client, "PROT C"), 534);
    client.protect = true;
    assert_eq!(put(&mut client, "STOR a", b"sealed"), 226);
    // Now it may: what was chosen holds.
    assert_eq!(code(&mut client, "CCC"), 200);
    client.clear().unwrap();
    assert_eq!(code(&mut client, "PROT C"), 503);
    assert_eq!(get(&mut client, "RETR a"), b"sealed");
    client.protect = false;
    let done = client.download("RETR a").unwrap();
    assert_eq!(done.codes.last(), Some(&522), "{:?}", done.codes);
    // Whoever may not, stays.
    let mut demo = door.sealed();
    assert_eq!(code(&mut demo, "CCC"), 534);
    assert_eq!(code(&mut demo, "PWD"), 257);
}

#[test]
fn data_connections_may_have_to_resume_the_session_of_their_own_control_connection() {
    let door = FtpDoor::up_with(&[("RESUMPTION", "required")]);
    for version in [&TLS12, &TLS13] {
        let client = || {
            let mut client = door.stranger();
            client.versions(&[version]);
            client.secure();
            client.login(DEMO, &door.server.password());
            client
        };
        let (mut client, mut other, victim) = (client(), client(), client());
        assert_eq!(put(&mut client, "STOR a", b"mine"), 226);
        for _ in 0..4 {
            assert_eq!(get(&mut client, "RETR a"), b"mine");
        }
        // With the session of another control connection, and with none.
        let steals = |thief: &mut FtpRaw| {
            let done = thief.download("RETR a").unwrap();
            assert_eq!(done.codes.last(), Some(&522), "{:?}", done.codes);
            assert!(done.data.is_empty());
            let done = thief.upload("STOR a", b"other").unwrap();
            assert_eq!(done.codes.last(), Some(&522), "{:?}", done.codes);
        };
        other.share_sessions(&victim);
        steals(&mut other);
        other.versions(&[version]);
        steals(&mut other);
        assert_eq!(code(&mut other, "NOOP"), 200);
        assert_eq!(get(&mut client, "RETR a"), b"mine");
    }
}

#[test]
fn garbage_instead_of_tls_ends_a_transfer_and_no_session() {
    let door = FtpDoor::up();
    let mut client = door.sealed();
    assert_eq!(put(&mut client, "STOR a", b"old"), 226);
    for line in ["RETR a", "STOR a", "LIST"] {
        let port = epsv(&mut client);
        let mut data = connect_from(HERE, port);
        assert_eq!(code(&mut client, line), 150);
        data.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(next(&mut client), 522);
        // And hung up on before a word of TLS.
        let port = epsv(&mut client);
        drop(connect_from(HERE, port));
        assert_eq!(code(&mut client, line), 150);
        assert_eq!(next(&mut client), 522);
    }
    assert_eq!(get(&mut client, "RETR a"), b"old");
    // On a control connection nobody knows what is meant: it ends.
    let mut garbled = door.stranger();
    assert_eq!(code(&mut garbled, "AUTH TLS"), 234);
    garbled.send(b"USER demo\r\nPASS x\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = garbled.socket().read_to_end(&mut rest);
    assert!(
        !rest.starts_with(b"331") && !rest.starts_with(b"5"),
        "{rest:?}"
    );
    let mut plain = TcpStream::connect(door.implicit()).unwrap();
    plain.write_all(b"USER demo\r\n").unwrap();
    plain
        .set_read_timeout(Some(Duration::from_secs(12)))
        .unwrap();
    let _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"220"));
    assert_eq!(get(&mut client, "RETR a"), b"old");
}

#[test]
fn whoever_does_not_go_on_is_waited_for_ten_seconds() {
    let door = FtpDoor::up();
    let start = Instant::now();
    let mut implicit = TcpStream::connect(door.implicit()).unwrap();
    implicit.write_all(&[22, 3, 1]).unwrap();
    let mut explicit = door.stranger();
    assert_eq!(code(&mut explicit, "AUTH TLS"), 234);
    let mut passive = door.clear();
    epsv(&mut passive);
    passive.send(b"LIST\r\n").unwrap();
    let mut silent = door.sealed();
    let port = epsv(&mut silent);
    let _data = connect_from(HERE, port);
    assert_eq!(code(&mut silent, "LIST"), 150);
    for socket in [&mut implicit, &mut explicit.socket().try_clone().unwrap()] {
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
    }
    assert_eq!(next(&mut passive), 425);
    assert_eq!(next(&mut silent), 522);
    let took = start.elapsed();
    assert!((9..20).contains(&took.as_secs()), "{took:?}");
    for client in [&mut passive, &mut silent] {
        assert_eq!(code(client, "NOOP"), 200);
    }
}

#[test]
fn an_upload_that_tls_does_not_end_is_kept_and_gone_on_with_elsewhere() {
    let door = FtpDoor::up();
    let bob = door.account("bob", &[]);
    let content = noise(3 << 20);
    let mut client = door.sealed();
    let mut other = door.sealed_as(&bob, SECRET);
    assert_eq!(put(&mut client, "STOR old", b"published"), 226);
    for file in ["new", "old"] {
        let published = size(&mut other, file);
        let mut codes = Vec::new();
        let port = client.prepare_data(&mut codes).unwrap().unwrap();
        assert_eq!(code(&mut client, &format!("STOR {file}")), 150);
        let mut data = client.open(port).unwrap();
        data.write_all(&content).unwrap();
        data.flush().unwrap();
        // FIN, and no close_notify.
        drop(data);
        assert_eq!(next(&mut client), 426);
        // What came is there at once for its account, and for nobody else.
        let kept = size(&mut client, file).unwrap();
        assert!(kept > 2 << 20, "{kept}");
        assert!(kept <= content.len(), "{kept}");
        assert_eq!(size(&mut other, file), published);
        // Over another connection, and beyond what came it cannot go on.
        let mut again = door.sealed();
        assert_eq!(size(&mut again, file), Some(kept));
        assert_eq!(code(&mut again, &format!("REST {}", kept + 1)), 350);
        assert_eq!(put(&mut again, &format!("STOR {file}"), b"x"), 554);
        assert_eq!(size(&mut again, file), Some(kept));
        assert_eq!(code(&mut again, &format!("REST {kept}")), 350);
        assert_eq!(
            put(&mut again, &format!("STOR {file}"), &content[kept..]),
            226
        );
        assert_eq!(size(&mut other, file), Some(content.len()));
        assert!(get(&mut other, &format!("RETR {file}")) == content);
    }
    door.server.stop();
}

#[test]
fn what_was_whole_but_for_its_end_is_published_by_going_on_with_nothing() {
    let door = FtpDoor::up();
    let bob = door.account("bob", &[]);
    let content = noise(1 << 20);
    let mut client = door.sealed();
    for (file, line) in [("a", "STOR a"), ("b", "APPE b")] {
        let mut codes = Vec::new();
        let port = client.prepare_data(&mut codes).unwrap().unwrap();
        assert_eq!(code(&mut client, &format!("STOR {file}")), 150);
        let mut data = client.open(port).unwrap();
        data.write_all(&content).unwrap();
        data.flush().unwrap();
        drop(data);
        assert_eq!(next(&mut client), 426);
        // What was on its way in smaller pieces may be lost.
        let kept = size(&mut client, file).unwrap();
        assert!(kept > 0);
        if line.starts_with("STOR") {
            let rest = format!("REST {}", kept);
            assert_eq!(code(&mut client, &rest), 350);
        }
        assert_eq!(put(&mut client, line, b""), 226);
        let mut other = door.sealed_as(&bob, SECRET);
        assert!(get(&mut other, &format!("RETR {file}")) == content[..kept]);
    }
}

#[test]
fn an_account_may_be_trusted_to_end_without_a_word() {
    let door = FtpDoor::up();
    let bob = door.account("bob", &[]);
    door.options(&bob, &["abrupt-end=allowed"]);
    let mut client = door.sealed_as(&bob, SECRET);
    let mut codes = Vec::new();
    let port = client.prepare_data(&mut codes).unwrap().unwrap();
    assert_eq!(code(&mut client, "STOR a"), 150);
    let mut data = client.open(port).unwrap();
    data.write_all(b"all of it").unwrap();
    data.flush().unwrap();
    drop(data);
    assert_eq!(next(&mut client), 226);
    assert_eq!(get(&mut door.sealed(), "RETR a"), b"all of it");
}

#[test]
fn the_name_that_tls_asks_for_chooses_the_tenant_and_one_said_in_the_clear_does_not() {
    let door = FtpDoor::up();
    let password = door.server.password();
    let run = |words: &[&str]| door.server.admin(words, "");
    run(&["tenant", "host", "add", "demo", "files.example"]);
    // In the clear HOST holds, until TLS begins or somebody logs out.
    let mut client = door.stranger();
    assert_eq!(code(&mut client, "HOST nowhere.example"), 504);
    assert_eq!(code(&mut client, "HOST files.example"), 220);
    client.login("demo", &password);
    assert_eq!(code(&mut client, "HOST files.example"), 503);
    assert_eq!(code(&mut client, "REIN"), 220);
    code(&mut client, "USER demo");
    assert_ne!(code(&mut client, &format!("PASS {password}")), 230);
    let mut client = door.stranger();
    assert_eq!(code(&mut client, "HOST files.example"), 220);
    client.secure();
    code(&mut client, "USER demo");
    assert_ne!(code(&mut client, &format!("PASS {password}")), 230);
    assert_eq!(code(&mut client, "HOST files.example"), 220);
    client.login("demo", &password);
    // By SNI, which is "localhost" here, on both ports.
    run(&["tenant", "host", "add", "demo", "localhost"]);
    run(&["tenant", "add", "bolt"]);
    run(&["tenant", "host", "add", "bolt", "bolt.example"]);
    let mut explicit = door.stranger();
    explicit.secure();
    let implicit = door.implicit_stranger();
    for mut client in [explicit, implicit] {
        assert_eq!(code(&mut client, "HOST bolt.example"), 504);
        client.login("demo", &password);
        assert_eq!(code(&mut client, "PWD"), 257);
    }
}

#[test]
fn passwords_in_the_clear_are_refused_before_they_are_sent() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &[]);
    let mut client = door.stranger();
    assert_eq!(code(&mut client, &format!("USER {ann}")), 530);
    assert_eq!(code(&mut client, &format!("PASS {SECRET}")), 503);
    // Nobody learns by it who there is.
    assert_eq!(code(&mut client, "USER nobody@demo"), 530);
    client.secure();
    client.login(&ann, SECRET);
    let mut client = door.implicit_stranger();
    client.login(&ann, SECRET);
    // On the port for TLS data is encrypted without a word.
    client.mode = DataMode::Pasv;
    assert_eq!(put(&mut client, "STOR a", b"x"), 226);
    client.protect = false;
    let done = client.download("RETR a").unwrap();
    assert_eq!(done.codes.last(), Some(&522));
    assert_eq!(ask(&mut client, "QUIT").code, 221);
}
