//! The ends of uploads: cut when all came and is being stored, behind commands that wait, and under another
//! name.

use std::fs;
use std::time::{Duration, Instant};

use crate::ftp_going_on::begin;
use crate::support::ftp_door::{FtpDoor, SECRET, ask, code, get, next, noise, put, size};
use crate::support::ftp_raw::Stream;
use crate::support::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(20);
const LARGE: usize = 20 << 20;

/// Waits until the server has read all that was sent.
fn is_read(stream: &Stream) {
    let port = stream.socket().peer_addr().unwrap().port();
    let own = stream.socket().local_addr().unwrap().port();
    let (port, own) = (format!(":{port:04X}"), format!(":{own:04X}"));
    wait_for("the server to have read all", PATIENCE, || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let of_both = table.lines().filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let (from, to) = (words.get(1)?, words.get(2)?);
            let is_theirs = from.ends_with(&port) && to.ends_with(&own);
            let is_ours = from.ends_with(&own) && to.ends_with(&port);
            (is_theirs || is_ours).then(|| words[4].to_owned())
        });
        let queues: Vec<_> = of_both.collect();
        let is_empty = queues.iter().all(|queues| queues == "00000000:00000000");
        (queues.len() == 2 && is_empty).then_some(())
    });
}

#[test]
fn an_abort_while_all_that_came_is_being_stored_loses_nothing() {
    let door = FtpDoor::up();
    let content = noise(LARGE);
    let mut other = door.clear();
    for round in 0..4 {
        let name = format!("f{round}");
        if round % 2 == 1 {
            assert_eq!(put(&mut other, &format!("STOR {name}"), b"old"), 226);
        }
        let mut client = door.clear();
        let mut data = begin(&mut client, &format!("STOR {name}"), &content);
        is_read(&data);
        data.close().unwrap();
        let aborted = code(&mut client, "ABOR");
        assert_eq!(next(&mut client), 226);
        let kept = size(&mut other, &name).unwrap();
        match aborted {
            226 => assert_eq!(kept, LARGE),
            _ => assert!(kept > LARGE - (1 << 20) && kept < LARGE, "{kept}"),
        }
        if aborted != 226 {
            let rest = format!("APPE {name}");
            assert_eq!(put(&mut other, &rest, &content[kept..]), 226);
        }
        assert!(get(&mut other, &format!("RETR {name}")) == content);
    }
}

#[test]
fn a_client_that_is_killed_behind_the_end_of_its_data_loses_nothing_that_was_kept() {
    let door = FtpDoor::up();
    let content = noise(2 * LARGE);
    for round in 0..2 {
        let (name, rest) = (format!("f{round}"), format!("APPE f{round}"));
        let mut other = door.clear();
        assert_eq!(put(&mut other, &format!("STOR {name}"), b"old"), 226);
        let mut client = door.clear();
        let data = begin(&mut client, &format!("STOR {name}"), &content[..LARGE]);
        is_read(&data);
        assert_eq!(code(&mut client, "ABOR"), 426);
        let first = size(&mut other, &name).unwrap();
        assert!(first > LARGE - (1 << 20), "{first}");
        drop((client, data));
        let mut client = door.clear();
        let data = begin(&mut client, &rest, &content[first..2 * LARGE - 5]);
        is_read(&data);
        drop(data);
        drop(client);
        let kept = size(&mut other, &name).unwrap();
        assert!(kept > 2 * LARGE - (1 << 20), "{first} {kept}");
        assert_eq!(put(&mut other, &rest, &content[kept..]), 226);
        assert!(get(&mut other, &format!("RETR {name}")) == content);
    }
}

#[test]
fn a_client_that_is_killed_with_commands_unread_leaves_the_old_file() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &[]);
    door.options(&ann, &["data-tls=optional"]);
    let old = noise(100_000);
    for is_sealed in [false, true] {
        let connect = || match is_sealed {
            false => door.clear(),
            true => {
                let mut client = door.sealed_as(&ann, SECRET);
                assert_eq!(code(&mut client, "PROT C"), 200);
                client.protect = false;
                client
            }
        };
        let mut other = connect();
        assert_eq!(put(&mut other, "STOR f", &old), 226);
        let mut client = connect();
        let begun = Instant::now();
        let data = begin(&mut client, "STOR f", &[b'n'; 50_000]);
        client.send(&b"PWD\r\n".repeat(500)).unwrap();
        is_read(&data);
        wait_for("the upload to have taken a while", PATIENCE, || {
            (begun.elapsed() > Duration::from_millis(200)).then_some(())
        });
        drop(data);
        drop(client);
        let kept = size(&mut other, "f").unwrap();
        assert!(kept <= 50_000, "{kept}");
        let mut other = connect();
        assert!(get(&mut other, "RETR f") == old);
    }
}

#[test]
fn replies_come_in_the_order_of_pipelined_commands() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    assert_eq!(put(&mut client, "STOR a", &noise(3_000_000)), 226);
    let said = |lines: &str, replies: usize| {
        let mut client = door.clear();
        let port = client.prepare_data(&mut Vec::new()).unwrap().unwrap();
        client.send(lines.as_bytes()).unwrap();
        let mut codes: Vec<_> = (1..replies).map(|_| next(&mut client)).collect();
        if codes.first() == Some(&150) {
            drop(client.open(port).unwrap());
        }
        codes.push(next(&mut client));
        codes
    };
    assert_eq!(said("STOR no/x\r\nNOOP\r\n", 2), [550, 200]);
    assert_eq!(said("RETR no\r\nNOOP\r\nQUIT\r\n", 3), [550, 200, 221]);
    // Nobody takes what is sent, so that the transfer lasts as long as it is asked.
    assert_eq!(said("RETR a\r\nNOOP\r\nPWD\r\n", 3)[..2], [150, 200]);
    assert_eq!(said("RETR a\r\nQUIT\r\n", 3)[..2], [150, 221]);
}

