//! The clients that both sides are measured with.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::peer::Peer;
use crate::report::Outcome;

/// A key pair without a passphrase.
pub(crate) struct Key {
    pub(crate) private: PathBuf,
}

impl Key {
    pub(crate) fn make(path: &Path) -> Outcome<Self> {
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path);
        run(command, "")?;
        Ok(Self {
            private: path.to_owned(),
        })
    }

    pub(crate) fn public(&self) -> PathBuf {
        self.private.with_extension("pub")
    }
}

/// Runs a batch in OpenSSH's client with a cipher of choice.
pub(crate) fn sftp(peer: &Peer, key: &Key, cipher: &str, batch: &str) -> Outcome<()> {
    sftp_at(peer.port, &peer.user, key, cipher, batch)
}

/// The same, by way of another port.
pub(crate) fn sftp_at(port: u16, user: &str, key: &Key, cipher: &str, batch: &str) -> Outcome<()> {
    sftp_with(port, user, key, &["-c", cipher], batch)
}

/// The same with options of the client.
pub(crate) fn sftp_with(
    port: u16,
    user: &str,
    key: &Key,
    options: &[&str],
    batch: &str,
) -> Outcome<()> {
    let mut command = Command::new("sftp");
    command
        .args(["-q", "-F", "none", "-b", "-"])
        .args(options)
        .args(["-P", &port.to_string()])
        .args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ])
        .args(["-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"])
        .args(["-o", &format!("User={user}")])
        .arg("-i")
        .arg(&key.private)
        .arg("127.0.0.1");
    run(command, batch)
}

/// Copies a folder with rclone, some files at a time; `peer:` begins a path on the server.
pub(crate) fn rclone(peer: &Peer, key: &Key, at_once: usize, from: &str, to: &str) -> Outcome<()> {
    let mut command = Command::new(rclone_program());
    command
        .args(["--config", "/dev/null", "--retries", "1", "--transfers"])
        .arg(at_once.to_string())
        .args(["copy", from, to])
        .env("RCLONE_CONFIG_PEER_TYPE", "sftp")
        .env("RCLONE_CONFIG_PEER_HOST", "127.0.0.1")
        .env("RCLONE_CONFIG_PEER_PORT", peer.port.to_string())
        .env("RCLONE_CONFIG_PEER_USER", &peer.user)
        .env("RCLONE_CONFIG_PEER_KEY_FILE", &key.private)
        .env("RCLONE_CONFIG_PEER_SHELL_TYPE", "none")
        .env("RCLONE_CONFIG_PEER_DISABLE_HASHCHECK", "true");
    run(command, "")
}

/// Copies one file with rclone between places that `variables` describe.
pub(crate) fn rclone_copy(variables: &[(&str, String)], from: &str, to: &str) -> Outcome<()> {
    let mut command = Command::new(rclone_program());
    command
        .args([
            "--config",
            "/dev/null",
            "--retries",
            "1",
            "copyto",
            from,
            to,
        ])
        .envs(variables.iter().map(|(name, value)| (name, value)));
    run(command, "")
}

/// From the Python environment that `make bench` makes, or whatever is in PATH.
fn rclone_program() -> PathBuf {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    let ours = cache.map(|cache| cache.join("sealift/py/bin/rclone"));
    ours.filter(|path| path.exists())
        .unwrap_or_else(|| "rclone".into())
}

fn run(mut command: Command, input: &str) -> Outcome<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {said}", command.get_program().display()).into())
}
