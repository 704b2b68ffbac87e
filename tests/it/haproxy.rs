//! Every door behind HAProxy, which says for whom it speaks by both versions of the PROXY protocol and looks now
//! and then whether the server is there.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::client::{SshOptions, cached, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::https_door::ask;
use crate::support::listeners::free_port;
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

/// Ended when dropped.
struct Haproxy {
    child: Child,
}

impl Haproxy {
    /// Has HAProxy listen on ports of this machine, each for a server by words of its own.
    fn before(folder: &TempFolder, ports: &[(u16, SocketAddr, &str)]) -> Self {
        let mut settings = "global\n  maxconn 200\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
                            timeout client 1m\n  timeout server 1m\n"
            .to_owned();
        for (port, server, words) in ports {
            settings += &format!(
                "listen p{port}\n  bind 127.0.0.1:{port}\n  server one {server} {words} check inter 200ms\n"
            );
        }
        let (config, output) = (folder.join("haproxy.cfg"), folder.join("haproxy.log"));
        fs::write(&config, settings).unwrap();
        let mut child = Command::new(cached("balancers/usr/sbin/haproxy"))
            .args(["-db", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&output).unwrap())
            .spawn()
            .unwrap();
        for (port, _, _) in ports {
            wait_for("HAProxy", Duration::from_secs(20), || {
                let ended = child.try_wait().unwrap();
                let said = fs::read_to_string(&output).unwrap();
                assert!(ended.is_none(), "HAProxy ended: {said}");
                TcpStream::connect(("127.0.0.1", *port)).ok()
            });
        }
        Self { child }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn clients_of_every_door_are_known_by_their_own_addresses() {
    let folder = TempFolder::new();
    let proxies = ["SFTP", "FTP", "HTTPS"].map(|door| {
        let name = format!("SEALIFT__{door}__PROXIES");
        (name, "127.0.0.1/32".to_owned())
    });
    let server = Server::up_with(&folder.join("data"), &proxies);
    let listeners = &server.ready.listeners;
    let (ftp, ftps, https) = (
        listeners.ftp.unwrap(),
        listeners.ftps.unwrap(),
        listeners.https.unwrap(),
    );
    let ports: Vec<_> = [
        (listeners.sftp, "send-proxy-v2"),
        (ftp, "send-proxy"),
        (ftps, "send-proxy-v2"),
        (https, "send-proxy-v2"),
        (https, "send-proxy"),
    ]
    .into_iter()
    .map(|(server, words)| (free_port(), server, words))
    .collect();
    let haproxy = Haproxy::before(&folder, &ports);
    let port = |at: usize| ports[at].0.to_string();

    let options = SshOptions::with_new_key(&server, folder.path())
        .with("BindAddress=127.0.0.2")
        .with(&format!("Port={}", port(0)));
    let mut ssh = Command::new("sftp");
    ssh.args(["-q", "-b", "-"]).args(options.words());
    ssh.args(["-o", &format!("User={DEMO}"), "127.0.0.1"]);
    succeed(&run(ssh, "mkdir by-sftp\n"));

    let code = "import ftplib, sys\n\
                port, implicit, here, user, password = sys.argv[1:]\n\
                ftp = ftplib.FTP_TLS()\n\
                if implicit == 'yes':\n\
                \x20   class Implicit(ftplib.FTP_TLS):\n\
                \x20       def auth(self): pass\n\
                \x20       def getresp(self):\n\
                \x20           if not hasattr(self.sock, 'cipher'):\n\
                \x20               self.sock = self.context.wrap_socket(self.sock)\n\
                \x20               self.file = self.sock.makefile('r', encoding='utf-8')\n\
                \x20           return super().getresp()\n\
                \x20   ftp = Implicit()\n\
                ftp.connect('127.0.0.1', int(port), source_address=(here, 0))\n\
                ftp.login(user, password)\n\
                ftp.mkd('by-' + here)\n\
                ftp.quit()";
    let password = server.password();
    for (at, implicit, here) in [(1, "no", "127.0.0.3"), (2, "yes", "127.0.0.4")] {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", code, &port(at), implicit, here, DEMO, &password]);
        succeed(&run(python, ""));
    }

    let user = format!("{DEMO}:{password}");
    for (at, here) in [(3, "127.0.0.5"), (4, "127.0.0.6")] {
        let words = ["--user", user.as_str(), "--interface", here];
        let me = ask(&words, &format!("https://127.0.0.1:{}/api/v1/me", port(at)));
        assert_eq!(me.status, 200, "{}", me.text());
    }

    let addresses = (2..=6).map(|last| format!("\"address\":\"127.0.0.{last}\""));
    let addresses: Vec<_> = addresses.collect();
    let log = server.audit_with("all logins", |log| {
        addresses.iter().all(|address| log.contains(address))
    });
    let logins = log
        .lines()
        .filter(|line| line.contains("\"kind\":\"login\""));
    let own = r#""address":"127.0.0.1""#;
    assert_eq!(logins.filter(|line| line.contains(own)).count(), 0, "{log}");
    // What HAProxy asks for itself troubles nobody.
    assert!(!server.log().contains("balancer"), "{}", server.log());
    drop(haproxy);
    server.stop();
}
