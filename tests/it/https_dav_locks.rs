//! Locks of WebDAV: what they keep off, how they end, and that every instance knows them.

use std::time::Duration;

use crate::support::dav::Dav;
use crate::support::https_door::{Answer, HttpsDoor};
use crate::support::two::{SECRET, Two};
use crate::support::wait::wait_for;

fn demo(door: &HttpsDoor) -> Dav {
    Dav::of(door.address(), &door.user())
}

/// Another account that may do all.
fn bob(door: &HttpsDoor) -> Dav {
    let words = [
        "account",
        "add",
        "bob@demo",
        "--password-stdin",
        "--home",
        "/",
    ];
    door.server.admin(&words, "right horse\n");
    Dav::of(door.address(), "bob@demo:right horse")
}

fn if_held(token: &str) -> String {
    format!("If: ({token})")
}

/// Another account of the same tenant, at home in its root.
fn eve(door: &HttpsDoor, more: &[&str]) -> Dav {
    let words = [
        "account",
        "add",
        "eve@demo",
        "--password-stdin",
        "--home",
        "/",
    ];
    door.server.admin(&[&words, more].concat(), "right horse\n");
    Dav::of(door.address(), "eve@demo:right horse")
}

#[test]
fn a_lock_keeps_off_whoever_does_not_show_it() {
    let door = HttpsDoor::up();
    let (ann, bob) = (demo(&door), bob(&door));
    ann.put("/f", "old", &[]);
    let token = ann.locked("/f", &["-H", "Timeout: Second-100"]);
    let held = if_held(&token);
    for words in [&[][..], &["-H", &held]] {
        // A token is worth nothing in other hands.
        for method in ["PUT", "DELETE", "PROPPATCH"] {
            let body = match method {
                "PROPPATCH" => {
                    "<propertyupdate xmlns='DAV:'><set><prop><a xmlns='b'/></prop></set></propertyupdate>"
                }
                _ => "new",
            };
            let answer = bob.send(method, "/f", words, body);
            assert_eq!(answer.status, 423, "{method}: {}", answer.text());
            let said = answer.text();
            let submitted = "<D:lock-token-submitted><D:href>/dav/f</D:href>";
            assert!(
                said.contains(submitted) && said.contains("locked by another"),
                "{said}"
            );
        }
        assert_eq!(bob.go("MOVE", "/f", "/g", words).status, 423);
    }
    assert_eq!(
        ann.put("/f", "new", &[]).status,
        423,
        "nor who has forgotten it"
    );
    bob.put("/other", "other", &[]);
    assert_eq!(bob.go("COPY", "/other", "/f", &[]).status, 423);
    assert_eq!(bob.go("MOVE", "/other", "/f", &[]).status, 423);
    assert_eq!(
        bob.go("COPY", "/f", "/g", &[]).status,
        201,
        "reading is nobody's business"
    );
    let again = bob.lock("/f", "exclusive", &[]);
    assert_eq!(again.status, 423);
    assert!(
        again.text().contains("no-conflicting-lock"),
        "{}",
        again.text()
    );
    assert_eq!(bob.lock("/f", "shared", &[]).status, 423);
    assert_eq!(bob.unlock("/f", &token).status, 403);
    let found = bob.find("/f", "0").text();
    assert!(found.contains(&token[1..token.len() - 1]), "{found}");
    assert!(
        found.contains("<D:href xmlns:D=\"DAV:\">me<") || found.contains(">me</n:href>"),
        "{found}"
    );

    assert_eq!(ann.put("/f", "new", &["-H", &held]).status, 204);
    assert_eq!(ann.unlock("/f", &token).status, 204);
    assert_eq!(ann.unlock("/f", &token).status, 409);
    assert_eq!(bob.put("/f", "newer", &[]).status, 204);
    assert_eq!(
        ann.put("/f", "x", &["-H", &held]).status,
        412,
        "the lock has ended"
    );
}

