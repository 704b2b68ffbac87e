//! tus 1.0, rule by rule, with curl as the client.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

use crate::support::folder::TempFolder;
use crate::support::https_door::{HttpsDoor, ask};
use crate::support::server::{DEMO, Server};
use crate::support::tus::{PIECE, SPEAK, Tus, UPLOADS, location, noise, sha256, to, tree};
use crate::support::wait::wait_for;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_file_comes_in_pieces_and_is_there_with_the_last() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let bytes = noise(1, 300_000);
    let at = tus.begin("/a.bin", bytes.len());
    let mut sent = 0;
    // Within a frame, across one, and to the end.
    for piece in [1, 99, 65_436, 65_536, 70_000] {
        let stored = tus.patch(&at, sent, &bytes[sent..sent + piece], &[]);
        sent += piece;
        assert_eq!(stored.status, 204, "{}", stored.text());
        let told = stored.header("upload-offset").unwrap();
        assert_eq!(told, sent.to_string());
        assert!(stored.header("upload-expires").is_some());
        assert_eq!(stored.header("tus-resumable"), Some("1.0.0"));
        assert_eq!(tus.offset(&at), sent);
        assert!(tree(&door.server).get("/a.bin").is_none());
    }
    let last = tus.patch(&at, sent, &bytes[sent..], &[]);
    assert_eq!(last.status, 204, "{}", last.text());
    assert_eq!(last.header("upload-expires"), None);
    assert_eq!(tree(&door.server)["/a.bin"], sha256(&bytes));
    let head = tus.head(&at);
    assert_eq!(head.header("upload-offset"), Some("300000"));
    assert_eq!(head.header("upload-length"), Some("300000"));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    assert!(head.header("upload-metadata").unwrap().starts_with("path "));
    // Whose answer was lost may ask again.
    let again = tus.patch(&at, bytes.len(), b"", &["Content-Length: 0"]);
    assert_eq!(again.status, 204, "{}", again.text());
    door.server.stop();
}

#[test]
fn the_server_says_what_it_can_do_to_anybody() {
    let door = HttpsDoor::up();
    for path in [UPLOADS, "/api/v1/uploads/any"] {
        let offer = door.ask(&["-X", "OPTIONS"], path);
        assert_eq!(offer.status, 204);
        assert_eq!(offer.header("tus-version"), Some("1.0.0"));
        let extensions = offer.header("tus-extension").unwrap();
        for extension in ["creation", "checksum", "termination", "concatenation"] {
            assert!(extensions.split(',').any(|own| own == extension));
        }
        let algorithms = offer.header("tus-checksum-algorithm").unwrap();
        assert!(algorithms.contains("sha1"));
        assert!(offer.header("tus-max-size").is_some());
    }
}

