//! What HTTP and tus ask of a server in their small print, each rule by a client that relies on it.

use std::io::Write as _;

use serde_json::json;

use crate::support::dav::Dav;
use crate::support::https_door::HttpsDoor;
use crate::support::tus::{Held, PIECE, SPEAK, Tus, location, to};

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

#[test]
fn a_date_is_a_condition_in_each_of_its_forms() {
    let door = HttpsDoor::up();
    let dav = Dav::of(door.address(), &door.user());
    door.put("/f", "x", &["-H", "X-Modified: 2021-02-03T04:05:06Z"]);
    for date in [
        "Sun, 01 Nov 2020 05:06:25 GMT",
        "Sunday, 01-Nov-20 05:06:25 GMT",
        "Sun Nov  1 05:06:25 2020",
    ] {
        let since = format!("If-Unmodified-Since: {date}");
        let words = ["-X", "DELETE", "-H", since.as_str()];
        assert_eq!(door.demo(&words, "/api/v1/entries/f").status, 412, "{date}");
        let put = dav.put("/f", "y", &["-H", &since]);
        assert_eq!(put.status, 412, "{date}");
        let late = date.replace("2020", "2022").replace("Nov-20", "Nov-22");
        let late = late.replace("Sunday", "Tuesday").replace("Sun", "Tue");
        let modified = format!("If-Modified-Since: {late}");
        assert_eq!(door.get("/f", &["-H", &modified]).status, 304, "{late}");
    }
    assert_eq!(door.get("/f", &[]).text(), "x");
}

#[test]
fn no_length_is_told_of_what_is_not_sent_but_its_own() {
    let door = HttpsDoor::up();
    let dav = Dav::of(door.address(), &door.user());
    let stored = door.put("/d/f?parents=true", "twelve bytes", &[]);
    let known = format!("If-None-Match: {}", stored.header("etag").unwrap());
    for version in VERSIONS {
        for kind in ["zip", "tar"] {
            let path = format!("/api/v1/archive?path=/d&format={kind}");
            let head = door.demo(&["--head", version], &path);
            assert_eq!(head.status, 200);
            assert_eq!(head.header("content-length"), None, "{version} {kind}");
            assert!(door.demo(&[version], &path).body.len() > 100);
        }
        for answer in [
            door.get("/d/f", &[version, "-H", &known]),
            dav.ask("GET", "/d/f", &[version, "-H", &known]),
        ] {
            assert_eq!(answer.status, 304);
            assert_eq!(answer.header("content-length"), None, "{version}");
        }
        let head = door.get("/d/f", &[version, "--head", "-H", "Range: bytes=0-1"]);
        let told = (head.status, head.header("content-length"));
        assert_eq!(told, (200, Some("12")), "Range is GET's: {version}");
    }
}

#[test]
fn what_is_said_of_an_address_or_a_body_and_cannot_be_is_refused() {
    let door = HttpsDoor::up();
    let dav = Dav::of(door.address(), &door.user());
    for name in ["a%", "a%z", "a%zz", "%2", "b%2/x"] {
        let path = format!("/api/v1/files/{name}?parents=true");
        let words = ["-X", "PUT", "-d", "x", "--path-as-is"];
        assert_eq!(door.demo(&words, &path).status, 400, "{name}");
        assert_eq!(dav.put(&format!("/{name}"), "x", &[]).status, 400, "{name}");
    }
    let coded = ["-H", "Content-Encoding: gzip"];
    let tus = Tus::of(&door.server);
    let at = tus.begin("/t", 4);
    for refused in [
        door.put("/c", "x", &coded),
        dav.put("/c", "x", &coded),
        tus.patch(&at, 0, b"abcd", &["Content-Encoding: gzip"]),
    ] {
        assert_eq!(refused.status, 415, "{}", refused.text());
    }
    assert_eq!(tus.offset(&at), 0);
    let plain = ["-H", "Content-Encoding: identity"];
    assert_eq!(door.put("/c", "x", &plain).status, 201);

    let file = dav.put("/folder", "x", &[]);
    assert_eq!(file.status, 201);
    dav.ask("DELETE", "/folder", &[]);
    assert_eq!(dav.ask("MKCOL", "/folder", &[]).status, 201);
    let refused = dav.get("/folder");
    assert_eq!(refused.status, 405);
    let allowed = refused.header("allow").unwrap();
    assert!(
        !allowed.contains("GET") && !allowed.contains("PUT"),
        "{allowed}"
    );

    let patch = |value: &str| {
        format!(
            "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop>{value}</D:prop></D:set></D:propertyupdate>"
        )
    };
    let body = patch("<D:getlastmodified>yesterday</D:getlastmodified><x xmlns=\"y\">1</x>");
    let refused = dav.send("PROPPATCH", "/folder", &[], &body).text();
    assert!(refused.contains("409 Conflict"), "{refused}");
    assert!(refused.contains("424 Failed Dependency"), "{refused}");
    let body = patch("<D:getetag>mine</D:getetag>");
    let refused = dav.send("PROPPATCH", "/folder", &[], &body).text();
    assert!(refused.contains("403 Forbidden"), "{refused}");
}

