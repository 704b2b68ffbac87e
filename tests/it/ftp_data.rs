//! FTP's data connections under attack and under stress: other people's, broken, stalled, cut off.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::Duration;

use socket2::SockRef;

use crate::support::folder::TempFolder;
use crate::support::ftp_door::{
    FtpDoor, SECRET, ask, code, connect_from, epsv, get, next, noise, put, size,
};
use crate::support::ftp_raw::{FtpRaw, Stream};
use crate::support::server::DEMO;
use crate::support::wait::wait_for;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Telnet's Interrupt Process and Synch, whose last byte is urgent.
const INTERRUPT: &[u8] = b"\xff\xf4\xff";
const MARK: &[u8] = b"\xf2";

/// Begins an upload in the clear; the data connection.
fn begin_upload(client: &mut FtpRaw, line: &str) -> Stream {
    let mut codes = Vec::new();
    let port = client.prepare_data(&mut codes).unwrap().unwrap();
    assert_eq!(code(client, line), 150);
    client.open(port).unwrap()
}

#[test]
fn data_goes_to_nobody_but_the_client() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let other = TcpListener::bind((ELSEWHERE, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let [high, low] = port.to_be_bytes();
    for line in [
        format!("PORT 127,0,0,2,{high},{low}"),
        format!("EPRT |1|127.0.0.2|{port}|"),
        format!("EPRT |2|::ffff:127.0.0.2|{port}|"),
        format!("EPRT |2|::1|{port}|"),
        "PORT 127,0,0,1,0,22".to_owned(),
        "EPRT |1|127.0.0.1|1023|".to_owned(),
        "PORT 127,0,0,1,0,0".to_owned(),
    ] {
        assert_eq!(code(&mut client, &line), 501, "{line}");
        assert_eq!(code(&mut client, "LIST"), 425, "{line}");
    }
    // An address that stands for all is the client's own, if it is of its protocol.
    let own = TcpListener::bind((HERE, 0)).unwrap();
    let port = own.local_addr().unwrap().port();
    assert_eq!(code(&mut client, &format!("EPRT |2|::|{port}|")), 522);
    assert_eq!(code(&mut client, &format!("EPRT |1|0.0.0.0|{port}|")), 200);
    assert_eq!(code(&mut client, "NLST"), 150);
    own.accept().unwrap();
    assert_eq!(next(&mut client), 226);
    // What was agreed before does not stand either way: a new PORT is asked for.
    assert_eq!(code(&mut client, "EPSV ALL"), 200);
    for line in ["PASV", "PORT 127,0,0,1,200,1", "EPRT |1|127.0.0.1|51201|"] {
        assert_eq!(code(&mut client, line), 501, "{line}");
    }
    assert_eq!(put(&mut client, "STOR a", b"x"), 226);
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err());
}

#[test]
fn strangers_neither_end_nor_steal_nor_block_a_transfer() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let content = noise(300_000);
    for line in ["STOR a", "RETR a"] {
        let port = epsv(&mut client);
        // More than wait at a port.
        let strangers: Vec<_> = (0..40).map(|_| connect_from(ELSEWHERE, port)).collect();
        let mut data = connect_from(HERE, port);
        let more = connect_from(ELSEWHERE, port);
        assert_eq!(code(&mut client, line), 150);
        match line {
            "STOR a" => {
                data.write_all(&content).unwrap();
                drop(data);
            }
            _ => {
                let mut got = Vec::new();
                data.read_to_end(&mut got).unwrap();
                assert!(got == content);
            }
        }
        assert_eq!(next(&mut client), 226);
        for mut stranger in strangers.into_iter().chain([more]) {
            let mut got = Vec::new();
            let _ = stranger.read_to_end(&mut got);
            assert!(got.is_empty());
        }
    }
    assert!(get(&mut client, "RETR a") == content);
}

#[test]
fn abor_ends_both_ways_at_once_and_the_session_goes_on() {
    let door = FtpDoor::up();
    let content = noise(64 << 20);
    for sealed in [false, true] {
        let mut client = match sealed {
            true => door.sealed(),
            false => door.clear(),
        };
        let mut data = begin_upload(&mut client, "STOR big");
        data.write_all(&content[..1 << 20]).unwrap();
        data.flush().unwrap();
        if !sealed {
            client.send(INTERRUPT).unwrap();
            SockRef::from(client.socket())
                .send_out_of_band(MARK)
                .unwrap();
        }
        assert_eq!(code(&mut client, "ABOR"), 426);
        assert_eq!(next(&mut client), 226);
        drop(data);
        assert_eq!(code(&mut client, "NOOP"), 200);
        assert_eq!(put(&mut client, "STOR big", &content), 226);
        // Nobody reads; what the sockets hold is soon full.
        let data = begin_upload(&mut client, "RETR big");
        if !sealed {
            client.send(INTERRUPT).unwrap();
            SockRef::from(client.socket())
                .send_out_of_band(MARK)
                .unwrap();
        }
        assert_eq!(code(&mut client, "abor"), 426);
        assert_eq!(next(&mut client), 226);
        drop(data);
        // Before the data connection is there, too.
        epsv(&mut client);
        client.send(b"RETR big\r\nABOR\r\n").unwrap();
        assert_eq!(next(&mut client), 426);
        assert_eq!(next(&mut client), 226);
        assert_eq!(code(&mut client, "ABOR"), 226);
        assert_eq!(size(&mut client, "big"), Some(content.len()));
    }
}