#[test]
fn what_breaks_a_rule_is_refused_and_changes_nothing() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let url = door.url(UPLOADS);
    let user = door.user();
    for version in [&[][..], &["-H", "Tus-Resumable: 0.2.2"]] {
        let words = [&["--user", user.as_str(), "-X", "POST"], version].concat();
        let other = ask(&words, &url);
        assert_eq!((other.status, other.problem().as_str()), (412, "version"));
        assert_eq!(other.header("tus-version"), Some("1.0.0"));
    }
    let stranger = door.ask(&["-X", "POST", "-H", SPEAK], UPLOADS);
    assert_eq!(stranger.status, 401);
    assert_eq!(stranger.header("tus-resumable"), Some("1.0.0"));
    let place = to("/a");
    for (headers, status) in [
        (&["Upload-Length: 5"][..], 400),
        (&[&place], 400),
        (&["Upload-Length: x", &place], 400),
        (&["Upload-Length: 5", "Upload-Defer-Length: 1", &place], 400),
        (&["Upload-Defer-Length: 2", &place], 400),
        (&["Upload-Length: 9223372036854775808", &place], 413),
        (&["Upload-Length: 5", "Upload-Metadata: path %"], 400),
        (&["Upload-Length: 5", &to("/missing/a")], 404),
        (&["Upload-Length: 5", &to("/")], 409),
        (&["Upload-Length: 5", "Upload-Metadata: filename Li4="], 400),
        (&["Upload-Length: 5", "Upload-Concat: some", &place], 400),
        (&["Upload-Concat: final;/api/v1/uploads/x", &place], 404),
        (&["X-HTTP-Method-Override: PATCH", "Upload-Length: 5"], 405),
    ] {
        let refused = tus.post(headers);
        assert_eq!(refused.status, status, "{headers:?}: {}", refused.text());
        refused.problem();
    }
    let at = tus.begin("/a", 10);
    assert_eq!(tus.patch(&at, 0, b"01234", &[]).status, 204);
    for (offset, bytes, headers, status) in [
        (0, &b"0"[..], &[][..], 409),
        (6, b"0", &[], 409),
        (5, b"012345", &[], 413),
        (5, b"0", &["Upload-Length: 11"], 400),
        (5, b"0", &["Upload-Checksum: sha3 AAAA"], 400),
        (5, b"0", &["Upload-Checksum: sha1 AAAA"], 400),
    ] {
        let refused = tus.patch(&at, offset, bytes, headers);
        assert_eq!(refused.status, status, "{offset} {headers:?}");
        assert_eq!(tus.offset(&at), 5);
    }
    let kind = tus.ask(
        &["-X", "PATCH", "-H", "Upload-Offset: 5", "-d", "01234"],
        &at,
    );
    assert_eq!(kind.status, 415);
    let chunked = ["-X", "PATCH", "-H", PIECE, "-H", "Upload-Offset: 5"];
    let data = tus.data(b"012345");
    let more = [
        "-H",
        "Transfer-Encoding: chunked",
        "--data-binary",
        &data,
        "--http1.1",
    ];
    let beyond = tus.ask(&[&chunked[..], &more].concat(), &at);
    assert_eq!(beyond.status, 400, "{}", beyond.text());
    assert_eq!(tus.offset(&at), 5);
    let unknown = format!("{UPLOADS}/{}", "0".repeat(32));
    for at in [unknown.as_str(), "/api/v1/uploads/x"] {
        assert_eq!(tus.head(at).status, 404);
        assert_eq!(tus.patch(at, 0, b"", &[]).status, 404);
        assert_eq!(tus.ask(&["-X", "DELETE"], at).status, 404);
    }
    assert!(tree(&door.server).as_object().unwrap().is_empty());
}

#[test]
fn a_piece_with_a_wrong_sum_is_dropped() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    // Long enough that what came was stored before it was compared.
    let bytes = noise(2, 20 << 20);
    let at = tus.begin("/a", bytes.len() + 5);
    assert_eq!(tus.patch(&at, 0, b"01234", &[]).status, 204);
    let sum = BASE64.encode(&Sha256::digest(&bytes));
    let wrong = format!("Upload-Checksum: sha256 {}", BASE64.encode(&[7; 32]));
    let refused = tus.patch(&at, 5, &bytes, &[&wrong]);
    assert_eq!(refused.status, 460, "{}", refused.text());
    assert_eq!(refused.problem(), "checksum-mismatch");
    assert_eq!(tus.offset(&at), 5);
    for (algorithm, sum) in [
        ("md5", "XUFAKrxLKna5cZ2REBfFkg=="),
        ("sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00="),
        ("sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="),
        ("crc32", "NhCmhg=="),
    ] {
        let at = tus.begin("/hello", 6);
        let said = format!("Upload-Checksum: {algorithm} {sum}");
        let stored = tus.patch(&at, 0, b"hello", &[&said]);
        assert_eq!(stored.status, 204, "{algorithm}: {}", stored.text());
        assert_eq!(tus.patch(&at, 5, b"x", &[&said]).status, 460);
        assert_eq!(tus.offset(&at), 5);
    }
    let right = format!("Upload-Checksum: sha256 {sum}");
    assert_eq!(tus.patch(&at, 5, &bytes, &[&right]).status, 204);
    let whole = [&b"01234"[..], &bytes].concat();
    assert_eq!(tree(&door.server)["/a"], sha256(&whole));
}

