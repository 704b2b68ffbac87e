//! Real clients go on with uploads that broke off.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::client::{SshOptions, paramiko, quote, run, sftp, sftp_ok, succeed};
use crate::support::folder::{TempFolder, write_random};
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

const SIZE: u64 = 30_000_000;
/// What was sent when it breaks off.
const SENT: usize = 20_000_000;
/// What a broken connection may cost, and what the death of the server may.
const FRAME: u64 = 64 << 10;
const PART: u64 = 8 << 20;

/// What is not told to anybody yet.
struct BrokenOff {
    server: Server,
    options: SshOptions,
    folder: TempFolder,
    local: PathBuf,
}

impl BrokenOff {
    fn new(cut: impl FnOnce(Server, Child) -> Server) -> Self {
        let folder = TempFolder::new();
        let server = Server::up(&folder.join("data"));
        let options = SshOptions::with_new_key(&server, folder.path());
        let local = folder.join("local");
        write_random(&local, SIZE);
        let words = ["held", local.to_str().unwrap(), &SENT.to_string()];
        let mut client = paramiko("break_off.py", &server, &words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(client.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "sent\n");
        let server = cut(server, client);
        Self {
            server,
            options,
            folder,
            local,
        }
    }

    /// How much is kept, as its own account sees it.
    fn kept(&self) -> u64 {
        wait_for("the upload to be kept", Duration::from_secs(30), || {
            let listed = sftp(&self.server, &self.options, &[], "ls -ln held\n");
            let listed = String::from_utf8(listed.stdout).unwrap();
            let size = listed.lines().find(|line| line.starts_with('-'))?;
            size.split_whitespace().nth(4)?.parse().ok()
        })
    }

    fn check(self) {
        let back = self.folder.join("back");
        sftp_ok(
            &self.server,
            &self.options,
            &format!("get held {}\n", quote(&back)),
        );
        assert!(fs::read(&back).unwrap() == fs::read(&self.local).unwrap());
        let data = self.folder.join("data");
        self.server.stop();
        let data = data.to_str().unwrap();
        succeed(&crate::support::server::sealift(
            &["fsck", "--data", data, "--json"],
            "",
        ));
    }
}

fn connection_lost(server: Server, mut client: Child) -> Server {
    client.kill().unwrap();
    client.wait().unwrap();
    server
}

fn server_killed(server: Server, mut client: Child) -> Server {
    let data = server.data().to_owned();
    server.kill();
    client.kill().unwrap();
    client.wait().unwrap();
    Server::up(&data)
}

#[test]
fn reput_goes_on_after_a_lost_connection() {
    let broken = BrokenOff::new(connection_lost);
    let kept = broken.kept();
    assert!(kept < SENT as u64 && kept + FRAME >= SENT as u64, "{kept}");
    reput(&broken);
    broken.check();
}

#[test]
fn reput_goes_on_after_the_server_was_killed() {
    let broken = BrokenOff::new(server_killed);
    let kept = broken.kept();
    assert!(
        kept < SENT as u64 && kept + 2 * PART >= SENT as u64,
        "{kept}"
    );
    reput(&broken);
    broken.check();
}

fn reput(broken: &BrokenOff) {
    let batch = format!("reput {} held\n", quote(&broken.local));
    sftp_ok(&broken.server, &broken.options, &batch);
}

#[test]
fn lftp_goes_on_after_a_lost_connection() {
    let broken = BrokenOff::new(connection_lost);
    assert!(broken.kept() > 0);
    let script = script(&broken);
    let mut command = Command::new("lftp");
    command
        .args(["--norc", "-f"])
        .arg(script)
        .env("LFTP_HOME", broken.folder.path())
        .env("LC_ALL", "C.UTF-8");
    succeed(&run(command, ""));
    broken.check();
}

fn script(broken: &BrokenOff) -> PathBuf {
    let connect = format!("ssh -a -x {}", broken.options.words().join(" "));
    let script = format!(
        "set sftp:connect-program \"{connect}\"\n\
         set sftp:auto-confirm yes\nset cmd:fail-exit yes\n\
         set net:max-retries 1\nset net:timeout 60\n\
         open -u {DEMO},none -p {} sftp://127.0.0.1\n\
         put -c {} -o held\n",
        broken.server.port(),
        quote(&broken.local),
    );
    let path: &Path = &broken.folder.join("script");
    fs::write(path, script).unwrap();
    path.to_owned()
}
