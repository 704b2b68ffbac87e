//! Tokens of programs: what they are for, how long they last, and what they cannot do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::https_door::{Answer, HttpsDoor};
use crate::support::links::SHARES;
use crate::support::server::DEMO;
use crate::support::tus::Tus;
use crate::support::wait::wait_for;
use crate::support::web_client::{Browser, post};
use crate::support::web_line::WebLine;

const TOKENS: &str = "/api/v1/tokens";
const ME: &str = "/api/v1/me";
const SOON: Duration = Duration::from_secs(20);

/// Makes a token as the demo account, by its password.
#[track_caller]
fn make(door: &HttpsDoor, wanted: &Value) -> Answer {
    post(door, &["--user", &door.user()], TOKENS, &wanted.to_string())
}

#[track_caller]
fn made(door: &HttpsDoor, wanted: &Value) -> String {
    let answer = make(door, wanted);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[track_caller]
fn by(door: &HttpsDoor, token: &str, words: &[&str], path: &str) -> Answer {
    let bearer = format!("Authorization: Bearer {token}");
    door.ask(&[&["-H", &bearer], words].concat(), path)
}

#[test]
fn a_token_logs_a_program_in_and_is_shown_once() {
    let door = HttpsDoor::up();
    let token = made(
        &door,
        &json!({ "name": "backup", "scopes": ["files:read", "account"] }),
    );
    assert!(token.starts_with("slt_"), "{token}");
    assert_eq!(by(&door, &token, &[], ME).json()["login"], DEMO);
    let listed = by(&door, &token, &[], TOKENS);
    assert!(!listed.text().contains(&token));
    let item = &listed.json()["items"][0];
    assert_eq!(item["name"], "backup");
    assert_eq!(item["scopes"], json!(["account", "files:read"]));
    assert!(item["used_at"].is_string(), "{item}");
    let log = door.server.audit_with("the token and its login", |log| {
        log.contains("demo@demo by token 'backup'") && log.contains(r#""kind":"token-add""#)
    });
    assert!(!log.contains(&token));
}

#[test]
fn a_token_that_is_none_is_refused() {
    let door = HttpsDoor::up();
    let token = made(&door, &json!({ "name": "a", "scopes": ["account"] }));
    let mut other = token.clone();
    other.replace_range(20..21, if &token[20..21] == "a" { "b" } else { "a" });
    for wrong in [
        "",
        "slt_",
        "x",
        &other,
        &token[..token.len() - 1],
        &token.replace("slt_", "sls_"),
    ] {
        let answer = by(&door, wrong, &[], ME);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "unauthenticated"),
            "{wrong}"
        );
    }
    // What the cookie of a session holds is no token.
    let browser = Browser::log_in(&door, DEMO, &door.server.password());
    let (_, session) = browser.cookie.split_once('=').unwrap();
    assert_eq!(by(&door, session, &[], ME).status, 401);
    let disguised = session.replace("sls_", "slt_");
    assert_eq!(by(&door, &disguised, &[], ME).status, 401);
    let cookie = format!("Cookie: __Host-sealift={}", token.replace("slt_", "sls_"));
    assert_eq!(door.ask(&["-H", &cookie], ME).status, 401);
    assert_eq!(by(&door, &token, &[], ME).status, 200);
}

#[test]
fn a_token_does_what_it_is_for_and_no_more() {
    let door = HttpsDoor::up();
    let reader = made(
        &door,
        &json!({ "name": "reader", "scopes": ["files:read"] }),
    );
    assert_eq!(by(&door, &reader, &[], ME).status, 200);
    for path in [TOKENS, "/api/v1/sessions"] {
        let refused = by(&door, &reader, &[], path);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (403, "scope"),
            "{path}"
        );
    }
    let refused = by(&door, &reader, &["-X", "DELETE"], "/api/v1/sessions");
    assert_eq!(refused.problem(), "scope");
    let refused = by(&door, &reader, &["-X", "POST"], "/api/v1/folders/new");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (403, "denied")
    );
    assert!(
        refused.text().contains("the scope files:write"),
        "{}",
        refused.text()
    );
}