#[test]
fn parts_are_named_by_their_addresses_and_nothing_else() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let parts = [(b"AAAA", tus.part(4)), (b"BBBB", tus.part(4))];
    for (bytes, at) in &parts {
        assert_eq!(tus.patch(at, 0, &bytes[..], &[]).status, 204);
    }
    let [(_, one), (_, other)] = &parts;
    let place = to("/joined");
    for (said, status) in [
        (format!("final;{one},{other}"), 400),
        (format!("final;{one};{other}"), 400),
        (format!("final;{one}/{other}"), 404),
    ] {
        let refused = tus.post(&[&format!("Upload-Concat: {said}"), &place]);
        assert_eq!(refused.status, status, "{said}: {}", refused.text());
        assert_eq!(door.get("/joined", &[]).status, 404);
    }
    let place = format!(
        "{place},modified {}",
        data_encoding::BASE64.encode(b"2001-02-03T04:05:06Z")
    );
    let joined = tus.post(&[&format!("Upload-Concat: final;{one} {other}"), &place]);
    assert_eq!(joined.status, 201, "{}", joined.text());
    let got = door.get("/joined", &[]);
    assert_eq!(got.text(), "AAAABBBB");
    assert_eq!(
        got.header("last-modified"),
        Some("Sat, 03 Feb 2001 04:05:06 GMT")
    );
}

#[test]
fn an_upload_by_tus_has_the_time_and_the_condition_that_were_said() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let modified = |text: &str| {
        let text = data_encoding::BASE64.encode(text.as_bytes());
        format!("{},modified {text}", to("/f"))
    };
    let refused = tus.post(&["Upload-Length: 4", &modified("yesterday")]);
    assert_eq!(refused.status, 400, "{}", refused.text());
    let new = "If-None-Match: *";
    let begun = tus.post(&["Upload-Length: 4", &modified("2001-02-03T04:05:06Z"), new]);
    assert_eq!(begun.status, 201, "{}", begun.text());
    let late = tus.post(&["Upload-Length: 4", &to("/f"), new]);
    let (at, late) = (location(&begun), location(&late));
    assert_eq!(tus.patch(&at, 0, b"ab", &[]).status, 204);
    assert_eq!(tus.patch(&at, 2, b"cd", &[]).status, 204);
    let got = door.get("/f", &[]);
    assert_eq!(got.text(), "abcd");
    assert_eq!(
        got.header("last-modified"),
        Some("Sat, 03 Feb 2001 04:05:06 GMT")
    );
    // It was not there when the other was begun.
    assert_eq!(tus.patch(&late, 0, b"late", &[]).status, 409);
    let refused = tus.post(&["Upload-Length: 4", &to("/f"), new]);
    assert_eq!(refused.status, 412, "{}", refused.text());
    let tag = format!("If-Match: {}", got.header("etag").unwrap());
    let refused = tus.post(&["Upload-Length: 4", &to("/f"), &tag]);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(door.get("/f", &[]).text(), "abcd");
}

#[test]
fn whoever_still_sends_to_an_upload_that_was_ended_is_told_that_it_is_gone() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let at = tus.begin("/f", 10);
    let Held {
        client, mut pipe, ..
    } = tus.hold(&at, 0, b"01234");
    let ended = tus.ask(&["-X", "DELETE"], &at);
    assert_eq!(ended.status, 204, "{}", ended.text());
    // The connection may be closed by then.
    let _ = pipe.write_all(b"56789");
    drop(pipe);
    let told = String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap();
    assert!(told.contains("\"status\":404"), "{told}");
    assert_eq!(door.get("/f", &[]).status, 404);
}

#[test]
fn a_link_says_how_much_it_takes() {
    let door = HttpsDoor::up();
    assert_eq!(door.demo(&["-X", "POST"], "/api/v1/folders/in").status, 201);
    let link = door.link(&json!({ "kind": "upload", "path": "/in", "max_size": 5 }));
    let refused = link.put("a", "123456", &[]);
    assert_eq!(refused.status, 413);
    assert!(
        refused.text().contains("at most 5 bytes"),
        "{}",
        refused.text()
    );
    let chunked = link.put("a", "1", &["-H", "Transfer-Encoding: chunked", "--http1.1"]);
    assert_eq!(chunked.status, 411, "{}", chunked.text());
    let begun = [
        "-X",
        "POST",
        "-H",
        SPEAK,
        "-H",
        "Upload-Length: 6",
        "-H",
        PIECE,
    ];
    let name = to("/a").replace("path", "filename");
    let refused = link.ask(&[&begun[..], &["-H", &name]].concat(), "/uploads");
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(
        refused.text().contains("at most 5 bytes"),
        "{}",
        refused.text()
    );
}
