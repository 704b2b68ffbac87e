//! `sealift serve` on a settings file, and OpenSSH's client on it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;

use crate::support::client::{run, succeed};
use crate::support::server::program;
use crate::support::wait::wait_for;

/// A running server; killed when dropped.
pub(crate) struct Serving {
    child: Child,
    log: PathBuf,
    pub(crate) port: u16,
    pub(crate) ftp: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) instance: String,
}

impl Serving {
    /// Starts a server on a settings file that names `ready` as its ready file.
    pub(crate) fn start(config: &Path, ready: &Path) -> Self {
        Self::start_with(config, ready, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn start_with(config: &Path, ready: &Path, variables: &[(&str, PathBuf)]) -> Self {
        let log = config.with_extension("log");
        let mut child = Command::new(program())
            .args(["serve", "--config"])
            .arg(config)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let (port, ftp, https, admin, instance) =
            wait_for("the server to be ready", Duration::from_secs(60), || {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("{status}: {}", fs::read_to_string(&log).unwrap());
                }
                let ready: Value = serde_json::from_slice(&fs::read(ready).ok()?).ok()?;
                let address = ready["listeners"]["sftp"].as_str()?.to_owned();
                let port = address.rsplit_once(':')?.1.parse().ok()?;
                let other = |name: &str| ready["listeners"][name].as_str()?.parse().ok();
                let instance = ready["instance"].as_str()?.to_owned();
                Some((port, other("ftp"), other("https"), other("admin"), instance))
            });
        Self {
            child,
            log,
            port,
            ftp,
            https,
            admin,
            instance,
        }
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Runs a batch of commands in OpenSSH's client, which must succeed; returns what it printed.
    #[track_caller]
    pub(crate) fn sftp(&self, account: &str, password: &str, commands: &str) -> String {
        let mut command = Command::new("sshpass");
        command
            .args(["-p", password, "sftp", "-F", "none"])
            .args(["-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null"])
            .args(["-P", &self.port.to_string()])
            .arg(format!("{account}@127.0.0.1"));
        succeed(&run(command, commands))
    }

    /// Sends a signal by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, name])
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.unwrap().success());
    }

    /// Ends it as a power cut would, as far as a process can see.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to drain and waits until it has.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = wait_for("the server to end", Duration::from_secs(60), || {
            self.child.try_wait().unwrap()
        });
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

impl Drop for Serving {
    #[expect(
        clippy::print_stderr,
        reason = "a failing test needs what its server said"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}---", self.log());
        }
        // It has ended already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