#[test]
fn a_session_answers_while_a_transfer_goes_on() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let content = noise(16 << 20);
    assert_eq!(put(&mut client, "STOR big", &content), 226);
    let mut data = begin_upload(&mut client, "RETR big");
    let status = ask(&mut client, "STAT");
    assert_eq!(status.code, 211);
    assert!(status.text.contains("/big"), "{status:?}");
    assert_eq!(code(&mut client, "NOOP"), 200);
    // What changes something waits.
    client.send(b"PWD\r\nQUIT\r\n").unwrap();
    assert!(client.reply_within(Duration::from_millis(200)).is_none());
    let mut got = Vec::new();
    data.read_to_end(&mut got).unwrap();
    assert!(got == content);
    assert_eq!(next(&mut client), 226);
    assert_eq!(next(&mut client), 257);
    assert_eq!(next(&mut client), 221);
    // QUIT by itself is answered at once, and the transfer goes on to its end.
    let mut client = door.clear();
    let mut data = begin_upload(&mut client, "STOR a");
    data.write_all(b"first ").unwrap();
    assert_eq!(code(&mut client, "QUIT"), 221);
    data.write_all(b"second").unwrap();
    drop(data);
    assert_eq!(next(&mut client), 226);
    assert!(client.reply().is_err());
    assert_eq!(get(&mut door.clear(), "RETR a"), b"first second");
}

#[test]
fn an_upload_that_breaks_off_is_seen_by_nobody_else_and_gone_on_with() {
    let door = FtpDoor::up();
    let bob = door.account("bob", &[]);
    let mut other = door.sealed_as(&bob, SECRET);
    let content = noise(17 << 20);
    // More than sockets hold: a part of it is read when all is sent.
    let (half, rest) = content.split_at(16 << 20);
    // The data connection is reset; then the control connection goes, with and without the data's.
    for (file, way) in [("a", 0), ("b", 1), ("c", 2)] {
        let mut client = door.clear();
        let mut data = begin_upload(&mut client, &format!("STOR {file}"));
        data.write_all(half).unwrap();
        match way {
            0 => {
                SockRef::from(data.socket())
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
                drop(data);
                assert_eq!(next(&mut client), 426);
            }
            1 => {
                drop(client);
                let mut ended = Vec::new();
                let _ = data.read_to_end(&mut ended);
            }
            // As the system does for a client that is killed.
            _ => {
                drop(client);
                drop(data);
            }
        }
        let mut again = door.clear();
        let kept = wait_for("what broke off", Duration::from_secs(10), || {
            size(&mut again, file).filter(|size| *size > 0)
        });
        assert!(kept <= half.len());
        assert_eq!(size(&mut other, file), None, "{file}");
        // APPE goes on as REST and STOR do.
        let rest = [&half[kept..], rest].concat();
        assert_eq!(put(&mut again, &format!("APPE {file}"), &rest), 226);
        let got = get(&mut other, &format!("RETR {file}"));
        let first = got.iter().zip(&content).position(|(a, b)| a != b);
        assert!(
            got == content,
            "{way}: {} of {} bytes, from {kept}, differ at {first:?}",
            got.len(),
            content.len()
        );
    }
}

#[test]
fn what_was_sent_before_quit_is_not_lost() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let mut data = begin_upload(&mut client, "STOR a");
    data.write_all(b"all of it").unwrap();
    client.send(b"QUIT\r\n").unwrap();
    assert_eq!(next(&mut client), 221);
    drop(data);
    drop(client);
    let mut other = door.clear();
    wait_for("the file", Duration::from_secs(10), || {
        size(&mut other, "a")
    });
    assert_eq!(get(&mut other, "RETR a"), b"all of it");
}

