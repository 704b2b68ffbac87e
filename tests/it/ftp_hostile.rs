//! FTP's control connection and somebody who sends anything but FTP.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use sealift::crypto::totp::{TotpSecret, step_at};
use sealift::domain::clock::{Clock, SystemClock};
use zeroize::Zeroizing;

use crate::support::ftp_door::{FtpDoor, SECRET, ask, code, epsv, get, next, noise, put, size};
use crate::support::ftp_raw::FtpRaw;
use crate::support::server::DEMO;
use crate::support::wait::wait_for;

#[test]
fn lines_that_are_too_long_are_refused_until_there_are_too_many() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let long = format!("NOOP {}\r\n", "x".repeat(9 * 1024));
    client.send(long.as_bytes()).unwrap();
    assert_eq!(next(&mut client), 500);
    assert_eq!(code(&mut client, "NOOP"), 200);
    let limit = format!("CWD {}", "x".repeat(8 * 1024 - 4));
    assert_eq!(code(&mut client, &limit), 553);
    for left in (0..15).rev() {
        if client.send(long.as_bytes()).is_err() {
            break;
        }
        assert_eq!(next(&mut client), if left == 0 { 421 } else { 500 });
    }
    assert!(client.reply().is_err());
    // One line that never ends is no better.
    let mut client = door.clear();
    client.send(&vec![b'x'; 2 << 20]).unwrap();
    assert_eq!(next(&mut client), 421);
}

#[test]
fn what_is_no_command_is_refused_and_the_session_goes_on() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    for (line, expected) in [
        (b"XYZZY\r\n".as_slice(), 500),
        (b"\r\n", 500),
        (b"   \r\n", 500),
        (b"\x00\x01\x02\r\n", 500),
        (b"NOOP\n", 200),
        (b"noop \r\n", 200),
        (b"\xff\xfb\x01\xff\xfd\x03NOOP\r\n", 200),
        (b"\xff\xf4\xff\xf2NOOP\r\n", 200),
        (b"\xff\xfa\x18\x00xterm\xff\xf0NOOP\r\n", 200),
        (b"MKD a\0b\r\n", 501),
        (b"MKD a\rb\r\n", 501),
        (b"MKD a\r\r\n", 501),
        (b"STOR \xe4\r\n", 501),
        (b"MKD ../../../up\r\n", 257),
        (b"CWD \r\n", 501),
        (b"SITE\r\n", 501),
        (b"SMNT x\r\n", 502),
    ] {
        client.send(line).unwrap();
        let reply = client.reply().unwrap();
        let text = String::from_utf8_lossy(line);
        assert_eq!(reply.code, expected, "{text:?}: {reply:?}");
    }
    assert_eq!(code(&mut client, "RMD /up"), 250);
    // A stranger who speaks something else is not listened to for long.
    let mut stranger = door.stranger();
    let http = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(40);
    stranger.send(http.as_bytes()).unwrap();
    let last = std::iter::from_fn(|| stranger.reply().ok()).last();
    assert_eq!(last.unwrap().code, 421);
}

#[test]
fn replies_come_in_the_order_of_commands_however_many_wait() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    assert_eq!(code(&mut client, "MKD d"), 257);
    let mut lines = String::new();
    let mut expected = Vec::new();
    for at in 0..500 {
        lines += &format!("CWD d\r\nPWD\r\nMKD {at}\r\nCDUP\r\nNOOP\r\nXYZZY\r\n");
        expected.extend([250, 257, 257, 250, 200, 500]);
    }
    let mut sender = client.socket().try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(lines.as_bytes()));
    for (at, expected) in expected.into_iter().enumerate() {
        assert_eq!(next(&mut client), expected, "reply {at}");
    }
    sending.join().unwrap().unwrap();
}

