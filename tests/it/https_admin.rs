//! The port for operators: who is let in, who may what, and what they do.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::https_admin_certificates::LINES;
use crate::https_schema::CHECKS;
use crate::support::admin_door::{self, AdminDoor, token};
use crate::support::client::{cached, run};
use crate::support::folder::TempFolder;
use crate::support::https_door::ask;
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

/// What is asked, and what operators, support and monitors are answered.
pub(crate) type Line<'a> = (&'a str, &'a str, Option<&'a str>, [u16; 3]);

#[test]
fn each_role_does_what_it_is_for_and_nothing_else() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    let tokens = [
        ("operator", admin.root.clone()),
        ("support", token(admin.server(), "sue", "support")),
        ("monitor", token(admin.server(), "mona", "monitor")),
    ];
    let folder = TempFolder::new();
    let key = folder.join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let key = json!({ "key": public }).to_string();
    // Nothing is ever sent to it: nothing happens before it is disabled.
    let words = ["webhook", "add", "demo", "hook", "https://1.1.1.1/"];
    admin.server().admin(&words, "");
    let listed = admin
        .server()
        .admin(&["webhook", "list", "demo", "--json"], "");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let hook = listed[0]["id"].as_str().unwrap();
    let hook = format!("/tenants/demo/webhooks/{hook}");
    let below = |name: &str| format!("{hook}/{name}");
    let (deliveries, test) = (below("deliveries"), below("test"));
    let (secret, replay) = (below("secret"), below("replay"));
    let seen = [200, 200, 403];
    let helped = [204, 204, 403];
    let lines: Vec<Line> = vec![
        ("GET", "/me", None, [200, 200, 200]),
        ("GET", "/tenants", None, seen),
        (
            "POST",
            "/tenants",
            Some(r#"{"name":"acme"}"#),
            [201, 403, 403],
        ),
        ("GET", "/tenants/demo", None, seen),
        (
            "PATCH",
            "/tenants/demo",
            Some(r#"{"quota_bytes":5000000}"#),
            [200, 403, 403],
        ),
        ("GET", "/tenants/demo/accounts", None, seen),
        ("GET", "/tenants/demo/accounts/ann", None, seen),
        (
            "POST",
            "/tenants/demo/accounts",
            Some(r#"{"user":"bob","password":"long-secret"}"#),
            [201, 403, 403],
        ),
        (
            "PATCH",
            "/tenants/demo/accounts/ann",
            Some(r#"{"quota_files":10}"#),
            [200, 403, 403],
        ),
        (
            "PUT",
            "/tenants/demo/accounts/ann/password",
            Some(r#"{"password":"another-secret"}"#),
            [204, 403, 403],
        ),
        ("POST", "/tenants/demo/accounts/ann/unlock", None, helped),
        (
            "POST",
            "/tenants/demo/accounts/ann/second-factor",
            None,
            [201, 403, 403],
        ),
        (
            "DELETE",
            "/tenants/demo/accounts/ann/second-factor",
            None,
            [204, 403, 403],
        ),
        ("GET", "/tenants/demo/accounts/ann/ssh-keys", None, seen),
        (
            "POST",
            "/tenants/demo/accounts/ann/ssh-keys",
            Some(&key),
            [201, 403, 403],
        ),
        (
            "DELETE",
            "/tenants/demo/accounts/ann/ssh-keys/SHA256:x",
            None,
            [404, 403, 403],
        ),
        (
            "DELETE",
            "/tenants/demo/accounts/ann/password",
            None,
            [204, 403, 403],
        ),
        ("GET", "/tenants/demo/groups", None, seen),
        (
            "POST",
            "/tenants/demo/groups",
            Some(r#"{"name":"staff"}"#),
            [201, 403, 403],
        ),
        ("GET", "/tenants/demo/groups/staff", None, seen),
        (
            "PUT",
            "/tenants/demo/groups/staff/members/ann",
            None,
            [204, 403, 403],
        ),
        (
            "DELETE",
            "/tenants/demo/groups/staff/members/ann",
            None,
            [204, 403, 403],
        ),
        ("GET", "/tenants/demo/grants", None, seen),
        (
            "PUT",
            "/tenants/demo/grants",
            Some(r#"{"group":"staff","path":"/in","rights":"list,read"}"#),
            [201, 403, 403],
        ),
        (
            "DELETE",
            "/tenants/demo/grants?group=staff&path=/in",
            None,
            [204, 403, 403],
        ),
        (
            "DELETE",
            "/tenants/demo/groups/staff",
            None,
            [204, 403, 403],
        ),
        ("GET", "/tenants/demo/sessions", None, seen),
        (
            "DELETE",
            "/tenants/demo/sessions/00000000000000000000000000000001",
            None,
            [404, 404, 403],
        ),
        ("GET", "/tenants/demo/tokens", None, seen),
        (
            "DELETE",
            "/tenants/demo/tokens/00000000000000000000000000000001",
            None,
            [404, 403, 403],
        ),
        ("GET", "/tenants/demo/links", None, seen),
        (
            "DELETE",
            "/tenants/demo/links/00000000000000000000000000000001",
            None,
            [404, 403, 403],
        ),
        ("GET", "/tenants/demo/deleted", None, seen),
        (
            "POST",
            "/tenants/demo/deleted/00000000000000000000000000000001/restore",
            None,
            [404, 404, 403],
        ),
        ("GET", "/tenants/demo/audit", None, seen),
        ("GET", "/tenants/demo/audit/export", None, seen),
        ("GET", "/tenants/demo/audit/verify", None, seen),
        ("GET", "/tenants/demo/keys", None, seen),
        ("POST", "/tenants/demo/keys", None, [201, 403, 403]),
        ("POST", "/tenants/demo/keys/rewrap", None, [200, 403, 403]),
        (
            "POST",
            "/tenants/demo/keys/destroy",
            Some("{}"),
            [202, 403, 403],
        ),
        ("GET", "/tenants/demo/webhooks", None, seen),
        (
            "POST",
            "/tenants/demo/webhooks",
            Some(r#"{"name":"a","url":"https://127.0.0.1/","events":["all"]}"#),
            [400, 403, 403],
        ),
        ("GET", &hook, None, seen),
        (
            "PATCH",
            &hook,
            Some(r#"{"enabled":false}"#),
            [200, 403, 403],
        ),
        ("GET", &deliveries, None, seen),
        ("POST", &test, None, [400, 403, 403]),
        ("POST", &secret, Some("{}"), [200, 403, 403]),
        ("POST", &replay, Some("{}"), [400, 403, 403]),
        ("DELETE", &hook, None, [204, 403, 403]),
        (
            "DELETE",
            "/tenants/demo/accounts/bob",
            None,
            [204, 403, 403],
        ),
    ];
    let lines: Vec<Line> = lines.into_iter().chain(LINES).collect();
    for (method, path, body, expected) in &lines {
        // The operator last: what they did cannot be done again.
        for ((role, token), status) in tokens.iter().zip(expected).rev() {
            let words = match body {
                Some(body) => admin_door::json(method, body),
                None => vec!["-X", *method],
            };
            let answer = admin.by(token, &words, path);
            let said = answer.text();
            assert_eq!(answer.status, *status, "{role} {method} {path}: {said}");
            if answer.status == 403 {
                assert_eq!(answer.problem(), "role", "{role} {method} {path}");
            }
        }
    }
    // All of the document was tried, and what was done and refused stands in the log.
    let document = admin.root(&[], "/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let all: usize = paths
        .values()
        .map(|item| item.as_object().unwrap().len())
        .sum();
    assert_eq!(all, lines.len(), "{:?}", paths.keys());
    let log = admin
        .server()
        .audit_with("what was done and refused", |log| {
            log.contains("staff@demo (by operator root)")
                && log.contains("PATCH /api/v1/tenants/demo (by operator sue)")
                && log.contains(r#""kind":"admin-refused""#)
        });
    // Who only measures leaves nothing there, but in the server's own log.
    assert!(!log.contains("mona"), "{log}");
    let log = admin.server().log();
    let is_told =
        |line: &str| line.contains("mona") && line.contains("/api/v1/tenants/demo/grants");
    assert!(log.lines().any(is_told), "{log}");
}

#[test]
fn neither_port_lets_in_who_belongs_to_the_other() {
    let admin = AdminDoor::up();
    let user = admin.door.user();
    let stranger = |words: &[&str], path: &str| ask(words, &admin.url(path));
    for words in [
        &[][..],
        &["--user", &user],
        &["-H", "Authorization: Bearer slo_x"],
        &["-H", "Authorization: Bearer "],
    ] {
        let refused = stranger(words, "/api/v1/tenants");
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (401, "unauthenticated")
        );
    }
    for path in ["/api/v1/files/x", "/api/v1/sessions", "/dav/"] {
        assert_eq!(stranger(&["--user", &user], path).status, 404, "{path}");
    }
    assert_eq!(stranger(&[], "/healthz").text(), "ok\n");
    assert_eq!(stranger(&[], "/readyz").status, 200);
    assert_eq!(stranger(&[], "/api/v1/").status, 200);
    assert!(
        stranger(&[], "/healthz")
            .header("strict-transport-security")
            .is_some()
    );

    let bearer = format!("Authorization: Bearer {}", admin.root);
    for path in ["/api/v1/me", "/api/v1/folders", "/api/v1/admin/accounts"] {
        assert_eq!(admin.door.ask(&["-H", &bearer], path).status, 401, "{path}");
    }
    for path in ["/api/v1/tenants", "/api/v1/tenants/demo/accounts"] {
        assert_eq!(admin.door.ask(&["-H", &bearer], path).status, 404, "{path}");
        assert_eq!(admin.door.demo(&[], path).status, 404, "{path}");
    }
    let document = admin.door.ask(&[], "/api/v1/openapi.json").text();
    assert!(!document.contains("/api/v1/tenants"));
}

#[test]
fn figures_are_for_whoever_shows_a_token() {
    let admin = AdminDoor::up();
    let figures = |token: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        ask(&["-H", &bearer], &admin.url("/metrics"))
    };
    assert_eq!(figures("slo_x").status, 401);
    let told = figures(&token(admin.server(), "mona", "monitor"));
    assert_eq!(told.status, 200, "{}", told.text());
    assert!(
        told.text().contains("sealift_build_info"),
        "{}",
        told.text()
    );
    assert_eq!(admin.door.demo(&[], "/metrics").status, 404);
}

#[test]
fn tokens_are_made_listed_and_revoked_at_the_command_line() {
    let admin = AdminDoor::up();
    let run = |words: &[&str]| -> Value {
        let said = admin.server().admin(&[words, &["--json"]].concat(), "");
        serde_json::from_str(&said).unwrap()
    };
    assert!(admin.root.starts_with("slo_"));
    assert_eq!(admin.root(&[], "/me").json()["role"], "operator");
    let words = [
        "admin", "token", "create", "--name", "tim", "--role", "support",
    ];
    let made = run(&[&words[..], &["--expires", "90d"]].concat());
    assert!(made["operator"]["expires_at"].is_string());
    let text = admin.server().admin(&["admin", "token", "list"], "");
    assert!(text.contains("tim") && text.contains("support"));
    let listed = run(&["admin", "token", "list"]);
    assert!(
        !listed.to_string().contains("slo_"),
        "the secret is shown once"
    );
    let root = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "root");
    assert!(root.unwrap()["used_at"].is_string());

    let tim = made["token"].as_str().unwrap();
    assert_eq!(admin.by(tim, &[], "/tenants").status, 200);
    run(&["admin", "token", "revoke", "tim"]);
    assert_eq!(admin.by(tim, &[], "/tenants").status, 401);
    // The name is free again, and what was is still shown.
    token(admin.server(), "tim", "monitor");
    assert_eq!(
        run(&["admin", "token", "list"]).as_array().unwrap().len(),
        3
    );

    let data = admin.server().data().to_str().unwrap().to_owned();
    let refused = |words: &[&str], code: i32, subject: &str| {
        let ran = crate::support::server::sealift(&[words, &["--data", &data]].concat(), "");
        let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(code), "{words:?}: {errors}");
        assert!(errors.contains(subject), "{words:?}: {errors}");
    };
    refused(&words, 1, "already");
    refused(&["admin", "token", "revoke", "nobody"], 1, "no token");
    refused(
        &[
            "admin", "token", "create", "--name", "a b", "--role", "monitor",
        ],
        1,
        "letters",
    );
    refused(
        &["admin", "token", "create", "--name", "a", "--role", "king"],
        2,
        "roles are",
    );
}

#[test]
fn tokens_that_are_made_revoked_and_refused_are_logged() {
    let admin = AdminDoor::up();
    let logged = |what: &str| {
        wait_for(what, Duration::from_secs(60), || {
            admin.server().log().contains(what).then_some(())
        });
    };
    let tim = token(admin.server(), "tim", "support");
    logged("a token of an operator was made operator=tim role=support");
    let words = ["admin", "token", "revoke", "tim"];
    admin.server().admin(&words, "");
    logged("a token of an operator was revoked operator=tim role=support");
    for wrong in [&tim, "slo_x", &tim, "slo_x", &tim, "slo_x", &tim] {
        assert_eq!(admin.by(wrong, &[], "/tenants").status, 401, "{wrong}");
    }
    let log = admin.server().log();
    let refused = log.matches("an operator's token was refused");
    assert_eq!(refused.count(), 5, "{log}");
    assert!(log.contains("peer=127.0.0.1"), "{log}");
    assert!(!log.contains("slo_"), "{log}");
}

#[test]
fn a_token_that_has_expired_opens_nothing() {
    let admin = AdminDoor::up();
    let words = [
        "admin", "token", "create", "--name", "brief", "--role", "support",
    ];
    let words = [&words[..], &["--expires", "1ms", "--json"]].concat();
    let made: Value = serde_json::from_str(&admin.server().admin(&words, "")).unwrap();
    let refused = admin.by(made["token"].as_str().unwrap(), &[], "/me");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (401, "unauthenticated")
    );
}

#[test]
fn tenants_are_added_paged_altered_by_version_suspended_and_resumed() {
    let admin = AdminDoor::up();
    for name in ["a1", "a2", "a3"] {
        let body = json!({ "name": name, "quota_bytes": 1_000, "retention_seconds": 60 });
        let made = admin.done("POST", "/tenants", Some(&body.to_string()));
        assert_eq!(
            made.header("location"),
            Some(format!("/api/v1/tenants/{name}").as_str())
        );
        assert_eq!(made.json()["quota_bytes"], 1_000);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.root(&[], &format!("/tenants?limit=2{cursor}")).json();
        let items = page["items"].as_array().unwrap();
        names.extend(
            items
                .iter()
                .map(|one| one["name"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["a1", "a2", "a3", "demo"]);

    let tag = admin
        .root(&[], "/tenants/a1")
        .header("etag")
        .unwrap()
        .to_owned();
    let alter = |tag: &str, body: &str| {
        let known = format!("If-Match: {tag}");
        let words = [&["-H", &known][..], &admin_door::json("PATCH", body)].concat();
        admin.root(&words, "/tenants/a1")
    };
    let body = r#"{"quota_bytes":null,"quota_files":7,"sessions":3,"disabled":true}"#;
    let changed = alter(&tag, body);
    assert_eq!(changed.status, 200, "{}", changed.text());
    let shown = changed.json();
    assert!(shown["quota_bytes"].is_null());
    let figures = [
        &shown["quota_files"],
        &shown["sessions"],
        &shown["retention_seconds"],
    ];
    assert_eq!(figures.map(Value::as_u64), [Some(7), Some(3), Some(60)]);
    assert_eq!(shown["disabled"], true);
    let late = alter(&tag, r#"{"disabled":false}"#);
    assert_eq!((late.status, late.problem().as_str()), (412, "changed"));
    let tag = changed.header("etag").unwrap();
    assert_eq!(
        alter(tag, r#"{"disabled":false}"#).json()["disabled"],
        false
    );
    assert_eq!(alter("*", r#"{"region":"nowhere"}"#).status, 404);
    assert_eq!(alter("nonsense", "{}").status, 400);
    assert_eq!(
        alter("*", r#"{"quota":5}"#).status,
        400,
        "a word that is none"
    );

    let twice = admin.root(&admin_door::json("POST", r#"{"name":"a1"}"#), "/tenants");
    assert_eq!(
        (twice.status, twice.problem().as_str()),
        (409, "already-exists")
    );
    for name in ["nobody", "No", "a%2Fb", "%00"] {
        let missing = admin.root(&[], &format!("/tenants/{name}"));
        assert_eq!(
            (missing.status, missing.problem().as_str()),
            (404, "not-found"),
            "{name}"
        );
    }
}

#[test]
fn keys_are_destroyed_only_by_whoever_asks_twice() {
    let admin = AdminDoor::up();
    admin.done("POST", "/tenants", Some(r#"{"name":"acme"}"#));
    admin.account("acme", "ann", false);
    let put = [
        "--user",
        "ann@acme:long-secret",
        "-X",
        "PUT",
        "--data-binary",
        "x",
    ];
    assert_eq!(admin.door.ask(&put, "/api/v1/files/home/ann/f").status, 201);
    let path = "/tenants/acme/keys";
    assert_eq!(admin.done("POST", path, None).json()["version"], 2);
    assert_eq!(
        admin.root(&[], path).json()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        admin.done("POST", "/tenants/acme/keys/rewrap", None).json()["versions"],
        2
    );

    let destroy = |token: &str, tenant: &str, body: &Value| {
        let body = body.to_string();
        let path = format!("/tenants/{tenant}/keys/destroy");
        admin.by(token, &admin_door::json("POST", &body), &path)
    };
    let first = destroy(&admin.root, "acme", &json!({}));
    assert_eq!(first.status, 202);
    let code = json!({ "confirmation": first.json()["confirmation"] });
    let other = token(admin.server(), "other", "operator");
    for (token, tenant) in [(&other, "acme"), (&admin.root, "demo")] {
        assert_eq!(destroy(token, tenant, &code).status, 400, "{tenant}");
    }
    assert_eq!(
        destroy(&admin.root, "acme", &json!({ "confirmation": "1-00" })).status,
        400
    );
    assert_eq!(admin.root(&[], "/tenants/acme").json()["disabled"], false);
    let done = destroy(&admin.root, "acme", &code);
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json()["versions"], 2);
    assert_eq!(admin.root(&[], "/tenants/acme").json()["disabled"], true);
    assert_eq!(admin.root(&[], "/tenants/demo").json()["disabled"], false);
}

#[test]
fn the_audit_log_is_searched_exported_and_verified() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    for name in ["one", "two"] {
        let user = admin.door.user();
        let put = ["--user", &user, "-X", "PUT", "--data-binary", name];
        let path = format!("/api/v1/files/{name}.txt");
        assert_eq!(admin.door.ask(&put, &path).status, 201);
    }
    for _ in 0..3 {
        let wrong = ["--user", "ann@demo:wrong"];
        assert_eq!(admin.door.ask(&wrong, "/api/v1/me").status, 401);
    }
    admin.server().audit_with("three failures", |log| {
        log.matches(r#""kind":"login-failed""#).count() == 3
    });
    let found = |query: &str| {
        let answer = admin.root(&[], &format!("/tenants/demo/audit?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()
    };
    let count = |query: &str| found(query)["items"].as_array().unwrap().len();
    assert_eq!(count("kind=login-failed"), 3);
    assert_eq!(count("kind=login-failed&user=ann"), 3);
    assert_eq!(count("kind=login-failed&user=demo"), 0);
    assert_eq!(count("kind=store&path=/two.txt"), 1);
    assert_eq!(count("kind=store"), 2);
    assert!(count("address=127.0.0.1") > 3);
    assert_eq!(count("address=192.0.2.1"), 0);
    assert_eq!(count("from=2100-01-01T00:00:00Z"), 0);
    assert_eq!(count("to=2000-01-01T00:00:00Z"), 0);
    let all = count("from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z");
    assert_eq!(all, count(""));

    // In pages, newest first, each record once.
    let (mut numbers, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = found(&format!("limit=3{cursor}"));
        let items = page["items"].as_array().unwrap();
        numbers.extend(items.iter().map(|one| one["number"].as_i64().unwrap()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let newest = numbers[0];
    assert_eq!(numbers, (1..=newest).rev().collect::<Vec<_>>());

    let export = admin.root(&[], "/tenants/demo/audit/export");
    assert_eq!(export.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = export
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let by_cli = admin
        .server()
        .admin(&["audit", "list", "demo", "--after", "0", "--json"], "");
    let by_cli: Vec<Value> = serde_json::from_str(&by_cli).unwrap();
    assert_eq!(lines, by_cli[..lines.len()]);
    assert!(lines.len() >= numbers.len());
    // The command prints the same, byte for byte.
    let words = ["audit", "export", "demo"];
    let printed = admin.server().admin(&words, "");
    assert!(printed.starts_with(&export.text()), "{printed}");
    let words = ["audit", "export", "demo", "--kind", "login-failed"];
    let printed = admin.server().admin(&words, "");
    assert_eq!(printed.lines().count(), 3, "{printed}");
    let some = admin.root(&[], "/tenants/demo/audit/export?kind=login-failed");
    assert_eq!(some.text().lines().count(), 3);

    let verdict = admin.root(&[], "/tenants/demo/audit/verify").json();
    assert_eq!(verdict["whole"], true, "{verdict}");
    for query in ["from=yesterday", "limit=0", "cursor=x", "kind=%00"] {
        let refused = admin.root(&[], &format!("/tenants/demo/audit?{query}"));
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "invalid"),
            "{query}"
        );
    }
    assert_eq!(
        admin.root(&[], "/tenants/demo/audit?user=nobody").status,
        404
    );
}

#[test]
fn no_request_of_an_operator_is_answered_with_a_status_that_is_not_described() {
    let admin = AdminDoor::up();
    let mut command = Command::new(cached("schemathesis/bin/schemathesis"));
    let hooks = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/schemathesis_hooks.py"
    );
    command
        .env("SCHEMATHESIS_HOOKS", hooks)
        .args(["run", "--tls-verify", "false"])
        .args(["--header", &format!("Authorization: Bearer {}", admin.root)])
        .args(["--checks", CHECKS])
        // The operator's own is what all requests have.
        .args(["--generation-with-security-parameters", "false"])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "8",
        ])
        .args(["--seed", "7", "--generation-database", "none", "--no-color"])
        .args(["--url", &admin.url("")])
        .arg(admin.url("/api/v1/openapi.json"));
    let ran = run(command, "");
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{errors}");
}

#[test]
fn up_says_where_operators_are_let_in_and_a_configured_server_lets_none_in() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let address = server.ready.listeners.admin.unwrap();
    assert!(address.ip().is_loopback());
    // It is shown once the server is ready.
    wait_for(
        "where operators are let in",
        Duration::from_secs(20),
        || {
            let banner = fs::read_to_string(folder.join("data.banner")).ok()?;
            let (there, how) = (
                format!("https://{address}/api/v1/"),
                "sealift admin token create",
            );
            (banner.contains(&there) && banner.contains(how)).then_some(())
        },
    );
    assert!(
        server
            .admin(&["account", "list", "--json"], "")
            .contains(DEMO)
    );
    server.stop();
}
