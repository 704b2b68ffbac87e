//! What WebDAV looks at in the very change that it makes: versions, locks and limits. Refused is all of it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::support::client::{run, succeed};
use crate::support::dav::{Dav, hrefs};
use crate::support::https_door::HttpsDoor;
use crate::support::two::{SECRET, Two};
use crate::support::wait::wait_for;

const LOCKED: &str = "<D:lock-token-submitted><D:href>";

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

/// The audit log, once it says `what`.
fn log_with(door: &HttpsDoor, what: &str) -> String {
    wait_for("the log", Duration::from_secs(10), || {
        let log = door.server.admin(&["audit", "list", "demo", "--json"], "");
        log.contains(what).then_some(log)
    })
}

#[test]
fn a_copy_that_is_refused_leaves_what_it_would_replace() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    for folder in ["/from", "/goal"] {
        dav.ask("MKCOL", folder, &[]);
    }
    dav.put("/from/new", "new", &[]);
    dav.put("/goal/old", "old", &[]);
    dav.put("/f", "f", &[]);
    let other = ["-H", "If-Match: \"other\""];
    for from in ["/f", "/from"] {
        let refused = dav.go("COPY", from, "/goal", &other);
        assert_eq!(refused.status, 412, "{from}: {}", refused.text());
        assert_eq!(dav.get("/goal/old").text(), "old", "{from}");
        let refused = dav.go("COPY", from, "/new", &other);
        assert_eq!(refused.status, 412, "{from}: {}", refused.text());
        assert_eq!(dav.find("/new", "0").status, 404, "{from}");
    }
    assert_eq!(dav.go("COPY", "/from", "/goal", &[]).status, 204);
    assert_eq!(
        hrefs(&dav.find("/goal", "1")),
        ["/dav/goal/", "/dav/goal/new"]
    );
    assert_eq!(dav.go("COPY", "/f", "/goal", &[]).status, 204);
    assert_eq!(dav.get("/goal").text(), "f", "a file over a folder");
    assert_eq!(dav.go("COPY", "/from", "/goal", &[]).status, 204);
    assert_eq!(dav.get("/goal/new").text(), "new", "a folder over a file");
    let log = log_with(&door, "/from -> /goal");
    assert!(!log.contains("\"delete\""), "one change each: {log}");
    assert!(
        !log.contains("in an archive"),
        "nothing was downloaded: {log}"
    );
}

#[test]
fn a_copy_over_a_file_is_another_version_of_it_and_leaves_its_lock() {
    let door = HttpsDoor::up();
    let (ann, bob) = (demo(&door), bob(&door));
    ann.put("/f", "old", &[]);
    ann.put("/new", "new", &[]);
    let token = ann.locked("/f", &[]);
    let held = format!("If: <{}> ({token})", ann.url("/f"));
    assert_eq!(ann.go("COPY", "/new", "/f", &["-H", &held]).status, 204);
    assert_eq!(bob.get("/f").text(), "new");
    assert_eq!(bob.put("/f", "x", &[]).status, 423);
    let refused = bob.go("COPY", "/new", "/f", &[]);
    assert_eq!(refused.status, 423);
    let text = refused.text();
    assert!(
        text.contains(&format!("{LOCKED}/dav/f<")),
        "what is locked: {text}"
    );
}

#[test]
fn what_of_a_folder_is_not_copied_is_told_by_its_address() {
    let door = HttpsDoor::up();
    let words = ["tenant", "add", "small", "--quota", "100KiB"];
    door.server.admin(&words, "");
    let words = ["account", "add", "ann@small", "--password-stdin"];
    let words = [&words[..], &["--home", "/"]].concat();
    door.server.admin(&words, "right horse\n");
    let ann = Dav::of(door.address(), "ann@small:right horse");
    assert_eq!(ann.ask("MKCOL", "/a", &[]).status, 201);
    let large = "b".repeat(60 * 1024);
    assert_eq!(ann.put("/a/b%20c", &large, &[]).status, 201);
    assert_eq!(ann.put("/a/small", "small", &[]).status, 201);
    let told = ann.go("COPY", "/a", "/copy", &[]);
    assert_eq!(told.status, 207, "{}", told.text());
    assert_eq!(hrefs(&told), ["/dav/copy/b%20c"]);
    assert!(told.text().contains("507 "), "{}", told.text());
    assert_eq!(ann.get("/copy/small").text(), "small");

    // What has no address where it would go is told by where it comes from, and what is in it is not.
    let mut path = "/deep".to_owned();
    for _ in 0..16 {
        assert_eq!(ann.ask("MKCOL", &path, &[]).status, 201);
        path = format!("{path}/{}%20", "d".repeat(250));
    }
    assert_eq!(ann.ask("MKCOL", &path, &[]).status, 201);
    ann.put(&format!("{path}/f"), "f", &[]);
    let told = ann.go("COPY", "/deep", &format!("/{}", "e".repeat(250)), &[]);
    assert_eq!(told.status, 207, "{}", told.text());
    let deep: Vec<String> = vec![format!("/dav{path}/")];
    assert_eq!(hrefs(&told), deep);
}

/// From now on, in seconds.
fn each_file_takes(two: &Two, seconds: &str) {
    let slowly = format!(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END';\
         CREATE TRIGGER slowly BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION slowly()"
    );
    let mut psql = Command::new("psql");
    psql.args([
        &two.urls.owner,
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        &slowly,
    ]);
    succeed(&run(psql, ""));
}

