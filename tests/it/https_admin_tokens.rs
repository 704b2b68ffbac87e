//! Tokens and links of accounts, seen and revoked by whoever looks after the tenant.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::admin_door::AdminDoor;
use crate::support::https_door::Answer;
use crate::support::wait::wait_for;
use crate::support::web_client;

const SOON: Duration = Duration::from_secs(30);

/// What an account has made, and shows to nobody again.
struct Made {
    id: String,
    text: String,
}

/// Has an account make something.
#[track_caller]
fn make(admin: &AdminDoor, login: &str, path: &str, wanted: &Value) -> Made {
    let user = format!("{login}:long-secret");
    let path = format!("/api/v1{path}");
    let made = web_client::post(&admin.door, &["--user", &user], &path, &wanted.to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    Made {
        id: text("id"),
        text: text("token"),
    }
}

#[track_caller]
fn token(admin: &AdminDoor, login: &str, name: &str) -> Made {
    let wanted = json!({ "name": name, "scopes": ["files:read", "files:write", "account"] });
    make(admin, login, "/tokens", &wanted)
}

#[track_caller]
fn link(admin: &AdminDoor, login: &str, name: &str) -> Made {
    let home = format!("/home/{}", login.split('@').next().unwrap());
    make(
        admin,
        login,
        "/shares",
        &json!({ "path": home, "name": name }),
    )
}

fn by_token(admin: &AdminDoor, token: &Made) -> u16 {
    let bearer = format!("Authorization: Bearer {}", token.text);
    admin.door.ask(&["-H", &bearer], "/api/v1/me").status
}

fn by_link(admin: &AdminDoor, link: &Made) -> u16 {
    let path = format!("/api/v1/shared/{}", link.text);
    admin.door.ask(&[], &path).status
}

/// The names of what a list has, in its order.
#[track_caller]
fn names(list: &Answer) -> Vec<String> {
    assert_eq!(list.status, 200, "{}", list.text());
    let list = list.json();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn operators_and_administrators_see_and_revoke_what_accounts_have_made() {
    let admin = AdminDoor::up();
    for (user, administers) in [("ann", false), ("bob", false), ("chief", true)] {
        admin.account("demo", user, administers);
    }
    let (old, new) = (
        token(&admin, "ann@demo", "old"),
        token(&admin, "ann@demo", "new"),
    );
    let theirs = token(&admin, "bob@demo", "bob's");
    let (shared, other) = (
        link(&admin, "ann@demo", "shared"),
        link(&admin, "bob@demo", "other"),
    );
    assert_eq!(by_token(&admin, &old), 200);

    let at_both = |path: &str| {
        [
            admin.root(&[], &format!("/tenants/demo{path}")),
            admin.account_asks("chief@demo", &[], path),
        ]
    };
    for list in at_both("/tokens") {
        assert_eq!(names(&list), ["bob's", "new", "old"]);
        for made in [&old, &new, &theirs] {
            assert!(!list.text().contains(&made.text));
        }
        let last = &list.json()["items"][2];
        assert_eq!(
            (&last["id"], &last["login"]),
            (&json!(old.id), &json!("ann@demo"))
        );
        assert_eq!(
            last["scopes"],
            json!(["account", "files:read", "files:write"])
        );
        assert!(last["used_at"].is_string(), "{last}");
        assert_eq!(last["expires_at"], Value::Null);
    }
    for list in at_both("/tokens?user=ann") {
        assert_eq!(names(&list), ["new", "old"]);
    }
    for list in at_both("/links") {
        assert_eq!(names(&list), ["other", "shared"]);
        assert!(!list.text().contains(&shared.text));
        let last = &list.json()["items"][1];
        assert_eq!(last["login"], "ann@demo");
        assert_eq!(
            (&last["kind"], &last["state"]),
            (&json!("download"), &json!("live"))
        );
        assert_eq!(last["path"], "/home/ann");
    }
    for list in at_both("/links?user=bob") {
        assert_eq!(names(&list), ["other"]);
    }
    for list in at_both("/tokens?user=nobody") {
        assert_eq!(list.status, 404);
    }
    // In parts.
    let part = admin.root(&[], "/tenants/demo/tokens?limit=2");
    assert_eq!(names(&part), ["bob's", "new"]);
    let next = part.json()["next"].as_str().unwrap().to_owned();
    let part = admin.root(&[], &format!("/tenants/demo/tokens?limit=2&cursor={next}"));
    assert_eq!(names(&part), ["old"]);
    assert_eq!(part.json()["next"], Value::Null);

    // Nobody else.
    let stranger = admin.account_asks("ann@demo", &[], "/tokens");
    assert_eq!(stranger.status, 403);

    let path = format!("/tenants/demo/tokens/{}", old.id);
    admin.done("DELETE", &path, None);
    assert_eq!(by_token(&admin, &old), 401, "at once, on the same server");
    assert_eq!(admin.root(&["-X", "DELETE"], &path).status, 404);
    let path = format!("/tokens/{}", theirs.id);
    let revoked = admin.account_asks("chief@demo", &["-X", "DELETE"], &path);
    assert_eq!(revoked.status, 204, "{}", revoked.text());
    assert_eq!(by_token(&admin, &theirs), 401);
    assert_eq!(by_token(&admin, &new), 200, "and no other");

    assert_eq!(by_link(&admin, &shared), 200);
    let path = format!("/links/{}", shared.id);
    let revoked = admin.account_asks("chief@demo", &["-X", "DELETE"], &path);
    assert_eq!(revoked.status, 204, "{}", revoked.text());
    assert_eq!(by_link(&admin, &shared), 410);
    admin.done("DELETE", &format!("/tenants/demo/links/{}", other.id), None);
    assert_eq!(by_link(&admin, &other), 410);
    assert_eq!(names(&admin.root(&[], "/tenants/demo/links")).len(), 0);

    admin.server().audit_with("each end", |log| {
        [
            "ann@demo: 'old' (by operator root)",
            "bob@demo: 'bob's'",
            "ann@demo: download link 'shared'",
            "bob@demo: download link 'other'",
        ]
        .iter()
        .all(|record| log.contains(record))
    });
}

#[test]
fn what_another_tenants_accounts_have_made_is_not_there() {
    let admin = AdminDoor::up();
    admin.done("POST", "/tenants", Some(r#"{"name":"bolt"}"#));
    admin.account("demo", "ann", false);
    admin.account("bolt", "chief", true);
    let token = token(&admin, "ann@demo", "hers");
    let link = link(&admin, "ann@demo", "hers");
    for list in ["/tokens", "/links"] {
        let theirs = admin.account_asks("chief@bolt", &[], list);
        assert_eq!(names(&theirs).len(), 0);
        let theirs = admin.account_asks("chief@bolt", &[], &format!("{list}?user=ann"));
        assert_eq!(theirs.status, 404);
    }
    for path in [
        format!("/tokens/{}", token.id),
        format!("/links/{}", link.id),
    ] {
        let gone = ["-X", "DELETE"];
        let by_chief = admin.account_asks("chief@bolt", &gone, &path);
        assert_eq!(by_chief.status, 404, "{}", by_chief.text());
        let by_operator = admin.root(&gone, &format!("/tenants/bolt{path}"));
        assert_eq!(by_operator.status, 404, "{}", by_operator.text());
    }
    assert_eq!(by_token(&admin, &token), 200);
    assert_eq!(by_link(&admin, &link), 200);
}

#[test]
fn the_program_shows_and_revokes_them_beside_the_server() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    admin.account("demo", "bob", false);
    let (one, two) = (
        token(&admin, "ann@demo", "one"),
        token(&admin, "ann@demo", "two"),
    );
    let bobs = token(&admin, "bob@demo", "bobs");
    let shared = link(&admin, "ann@demo", "shared");
    let run = |words: &[&str]| {
        let said = admin
            .server()
            .admin(&[&["account"][..], words].concat(), "");
        for made in [&one, &two, &bobs, &shared] {
            assert!(!said.contains(&made.text));
        }
        said
    };
    let all: Value = serde_json::from_str(&run(&["token", "list", "demo", "--json"])).unwrap();
    let names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["bobs", "two", "one"]);
    let listed = run(&["token", "list", "ann@demo"]);
    assert!(
        listed.contains(&one.id) && !listed.contains(&bobs.id),
        "{listed}"
    );
    let listed = run(&["link", "list", "demo"]);
    assert!(
        listed.contains("/home/ann") && listed.contains("live"),
        "{listed}"
    );

    assert_eq!(by_token(&admin, &one), 200);
    run(&["token", "revoke", "ann@demo", &one.id]);
    wait_for("the token to be refused", SOON, || {
        (by_token(&admin, &one) == 401).then_some(())
    });
    assert_eq!(by_token(&admin, &two), 200);
    let said = run(&["token", "revoke", "ann@demo", "--all"]);
    assert!(said.contains("revoked 1 tokens of ann@demo"), "{said}");
    wait_for("the token to be refused", SOON, || {
        (by_token(&admin, &two) == 401).then_some(())
    });
    assert_eq!(by_link(&admin, &shared), 200);
    run(&["link", "revoke", "ann@demo", "--all"]);
    wait_for("the link to be refused", SOON, || {
        (by_link(&admin, &shared) == 410).then_some(())
    });
    assert_eq!(by_token(&admin, &bobs), 200);
}
