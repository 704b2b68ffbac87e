//! Servers that are told things: rsyslog, and a collector of OpenTelemetry, over TLS.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sealift::domain::clock::{Clock, SystemClock};
use sealift::net::tls::ensure_self_signed;
use serde_json::Value;

use crate::support::client::cached;
use crate::support::wait::wait_for;

/// A server, killed when dropped, and the file that it writes what it hears to.
pub(crate) struct Listener {
    child: Child,
    heard: PathBuf,
}

/// A certificate for localhost and its key.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    key: PathBuf,
}

impl Identity {
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let names = ["localhost".to_owned()];
        ensure_self_signed(&certificate, &key, &names, SystemClock.now()).unwrap();
        Self { certificate, key }
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Listener {
    /// rsyslog, which writes down each message as it came.
    pub(crate) fn rsyslog(folder: &Path, identity: &Identity, port: u16) -> Self {
        let (here, heard) = (folder.display(), folder.join("syslog"));
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        let config = format!(
            "global(workDirectory=\"{here}\" maxMessageSize=\"16k\" \
             DefaultNetstreamDriverCAFile=\"{certificate}\" \
             DefaultNetstreamDriverCertFile=\"{certificate}\" \
             DefaultNetstreamDriverKeyFile=\"{key}\")\n\
             module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" \
             StreamDriver.Authmode=\"anon\")\n\
             template(name=\"raw\" type=\"list\") {{ property(name=\"rawmsg\") constant(value=\"\\n\") }}\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
             action(type=\"omfile\" file=\"{}\" template=\"raw\")\n",
            heard.display()
        );
        let file = folder.join("rsyslog.conf");
        fs::write(&file, config).unwrap();
        let servers = cached("monitoring-servers");
        let pid = folder.join("rsyslog.pid");
        // One that was killed leaves it.
        let _ = fs::remove_file(&pid);
        let mut command = Command::new(servers.join("usr/sbin/rsyslogd"));
        let modules = servers.join("usr/lib");
        let modules = modules.display();
        let arch = std::env::consts::ARCH;
        command
            .args(["-n", "-i"])
            .arg(&pid)
            .arg("-f")
            .arg(&file)
            .arg("-M")
            .arg(format!(
                "{modules}/{arch}-linux-gnu/rsyslog/:{modules}/rsyslog/"
            ));
        Self::start(command, port, heard)
    }

    /// A collector, which writes down what it was sent, decoded.
    pub(crate) fn collector(folder: &Path, identity: &Identity, port: u16) -> Self {
        let both = folder.join("both.pem");
        let pem =
            [&identity.certificate, &identity.key].map(|file| fs::read_to_string(file).unwrap());
        fs::write(&both, pem.concat()).unwrap();
        let heard = folder.join("telemetry");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/monitoring/collector.py");
        let mut command = Command::new(cached("monitoring/bin/python"));
        command.arg("-B").arg(script).arg(port.to_string());
        command.args([&heard, &both]);
        Self::start(command, port, heard)
    }

    fn start(mut command: Command, port: u16, heard: PathBuf) -> Self {
        let log = heard.with_extension("log");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_for("a server to listen", Duration::from_secs(30), || {
            assert!(child.try_wait().unwrap().is_none(), "{command:?} ended");
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { child, heard }
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.heard).unwrap_or_default()).into_owned()
    }

    /// The same, of lines in JSON.
    pub(crate) fn heard_json(&self) -> Vec<Value> {
        let heard = self.heard();
        let whole = heard.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