#[test]
fn a_folder_that_is_moved_while_it_is_copied_is_copied_whole_or_what_is_missing_told() {
    const FILES: usize = 48;
    let two = Two::new();
    let words = ["account", "add", "bob@acme", "--password-stdin"];
    two.run(&[&words[..], &["--home", "/"]].concat());
    let (one, other) = (two.start("one"), two.start("other"));
    let user = format!("bob@acme:{SECRET}");
    let bob = Dav::of(one.https.unwrap(), &user);
    let elsewhere = Dav::of(other.https.unwrap(), &user);
    for folder in ["/p", "/p/d", "/g"] {
        bob.ask("MKCOL", folder, &[]);
    }
    for number in 0..FILES {
        bob.put(&format!("/p/d/{number}"), "x", &[]);
    }
    each_file_takes(&two, "0.2");
    // Moved is the folder above either end.
    for (from, moved, to, count) in [("/p", "/q", "/g/whole", FILES), ("/g", "/h", "/g/part", 0)] {
        let source = if from == "/p" { "/p/d" } else { "/q/d" };
        let copying = std::thread::spawn({
            let bob = bob.clone();
            move || bob.go("COPY", source, to, &[])
        });
        wait_for("the copy to begin", Duration::from_secs(30), || {
            (bob.find(to, "0").status == 207).then_some(())
        });
        assert_eq!(elsewhere.go("MOVE", from, moved, &[]).status, 201);
        let told = copying.join().unwrap();
        if count == FILES {
            assert_eq!(told.status, 201, "{}", told.text());
            let found = hrefs(&bob.find(to, "1")).len();
            assert_eq!(found, FILES + 1);
        } else {
            assert_eq!(told.status, 207, "{}", told.text());
            let found = hrefs(&bob.find("/h/part", "1")).len() - 1;
            assert_eq!(found + hrefs(&told).len(), FILES);
        }
    }
    one.stop();
    other.stop();
}

#[test]
fn a_folder_is_copied_no_further_than_the_session_lasts() {
    let two = Two::new();
    let words = ["account", "add", "bob@acme", "--password-stdin"];
    two.run(&[&words[..], &["--home", "/"]].concat());
    let one = two.start("one");
    let bob = Dav::of(one.https.unwrap(), &format!("bob@acme:{SECRET}"));
    bob.ask("MKCOL", "/d", &[]);
    for number in 0..64 {
        bob.put(&format!("/d/{number}"), "x", &[]);
    }
    each_file_takes(&two, "0.2");
    let copying = std::thread::spawn({
        let bob = bob.clone();
        move || bob.go("COPY", "/d", "/e", &[]).status
    });
    wait_for("the copy to begin", Duration::from_secs(30), || {
        (bob.find("/e", "0").status == 207).then_some(())
    });
    two.run(&["account", "disable", "bob@acme"]);
    assert_eq!(copying.join().unwrap(), 401);
    one.stop();
}

#[test]
fn properties_and_times_are_set_in_one_change_and_on_condition() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    let first = dav.put("/f", "f", &[]);
    let first = first.header("etag").unwrap().to_owned();
    let patch = "<D:propertyupdate xmlns:D='DAV:' xmlns:m='urn:schemas-microsoft-com:'><D:set><D:prop>\
        <n xmlns='urn:n'>note</n><m:Win32LastModifiedTime>Tue, 14 Nov 2023 22:13:20 GMT\
        </m:Win32LastModifiedTime></D:prop></D:set></D:propertyupdate>";
    let kept = "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><n xmlns='urn:n'>other</n></D:prop></D:set>\
        </D:propertyupdate>";
    let only_first = format!("If-Match: {first}");
    let set = dav.send("PROPPATCH", "/f", &["-H", &only_first], patch);
    assert_eq!(set.status, 207, "{}", set.text());
    let refused = dav.send("PROPPATCH", "/f", &["-H", &only_first], kept);
    assert_eq!(refused.status, 412, "{}", refused.text());
    let listed = format!("If: ([{first}])");
    let refused = dav.send("PROPPATCH", "/f", &["-H", &listed], kept);
    assert_eq!(refused.status, 412, "{}", refused.text());
    let found = dav.find("/f", "0").text();
    assert!(found.contains(">note<"), "{found}");
    assert!(found.contains("Tue, 14 Nov 2023"), "{found}");
    let log = log_with(&door, "\"set-properties\"");
    assert!(!log.contains("\"set-attributes\""), "one change: {log}");
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
fn a_version_of_the_goal_that_the_header_if_names_must_be_there() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    dav.put("/f", "f", &[]);
    let goal = dav.put("/g", "g", &[]);
    let goal = goal.header("etag").unwrap().to_owned();
    let listed = format!("If: <{}> ([{goal}])", dav.url("/g"));
    for method in ["COPY", "MOVE"] {
        let status = dav.go(method, "/f", "/g", &["-H", &listed]).status;
        let expected = if method == "COPY" { 204 } else { 412 };
        assert_eq!(status, expected, "{method}");
    }
    assert_eq!(dav.get("/f").text(), "f");
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
fn the_properties_of_many_files_are_all_told() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    dav.ask("MKCOL", "/d", &[]);
    dav.put("/d/f0", "f", &[]);
    let patch = "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><n xmlns='urn:n'>note</n></D:prop></D:set>\
        </D:propertyupdate>";
    dav.send("PROPPATCH", "/d/f0", &[], patch);
    for number in 1..70 {
        dav.go("COPY", "/d/f0", &format!("/d/f{number}"), &[]);
    }
    let found = dav.find("/d", "1").text();
    assert_eq!(found.matches(">note<").count(), 70);
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
