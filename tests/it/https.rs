//! The HTTPS front end as such: TLS, HTTP/1.1 and 2, redirects, headers, logging in with each request.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::support::folder::TempFolder;
use crate::support::ftp_raw::{Stream, trusting};
use crate::support::https_door::{HttpsDoor, ask};
use crate::support::server::{DEMO, host_keys, sealift};
use crate::support::serving::Serving;
use crate::support::testssl;
use crate::support::wait::wait_for;

const LOGIN: &str = r#""kind":"login""#;

#[test]
fn an_account_is_known_by_its_password_over_both_versions_of_http() {
    let door = HttpsDoor::up();
    for version in ["--http1.1", "--http2"] {
        let me = door.demo(&[version], "/api/v1/me");
        assert_eq!(me.status, 200, "{}", me.text());
        assert_eq!(me.json()["login"], DEMO);
        assert_eq!(me.json()["home"], "/");
    }
    let log = door
        .server
        .audit_with("the login", |log| log.contains(LOGIN));
    let logins = log.matches(LOGIN).count();
    assert_eq!(logins, 1, "the second request goes on with the session");
}

#[test]
fn clients_behind_a_proxy_are_known_by_the_address_that_it_writes_with_a_port_or_without() {
    let door = HttpsDoor::up_with(&[("FORWARDERS", "127.0.0.0/8")]);
    for (said, address) in [
        ("203.0.113.1", "203.0.113.1"),
        ("203.0.113.2:4711", "203.0.113.2"),
        ("\"[2001:db8::3]:4711\"", "2001:db8::3"),
        ("[2001:db8::4]", "2001:db8::4"),
    ] {
        let forwarded = format!("X-Forwarded-For: {said}");
        assert_eq!(door.demo(&["-H", &forwarded], "/api/v1/me").status, 200);
        let written = format!("\"address\":\"{address}\"");
        door.server
            .audit_with(said, |log| log.contains(LOGIN) && log.contains(&written));
    }
}

#[test]
fn strangers_and_wrong_passwords_are_refused_in_problem_details() {
    let door = HttpsDoor::up();
    let stranger = door.ask(&[], "/api/v1/me");
    assert_eq!(
        (stranger.status, stranger.problem().as_str()),
        (401, "unauthenticated")
    );
    for user in [
        "demo@demo:wrong",
        "nobody@demo:x",
        "nobody@nowhere:x",
        ":",
        "@:",
    ] {
        let wrong = door.ask(&["--user", user], "/api/v1/me");
        assert_eq!(
            (wrong.status, wrong.problem().as_str()),
            (401, "unauthenticated"),
            "{user}"
        );
    }
    let garbled = door.ask(&["-H", "Authorization: Basic %%%"], "/api/v1/me");
    assert_eq!(
        (garbled.status, garbled.problem().as_str()),
        (400, "invalid")
    );
}

#[test]
fn a_session_that_goes_on_ends_when_the_account_is_disabled() {
    let door = HttpsDoor::up();
    assert_eq!(door.demo(&[], "/api/v1/me").status, 200);
    door.server.admin(&["account", "disable", DEMO], "");
    wait_for("the account to be refused", Duration::from_secs(20), || {
        (door.demo(&[], "/api/v1/me").status == 401).then_some(())
    });
}

#[test]
fn unknown_addresses_and_methods_are_said_to_be_so() {
    let door = HttpsDoor::up();
    let nothing = door.demo(&[], "/api/v1/nothing");
    assert_eq!(
        (nothing.status, nothing.problem().as_str()),
        (404, "no-such-address")
    );
    let method = door.demo(&["-X", "DELETE"], "/api/v1/me");
    assert_eq!(
        (method.status, method.problem().as_str()),
        (405, "method-not-allowed")
    );
    assert_eq!(method.header("allow"), Some("GET,HEAD"));
}

#[test]
fn every_answer_carries_the_headers_that_protect_browsers() {
    let door = HttpsDoor::up();
    for path in ["/healthz", "/api/v1/me", "/nothing"] {
        let answer = door.ask(&[], path);
        for name in [
            "content-security-policy",
            "strict-transport-security",
            "x-content-type-options",
            "referrer-policy",
        ] {
            assert!(answer.header(name).is_some(), "{name} of {path}");
        }
    }
}

#[test]
fn other_hosts_below_this_one_are_kept_to_tls_only_if_the_operator_says_so() {
    const NAME: &str = "strict-transport-security";
    let door = HttpsDoor::up();
    let told = door.ask(&[], "/healthz");
    assert_eq!(told.header(NAME), Some("max-age=31536000"));
    let door = HttpsDoor::up_with(&[("HSTS_SUBDOMAINS", "true")]);
    let told = door.ask(&[], "/healthz");
    let all = "max-age=31536000; includeSubDomains";
    assert_eq!(told.header(NAME), Some(all));
}

