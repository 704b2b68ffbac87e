//! Webhooks, managed by their tenant's administrators over HTTPS.

use crate::support::hooked::Hooked;
use crate::support::https_door::{Answer, ask};
use crate::support::receiver::Receiver;
use crate::support::wait::wait_for;

use std::time::Duration;

const JSON: &str = "Content-Type: application/json";

fn send(hooked: &Hooked, method: &str, path: &str, body: &str) -> Answer {
    hooked.ask(&["-X", method, "-H", JSON, "-d", body], path)
}

#[test]
fn an_administrator_manages_webhooks() {
    let hooked = Hooked::up();
    let receiver = Receiver::start();
    let url = receiver.url("/hook");
    let new =
        format!(r#"{{"name": "hook", "url": "{url}", "events": ["file.stored", "file.deleted"]}}"#);
    let made = send(&hooked, "POST", "/webhooks", &new);
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(made["made_by"], "demo");
    let id = made["id"].as_str().unwrap().to_owned();
    let at = |rest: &str| format!("/webhooks/{id}{rest}");
    assert_eq!(
        send(&hooked, "POST", "/webhooks", &new).problem(),
        "already-exists"
    );

    let listed = hooked.ask(&[], "/webhooks");
    assert!(!listed.text().contains("whsec_"));
    assert_eq!(listed.json()["items"][0]["url"], url.as_str());
    assert_eq!(hooked.ask(&[], &at("")).json()["state"], "enabled");

    assert_eq!(hooked.ask(&["-X", "POST"], &at("/test")).status, 202);
    let told = receiver.wait_for(1);
    assert_eq!(told[0].what().0, "webhook.test");
    hooked.put("/a", "some");
    let told = receiver.wait_for(2);
    wait_for("both to be noted", Duration::from_secs(60), || {
        let page = hooked.ask(&[], &at("/deliveries?state=delivered")).json();
        (page["items"].as_array().unwrap().len() == 2).then_some(())
    });
    let first = hooked.ask(&[], &at("/deliveries?limit=1")).json();
    assert_eq!(first["items"][0]["event"], told[1].id());
    assert_eq!(first["items"][0]["type"], "file.stored");
    assert_eq!(first["items"][0]["said"], "answered 204");
    let cursor = first["next"].as_str().unwrap();
    let second = hooked
        .ask(&[], &at(&format!("/deliveries?limit=1&cursor={cursor}")))
        .json();
    assert_eq!(second["items"][0]["event"], told[0].id());

    let replay = format!(r#"{{"event": "{}"}}"#, told[1].id());
    let replayed = send(&hooked, "POST", &at("/replay"), &replay);
    assert_eq!(replayed.json()["replayed"], 1);
    assert_eq!(receiver.wait_for(3)[2].id(), told[1].id());
    assert_eq!(
        send(&hooked, "POST", &at("/replay"), "{}").json()["replayed"],
        0
    );

    let renewed = send(&hooked, "POST", &at("/secret"), "{}");
    assert!(renewed.json()["old_secret_until"].is_string());
    let changed = send(
        &hooked,
        "PATCH",
        &at(""),
        r#"{"enabled": false, "name": "other"}"#,
    );
    assert_eq!(changed.json()["state"], "disabled");
    assert_eq!(changed.json()["name"], "other");
    for name in ["name", "url", "events", "enabled"] {
        let body = format!(r#"{{"{name}": null, "path": "/there"}}"#);
        let refused = send(&hooked, "PATCH", &at(""), &body);
        assert_eq!(refused.problem(), "invalid", "{name}");
        let told = format!("'{name}' cannot be null");
        assert!(refused.text().contains(&told), "{}", refused.text());
    }
    for (body, path) in [
        (r#"{"path": "/there"}"#, "/there"),
        (r#"{"path": null}"#, "/"),
    ] {
        let moved = send(&hooked, "PATCH", &at(""), body);
        assert_eq!(moved.json()["path"], path);
    }
    assert_eq!(
        hooked.ask(&["-X", "POST"], &at("/test")).problem(),
        "invalid"
    );
    assert_eq!(hooked.ask(&["-X", "DELETE"], &at("")).status, 204);
    assert_eq!(hooked.ask(&[], &at("")).problem(), "not-found");
    hooked.server.stop();
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let hooked = Hooked::up_exactly(&[]);
    for (body, part) in [
        (
            r#"{"name": "a", "url": "https://127.0.0.1/", "events": ["all"]}"#,
            "public internet",
        ),
        (
            r#"{"name": "a", "url": "https://localhost/", "events": ["all"]}"#,
            "public internet",
        ),
        (
            r#"{"name": "a", "url": "http://1.1.1.1/", "events": ["all"]}"#,
            "only https://",
        ),
        (
            r#"{"name": "a", "url": "https://1.1.1.1:65616/", "events": ["all"]}"#,
            "the port",
        ),
        (
            r#"{"name": "a", "url": "https://a..b/", "events": ["all"]}"#,
            "no name of a host",
        ),
        (
            r#"{"name": "a", "url": "nowhere", "events": ["all"]}"#,
            "no address",
        ),
        (
            r#"{"name": "a", "url": "https://1.1.1.1/", "events": []}"#,
            "which events",
        ),
        (
            r#"{"name": "a", "url": "https://1.1.1.1/", "events": ["all, never"]}"#,
            "no event",
        ),
        (
            r#"{"name": "a", "url": "https://1.1.1.1/", "events": ["all"], "path": "/in/../.."}"#,
            "'..'",
        ),
        (
            r#"{"name": "", "url": "https://1.1.1.1/", "events": ["all"]}"#,
            "a name",
        ),
    ] {
        let answer = send(&hooked, "POST", "/webhooks", body);
        assert_eq!(answer.status, 400, "{body}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part), "{body}: {detail}");
    }
    for path in ["/webhooks/1", "/webhooks/1/deliveries?limit=0"] {
        assert_eq!(hooked.ask(&[], path).status, 400, "{path}");
    }
    hooked.server.stop();
}

#[test]
fn others_may_do_nothing_with_webhooks() {
    let hooked = Hooked::up();
    let add = ["account", "add", "ann@demo", "--password-stdin"];
    hooked.server.admin(&add, "a good secret\n");
    hooked
        .server
        .admin(&["grant", "add", "ann@demo", "demo:/in", "all"], "");
    hooked
        .server
        .admin(&["grant", "add", "ann@demo", "demo:/", "read-only"], "");
    hooked.hook("http://127.0.0.1:9/", &[]);
    let address = hooked.server.ready.listeners.https.unwrap();
    let id = hooked.webhook(&["list", "demo"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (method, path) in [
        ("GET", "/webhooks".to_owned()),
        ("GET", format!("/webhooks/{id}")),
        ("DELETE", format!("/webhooks/{id}")),
        ("POST", format!("/webhooks/{id}/test")),
        ("GET", format!("/webhooks/{id}/deliveries")),
    ] {
        let url = format!("https://{address}/api/v1{path}");
        let answer = ask(&["-X", method, "--user", "ann@demo:a good secret"], &url);
        assert_eq!(answer.problem(), "denied", "{method} {path}");
        assert_eq!(ask(&["-X", method], &url).status, 401);
    }
    hooked.server.stop();
}

#[test]
fn a_webhook_that_is_not_there_is_so_for_every_request() {
    let hooked = Hooked::up();
    let (server, secret) = (&hooked.server, "a good secret\n");
    server.admin(&["tenant", "add", "bolt"], "");
    let add = ["account", "add", "ann@bolt", "--password-stdin"];
    server.admin(&add, secret);
    server.admin(
        &["account", "set", "ann@bolt", "--administrator", "true"],
        "",
    );
    hooked.hook("http://127.0.0.1:9/", &[]);
    let address = server.ready.listeners.https.unwrap();
    let id = hooked.webhook(&["list", "demo"])[0]["id"].clone();
    let at = format!("/webhooks/{}", id.as_str().unwrap());
    let requests = [
        ("GET", "", ""),
        ("PATCH", "", r#"{"name": "other"}"#),
        ("POST", "/secret", "{}"),
        ("POST", "/test", ""),
        ("POST", "/replay", "{}"),
        ("GET", "/deliveries", ""),
        ("DELETE", "", ""),
    ];
    for (method, rest, body) in requests {
        let url = format!("https://{address}/api/v1{at}{rest}");
        let words = ["-X", method, "-H", JSON, "-d", body];
        let login = ["--user", "ann@bolt:a good secret"];
        let others = ask(&[&login[..], &words].concat(), &url);
        assert_eq!(others.status, 404, "{method} {rest}: {}", others.text());
    }
    assert_eq!(hooked.ask(&["-X", "DELETE"], &at).status, 204);
    for (method, rest, body) in requests {
        let gone = send(&hooked, method, &format!("{at}{rest}"), body);
        assert_eq!(gone.status, 404, "{method} {rest}: {}", gone.text());
    }
    hooked.server.stop();
}
