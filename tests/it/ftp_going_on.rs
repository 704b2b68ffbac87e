//! Going on with uploads whose line is dead and not known to be, or whose file is another meanwhile; and
//! clients that are killed.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::folder::TempFolder;
use crate::support::ftp_client::{Way, curl_command, text};
use crate::support::ftp_door::{FtpDoor, SECRET, ask, code, epsv, get, next, noise, put, size};
use crate::support::ftp_raw::{FtpRaw, Stream};
use crate::support::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(20);

/// Begins an upload and sends what is there so far.
pub(crate) fn begin(client: &mut FtpRaw, line: &str, content: &[u8]) -> Stream {
    let mut codes = Vec::new();
    let port = client.prepare_data(&mut codes).unwrap().unwrap();
    assert_eq!(code(client, line), 150, "{line}");
    let mut stream = client.open(port).unwrap();
    stream.write_all(content).unwrap();
    stream.flush().unwrap();
    stream
}

/// Sends REST and what goes on there; the last code.
fn put_from(client: &mut FtpRaw, from: usize, line: &str, content: &[u8]) -> u16 {
    assert_eq!(code(client, &format!("REST {from}")), 350);
    put(client, line, content)
}

#[test]
fn what_is_short_is_not_gone_on_with_while_another_session_sends_it() {
    let door = FtpDoor::up();
    let (old, new) = (vec![b'O'; 100_000], noise(200_000));
    for (sent, name) in [(50_000, "short"), (0, "nothing")] {
        let store = format!("STOR {name}");
        let mut other = door.clear();
        assert_eq!(put(&mut other, &store, &old), 226);
        let mut silent = door.clear();
        let data = begin(&mut silent, &store, &new[..sent]);
        assert_eq!(code(&mut other, &format!("SIZE {name}")), 450);
        assert_eq!(put(&mut other, &format!("APPE {name}"), &new[sent..]), 450);
        let code = put_from(&mut other, 100_000, &store, &new[100_000..]);
        assert_eq!(code, 450);
        assert!(get(&mut other, &format!("RETR {name}")) == old);
        // Other names are nobody's business, and listings show what is published.
        assert_eq!(put(&mut other, "STOR another", b"1"), 226);
        assert_eq!(size(&mut other, "another"), Some(1));
        assert!(!get(&mut other, "MLSD").is_empty());
        drop((silent, data));
        let kept = wait_for("the line to be known as dead", PATIENCE, || {
            let reply = ask(&mut other, &format!("SIZE {name}"));
            (reply.code == 213).then(|| reply.text[4..].trim().parse::<usize>().unwrap())
        });
        assert!(kept <= sent, "{kept}");
        assert_eq!(put(&mut other, &format!("APPE {name}"), &new[kept..]), 226);
        assert!(get(&mut other, &format!("RETR {name}")) == new);
    }
}

#[test]
fn a_size_that_holds_no_more_is_not_gone_on_from() {
    let door = FtpDoor::up();
    let (mut client, mut other) = (door.clear(), door.sealed());
    for line in ["APPE f", "STOR f"] {
        assert_eq!(put(&mut client, "STOR f", b"0123456789"), 226);
        assert_eq!(size(&mut client, "f"), Some(10));
        assert_eq!(put(&mut other, "STOR f", b"abcdefghijklmnop"), 226);
        let go_on = |client: &mut FtpRaw, from| match line {
            "STOR f" => put_from(client, from, line, b"!"),
            _ => put(client, line, b"!"),
        };
        assert_eq!(go_on(&mut client, 10), 450);
        assert_eq!(size(&mut client, "f"), Some(16));
        assert_eq!(go_on(&mut client, 16), 226);
        assert_eq!(get(&mut other, "RETR f"), b"abcdefghijklmnop!");
    }
}

