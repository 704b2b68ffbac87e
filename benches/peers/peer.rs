//! The servers compared: OpenSSH's sshd with its sftp-server, and Sealift.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Key;
use crate::report::Outcome;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sealift,
    Sshd,
}

impl Kind {
    /// The first is what the others are compared with.
    pub(crate) const ALL: [Self; 2] = [Self::Sshd, Self::Sealift];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sealift => "sealift",
            Self::Sshd => "sshd",
        }
    }
}

/// A running server with an empty folder, which takes `Key`; killed and wiped when dropped.
pub(crate) struct Peer {
    child: Child,
    folder: PathBuf,
    pub(crate) port: u16,
    pub(crate) user: String,
}

impl Peer {
    /// Starts a server that keeps its files below `place`.
    pub(crate) fn start(kind: Kind, place: &Path, key: &Key) -> Outcome<Self> {
        let folder = place.join(kind.name());
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(&folder)?,
        }
        match kind {
            Kind::Sealift => start_sealift(folder, key, &[]),
            Kind::Sshd => start_sshd(folder, key),
        }
    }

    /// Starts Sealift with what `variables` override.
    pub(crate) fn start_with(
        place: &Path,
        key: &Key,
        variables: &[(String, String)],
    ) -> Outcome<Self> {
        let folder = place.join(Kind::Sealift.name());
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(&folder)?,
        }
        start_sealift(folder, key, variables)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) -> Outcome<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !ready() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("{what} did not start: {log}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn start_sshd(folder: PathBuf, key: &Key) -> Outcome<Peer> {
    let files = folder.join("files");
    fs::create_dir(&files)?;
    let host_key = Key::make(&folder.join("host-key"))?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let settings = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
         MaxStartups 100\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
         PermitRootLogin prohibit-password\n\
         Subsystem sftp /usr/lib/openssh/sftp-server -d {}\n",
        host_key.private.display(),
        key.public().display(),
        files.display(),
    );
    let config = folder.join("config");
    fs::write(&config, settings)?;
    if running_as_root()? {
        // Debian makes it when the service starts; sshd refuses to run as root without it.
        fs::create_dir_all("/run/sshd")?;
    }
    let child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("log"))?)
        .spawn()?;
    let named = Command::new("id").arg("-un").output()?;
    let mut peer = Peer {
        child,
        folder,
        port,
        user: String::from_utf8(named.stdout)?.trim().to_owned(),
    };
    peer.wait_until("sshd", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok(peer)
}

fn start_sealift(folder: PathBuf, key: &Key, variables: &[(String, String)]) -> Outcome<Peer> {
    let program = env!("CARGO_BIN_EXE_sealift");
    let data = folder.join("data");
    let child = Command::new(program)
        .args(["up", "--any-port", "--data"])
        .arg(&data)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("log"))?)
        .spawn()?;
    let user = "demo@demo".to_owned();
    let mut peer = Peer {
        child,
        folder,
        port: 0,
        user,
    };
    let ready = data.join("ready.json");
    let mut port = None;
    peer.wait_until("sealift", || {
        port = sftp_port(&ready);
        port.is_some()
    })?;
    peer.port = port.unwrap_or_default();
    let added = Command::new(program)
        .args(["account", "key", "add", &peer.user])
        .arg(key.public())
        .arg("--data")
        .arg(&data)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()?;
    if !added.status.success() {
        return Err(String::from_utf8_lossy(&added.stderr).into());
    }
    Ok(peer)
}

fn sftp_port(ready: &Path) -> Option<u16> {
    let ready: serde_json::Value = serde_json::from_slice(&fs::read(ready).ok()?).ok()?;
    let address = ready.get("listeners")?.get("sftp")?.as_str()?;
    address.rsplit_once(':')?.1.parse().ok()
}

fn running_as_root() -> Outcome<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}