#[test]
fn an_upload_may_begin_with_its_first_piece_without_a_length_or_empty() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let data = tus.data(b"hello");
    let whole = |length: &str, path: &str| {
        let place = to(path);
        let words = ["-X", "POST", "-H", PIECE, "-H", length, "-H", &place];
        tus.ask(&[&words[..], &["--data-binary", &data]].concat(), UPLOADS)
    };
    let complete = whole("Upload-Length: 5", "/complete");
    assert_eq!(complete.header("upload-offset"), Some("5"));
    location(&complete);
    let first = whole("Upload-Length: 7", "/first");
    assert_eq!(first.header("upload-offset"), Some("5"));
    let at = location(&first);
    assert_eq!(tus.patch(&at, 5, b"!!", &[]).status, 204);
    assert_eq!(whole("Upload-Length: 4", "/x").status, 413);
    let deferred = whole("Upload-Defer-Length: 1", "/deferred");
    let at = location(&deferred);
    assert_eq!(tus.head(&at).header("upload-defer-length"), Some("1"));
    assert_eq!(tus.patch(&at, 5, b"more", &[]).status, 204);
    let end = tus.patch(&at, 9, b"", &["Upload-Length: 9"]);
    assert_eq!(end.status, 204, "{}", end.text());
    tus.begin("/empty", 0);
    let found = tree(&door.server);
    assert_eq!(found["/complete"], sha256(b"hello"));
    assert_eq!(found["/first"], sha256(b"hello!!"));
    assert_eq!(found["/deferred"], sha256(b"hellomore"));
    assert_eq!(found["/empty"], sha256(b""));
    assert_eq!(found.as_object().unwrap().len(), 4);
}

#[test]
fn an_upload_is_ended_by_delete_and_by_clients_that_only_post() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let at = tus.begin("/a", 10);
    assert_eq!(tus.patch(&at, 0, b"01234", &[]).status, 204);
    let data = tus.data(b"56");
    let words = [
        "-X",
        "POST",
        "-H",
        "X-HTTP-Method-Override: PATCH",
        "-H",
        PIECE,
    ];
    let more = ["-H", "Upload-Offset: 5", "--data-binary", &data];
    let patched = tus.ask(&[&words[..], &more].concat(), &at);
    assert_eq!(patched.status, 204, "{}", patched.text());
    assert_eq!(tus.offset(&at), 7);
    let other = tus.ask(&["-X", "POST"], &at);
    assert_eq!(other.status, 405);
    let ended = tus.ask(&["-X", "POST", "-H", "X-HTTP-Method-Override: DELETE"], &at);
    assert_eq!(ended.status, 204);
    assert_eq!(tus.head(&at).status, 404);
    assert_eq!(tus.patch(&at, 7, b"789", &[]).status, 404);
    let at = tus.begin("/b", 1);
    assert_eq!(tus.patch(&at, 0, b"0", &[]).status, 204);
    assert_eq!(tus.ask(&["-X", "DELETE"], &at).status, 204);
    assert_eq!(tus.head(&at).status, 404);
    // What is published stays.
    assert_eq!(tree(&door.server)["/b"], sha256(b"0"));
}

#[test]
fn what_is_there_is_replaced_unless_that_is_not_wanted() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    for bytes in [b"one", b"two"] {
        let at = tus.begin("/a", 3);
        assert_eq!(tus.patch(&at, 0, bytes, &[]).status, 204);
        assert_eq!(tree(&door.server)["/a"], sha256(bytes));
    }
    let careful = |path: &str| format!("{},overwrite ZmFsc2U=", to(path));
    let taken = tus.post(&["Upload-Length: 3", &careful("/a")]);
    assert_eq!(taken.status, 409);
    // A name that is taken meanwhile: nothing is lost, and what is lacking can be sent when it is free.
    let at = location(&tus.post(&["Upload-Length: 3", &careful("/b")]));
    let first = tus.begin("/b", 1);
    assert_eq!(tus.patch(&first, 0, b"x", &[]).status, 204);
    let late = tus.patch(&at, 0, b"abc", &[]);
    assert_eq!(
        (late.status, late.problem().as_str()),
        (409, "already-exists")
    );
    assert_eq!(tus.offset(&at), 2);
    assert_eq!(tree(&door.server)["/b"], sha256(b"x"));
}