#[test]
fn looking_needs_the_right_to_look() {
    let door = HttpsDoor::up();
    door.put("/f", "content", &[]);
    let writer = made(
        &door,
        &json!({ "name": "writer", "scopes": ["files:write"] }),
    );
    for path in ["/f", "/nothing", ""] {
        let path = format!("/api/v1/entries{path}");
        let refused = by(&door, &writer, &[], &path);
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
        assert_eq!(refused.problem(), "denied");
        assert_eq!(by(&door, &writer, &["--head"], &path).status, 403, "{path}");
    }
    // What was done is done.
    let made = by(&door, &writer, &["-X", "POST"], "/api/v1/folders/new");
    assert_eq!((made.status, made.text().as_str()), (201, ""));
    assert_eq!(door.demo(&[], "/api/v1/entries/new").status, 200);
}

#[test]
fn a_token_that_may_not_look_is_not_shown_the_way_home_and_finds_it() {
    let door = HttpsDoor::up();
    let add = ["account", "add", "ann@demo", "--password-stdin"];
    door.server.admin(&add, "long-secret\n");
    let ann = "ann@demo:long-secret";
    let above = ["folders", "folders/home", "entries", "entries/home"];
    let of = |scopes: &[&str]| {
        let wanted = json!({ "name": "a", "scopes": scopes }).to_string();
        let made = post(&door, &["--user", ann], TOKENS, &wanted);
        made.json()["token"].as_str().unwrap().to_owned()
    };
    for scopes in [&["account"][..], &["files:write"]] {
        let token = of(scopes);
        for path in above {
            let refused = by(&door, &token, &[], &format!("/api/v1/{path}"));
            assert_eq!(refused.status, 403, "{path}: {}", refused.text());
        }
        for path in ["/dav/", "/dav/home/"] {
            let refused = by(&door, &token, &["-X", "PROPFIND"], path);
            assert_eq!(refused.status, 403, "{path}: {}", refused.text());
        }
    }
    // It writes where it may.
    let writer = of(&["files:write"]);
    let put = ["-X", "PUT", "--data", "content"];
    let make = ["-X", "POST"];
    for (words, path) in [
        (&make[..], "/api/v1/folders/home/ann/new"),
        (&put, "/api/v1/files/home/ann/new/f"),
        (&put, "/dav/home/ann/f"),
    ] {
        let done = by(&door, &writer, words, path);
        assert_eq!(done.status, 201, "{path}: {}", done.text());
    }
    // Who may look is shown the way, and so is the account.
    let reader = of(&["files:read"]);
    for path in above {
        let path = format!("/api/v1/{path}");
        assert_eq!(by(&door, &reader, &[], &path).status, 200, "{path}");
        assert_eq!(door.ask(&["--user", ann], &path).status, 200, "{path}");
    }
}

#[test]
fn a_token_makes_none_that_may_do_more_or_lasts_longer() {
    let door = HttpsDoor::up();
    let wanted =
        json!({ "name": "parent", "scopes": ["account", "files:read"], "expires_in": 3600 });
    let parent = made(&door, &wanted);
    let bearer = format!("Authorization: Bearer {parent}");
    let child = |wanted: Value| post(&door, &["-H", &bearer], TOKENS, &wanted.to_string());
    for (wanted, status) in [
        (json!({ "name": "c", "scopes": ["files:write"] }), 403),
        (
            json!({ "name": "c", "scopes": ["files:read", "files:write"] }),
            403,
        ),
        (
            json!({ "name": "c", "scopes": ["files:read"], "expires_in": 7200 }),
            403,
        ),
        (
            json!({ "name": "c", "scopes": ["files:read"], "expires_in": 60 }),
            201,
        ),
        (json!({ "name": "c", "scopes": ["files:read"] }), 201),
    ] {
        let answer = child(wanted.clone());
        assert_eq!(answer.status, status, "{wanted}: {}", answer.text());
        if status == 201 {
            assert!(
                answer.json()["expires_at"].is_string(),
                "as long as its parent at most"
            );
        }
    }
}