#[test]
fn an_abort_behind_two_downloads_ends_the_second() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let content = noise(3_000_000);
    assert_eq!(put(&mut client, "STOR a", &content), 226);
    let port = client.prepare_data(&mut Vec::new()).unwrap().unwrap();
    // RFC 959 section 4.1.3: ABOR ends the previous command.
    client
        .send(b"RETR a\r\nEPSV\r\nRETR a\r\nABOR\r\n")
        .unwrap();
    assert_eq!(next(&mut client), 150);
    let mut data = client.open(port).unwrap();
    let mut came = Vec::new();
    std::io::Read::read_to_end(&mut data, &mut came).unwrap();
    assert!(came == content);
    let codes = [(); 4].map(|()| next(&mut client));
    assert_eq!(codes, [226, 229, 426, 226]);
}

#[test]
fn an_upload_whose_file_is_renamed_meanwhile_tells_where_it_is() {
    let door = FtpDoor::up();
    let (mut client, mut other) = (door.clear(), door.clear());
    assert_eq!(put(&mut client, "STOR r1", b"old"), 226);
    let data = begin(&mut client, "STOR r1", b"new");
    assert_eq!(code(&mut other, "RNFR r1"), 350);
    assert_eq!(code(&mut other, "RNTO r2"), 250);
    drop(data);
    let stored = client.reply().unwrap();
    assert_eq!(stored.code, 226);
    assert!(stored.text.contains("stored as '/r2'"), "{stored:?}");
    assert_eq!(get(&mut other, "RETR r2"), b"new");
    assert_eq!(size(&mut other, "r1"), None);
    let again = ask(&mut client, "NOOP");
    assert_eq!(again.code, 200);
}

/// Sends a part of a file and loses the data connection.
fn break_off(door: &FtpDoor, name: &str, content: &[u8]) -> usize {
    let mut client = door.sealed();
    drop(begin(&mut client, &format!("STOR {name}"), content));
    assert_eq!(next(&mut client), 426);
    size(&mut client, name).unwrap()
}

#[test]
fn what_broke_off_is_neither_deleted_with_its_folder_nor_put_in_place_of_a_whole_file() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    assert_eq!(code(&mut client, "MKD d"), 257);
    let content = noise(700_000);
    let kept = break_off(&door, "d/x", &content);
    let refused = ask(&mut client, "RMD d");
    assert_eq!(refused.code, 550);
    assert!(refused.text.contains("not empty"), "{refused:?}");
    assert_eq!(put(&mut client, "STOR whole", b"whole"), 226);
    assert_eq!(code(&mut client, "RNFR d/x"), 350);
    assert_eq!(code(&mut client, "RNTO whole"), 450);
    assert_eq!(get(&mut client, "RETR whole"), b"whole");
    // Elsewhere it may be.
    assert_eq!(code(&mut client, "RNFR d/x"), 350);
    assert_eq!(code(&mut client, "RNTO y"), 250);
    assert_eq!(code(&mut client, "RMD d"), 250);
    assert_eq!(size(&mut client, "y"), Some(kept));
    assert_eq!(put(&mut client, "APPE y", &content[kept..]), 226);
    assert!(get(&mut client, "RETR y") == content);
}

#[test]
fn rest_holds_over_what_only_prepares_a_transfer() {
    let door = FtpDoor::up();
    let mut client = door.sealed();
    assert_eq!(put(&mut client, "STOR f", b"0123456789"), 226);
    for line in ["MODE S", "STRU F", "TYPE I", "PBSZ 0", "PROT P", "NOOP"] {
        assert_eq!(code(&mut client, "REST 5"), 350);
        assert_eq!(code(&mut client, line), 200);
        assert_eq!(put(&mut client, "STOR f", b"XYZ"), 226);
        assert_eq!(get(&mut client, "RETR f"), b"01234XYZ", "{line}");
    }
    // And over no transfer, also one that does not use it.
    assert_eq!(code(&mut client, "REST 5"), 350);
    get(&mut client, "NLST");
    assert_eq!(get(&mut client, "RETR f"), b"01234XYZ");
}

#[test]
fn a_name_that_begins_with_a_time_is_a_name_where_there_is_one() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    assert_eq!(put(&mut client, "STOR h2", b"2"), 226);
    assert_eq!(code(&mut client, "MDTM 20200101000000 h2"), 253);
    let told = ask(&mut client, "MDTM h2").text;
    assert!(told.starts_with("213 20200101000000"), "{told}");
    assert_eq!(put(&mut client, "STOR 20210101000000 h2", b"long"), 226);
    assert_eq!(code(&mut client, "MDTM 20210101000000 h2"), 213);
    assert_eq!(ask(&mut client, "MDTM h2").text, told);
}

#[test]
fn room_is_told_where_a_quota_says_how_much_there_is() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &["--quota", "1MiB"]);
    let mut client = door.sealed_as(&ann, SECRET);
    assert_eq!(put(&mut client, "STOR f", &[0; 1000]), 226);
    let told = ask(&mut client, "AVBL").text;
    assert_eq!(told, format!("213 {}", (1 << 20) - 1000));
    assert_eq!(code(&mut door.clear(), "AVBL"), 550);
}
