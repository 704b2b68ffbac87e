//! Names that look like patterns or flags, and names that the server makes.

use std::io::Write;
use std::time::Duration;

use socket2::SockRef;

use crate::support::ftp_door::{FtpDoor, SECRET, ask, code, get, next, noise, put, size};
use crate::support::ftp_raw::{FtpRaw, Stream};
use crate::support::wait::wait_for;

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
        .set_linger(Some(Duration::ZERO))
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

#[test]
fn long_patterns_are_refused_and_those_that_are_not_take_no_time() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    for letter in ["a", "b", "c"] {
        let name = letter.repeat(250);
        assert_eq!(put(&mut client, &format!("STOR {name}"), b"1"), 226);
    }
    let (short, long) = ("[ab]".repeat(250), "[ab]".repeat(1700));
    assert_eq!(
        names(&mut client, &format!("NLST {short}")),
        ["a".repeat(250), "b".repeat(250)]
    );
    for verb in ["LIST", "NLST", "STAT"] {
        let codes = match verb {
            "STAT" => vec![code(&mut client, &format!("{verb} *{long}"))],
            _ => client.download(&format!("{verb} *{long}")).unwrap().codes,
        };
        assert_eq!(codes, [501], "{verb}");
    }
    // The names themselves are not patterns.
    assert_eq!(names(&mut client, "NLST").len(), 3);
}

#[test]
fn listings_of_data_show_names_that_can_be_fetched() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    let odd = ["a\tb", "a\u{1}b", "a\u{1b}[2Jb", "end "];
    for name in odd {
        assert_eq!(
            put(&mut client, &format!("STOR {name}"), name.as_bytes()),
            226
        );
    }
    let mut listed = names(&mut client, "NLST");
    listed.sort();
    let mut sorted = odd.map(str::to_owned);
    sorted.sort();
    assert_eq!(listed, sorted);
    for name in &listed {
        assert_eq!(get(&mut client, &format!("RETR {name}")), name.as_bytes());
    }
    let facts = names(&mut client, "MLSD");
    assert!(
        facts.iter().any(|line| line.ends_with("; a\tb")),
        "{facts:?}"
    );
    let lines = names(&mut client, "LIST");
    assert!(
        lines.iter().any(|line| line.ends_with(" a\tb")),
        "{lines:?}"
    );
    // Replies are read on terminals.
    let status = ask(&mut client, "STAT /").text.replace('\r', "");
    assert!(
        status.contains(" a?[2Jb\n") && status.contains(" end \n"),
        "{status}"
    );
}

#[test]
fn the_letter_that_is_the_escape_of_telnet_belongs_to_names() {
    let door = FtpDoor::up();
    let name = door.account("scanner", &[]);
    let words = ["account", "methods", &name, "--clear-text", "true"];
    door.server.admin(&words, "");
    door.options(&name, &["charset=windows-1251"]);
    let mut old = door.stranger();
    old.login(&name, SECRET);
    assert_eq!(code(&mut old, "TYPE I"), 200);
    // "\u{44f}\u{431}" and "\u{44f}\u{432}", as clients send them that know nothing of Telnet.
    for (folder, told) in [
        (&b"\xff\xe1"[..], "\u{44f}\u{431}"),
        (b"\xff\xe2", "\u{44f}\u{432}"),
        (b"a\xff", "a\u{44f}"),
        (b"\xff\xff\xff\xffb", "\u{44f}\u{44f}b"),
    ] {
        old.send(&[b"MKD ", folder, b"\r\n"].concat()).unwrap();
        assert_eq!(next(&mut old), 257);
        assert_eq!(
            code(&mut door.sealed(), &format!("CWD /{told}")),
            250,
            "{told}"
        );
    }
}

#[test]
fn what_broke_off_is_told_of_by_every_command() {
    let door = FtpDoor::up();
    let mut client = door.clear();
    // A reset takes away what the server had not read yet, which may be all of it.
    let kept = wait_for("it to be kept", Duration::from_secs(30), || {
        let port = client.prepare_data(&mut Vec::new()).unwrap().unwrap();
        assert_eq!(code(&mut client, "STOR broken"), 150);
        let mut stream = client.open(port).unwrap();
        stream.write_all(&noise(3_000_000)).unwrap();
        let reset = SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO));
        reset.unwrap();
        drop(stream);
        assert_eq!(next(&mut client), 426);
        size(&mut client, "broken").filter(|kept| *kept > 0)
    });
    let facts = ask(&mut client, "MLST broken");
    assert_eq!(facts.code, 250, "{facts:?}");
    assert!(facts.text.contains(&format!("size={kept};")), "{facts:?}");
    for line in ["MFMT 20200101000000 broken", "SITE CHMOD 600 broken"] {
        assert_eq!(code(&mut client, line), 450, "{line}");
    }
    assert_eq!(code(&mut client, "MFMT 20200101000000 nothing"), 550);
    assert_eq!(code(&mut client, "MLST nothing"), 550);
}
