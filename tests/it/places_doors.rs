//! The limit on the sessions of an account at each door, and what clients make of it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::client::{python, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::ftp_client::{Way, certificate};
use crate::support::ftp_door::{FtpDoor, SECRET, ask, code};
use crate::support::ftp_raw::{FtpRaw, Reply};
use crate::support::https_door::{self, Answer};
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(30);

/// A server, and an account on it that may have one session.
struct Narrow {
    door: FtpDoor,
    account: String,
}

impl Narrow {
    fn up() -> Self {
        let door = FtpDoor::up();
        let account = door.account("narrow", &[]);
        let words = ["account", "set", &account, "--sessions", "1"];
        door.server.admin(&words, "");
        Self { door, account }
    }

    /// Logs in over FTP; the reply to the password.
    #[track_caller]
    fn ftp(&self) -> (FtpRaw, Reply) {
        let mut client = self.door.stranger();
        client.secure();
        assert_eq!(code(&mut client, &format!("USER {}", self.account)), 331);
        let reply = ask(&mut client, &format!("PASS {SECRET}"));
        (client, reply)
    }

    #[track_caller]
    fn hold(&self) -> FtpRaw {
        wait_for("the place", SOON, || {
            let (client, reply) = self.ftp();
            (reply.code == 230).then_some(client)
        })
    }

    fn url(&self, path: &str) -> String {
        let address = self.door.server.ready.listeners.https.unwrap();
        format!("https://{address}{path}")
    }

    fn user(&self) -> String {
        format!("{}:{SECRET}", self.account)
    }

    #[track_caller]
    fn https(&self, words: &[&str], path: &str) -> Answer {
        https_door::ask(words, &self.url(path))
    }

