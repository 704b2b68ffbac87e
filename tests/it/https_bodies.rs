//! Bodies and queries that do not fit: refused, and told why in the words of JSON.

use serde_json::{Value, json};

use crate::support::admin_door::{self, AdminDoor};
use crate::support::hooked::Hooked;
use crate::support::https_door::{Answer, HttpsDoor};

#[track_caller]
fn refused(answer: &Answer, why: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.problem(), "invalid");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(why), "{detail}");
}

#[test]
fn an_array_is_no_object_by_position() {
    let admin = AdminDoor::up();
    admin.account("demo", "cat", false);
    let cat = "/tenants/demo/accounts/cat";
    let before = admin.root(&[], cat).json();
    for body in ["[true]", " [true]", "true", "null", "\"disabled\"", "1", ""] {
        let answer = admin.root(&admin_door::json("PATCH", body), cat);
        refused(&answer, "must be a JSON object");
    }
    let answer = admin.root(&admin_door::json("PATCH", "{} {}"), cat);
    refused(&answer, "something follows");
    assert_eq!(admin.root(&[], cat).json(), before);
    let door = &admin.door;
    door.put("/a", "a", &[]);
    let login = json!(["demo@demo", door.server.password()]).to_string();
    for (method, path, body) in [
        ("POST", "/move", r#"["/a","/b",true]"#),
        ("POST", "/sessions", &login),
        ("POST", "/shares", r#"["/a"]"#),
        ("POST", "/tokens", r#"["a",["account"],60]"#),
        ("PATCH", "/entries/a", r#"["2000-01-01T00:00:00Z"]"#),
    ] {
        refused(&door.send(method, path, body, &[]), "must be a JSON object");
    }
    assert_eq!(door.demo(&[], "/api/v1/entries/a").status, 200);
}

#[test]
fn a_field_that_is_not_known_is_refused_by_every_body() {
    let door = HttpsDoor::up();
    let login =
        json!({ "login": "demo@demo", "password": door.server.password(), "remember": true });
    for (path, body, fields) in [
        ("/sessions", login, "'login', 'password', 'code', 'pending'"),
        (
            "/tokens",
            json!({ "name": "a", "scopes": ["account"], "remember": 1 }),
            "'name', 'scopes', 'expires_in'",
        ),
        ("/me/keys", json!({ "key": "a", "remember": 1 }), "'key'"),
        (
            "/me/password",
            json!({ "old": "a", "new": "b", "remember": 1 }),
            "'old' or 'new'",
        ),
    ] {
        let answer = door.send("POST", path, &body.to_string(), &[]);
        let why = format!("the body takes no 'remember'; it takes {fields} (line 1, column ");
        refused(&answer, &why);
    }
}

#[test]
fn what_does_not_fit_is_told_in_the_words_of_json() {
    let admin = AdminDoor::up();
    let door = &admin.door;
    let send = |path: &str, body: &str| door.send("POST", path, body, &[]);
    for (path, body, why) in [
        (
            "/move",
            r#"{"from":1,"to":"/b"}"#,
            "'from' must be a string, not 1 (line 1, column 9)",
        ),
        ("/move", r#"{"from":"/a"}"#, "'to' is missing"),
        (
            "/move",
            r#"{"from":"/a","to":"/b","overwrite":"yes"}"#,
            "'overwrite' must be true or false, not a string",
        ),
        (
            "/shares",
            r#"{"path":"/a","kind":"both"}"#,
            "'kind' must be 'download' or 'upload', not 'both'",
        ),
        (
            "/shares",
            r#"{"path":"/a","kind":7}"#,
            "'kind' must be a string",
        ),
        (
            "/shares",
            r#"{"path":"/a","patterns":"*"}"#,
            "'patterns' must be an array, not a string",
        ),
        ("/shares", r#"{"path""#, "ends in the middle of the JSON"),
        ("/shares", r#"{path}"#, "the body is no JSON"),
    ] {
        refused(&send(path, body), why);
    }
    let tenant = |body: &str| admin.root(&admin_door::json("PATCH", body), "/tenants/demo");
    let whole = "must be a whole number of 0 or more";
    refused(
        &tenant(r#"{"quota_bytes":-1}"#),
        &format!("'quota_bytes' {whole}, not -1"),
    );
    refused(
        &tenant(r#"{"sessions":{}}"#),
        &format!("'sessions' {whole}, not an object"),
    );
    let most = tenant(r#"{"quota_files":9223372036854775808}"#);
    refused(&most, "'quota_files': a limit is at most");
    let grant = r#"{"user":"demo","path":"/","rights":7}"#;
    let grant = admin.root(&admin_door::json("PUT", grant), "/tenants/demo/grants");
    refused(&grant, "'rights' is a text such as");

    for (query, why) in [
        (
            "/folders?limit=many",
            "'limit' must be a whole number, in digits",
        ),
        ("/folders?limit=1&limit=2", "'limit' is there twice"),
        (
            "/folders?limit=4294967296",
            "'limit' is a number out of all bounds",
        ),
        ("/search", "'name' is missing"),
        ("/files/a?inline=yes", "'inline' must be true or false"),
    ] {
        refused(&door.demo(&[], &format!("/api/v1{query}")), why);
    }
    for filter in ["address=x", "address=", "address=192.0.2.0/24"] {
        for path in ["audit", "audit/export"] {
            let answer = admin.root(&[], &format!("/tenants/demo/{path}?{filter}"));
            refused(&answer, "'address' is an IP address");
        }
    }
    for name in ["", "A", "-a"] {
        let body = json!({ "name": name }).to_string();
        let answer = admin.root(&admin_door::json("POST", &body), "/tenants/demo/groups");
        refused(&answer, "a group's name is 1 to 128 of");
    }
}

#[test]
fn a_webhook_was_made_when_its_answer_says() {
    let hooked = Hooked::up();
    let new = json!({ "name": "hook", "url": "http://127.0.0.1:9/", "events": ["all"] });
    let body = new.to_string();
    let made: Value = hooked
        .ask(&admin_door::json("POST", &body), "/webhooks")
        .json();
    let id = made["id"].as_str().unwrap();
    let shown: Value = hooked.ask(&[], &format!("/webhooks/{id}")).json();
    assert!(made["made_at"].is_string(), "{made}");
    assert_eq!(made["made_at"], shown["made_at"]);
}
