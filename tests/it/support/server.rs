//! The real server program on a data folder of the test's own.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use sealift::sftp::algorithms::Algorithms;
use sealift::sftp::host_keys::HostKeys;
use serde::Deserialize;

use crate::support::cloud;
use crate::support::wait::wait_for;

/// The account that `sealift up` makes.
pub(crate) const DEMO: &str = "demo@demo";

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(90);

/// What a server tells about itself once it takes connections.
#[derive(Deserialize)]
pub(crate) struct Ready {
    pub(crate) pid: u32,
    pub(crate) instance: String,
    pub(crate) listeners: Box<Listeners>,
}

#[derive(Deserialize)]
pub(crate) struct Listeners {
    pub(crate) sftp: SocketAddr,
    pub(crate) ftp: Option<SocketAddr>,
    pub(crate) ftps: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) metrics: Option<SocketAddr>,
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    pub(crate) ready: Ready,
}

impl Server {
    /// Starts a server on `data`, making it when it is missing, and waits until it is ready.
    pub(crate) fn up(data: &Path) -> Self {
        Self::up_under(&[], data)
    }

    /// The same, with nowhere to write its log to.
    pub(crate) fn up_without_log(data: &Path) -> Self {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        Self::start(&[], data, &[], full)
    }

    /// The same, run by another program such as strace: `wrapper` comes before the server's command.
    pub(crate) fn up_under(wrapper: &[&OsStr], data: &Path) -> Self {
        Self::start(wrapper, data, &[], fs::File::create(log_of(data)).unwrap())
    }

    /// The same, with settings from the environment.
    pub(crate) fn up_with(data: &Path, variables: &[(String, String)]) -> Self {
        Self::start(
            &[],
            data,
            variables,
            fs::File::create(log_of(data)).unwrap(),
        )
    }

    /// The same, with the host keys that it makes itself.
    pub(crate) fn up_with_own_keys(data: &Path) -> Self {
        Self::launch(&[], data, &[], fs::File::create(log_of(data)).unwrap())
    }

    fn start(
        wrapper: &[&OsStr],
        data: &Path,
        variables: &[(String, String)],
        stderr: fs::File,
    ) -> Self {
        let keys = (
            "SEALIFT__SFTP__HOST_KEYS".to_owned(),
            host_keys().to_owned(),
        );
        let variables = [&[keys], variables].concat();
        Self::launch(wrapper, data, &variables, stderr)
    }

    fn launch(
        wrapper: &[&OsStr],
        data: &Path,
        variables: &[(String, String)],
        stderr: fs::File,
    ) -> Self {
        let mut words = wrapper.to_vec();
        words.push(OsStr::new(program()));
        let log = log_of(data);
        let stale = ready_pid(data);
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(["up", "--any-port", "--data"])
            .arg(data)
            .envs(cloud::ground(data))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(fs::File::create(log.with_extension("banner")).unwrap())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let ready = wait_for("the server to be ready", READY_WITHIN, || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", read(&log));
            }
            read_ready(data).filter(|ready| Some(ready.pid) != stale)
        });
        Self {
            child,
            data: data.to_owned(),
            ready,
        }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn port(&self) -> u16 {
        self.ready.listeners.sftp.port()
    }

    /// The password of the demo account.
    pub(crate) fn password(&self) -> String {
        read(&self.data.join("demo-password")).trim().to_owned()
    }

    /// What the server logged since it was started.
    pub(crate) fn log(&self) -> String {
        read(&log_of(&self.data))
    }

    /// Sends a signal by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, name])
            .arg(self.ready.pid.to_string())
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits until the server has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the server to end", STOPPED_WITHIN, || {
            child.try_wait().unwrap()
        })
    }

    /// Asks the server to drain and waits until it has.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Ends the server as a power cut would, as far as a process can see.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Runs an administration command beside the server; it must succeed.
    pub(crate) fn admin(&self, words: &[&str], input: &str) -> String {
        let mut all = words.to_vec();
        let data = self.data.to_str().unwrap();
        all.extend(["--data", data]);
        let ran = sealift(&all, input);
        let errors = String::from_utf8_lossy(&ran.stderr);
        let output = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{words:?}: {output}{errors}");
        output.into_owned()
    }

    /// The audit log of the tenant demo from its first record on, as JSON, as soon as `is_there` is content with
    /// it: what changes nothing is written down a little after it was answered.
    #[track_caller]
    pub(crate) fn audit_with(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let what = format!("{what} to be written down");
        wait_for(&what, Duration::from_secs(20), || {
            let log = self.admin(&["audit", "list", "demo", "--after", "0", "--json"], "");
            is_there(&log).then_some(log)
        })
    }
}

impl Drop for Server {
    #[expect(
        clippy::print_stderr,
        reason = "a failing test needs what its server said"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}---", self.log());
        }
        // Under strace the server is not our child, and would outlive it.
        if self.ready.pid != self.child.id() && self.child.try_wait().is_ok_and(|s| s.is_none()) {
            self.signal("KILL");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end.
pub(crate) fn sealift(words: &[&str], input: &str) -> Output {
    let data = words.iter().skip_while(|word| **word != "--data").nth(1);
    let mut child = Command::new(program())
        .args(words)
        .envs(data.map_or_else(Vec::new, |data| cloud::ground(Path::new(data))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input may close it first.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_sealift")
}

/// The folder of host keys that servers have in common, since to make them takes half of a start.
pub(crate) fn host_keys() -> &'static str {
    static MADE: LazyLock<String> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("host-keys");
        HostKeys::load_or_create(&folder, Algorithms::Strict).unwrap();
        folder.display().to_string()
    });
    &MADE
}

fn read_ready(data: &Path) -> Option<Ready> {
    serde_json::from_slice(&fs::read(data.join("ready.json")).ok()?).ok()
}

/// A killed server leaves its file behind.
fn ready_pid(data: &Path) -> Option<u32> {
    read_ready(data).map(|ready| ready.pid)
}

fn log_of(data: &Path) -> PathBuf {
    data.with_extension("log")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