#[test]
fn a_lock_on_a_folder_holds_for_what_is_in_it() {
    let door = HttpsDoor::up();
    let (ann, bob) = (demo(&door), bob(&door));
    for folder in ["/d", "/d/e"] {
        ann.ask("MKCOL", folder, &[]);
    }
    ann.put("/d/e/f", "f", &[]);
    let token = ann.locked("/d", &[]);
    let refused = |bob: &Dav| {
        assert_eq!(bob.put("/d/e/f", "x", &[]).status, 423);
        assert_eq!(bob.put("/d/e/new", "x", &[]).status, 423);
        assert_eq!(bob.ask("MKCOL", "/d/new", &[]).status, 423);
        assert_eq!(bob.ask("DELETE", "/d/e", &[]).status, 423);
        assert_eq!(bob.lock("/d/e/f", "exclusive", &[]).status, 423);
        assert_eq!(bob.lock("/d/new", "exclusive", &[]).status, 423);
    };
    refused(&bob);
    assert_eq!(bob.get("/d/new").status, 404);
    let held = format!("If: <{}> ({token})", ann.url("/d"));
    assert_eq!(ann.put("/d/e/new", "x", &["-H", &held]).status, 201);
    // Elsewhere in the tree it moves along with its folder when that is moved by other doors.
    assert_eq!(ann.unlock("/d", &token).status, 204);
    assert_eq!(bob.put("/d/e/f", "x", &[]).status, 204);

    // Of depth 0: its names stay as they are, what is in it may change.
    let token = ann.locked("/d", &["-H", "Depth: 0"]);
    assert_eq!(bob.put("/d/new", "x", &[]).status, 423);
    assert_eq!(bob.ask("DELETE", "/d/e", &[]).status, 423);
    assert_eq!(bob.put("/d/e/f", "y", &[]).status, 204);
    assert_eq!(bob.put("/d/e/newer", "y", &[]).status, 201);
    assert_eq!(ann.unlock("/d", &token).status, 204);

    // Further down: the folder above cannot go, and cannot be locked with all that is in it.
    let token = ann.locked("/d/e/f", &[]);
    assert_eq!(bob.ask("DELETE", "/d", &[]).status, 423);
    assert_eq!(bob.go("MOVE", "/d", "/m", &[]).status, 423);
    assert_eq!(bob.lock("/d", "exclusive", &[]).status, 423);
    let held = format!("If: <{}> ({token})", ann.url("/d/e/f"));
    assert_eq!(ann.go("MOVE", "/d", "/m", &["-H", &held]).status, 201);
    assert_eq!(
        bob.put("/m/e/f", "z", &[]).status,
        204,
        "the lock stayed behind, and has ended"
    );
}

#[test]
fn shared_locks_are_taken_together_and_keep_others_off() {
    let door = HttpsDoor::up();
    let (ann, bob) = (demo(&door), bob(&door));
    ann.put("/f", "old", &[]);
    let one = ann.lock("/f", "shared", &[]);
    let one = one.header("lock-token").unwrap();
    let other = bob.lock("/f", "shared", &[]);
    let other = other.header("lock-token").unwrap();
    assert_eq!(bob.lock("/f", "exclusive", &[]).status, 423);
    assert_eq!(bob.put("/f", "new", &[]).status, 423);
    assert_eq!(bob.put("/f", "new", &["-H", &if_held(other)]).status, 204);
    assert_eq!(ann.put("/f", "newer", &["-H", &if_held(one)]).status, 204);
    assert_eq!(ann.unlock("/f", one).status, 204);
    assert_eq!(bob.unlock("/f", other).status, 204);
    assert_eq!(bob.put("/f", "newest", &[]).status, 204);
}

#[test]
fn a_lock_on_nothing_makes_an_empty_file() {
    let door = HttpsDoor::up();
    let (ann, bob) = (demo(&door), bob(&door));
    let made = ann.lock("/new", "exclusive", &["-H", "Timeout: Infinite"]);
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(
        made.text().contains("<D:timeout>Second-3600<"),
        "{}",
        made.text()
    );
    let token = made.header("lock-token").unwrap();
    let there = bob.get("/new");
    assert_eq!((there.status, there.body.len()), (200, 0));
    assert_eq!(bob.put("/new", "x", &[]).status, 423);
    assert_eq!(ann.put("/new", "y", &["-H", &if_held(token)]).status, 204);
    let held = if_held(token);
    assert_eq!(ann.ask("DELETE", "/new", &["-H", &held]).status, 204);
    assert_eq!(
        bob.put("/new", "z", &[]).status,
        201,
        "the lock went with the file"
    );
}