#[test]
fn a_token_ends_when_it_is_revoked_or_expires_or_its_account_is_disabled() {
    let door = HttpsDoor::up();
    let answer = make(&door, &json!({ "name": "a", "scopes": ["account"] })).json();
    let (token, id) = (
        answer["token"].as_str().unwrap(),
        answer["id"].as_str().unwrap(),
    );
    assert_eq!(by(&door, token, &[], ME).status, 200);
    let path = format!("{TOKENS}/{id}");
    assert_eq!(door.demo(&["-X", "DELETE"], &path).status, 204);
    assert_eq!(
        by(&door, token, &[], ME).status,
        401,
        "at once, on the same instance"
    );
    assert_eq!(door.demo(&["-X", "DELETE"], &path).status, 404);

    let short = made(
        &door,
        &json!({ "name": "b", "scopes": ["account"], "expires_in": 1 }),
    );
    wait_for("the token to expire", SOON, || {
        (by(&door, &short, &[], ME).status == 401).then_some(())
    });
    let long = made(&door, &json!({ "name": "c", "scopes": ["account"] }));
    assert_eq!(by(&door, &long, &[], ME).status, 200);
    door.server.admin(&["account", "disable", DEMO], "");
    wait_for("the token to be refused", SOON, || {
        (by(&door, &long, &[], ME).status == 401).then_some(())
    });
    door.server.admin(&["account", "enable", DEMO], "");
    wait_for("the token to be taken", SOON, || {
        (by(&door, &long, &[], ME).status == 200).then_some(())
    });
}

#[test]
fn an_upload_that_goes_on_by_a_token_ends_with_it() {
    let door = HttpsDoor::up();
    for is_revoked in [true, false] {
        let name = format!("token {is_revoked}");
        let answer = make(&door, &json!({ "name": name, "scopes": ["files:write"] })).json();
        let token = answer["token"].as_str().unwrap();
        let mut line = WebLine::to(&door);
        line.send(&format!(
            "PUT /api/v1/files/f HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 1000000\r\n\r\nabc"
        ));
        let login = format!("by token '{name}'");
        door.server.audit_with(&login, |log| log.contains(&login));
        match is_revoked {
            true => {
                let path = format!("{TOKENS}/{}", answer["id"].as_str().unwrap());
                assert_eq!(door.demo(&["-X", "DELETE"], &path).status, 204);
            }
            false => drop(door.server.admin(&["account", "disable", DEMO], "")),
        }
        let cut = line.drip("d", SOON);
        assert_eq!(cut.status, 401, "{}", cut.text());
    }
    door.server.admin(&["account", "enable", DEMO], "");
    let absent = wait_for("the account to be let in", SOON, || {
        let answer = door.demo(&[], "/api/v1/files/f");
        (answer.status != 401).then_some(answer)
    });
    assert_eq!(absent.status, 404);
}