#[test]
fn the_port_in_the_clear_sends_on_and_answers_nothing_else() {
    let door = HttpsDoor::up();
    let clear = door.clear();
    let alive = ask(&[], &format!("http://{clear}/healthz"));
    assert_eq!((alive.status, alive.text().as_str()), (200, "ok\n"));
    let onwards = ask(&["-X", "PUT"], &format!("http://{clear}/api/v1/me?a=b"));
    assert_eq!(onwards.status, 308);
    assert_eq!(
        onwards.header("location"),
        Some(door.url("/api/v1/me?a=b").as_str())
    );
    assert_eq!(onwards.header("strict-transport-security"), None);
    let elsewhere = ask(&["-H", "Host: user@evil"], &format!("http://{clear}/x"));
    assert_eq!(elsewhere.status, 400);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let door = HttpsDoor::up();
    let socket = TcpStream::connect(door.address()).unwrap();
    let config = trusting(&[&rustls::version::TLS13]).with_no_client_auth();
    let mut stream = Stream::wrap(socket, &Arc::new(config)).unwrap();
    // More than is read, by a client that looks for the answer only when it has sent all.
    let mut begun = b"GET /healthz HTTP/1.1\r\nX-Long: ".to_vec();
    begun.resize(8 << 20, b'a');
    stream.write_all(&begun).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn what_is_no_request_is_answered_and_the_server_goes_on() {
    let door = HttpsDoor::up();
    let config = Arc::new(trusting(&[&rustls::version::TLS13]).with_no_client_auth());
    let many = "X-Many: x\r\n".repeat(200);
    let long = "a".repeat(70_000);
    for (request, status) in [
        ("NONSENSE\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/7.7\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost a\r\n\r\n".to_owned(), 400),
        (
            "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".to_owned(),
            400,
        ),
        (
            "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: odd\r\n\r\n".to_owned(),
            400,
        ),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
    ] {
        let socket = TcpStream::connect(door.address()).unwrap();
        let mut stream = Stream::wrap(socket, &config).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let shown = &request[..request.len().min(60)];
        let begun = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&begun), "{shown}: {answer}");
        // Nothing is said of what is inside, and nothing behind it is taken for another request.
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "", "{shown}");
    }
    assert_eq!(door.ask(&[], "/healthz").status, 200);
    door.server.stop();
}

#[test]
fn plain_text_on_the_tls_port_is_hung_up_on() {
    let door = HttpsDoor::up();
    let mut plain = TcpStream::connect(door.address()).unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    assert_eq!(door.ask(&[], "/healthz").status, 200);
}

#[test]
fn the_api_describes_itself() {
    let door = HttpsDoor::up();
    let document = door.ask(&[], "/api/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(
        document["paths"]["/api/v1/me"]["get"].is_object(),
        "{document}"
    );
}

#[test]
fn a_server_with_idle_connections_drains_at_once() {
    let door = HttpsDoor::up();
    let mut idle = TcpStream::connect(door.clear()).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    door.server.stop();
}

#[test]
fn ports_that_speak_no_tls_need_no_certificate() {
    let folder = TempFolder::new();
    let at = |name: &str| folder.join(name).display().to_string();
    let config = folder.join("sealift.toml");
    let settings = format!(
        "[database]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n[storage]\npath = \"{}\"\n\
         [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\n[metrics]\nlisten = [\"127.0.0.1:0\"]\n\
         [server]\nready_file = \"{}\"\n",
        at("sealift.db"),
        at("local.key"),
        at("store"),
        host_keys(),
        at("ready.json"),
    );
    fs::write(&config, &settings).unwrap();
    let named = ["--config", config.to_str().unwrap()];
    let migrated = sealift(&[&["migrate"], &named[..]].concat(), "");
    assert!(migrated.status.success());
    let ready = folder.join("ready.json");
    let serving = Serving::start(&config, &ready);
    let ready: Value = serde_json::from_slice(&fs::read(&ready).unwrap()).unwrap();
    for (port, path) in [("http", "healthz"), ("metrics", "metrics")] {
        let address = ready["listeners"][port].as_str().unwrap();
        let answer = ask(&[], &format!("http://{address}/{path}"));
        assert_eq!(answer.status, 200, "{port}: {}", answer.text());
    }
    serving.stop();
    // Those that speak it do.
    fs::write(&config, settings + "[admin]\nlisten = [\"127.0.0.1:0\"]\n").unwrap();
    let refused = sealift(&[&["serve"], &named[..]].concat(), "");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(said.contains("tls.certificates"), "{said}");
}

#[test]
fn testssl_finds_nothing_in_tls_and_in_the_headers() {
    let door = HttpsDoor::up();
    let seen = testssl::finds_nothing(door.address(), &["--headers"]);
    // So that an answer was looked at.
    for header in ["HSTS_time", "X-Frame-Options", "cookie_count"] {
        assert!(seen.contains(header), "{seen:?}");
    }
    door.server.stop();
}
