//! What opens accounts from outside, by the API: authorities and what they revoked, names of hosts; and under which
//! names webhooks are told nothing.

use serde_json::{Value, json};

use crate::https_admin::Line;
use crate::support::admin_door::{self, AdminDoor};
use crate::support::https_door::Answer;
use crate::support::web_client::{Browser, post};
use crate::x509::Authority;

const CHIEF: &str = "chief@demo";
const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl laptop";

/// What operators, support and monitors are answered.
pub(crate) const LINES: [Line; 19] = {
    const SEEN: [u16; 3] = [200, 200, 403];
    const ADDED: [u16; 3] = [201, 403, 403];
    const DONE: [u16; 3] = [204, 403, 403];
    const SET: [u16; 3] = [200, 403, 403];
    const WRONG: [u16; 3] = [400, 403, 403];
    const CERTIFICATES: &str = "/tenants/demo/accounts/ann/certificates";
    const HOST: &str = "/tenants/demo/hosts/a.example.org";
    const LISTS: &str = "/tenants/demo/x509-revocation-lists";
    const NAMES: &str = "/tenants/demo/webhooks/temporary-names";
    const OVER_SSH: &str = "/tenants/demo/ssh-authorities";
    const OVER_TLS: &str = "/tenants/demo/x509-authorities";
    const REVOKED: &str = "/tenants/demo/ssh-revocations";
    const KEY: &str = r#"{"key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"}"#;
    [
        ("GET", CERTIFICATES, None, SEEN),
        ("POST", CERTIFICATES, Some(r#"{"rule":"cn:x"}"#), ADDED),
        (
            "DELETE",
            "/tenants/demo/accounts/ann/certificates/cn%3Ax",
            None,
            DONE,
        ),
        ("PUT", HOST, None, DONE),
        ("GET", "/tenants/demo/hosts", None, SEEN),
        ("DELETE", HOST, None, DONE),
        ("GET", OVER_SSH, None, SEEN),
        ("POST", OVER_SSH, Some(KEY), ADDED),
        (
            "DELETE",
            "/tenants/demo/ssh-authorities/none",
            None,
            [404, 403, 403],
        ),
        ("GET", REVOKED, None, SEEN),
        ("POST", REVOKED, Some(r#"{"key_id":"x"}"#), ADDED),
        ("GET", OVER_TLS, None, SEEN),
        ("POST", OVER_TLS, Some(r#"{"certificate":"x"}"#), WRONG),
        ("DELETE", "/tenants/demo/x509-authorities/none", None, WRONG),
        ("GET", LISTS, None, SEEN),
        ("POST", LISTS, Some("x"), WRONG),
        ("GET", NAMES, None, SEEN),
        ("PUT", NAMES, Some(r#"{"names":["*.up"]}"#), SET),
        ("DELETE", NAMES, None, SET),
    ]
};

/// The tenants demo and bolt with an administrator each, and accounts of demo.
fn two_tenants() -> AdminDoor {
    let admin = AdminDoor::up();
    admin.done("POST", "/tenants", Some(r#"{"name":"bolt"}"#));
    for tenant in ["demo", "bolt"] {
        admin.account(tenant, "chief", true);
    }
    admin.account("demo", "ann", false);
    admin
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Sends JSON as an administrator of demo.
#[track_caller]
fn send(admin: &AdminDoor, method: &str, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    admin.account_asks(CHIEF, &admin_door::json(method, &body), path)
}

#[track_caller]
fn done(answer: Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    match answer.body.is_empty() {
        true => Value::Null,
        false => answer.json(),
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, word: &str) {
    let told = (answer.status, answer.problem());
    assert_eq!(told, (status, word.to_owned()), "{}", answer.text());
}

#[test]
fn authorities_over_tls_are_trusted_revoke_and_are_trusted_no_more() {
    let admin = two_tenants();
    let authority = Authority::new("Demo CA");
    let pem = json!({ "certificate": authority.0.pem() });
    let added = done(send(&admin, "POST", "/x509-authorities", &pem), 201);
    assert_eq!(added["subject"], "CN=Demo CA");
    let again = send(&admin, "POST", "/x509-authorities", &pem);
    refused(&again, 409, "already-exists");
    let garbage = json!({ "certificate": "x" });
    refused(
        &send(&admin, "POST", "/x509-authorities", &garbage),
        400,
        "invalid",
    );
    let shown = done(admin.root(&[], "/tenants/demo/x509-authorities"), 200);
    assert_eq!(shown["items"], json!([added]));

    let list = authority.revoke(&[7, 9], (2023, 2040));
    let words = [
        "-X",
        "POST",
        "-H",
        "Content-Type: application/octet-stream",
        "--data-binary",
    ];
    let words = [&words[..], &[list.as_str()]].concat();
    let set = done(
        admin.account_asks(CHIEF, &words, "/x509-revocation-lists"),
        200,
    );
    assert_eq!(
        (&set["items"][0]["issuer"], &set["items"][0]["revoked"]),
        (&json!("CN=Demo CA"), &json!(2))
    );
    let lists = done(
        admin.account_asks(CHIEF, &[], "/x509-revocation-lists"),
        200,
    );
    assert_eq!(lists, set);

    let rules = "/accounts/ann/certificates";
    let email = json!({ "rule": "email:ann@acme.example" });
    assert_eq!(done(send(&admin, "POST", rules, &email), 201), email);
    refused(&send(&admin, "POST", rules, &email), 409, "already-exists");
    let pinned = done(send(&admin, "POST", rules, &pem), 201)["rule"].clone();
    assert!(pinned.as_str().unwrap().starts_with("fingerprint:"));
    for wrong in [
        json!({}),
        json!({ "rule": "a:b", "certificate": "c" }),
        json!({ "rule": "b" }),
    ] {
        refused(&send(&admin, "POST", rules, &wrong), 400, "invalid");
    }
    let all = done(admin.account_asks(CHIEF, &[], rules), 200);
    let all: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["rule"])
        .collect();
    assert_eq!(all, [&email["rule"], &pinned]);
    let rule = format!("{rules}/{}", percent("email:ann@acme.example"));
    let take = |path: &str| admin.account_asks(CHIEF, &["-X", "DELETE"], path);
    done(take(&rule), 204);
    refused(&take(&rule), 404, "not-found");
    refused(
        &take("/accounts/nobody/certificates/cn%3Ax"),
        404,
        "not-found",
    );

    let path = format!(
        "/x509-authorities/{}",
        added["fingerprint"].as_str().unwrap()
    );
    // What belongs to another tenant is not there.
    let other = admin.account_asks("chief@bolt", &["-X", "DELETE"], &path);
    refused(&other, 404, "not-found");
    done(take(&path), 204);
    refused(&take(&path), 404, "not-found");
    let kinds = [
        "x509-add",
        "x509-crl",
        "certificate-add",
        "certificate-remove",
        "x509-remove",
    ];
    admin.server().audit_with("each change", |log| {
        let is_written = |kind: &&str| log.contains(&format!("\"kind\":\"{kind}\""));
        kinds.iter().all(is_written)
    });
}

#[test]
fn authorities_over_ssh_are_trusted_revoke_and_are_trusted_no_more() {
    let admin = two_tenants();
    let key = json!({ "key": PUBLIC_KEY });
    let added = done(send(&admin, "POST", "/ssh-authorities", &key), 201);
    assert_eq!(
        (&added["algorithm"], &added["comment"]),
        (&json!("ssh-ed25519"), &json!("laptop"))
    );
    refused(
        &send(&admin, "POST", "/ssh-authorities", &key),
        409,
        "already-exists",
    );
    let shown = done(admin.root(&[], "/tenants/demo/ssh-authorities"), 200);
    assert_eq!(shown["items"], json!([added]));
    let fingerprint = added["fingerprint"].as_str().unwrap();

    let revoke = |body: &Value| send(&admin, "POST", "/ssh-revocations", body);
    done(
        revoke(&json!({ "serial": 7, "authority": fingerprint })),
        201,
    );
    done(revoke(&json!({ "key_id": "laptop of Ann" })), 201);
    let all = done(revoke(&json!({ "key": PUBLIC_KEY })), 201);
    let shown: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["kind"].clone(),
                one["value"].clone(),
                one["authority"].clone(),
            )
        })
        .collect();
    let expected = [
        (json!("serial"), json!("7"), json!(fingerprint)),
        (json!("key-id"), json!("laptop of Ann"), Value::Null),
        (json!("key"), json!(fingerprint), Value::Null),
    ];
    assert_eq!(shown, expected);
    assert_eq!(
        done(admin.root(&[], "/tenants/demo/ssh-revocations"), 200),
        all
    );
    for wrong in [
        json!({}),
        json!({ "serial": 0 }),
        json!({ "serial": 1, "key_id": "a" }),
        json!({ "key_id": "" }),
        json!({ "key_id": "a\u{0}b" }),
        json!({ "key": "SHA256:short" }),
        json!({ "key": "none" }),
    ] {
        refused(&revoke(&wrong), 400, "invalid");
    }
    let unknown = json!({ "serial": 7, "authority": "SHA256:a\u{0}" });
    refused(&revoke(&unknown), 404, "not-found");

    let path = format!("/ssh-authorities/{}", percent(fingerprint));
    let other = admin.account_asks("chief@bolt", &["-X", "DELETE"], &path);
    refused(&other, 404, "not-found");
    done(admin.account_asks(CHIEF, &["-X", "DELETE"], &path), 204);
    let nul = "/ssh-authorities/SHA256:a%00";
    refused(
        &admin.account_asks(CHIEF, &["-X", "DELETE"], nul),
        404,
        "not-found",
    );
    admin.server().audit_with("each change", |log| {
        let is_written = |kind: &&str| log.contains(&format!("\"kind\":\"{kind}\""));
        ["ca-add", "ca-revoke", "ca-remove"].iter().all(is_written)
    });
}

#[test]
fn who_may_only_look_trusts_nobody_and_a_token_opens_no_more_than_it_is() {
    let admin = two_tenants();
    let key = json!({ "key": PUBLIC_KEY }).to_string();
    let words = admin_door::json("POST", &key);
    let support = admin_door::token(admin.server(), "sue", "support");
    let monitor = admin_door::token(admin.server(), "max", "monitor");
    let path = "/tenants/demo/ssh-authorities";
    assert_eq!(admin.by(&support, &[], path).status, 200);
    for token in [&support, &monitor] {
        assert_eq!(admin.by(token, &words, path).status, 403);
    }
    assert_eq!(admin.by(&monitor, &[], path).status, 403);
    assert_eq!(
        admin
            .account_asks("ann@demo", &[], "/ssh-authorities")
            .status,
        403
    );

    let browser = Browser::log_in(&admin.door, CHIEF, "long-secret");
    let body = json!({ "name": "t", "scopes": ["admin"] }).to_string();
    let made = done(browser.send("POST", "/api/v1/tokens", &body), 201);
    let bearer = format!("Authorization: Bearer {}", made["token"].as_str().unwrap());
    let by_token = |path: &str, body: &Value| {
        let path = format!("/api/v1/admin{path}");
        post(&admin.door, &["-H", &bearer], &path, &body.to_string())
    };
    let authority = json!({ "certificate": Authority::new("Demo CA").0.pem() });
    let rule = json!({ "rule": "cn:chief" });
    for (path, body) in [
        ("/ssh-authorities", json!({ "key": PUBLIC_KEY })),
        ("/x509-authorities", authority),
        ("/accounts/chief/certificates", rule.clone()),
    ] {
        refused(&by_token(path, &body), 403, "scope");
    }
    done(by_token("/accounts/ann/certificates", &rule), 201);
    done(
        by_token("/ssh-revocations", &json!({ "key_id": "lost" })),
        201,
    );
}

#[test]
fn operators_give_names_of_hosts_to_tenants() {
    let admin = two_tenants();
    let path = "/tenants/demo/hosts/files.example.org";
    for _ in 0..2 {
        done(admin.root(&["-X", "PUT"], path), 204);
    }
    let shown = done(admin.root(&[], "/tenants/demo/hosts"), 200);
    assert_eq!(shown["items"], json!(["files.example.org"]));
    let taken = admin.root(&["-X", "PUT"], "/tenants/bolt/hosts/files.example.org");
    refused(&taken, 409, "already-exists");
    let wrong = admin.root(&["-X", "PUT"], "/tenants/demo/hosts/a%20b");
    refused(&wrong, 400, "invalid");
    let support = admin_door::token(admin.server(), "sue", "support");
    assert_eq!(admin.by(&support, &[], "/tenants/demo/hosts").status, 200);
    assert_eq!(admin.by(&support, &["-X", "DELETE"], path).status, 403);
    // Names are the whole installation's, and no tenant's to take.
    let own = admin.account_asks(CHIEF, &["-X", "PUT"], "/hosts/bolt.example.org");
    assert_eq!(own.status, 404);
    done(admin.root(&["-X", "DELETE"], path), 204);
    refused(&admin.root(&["-X", "DELETE"], path), 404, "not-found");
    admin.server().audit_with("both", |log| {
        let is_written = |kind: &&str| log.contains(&format!("\"kind\":\"{kind}\""));
        ["tenant-host-add", "tenant-host-remove"]
            .iter()
            .all(is_written)
    });
}

#[test]
fn names_under_which_nothing_is_told_are_set_and_set_back() {
    let admin = two_tenants();
    let path = "/webhooks/temporary-names";
    let chief = |words: &[&str]| {
        let words = [&["--user", "chief@demo:long-secret"], words].concat();
        admin.door.ask(&words, &format!("/api/v1{path}"))
    };
    let usual = done(chief(&[]), 200);
    assert_eq!(usual["is_own"], false);
    assert!(
        usual["names"]
            .as_array()
            .unwrap()
            .contains(&json!("*.filepart"))
    );
    let wanted = json!({ "names": ["*.up", "x?y"] }).to_string();
    let set = done(chief(&admin_door::json("PUT", &wanted)), 200);
    assert_eq!(set, json!({ "names": ["*.up", "x?y"], "is_own": true }));
    assert_eq!(
        done(admin.root(&[], &format!("/tenants/demo{path}")), 200),
        set
    );
    let bolt = done(admin.root(&[], &format!("/tenants/bolt{path}")), 200);
    assert_eq!(bolt, usual);
    for wrong in [
        r#"{"names":["a,b"]}"#,
        r#"{"names":["*"]}"#,
        r#"{"names":["a/b"]}"#,
    ] {
        refused(&chief(&admin_door::json("PUT", wrong)), 400, "invalid");
    }
    assert_eq!(done(chief(&["-X", "DELETE"]), 200), usual);
    admin
        .server()
        .audit_with("it", |log| log.contains("\"kind\":\"temporary-names\""));
}