#[test]
fn uploads_of_others_are_not_there_and_rights_are_asked_for() {
    let door = HttpsDoor::up();
    let server = &door.server;
    let password = "another account's";
    server.admin(
        &["account", "add", "bob@demo", "--password-stdin"],
        password,
    );
    let tus = Tus::of(server);
    let bob = Tus::at(&door.address().to_string(), &format!("bob@demo:{password}"));
    let at = tus.begin("/a", 10);
    assert_eq!(bob.head(&at).status, 404);
    assert_eq!(bob.patch(&at, 0, b"0", &[]).status, 404);
    assert_eq!(bob.ask(&["-X", "DELETE"], &at).status, 404);
    let part = tus.part(1);
    assert_eq!(tus.patch(&part, 0, b"0", &[]).status, 204);
    let join = format!("Upload-Concat: final;{part}");
    server.admin(&["grant", "add", "bob@demo", "demo:/", "list,read"], "");
    let denied = bob.post(&["Upload-Length: 5", &to("/b")]);
    assert_eq!((denied.status, denied.problem().as_str()), (403, "denied"));
    server.admin(
        &["grant", "add", "bob@demo", "demo:/", "list,read,write"],
        "",
    );
    assert_eq!(bob.post(&[&join, &to("/b")]).status, 404);
    let own = location(&bob.post(&["Upload-Length: 2", &to("/b")]));
    assert_eq!(bob.patch(&own, 0, b"0", &[]).status, 204);
    // Rights count when the file is published.
    server.admin(&["grant", "add", "bob@demo", "demo:/", "list,read"], "");
    let late = wait_for("the right to be gone", MINUTE, || {
        let offset = bob.offset(&own);
        let late = bob.patch(&own, offset, &b"01"[offset..], &[]);
        (late.status != 401).then_some(late)
    });
    assert_eq!(late.status, 403, "{}", late.text());
    assert_eq!(bob.offset(&own), 1);
}

#[test]
fn a_quota_bounds_what_is_begun() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    door.server
        .admin(&["account", "set", DEMO, "--quota", "1MiB"], "");
    let refused = tus.post(&["Upload-Length: 2000000", &to("/a")]);
    assert_eq!((refused.status, refused.problem().as_str()), (507, "quota"));
    let at = location(&tus.post(&["Upload-Defer-Length: 1", &to("/a")]));
    let refused = tus.patch(&at, 0, &noise(3, 2_000_000), &[]);
    assert_eq!(refused.status, 507, "{}", refused.text());
    let kept = tus.offset(&at);
    assert!(kept <= 1 << 20, "{kept}");
    assert_eq!(tus.ask(&["-X", "DELETE"], &at).status, 204);
    let at = tus.begin("/a", 1_000_000);
    assert_eq!(tus.patch(&at, 0, &noise(3, 1_000_000), &[]).status, 204);
}

#[test]
fn what_rests_takes_no_more_of_the_quota_than_it_has() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    door.server
        .admin(&["account", "set", DEMO, "--quota", "1MiB"], "");
    for _ in 0..8 {
        let part = tus.part(4);
        assert_eq!(tus.patch(&part, 0, b"1234", &[]).status, 204);
        let begun = tus.part(1_000_000);
        assert_eq!(tus.patch(&begun, 0, b"1234", &[]).status, 204);
    }
    let whole = tus.begin("/a", 1_040_000);
    let stored = tus.patch(&whole, 0, &noise(3, 1_040_000), &[]);
    assert_eq!(stored.status, 204, "{}", stored.text());
}

