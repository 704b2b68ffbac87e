//! What an account does for itself: its password, its keys, what is written of it.

use std::time::Duration;

use serde_json::json;

use crate::support::https_door::HttpsDoor;
use crate::support::server::DEMO;
use crate::support::wait::wait_for;
use crate::support::web_client::{Browser, post, try_login};

const ME: &str = "/api/v1/me";
const KEYS: &str = "/api/v1/me/keys";
const PASSWORD: &str = "/api/v1/me/password";
const ACTIVITY: &str = "/api/v1/me/activity";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl laptop";

#[test]
fn a_new_password_needs_the_old_one_and_ends_all_sessions() {
    let door = HttpsDoor::up();
    let old = door.server.password();
    let browser = Browser::log_in(&door, DEMO, &old);
    let other = Browser::log_in(&door, DEMO, &old);
    let change = |old: &str, new: &str| {
        let body = json!({ "old": old, "new": new }).to_string();
        browser.send("POST", PASSWORD, &body)
    };
    assert_eq!(change("wrong", "a new one").status, 401);
    assert_eq!(change(&old, "").status, 400);
    let short = change(&old, "seven c");
    assert_eq!(short.status, 400);
    assert!(
        short
            .text()
            .contains("has fewer than 8 characters; give a longer one"),
        "{}",
        short.text()
    );
    assert_eq!(change(&old, &"a".repeat(5_000)).status, 400);
    let changed = change(&old, "a new one");
    assert_eq!(changed.status, 204, "{}", changed.text());
    for browser in [&browser, &other] {
        assert_eq!(
            browser.ask(&[], ME).status,
            401,
            "at once, on the same instance"
        );
    }
    assert_eq!(try_login(&door, DEMO, &old, &[]).status, 401);
    assert_eq!(try_login(&door, DEMO, "a new one", &[]).status, 201);
    let log = door.server.audit_with("the new password", |log| {
        log.contains(r#""kind":"account-password""#)
    });
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    let records = log.as_array().unwrap();
    let record = records
        .iter()
        .find(|record| record["kind"] == "account-password");
    let record = record.unwrap();
    assert_eq!(
        (&record["protocol"], &record["address"]),
        (&json!("https"), &json!("127.0.0.1"))
    );
    assert!(record["account"].is_number(), "{record}");
}

#[test]
fn guesses_at_the_old_password_lock_as_failed_logins_do() {
    let door = HttpsDoor::up();
    let browser = Browser::log_in(&door, DEMO, &door.server.password());
    let guess = json!({ "old": "wrong", "new": "x" }).to_string();
    let guesses: Vec<_> = (0..8)
        .map(|_| browser.send("POST", PASSWORD, &guess).status)
        .collect();
    assert_eq!(guesses[0], 401);
    assert_eq!(guesses[7], 429, "{guesses:?}");
}

#[test]
fn an_account_adds_and_takes_away_its_own_keys() {
    let door = HttpsDoor::up();
    let browser = Browser::log_in(&door, DEMO, &door.server.password());
    let body = json!({ "key": KEY }).to_string();
    let added = browser.send("POST", KEYS, &body);
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(added.json()["comment"], "laptop");
    assert_eq!(
        browser.send("POST", KEYS, &body).problem(),
        "already-exists"
    );
    let bad = json!({ "key": "ssh-rot13 AAAA" }).to_string();
    assert_eq!(browser.send("POST", KEYS, &bad).problem(), "invalid");
    let listed = browser.ask(&[], KEYS).json();
    let fingerprint = added.json()["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(listed["items"][0]["fingerprint"], fingerprint.as_str());
    let shown = door
        .server
        .admin(&["account", "key", "list", DEMO, "--json"], "");
    assert!(shown.contains(&fingerprint), "{shown}");
    let path = format!(
        "{KEYS}/{}",
        fingerprint.replace('/', "%2F").replace('+', "%2B")
    );
    assert_eq!(browser.page(&["-X", "DELETE"], &path).status, 204);
    // The sessions of the account have ended with it.
    let again = door.demo(&["-X", "DELETE"], &path);
    assert_eq!((again.status, again.problem().as_str()), (404, "not-found"));
    assert_eq!(door.demo(&[], KEYS).json()["items"], json!([]));
}

#[test]
fn an_account_reads_what_is_written_of_it_and_of_nobody_else() {
    let door = HttpsDoor::up();
    let add = ["account", "add", "ann@demo", "--password-stdin"];
    door.server.admin(&add, "secret of ann\n");
    Browser::log_in(&door, "ann@demo", "secret of ann");
    try_login(&door, DEMO, "wrong", &[]);
    let browser = Browser::log_in(&door, DEMO, &door.server.password());
    // What happens is written down soon after.
    wait_for(
        "the login to be written down",
        Duration::from_secs(10),
        || {
            let page = browser.ask(&[], &format!("{ACTIVITY}?limit=1")).json();
            (page["items"][0]["kind"] == "login").then_some(())
        },
    );
    let mut kinds = Vec::new();
    let mut path = format!("{ACTIVITY}?limit=1");
    loop {
        let page = browser.ask(&[], &path);
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        for item in page["items"].as_array().unwrap() {
            assert!(
                !item["detail"].as_str().unwrap().contains("ann@demo"),
                "{item}"
            );
            kinds.push(item["kind"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("{ACTIVITY}?limit=1&cursor={next}");
    }
    assert_eq!(kinds[..2], ["login", "login-failed"], "{kinds:?}");
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=x"] {
        let refused = browser.ask(&[], &format!("{ACTIVITY}?{query}"));
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (400, "invalid"),
            "{query}"
        );
    }
    for cursor in [i64::MIN, -1, 0, 1, i64::MAX] {
        let cursor = data_encoding::BASE64URL_NOPAD.encode(cursor.to_string().as_bytes());
        let page = browser.ask(&[], &format!("{ACTIVITY}?cursor={cursor}"));
        assert_eq!(page.status, 200, "{cursor}: {}", page.text());
    }
}

#[test]
fn a_token_that_is_not_for_the_account_does_nothing_to_it() {
    let door = HttpsDoor::up();
    let wanted = json!({ "name": "a", "scopes": ["files:read", "files:write"] }).to_string();
    let made = post(&door, &["--user", &door.user()], "/api/v1/tokens", &wanted);
    let bearer = format!(
        "Authorization: Bearer {}",
        made.json()["token"].as_str().unwrap()
    );
    for (method, path) in [
        ("GET", KEYS),
        ("POST", KEYS),
        ("DELETE", "/api/v1/me/keys/x"),
        ("POST", PASSWORD),
        ("GET", ACTIVITY),
        ("GET", "/api/v1/tokens"),
        ("POST", "/api/v1/tokens"),
        ("DELETE", "/api/v1/tokens/x"),
        ("GET", "/api/v1/sessions"),
        ("DELETE", "/api/v1/sessions"),
        ("GET", "/api/v1/sessions/current"),
        ("DELETE", "/api/v1/sessions/current"),
        ("DELETE", "/api/v1/sessions/x"),
    ] {
        let refused = door.ask(&["-X", method, "-H", &bearer], path);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (403, "scope"),
            "{method} {path}"
        );
    }
}