#[test]
fn a_lock_ends_by_itself_unless_it_is_kept() {
    let door = HttpsDoor::up();
    let (ann, bob) = (demo(&door), bob(&door));
    ann.put("/short", "old", &[]);
    ann.put("/kept", "old", &[]);
    ann.locked("/short", &["-H", "Timeout: Second-2"]);
    let kept = ann.locked("/kept", &["-H", "Timeout: Second-2"]);
    let held = if_held(&kept);
    let words = ["-H", &held, "-H", "Timeout: Second-500"];
    let answer = ann.ask("LOCK", "/kept", &words);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("Second-500") || answer.text().contains("Second-499"));
    wait_for("the lock to end", Duration::from_secs(30), || {
        (bob.put("/short", "new", &[]).status == 204).then_some(())
    });
    assert_eq!(bob.put("/kept", "new", &[]).status, 423);
    let unknown = "If: (<urn:uuid:00000000-0000-4000-8000-000000000000>)";
    assert_eq!(ann.ask("LOCK", "/kept", &["-H", unknown]).status, 412);
}

#[test]
fn more_conditions_than_are_taken_are_refused_by_a_sentence_that_says_how_many_are() {
    let door = HttpsDoor::up();
    let ann = demo(&door);
    let token = ann.locked("/f", &[]);
    let with = |count: usize| {
        let held = format!("If: {}", format!("({token})").repeat(count));
        ann.put("/f", "x", &["-H", &held])
    };
    assert_eq!(with(100).status, 204);
    let refused = with(101);
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("101 conditions, and 100 at most"),
        "{}",
        refused.text()
    );
}

#[test]
fn the_rights_to_write_are_needed_for_a_lock() {
    let door = HttpsDoor::up();
    demo(&door).put("/f", "old", &[]);
    let eve = eve(&door, &["--read-only"]);
    assert_eq!(eve.get("/f").text(), "old");
    assert_eq!(eve.lock("/f", "shared", &[]).status, 403);
    assert_eq!(eve.lock("/", "exclusive", &[]).status, 403);
    assert_eq!(eve.lock("/new", "exclusive", &[]).status, 403);
}

#[test]
fn who_may_only_make_files_may_lock_before() {
    let door = HttpsDoor::up();
    demo(&door).put("/f", "old", &[]);
    let eve = eve(&door, &[]);
    let grant = ["grant", "add", "eve@demo", "demo:/", "list,read,write"];
    door.server.admin(&grant, "");
    let token = eve.locked("/new", &[]);
    let held = if_held(&token);
    let put = eve.put("/new", "made", &["-H", &held]);
    assert_eq!(put.status, 204, "{}", put.text());
    assert_eq!(eve.get("/new").text(), "made");
    // From then on it is a file that is there.
    assert_eq!(eve.put("/new", "again", &["-H", &held]).status, 403);
    assert_eq!(eve.lock("/f", "exclusive", &[]).status, 403);
    assert_eq!(eve.unlock("/new", &token).status, 204);
}

#[test]
fn every_instance_knows_the_locks_of_the_others() {
    let two = Two::new();
    for account in ["amy@acme", "bob@acme"] {
        two.run(&["account", "add", account, "--password-stdin", "--home", "/"]);
    }
    let (one, other) = (two.start("one"), two.start("other"));
    let (amy, bob) = (format!("amy@acme:{SECRET}"), format!("bob@acme:{SECRET}"));
    let here = Dav::of(one.https.unwrap(), &amy);
    let there = Dav::of(other.https.unwrap(), &bob);
    here.ask("MKCOL", "/d", &[]);
    here.put("/d/f", "old", &[]);
    let token = here.locked("/d", &[]);
    assert_eq!(there.put("/d/f", "x", &[]).status, 423);
    assert_eq!(there.lock("/d/f", "exclusive", &[]).status, 423);
    assert_eq!(there.go("MOVE", "/d", "/e", &[]).status, 423);
    // The holder goes on at the other one, and after the first is gone.
    let here_too = Dav::of(other.https.unwrap(), &amy);
    one.kill();
    let held = format!("If: </dav/d> ({token})");
    assert_eq!(here_too.put("/d/f", "new", &["-H", &held]).status, 204);
    assert_eq!(there.put("/d/f", "x", &[]).status, 423);
    assert_eq!(here_too.unlock("/d", &token).status, 204);
    assert_eq!(there.put("/d/f", "newer", &[]).status, 204);
    let patch =
        "<propertyupdate xmlns='DAV:'><set><prop><a xmlns='b'>c</a></prop></set></propertyupdate>";
    assert_eq!(there.send("PROPPATCH", "/d/f", &[], patch).status, 207);
    assert_eq!(there.go("COPY", "/d", "/e", &[]).status, 201);
    assert!(there.find("/e/f", "0").text().contains(">c</n:a>"));
    assert_eq!(there.go("MOVE", "/d", "/e", &[]).status, 204);
    assert_eq!(there.ask("DELETE", "/e", &[]).status, 204);
    other.stop();
}

