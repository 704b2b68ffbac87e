//! Sessions of browsers: logging in and out, what a cookie is good for, and who may use it.

use std::time::Duration;

use sealift::crypto::totp::{TotpSecret, step_at};
use sealift::domain::clock::{Clock as _, SystemClock};
use zeroize::Zeroizing;

use crate::support::https_door::HttpsDoor;
use crate::support::server::DEMO;
use crate::support::wait::wait_for;
use crate::support::web_client::{Browser, cookie_of, post, try_login};

const SESSIONS: &str = "/api/v1/sessions";
const CURRENT: &str = "/api/v1/sessions/current";
const ME: &str = "/api/v1/me";
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_cookie_stands_for_the_account_until_it_logs_out() {
    let door = HttpsDoor::up();
    let answer = try_login(&door, DEMO, &door.server.password(), &[]);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let line = answer.header("set-cookie").unwrap();
    assert!(line.starts_with("__Host-sealift=sls_"), "{line}");
    for word in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(line.split("; ").any(|part| part == word), "{word}: {line}");
    }
    let browser = Browser {
        door: &door,
        cookie: cookie_of(&answer),
        csrf: answer.json()["csrf"].as_str().unwrap().to_owned(),
    };
    let me = browser.ask(&[], ME);
    assert_eq!((me.status, me.json()["login"].as_str()), (200, Some(DEMO)));
    let current = browser.ask(&[], CURRENT);
    assert_eq!(current.json()["csrf"], browser.csrf.as_str());
    let gone = browser.page(&["-X", "DELETE"], CURRENT);
    assert_eq!(gone.status, 204, "{}", gone.text());
    assert!(gone.header("set-cookie").unwrap().contains("Max-Age=0"));
    for path in [ME, CURRENT] {
        assert_eq!(browser.ask(&[], path).problem(), "unauthenticated");
    }
    let log = door
        .server
        .audit_with("the end", |log| log.contains(r#""kind":"logout""#));
    assert_eq!(log.matches(r#""kind":"login""#).count(), 1, "{log}");
    assert_eq!(log.matches(r#""kind":"logout""#).count(), 1, "{log}");
}

#[test]
fn a_login_begins_under_a_name_that_nobody_knew() {
    let door = HttpsDoor::up();
    let first = Browser::log_in(&door, DEMO, &door.server.password());
    let chosen = first.cookie.clone();
    let cookie = format!("Cookie: {chosen}");
    let again = try_login(&door, DEMO, &door.server.password(), &["-H", &cookie]);
    assert_eq!(again.status, 201);
    assert_ne!(cookie_of(&again), chosen);
    assert_eq!(
        first.ask(&[], ME).status,
        401,
        "the one that was shown is over"
    );
    // One that somebody made up is not taken up either.
    let made_up = format!("__Host-sealift=sls_{}", "a".repeat(71));
    let planted = ["-H", &format!("Cookie: {made_up}")];
    let answer = try_login(&door, DEMO, &door.server.password(), &planted);
    assert_ne!(cookie_of(&answer), made_up);
    assert_eq!(door.ask(&planted, ME).status, 401);
}

#[test]
fn what_changes_something_must_come_from_a_page_of_ours() {
    let door = HttpsDoor::up();
    let browser = Browser::log_in(&door, DEMO, &door.server.password());
    let other = Browser::log_in(&door, DEMO, &door.server.password());
    let csrf = format!("X-Sealift-CSRF: {}", browser.csrf);
    let others = format!("X-Sealift-CSRF: {}", other.csrf);
    let ours = format!("Origin: https://{}", door.address());
    let same = "Sec-Fetch-Site: same-origin";
    for (headers, word) in [
        (vec![], "csrf"),
        (vec![csrf.as_str()], "csrf"),
        (vec![same], "csrf"),
        (vec![ours.as_str()], "csrf"),
        (vec![same, "X-Sealift-CSRF: wrong"], "csrf"),
        (vec![same, others.as_str()], "csrf"),
        (vec![csrf.as_str(), "Sec-Fetch-Site: none"], "csrf"),
        (
            vec![csrf.as_str(), "Sec-Fetch-Site: cross-site"],
            "cross-site",
        ),
        (
            vec![csrf.as_str(), "Origin: https://evil.example"],
            "cross-site",
        ),
        (vec![csrf.as_str(), "Origin: null"], "cross-site"),
        (
            vec![csrf.as_str(), ours.as_str(), "Sec-Fetch-Site: same-site"],
            "cross-site",
        ),
    ] {
        let mut words = vec!["-X", "DELETE"];
        for header in &headers {
            words.extend(["-H", header]);
        }
        let refused = browser.ask(&words, CURRENT);
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (403, word),
            "{headers:?}"
        );
    }
    assert_eq!(browser.ask(&[], ME).status, 200);
    let proven = browser.ask(&["-X", "DELETE", "-H", &csrf, "-H", &ours], CURRENT);
    assert_eq!(proven.status, 204);
}

#[test]
fn pages_of_other_sites_change_nothing_whatever_they_log_in_with() {
    let door = HttpsDoor::up();
    for header in ["Sec-Fetch-Site: cross-site", "Origin: https://evil.example"] {
        let refused = door.demo(&["-H", header, "-X", "DELETE"], SESSIONS);
        assert_eq!(refused.problem(), "cross-site");
        let login = try_login(&door, DEMO, &door.server.password(), &["-H", header]);
        assert_eq!(login.problem(), "cross-site");
        assert_eq!(login.header("set-cookie"), None);
        // Reading is harmless: the page does not see the answer.
        assert_eq!(door.demo(&["-H", header], ME).status, 200);
    }
    assert_eq!(door.demo(&["-X", "DELETE"], SESSIONS).status, 200);
}

#[test]
fn a_refusal_reaches_who_is_still_sending() {
    let door = HttpsDoor::up();
    let body = "a".repeat(60_000);
    for version in ["--http1.1", "--http2"] {
        let answer = post(&door, &[version], "/api/v1/tokens", &body);
        assert_eq!(answer.problem(), "unauthenticated");
        let answer = post(&door, &[version], "/api/v1/nothing", &body);
        assert_eq!(answer.problem(), "no-such-address");
    }
}

#[test]
fn an_account_sees_its_sessions_and_ends_them() {
    let door = HttpsDoor::up();
    let password = door.server.password();
    let answer = try_login(&door, DEMO, &password, &["-A", "the old laptop"]);
    let old = Browser {
        door: &door,
        cookie: cookie_of(&answer),
        csrf: String::new(),
    };
    let second = Browser::log_in(&door, DEMO, &password);
    let third = Browser::log_in(&door, DEMO, &password);
    let all = third.ask(&[], SESSIONS).json();
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), 3, "{all}");
    assert_eq!(
        items.iter().filter(|item| item["current"] == true).count(),
        1
    );
    let laptop = items.iter().find(|item| item["agent"] == "the old laptop");
    let laptop = laptop.unwrap();
    assert_eq!(laptop["address"], "127.0.0.1");
    let path = format!("{SESSIONS}/{}", laptop["id"].as_str().unwrap());
    assert_eq!(third.page(&["-X", "DELETE"], &path).status, 204);
    assert_eq!(third.page(&["-X", "DELETE"], &path).status, 404);
    assert_eq!(old.ask(&[], ME).status, 401);
    assert_eq!(second.ask(&[], ME).status, 200);
    let ended = third.page(&["-X", "DELETE"], SESSIONS);
    assert_eq!(ended.json()["ended"], 1);
    assert_eq!(second.ask(&[], ME).status, 401);
    assert_eq!(third.ask(&[], ME).status, 200);
    let bad = third.page(&["-X", "DELETE"], &format!("{SESSIONS}/x"));
    assert_eq!(bad.status, 400);
}

#[test]
fn nobody_ends_the_sessions_of_others() {
    let door = HttpsDoor::up();
    door.server.admin(
        &["account", "add", "ann@demo", "--password-stdin"],
        "secret of ann\n",
    );
    let ann = Browser::log_in(&door, "ann@demo", "secret of ann");
    let demo = Browser::log_in(&door, DEMO, &door.server.password());
    let id = demo.ask(&[], CURRENT).json()["session"]["id"].clone();
    let path = format!("{SESSIONS}/{}", id.as_str().unwrap());
    assert_eq!(ann.page(&["-X", "DELETE"], &path).status, 404);
    assert_eq!(ann.page(&["-X", "DELETE"], SESSIONS).status, 200);
    assert_eq!(demo.ask(&[], ME).status, 200);
    let seen = ann.ask(&[], SESSIONS).json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_new_password_or_a_disabled_account_ends_all() {
    let door = HttpsDoor::up();
    let browser = Browser::log_in(&door, DEMO, &door.server.password());
    door.server.admin(
        &["account", "passwd", DEMO, "--password-stdin"],
        "another one\n",
    );
    wait_for("the session to end", SOON, || {
        (browser.ask(&[], ME).status == 401).then_some(())
    });
    let browser = Browser::log_in(&door, DEMO, "another one");
    door.server.admin(&["tenant", "disable", "demo"], "");
    wait_for("the session to end", SOON, || {
        (browser.ask(&[], ME).status == 401).then_some(())
    });
    door.server.admin(&["tenant", "enable", "demo"], "");
    assert_eq!(try_login(&door, DEMO, "another one", &[]).status, 201);
}

#[test]
fn a_second_factor_is_asked_for_in_a_second_step_or_sent_at_once() {
    let door = HttpsDoor::up();
    let made = door
        .server
        .admin(&["account", "totp", "add", DEMO, "--json"], "");
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let (_, secret) = made["uri"].as_str().unwrap().split_once("secret=").unwrap();
    let secret = secret.split('&').next().unwrap();
    let secret = data_encoding::BASE32_NOPAD.decode(secret.as_bytes());
    let secret = TotpSecret::new(Zeroizing::new(secret.unwrap()));
    let code = |ahead: i64| secret.code(step_at(SystemClock.now()) + ahead);
    let password = door.server.password();
    let second = |pending: &str, code: &str| {
        let body = serde_json::json!({ "pending": pending, "code": code });
        post(&door, &[], SESSIONS, &body.to_string())
    };

    let first = try_login(&door, DEMO, &password, &[]);
    assert_eq!((first.status, first.header("set-cookie")), (202, None));
    assert_eq!(first.json()["wants"], "code");
    let pending = first.json()["pending"].as_str().unwrap().to_owned();
    assert_eq!(second(&pending, "000000").status, 401);
    assert_eq!(second(&pending, &code(0)).status, 401, "each is good once");
    assert_eq!(second(&"0".repeat(64), &code(0)).status, 401);

    let first = try_login(&door, DEMO, &password, &[]).json();
    let done = second(first["pending"].as_str().unwrap(), &code(0));
    assert_eq!(done.status, 201, "{}", done.text());
    assert_eq!(try_login(&door, DEMO, "wrong", &[]).status, 401);
    let both = serde_json::json!({ "login": DEMO, "password": password, "code": code(1) });
    let done = post(&door, &[], SESSIONS, &both.to_string());
    assert_eq!(done.status, 201, "{}", done.text());
    let used = post(&door, &[], SESSIONS, &both.to_string());
    assert_eq!(used.status, 401, "a code is good once");
}

#[test]
fn failures_lock_as_they_do_at_every_door() {
    let story = |door: &HttpsDoor, failing: &dyn Fn()| {
        for _ in 0..6 {
            failing();
        }
        let answer = try_login(door, DEMO, &door.server.password(), &[]);
        let detail = answer.json()["detail"].as_str().unwrap_or("").to_owned();
        (answer.status, detail.starts_with("too many failed logins"))
    };
    let door = HttpsDoor::up();
    let by_https = story(&door, &|| {
        try_login(&door, DEMO, "wrong", &[]);
    });
    door.server
        .audit_with("the lock", |log| log.contains("wrong password; locked for"));
    let door = HttpsDoor::up();
    let by_basic = story(&door, &|| {
        door.ask(&["--user", "demo@demo:wrong"], ME);
    });
    assert_eq!(by_https, (429, true));
    assert_eq!(by_basic, by_https);
}

#[test]
fn requests_that_do_not_fit_are_refused_in_problem_details() {
    let door = HttpsDoor::up();
    for (body, status) in [
        ("{", 400),
        ("{}", 400),
        (r#"{"login":"a"}"#, 400),
        (r#"{"login":"a","password":"b","pending":"c"}"#, 400),
        (r#"{"login":1,"password":"b"}"#, 400),
        (r#"{"pending":"c"}"#, 400),
        (r#"{"login":"","password":""}"#, 401),
    ] {
        let answer = post(&door, &[], SESSIONS, body);
        answer.problem();
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let form = door.ask(&["--data", "login=a&password=b"], SESSIONS);
    assert_eq!((form.status, form.problem().as_str()), (415, "not-json"));
    let long = format!(r#"{{"login":"{}"}}"#, "a".repeat(100 * 1024));
    assert_eq!(post(&door, &[], SESSIONS, &long).status, 413);
}
