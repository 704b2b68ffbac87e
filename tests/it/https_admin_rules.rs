//! What administration refuses, whoever asks: what would outlast a token, and values that mean nothing or too much.

use serde_json::{Value, json};

use crate::support::admin_door::{self, AdminDoor};
use crate::support::https_door::Answer;

/// What a token of an account that administers demo is answered.
fn by_token(admin: &AdminDoor, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Authorization: Bearer {token}");
    let body = body.to_string();
    let words = [&["-H", &bearer][..], &admin_door::json(method, &body)].concat();
    admin.door.ask(&words, &format!("/api/v1/admin{path}"))
}

#[test]
fn a_token_for_administration_does_not_open_or_widen_its_own_account() {
    let admin = AdminDoor::up();
    admin.account("demo", "boss", true);
    admin.account("demo", "ann", false);
    for group in ["crew", "others"] {
        let body = json!({ "name": group }).to_string();
        admin.done("POST", "/tenants/demo/groups", Some(&body));
    }
    admin.done("PUT", "/tenants/demo/groups/crew/members/boss", None);
    let new = json!({ "name": "a", "scopes": ["admin"] }).to_string();
    let words = [
        &["--user", "boss@demo:long-secret"][..],
        &admin_door::json("POST", &new),
    ]
    .concat();
    let made = admin.door.ask(&words, "/api/v1/tokens").json();
    let token = made["token"].as_str().unwrap();
    let ask = |method: &str, path: &str, body: &Value| by_token(&admin, token, method, path, body);

    let changes = [
        json!({ "principals": ["ops"] }),
        json!({ "principals": null }),
        json!({ "methods": null }),
        json!({ "methods": ["publickey"] }),
        json!({ "networks": null }),
        json!({ "networks": ["0.0.0.0/0"] }),
        json!({ "appended_code": true }),
        json!({ "home": "/" }),
        json!({ "ceiling": "all" }),
        json!({ "disabled": false }),
        json!({ "quota_files": 5, "ceiling": "all" }),
    ];
    for change in &changes {
        let refused = ask("PATCH", "/accounts/boss", change);
        let told = (refused.status, refused.problem());
        assert_eq!(
            told,
            (403, "scope".to_owned()),
            "{change}: {}",
            refused.text()
        );
        assert!(refused.text().contains("log in with the password"));
        let other = ask("PATCH", "/accounts/ann", change);
        assert_eq!(other.status, 200, "{change}: {}", other.text());
    }
    let shown = admin.root(&[], "/tenants/demo/accounts/boss").json();
    assert_eq!(shown["quota_files"], Value::Null);
    // What its account may take up, and that it is kept out, are no doors.
    let narrowed = ask("PATCH", "/accounts/boss", &json!({ "quota_files": 1_000 }));
    assert_eq!(narrowed.status, 200, "{}", narrowed.text());

    let grant = |subject: &str, name: &str| json!({ subject: name, "path": "/", "rights": "all" });
    for (method, path, body) in [
        ("PUT", "/grants", grant("user", "boss")),
        ("PUT", "/grants", grant("group", "crew")),
        ("PUT", "/groups/others/members/boss", json!({})),
    ] {
        let refused = ask(method, path, &body);
        let told = (refused.status, refused.problem());
        assert_eq!(told, (403, "scope".to_owned()), "{path} {body}");
    }
    for (path, body) in [
        ("/grants", grant("user", "ann")),
        ("/grants", grant("group", "others")),
        ("/groups/crew/members/ann", json!({})),
    ] {
        let other = ask("PUT", path, &body);
        assert_eq!(other.status, 204, "{path} {body}: {}", other.text());
    }
    // By the password it does.
    let body = changes[0].to_string();
    let words = admin_door::json("PATCH", &body);
    let own = admin.account_asks("boss@demo", &words, "/accounts/boss");
    assert_eq!(own.status, 200, "{}", own.text());
    admin.server().audit_with("the refusals", |log| {
        log.contains("changing by a token what opens its own account")
    });
}

