//! Requests that change something go by their conditions (RFC 9110 section 13), in the API and in WebDAV.

use crate::support::dav::Dav;
use crate::support::https_door::{Answer, HttpsDoor};

/// The time that the files here get, the one before it, and the one after.
const THEN: &str = "Wed, 01 Jan 2020 00:00:00 GMT";
const BEFORE: &str = "Tue, 31 Dec 2019 23:59:59 GMT";
const AFTER: &str = "Wed, 01 Jan 2020 00:00:01 GMT";

struct Doors {
    door: HttpsDoor,
    dav: Dav,
}

impl Doors {
    fn up() -> Self {
        let door = HttpsDoor::up();
        let dav = Dav::of(door.address(), &door.user());
        Self { door, dav }
    }

    /// Puts a file of the time [`THEN`], and tells its entity tag.
    #[track_caller]
    fn old(&self, path: &str, text: &str) -> String {
        let put = self
            .door
            .put(&format!("{path}?modified=2020-01-01T00:00:00Z"), text, &[]);
        assert!(matches!(put.status, 200 | 201), "{}", put.text());
        put.header("etag").unwrap().to_owned()
    }

    /// All that changes the file `/f`, one request after the other, with a header.
    fn change_all(&self, header: &str) -> Vec<(&'static str, Answer)> {
        let (door, dav) = (&self.door, &self.dav);
        let with: &[&str] = &["-H", header];
        let way = "{\"from\":\"/f\",\"to\":\"/g\"}";
        let patch = "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><x xmlns=\"u:\">1</x></D:prop>\
                     </D:set></D:propertyupdate>";
        vec![
            (
                "PATCH",
                door.send("PATCH", "/entries/f", "{\"mode\":\"0600\"}", with),
            ),
            ("copy", door.send("POST", "/copy", way, with)),
            ("move", door.send("POST", "/move", way, with)),
            (
                "DELETE",
                door.demo(&[&["-X", "DELETE"], with].concat(), "/api/v1/entries/f"),
            ),
            ("DAV PROPPATCH", dav.send("PROPPATCH", "/f", with, patch)),
            ("DAV COPY", dav.go("COPY", "/f", "/g", with)),
            ("DAV MOVE", dav.go("MOVE", "/f", "/g", with)),
            ("DAV DELETE", dav.ask("DELETE", "/f", with)),
        ]
    }
}

#[test]
fn what_was_modified_since_is_not_changed() {
    let doors = Doors::up();
    let (door, dav) = (&doors.door, &doors.dav);
    let tag = doors.old("/f", "one");
    let late = format!("If-Unmodified-Since: {BEFORE}");
    for (what, answer) in doors.change_all(&late) {
        assert_eq!(answer.status, 412, "{what}: {}", answer.text());
    }
    for answer in [
        door.put("/f", "two", &["-H", &late]),
        dav.put("/f", "two", &["-H", &late]),
    ] {
        assert_eq!(answer.status, 412, "{}", answer.text());
    }
    let got = door.get("/f", &[]);
    assert_eq!(
        (got.text().as_str(), got.header("etag")),
        ("one", Some(tag.as_str()))
    );
    assert_eq!(door.get("/g", &[]).status, 404);
}

#[test]
fn what_was_not_modified_since_is_changed() {
    let doors = Doors::up();
    let (door, dav) = (&doors.door, &doors.dav);
    for (time, path) in [
        (THEN, "/f"),
        (AFTER, "/f"),
        ("never", "/f"),
        (BEFORE, "/new"),
    ] {
        doors.old("/f", "one");
        let header = format!("If-Unmodified-Since: {time}");
        let put = door.put(path, "two", &["-H", &header]);
        assert!(matches!(put.status, 200 | 201), "{time}: {}", put.text());
        let delete = ["-X", "DELETE", "-H", &header];
        doors.old("/f", "one");
        let deleted = door.demo(&delete, "/api/v1/entries/f");
        assert_eq!(
            deleted.status,
            if path == "/f" { 204 } else { 412 },
            "{time}"
        );
        doors.old("/d", "one");
        let deleted = dav.ask("DELETE", "/d", &["-H", &header]);
        assert_eq!(
            deleted.status,
            if path == "/f" { 204 } else { 412 },
            "{time}"
        );
    }
    // Who names a version goes by that (RFC 9110 section 13.1.4).
    let tag = doors.old("/f", "one");
    let (version, late) = (
        format!("If-Match: {tag}"),
        format!("If-Unmodified-Since: {BEFORE}"),
    );
    let put = door.put("/f", "two", &["-H", &version, "-H", &late]);
    assert_eq!(put.status, 200, "{}", put.text());
}

#[test]
fn what_must_not_match_is_not_changed() {
    let doors = Doors::up();
    let tag = doors.old("/f", "one");
    for header in [
        "If-None-Match: *".to_owned(),
        format!("If-None-Match: {tag}"),
        format!("If-None-Match: \"x\", W/{tag}"),
    ] {
        for (what, answer) in doors.change_all(&header) {
            assert_eq!(answer.status, 412, "{what} {header}: {}", answer.text());
        }
    }
    let got = doors.door.get("/f", &[]);
    assert_eq!(
        (got.text().as_str(), got.header("etag")),
        ("one", Some(tag.as_str()))
    );
    let other = ["-H", "If-None-Match: \"x\""];
    let patched = doors
        .door
        .send("PATCH", "/entries/f", "{\"mode\":\"0600\"}", &other);
    assert_eq!(patched.status, 200, "{}", patched.text());
    let gone = ["-X", "DELETE", "-H", "If-None-Match: *"];
    assert_eq!(doors.door.demo(&gone, "/api/v1/entries/none").status, 404);
    assert_eq!(doors.dav.ask("DELETE", "/f", &other).status, 204);
}

#[test]
fn nobody_else_comes_between_the_look_at_a_date_and_the_change() {
    let doors = Doors::up();
    let (door, dav) = (&doors.door, &doors.dav);
    let header = format!("If-Unmodified-Since: {AFTER}");
    doors.old("/f", "one");
    for path in ["/f", "/new"] {
        let putting = dav.putting(path, &["-H", &header]);
        // Of the same second as the one before, so that its time tells nothing.
        doors.old(path, "theirs");
        assert_eq!(putting.end("ours"), 412, "{path}");
        assert_eq!(door.get(path, &[]).text(), "theirs");
    }
}
