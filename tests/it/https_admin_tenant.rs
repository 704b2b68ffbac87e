//! Administrators of a tenant: what they do, and that it is their own tenant's.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::admin_door::{self, AdminDoor};
use crate::support::https_door::Answer;
use crate::support::server::sealift;
use crate::support::wait::wait_for;
use crate::support::web_client::{Browser, post};

const SOON: Duration = Duration::from_secs(20);

/// A server with the tenants demo and bolt, each with an administrator `chief` and an account `ann`.
fn two_tenants() -> AdminDoor {
    let admin = AdminDoor::up();
    admin.done("POST", "/tenants", Some(r#"{"name":"bolt"}"#));
    for tenant in ["demo", "bolt"] {
        admin.account(tenant, "chief", true);
        admin.account(tenant, "ann", false);
    }
    admin.account("bolt", "carl", false);
    admin
}

const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl laptop";
const CHIEF: &str = "chief@demo";

#[test]
fn null_lifts_what_can_be_lifted_and_is_refused_of_the_rest() {
    let admin = two_tenants();
    let alter =
        |path: &str, body: &Value| admin.root(&admin_door::json("PATCH", &body.to_string()), path);
    let ann = "/tenants/demo/accounts/ann";
    let limits = json!({
        "networks": ["127.0.0.0/8"], "principals": ["ann@example"], "methods": ["password"], "sessions": 5,
        "quota_bytes": 5, "quota_files": 5, "door_options": "stall=60s",
    });
    let set = alter(ann, &limits);
    assert_eq!(set.status, 200, "{}", set.text());
    for (name, limit) in limits.as_object().unwrap() {
        assert_eq!(&set.json()[name], limit, "{name}");
        let lifted = alter(ann, &json!({ name: null }));
        assert_eq!(lifted.status, 200, "{name}: {}", lifted.text());
        assert_eq!(lifted.json()[name], Value::Null, "{name}");
    }
    let of_accounts = [
        "disabled",
        "administrator",
        "home",
        "ceiling",
        "appended_code",
        "clear_text",
    ];
    let of_tenants = ["disabled", "retention_seconds", "region"];
    let all = of_accounts.iter().map(|name| (ann, name));
    for (path, name) in all.chain(of_tenants.iter().map(|name| ("/tenants/demo", name))) {
        // Nothing of it is done, not what can be either.
        let refused = alter(path, &json!({ *name: null, "quota_files": 7 }));
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "invalid"),
            "{path} {name}"
        );
        let named = format!("'{name}' cannot be null");
        assert!(refused.text().contains(&named), "{}", refused.text());
        assert_eq!(admin.root(&[], path).json()["quota_files"], Value::Null);
    }
    let body = r#"{"networks":null}"#;
    let own = admin.account_asks(CHIEF, &admin_door::json("PATCH", body), "/accounts/ann");
    assert_eq!(own.status, 200, "{}", own.text());
}

