//! How SFTP sessions end, and what they get no more of, as clients see it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::client::{SshOptions, paramiko, run, sftp, sftp_aloud, sftp_ok, succeed};
use crate::support::folder::TempFolder;
use crate::support::hold::HeldUpload;
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

const WITHIN: Duration = Duration::from_secs(60);

fn up_with(folder: &TempFolder, name: &str, value: &str) -> Server {
    let variable = (format!("SEALIFT__SFTP__{name}"), value.to_owned());
    Server::up_with(&folder.join("data"), &[variable])
}

/// An SFTP session without anything asked, of OpenSSH's client.
fn idle_client(server: &Server, options: &SshOptions) -> Child {
    let client = Command::new("ssh")
        .args(["-p", &server.port().to_string()])
        .args(options.words())
        .args(["-l", DEMO, "-s", "127.0.0.1", "sftp"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the login", WITHIN, || {
        server.log().contains("logged in").then_some(())
    });
    client
}

#[test]
fn a_client_that_stands_still_loses_its_session() {
    let folder = TempFolder::new();
    let server = up_with(&folder, "KEEPALIVE", "1s");
    let options = SshOptions::with_new_key(&server, folder.path());
    server.admin(&["account", "set", DEMO, "--sessions", "1"], "");
    let mut client = idle_client(&server, &options);
    let another = || sftp(&server, &options, &[], "pwd\n").status.success();
    assert!(!another(), "two sessions of one");
    let signal = |name: &str| {
        let sent = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, name])
            .arg(client.id().to_string())
            .status();
        assert!(sent.unwrap().success());
    };
    signal("STOP");
    wait_for("the session to end", WITHIN, || another().then_some(()));
    signal("CONT");
    assert!(!client.wait().unwrap().success());
    server.stop();
}

#[test]
fn a_session_in_which_nothing_is_asked_is_told_why_it_ends() {
    let folder = TempFolder::new();
    let server = up_with(&folder, "IDLE_TIME", "1s");
    let options = SshOptions::with_new_key(&server, folder.path());
    let mut client = idle_client(&server, &options);
    // What it could ask by is open all the time.
    let asks = client.stdin.take();
    let ended = client.wait_with_output().unwrap();
    drop(asks);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.contains("nothing was asked for a long time; connect again when needed"),
        "{said}"
    );
    server.stop();
}

#[test]
fn a_banner_is_shown_before_login() {
    let folder = TempFolder::new();
    let server = up_with(&folder, "BANNER", "For members only.");
    let mut command = Command::new("sftp");
    command
        .args(["-F", "none", "-b", "-", "-P", &server.port().to_string()])
        .args(["-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "PreferredAuthentications=none"])
        .args(["-o", &format!("User={DEMO}"), "127.0.0.1"]);
    let shown = run(command, "");
    assert!(!shown.status.success());
    let said = String::from_utf8_lossy(&shown.stderr);
    assert!(said.contains("For members only."), "{said}");
    server.stop();
}

#[test]
fn a_session_has_so_many_channels_and_no_more() {
    let folder = TempFolder::new();
    let server = up_with(&folder, "CHANNELS", "2");
    succeed(&run(paramiko("limits.py", &server, &["channels"]), ""));
    server.stop();
}

#[test]
fn who_finds_all_sessions_taken_is_told_so_and_the_log_is_not_flooded() {
    let folder = TempFolder::new();
    let server = up_with(&folder, "SESSIONS", "1");
    let options = SshOptions::with_new_key(&server, folder.path());
    let held = HeldUpload::start(&server, 1000);
    for _ in 0..3 {
        let refused = sftp_aloud(&server, &options);
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            said.contains("this server has as many connections as it may"),
            "{said}"
        );
    }
    let log = server.log();
    assert_eq!(log.matches("connections were refused").count(), 1, "{log}");
    held.finish();
    wait_for("a free place", WITHIN, || {
        let tried = sftp(&server, &options, &[], "pwd\n");
        tried.status.success().then_some(())
    });
    sftp_ok(&server, &options, "ls\n");
    server.stop();
}
