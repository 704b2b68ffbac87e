//! Names that look like patterns or flags, and names that the server makes.

use std::io::Write;

use socket2::SockRef;

use crate::support::ftp_door::{FtpDoor, SECRET, ask, code, get, next, noise, put, size};
use crate::support::ftp_raw::{FtpRaw, Stream};

fn names(client: &mut FtpRaw, line: &str) -> Vec<String> {
    let text = String::from_utf8(get(client, line)).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_name_that_is_there_goes_before_a_pattern() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    for folder in ["[x]", "a*b", "c"] {
        assert_eq!(code(&mut client, &format!("MKD {folder}")), 257);
        assert_eq!(put(&mut client, &format!("STOR {folder}/inner"), b"1"), 226);
    }
    for file in ["[z]", "x", "z", "axb", "what?", "c/[y]", "c/y"] {
        assert_eq!(put(&mut client, &format!("STOR {file}"), b"1"), 226);
    }
    for (line, expected) in [
        ("NLST [x]", &["[x]/inner"][..]),
        ("NLST a*b", &["a*b/inner"]),
        ("NLST [z]", &["[z]"]),
        ("NLST -a what?", &["what?"]),
        ("NLST c/[y]", &["c/[y]"]),
        ("NLST /c/[y]", &["/c/[y]"]),
        // What is not there is a pattern.
        ("NLST [xz]", &["x", "z"]),
        ("NLST a?b", &["a*b", "axb"]),
        ("NLST c/[xy]", &["c/y"]),
        ("NLST [x]/*", &["[x]/inner"]),
        ("NLST [q]", &[]),
    ] {
        assert_eq!(names(&mut client, line), expected, "{line}");
    }
    for (line, end) in [
        ("LIST [x]", " inner"),
        ("LIST [z]", " [z]"),
        ("LIST -l a*b", " inner"),
    ] {
        let listed = names(&mut client, line);
        assert_eq!(listed.len(), 1, "{line}: {listed:?}");
        assert!(listed[0].ends_with(end), "{line}: {listed:?}");
    }
    for (line, code, part) in [
        ("STAT [x]", 213, " inner\n"),
        ("STAT [z]", 213, " [z]\n"),
        ("STAT -l [x]", 213, " inner\n"),
        ("STAT [xz]", 212, " z\n"),
    ] {
        let reply = ask(&mut client, line);
        assert_eq!(reply.code, code, "{reply:?}");
        assert!(reply.text.replace('\r', "").contains(part), "{reply:?}");
    }
}

#[test]
fn spaces_in_front_belong_to_names() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    for folder in ["x", " x", "  x", "-l"] {
        assert_eq!(code(&mut client, &format!("MKD {folder}")), 257);
        let inner = folder.replace(' ', "_");
        let line = format!("STOR {folder}/{inner}");
        assert_eq!(put(&mut client, &line, b"1"), 226);
    }
    for (line, inner) in [
        ("NLST x", "x/x"),
        ("NLST  x", " x/_x"),
        ("NLST   x", "  x/__x"),
        ("NLST -l  x", " x/_x"),
        ("NLST -a -l  x", " x/_x"),
        ("NLST --  x", " x/_x"),
        ("NLST -- -l", "-l/-l"),
        ("NLST ./-l", "./-l/-l"),
    ] {
        assert_eq!(names(&mut client, line), [inner], "{line}");
    }
    for line in ["LIST", "LIST ", "LIST -l", "LIST -l ", "LIST -a -l", "NLST"] {
        assert_eq!(names(&mut client, line).len(), 4, "{line}");
    }
    assert!(ask(&mut client, "STAT  x").text.contains(" _x"));
}