#[test]
fn what_does_not_move_is_broken_off() {
    let door = FtpDoor::up();
    door.options(DEMO, &["stall=1s"]);
    let mut client = door.clear();
    let mut data = begin_upload(&mut client, "STOR a");
    data.write_all(b"some").unwrap();
    assert_eq!(next(&mut client), 426);
    drop(data);
    assert_eq!(put(&mut client, "STOR big", &noise(32 << 20)), 226);
    let data = begin_upload(&mut client, "RETR big");
    assert_eq!(next(&mut client), 426);
    drop(data);
    assert_eq!(code(&mut client, "NOOP"), 200);
}

#[test]
fn an_old_file_stays_for_readers_until_the_new_one_is_whole() {
    let door = FtpDoor::up();
    let (old, new) = (noise(8 << 20), noise(9 << 20));
    let (mut writer, mut reader) = (door.clear(), door.sealed());
    assert_eq!(put(&mut writer, "STOR a", &old), 226);
    let mut reading = begin_upload(&mut reader, "RETR a");
    let mut start = vec![0; 1 << 20];
    reading.read_exact(&mut start).unwrap();
    let mut data = begin_upload(&mut writer, "STOR a");
    data.write_all(&new[..4 << 20]).unwrap();
    let bob = door.account("bob", &[]);
    let mut bob = door.sealed_as(&bob, SECRET);
    assert!(get(&mut bob, "RETR a") == old);
    data.write_all(&new[4 << 20..]).unwrap();
    drop(data);
    assert_eq!(next(&mut writer), 226);
    reading.read_to_end(&mut start).unwrap();
    assert!(start == old);
    assert_eq!(next(&mut reader), 226);
    assert!(get(&mut reader, "RETR a") == new);
}

#[test]
fn lines_are_converted_both_ways_and_never_from_the_middle() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    assert_eq!(code(&mut client, "TYPE A"), 200);
    assert_eq!(put(&mut client, "STOR a", b"one\r\ntwo\r\r\n\nend\r"), 226);
    assert_eq!(code(&mut client, "TYPE I"), 200);
    assert_eq!(get(&mut client, "RETR a"), b"one\ntwo\r\n\nend\r");
    assert_eq!(code(&mut client, "TYPE A"), 200);
    assert_eq!(get(&mut client, "RETR a"), b"one\r\ntwo\r\n\r\nend\r");
    assert_eq!(code(&mut client, "REST 3"), 504);
    // REST in TYPE I is none for TYPE A; taking it would give other bytes, leaving it all of them.
    for line in ["RETR a", "STOR a"] {
        assert_eq!(code(&mut client, "TYPE I"), 200);
        assert_eq!(code(&mut client, "REST 3"), 350);
        assert_eq!(code(&mut client, "TYPE A"), 200);
        epsv(&mut client);
        assert_eq!(code(&mut client, line), 504);
    }
    assert_eq!(code(&mut client, "TYPE I"), 200);
    assert_eq!(get(&mut client, "RETR a"), b"one\ntwo\r\n\nend\r");
    // An offset is for the very next transfer.
    assert_eq!(code(&mut client, "REST 3"), 350);
    assert_eq!(code(&mut client, "PWD"), 257);
    assert_eq!(get(&mut client, "RETR a"), b"one\ntwo\r\n\nend\r");
    // Also one that is none (RFC 3659 section 5.3).
    for line in ["XYZZY", "SMNT /"] {
        assert_eq!(code(&mut client, "REST 3"), 350);
        assert!(code(&mut client, line) >= 500);
        assert_eq!(get(&mut client, "RETR a"), b"one\ntwo\r\n\nend\r");
    }
    assert_eq!(code(&mut client, "REST 12"), 350);
    assert_eq!(get(&mut client, "RETR a"), b"d\r");
    assert_eq!(code(&mut client, "REST 99"), 350);
    let done = client.download("RETR a").unwrap();
    assert_eq!(done.codes.last(), Some(&554));
    assert_eq!(code(&mut client, "REST 99999999999999999999"), 501);
}

#[test]
fn names_that_are_made_are_told_and_take_nothing_away() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    assert_eq!(put(&mut client, "STOR a", b"old"), 226);
    for content in [b"first", b"other"] {
        epsv_put_told(&mut client, content);
    }
    assert_eq!(get(&mut client, "RETR a"), b"old");
}

fn epsv_put_told(client: &mut FtpRaw, content: &[u8]) {
    let mut data = begin_upload(client, "STOU a");
    data.write_all(content).unwrap();
    drop(data);
    let reply = client.reply().unwrap();
    let (_, name) = reply.text.split_once("FILE: ").unwrap();
    assert_eq!((reply.code, name != "a"), (226, true));
    assert_eq!(get(client, &format!("RETR {}", name.trim())), content);
}

