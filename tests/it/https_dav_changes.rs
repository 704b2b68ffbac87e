//! What WebDAV looks at in the very change that it makes: versions, locks and limits. Refused is all of it.

use std::fs;
use std::time::Duration;

use crate::support::dav::Dav;
use crate::support::https_door::HttpsDoor;
use crate::support::wait::wait_for;

fn demo(door: &HttpsDoor) -> Dav {
    Dav::of(door.address(), &door.user())
}

/// Another account that may do all.
fn bob(door: &HttpsDoor) -> Dav {
    let words = ["account", "add", "bob@demo", "--password-stdin"];
    let words = [&words[..], &["--home", "/"]].concat();
    door.server.admin(&words, "right horse\n");
    Dav::of(door.address(), "bob@demo:right horse")
}

#[test]
fn a_version_that_the_header_if_names_must_be_there_to_the_end() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    let first = dav.put("/f", "first", &[]);
    let first = first.header("etag").unwrap().to_owned();
    // Of two lists one must hold.
    let listed = format!("If: ([\"other\"]) ([{first}])");
    let slow = dav.putting("/f", &["-H", &listed]);
    assert_eq!(dav.put("/f", "second", &[]).status, 204);
    assert_eq!(slow.end("third"), 412);
    assert_eq!(dav.get("/f").text(), "second");
    // One that holds whatever the version is leaves it at that.
    let listed = format!("If: ([{first}]) (Not <DAV:no-lock>)");
    let slow = dav.putting("/f", &["-H", &listed]);
    assert_eq!(dav.put("/f", "fourth", &[]).status, 204);
    assert_eq!(slow.end("fifth"), 204);
    assert_eq!(dav.get("/f").text(), "fifth");
}

#[test]
fn a_lock_that_ended_meanwhile_does_not_open_that_of_another() {
    let door = HttpsDoor::up();
    let (ann, bob) = (demo(&door), bob(&door));
    ann.put("/f", "old", &[]);
    let token = ann.locked("/f", &["-H", "Timeout: Second-5"]);
    let held = format!("If: ({token})");
    let slow = ann.putting("/f", &["-H", &held]);
    wait_for("the lock to end", Duration::from_secs(30), || {
        (bob.lock("/f", "exclusive", &[]).status == 200).then_some(())
    });
    assert_eq!(slow.end("new"), 423);
    assert_eq!(bob.get("/f").text(), "old");
}

#[test]
fn one_of_the_shared_locks_on_a_file_is_enough_wherever_they_were_taken() {
    let door = HttpsDoor::up();
    let (ann, bob) = (demo(&door), bob(&door));
    ann.ask("MKCOL", "/d", &[]);
    ann.put("/d/f", "old", &[]);
    let above = ann.lock("/d", "shared", &[]);
    let above = format!("If: </dav/d> ({})", above.header("lock-token").unwrap());
    let own = bob.lock("/d/f", "shared", &[]);
    let own = format!("If: </dav/d/f> ({})", own.header("lock-token").unwrap());
    assert_eq!(bob.put("/d/f", "x", &[]).status, 423);
    assert_eq!(bob.put("/d/f", "bob's", &["-H", &own]).status, 204);
    assert_eq!(ann.put("/d/f", "ann's", &["-H", &above]).status, 204);
    // What is directly in the folder is the folder's, which bob has no lock on.
    assert_eq!(bob.put("/d/g", "x", &["-H", &own]).status, 423);
    assert_eq!(bob.ask("DELETE", "/d/f", &["-H", &own]).status, 423);
    assert_eq!(ann.ask("DELETE", "/d/f", &["-H", &above]).status, 204);
}

#[test]
fn a_file_has_so_many_locks_and_no_more() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    dav.put("/f", "f", &[]);
    for _ in 0..32 {
        assert_eq!(dav.lock("/f", "shared", &[]).status, 200);
    }
    let refused = dav.lock("/f", "shared", &[]);
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("32 locks"), "{}", refused.text());
    let found = dav.find("/f", "0").text();
    assert_eq!(found.matches("<D:activelock>").count(), 32);
}

#[test]
fn properties_that_would_grow_when_they_are_kept_are_refused() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    dav.put("/f", "f", &[]);
    let (space, long) = ("n".repeat(30_000), "m".repeat(1_001));
    let grown = format!(
        "<a xmlns='x'><b xmlns='{space}'>{}</b></a>",
        "<c/>".repeat(5_000)
    );
    let many = format!(
        "<a xmlns='x' xmlns:y='{space}'>{}</a>",
        "<c y:d=''/>".repeat(2_000)
    );
    let named = format!("<a xmlns='{long}'/>");
    let file = door.server.data().join("patch");
    for property in [grown, many, named] {
        let patch = format!(
            "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop>{property}</D:prop></D:set></D:propertyupdate>"
        );
        fs::write(&file, patch).unwrap();
        let patch = format!("@{}", file.display());
        let refused = dav.ask("PROPPATCH", "/f", &["--data-binary", &patch]);
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
}

#[test]
fn lengths_and_times_that_are_no_numbers_are_refused() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    for header in [
        "X-Expected-Entity-Length: inf",
        "X-Expected-Entity-Length: 1.5",
        "X-Expected-Entity-Length: -1",
        "X-OC-Mtime: inf",
        "X-OC-Mtime: nan",
        "X-OC-Mtime: 1e3",
        "X-OC-Mtime: 1700000000.x",
    ] {
        assert_eq!(dav.put("/f", "f", &["-H", header]).status, 400, "{header}");
    }
    let put = dav.put("/f", "f", &["-H", "X-OC-Mtime: 1700000000.5"]);
    assert_eq!(put.header("x-oc-mtime"), Some("accepted"));
    let found = dav.find("/f", "0").text();
    assert!(found.contains("Tue, 14 Nov 2023 22:13:20 GMT"), "{found}");
}