#[test]
fn whoever_never_reads_replies_is_slowed_down_and_costs_no_memory() {
    let door = FtpDoor::up();
    let client = door.clear();
    let memory = || {
        let path = format!("/proc/{}/status", door.server.ready.pid);
        let status = fs::read_to_string(path).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let before = memory();
    let mut socket = client.socket().try_clone().unwrap();
    socket
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let flood = "HELP\r\nSTAT\r\nFEAT\r\n".repeat(4096);
    let mut sent = 0;
    while let Ok(count) = socket.write(flood.as_bytes()) {
        sent += count;
        assert!(sent < 256 << 20, "nothing slows a flood down");
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
    // Others do not feel it.
    assert_eq!(code(&mut door.clear(), "NOOP"), 200);
}

#[test]
fn who_asks_for_nothing_or_guesses_is_sent_away() {
    let door = FtpDoor::up_with(&[("IDLE_TIME", "1s"), ("LOGIN_ATTEMPTS", "3")]);
    let mut client = door.clear();
    // A transfer is not idle.
    let port = epsv(&mut client);
    let mut data = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(code(&mut client, "STOR a"), 150);
    // One that does nothing tells when the time is over that began after the transfer.
    assert_eq!(next(&mut door.clear()), 421);
    data.write_all(b"x").unwrap();
    drop(data);
    assert_eq!(next(&mut client), 226);
    assert_eq!(next(&mut client), 421);
    assert!(client.reply().is_err());
    let mut guesser = door.stranger();
    for _ in 0..3 {
        assert_eq!(code(&mut guesser, &format!("USER {DEMO}")), 331);
        assert_eq!(code(&mut guesser, "PASS wrong"), 530);
    }
    assert_eq!(next(&mut guesser), 421);
    assert!(guesser.reply().is_err());
}

#[test]
fn no_name_moves_a_terminal_or_ends_a_line() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    assert_eq!(code(&mut client, "MKD d"), 257);
    assert_eq!(code(&mut client, "CWD d"), 250);
    let name = "esc\u{1b}[2J\u{7}\u{85}bell";
    let made = ask(&mut client, &format!("MKD {name}"));
    assert!(!made.text.contains('\u{1b}'), "{made:?}");
    if made.code == 257 {
        assert_eq!(code(&mut client, &format!("CWD {name}")), 250);
        for line in [
            "PWD",
            "MLST",
            "STAT ..",
            "CWD /nowhere\u{1b}x",
            "RETR \u{1b}",
        ] {
            let reply = ask(&mut client, line);
            let is_plain = |c: char| !c.is_control() || c == '\n';
            assert!(reply.text.chars().all(is_plain), "{line}: {reply:?}");
        }
        assert_eq!(code(&mut client, "CDUP"), 250);
        for line in ["LIST", "NLST", "MLSD"] {
            let listed = String::from_utf8(get(&mut client, line)).unwrap();
            assert_eq!(listed.lines().count(), 1, "{listed:?}");
            // Whoever fetches what is listed needs it as it is.
            assert!(listed.ends_with(&format!("{name}\r\n")), "{listed:?}");
        }
    }
}

#[test]
fn old_clients_have_their_own_character_sets() {
    let door = FtpDoor::up();
    for (charset, text, bytes) in [
        ("shift_jis", "\u{8868}.txt", b"\x95\x5c.txt".as_slice()),
        ("euc-kr", "\u{ac00}.txt", b"\xb0\xa1.txt"),
        ("latin1", "\u{e4}.txt", b"\xe4.txt"),
    ] {
        let user = charset.replace('_', "-");
        let account = door.account(&user, &[]);
        door.options(&account, &[&format!("charset={charset}")]);
        let mut client = door.sealed_as(&account, SECRET);
        let line = [b"MKD ".as_slice(), bytes, b"\r\n"].concat();
        client.send(&line).unwrap();
        assert_eq!(next(&mut client), 257);
        for line in ["LIST", "NLST", "MLSD"] {
            let listed = get(&mut client, line);
            assert!(
                listed.windows(bytes.len()).any(|part| part == bytes),
                "{line}"
            );
        }
        let mut modern = door.sealed();
        assert_eq!(code(&mut modern, &format!("CWD /{text}")), 250);
        assert_eq!(code(&mut modern, &format!("RMD /{text}")), 250);
        // Bytes that are no name in it, and names that it lacks.
        if charset != "latin1" {
            client.send(b"MKD \x81\xff\xff\r\n").unwrap();
            assert_eq!(next(&mut client), 501);
        }
        assert_eq!(code(&mut modern, "MKD /\u{1f980}"), 257);
        assert!(get(&mut client, "NLST").contains(&b'?'));
        assert_eq!(code(&mut client, "OPTS UTF8 ON"), 200);
        assert_eq!(code(&mut client, "RMD /\u{1f980}"), 250);
    }
}

#[test]
fn a_code_comes_by_acct_or_behind_the_password() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &[]);
    let made = door
        .server
        .admin(&["account", "totp", "add", &ann, "--json"], "");
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let uri = made["uri"].as_str().unwrap();
    let (_, secret) = uri.split_once("secret=").unwrap();
    let secret = secret.split('&').next().unwrap();
    let secret = data_encoding::BASE32_NOPAD
        .decode(secret.as_bytes())
        .unwrap();
    let secret = TotpSecret::new(Zeroizing::new(secret));
    let code_at = |ahead: i64| secret.code(step_at(SystemClock.now()) + ahead);
    let mut client = door.stranger();
    client.secure();
    assert_eq!(code(&mut client, &format!("USER {ann}")), 331);
    assert_eq!(code(&mut client, &format!("PASS {SECRET}")), 332);
    assert_eq!(code(&mut client, "PWD"), 530);
    assert_eq!(code(&mut client, "ACCT 000000"), 530);
    assert_eq!(code(&mut client, &format!("ACCT {}", code_at(0))), 503);
    assert_eq!(code(&mut client, &format!("USER {ann}")), 331);
    assert_eq!(code(&mut client, &format!("PASS {SECRET}")), 332);
    assert_eq!(code(&mut client, &format!("ACCT {}", code_at(0))), 230);
    assert_eq!(code(&mut client, "PWD"), 257);
    assert_eq!(code(&mut client, "REIN"), 220);
    door.server
        .admin(&["account", "methods", &ann, "--appended-code", "true"], "");
    let both = format!("{SECRET}{}", code_at(1));
    assert_eq!(code(&mut client, &format!("USER {ann}")), 331);
    assert_eq!(code(&mut client, &format!("PASS {both}")), 230);
    // Each code once.
    assert_eq!(code(&mut client, "REIN"), 220);
    assert_eq!(code(&mut client, &format!("USER {ann}")), 331);
    assert_eq!(code(&mut client, &format!("PASS {both}")), 530);
}

