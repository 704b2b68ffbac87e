//! HTTPS behind a balancer that says for whom it speaks (PROXY protocol), and the ports that it does not speak at.

use std::net::SocketAddr;

use crate::support::admin_door;
use crate::support::balancer::{V1, V2, balancer};
use crate::support::https_door::{HttpsDoor, ask, is_answered};

fn door() -> HttpsDoor {
    HttpsDoor::up_set([
        ("HTTPS__PROXIES", "127.0.0.0/8"),
        ("METRICS__LISTEN", "127.0.0.1:0"),
    ])
}

#[test]
fn a_balancer_speaks_for_its_clients() {
    let door = door();
    let user = door.user();
    for header in [V1, V2] {
        let through = balancer(door.address(), header);
        for version in ["--http1.1", "--http2"] {
            let words = ["--user", user.as_str(), version];
            let me = ask(&words, &format!("https://{through}/api/v1/me"));
            assert_eq!(me.status, 200, "{}", me.text());
        }
    }
    door.server.audit_with("the login", |log| {
        log.contains(r#""kind":"login""#) && log.contains("\"address\":\"203.0.113.77\"")
    });
    // Whoever does not say for whom it speaks is not let in.
    assert!(!is_answered(&door.url("/healthz")));
}

#[test]
fn the_port_in_the_clear_takes_headers_and_checks_without() {
    let door = door();
    let bare = door.clear();
    for address in [bare, balancer(bare, V1), balancer(bare, V2)] {
        let ready = ask(&[], &format!("http://{address}/readyz"));
        assert_eq!(ready.status, 200, "{}", ready.text());
        let onwards = ask(&["-X", "PUT"], &format!("http://{address}/x"));
        assert_eq!(onwards.status, 308);
    }
}

#[test]
fn operators_and_prometheus_come_without_a_header() {
    let door = door();
    let token = admin_door::token(&door.server, "root", "operator");
    let bearer = format!("Authorization: Bearer {token}");
    let listeners = &door.server.ready.listeners;
    let (admin, metrics): (SocketAddr, _) = (listeners.admin.unwrap(), listeners.metrics.unwrap());
    let me = ask(&["-H", &bearer], &format!("https://{admin}/api/v1/me"));
    assert_eq!(me.status, 200, "{}", me.text());
    let figures = ask(&[], &format!("http://{metrics}/metrics"));
    assert!(figures.text().contains("sealift_ready 1"));
    // A header means nothing there.
    let through = balancer(admin, V1);
    assert!(!is_answered(&format!("https://{through}/healthz")));
}