#[test]
fn rest_and_stor_lay_nothing_over_what_another_published_meanwhile() {
    let door = FtpDoor::up();
    let mut other = door.clear();
    for (from, theirs) in [(5, &b"abcdefghijklmnop"[..]), (8, b"ab")] {
        assert_eq!(put(&mut other, "STOR f", b"0123456789"), 226);
        let mut client = door.clear();
        let mut data = {
            let mut codes = Vec::new();
            let port = client.prepare_data(&mut codes).unwrap().unwrap();
            assert_eq!(code(&mut client, &format!("REST {from}")), 350);
            assert_eq!(code(&mut client, "STOR f"), 150);
            client.open(port).unwrap()
        };
        data.write_all(b"XY").unwrap();
        assert_eq!(put(&mut other, "STOR f", theirs), 226);
        data.close().unwrap();
        drop(data);
        assert_eq!(next(&mut client), 451);
        assert_eq!(get(&mut other, "RETR f"), theirs);
    }
    // Undisturbed it is as ever.
    assert_eq!(put(&mut other, "STOR f", b"0123456789"), 226);
    assert_eq!(put_from(&mut other, 5, "STOR f", b"XY"), 226);
    assert_eq!(get(&mut other, "RETR f"), b"01234XY");
}

const WHILE: Duration = Duration::from_millis(120);

#[test]
fn a_data_connection_that_ends_before_its_control_connection_ends_no_upload() {
    let door = FtpDoor::up();
    let old = noise(300_000);
    let behind = [&b""[..], b"NOOP\r\n", b"NOOP\r\nNOOP\r\n"];
    let mut rounds = behind.into_iter().cycle().take(300).enumerate();
    let mut counted = 0;
    while counted < 30 {
        let (round, behind) = rounds.next().unwrap();
        let store = format!("STOR f{round}");
        let mut other = door.clear();
        assert_eq!(put(&mut other, &store, &old), 226);
        let mut client = door.clear();
        let content = vec![b'n'; [1000, 700_000][round % 2]];
        let begun = Instant::now();
        let data = begin(&mut client, &store, &content);
        // As long as an upload takes that somebody gives up.
        wait_for("the upload to have taken a while", PATIENCE, || {
            (begun.elapsed() > WHILE).then_some(())
        });
        // In this order, as the system does it for a client that is killed.
        let ended = Instant::now();
        drop(data);
        if !behind.is_empty() {
            client.send(behind).unwrap();
        }
        drop(client);
        // The system takes no break in between; this thread may.
        if ended.elapsed() > Duration::from_millis(1) {
            continue;
        }
        counted += 1;
        let kept = wait_for("the upload to be broken off", PATIENCE, || {
            let reply = ask(&mut other, &format!("SIZE f{round}"));
            (reply.code == 213).then(|| reply.text[4..].trim().parse::<usize>().unwrap())
        });
        assert!(kept <= content.len(), "round {round}");
        let mut other = door.clear();
        assert!(
            get(&mut other, &format!("RETR f{round}")) == old,
            "round {round}"
        );
    }
}

#[test]
fn an_end_behind_quit_is_an_end_like_any_other() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let data = begin(&mut client, "STOR f", b"all");
    drop(data);
    client.send(b"QUIT\r\n").unwrap();
    drop(client);
    let mut other = door.clear();
    wait_for("the upload to be published", PATIENCE, || {
        let done = other.download("RETR f").unwrap();
        (done.data == b"all").then_some(())
    });
}