#[test]
fn a_token_that_may_not_write_takes_no_part_in_uploads() {
    let door = HttpsDoor::up();
    let tus = Tus::of(&door.server);
    let at = tus.begin("/f", 8);
    assert_eq!(tus.patch(&at, 0, b"good", &[]).status, 204);
    for scopes in [json!(["files:read"]), json!(["account"])] {
        let token = made(&door, &json!({ "name": "reader", "scopes": scopes }));
        let send = |words: &[&str], path: &str| {
            let words = [&["-H", "Tus-Resumable: 1.0.0"], words].concat();
            by(&door, &token, &words, path).status
        };
        let part = [
            "-X",
            "POST",
            "-H",
            "Upload-Length: 1",
            "-H",
            "Upload-Concat: partial",
        ];
        assert_eq!(send(&part, "/api/v1/uploads"), 403);
        let kind = "Content-Type: application/offset+octet-stream";
        let piece = [
            "-X",
            "PATCH",
            "-H",
            kind,
            "-H",
            "Upload-Offset: 4",
            "--data-binary",
            "evil",
        ];
        assert_eq!(send(&piece, &at), 403);
        assert_eq!(send(&["--head"], &at), 403);
        assert_eq!(send(&["-X", "DELETE"], &at), 403);
    }
    assert_eq!(tus.patch(&at, 4, b"good", &[]).status, 204);
    assert_eq!(door.demo(&[], "/api/v1/files/f").text(), "goodgood");
}

#[test]
fn a_token_widens_no_link_that_it_could_not_make() {
    let door = HttpsDoor::up();
    door.put("/f", "content", &[]);
    let limited = json!({ "path": "/f", "password": "long and secret", "max_downloads": 1 });
    let share = post(
        &door,
        &["--user", &door.user()],
        SHARES,
        &limited.to_string(),
    );
    assert_eq!(share.status, 201, "{}", share.text());
    let at = format!("{SHARES}/{}", share.json()["id"].as_str().unwrap());
    let change = json!({ "password": null, "max_downloads": null }).to_string();
    let words = ["-X", "PATCH", "--json", change.as_str()];
    let narrow = made(&door, &json!({ "name": "a", "scopes": ["account"] }));
    assert_eq!(by(&door, &narrow, &words, &at).status, 403);
    let wide = json!({ "name": "b", "scopes": ["account", "files:read"] });
    assert_eq!(by(&door, &made(&door, &wide), &words, &at).status, 200);
}