    /// Logs a browser in.
    #[track_caller]
    fn browser(&self) -> Answer {
        let body = format!(r#"{{"login":"{}","password":"{SECRET}"}}"#, self.account);
        let words = ["-H", "Content-Type: application/json", "--data", &body];
        self.https(&words, "/api/v1/sessions")
    }

    /// Sends a file over HTTPS, slowly.
    fn slow_upload(&self, file: &Path) -> Child {
        Command::new("curl")
            .args(["--silent", "--insecure", "--user", &self.user()])
            .args(["--limit-rate", "20k", "--upload-file"])
            .arg(file)
            .arg(self.url("/api/v1/files/slow"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn log(&self) -> String {
        self.door.server.admin(&["audit", "list", "demo"], "")
    }

    fn refusals(&self) -> usize {
        self.log()
            .matches("has 1 sessions, as many as it may have")
            .count()
    }

    /// Has curl send eight requests at once, each by a connection of its own; what came of them.
    #[track_caller]
    fn burst(&self, words: &[&str]) -> String {
        let url = self.url("/api/v1/me");
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--insecure",
            "--parallel",
            "--parallel-immediate",
        ])
        .args(["--write-out", "%{http_code} "])
        .args(words);
        for _ in 0..8 {
            curl.args(["--output", "/dev/null", &url]);
        }
        succeed(&run(curl, ""))
    }
}

#[test]
fn ftp_turns_away_with_421_and_closes_where_there_is_no_place() {
    let narrow = Narrow::up();
    let mut held = narrow.hold();
    let (mut client, reply) = narrow.ftp();
    assert_eq!(reply.code, 421, "{reply:?}");
    assert!(
        reply.text.contains(
            "the account has 1 sessions, as many as it may have; close one and try again"
        ),
        "{reply:?}"
    );
    assert!(client.reply().is_err(), "and the connection is closed");
    // A wrong password is one as ever.
    let mut client = narrow.door.stranger();
    client.secure();
    assert_eq!(code(&mut client, &format!("USER {}", narrow.account)), 331);
    assert_eq!(code(&mut client, "PASS wrong"), 530);
    // Who is logged in notices nothing.
    assert_eq!(code(&mut held, "NOOP"), 200);
    drop(held);
    drop(narrow.hold());
    narrow.door.server.stop();
}

#[test]
fn curl_and_lftp_try_again_until_there_is_a_place() {
    let narrow = Narrow::up();
    let folder = TempFolder::new();
    let file = folder.join("file");
    fs::write(&file, "at last").unwrap();
    let trusted = certificate(&narrow.door.server);
    let url = Way::Explicit.url(&narrow.door.server, "");
    let script = folder.join("script");
    let lines = format!(
        "set cmd:fail-exit yes\nset net:max-retries 100\nset net:reconnect-interval-base 1\n\
         set net:reconnect-interval-multiplier 1\nset ftp:ssl-force yes\nset ftp:ssl-protect-data yes\n\
         set ssl:ca-file {}\nset ssl:check-hostname no\nopen -u \"{},{SECRET}\" {url}\nput {} -o by-lftp\n",
        trusted.display(),
        narrow.account,
        file.display(),
    );
    fs::write(&script, lines).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--silent", "--show-error", "--ssl-reqd"])
        .args(["--retry", "100", "--retry-delay", "1"])
        .args(["--user", &narrow.user(), "--cacert"])
        .arg(&trusted)
        .arg("--upload-file")
        .arg(&file)
        .arg(format!("{url}by-curl"));
    let mut lftp = Command::new("lftp");
    lftp.args(["--norc", "-f"])
        .arg(&script)
        .env("LFTP_HOME", folder.path());
    for (name, mut command) in [("by-curl", curl), ("by-lftp", lftp)] {
        let held = narrow.hold();
        let before = narrow.refusals();
        let mut client = command.spawn().unwrap();
        wait_for("the client to be turned away twice", SOON, || {
            (narrow.refusals() >= before + 2).then_some(())
        });
        drop(held);
        let status = wait_for("the client to be done", SOON, || client.try_wait().unwrap());
        assert!(status.success(), "{name}: {status}");
        let mut held = narrow.hold();
        let got = held.download(&format!("RETR {name}")).unwrap();
        assert_eq!(got.data, b"at last", "{name}");
    }
    narrow.door.server.stop();
}

#[test]
fn who_logs_in_with_each_request_has_a_place_while_one_is_under_way() {
    let narrow = Narrow::up();
    let user = narrow.user();
    let made = narrow.https(
        &[
            "--user",
            &user,
            "-H",
            "Content-Type: application/json",
            "--data",
            r#"{"name": "backup", "scopes": ["files:read", "account"]}"#,
        ],
        "/api/v1/tokens",
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let bearer = format!(
        "Authorization: Bearer {}",
        made.json()["token"].as_str().unwrap()
    );
    let by_password = ["--user", &user];
    let by_token = ["-H", &bearer];
    for shown in [&by_password, &by_token] {
        let me = || narrow.https(shown, "/api/v1/me").status;
        wait_for("the place", SOON, || (me() == 200).then_some(()));
        // One after the other, also for one that goes on with what it showed before.
        let held = narrow.hold();
        let refused = narrow.https(shown, "/api/v1/me");
        assert_eq!((refused.status, refused.problem().as_str()), (429, "busy"));
        drop(held);
        wait_for("the place", SOON, || (me() == 200).then_some(()));
    }
    let find = ["--user", &user, "-X", "PROPFIND", "-H", "Depth: 0"];
    assert_eq!(narrow.https(&find, "/dav/").status, 207);
    let held = narrow.hold();
    assert_eq!(narrow.https(&find, "/dav/").status, 429);
    drop(held);

    let folder = TempFolder::new();
    let file = folder.join("file");
    fs::write(&file, vec![7; 4 << 20]).unwrap();
    let mut upload = wait_for("the upload to be under way", SOON, || {
        let mut upload = narrow.slow_upload(&file);
        let begun = wait_for("the upload to have a place or none", SOON, || {
            let (_, reply) = narrow.ftp();
            let is_refused = reply.code == 421;
            (is_refused || upload.try_wait().unwrap().is_some()).then_some(is_refused)
        });
        begun.then_some(upload)
    });
    // Requests of the same client share its place.
    assert_eq!(narrow.https(&by_password, "/api/v1/me").status, 200);
    assert_eq!(narrow.https(&by_token, "/api/v1/me").status, 429);
    upload.kill().unwrap();
    upload.wait().unwrap();
    drop(narrow.hold());
    narrow.door.server.stop();
}

#[test]
fn a_browser_has_its_place_until_it_logs_out() {
    let narrow = Narrow::up();
    let held = narrow.hold();
    let refused = narrow.browser();
    assert_eq!((refused.status, refused.problem().as_str()), (429, "busy"));
    drop(held);
    let login = wait_for("the place", SOON, || {
        let login = narrow.browser();
        (login.status == 201).then_some(login)
    });
    assert_eq!(narrow.ftp().1.code, 421);
    let cookie = login.header("set-cookie").unwrap();
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let csrf = login.json()["csrf"].as_str().unwrap().to_owned();
    let csrf = format!("X-Sealift-CSRF: {csrf}");
    let words = [
        "-X",
        "DELETE",
        "-H",
        &cookie,
        "-H",
        &csrf,
        "-H",
        "Sec-Fetch-Site: same-origin",
    ];
    let out = narrow.https(&words, "/api/v1/sessions/current");
    assert_eq!(out.status, 204, "{}", out.text());
    drop(narrow.hold());
    narrow.door.server.stop();
}

#[test]
fn a_browser_that_never_came_back_gives_its_place_when_its_session_ends() {
    let narrow = Narrow::up();
    assert_eq!(narrow.browser().status, 201);
    assert_eq!(narrow.ftp().1.code, 421);
    for step in ["disable", "enable"] {
        narrow
            .door
            .server
            .admin(&["account", step, &narrow.account], "");
    }
    drop(narrow.hold());
    narrow.door.server.stop();
}

#[test]
fn the_first_requests_of_a_client_take_one_place_together() {
    const ALL: &str = "200 200 200 200 200 200 200 200 ";
    let narrow = Narrow::up();
    for round in 0..4 {
        let account = narrow.door.account(&format!("client{round}"), &[]);
        let words = ["account", "set", &account, "--sessions", "1"];
        narrow.door.server.admin(&words, "");
        let user = format!("{account}:{SECRET}");
        assert_eq!(narrow.burst(&["--user", &user]), ALL);
        let new = r#"{"name": "burst", "scopes": ["files:read"]}"#;
        let json = ["-H", "Content-Type: application/json", "--data", new];
        let made = [&["--user", &user][..], &json].concat();
        let made = narrow.https(&made, "/api/v1/tokens");
        assert_eq!(made.status, 201, "{}", made.text());
        let token = made.json()["token"].as_str().unwrap().to_owned();
        let bearer = format!("Authorization: Bearer {token}");
        wait_for("the place", SOON, || {
            let again = narrow.https(&["-H", &bearer], "/api/v1/me").status;
            (again == 200).then_some(())
        });
        assert_eq!(narrow.burst(&["-H", &bearer]), ALL);
    }
    let log = narrow.log();
    assert!(!log.contains("login-failed"), "{log}");
    narrow.door.server.stop();
}

#[test]
fn rclone_begins_with_all_its_transfers_at_once_where_there_is_one_place() {
    let narrow = Narrow::up();
    let folder = TempFolder::new();
    let out = folder.folder("out");
    for number in 0..32 {
        fs::write(out.join(format!("f{number}")), "x".repeat(number)).unwrap();
    }
    let program = python("rclone");
    let mut obscure = Command::new(&program);
    obscure.args(["obscure", SECRET]);
    let secret = succeed(&run(obscure, ""));
    let mut rclone = Command::new(program);
    rclone
        .args(["--config", "/dev/null", "--retries", "1"])
        .args(["--low-level-retries", "1", "--no-check-certificate"])
        .args(["--transfers", "8", "--checkers", "8", "copy"])
        .arg(&out)
        .arg("peer:there")
        .env("RCLONE_CONFIG_PEER_TYPE", "webdav")
        .env("RCLONE_CONFIG_PEER_URL", narrow.url("/dav/"))
        .env("RCLONE_CONFIG_PEER_VENDOR", "other")
        .env("RCLONE_CONFIG_PEER_USER", &narrow.account)
        .env("RCLONE_CONFIG_PEER_PASS", secret.trim());
    succeed(&run(rclone, ""));
    let log = narrow.log();
    assert!(!log.contains("login-failed"), "{log}");
    narrow.door.server.stop();
}