#[test]
fn a_length_is_noted_with_what_counts() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let at = location(&tus.post(&["Upload-Defer-Length: 1", &to("/a")]));
    let mut first = tus.hold(&at, 0, b"01234");
    assert_eq!(tus.patch(&at, 0, b"", &["Upload-Length: 10"]).status, 423);
    first.pipe.write_all(b"56789").unwrap();
    drop(first.pipe);
    assert!(first.client.wait().unwrap().success());
    let length = || tus.head(&at).header("upload-length").map(str::to_owned);
    assert_eq!((tus.offset(&at), length()), (10, None));
    let long = tus.patch(&at, 10, b"abcdef", &["Upload-Length: 15"]);
    assert_eq!(long.status, 413, "{}", long.text());
    let wrong = [
        "Upload-Length: 11",
        "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ];
    assert_eq!(tus.patch(&at, 10, b"a", &wrong).status, 460);
    assert_eq!((tus.offset(&at), length()), (10, None));
    let last = tus.patch(&at, 10, b"abcde", &["Upload-Length: 15"]);
    assert_eq!(last.status, 204, "{}", last.text());
    assert_eq!(length().as_deref(), Some("15"));
    assert_eq!(tree(&door.server)["/a"], sha256(b"0123456789abcde"));
}

#[test]
fn what_came_of_a_piece_that_broke_off_is_kept_and_one_writes_at_a_time() {
    let door = HttpsDoor::up_with(&[("STALL_TIME", "5s")]);
    let tus = Tus::of(&door.server);
    let bytes = noise(4, 100_000);
    for is_stalled in [false, true] {
        let at = tus.begin("/a", bytes.len() + 10);
        let mut slow = tus.hold(&at, 0, &bytes);
        assert_eq!(tus.patch(&at, 0, b"second", &[]).status, 423);
        if !is_stalled {
            slow.client.kill().unwrap();
        }
        let kept = wait_for("what came to be kept", MINUTE, || {
            let offset = tus.offset(&at);
            (offset > 0).then_some(offset)
        });
        assert!(kept <= bytes.len());
        drop(slow.pipe);
        slow.client.wait().unwrap();
        let rest = [&bytes[kept..], b"0123456789"].concat();
        let last = tus.patch(&at, kept, &rest, &[]);
        assert_eq!(last.status, 204, "{}", last.text());
        let whole = [&bytes[..], b"0123456789"].concat();
        assert_eq!(tree(&door.server)["/a"], sha256(&whole));
    }
}