#[test]
fn a_curl_that_is_killed_leaves_the_old_file() {
    let folder = TempFolder::new();
    let door = FtpDoor::up();
    let local = folder.join("local");
    fs::write(&local, noise(4_000_000)).unwrap();
    let old = vec![b'O'; 400_000];
    for round in 0..12 {
        let name = format!("f{round}");
        let mut other = door.clear();
        assert_eq!(put(&mut other, &format!("STOR {name}"), &old), 226);
        let url = Way::Clear.url(&door.server, &name);
        let words = ["--limit-rate", "1M", "-T", text(&local), &url];
        let mut child = curl_command(&door.server, Way::Clear, &words)
            .spawn()
            .unwrap();
        let sent = wait_for("curl to have sent something", PATIENCE, || {
            (code(&mut other, &format!("SIZE {name}")) == 450).then(Instant::now)
        });
        wait_for("it to be in the middle", PATIENCE, || {
            let some = Duration::from_millis(300 + 17 * round);
            (sent.elapsed() > some).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        wait_for("the upload to be broken off", PATIENCE, || {
            (code(&mut other, &format!("SIZE {name}")) == 213).then_some(())
        });
        let mut other = door.clear();
        assert!(get(&mut other, &format!("RETR {name}")) == old, "{round}");
    }
}

#[test]
fn nobody_is_waited_for_on_a_passive_port_after_abor() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let port = epsv(&mut client);
    assert_eq!(code(&mut client, "ABOR"), 226);
    assert_eq!(code(&mut client, "STOR f"), 425);
    let refused = TcpStream::connect((door.address().ip(), port));
    assert!(refused.is_err());
    assert_eq!(put(&mut client, "STOR f", b"1"), 226);
}

#[test]
fn nobody_goes_on_while_another_session_appends() {
    let door = FtpDoor::up();
    let old = vec![b'O'; 1000];
    for (round, sent) in [0, 10, 2_000_000].into_iter().enumerate() {
        let name = format!("log{round}");
        let mut other = door.sealed();
        assert_eq!(put(&mut other, &format!("STOR {name}"), &old), 226);
        let mut client = door.sealed();
        for line in [format!("APPE {name}"), format!("STOR {name}")] {
            assert!(size(&mut other, &name).is_some());
            let before = get(&mut other, &format!("RETR {name}"));
            if line.starts_with("STOR") {
                assert_eq!(code(&mut client, &format!("REST {}", before.len())), 350);
            }
            let tail = noise(sent);
            let mut data = begin(&mut client, &line, &tail);
            assert_eq!(code(&mut other, &format!("SIZE {name}")), 450);
            assert_eq!(put(&mut other, &format!("APPE {name}"), b"tail"), 450);
            let refused = put_from(&mut other, 500, &format!("STOR {name}"), b"tail");
            assert_eq!(refused, 450);
            // Also when all is sent, and the reply is on its way.
            data.close().unwrap();
            drop(data);
            let told = wait_for("the appended bytes to be there", PATIENCE, || {
                let reply = ask(&mut other, &format!("SIZE {name}"));
                (reply.code == 213).then(|| reply.text[4..].trim().parse::<usize>().unwrap())
            });
            assert_eq!(told, before.len() + sent);
            assert_eq!(next(&mut client), 226);
            let whole = get(&mut other, &format!("RETR {name}"));
            assert!(whole == [before, tail].concat());
        }
        assert_eq!(put(&mut other, &format!("APPE {name}"), b"tail"), 226);
    }
}

#[test]
fn an_append_behind_a_told_size_is_laid_behind_nothing_else() {
    let door = FtpDoor::up();
    let bob = door.account("bob", &[]);
    let mut other = door.sealed_as(&bob, SECRET);
    let mut client = door.sealed();
    for told in [true, false] {
        assert_eq!(put(&mut client, "STOR f", b"0123456789"), 226);
        if told {
            assert_eq!(size(&mut client, "f"), Some(10));
        }
        let mut data = begin(&mut client, "APPE f", b"tail");
        assert_eq!(put(&mut other, "APPE f", b"theirs"), 226);
        data.close().unwrap();
        drop(data);
        let (code, whole) = match told {
            true => (451, &b"0123456789theirs"[..]),
            false => (226, &b"0123456789theirstail"[..]),
        };
        assert_eq!(next(&mut client), code);
        assert_eq!(get(&mut client, "RETR f"), whole);
    }
}

#[test]
fn nothing_is_being_sent_any_more_when_an_upload_was_refused() {
    let door = FtpDoor::up();
    let small = door.account("small", &["--quota", "1MiB"]);
    let mut client = door.sealed_as(&small, SECRET);
    let mut other = door.sealed_as(&small, SECRET);
    assert_eq!(put(&mut client, "STOR old", b"old"), 226);
    for round in 0..10 {
        for (name, told) in [("old".to_owned(), 213), (format!("new{round}"), 550)] {
            let refused = put(&mut client, &format!("STOR {name}"), &noise(3_000_000));
            assert_eq!(refused, 552);
            assert_eq!(code(&mut client, &format!("SIZE {name}")), told);
            assert_eq!(code(&mut other, &format!("SIZE {name}")), told);
        }
    }
}