/// Begins STOU; the name that is promised, and the data connection.
fn begin_unique(client: &mut FtpRaw, line: &str) -> (String, Stream) {
    let mut codes = Vec::new();
    let port = client.prepare_data(&mut codes).unwrap().unwrap();
    let reply = ask(client, line);
    // RFC 1123 section 4.1.2.9, to the letter.
    let name = reply
        .text
        .strip_prefix("150 FILE: ")
        .unwrap_or_else(|| panic!("{reply:?}"));
    (name.trim_end().to_owned(), client.open(port).unwrap())
}

#[test]
fn a_name_that_was_promised_is_the_one_that_is_stored() {
    let door = FtpDoor::up();
    assert_eq!(code(&mut door.clear(), "MKD d"), 257);
    for (mut client, mut other) in [(door.clear(), door.clear()), (door.sealed(), door.sealed())] {
        for line in ["STOU", "STOU a.txt", "STOU d/a.txt"] {
            let wish = line.strip_prefix("STOU ").unwrap_or("file");
            let (name, mut data) = begin_unique(&mut client, line);
            let (another, mut more) = begin_unique(&mut other, line);
            assert_ne!(name, another);
            // Somebody takes the name that was wished for.
            assert_eq!(
                put(&mut door.clear(), &format!("STOR {wish}"), b"wish"),
                226
            );
            for (stream, content) in [(&mut data, b"first"), (&mut more, b"other")] {
                stream.write_all(content).unwrap();
                stream.close().unwrap();
            }
            drop((data, more));
            for (client, name) in [(&mut client, &name), (&mut other, &another)] {
                let reply = client.reply().unwrap();
                assert_eq!(reply.code, 226, "{reply:?}");
                assert!(
                    reply.text.trim_end().ends_with(&format!("FILE: {name}")),
                    "{reply:?}"
                );
            }
            assert_eq!(get(&mut client, &format!("RETR {name}")), b"first");
            assert_eq!(get(&mut client, &format!("RETR {another}")), b"other");
            assert_eq!(get(&mut client, &format!("RETR {wish}")), b"wish");
        }
    }
}

#[test]
fn a_name_that_was_promised_is_the_one_to_go_on_with() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    // More than sockets hold: a part of it is read when all is sent.
    let content = noise(17 << 20);
    let (half, rest) = content.split_at(16 << 20);
    let (name, mut data) = begin_unique(&mut client, "STOU big");
    data.write_all(half).unwrap();
    SockRef::from(data.socket())
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(data);
    assert_eq!(next(&mut client), 426);
    let kept = size(&mut client, &name).unwrap();
    let rest = [&half[kept..], rest].concat();
    assert_eq!(put(&mut client, &format!("APPE {name}"), &rest), 226);
    assert!(get(&mut client, &format!("RETR {name}")) == content);
}

#[test]
fn no_wish_is_too_long_or_too_odd_for_a_name() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    for wish in [
        "x".repeat(255),
        "\u{1f980}".repeat(63),
        "a\u{1b}b\tc".to_owned(),
    ] {
        let (name, mut data) = begin_unique(&mut client, &format!("STOU {wish}"));
        data.write_all(b"content").unwrap();
        drop(data);
        assert_eq!(next(&mut client), 226);
        assert_eq!(get(&mut client, &format!("RETR {name}")), b"content");
    }
}

#[test]
fn utf8_that_was_asked_for_before_the_login_holds_behind_it() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &[]);
    door.options(&ann, &["charset=shift_jis"]);
    let mut client = door.implicit_stranger();
    assert_eq!(code(&mut client, "OPTS UTF8 ON"), 200);
    client.login(&ann, SECRET);
    assert_eq!(code(&mut client, "MKD \u{8868}\u{793a}"), 257);
    assert_eq!(code(&mut door.clear(), "CWD \u{8868}\u{793a}"), 250);
    // What was said is not for the next who logs in.
    assert_eq!(code(&mut client, "REIN"), 220);
    client.login(&ann, SECRET);
    client.send(b"CWD \x95\x5c\x8e\xa6\r\n").unwrap();
    assert_eq!(next(&mut client), 250);
}