#[test]
fn an_upload_that_nobody_goes_on_with_expires() {
    let folder = TempFolder::new();
    let settings = [
        ("SEALIFT__UPLOADS__EXPIRE_AFTER", "1m"),
        ("SEALIFT__RETENTION__INTERVAL", "1s"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let server = Server::up_with(&folder.join("data"), &settings);
    let tus = Tus::of(&server);
    let at = tus.begin("/a", 10);
    let told = tus.patch(&at, 0, b"01234", &[]);
    assert!(told.header("upload-expires").unwrap().ends_with(" GMT"));
    let gone = wait_for("the upload to expire", MINUTE * 3, || {
        let head = tus.head(&at);
        (head.status != 200).then_some(head.status)
    });
    assert_eq!(gone, 404);
    let late = tus.patch(&at, 5, b"56789", &[]);
    assert_eq!((late.status, late.problem().as_str()), (404, "not-found"));
}

#[test]
fn two_hundred_slow_uploads_hold_no_more_memory_than_the_budget() {
    const BUDGET: u64 = 64 << 20;
    let folder = TempFolder::new();
    let settings = [("SEALIFT__MEMORY__BUDGET".to_owned(), "64MiB".to_owned())];
    let server = Server::up_with(&folder.join("data"), &settings);
    let tus = Tus::of(&server);
    let bytes = noise(9, 60_000);
    let names: Vec<_> = (0..200).map(|index| format!("/slow-{index}")).collect();
    let uploads: Vec<_> = names
        .iter()
        .map(|name| tus.begin(name, bytes.len()))
        .collect();
    let before = resident(&server);
    let mut clients: Vec<_> = uploads
        .iter()
        .map(|at| tus.hold(at, 0, &bytes[..40_000]))
        .collect();
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < BUDGET, "{grown}");
    for held in &mut clients {
        held.pipe.write_all(&bytes[40_000..]).unwrap();
        assert!(held.client.try_wait().unwrap().is_none());
    }
    for mut held in clients {
        drop(held.pipe);
        assert!(held.client.wait().unwrap().success());
    }
    let found = tree(&server);
    for name in &names {
        assert_eq!(found[name.as_str()], sha256(&bytes), "{name}");
    }
    server.stop();
}

/// Bytes of memory that a server has now.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.ready.pid)).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    number.unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn parallel_parts_become_one_file() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let bytes = noise(5, 12 << 20);
    let quarter = bytes.len() / 4;
    let parts: Vec<_> = (0..4).map(|_| tus.part(quarter)).collect();
    thread::scope(|threads| {
        for (part, bytes) in parts.iter().zip(bytes.chunks(quarter)) {
            let tus = &tus;
            threads.spawn(move || {
                let half = bytes.len() / 2;
                assert_eq!(tus.patch(part, 0, &bytes[..half], &[]).status, 204);
                assert_eq!(tus.patch(part, half, &bytes[half..], &[]).status, 204);
            });
        }
    });
    let head = tus.head(&parts[0]);
    assert_eq!(head.header("upload-concat"), Some("partial"));
    assert_eq!(
        head.header("upload-offset"),
        Some(quarter.to_string().as_str())
    );
    assert!(tree(&door.server).as_object().unwrap().is_empty());
    let unfinished = tus.part(5);
    let early = format!("Upload-Concat: final;{} {unfinished}", parts[0]);
    assert_eq!(tus.post(&[&early, &to("/a")]).status, 400);
    let join = format!("Upload-Concat: final;{}", parts.join(" "));
    let whole = location(&tus.post(&[&join, &to("/a")]));
    assert_eq!(tree(&door.server)["/a"], sha256(&bytes));
    let head = tus.head(&whole);
    let length = bytes.len().to_string();
    assert_eq!(head.header("upload-offset"), Some(length.as_str()));
    assert_eq!(head.header("upload-length"), Some(length.as_str()));
    assert_eq!(
        head.header("upload-concat"),
        Some(&join["Upload-Concat: ".len()..])
    );
    assert_eq!(tus.patch(&whole, bytes.len(), b"", &[]).status, 403);
    // They were used up.
    assert_eq!(tus.head(&parts[0]).status, 404);
    // Whoever did not get the answer asks again, and gets it; another file is not made of them.
    let again = tus.post(&[&join, &to("/a")]);
    assert_eq!(location(&again), whole);
    assert_eq!(tus.post(&[&join, &to("/b")]).status, 404);
    let less = format!("Upload-Concat: final;{}", parts[0]);
    assert_eq!(tus.post(&[&less, &to("/a")]).status, 404);
    let many = format!("Upload-Concat: final;{}", "/a ".repeat(1_001));
    assert_eq!(tus.post(&[&many, &to("/b")]).status, 413);
    let head = format!("final;{}", format!("{} ", parts[0]).repeat(10_000));
    let file = tus.data(format!("Upload-Concat: {head}\n").as_bytes());
    let refused = tus.ask(&["--http1.1", "-X", "POST", "-H", &file], UPLOADS);
    assert_eq!(refused.status, 431);
    door.server.stop();
}

#[test]
fn the_last_piece_sent_many_times_at_once_is_stored_once_and_nobody_is_sent_away() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    for round in 0..8 {
        let at = tus.begin(&format!("/f{round}"), 5);
        assert_eq!(tus.patch(&at, 0, b"firs", &[]).status, 204);
        let told: Vec<_> = thread::scope(|scope| {
            let send = || tus.patch(&at, 4, b"t", &[]).status;
            let all: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let stored = told.iter().filter(|status| **status == 204).count();
        let rest = told.iter().filter(|status| **status != 204);
        assert_eq!(stored, 1, "{told:?}");
        assert!(
            rest.clone().all(|status| matches!(status, 409 | 423)),
            "{told:?}"
        );
        assert_eq!(tus.offset(&at), 5);
    }
}