#[test]
fn what_an_account_may_not_have_is_refused_and_changes_nothing() {
    let door = FtpDoor::up();
    let small = door.account("small", &["--quota", "1MiB"]);
    let mut client = door.sealed_as(&small, SECRET);
    assert_eq!(put(&mut client, "STOR mine", b"old"), 226);
    assert_eq!(put(&mut client, "STOR mine", &noise(4 << 20)), 552);
    assert_eq!(get(&mut client, "RETR mine"), b"old");
    assert_eq!(size(&mut client, "mine"), Some(3));
    // Nothing of it is left to pay for.
    assert_eq!(put(&mut client, "STOR mine", &noise(900_000)), 226);

    let reader = door.account("reader", &["--read-only"]);
    let mut client = door.sealed_as(&reader, SECRET);
    assert_eq!(get(&mut client, "RETR mine").len(), 900_000);
    for line in [
        "DELE mine",
        "MKD x",
        "RMD x",
        "MFMT 20260101000000 mine",
        "SITE CHMOD 600 mine",
    ] {
        assert_eq!(code(&mut client, line), 550, "{line}");
    }
    for line in ["STOR mine", "STOR new", "APPE mine", "STOU new"] {
        epsv(&mut client);
        assert_eq!(code(&mut client, line), 550, "{line}");
    }
    let renaming = code(&mut client, "RNFR mine");
    if renaming == 350 {
        assert_eq!(code(&mut client, "RNTO yours"), 550);
    }
    assert_eq!(get(&mut client, "RETR mine").len(), 900_000);
}

#[test]
fn the_rest_of_an_upload_is_not_laid_behind_the_file_it_was_to_replace() {
    let door = FtpDoor::up();
    let (old, new) = (noise(100_000), noise(300_001));
    let folder = TempFolder::new();
    let local = folder.join("new");
    std::fs::write(&local, &new).unwrap();
    let user = format!("{DEMO}:{}", door.server.password());
    let curl = |more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--user", &user]).args(more);
        curl.arg(format!("ftp://{}/f", door.address()));
        curl.output().unwrap()
    };
    for sent in [1, 5_000, 150_000] {
        let mut client = door.clear();
        assert_eq!(put(&mut client, "STOR f", &old), 226);
        let mut data = begin_upload(&mut client, "STOR f");
        data.write_all(&new[..sent]).unwrap();
        assert_eq!(code(&mut client, "ABOR"), 426);
        assert_eq!(next(&mut client), 226);
        drop(data);
        // Its own account is told what came; whoever takes that for the file's length must not think that
        // so many bytes of the old file are all of it.
        let kept = size(&mut client, "f").unwrap();
        assert!(kept <= sent, "{kept} of {sent}");
        epsv(&mut client);
        assert_eq!(code(&mut client, "RETR f"), 450);
        assert!(get(&mut client, "RETR f") == old);
        let cut = curl(&["-o", "/dev/null"]);
        assert!(!cut.status.success());
        let went_on = curl(&["-C", "-", "-T", local.to_str().unwrap()]);
        let errors = String::from_utf8_lossy(&went_on.stderr);
        assert!(went_on.status.success(), "{errors}");
        assert!(get(&mut client, "RETR f") == new, "{sent}");
    }
}

#[test]
fn what_broke_off_stays_when_a_data_connection_never_comes() {
    let door = FtpDoor::up();
    let content = noise(1_000_000);
    for (mut client, name) in [(door.clear(), "a"), (door.sealed(), "b")] {
        // A reset takes away what the server had not read yet, which may be all of it.
        let kept = wait_for("something to be kept", Duration::from_secs(30), || {
            let mut data = begin_upload(&mut client, &format!("STOR {name}"));
            data.write_all(&content).unwrap();
            data.flush().unwrap();
            SockRef::from(data.socket())
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(data);
            assert_eq!(next(&mut client), 426);
            size(&mut client, name).filter(|kept| *kept > 0)
        });
        let kept = Some(kept);
        // Nobody listens there any more.
        let nobody = TcpListener::bind((HERE, 0)).unwrap();
        let port = nobody.local_addr().unwrap().port();
        drop(nobody);
        for line in ["APPE", "REST 5\r\nSTOR"] {
            assert_eq!(
                code(&mut client, &format!("EPRT |1|127.0.0.1|{port}|")),
                200
            );
            client
                .send(format!("{line} {name}\r\n").as_bytes())
                .unwrap();
            let codes: Vec<_> = std::iter::repeat_with(|| next(&mut client))
                .skip_while(|code| *code == 350)
                .take(2)
                .collect();
            assert_eq!(codes, [150, 425], "{line}");
            assert_eq!(size(&mut client, name), kept, "{line}");
        }
        // With data it begins anew.
        assert_eq!(put(&mut client, &format!("STOR {name}"), b"new"), 226);
        assert!(get(&mut client, &format!("RETR {name}")) == b"new");
    }
}
