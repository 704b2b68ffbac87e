//! What harm is tried on HTTPS: connections that say nothing, requests of which two readers think
//! differently, refusals in the middle of an upload, and what must not become more than it was.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::support::client::{run, succeed};
use crate::support::folder::{TempFolder, write_random};
use crate::support::ftp_raw::{Stream, trusting};
use crate::support::https_door::{Answer, HttpsDoor};

/// Longer than any server here waits.
const PATIENCE: Duration = Duration::from_secs(20);

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn secure(address: SocketAddr, protocols: &[&[u8]]) -> Stream {
    let mut config = trusting(&[&rustls::version::TLS13]).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Stream::wrap(connect(address), &Arc::new(config)).unwrap()
}

/// Reads to the end, which must come by itself.
#[track_caller]
fn to_the_end(mut stream: impl Read) -> String {
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => got.extend_from_slice(&piece[..count]),
            Err(error) => {
                let silent = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                assert!(!silent.contains(&error.kind()), "it is still open");
                break;
            }
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

#[test]
fn connections_that_say_nothing_are_closed() {
    let door = HttpsDoor::up_with(&[("HEAD_TIME", "1s")]);
    let mut part = secure(door.address(), &[b"h2"]);
    part.write_all(b"PRI * HT").unwrap();
    part.flush().unwrap();
    for silent in [
        Stream::Plain(connect(door.clear())),
        secure(door.address(), &[]),
        secure(door.address(), &[b"http/1.1"]),
        secure(door.address(), &[b"h2"]),
        part,
    ] {
        assert!(!to_the_end(silent).contains("200"));
    }
}

#[test]
fn silence_at_the_port_without_tls_keeps_nobody_from_logging_in() {
    let door = HttpsDoor::up();
    // More than one address may have before login.
    let silent: Vec<_> = (0..100).map(|_| connect(door.clear())).collect();
    assert_eq!(door.demo(&[], "/api/v1/me").status, 200);
    drop(silent);
}

#[test]
fn requests_that_can_be_read_in_two_ways_are_refused() {
    let door = HttpsDoor::up();
    for (head, status) in [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: a b/c@d\r\n", "400"),
        ("GET https://a/healthz HTTP/1.1\r\nHost: a\r\n", "200"),
        ("GET https://a/healthz HTTP/1.1\r\nHost: A:443\r\n", "200"),
        ("GET https://a/healthz HTTP/1.1\r\nHost: b\r\n", "400"),
        ("GET https://a:444/healthz HTTP/1.1\r\nHost: a\r\n", "400"),
        ("GET ftp://a/healthz HTTP/1.1\r\nHost: a\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: a:8443\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\nHost: [::1]:8443\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\nHost: a:x\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: a:99999\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: a,b\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nHost: u@a\r\n", "400"),
        ("GET /healthz HTTP/1.0\r\n", "200"),
        ("GET https://a/healthz HTTP/1.1\r\n", "400"),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\nAuthorization: Basic Yzpk\r\n",
            "400",
        ),
        (
            "PUT /api/v1/files/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n",
            "501",
        ),
        (
            "PUT /api/v1/files/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n",
            "501",
        ),
        (
            "PUT /api/v1/files/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "400",
        ),
    ] {
        let mut stream = secure(door.address(), &[b"http/1.1"]);
        let request = format!("{head}Connection: close\r\n\r\n0\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream.flush().unwrap();
        let answer = to_the_end(stream);
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
    }
}

#[test]
fn the_port_without_tls_sends_nobody_on_to_one_host_of_two() {
    let door = HttpsDoor::up();
    for (head, status) in [
        ("GET /x HTTP/1.1\r\nHost: a\r\n", "308"),
        ("GET http://a/x HTTP/1.1\r\nHost: a\r\n", "308"),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400"),
        ("GET http://b/x HTTP/1.1\r\nHost: a\r\n", "400"),
        ("GET /x HTTP/1.1\r\nHost: a:x\r\n", "400"),
        ("GET /healthz HTTP/1.0\r\n", "200"),
    ] {
        let mut stream = connect(door.clear());
        let request = format!("{head}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let answer = to_the_end(stream);
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
    }
}

#[test]
fn a_request_of_http_2_for_two_hosts_or_none_is_refused() {
    const OK: u8 = 0x88;
    const BAD_REQUEST: u8 = 0x8c;
    let door = HttpsDoor::up();
    for (scheme, authority, hosts, status) in [
        ("https", "a.example", &[][..], OK),
        ("https", "a.example", &["a.example"], OK),
        ("https", "a.example", &["A.example:443"], OK),
        ("https", "", &["a.example"], OK),
        ("https", "a.example:8443", &[], OK),
        ("https", "a.example", &["b.example"], BAD_REQUEST),
        (
            "https",
            "a.example",
            &["a.example", "b.example"],
            BAD_REQUEST,
        ),
        ("https", "a.example", &["a.example:444"], BAD_REQUEST),
        ("https", "", &[], BAD_REQUEST),
        ("https", "u@a.example", &[], BAD_REQUEST),
        ("https", "a,b", &[], BAD_REQUEST),
        ("https", "a.example:x", &[], BAD_REQUEST),
        ("ftp", "a.example", &[], BAD_REQUEST),
    ] {
        let always = [
            (":method", "GET"),
            (":scheme", scheme),
            (":authority", authority),
            (":path", "/healthz"),
        ];
        let mut head = Vec::new();
        for (name, value) in always
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .chain(hosts.iter().map(|host| ("host", *host)))
        {
            head.push(0);
            for text in [name, value] {
                // So short that the length is one byte.
                head.push(u8::try_from(text.len()).unwrap());
                head.extend_from_slice(text.as_bytes());
            }
        }
        let mut stream = secure(door.address(), &[b"h2"]);
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let headers = [0, 0, u8::try_from(head.len()).unwrap(), 1, 5, 0, 0, 0, 1];
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let request = [&preface[..], &settings, &headers, &head].concat();
        stream.write_all(&request).unwrap();
        stream.flush().unwrap();
        let answer = loop {
            let mut frame = [0; 9];
            stream.read_exact(&mut frame).unwrap();
            let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
            let mut held = vec![0; length as usize];
            stream.read_exact(&mut held).unwrap();
            if frame[3] == 1 {
                break held;
            }
        };
        // The first of its headers, as HPACK has it (RFC 7541 appendix A).
        assert_eq!(answer[0], status, "{scheme}, {authority}, {hosts:?}");
    }
}

#[test]
fn a_client_that_is_refused_in_the_middle_of_an_upload_learns_why() {
    let door = HttpsDoor::up();
    let folder = TempFolder::new();
    let large = folder.join("large");
    write_random(&large, 24 << 20);
    let large = large.to_str().unwrap();
    for version in ["--http1.1", "--http2"] {
        let words = [version, "-H", "Expect:", "-T", large];
        let stranger = door.ask(&words, "/api/v1/files/x");
        assert_eq!(
            (stranger.status, stranger.problem().as_str()),
            (401, "unauthenticated"),
            "{version}"
        );
        let nowhere = door.demo(&words, "/api/v1/nowhere");
        assert_eq!(nowhere.status, 404, "{version}");
    }
}

#[test]
fn a_part_of_a_file_does_not_replace_the_file() {
    let door = HttpsDoor::up();
    let folder = TempFolder::new();
    let (whole, half) = (folder.join("whole"), folder.join("half"));
    write_random(&whole, 2 << 20);
    let bytes = fs::read(&whole).unwrap();
    fs::write(&half, &bytes[..1 << 20]).unwrap();
    let at = "/api/v1/files/resumed";
    let put = door.demo(&["-T", half.to_str().unwrap()], at);
    assert_eq!(put.status, 201);
    let words = ["-C", "1048576", "-T", whole.to_str().unwrap()];
    let refused = door.demo(&words, at);
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (400, "invalid")
    );
    assert!(door.demo(&[], at).body == bytes[..1 << 20]);
}

#[test]
fn conditions_are_compared_strongly_and_answered_alike_in_a_race() {
    let door = HttpsDoor::up();
    let at = "/api/v1/files/raced";
    let once = ["-X", "PUT", "-d", "x", "-H", "If-None-Match: *"];
    let answers: Vec<_> = std::thread::scope(|scope| {
        let racing: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| door.demo(&once, at)))
            .collect();
        racing.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412, 412, 412, 412, 412]);
    let tag = door.demo(&["--head"], at);
    let tag = tag.header("etag").unwrap().to_owned();
    let change = |tag: &str| {
        let condition = format!("If-Match: {tag}");
        door.demo(&["-X", "PUT", "-d", "y", "-H", &condition], at)
            .status
    };
    assert_eq!(change(&format!("W/{tag}")), 412);
    assert_eq!(change(&tag), 200);
}