/// What an answer says is locked.
#[track_caller]
fn submitted(answer: &Answer) -> String {
    let text = answer.text();
    assert_eq!(answer.status, 423, "{text}");
    let (_, href) = text
        .split_once("<D:lock-token-submitted><D:href>")
        .unwrap_or_else(|| panic!("{text}"));
    href.split('<').next().unwrap().to_owned()
}

#[test]
fn a_refusal_names_what_is_locked() {
    let door = HttpsDoor::up();
    let (ann, bob) = (demo(&door), bob(&door));
    for folder in ["/d", "/d/e", "/flat"] {
        assert_eq!(ann.ask("MKCOL", folder, &[]).status, 201);
    }
    for file in ["/goal", "/d/e/f", "/other", "/flat/x"] {
        ann.put(file, "x", &[]);
    }
    ann.locked("/goal", &[]);
    let token = ann.locked("/d/e/f", &[]);
    ann.locked("/flat", &["-H", "Depth: 0"]);
    for (answer, locked) in [
        (bob.go("MOVE", "/other", "/goal", &[]), "/dav/goal"),
        (bob.go("COPY", "/other", "/goal", &[]), "/dav/goal"),
        (bob.ask("DELETE", "/d", &[]), "/dav/d/e/f"),
        (bob.go("MOVE", "/d", "/moved", &[]), "/dav/d/e/f"),
        (bob.go("MOVE", "/other", "/d", &[]), "/dav/d/e/f"),
        (bob.put("/flat/new", "x", &[]), "/dav/flat/"),
        (bob.ask("MKCOL", "/flat/new", &[]), "/dav/flat/"),
        (bob.ask("DELETE", "/flat/x", &[]), "/dav/flat/"),
        (bob.lock("/flat/new", "exclusive", &[]), "/dav/flat/"),
    ] {
        assert_eq!(submitted(&answer), locked);
        assert!(answer.text().contains("by another"), "{}", answer.text());
    }
    let own = ann.ask("DELETE", "/d", &[]);
    assert_eq!(submitted(&own), "/dav/d/e/f");
    let text = own.text();
    assert!(
        text.contains("by this account itself; show the token"),
        "{text}"
    );
    assert_eq!(
        ann.ask(
            "DELETE",
            "/d",
            &["-H", &format!("If: </dav/d/e/f> ({token})")]
        )
        .status,
        204
    );
    assert_eq!(
        ann.get("/flat/new").status,
        404,
        "nothing was made for a lock"
    );
}

#[test]
fn a_refusal_tells_nobody_of_what_they_must_not_see() {
    let door = HttpsDoor::up();
    let ann = demo(&door);
    for folder in ["/d", "/d/secret"] {
        assert_eq!(ann.ask("MKCOL", folder, &[]).status, 201);
    }
    ann.put("/d/secret/f", "x", &[]);
    let eve = eve(&door, &[]);
    let words = ["grant", "remove", "eve@demo", "demo:/"];
    door.server.admin(&words, "");
    let words = ["grant", "add", "eve@demo", "demo:/", "delete,rename"];
    door.server.admin(&words, "");
    ann.locked("/d/secret/f", &[]);
    let refused = eve.ask("DELETE", "/d", &[]);
    assert_eq!(submitted(&refused), "/dav/d/");
    assert!(!refused.text().contains("secret"), "{}", refused.text());
}