#[test]
fn who_comes_when_all_places_are_taken_is_told_so_also_by_tls() {
    let door = FtpDoor::up_with(&[("SESSIONS_PER_ADDRESS", "2")]);
    let first = door.clear();
    let _second = door.clear();
    let (_, busy) = FtpRaw::connect(door.address()).unwrap();
    assert_eq!(busy.code, 421, "{busy:?}");
    for version in [&TLS12, &TLS13] {
        let (mut client, busy) =
            FtpRaw::connect_implicit_with(door.implicit(), &[version]).unwrap();
        assert_eq!(busy.code, 421, "{busy:?}");
        assert!(client.command("NOOP").is_err());
    }
    drop(first);
    wait_for("the place to be free", Duration::from_secs(5), || {
        let greeted = FtpRaw::connect_implicit_with(door.implicit(), &[&TLS13]);
        (greeted.unwrap().1.code == 220).then_some(())
    });
}

#[test]
fn a_server_that_drains_ends_sessions_and_finishes_transfers() {
    let mut door = FtpDoor::up();
    let (mut idle, mut sealed) = (door.clear(), door.sealed());
    let (mut busy, mut reader) = (door.clear(), door.sealed());
    let content = noise(24 << 20);
    assert_eq!(put(&mut reader, "STOR big", &content), 226);
    let port = epsv(&mut busy);
    let mut data = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(code(&mut busy, "STOR a"), 150);
    data.write_all(b"first ").unwrap();
    let mut codes = Vec::new();
    let port = reader.prepare_data(&mut codes).unwrap().unwrap();
    assert_eq!(code(&mut reader, "RETR big"), 150);
    let mut reading = reader.open(port).unwrap();
    let start = Instant::now();
    door.server.signal("TERM");
    for client in [&mut idle, &mut sealed] {
        assert_eq!(next(client), 421);
        assert!(client.reply().is_err());
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(door.address()).map_or(true, |mut late| {
        let mut got = [0; 1];
        !matches!(late.read(&mut got), Ok(1))
    }));
    data.write_all(b"second").unwrap();
    drop(data);
    assert_eq!(next(&mut busy), 226);
    assert_eq!(next(&mut busy), 421);
    let mut got = Vec::new();
    reading.read_to_end(&mut got).unwrap();
    assert!(got == content);
    let _ = reading.close();
    assert_eq!(next(&mut reader), 226);
    assert_eq!(next(&mut reader), 421);
    drop((idle, sealed, busy, reader, reading));
    assert!(door.server.wait().success());
}

#[test]
fn a_session_ends_when_its_account_is_disabled() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &[]);
    let mut idle = door.sealed_as(&ann, SECRET);
    let mut busy = door.sealed_as(&ann, SECRET);
    let mut codes = Vec::new();
    let port = busy.prepare_data(&mut codes).unwrap().unwrap();
    assert_eq!(code(&mut busy, "STOR a"), 150);
    let _data = busy.open(port).unwrap();
    door.server.admin(&["account", "disable", &ann], "");
    assert_eq!(next(&mut idle), 421);
    let why = busy.reply().unwrap();
    assert!(why.text.starts_with("426 the account "), "{why:?}");
    assert_eq!(next(&mut busy), 421);
    assert!(busy.reply().is_err());
    wait_for("the file to be nowhere", Duration::from_secs(5), || {
        size(&mut door.clear(), "a").is_none().then_some(())
    });
}
