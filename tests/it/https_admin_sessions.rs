//! Sessions in progress, seen and ended by whoever may, also those of another server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::admin_door::AdminDoor;
use crate::support::folder::TempFolder;
use crate::support::ftp_door::FtpDoor;
use crate::support::ftp_raw::FtpRaw;
use crate::support::https_door::{Answer, ask};
use crate::support::server::sealift;
use crate::support::tus::Tus;
use crate::support::two::{SECRET, Two};
use crate::support::wait::wait_for;
use crate::support::web_client::Browser;

const SOON: Duration = Duration::from_secs(30);
const TOLD: &str = "an administrator ended this session";

/// OpenSSH's sftp, which has logged in and waits for commands.
struct Sftp {
    client: Child,
}

impl Sftp {
    fn log_in(port: u16, account: &str) -> Self {
        let mut client = Command::new("sshpass")
            .args(["-p", SECRET, "sftp", "-F", "none"])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args([
                "-o",
                "PreferredAuthentications=password",
                "-o",
                "PubkeyAuthentication=no",
            ])
            .args(["-P", &port.to_string()])
            .arg(format!("{account}@127.0.0.1"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(client.stdin.as_mut().unwrap(), "pwd").unwrap();
        let mut lines = BufReader::new(client.stdout.as_mut().unwrap()).lines();
        let is_there = |line: &String| line.contains("Remote working directory");
        lines
            .find(|line| line.as_ref().is_ok_and(is_there))
            .unwrap()
            .unwrap();
        Self { client }
    }

    /// Waits until its session was ended; returns what it complained of.
    fn ended(mut self) -> String {
        let child = &mut self.client;
        let mut commands = child.stdin.take().unwrap();
        // It notices only when it has something to ask.
        wait_for("sftp to end", SOON, || {
            let _ = writeln!(commands, "pwd\nls");
            child.try_wait().unwrap()
        });
        let mut said = String::new();
        let errors = self.client.stderr.as_mut().unwrap();
        errors.read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Sftp {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// The session of an account by a protocol, as soon as it is shown.
#[track_caller]
fn session(list: impl Fn() -> Answer, login: &str, protocol: &str) -> Value {
    wait_for("the session to be shown", SOON, || {
        let answer = list();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let all = answer.json();
        let mut items = all["items"].as_array().unwrap().iter();
        let is_it = |one: &&Value| one["login"] == login && one["protocol"] == protocol;
        items.find(is_it).cloned()
    })
}

fn id(session: &Value) -> &str {
    session["id"].as_str().unwrap()
}

#[test]
fn a_session_of_each_protocol_is_seen_and_ended_with_a_word_to_its_client() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    let path = "/tenants/demo/sessions";
    let list = || admin.root(&[], &format!("{path}?user=ann"));
    let end = |session: &Value| {
        admin.done("DELETE", &format!("{path}/{}", id(session)), None);
    };

    let sftp = Sftp::log_in(admin.server().port(), "ann@demo");
    let seen = session(list, "ann@demo", "sftp");
    assert_eq!(seen["address"], "127.0.0.1");
    assert_eq!(seen["instance"], admin.server().ready.instance.as_str());
    assert!(seen["began_at"].as_str().unwrap().ends_with('Z'));
    end(&seen);
    let said = sftp.ended();
    assert!(said.contains(TOLD), "{said}");

    let ftps = admin.server().ready.listeners.ftps.unwrap();
    let mut ftp = FtpDoor::implicit_at(ftps);
    ftp.login("ann@demo", "long-secret");
    end(&session(list, "ann@demo", "ftps"));
    let told = ftp.reply().unwrap();
    assert_eq!(told.code, 421);
    assert!(told.text.contains(TOLD), "{}", told.text);
    assert!(ftp.reply().is_err(), "and the connection is closed");

    let browser = Browser::log_in(&admin.door, "ann@demo", "long-secret");
    assert_eq!(browser.ask(&[], "/api/v1/me").status, 200);
    end(&session(list, "ann@demo", "https"));
    let refused = browser.ask(&[], "/api/v1/me");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (401, "unauthenticated")
    );

    // Nothing is left, and nobody else was disturbed.
    wait_for("no session to be left", SOON, || {
        list().json()["items"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    });
    let missing = admin.root(&["-X", "DELETE"], &format!("{path}/{}", id(&seen)));
    assert_eq!(
        (missing.status, missing.problem().as_str()),
        (404, "not-found")
    );
    assert_eq!(
        admin.root(&["-X", "DELETE"], &format!("{path}/x")).status,
        400
    );
    admin.server().audit_with("each end", |log| {
        ["sftp", "ftps", "https"]
            .iter()
            .all(|protocol| log.contains(&format!(", {protocol} (by operator root)")))
    });
}

#[test]
fn sessions_in_the_clear_and_of_drives_are_seen_and_ended_too() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    let plain = Some(r#"{"clear_text":true}"#);
    admin.done("PATCH", "/tenants/demo/accounts/ann", plain);
    let path = "/tenants/demo/sessions";
    let list = || admin.root(&[], &format!("{path}?user=ann"));
    let end = |session: &Value| {
        admin.done("DELETE", &format!("{path}/{}", id(session)), None);
    };

    let ftp = admin.server().ready.listeners.ftp.unwrap();
    let (mut ftp, _) = FtpRaw::connect(ftp).unwrap();
    ftp.login("ann@demo", "long-secret");
    end(&session(list, "ann@demo", "ftp"));
    let told = ftp.reply().unwrap();
    assert_eq!(told.code, 421);
    assert!(told.text.contains(TOLD), "{}", told.text);
    assert!(ftp.reply().is_err(), "and the connection is closed");

    let words = [
        "--user",
        "ann@demo:long-secret",
        "-X",
        "PROPFIND",
        "-H",
        "Depth: 0",
    ];
    let look = || admin.door.ask(&words, "/dav/home/ann/").status;
    assert_eq!(look(), 207);
    let seen = session(list, "ann@demo", "webdav");
    end(&seen);
    wait_for("the session to be gone", SOON, || {
        let is_there = list().text().contains(id(&seen));
        (!is_there).then_some(())
    });
    // Whoever has the password begins another one.
    assert_eq!(look(), 207);
    let next = session(list, "ann@demo", "webdav");
    assert_ne!(id(&next), id(&seen));
    admin.server().audit_with("each end", |log| {
        ["ftp", "webdav"]
            .iter()
            .all(|protocol| log.contains(&format!(", {protocol} (by operator root)")))
    });
}

#[test]
fn a_transfer_in_a_session_that_is_ended_breaks_off() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    let folder = TempFolder::new();
    fs::write(folder.join("long"), vec![7; 4 << 20]).unwrap();
    let mut upload = Command::new("curl")
        .args(["--silent", "--insecure", "--user", "ann@demo:long-secret"])
        .args(["--limit-rate", "20k", "--upload-file"])
        .arg(folder.join("long"))
        .arg(admin.door.url("/api/v1/files/home/ann/long"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let path = "/tenants/demo/sessions";
    let seen = session(|| admin.root(&[], path), "ann@demo", "https");
    admin.done("DELETE", &format!("{path}/{}", id(&seen)), None);
    wait_for("the upload to break off", SOON, || {
        upload.try_wait().unwrap()
    });
    let file = admin.door.demo(&[], "/api/v1/files/home/ann/long");
    assert_eq!(file.status, 404, "nothing half was stored");
}

#[test]
fn an_upload_that_goes_on_later_stops_with_its_session() {
    let admin = AdminDoor::up();
    admin.account("demo", "ann", false);
    let address = admin.door.address().to_string();
    let tus = Tus::at(&address, "ann@demo:long-secret");
    let at = tus.begin("/home/ann/long", 1 << 20);
    let _held = tus.hold(&at, 0, b"what came is kept");
    let path = "/tenants/demo/sessions";
    let seen = session(|| admin.root(&[], path), "ann@demo", "https");
    admin.done("DELETE", &format!("{path}/{}", id(&seen)), None);
    wait_for("the upload to be free for another session", SOON, || {
        let offset = tus.offset(&at);
        (tus.patch(&at, offset, b"more", &[]).status == 204).then_some(())
    });
}

#[test]
fn administrators_see_and_end_the_sessions_of_their_tenant() {
    let admin = AdminDoor::up();
    admin.account("demo", "chief", true);
    admin.account("demo", "ann", false);
    let sftp = Sftp::log_in(admin.server().port(), "ann@demo");
    let list = || admin.account_asks("chief@demo", &[], "/sessions");
    let seen = session(list, "ann@demo", "sftp");
    let path = format!("/sessions/{}", id(&seen));
    let ended = admin.account_asks("chief@demo", &["-X", "DELETE"], &path);
    assert_eq!(ended.status, 204, "{}", ended.text());
    assert!(sftp.ended().contains(TOLD));
}

#[test]
fn a_session_at_another_server_is_seen_and_ended() {
    let two = Two::new();
    let (one, other) = (two.start("one"), two.start("other"));
    let words = [
        "admin", "token", "create", "--name", "root", "--role", "operator",
    ];
    let made: Value = serde_json::from_str(&two.run(&[&words[..], &["--json"]].concat())).unwrap();
    let bearer = format!("Authorization: Bearer {}", made["token"].as_str().unwrap());
    let path = format!(
        "https://{}/api/v1/tenants/acme/sessions",
        one.admin.unwrap()
    );
    let list = || ask(&["-H", &bearer], &path);
    let end = |session: &Value| {
        let url = format!("{path}/{}", id(session));
        assert_eq!(ask(&["-H", &bearer, "-X", "DELETE"], &url).status, 204);
    };

    let sftp = Sftp::log_in(other.port, "ann@acme");
    let seen = session(list, "ann@acme", "sftp");
    assert_eq!(seen["instance"], other.instance.as_str());
    end(&seen);
    assert!(sftp.ended().contains(TOLD));

    let (mut ftp, _) = FtpRaw::connect(other.ftp.unwrap()).unwrap();
    ftp.secure();
    ftp.login("ann@acme", SECRET);
    end(&session(list, "ann@acme", "ftps"));
    assert_eq!(ftp.reply().unwrap().code, 421);

    let url = format!("https://{}/api/v1/me", other.https.unwrap());
    let body = r#"{"login":"ann@acme","password":"long-secret"}"#;
    let words = ["-H", "Content-Type: application/json", "--data", body];
    let login = ask(&words, &url.replace("/me", "/sessions"));
    assert_eq!(login.status, 201, "{}", login.text());
    let cookie = login
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let cookie = format!("Cookie: {cookie}");
    assert_eq!(ask(&["-H", &cookie], &url).status, 200);
    end(&session(list, "ann@acme", "https"));
    wait_for("the browser to be logged out", SOON, || {
        (ask(&["-H", &cookie], &url).status == 401).then_some(())
    });

    // What a server that died had going on is shown no more once its lease is over; one that ends in
    // good order takes its sessions with it.
    let _sftp = Sftp::log_in(other.port, "ann@acme");
    session(list, "ann@acme", "sftp");
    other.stop();
    assert!(list().json()["items"].as_array().unwrap().is_empty());

    // The server's role makes no operators.
    let config = fs::read_to_string(two.config("one")).unwrap();
    let lines = config.lines().filter(|line| !line.starts_with("owner_url"));
    fs::write(two.config("poor"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let poor = two.config("poor");
    let words = [
        "admin", "token", "create", "--name", "eve", "--role", "operator",
    ];
    let ran = sealift(
        &[&words[..], &["--config", poor.to_str().unwrap()]].concat(),
        "",
    );
    assert_eq!(ran.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("owner_url"), "{said}");
    one.stop();
}
