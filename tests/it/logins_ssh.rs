//! Logins in several steps, by the clients that people have.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sealift::crypto::totp::step_at;
use sealift::domain::clock::{Clock, SystemClock};
use serde_json::Value;

use crate::logins::from_uri;
use crate::support::balancer::{V1, balancer};
use crate::support::client::{SshOptions, paramiko, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::hold::HeldUpload;
use crate::support::server::{DEMO, Server, sealift};
use crate::support::wait::wait_for;

/// A server whose demo account has a key beside its password.
struct Setting {
    folder: TempFolder,
    server: Server,
    options: SshOptions,
}

impl Setting {
    fn new() -> Self {
        let folder = TempFolder::new();
        let server = Server::up(&folder.join("data"));
        let options = SshOptions::with_new_key(&server, folder.path());
        Self {
            folder,
            server,
            options,
        }
    }

    fn methods(&self, words: &[&str]) {
        let words = [&["account", "methods", DEMO], words].concat();
        self.server.admin(&words, "");
    }

    /// The fingerprints of the SSH authorities, in the order in which they were added.
    fn authorities(&self) -> Vec<String> {
        let all = self
            .server
            .admin(&["tenant", "ca", "list", "demo", "--json"], "");
        let all: Vec<Value> = serde_json::from_str(&all).unwrap();
        let prints = all.iter().map(|one| one["fingerprint"].as_str());
        prints.map(|print| print.unwrap().to_owned()).collect()
    }

    /// Gives the account a second factor; returns a code of it.
    fn code(&self) -> String {
        let made = self
            .server
            .admin(&["account", "totp", "add", DEMO, "--json"], "");
        let made: Value = serde_json::from_str(&made).unwrap();
        assert_eq!(made["recovery_codes"].as_array().unwrap().len(), 10);
        from_uri(made["uri"].as_str().unwrap()).code(step_at(SystemClock.now()))
    }

    fn paramiko(&self, case: &str, code: &str) {
        let key = self.folder.join("client-key");
        let words = [case, key.to_str().unwrap(), code];
        succeed(&run(paramiko("logins.py", &self.server, &words), ""));
    }

    /// OpenSSH's client, at whose questions a program answers as a person would.
    fn openssh(&self, options: &[&str], code: &str) -> Output {
        let askpass = askpass(self.folder.path(), &self.server.password(), code);
        let mut command = Command::new("sftp");
        command
            .args(["-q", "-P", &self.server.port().to_string()])
            .args(self.options.words())
            .args([
                "-o",
                &format!("User={DEMO}"),
                "-o",
                "NumberOfPasswordPrompts=1",
            ])
            .args(options.iter().flat_map(|option| ["-o", option]))
            .arg("127.0.0.1")
            .env("SSH_ASKPASS", askpass)
            .env("SSH_ASKPASS_REQUIRE", "force");
        run(command, "pwd\n")
    }
}

fn askpass(folder: &Path, password: &str, code: &str) -> PathBuf {
    let program = folder.join("askpass");
    let text = format!(
        "#!/bin/sh\ncase \"$1\" in *\"Verification code: \") echo '{code}';; *) echo '{password}';; esac\n"
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    program
}

#[track_caller]
fn refused(output: &Output) {
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn openssh_goes_through_a_key_and_then_a_password() {
    let setting = Setting::new();
    setting.methods(&["publickey,password"]);
    succeed(&setting.openssh(&[], ""));
    for one in ["publickey", "password", "keyboard-interactive"] {
        let only = format!("PreferredAuthentications={one}");
        refused(&setting.openssh(&[&only], ""));
    }
    // A key that was offered too early is not offered again, so the client must know the order.
    setting.methods(&["password,publickey"]);
    succeed(&setting.openssh(&["PreferredAuthentications=password,publickey"], ""));
    setting.server.stop();
}

#[test]
fn openssh_answers_for_password_and_code() {
    let setting = Setting::new();
    let only = "PreferredAuthentications=keyboard-interactive";
    succeed(&setting.openssh(&[only], ""));
    let code = setting.code();
    succeed(&setting.openssh(&[only], &code));
    refused(&setting.openssh(&[only], &code));
    setting.server.stop();
}

#[test]
fn openssh_gives_a_code_after_its_key() {
    let setting = Setting::new();
    let code = setting.code();
    setting.methods(&["publickey,keyboard-interactive:totp"]);
    succeed(&setting.openssh(&[], &code));
    refused(&setting.openssh(&[], "000000"));
    refused(&setting.openssh(&["PreferredAuthentications=publickey"], &code));
    setting.server.stop();
}

#[test]
fn sshpass_appends_the_code_where_the_account_says_so() {
    let setting = Setting::new();
    let code = setting.code();
    setting.methods(&["--appended-code", "true"]);
    let password = format!("{}{code}", setting.server.password());
    let login = || {
        let mut command = Command::new("sshpass");
        command
            .args(["-p", &password, "sftp", "-q", "-P"])
            .arg(setting.server.port().to_string())
            .args(setting.options.words())
            .args([
                "-o",
                "PreferredAuthentications=password",
                "-o",
                "NumberOfPasswordPrompts=1",
            ])
            .args(["-o", &format!("User={DEMO}"), "127.0.0.1"]);
        run(command, "pwd\n")
    };
    succeed(&login());
    assert!(!login().status.success(), "a code was taken twice");
    setting.server.stop();
}

/// A tenant's authority in `folder`, and certificates by it.
struct Authority {
    key: PathBuf,
    user: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let authority = Self {
            key: folder.join(name),
            user: folder.join(format!("{name}-user")),
        };
        for key in [&authority.key, &authority.user] {
            keygen(&["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        }
        authority
    }

    /// Certifies the user's key, in place of an older certificate.
    fn certify(&self, words: &[&str]) {
        let (key, user) = (self.key.to_str().unwrap(), self.user.with_extension("pub"));
        let words = [&["-q", "-s", key], words, &[user.to_str().unwrap()]].concat();
        keygen(&words);
    }

    fn log_in(&self, setting: &Setting) -> Output {
        let identity = format!("IdentityFile={}", self.user.display());
        let certificate = format!("CertificateFile={}-cert.pub", self.user.display());
        let mut command = Command::new("sftp");
        command
            .args(["-q", "-b", "-", "-P", &setting.server.port().to_string()])
            .args(["-F", "none", "-o", "IdentitiesOnly=yes"])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args([
                "-o",
                &identity,
                "-o",
                &certificate,
                "-o",
                &format!("User={DEMO}"),
            ])
            .arg("127.0.0.1");
        run(command, "pwd\n")
    }
}

fn keygen(words: &[&str]) {
    let made = Command::new("ssh-keygen").args(words).output().unwrap();
    assert!(made.status.success(), "{words:?}: {made:?}");
}

#[test]
fn certificates_open_what_they_name_while_they_are_valid() {
    let setting = Setting::new();
    let folder = setting.folder.path();
    let [ours, other] = ["ca", "other"].map(|name| Authority::new(folder, name));
    let admin = |words: &[&str]| setting.server.admin(words, "");
    ours.certify(&["-I", "laptop", "-n", "demo", "-z", "7", "-V", "-1h:+1h"]);
    refused(&ours.log_in(&setting));
    let public = ours.key.with_extension("pub");
    admin(&["tenant", "ca", "add", "demo", public.to_str().unwrap()]);
    succeed(&ours.log_in(&setting));
    setting
        .server
        .audit_with("it", |log| log.contains("certificate serial 7, id "));
    // The bare key opens nothing.
    fs::rename(folder.join("ca-user-cert.pub"), folder.join("kept")).unwrap();
    refused(&ours.log_in(&setting));

    for right in [
        &["-n", "demo@demo"][..],
        &["-n", "somebody,demo"],
        &["-n", "demo", "-O", "source-address=127.0.0.0/8,::1"],
        &["-n", "demo", "-O", "clear", "-O", "no-pty"],
        &["-n", "demo", "-O", "extension:odd@example.com=value"],
    ] {
        ours.certify(&[&["-I", "right"], right].concat());
        succeed(&ours.log_in(&setting));
    }
    for wrong in [
        &["-n", "somebody"][..],
        &["-n", "demo@other"],
        &["-n", "DEMO"],
        &[],
        &["-n", "demo", "-V", "-2h:-1h"],
        &["-n", "demo", "-V", "+1h:+2h"],
        &["-n", "demo", "-h"],
        &["-n", "demo", "-O", "source-address=192.0.2.0/24"],
        &["-n", "demo", "-O", "force-command=ls"],
        &["-n", "demo", "-O", "verify-required"],
        &["-n", "demo", "-O", "critical:odd@example.com=value"],
    ] {
        ours.certify(&[&["-I", "wrong"], wrong].concat());
        refused(&ours.log_in(&setting));
    }
    // Another tenant trusts this one.
    other.certify(&["-I", "laptop", "-n", "demo"]);
    admin(&["tenant", "add", "elsewhere"]);
    let public = other.key.with_extension("pub");
    admin(&["tenant", "ca", "add", "elsewhere", public.to_str().unwrap()]);
    refused(&other.log_in(&setting));
    let log = setting
        .server
        .audit_with("all", |log| log.contains("has the option"));
    for reason in [
        "names others",
        "is for other addresses",
        "forces a command",
        "has the option",
    ] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
    setting.server.stop();
}

#[test]
fn certificates_can_be_revoked_and_bound_to_names() {
    let setting = Setting::new();
    let folder = setting.folder.path();
    let ours = Authority::new(folder, "ca");
    let admin = |words: &[&str]| setting.server.admin(words, "");
    let public = ours.key.with_extension("pub");
    admin(&["tenant", "ca", "add", "demo", public.to_str().unwrap()]);
    admin(&["account", "principals", DEMO, "ops team", "deploy"]);
    ours.certify(&["-I", "a", "-n", "demo"]);
    refused(&ours.log_in(&setting));
    ours.certify(&["-I", "a", "-z", "1", "-n", "deploy"]);
    succeed(&ours.log_in(&setting));

    let another = Authority::new(folder, "another");
    let public = another.key.with_extension("pub");
    admin(&["tenant", "ca", "add", "demo", public.to_str().unwrap()]);
    let revoke = ["tenant", "ca", "revoke", "demo"];
    let of_another = ["--serial", "1", "--ca", &setting.authorities()[1]];
    admin(&[&revoke[..], &of_another].concat());
    succeed(&ours.log_in(&setting));

    // What can be no certificate's, or no trusted key's, is not revoked without a word.
    let own = setting.authorities()[0].clone();
    let data = setting.server.data().to_str().unwrap();
    for (words, subject) in [
        (&["--serial", "1", "--ca", &own[..40]][..], "does not trust"),
        (&["--serial", "1", "--ca", &own[7..]], "does not trust"),
        (&["--serial", "1", "--ca", ""], "does not trust"),
        (&["--key", "SHA256:zzz"], "is no fingerprint"),
        (&["--key", &format!("{own}=")], "is no fingerprint"),
        (&["--key-id", ""], "is empty"),
    ] {
        let ran = sealift(&[&revoke, words, &["--data", data]].concat(), "");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(
            !ran.status.success() && said.contains(subject),
            "{words:?}: {said}"
        );
    }
    assert_eq!(admin(&revoke).lines().count(), 2);
    admin(&["tenant", "ca", "revoke", "demo", "--serial", "1"]);
    refused(&ours.log_in(&setting));
    let id = "ann's \u{1b}[2J laptop";
    ours.certify(&["-I", id, "-z", "2", "-n", "deploy"]);
    succeed(&ours.log_in(&setting));
    admin(&["tenant", "ca", "revoke", "demo", "--key-id", id]);
    refused(&ours.log_in(&setting));
    // Whoever looks for the id finds the logins with it and its end; a terminal is spared.
    let named = "ann's \\u{1b}[2J laptop";
    setting.server.audit_with("all three", |_| {
        let found = admin(&["audit", "list", "demo", "--path", named, "--json"]);
        let found: Vec<Value> = serde_json::from_str(&found).unwrap();
        let kinds: Vec<_> = found.iter().map(|record| &record["kind"]).collect();
        kinds == ["login-failed", "ca-revoke", "login"]
    });
    ours.certify(&["-I", "c", "-z", "3", "-n", "deploy"]);
    succeed(&ours.log_in(&setting));
    let key = ours.user.with_extension("pub");
    let listed = admin(&[
        "tenant",
        "ca",
        "revoke",
        "demo",
        "--key",
        key.to_str().unwrap(),
    ]);
    assert_eq!(listed.lines().count(), 5, "{listed}");
    refused(&ours.log_in(&setting));

    // A certificate is a key, where a key must come first.
    let fresh = Authority::new(folder, "ca2");
    let public = fresh.key.with_extension("pub");
    admin(&["tenant", "ca", "add", "demo", public.to_str().unwrap()]);
    fresh.certify(&["-I", "d", "-n", "deploy"]);
    succeed(&fresh.log_in(&setting));
    setting.methods(&["publickey,password"]);
    refused(&fresh.log_in(&setting));
    setting.methods(&["any"]);
    admin(&["tenant", "ca", "remove", "demo", &setting.authorities()[2]]);
    refused(&fresh.log_in(&setting));
    setting.server.stop();
}

#[test]
fn paramiko_goes_through_methods_in_their_order_only() {
    let setting = Setting::new();
    setting.methods(&["publickey,password"]);
    setting.paramiko("in_order", "-");
    setting.paramiko("another_name", "-");
    setting.server.stop();
}

/// As with OpenSSH's `RevokedKeys`.
#[test]
fn a_revoked_key_opens_nothing_in_whatever_form_it_is_shown() {
    let setting = Setting::new();
    let folder = setting.folder.path();
    let [ours, other] = ["ca", "other"].map(|name| Authority::new(folder, name));
    let admin = |words: &[&str]| setting.server.admin(words, "");
    let file = |key: &Path| key.with_extension("pub").to_str().unwrap().to_owned();
    for authority in [&ours, &other] {
        admin(&["tenant", "ca", "add", "demo", &file(&authority.key)]);
        authority.certify(&["-I", "laptop", "-n", "demo"]);
        succeed(&authority.log_in(&setting));
    }
    // Itself, where it is a key of the account.
    let plain = setting.folder.join("client-key");
    let by_key = ["PreferredAuthentications=publickey"];
    succeed(&setting.openssh(&by_key, ""));
    let revoke = ["tenant", "ca", "revoke", "demo", "--key"];
    let others_only = ["--ca", &setting.authorities()[1]];
    admin(&[&revoke[..], &[&file(&plain)], &others_only].concat());
    succeed(&setting.openssh(&by_key, ""));
    admin(&[&revoke[..], &[&file(&plain)]].concat());
    refused(&setting.openssh(&by_key, ""));
    // Certificates that it signed.
    admin(&[&revoke[..], &[&file(&ours.key)]].concat());
    refused(&ours.log_in(&setting));
    succeed(&other.log_in(&setting));
    // The number of all that have none is a slip.
    let data = setting.server.data().to_str().unwrap();
    let words = [
        "tenant", "ca", "revoke", "demo", "--serial", "0", "--data", data,
    ];
    let slip = sealift(&words, "");
    assert_eq!(slip.status.code(), Some(1), "{slip:?}");
    assert!(
        String::from_utf8_lossy(&slip.stderr).contains("--ca"),
        "{slip:?}"
    );
    succeed(&other.log_in(&setting));
    setting.server.stop();
}

/// As OpenSSH's sshd: a program could use a key that is plugged in behind its owner's back.
#[test]
fn a_security_key_opens_nothing_without_a_touch() {
    let setting = Setting::new();
    let seed = setting.folder.join("seed");
    fs::write(&seed, [7; 32]).unwrap();
    let script = |case: &str| {
        let words = [case, seed.to_str().unwrap(), "-"];
        succeed(&run(paramiko("logins.py", &setting.server, &words), ""));
    };
    script("security_key");
    let public = seed.with_extension("pub");
    let public = public.to_str().unwrap();
    setting
        .server
        .admin(&["account", "key", "add", DEMO, public], "");
    script("touches");
    setting.server.stop();
}

/// paramiko asks for the service anew before every method.
#[test]
fn paramiko_goes_on_after_a_refused_key() {
    let setting = Setting::new();
    setting.paramiko("refused_key", "-");
    setting.server.stop();
}

#[test]
fn paramiko_answers_questions() {
    let setting = Setting::new();
    setting.paramiko("interactive", &setting.code());
    setting.paramiko("password_then_code", &setting.code());
    setting.server.stop();
}

#[test]
fn paramiko_gets_nowhere_with_odd_answers() {
    let setting = Setting::new();
    setting.paramiko("wrong_answers", &setting.code());
    setting.paramiko("flood", "-");
    setting.server.stop();
}

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x11\xcb\x00\x71\x4d\xc6\x33\x64\x01\xc3\x50\x00\x16\x01\x00\x02h2";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// Logs in as the demo account at a port that leads to the server.
fn demo_at(options: &SshOptions, port: u16) -> Output {
    let mut command = Command::new("sftp");
    command
        .args(["-q", "-b", "-", "-P", &port.to_string()])
        .args(options.words())
        .args([
            "-o",
            &format!("User={DEMO}"),
            "-o",
            "ConnectTimeout=20",
            "127.0.0.1",
        ]);
    run(command, "pwd\n")
}

#[test]
fn a_balancer_says_for_whom_it_speaks() {
    let folder = TempFolder::new();
    let proxies = (
        "SEALIFT__SFTP__PROXIES".to_owned(),
        "127.0.0.0/8".to_owned(),
    );
    let server = Server::up_with(&folder.join("data"), &[proxies]);
    let options = SshOptions::with_new_key(&server, folder.path());
    let log_in = |port: u16| demo_at(&options, port);
    for header in [V1, V2] {
        succeed(&log_in(
            balancer(server.ready.listeners.sftp, header).port(),
        ));
    }
    let of_client = |log: &str| log.matches("\"address\":\"203.0.113.77\"").count();
    let log = server.audit_with("all", |log| of_client(log) >= 4);
    assert_eq!(of_client(&log), 4, "{log}");
    assert!(server.log().contains("peer=203.0.113.77"));
    // The client's own address is what counts.
    server.admin(
        &["account", "addresses", DEMO, "127.0.0.1", "192.0.2.0/24"],
        "",
    );
    refused(&log_in(balancer(server.ready.listeners.sftp, V1).port()));
    succeed(&log_in(balancer(server.ready.listeners.sftp, LOCAL).port()));
    server.admin(&["account", "addresses", DEMO, "203.0.113.77"], "");
    succeed(&log_in(balancer(server.ready.listeners.sftp, V1).port()));
    refused(&log_in(balancer(server.ready.listeners.sftp, LOCAL).port()));
    // Without a header, or with half of one, nobody is served.
    refused(&log_in(server.port()));
    refused(&log_in(
        balancer(server.ready.listeners.sftp, &V2[..20]).port(),
    ));
    server.stop();
}

#[test]
fn nobody_else_may_speak_for_others() {
    let folder = TempFolder::new();
    let proxies = (
        "SEALIFT__SFTP__PROXIES".to_owned(),
        "192.0.2.0/24".to_owned(),
    );
    let server = Server::up_with(&folder.join("data"), &[proxies]);
    let options = SshOptions::with_new_key(&server, folder.path());
    let log_in = |port: u16| demo_at(&options, port);
    for header in [V1, V2, LOCAL] {
        refused(&log_in(
            balancer(server.ready.listeners.sftp, header).port(),
        ));
    }
    succeed(&log_in(balancer(server.ready.listeners.sftp, b"").port()));
    server.stop();
}

#[test]
fn a_draining_server_tells_clients_why_it_hangs_up() {
    let setting = Setting::new();
    let mut client = Command::new("sftp")
        .args(["-P", &setting.server.port().to_string()])
        .args(setting.options.words())
        .args(["-o", &format!("User={DEMO}"), "127.0.0.1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = client.stdin.take().unwrap();
    wait_for("the login", Duration::from_secs(30), || {
        setting.server.log().contains("logged in").then_some(())
    });
    setting.server.stop();
    // Until then the client waits for the next command.
    drop(input);
    let ended = client.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(
        told.contains("the server is closing; connect again in a moment"),
        "{told}"
    );
}

#[test]
fn who_is_turned_away_with_nothing_but_a_key_is_told_why() {
    let setting = Setting::new();
    setting
        .server
        .admin(&["account", "set", DEMO, "--sessions", "1"], "");
    let held = HeldUpload::start(&setting.server, 1000);
    let mut command = Command::new("sftp");
    command
        .args(["-P", &setting.server.port().to_string()])
        .args(setting.options.words())
        .args(["-o", "PreferredAuthentications=publickey"])
        .args(["-o", &format!("User={DEMO}"), "127.0.0.1"]);
    let refusal = run(command, "");
    refused(&refusal);
    let told = String::from_utf8_lossy(&refusal.stderr).into_owned();
    assert!(
        told.contains("has 1 sessions, as many as it may have"),
        "{told}"
    );
    assert!(!told.contains("Permission denied"), "{told}");
    held.finish();
    setting.server.stop();
}