#[test]
fn with_a_token_ends_what_was_made_by_it() {
    let door = HttpsDoor::up();
    door.put("/f", "content", &[]);
    let wanted = |name: &str| json!({ "name": name, "scopes": ["account", "files:read"] });
    let pair = |answer: Answer| {
        assert_eq!(answer.status, 201, "{}", answer.text());
        let json = answer.json();
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        (text("token"), text("id"))
    };
    let send = |token: &str, method: &str, path: &str, body: &Value| {
        let body = body.to_string();
        by(&door, token, &["-X", method, "--json", &body], path)
    };
    let share = |token: &str| {
        let (text, id) = pair(send(token, "POST", SHARES, &json!({ "path": "/f" })));
        (format!("/api/v1/shared/{text}/file"), id)
    };
    let (parent, id) = pair(make(&door, &wanted("parent")));
    let (aunt, _) = pair(make(&door, &wanted("aunt")));
    let (child, child_id) = pair(send(&parent, "POST", TOKENS, &wanted("child")));
    let (grandchild, grandchild_id) = pair(send(&child, "POST", TOKENS, &wanted("grandchild")));
    let (by_parent, by_parent_id) = share(&parent);
    let (by_grandchild, _) = share(&grandchild);
    let (by_aunt, _) = share(&aunt);
    // Made by another, and changed by one of the family, and by its owner after that.
    let (changed, changed_id) = share(&aunt);
    let change = json!({ "name": "changed" });
    let at = format!("{SHARES}/{changed_id}");
    assert_eq!(send(&child, "PATCH", &at, &change).status, 200);
    let change = change.to_string();
    let again = door.demo(&["-X", "PATCH", "--json", &change], &at);
    assert_eq!(again.status, 200, "{}", again.text());
    let listed = by(&door, &aunt, &[], TOKENS).json();
    let made_by = |name: &str| {
        let items = listed["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["name"] == name).unwrap();
        item["made_by"].clone()
    };
    assert_eq!(made_by("parent"), Value::Null);
    assert_eq!(made_by("child"), id.as_str());
    assert_eq!(made_by("grandchild"), child_id.as_str());
    for link in [&by_parent, &by_grandchild, &by_aunt, &changed] {
        assert_eq!(door.ask(&[], link).text(), "content");
    }

    let revoked = door.demo(&["-X", "DELETE"], &format!("{TOKENS}/{id}"));
    assert_eq!(revoked.status, 204);
    for token in [&parent, &child, &grandchild] {
        assert_eq!(by(&door, token, &[], ME).status, 401);
    }
    for link in [&by_parent, &by_grandchild, &changed] {
        assert_eq!(door.ask(&[], link).problem(), "link-over");
    }
    let at = format!("{SHARES}/{by_parent_id}");
    assert_eq!(by(&door, &aunt, &[], &at).status, 404);
    assert_eq!(by(&door, &aunt, &[], ME).status, 200);
    assert_eq!(door.ask(&[], &by_aunt).text(), "content");
    let at = format!("{TOKENS}/{grandchild_id}");
    assert_eq!(door.demo(&["-X", "DELETE"], &at).status, 404);
    door.server.audit_with("all that ended", |log| {
        let record = log.lines().find(|line| line.contains("token-remove"));
        record.is_some_and(|record| {
            [
                "'parent'",
                "'child'",
                "'grandchild'",
                &by_parent_id,
                &changed_id,
            ]
            .iter()
            .all(|named| record.contains(*named))
        })
    });
}

#[test]
fn a_child_ends_without_its_parent() {
    let door = HttpsDoor::up();
    let wanted = json!({ "name": "parent", "scopes": ["account"] });
    let parent = made(&door, &wanted);
    let child = by(&door, &parent, &["--json", &wanted.to_string()], TOKENS).json();
    let path = format!("{TOKENS}/{}", child["id"].as_str().unwrap());
    let child = child["token"].as_str().unwrap();
    assert_eq!(by(&door, child, &["-X", "DELETE"], &path).status, 204);
    assert_eq!(by(&door, child, &[], ME).status, 401);
    assert_eq!(by(&door, &parent, &[], ME).status, 200);
}

#[test]
fn a_token_that_may_not_look_is_told_so_by_a_search() {
    let door = HttpsDoor::up();
    let token = made(&door, &json!({ "name": "a", "scopes": ["account"] }));
    let found = by(&door, &token, &[], "/api/v1/search?name=a");
    assert_eq!(found.status, 403, "{}", found.text());
    let reader = json!({ "name": "b", "scopes": ["files:read"] });
    let reader = made(&door, &reader);
    let found = by(&door, &reader, &[], "/api/v1/search?name=a");
    assert_eq!(found.status, 200, "{}", found.text());
}

#[test]
fn nobody_sees_or_revokes_the_tokens_of_others() {
    let door = HttpsDoor::up();
    door.server.admin(&["tenant", "add", "bolt"], "");
    for login in ["ann@demo", "ann@bolt"] {
        door.server.admin(
            &["account", "add", login, "--password-stdin"],
            "secret of ann\n",
        );
    }
    let answer = make(&door, &json!({ "name": "mine", "scopes": ["account"] })).json();
    let path = format!("{TOKENS}/{}", answer["id"].as_str().unwrap());
    for login in ["ann@demo", "ann@bolt"] {
        let user = format!("{login}:secret of ann");
        let gone = door.ask(&["--user", &user, "-X", "DELETE"], &path);
        assert_eq!(gone.status, 404, "{login}");
        let list = door.ask(&["--user", &user], TOKENS).json();
        assert_eq!(list["items"], json!([]));
    }
    let token = answer["token"].as_str().unwrap();
    assert_eq!(by(&door, token, &[], ME).status, 200);
}

#[test]
fn where_the_host_stands_for_a_tenant_tokens_of_others_are_strangers() {
    let door = HttpsDoor::up();
    let token = made(&door, &json!({ "name": "a", "scopes": ["account"] }));
    door.server.admin(&["tenant", "add", "bolt"], "");
    door.server
        .admin(&["tenant", "host", "add", "bolt", "bolt.example"], "");
    door.server
        .admin(&["tenant", "host", "add", "demo", "demo.example"], "");
    let at = |host: &str| {
        let port = door.address().port();
        let resolve = format!("{host}:{port}:127.0.0.1");
        let bearer = format!("Authorization: Bearer {token}");
        let url = format!("https://{host}:{port}{ME}");
        crate::support::https_door::ask(&["--resolve", &resolve, "-H", &bearer], &url).status
    };
    assert_eq!(at("demo.example"), 200);
    assert_eq!(at("bolt.example"), 401);
}

#[test]
fn a_request_for_another_tenants_host_than_the_connection_is_misdirected() {
    let door = HttpsDoor::up();
    let token = made(&door, &json!({ "name": "a", "scopes": ["account"] }));
    door.server.admin(&["tenant", "add", "bolt"], "");
    for (tenant, host) in [
        ("demo", "demo.example"),
        ("demo", "also.example"),
        ("bolt", "bolt.example"),
    ] {
        door.server
            .admin(&["tenant", "host", "add", tenant, host], "");
    }
    let port = door.address().port();
    let (bearer, user) = (format!("Authorization: Bearer {token}"), door.user());
    let shown = [["-H", bearer.as_str()], ["--user", user.as_str()]];
    for version in ["--http1.1", "--http2"] {
        // The name in the handshake is that of the address, the one of the request stands in `Host`.
        let at = |connection: &str, request: &str, path: &str, shown: &[&str]| {
            let resolve = format!("{connection}:{port}:127.0.0.1");
            let host = format!("Host: {request}:{port}");
            let words = [&[version, "--resolve", &resolve, "-H", &host][..], shown].concat();
            let url = format!("https://{connection}:{port}{path}");
            crate::support::https_door::ask(&words, &url)
        };
        for shown in shown {
            for (connection, request) in [
                ("demo.example", "bolt.example"),
                ("bolt.example", "Demo.example"),
            ] {
                let refused = at(connection, request, ME, &shown);
                assert_eq!(
                    (refused.status, refused.problem().as_str()),
                    (421, "misdirected"),
                    "{version} {connection} {request}"
                );
                assert_eq!(at(connection, request, "/dav/", &shown).status, 421);
            }
            for (connection, request) in [
                ("demo.example", "demo.example"),
                ("demo.example", "also.example"),
                ("demo.example", "nobody.example"),
                ("nobody.example", "bolt.example"),
                ("nobody.example", "demo.example"),
            ] {
                let let_in = at(connection, request, ME, &shown).status;
                assert_eq!(let_in, 200, "{version} {connection} {request}");
            }
        }
        let link = at("demo.example", "bolt.example", "/api/v1/shared/x", &[]);
        assert_eq!(link.status, 421);
        let health = at("demo.example", "bolt.example", "/healthz", &[]);
        assert_eq!(health.status, 200);
    }
}

#[test]
fn tokens_that_cannot_be_are_not_made() {
    let door = HttpsDoor::up();
    for wanted in [
        json!({ "name": "", "scopes": ["account"] }),
        json!({ "name": "a\nb", "scopes": ["account"] }),
        json!({ "name": "a".repeat(101), "scopes": ["account"] }),
        json!({ "name": "a", "scopes": [] }),
        json!({ "name": "a", "scopes": ["everything"] }),
        json!({ "name": "a", "scopes": ["account"], "expires_in": 0 }),
        json!({ "name": "a", "scopes": ["account"], "expires_in": 999_999_999_999u64 }),
        json!({ "name": "a" }),
    ] {
        let answer = make(&door, &wanted);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "invalid"),
            "{wanted}"
        );
    }
}
