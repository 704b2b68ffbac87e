//! Names that look like patterns or flags.

use crate::support::ftp_door::{FtpDoor, SECRET, ask, code, get, next, put};
use crate::support::ftp_raw::FtpRaw;

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