#[test]
fn a_token_adds_no_key_that_would_outlive_it() {
    let door = HttpsDoor::up();
    let json = ["-H", "Content-Type: application/json"];
    let ask = |words: &[&str], body: &str, path: &str| -> Answer {
        door.ask(&[&json[..], words, &["-d", body]].concat(), path)
    };
    let user = door.user();
    let new = json!({ "name": "a", "scopes": ["account"] }).to_string();
    let made = ask(&["--user", &user], &new, "/api/v1/tokens");
    assert_eq!(made.status, 201, "{}", made.text());
    let bearer = format!(
        "Authorization: Bearer {}",
        made.json()["token"].as_str().unwrap()
    );
    let folder = TempFolder::new();
    let key = folder.join("key");
    let mut command = std::process::Command::new("ssh-keygen");
    command
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key);
    succeed(&run(command, ""));
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let key = json!({ "key": public }).to_string();
    let by_token = ask(&["-H", &bearer], &key, "/api/v1/me/keys");
    assert_eq!(
        (by_token.status, by_token.problem().as_str()),
        (403, "scope")
    );
    let by_password = ask(&["--user", &user], &key, "/api/v1/me/keys");
    assert_eq!(by_password.status, 201, "{}", by_password.text());
}

#[test]
fn who_may_not_look_is_still_told_what_was_done() {
    let door = HttpsDoor::up();
    let admin = |words: &[&str], input: &str| door.server.admin(words, input);
    let add = [
        "account",
        "add",
        "box@demo",
        "--password-stdin",
        "--home",
        "/box",
    ];
    admin(&add, "a good secret\n");
    admin(&["grant", "remove", "box@demo", "demo:/box"], "");
    let rights = "write,make-folders,rename";
    admin(&["grant", "add", "box@demo", "demo:/box", rights], "");
    let boxed = |words: &[&str], path: &str| {
        let json = [
            "--user",
            "box@demo:a good secret",
            "-H",
            "Content-Type: application/json",
        ];
        door.ask(&[&json[..], words].concat(), path)
    };
    let made = boxed(&["-X", "POST"], "/api/v1/folders/box/in");
    assert_eq!(made.status, 201, "{}", made.text());
    let way = json!({ "from": "/box/in", "to": "/box/there" }).to_string();
    let moved = boxed(&["-d", &way], "/api/v1/move");
    assert_eq!(moved.status, 200, "{}", moved.text());
    let deep = boxed(&["-X", "POST"], "/api/v1/folders/box/a/b/c?parents=true");
    assert_eq!(deep.status, 201, "{}", deep.text());
    assert_eq!(door.demo(&[], "/api/v1/entries/box/there").status, 200);
    assert_eq!(door.demo(&[], "/api/v1/entries/box/a/b/c").status, 200);
}

