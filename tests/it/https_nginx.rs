//! HTTPS behind a proxy that speaks HTTP itself: nginx, which is what most operators have there.

use crate::support::dav::Dav;
use crate::support::https_door::{HttpsDoor, ask};
use crate::support::nginx::Nginx;
use crate::support::server::DEMO;
use crate::support::tus::{Tus, location, noise, sha256, to, tree};

/// The address of what comes by the proxy, which adds to what the client says.
const CLIENT: &str = "X-Forwarded-For: 203.0.113.9";

#[test]
fn all_doors_of_https_are_open_through_nginx() {
    // What its own client adds is believed here, as if there were a second proxy.
    let door = HttpsDoor::up_with(&[("FORWARDERS", "127.0.0.0/8")]);
    let nginx = Nginx::before(door.address());
    let (user, there) = (door.user(), nginx.address);

    for version in ["--http1.1", "--http2"] {
        let words = ["--user", user.as_str(), "-H", CLIENT, version];
        let me = ask(&words, &format!("https://{there}/api/v1/me"));
        assert_eq!(me.status, 200, "{}", me.text());
        assert_eq!(me.json()["login"], DEMO);
    }
    door.server.audit_with("the login", |log| {
        log.contains(r#""kind":"login""#) && log.contains(r#""address":"203.0.113.9""#)
    });

    let bytes = noise(7, 3_000_000);
    let tus = Tus::at(&there.to_string(), &user);
    let data = tus.data(&bytes);
    let put = ["--user", user.as_str(), "-X", "PUT", "--data-binary", &data];
    let stored = ask(&put, &format!("https://{there}/api/v1/files/put"));
    assert_eq!(stored.status, 201, "{}", stored.text());
    let fetch = ["--user", user.as_str()];
    let fetched = ask(&fetch, &format!("https://{there}/api/v1/files/put"));
    assert_eq!((fetched.status, fetched.body == bytes), (200, true));
    let part = ["--user", user.as_str(), "--range", "1000000-1999999"];
    let part = ask(&part, &format!("https://{there}/api/v1/files/put"));
    assert_eq!(part.status, 206);
    assert!(part.body == bytes[1_000_000..2_000_000]);

    let half = bytes.len() / 2;
    let length = format!("Upload-Length: {}", bytes.len());
    let at = location(&tus.post(&[&length, &to("/tus")]));
    for (offset, piece) in [(0, &bytes[..half]), (half, &bytes[half..])] {
        assert_eq!(tus.offset(&at), offset);
        let sent = tus.patch(&at, offset, piece, &[]);
        assert_eq!(sent.status, 204, "{}", sent.text());
    }

    let dav = Dav::of(there, &user);
    assert_eq!(dav.ask("MKCOL", "/d", &[]).status, 201);
    assert_eq!(dav.put("/d/f", "dav", &[]).status, 201);
    assert_eq!(dav.go("COPY", "/d", "/e", &[]).status, 201);
    assert_eq!(dav.go("MOVE", "/e/f", "/e/g", &[]).status, 201);
    assert_eq!(dav.find("/e", "1").status, 207);
    let token = dav.locked("/d/f", &[]);
    assert_eq!(dav.put("/d/f", "other", &[]).status, 423);
    assert_eq!(dav.unlock("/d/f", &token).status, 204);

    let found = tree(&door.server);
    for name in ["/put", "/tus"] {
        assert_eq!(found[name], sha256(&bytes), "{name}");
    }
    for name in ["/d/f", "/e/g"] {
        assert_eq!(found[name], sha256(b"dav"), "{name}");
    }
    drop(nginx);
    door.server.stop();
}