#[test]
fn administrators_do_to_their_tenant_what_operators_do_but_govern_it() {
    let admin = two_tenants();
    let ask = |words: &[&str], path: &str| admin.account_asks(CHIEF, words, path);
    let send = |method: &str, path: &str, body: &Value| {
        let body = body.to_string();
        ask(&admin_door::json(method, &body), path)
    };
    let done = |answer: Answer| {
        assert!((200..300).contains(&answer.status), "{}", answer.text());
        answer
    };
    let made = done(send(
        "POST",
        "/accounts",
        &json!({ "user": "ben", "password": "long-secret" }),
    ));
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["login"], "ben@demo");
    let names: Vec<_> = done(ask(&[], "/accounts")).json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["user"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["ann", "ben", "chief", "demo"]);
    let tag = done(ask(&[], "/accounts/ben"))
        .header("etag")
        .unwrap()
        .to_owned();
    let known = format!("If-Match: {tag}");
    let alter = |body: &str| {
        let words = [&["-H", &known][..], &admin_door::json("PATCH", body)].concat();
        ask(&words, "/accounts/ben")
    };
    let altered = done(alter(
        r#"{"ceiling":"read-only","sessions":5,"networks":["127.0.0.0/8"]}"#,
    ));
    assert_eq!(altered.json()["ceiling"], "list,read");
    assert_eq!(altered.json()["networks"], json!(["127.0.0.0/8"]));
    assert_eq!(alter(r#"{"disabled":true}"#).status, 412);
    done(send("PATCH", "/accounts/ben", &json!({ "disabled": true })));
    assert_eq!(admin.account_asks("ben@demo", &[], "/accounts").status, 401);
    done(send(
        "PATCH",
        "/accounts/ben",
        &json!({ "disabled": false }),
    ));
    done(send(
        "PUT",
        "/accounts/ben/password",
        &json!({ "password": "long-secret" }),
    ));
    let factor = done(ask(&["-X", "POST"], "/accounts/ben/second-factor")).json();
    assert!(factor["uri"].as_str().unwrap().starts_with("otpauth://"));
    done(ask(&["-X", "DELETE"], "/accounts/ben/second-factor"));
    done(ask(&["-X", "POST"], "/accounts/ben/unlock"));
    done(send("POST", "/groups", &json!({ "name": "staff" })));
    done(ask(&["-X", "PUT"], "/groups/staff/members/ben"));
    assert_eq!(
        done(ask(&[], "/groups/staff")).json()["members"],
        json!(["ben"])
    );
    let grant = json!({ "group": "staff", "path": "/in", "rights": "list,read" });
    done(send("PUT", "/grants", &grant));
    let words = json!({ "group": "staff", "path": "/in", "rights": ["list", "read"] });
    done(send("PUT", "/grants", &words));
    let neither = json!({ "group": "staff", "path": "/in", "rights": 3 });
    let refused = send("PUT", "/grants", &neither);
    assert!(
        refused.json()["detail"]
            .to_string()
            .contains("array of such words")
    );
    assert!(
        done(ask(&[], "/grants")).json()["items"]
            .as_array()
            .unwrap()
            .contains(
                &json!({ "user": null, "group": "staff", "path": "/in", "rights": "list,read" })
            )
    );
    done(ask(&["-X", "DELETE"], "/accounts/ben"));
    assert_eq!(ask(&[], "/accounts/ben").status, 404);
    done(ask(&[], "/audit?kind=account-add"));
    assert!(
        done(ask(&[], "/audit/export"))
            .text()
            .contains("account-remove")
    );
    done(ask(&[], "/sessions"));

    // What only operators do.
    for body in [
        json!({ "administrator": true }),
        json!({ "clear_text": true }),
        json!({ "door_options": "stall=60s" }),
    ] {
        let refused = send("PATCH", "/accounts/ann", &body);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (403, "denied"),
            "{body}"
        );
    }
    let chief = json!({ "user": "x", "administrator": true });
    assert_eq!(send("POST", "/accounts", &chief).status, 403);
    for path in ["/tenants", "/keys", "/tenants/demo"] {
        assert_eq!(ask(&[], path).status, 404, "{path}");
    }
    admin.server().audit_with("who did it", |log| {
        log.contains("making an account an administrator") && !log.contains("ben@demo (by operator")
    });
}

#[test]
fn a_path_with_dots_in_it_gives_nothing_away() {
    let admin = two_tenants();
    let refused = |method: &str, path: &str, body: Value| {
        let body = body.to_string();
        let answer = admin.account_asks(CHIEF, &admin_door::json(method, &body), path);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid"));
        assert!(answer.text().contains("'..'"), "{}", answer.text());
    };
    // As a script has it that puts an empty name, or one of two dots, into a path.
    for home in ["/customers/../", "/home/../..", "/home/."] {
        let wanted = json!({ "user": "ben", "password": "long-secret", "home": home });
        refused("POST", "/accounts", wanted);
        refused("PATCH", "/accounts/ann", json!({ "home": home }));
        let grant = json!({ "user": "ann", "path": home, "rights": "list,read" });
        refused("PUT", "/grants", grant);
    }
    let line = [
        "account",
        "add",
        "ben@demo",
        "--no-password",
        "--home",
        "/home/../..",
    ];
    let data = admin.server().data().to_str().unwrap();
    let ran = sealift(&[&line[..], &["--data", data]].concat(), "");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && said.contains("'..'"), "{said}");
}