#[test]
fn who_may_not_look_does_not_learn_which_names_are_files() {
    let door = HttpsDoor::up();
    let admin = |words: &[&str], input: &str| door.server.admin(words, input);
    assert_eq!(door.put("/or/there?parents=true", "x", &[]).status, 201);
    admin(
        &["account", "add", "dan@demo", "--password-stdin"],
        "long-secret\n",
    );
    admin(
        &["grant", "add", "dan@demo", "demo:/or", "set-attributes"],
        "",
    );
    let ask = |words: &[&str], path: &str| {
        let words = [&["--user", "dan@demo:long-secret"], words].concat();
        door.ask(&words, &format!("/api/v1{path}"))
    };
    let both = |asked: &dyn Fn(&str) -> Answer| {
        let (there, nowhere) = (asked("there"), asked("nowhere"));
        assert_eq!((there.status, there.text()), (403, nowhere.text()));
    };
    let put = ["-X", "PUT", "--data-binary", "x"];
    both(&|name| ask(&put, &format!("/files/or/{name}/x")));
    both(&|name| ask(&["-X", "POST"], &format!("/folders/or/{name}/x")));
    both(&|name| ask(&["-X", "DELETE"], &format!("/entries/or/{name}/x")));
    assert_eq!(ask(&put, "/files/home/dan/own").status, 201);
    for what in ["move", "copy"] {
        both(&|name| {
            let body = json!({ "from": "/home/dan/own", "to": format!("/or/{name}/x") });
            let body = body.to_string();
            let words = ["-H", "Content-Type: application/json", "-d", &body];
            ask(&words, &format!("/{what}"))
        });
    }
}

#[test]
fn archives_bring_no_rights_and_no_ways_out() {
    let door = HttpsDoor::up();
    let put = door.demo(
        &["-X", "PUT", "-d", "x"],
        "/api/v1/files/dir/..%5Cevil%0D%0A?parents=true",
    );
    assert_eq!(put.status, 201, "{}", put.text());
    let put = door.demo(&["-X", "PUT", "-d", "x"], "/api/v1/files/dir/tool");
    assert_eq!(put.status, 201);
    let mode = [
        "-X",
        "PATCH",
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"mode":"4755"}"#,
    ];
    assert_eq!(door.demo(&mode, "/api/v1/entries/dir/tool").status, 200);
    let folder = TempFolder::new();
    let packed = |format: &str| {
        let got = door.demo(&[], &format!("/api/v1/archive?path=/dir&format={format}"));
        assert_eq!(got.status, 200);
        let path = folder.join(format);
        fs::write(&path, got.body).unwrap();
        path
    };
    let listed = |program: &str, words: &[&str], path: &std::path::Path| {
        let mut command = std::process::Command::new(program);
        command.args(words).arg(path);
        succeed(&run(command, ""))
    };
    let tar = listed("tar", &["-tvf"], &packed("tar"));
    assert!(tar.contains("-rwxr-xr-x"), "{tar}");
    assert!(!tar.contains("rws"), "{tar}");
    let zip = listed("zipinfo", &["-1"], &packed("zip"));
    assert!(zip.contains("..%5Cevil%0D%0A"), "{zip}");
    assert!(!zip.contains('\\'), "{zip}");
}