#[test]
fn options_for_ftp_that_it_does_not_know_are_refused() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    for path in ["/tenants/demo", "/tenants/demo/accounts/ann"] {
        let alter = |options: &str| {
            let body = json!({ "door_options": options, "quota_files": 7 }).to_string();
            admin.root(&admin_door::json("PATCH", &body), path)
        };
        for (options, says) in [
            (
                "login-tls=requierd",
                "login-tls=required or login-tls=by-account",
            ),
            ("data-tls=required stall", "stall= and a number"),
            ("nonsense", "'nonsense' is not right"),
        ] {
            let refused = alter(options);
            assert_eq!(
                (refused.status, refused.problem().as_str()),
                (400, "invalid")
            );
            assert!(refused.text().contains(says), "{}", refused.text());
            let shown = admin.root(&[], path).json();
            assert_eq!(
                (&shown["door_options"], &shown["quota_files"]),
                (&Value::Null, &Value::Null)
            );
        }
        assert_eq!(alter("login-tls=required stall=90s").status, 200);
    }
}

#[test]
fn an_empty_list_lifts_no_limit_and_no_limit_is_stored_as_another() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    let ann = "/tenants/demo/accounts/ann";
    let alter =
        |path: &str, body: &Value| admin.root(&admin_door::json("PATCH", &body.to_string()), path);
    let set = json!({ "networks": ["192.0.2.0/24"], "principals": ["ops"] });
    assert_eq!(alter(ann, &set).status, 200);
    for name in ["networks", "principals"] {
        let refused = alter(ann, &json!({ name: [] }));
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "invalid")
        );
        assert!(
            refused.text().contains("null lifts the limit"),
            "{}",
            refused.text()
        );
        let kept = admin.root(&[], ann).json();
        assert_eq!(kept[name], set[name], "{name}");
    }
    let most = i64::MAX.unsigned_abs();
    for path in [ann, "/tenants/demo"] {
        for name in ["quota_bytes", "quota_files", "sessions"] {
            let refused = alter(path, &json!({ name: most + 1 }));
            assert_eq!(refused.status, 400, "{path} {name}");
            assert!(refused.text().contains("at most"), "{}", refused.text());
        }
        let set = alter(path, &json!({ "quota_bytes": most }));
        assert_eq!(set.json()["quota_bytes"], most, "{}", set.text());
    }
    for (path, body) in [
        (
            "/tenants",
            json!({ "name": "acme", "quota_files": most + 1 }),
        ),
        (
            "/tenants/demo/accounts",
            json!({ "user": "bob", "quota_bytes": most + 1 }),
        ),
    ] {
        let refused = admin.root(&admin_door::json("POST", &body.to_string()), path);
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
    }
}

#[test]
fn what_needs_a_tenant_s_keys_is_refused_once_they_are_destroyed() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    let destroy = "/tenants/demo/keys/destroy";
    let first = admin.done("POST", destroy, Some("{}")).json();
    let code = json!({ "confirmation": first["confirmation"] }).to_string();
    admin.done("POST", destroy, Some(&code));
    let hook = json!({ "name": "a", "url": "https://1.1.1.1/", "events": ["all"] });
    for (path, body) in [
        ("/keys", json!({})),
        ("/keys/rewrap", json!({})),
        ("/accounts/ann/second-factor", json!({})),
        ("/webhooks", hook),
    ] {
        let body = body.to_string();
        let refused = admin.root(
            &admin_door::json("POST", &body),
            &format!("/tenants/demo{path}"),
        );
        let told = (refused.status, refused.problem());
        assert_eq!(
            told,
            (400, "invalid".to_owned()),
            "{path}: {}",
            refused.text()
        );
        let says = "the keys of this tenant were destroyed at";
        assert!(refused.text().contains(says), "{path}: {}", refused.text());
    }
}