#[test]
fn an_administrator_reaches_nothing_of_another_tenant() {
    let admin = two_tenants();
    let ask = |words: &[&str], path: &str| admin.account_asks(CHIEF, words, path);
    // The same as what does not exist, whatever it is called.
    for path in [
        "/accounts/carl",
        "/accounts/carl@bolt",
        "/accounts/nobody",
        "/accounts/nobody@bolt",
        "/accounts/carl%40bolt",
        "/accounts/..%2F..%2Ftenants%2Fbolt",
        "/accounts/%00",
    ] {
        for words in [&[][..], &["-X", "DELETE"]] {
            let answer = ask(words, path);
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (404, "not-found"),
                "{path}"
            );
            assert!(
                answer.text().contains("there is no account"),
                "{}",
                answer.text()
            );
        }
        let password = admin_door::json("PUT", r#"{"password":"mine from now on"}"#);
        assert_eq!(
            ask(&password, &format!("{path}/password")).status,
            404,
            "{path}"
        );
        for tail in ["/unlock", "/second-factor"] {
            assert_eq!(
                ask(&["-X", "POST"], &format!("{path}{tail}")).status,
                404,
                "{path}"
            );
        }
    }
    admin.done("POST", "/tenants/bolt/groups", Some(r#"{"name":"crew"}"#));
    for path in ["/groups/crew", "/groups/crew@bolt", "/groups/none"] {
        assert_eq!(ask(&[], path).status, 404, "{path}");
        assert_eq!(
            ask(&["-X", "PUT"], &format!("{path}/members/ann")).status,
            404
        );
    }
    let grant = json!({ "user": "carl", "path": "/", "rights": "all" }).to_string();
    assert_eq!(ask(&admin_door::json("PUT", &grant), "/grants").status, 404);
    assert_eq!(ask(&[], "/audit?user=carl").status, 404);
    assert_eq!(ask(&[], "/sessions?user=carl").status, 404);

    // A session of the other tenant's, by its very id.
    let browser = Browser::log_in(&admin.door, "carl@bolt", "long-secret");
    let current = browser.ask(&[], "/api/v1/sessions/current").json();
    let id = current["session"]["id"].as_str().unwrap();
    assert_eq!(
        ask(&["-X", "DELETE"], &format!("/sessions/{id}")).status,
        404
    );
    assert_eq!(browser.ask(&[], "/api/v1/me").status, 200);
    for path in [
        "/accounts",
        "/groups",
        "/grants",
        "/sessions",
        "/audit",
        "/audit/export",
    ] {
        let text = ask(&[], path).text();
        for other in ["bolt", "carl", "crew"] {
            assert!(!text.contains(other), "{path}: {text}");
        }
    }
    // Whatever the query or the headers say.
    let listed = ask(&["-H", "X-Tenant: bolt"], "/accounts?tenant=bolt").text();
    assert!(!listed.contains("bolt"));
}

#[test]
fn an_account_or_token_that_does_not_administer_is_refused() {
    let admin = two_tenants();
    let refused = admin.account_asks("ann@demo", &[], "/accounts");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (403, "denied")
    );
    assert_eq!(admin.door.ask(&[], "/api/v1/admin/accounts").status, 401);
    admin.server().audit_with("the refusal", |log| {
        log.contains(r#""kind":"admin-refused""#) && log.contains("GET /api/v1/admin/accounts")
    });

    let token = |login: &str, scopes: Value| {
        let user = format!("{login}:long-secret");
        let body = json!({ "name": "t", "scopes": scopes }).to_string();
        post(&admin.door, &["--user", &user], "/api/v1/tokens", &body)
    };
    let by = |answer: &Answer, path: &str| {
        assert_eq!(answer.status, 201, "{}", answer.text());
        let bearer = format!(
            "Authorization: Bearer {}",
            answer.json()["token"].as_str().unwrap()
        );
        admin.door.ask(&["-H", &bearer], path)
    };
    let (files, office) = (
        token(CHIEF, json!(["files:read", "account"])),
        token(CHIEF, json!(["admin"])),
    );
    let path = "/api/v1/admin/accounts";
    assert_eq!(by(&files, path).problem(), "scope");
    assert_eq!(by(&office, path).status, 200);
    assert_eq!(by(&office, "/api/v1/tokens").problem(), "scope");
    assert_eq!(token("ann@demo", json!(["admin"])).status, 403);

    // Who loses the office loses it with all tokens.
    let body = Some(r#"{"administrator":false}"#);
    admin.done("PATCH", "/tenants/demo/accounts/chief", body);
    wait_for("the account's sessions to end", SOON, || {
        let refused = admin.account_asks(CHIEF, &[], "/accounts");
        (refused.status == 403).then(|| assert_eq!(refused.problem(), "denied"))
    });
    let was = "the token's account does not administer any more";
    wait_for(was, SOON, || {
        (by(&office, path).status == 403).then_some(())
    });
    let account = ["account", "set", CHIEF, "--administrator", "true"];
    admin.server().admin(&account, "");
    wait_for("the account to administer again", SOON, || {
        (admin.account_asks(CHIEF, &[], "/accounts").status == 200).then_some(())
    });
    let listed = admin.server().admin(&["account", "list", "demo"], "");
    assert!(listed.contains("administrator"), "{listed}");
}

#[test]
fn a_browser_administers_only_from_pages_of_the_server() {
    let admin = two_tenants();
    let browser = Browser::log_in(&admin.door, CHIEF, "long-secret");
    let path = "/api/v1/admin/groups";
    assert_eq!(browser.ask(&[], path).status, 200);
    let body = r#"{"name":"forged"}"#;
    let words = admin_door::json("POST", body);
    assert_eq!(browser.ask(&words, path).problem(), "csrf");
    assert_eq!(browser.send("POST", path, body).status, 201);
}

#[test]
fn the_number_of_a_removed_account_is_never_another_s() {
    let admin = two_tenants();
    admin.account("demo", "last", false);
    let put = [
        "--user",
        "last@demo:long-secret",
        "-X",
        "PUT",
        "--data-binary",
        "kept",
    ];
    assert_eq!(
        admin.door.ask(&put, "/api/v1/files/home/last/f").status,
        201
    );
    let number = |user: &str| {
        let log = admin
            .server()
            .admin(&["audit", "list", "demo", "--after", "0", "--json"], "");
        let log: Vec<Value> = serde_json::from_str(&log).unwrap();
        let login = format!("{user}@demo ");
        let mut logins = log.iter().filter(|one| one["kind"] == "login");
        let found = logins.find(|one| one["detail"].as_str().unwrap().starts_with(&login));
        found.map(|one| one["account"].as_i64().unwrap())
    };
    admin
        .server()
        .audit_with("the login", |_| number("last").is_some());
    let first = number("last").unwrap();
    admin
        .server()
        .admin(&["account", "remove", "last@demo"], "");
    wait_for("its session to end", SOON, || {
        let answer = admin.account_asks("last@demo", &[], "/accounts");
        (answer.status == 401).then_some(())
    });
    admin.account("demo", "later", false);
    assert_eq!(
        admin.account_asks("later@demo", &[], "/accounts").status,
        403
    );
    admin
        .server()
        .audit_with("the login", |_| number("later").is_some());
    assert_ne!(number("later").unwrap(), first);
    // Its files are there, and the books are right.
    assert_eq!(
        admin.door.demo(&[], "/api/v1/files/home/last/f").text(),
        "kept"
    );
    let checked = admin.server().admin(&["fsck", "--json"], "");
    assert!(checked.contains(r#""clean":true"#), "{checked}");
}

#[test]
fn a_password_that_was_changed_lets_nobody_in_any_more() {
    let admin = two_tenants();
    let me = |password: &str| {
        let user = format!("ann@demo:{password}");
        admin.door.ask(&["--user", &user], "/api/v1/me").status
    };
    let mut old = "long-secret".to_owned();
    for round in 0..6 {
        assert_eq!(me(&old), 200);
        let new = format!("secret {round}");
        let body = json!({ "password": new }).to_string();
        match round % 2 {
            0 => {
                let words = admin_door::json("PUT", &body);
                let set = admin.account_asks(CHIEF, &words, "/accounts/ann/password");
                assert_eq!(set.status, 204, "{}", set.text());
            }
            _ => drop(admin.done("PUT", "/tenants/demo/accounts/ann/password", Some(&body))),
        }
        assert_eq!(me(&old), 401, "at once, on the same instance");
        old = new;
    }
}

#[test]
fn what_a_removed_account_did_is_found_by_its_number() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    let me = ["--user", "ann@demo:long-secret"];
    assert_eq!(admin.door.ask(&me, "/api/v1/me").status, 200);
    admin
        .server()
        .audit_with("the login", |log| log.contains("ann@demo by password"));
    admin.done("DELETE", "/tenants/demo/accounts/ann", None);
    let ask = |query: &str| admin.root(&[], &format!("/tenants/demo/audit?{query}"));
    let unknown = ask("user=ann");
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.text().contains("account-remove"),
        "{}",
        unknown.text()
    );
    let items = |query: &str| ask(query).json()["items"].as_array().unwrap().clone();
    let removal = items("kind=account-remove");
    let removal = removal[0]["detail"].as_str().unwrap();
    let (_, number) = removal.split_once("ann@demo: number ").unwrap();
    let number = number.split(' ').next().unwrap();
    // The name is another account's now.
    admin.account("demo", "ann", false);
    assert_eq!(items("user=ann").len(), 0);
    let found = items(&format!("account={number}"));
    assert!(found.iter().any(|one| one["kind"] == "login"), "{found:?}");
    let number: i64 = number.parse().unwrap();
    assert!(found.iter().all(|one| one["account"] == number));
    let export = admin.root(&[], &format!("/tenants/demo/audit/export?account={number}"));
    assert_eq!(export.text().lines().count(), found.len());
    assert_eq!(ask(&format!("user=ann&account={number}")).status, 400);
    assert_eq!(ask("account=x").status, 400);
}

#[test]
fn a_token_for_administration_does_not_become_the_whole_account() {
    let admin = AdminDoor::up();
    admin.account("demo", "boss", true);
    admin.account("demo", "dan", true);
    admin.account("demo", "ann", false);
    let new = json!({ "name": "a", "scopes": ["admin"] }).to_string();
    let words = [
        &["--user", "boss@demo:long-secret"][..],
        &admin_door::json("POST", &new)[..],
    ]
    .concat();
    let made = admin.door.ask(&words, "/api/v1/tokens");
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let bearer = format!("Authorization: Bearer {}", made["token"].as_str().unwrap());
    let ask = |method: &str, path: &str, body: &str| {
        let words = [&["-H", &bearer][..], &admin_door::json(method, body)[..]].concat();
        let path = format!("/api/v1/admin/accounts/{path}");
        admin.door.ask(&words, &path)
    };
    let password = r#"{"password": "another-secret"}"#;
    let key = json!({ "key": PUBLIC_KEY }).to_string();
    let rule = r#"{"rule": "email:ann@acme.example"}"#;
    for user in ["boss", "dan"] {
        for (method, path, body) in [
            ("PUT", "/password", password),
            ("DELETE", "/password", ""),
            ("POST", "/ssh-keys", &key),
            ("POST", "/certificates", rule),
            ("POST", "/second-factor", ""),
            ("DELETE", "/second-factor", ""),
            ("PATCH", "", r#"{"methods": null}"#),
            ("PATCH", "", r#"{"networks": null}"#),
            ("PATCH", "", r#"{"principals": ["ann"]}"#),
            ("PATCH", "", r#"{"appended_code": true}"#),
            ("PATCH", "", r#"{"disabled": false}"#),
            ("DELETE", "", ""),
        ] {
            let refused = ask(method, &format!("{user}{path}"), body);
            assert_eq!(
                (refused.status, refused.problem().as_str()),
                (403, "scope"),
                "{method} {user}{path} {body}: {}",
                refused.text()
            );
        }
    }
    // What opens nothing it may change of another, and of who does not administer any more all.
    assert_eq!(ask("PATCH", "dan", r#"{"quota_files": 9}"#).status, 200);
    let body = Some(r#"{"administrator":false}"#);
    admin.done("PATCH", "/tenants/demo/accounts/dan", body);
    assert_eq!(ask("PUT", "dan/password", password).status, 204);
    assert_eq!(ask("DELETE", "dan", "").status, 204);
    assert_eq!(ask("PUT", "ann/password", password).status, 204);
    assert_eq!(ask("POST", "ann/ssh-keys", &key).status, 201);
    // By the password it does.
    let own = admin.account_asks(
        "boss@demo",
        &admin_door::json("POST", &key),
        "/accounts/boss/ssh-keys",
    );
    assert_eq!(own.status, 201, "{}", own.text());
    admin.server().audit_with("the refusals", |log| {
        log.contains("changing by a token what opens an account that administers the tenant")
    });
}

#[test]
fn an_administrator_sees_what_the_tenant_may_use_and_uses() {
    let admin = two_tenants();
    let limits = json!({ "quota_bytes": 1_000_000, "quota_files": 500, "retention_seconds": 60 });
    let path = "/tenants/demo";
    admin.done("PATCH", path, Some(&limits.to_string()));
    let quota = Some(r#"{"quota_bytes": 9000}"#);
    admin.done("PATCH", "/tenants/demo/accounts/ann", quota);
    let put = [
        "--user",
        "ann@demo:long-secret",
        "-X",
        "PUT",
        "--data-binary",
        "12345",
    ];
    let stored = admin.door.ask(&put, "/api/v1/files/home/ann/f");
    assert_eq!(stored.status, 201, "{}", stored.text());

    let shown = admin.account_asks(CHIEF, &[], "/tenant");
    assert_eq!(shown.status, 200, "{}", shown.text());
    let shown = shown.json();
    let whole = admin.root(&[], path).json();
    let all = shown.as_object().unwrap();
    assert_eq!(all.len(), 10, "{shown}");
    for (name, value) in all {
        assert_eq!(value, &whole[name], "{name}");
    }
    for (name, value) in limits.as_object().unwrap() {
        assert_eq!(&shown[name], value);
    }
    assert!(shown["used_bytes"].as_u64().unwrap() >= 5, "{shown}");
    assert_eq!(admin.account_asks("ann@demo", &[], "/tenant").status, 403);
    assert_eq!(admin.root(&[], "/tenants/demo/tenant").status, 404);

    let own = |login: &str, path: &str| {
        let user = format!("{login}:long-secret");
        let answer = admin.door.ask(&["--user", &user], path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    assert_eq!(own(CHIEF, "/api/v1/me")["administers"], true);
    assert_eq!(own("ann@demo", "/api/v1/me")["administers"], false);
    let expected = json!({
        "quota_bytes": 9000, "quota_files": null, "used_bytes": 5, "used_files": 1,
    });
    assert_eq!(own("ann@demo", "/api/v1/me/usage"), expected);
}

#[test]
fn a_folder_that_is_made_for_rights_is_told() {
    let admin = two_tenants();
    let give = |path: &str| {
        let body = json!({ "user": "ann", "path": path, "rights": "list,read" }).to_string();
        let words = admin_door::json("PUT", &body);
        admin.account_asks(CHIEF, &words, "/grants").status
    };
    assert_eq!(give("/invoices"), 201);
    assert_eq!(give("/invoices"), 204);
    assert_eq!(give("/"), 204);
    let add = |folder: &str| {
        let words = ["grant", "add", "ann@demo", folder, "list"];
        admin.server().admin(&words, "")
    };
    assert!(add("demo:/offers").starts_with("made the folder"));
    assert!(!add("demo:/offers").contains("made"));
}
