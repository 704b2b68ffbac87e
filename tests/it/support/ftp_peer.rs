//! Other people's FTP servers: vsftpd, ProFTPD and Pure-FTPd as Debian builds them, unpacked by
//! `make packages` and not installed. Each serves one folder on a free loopback port, as root that
//! becomes `nobody`.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::client::cached;
use crate::support::wait::wait_for;

/// Who may log in to a peer, and what it must say.
pub(crate) const PEER_USER: &str = "demo@demo";
pub(crate) const PEER_PASSWORD: &str = "a secret of the peers";

const NOBODY: u32 = 65_534;
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FtpKind {
    Proftpd,
    PureFtpd,
    Vsftpd,
}

impl FtpKind {
    pub(crate) const ALL: [Self; 3] = [Self::Vsftpd, Self::Proftpd, Self::PureFtpd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proftpd => "proftpd",
            Self::PureFtpd => "pure-ftpd",
            Self::Vsftpd => "vsftpd",
        }
    }
}

/// A running server for plain FTP and AUTH TLS; killed with its sessions when dropped.
pub(crate) struct FtpPeer {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) address: SocketAddr,
}

impl FtpPeer {
    /// Starts a server that keeps all it needs in a new folder below `place`.
    pub(crate) fn start(kind: FtpKind, place: &Path) -> Self {
        let folder = place.join(kind.name());
        let root = folder.join("root");
        fs::create_dir_all(&root).unwrap();
        chown(&root, Some(NOBODY), Some(NOBODY)).expect("these servers have to be started by root");
        make_certificate(&folder);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = match kind {
            FtpKind::Proftpd => proftpd(&folder, address.port()),
            FtpKind::PureFtpd => pure_ftpd(&folder, address.port()),
            FtpKind::Vsftpd => vsftpd(&folder, address.port()),
        };
        let log = folder.join("output");
        let output = File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pid = child.id();
        let mut peer = Self {
            child,
            pid,
            address,
        };
        wait_for(kind.name(), READY_WITHIN, || {
            if let Some(status) = peer.child.try_wait().unwrap() {
                panic!("{} ended with {status}: {log:?}", kind.name());
            }
            TcpStream::connect(address).ok()
        });
        peer
    }
}

impl Drop for FtpPeer {
    fn drop(&mut self) {
        // Sessions are processes of their own, and outlive a server that is killed alone.
        let processes = descendants(self.pid);
        let _ = self.child.kill();
        let _ = self.child.wait();
        let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
        if !ids.is_empty() {
            let mut kill = Command::new("kill");
            kill.arg("-KILL").args(ids).stderr(Stdio::null());
            let _ = kill.status();
        }
    }
}

fn program(name: &str) -> PathBuf {
    cached(&format!("ftp-servers/usr/{name}"))
}

fn make_certificate(folder: &Path) {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days"])
        .args(["30", "-subj", "/CN=localhost", "-addext"])
        .arg("subjectAltName=DNS:localhost,IP:127.0.0.1")
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"));
    succeed(&mut command);
    let both = [folder.join("key.pem"), folder.join("cert.pem")].map(|f| fs::read(f).unwrap());
    fs::write(folder.join("both.pem"), both.concat()).unwrap();
}

fn hashed_password() -> String {
    let mut command = Command::new("openssl");
    command.args(["passwd", "-6", PEER_PASSWORD]);
    succeed(&mut command).trim().to_owned()
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// vsftpd knows users of the system only: it gets a /etc of its own in a mount namespace. Of PAM's
/// modules it needs one that starts no child, whose end it would take for that of its session.
fn vsftpd(folder: &Path, port: u16) -> Command {
    let at = folder.display();
    for name in ["empty", "pam.d"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let pam = "auth required pam_unix.so nodelay\n\
               account required pam_permit.so\nsession required pam_permit.so\n";
    let deny = "auth required pam_deny.so\naccount required pam_deny.so\n";
    fs::write(folder.join("pam.d/vsftpd"), pam).unwrap();
    fs::write(folder.join("pam.d/other"), deny).unwrap();
    let users = format!(
        "root:x:0:0::/:/bin/sh\nnobody:x:65533:65533::/:/bin/sh\n\
         {PEER_USER}:x:{NOBODY}:{NOBODY}::{at}/root:/bin/sh\n"
    );
    fs::write(folder.join("passwd"), users).unwrap();
    let shadow = format!("{PEER_USER}:{}:19000:0:99999:7:::\n", hashed_password());
    write_secret(&folder.join("shadow"), &shadow);
    let settings = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n\
         anonymous_enable=NO\nlocal_enable=YES\nwrite_enable=YES\nlocal_umask=022\n\
         chroot_local_user=YES\nallow_writeable_chroot=YES\npam_service_name=vsftpd\n\
         secure_chroot_dir={at}/empty\nnopriv_user=nobody\nseccomp_sandbox=NO\n\
         ssl_enable=YES\nforce_local_logins_ssl=NO\nforce_local_data_ssl=NO\n\
         require_ssl_reuse=NO\nssl_ciphers=HIGH\n\
         rsa_cert_file={at}/cert.pem\nrsa_private_key_file={at}/key.pem\n\
         mdtm_write=YES\nuse_localtime=NO\nxferlog_enable=NO\n\
         ascii_upload_enable=YES\nascii_download_enable=YES\nls_recurse_enable=YES\n\
         delay_failed_login=0\n"
    );
    fs::write(folder.join("settings"), settings).unwrap();
    let mounts = r#"cd "$0"; mount --bind pam.d /etc/pam.d; mount --bind passwd /etc/passwd
        mount --bind shadow /etc/shadow; exec "$1" "$0/settings""#;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-e", "-c", mounts])
        .arg(folder)
        .arg(program("sbin/vsftpd"));
    command
}

fn proftpd(folder: &Path, port: u16) -> Command {
    let at = folder.display();
    let user = format!(
        "{PEER_USER}:{}:{NOBODY}:{NOBODY}::{at}/root:/bin/sh\n",
        hashed_password()
    );
    write_secret(&folder.join("users"), &user);
    let settings = format!(
        "ModulePath {}\nLoadModule mod_tls.c\nServerName peer\nServerType standalone\n\
         DefaultAddress 127.0.0.1\nPort {port}\nUseReverseDNS off\nUseIPv6 off\n\
         User nobody\nGroup nogroup\nPidFile {at}/pid\nScoreboardFile none\nDelayEngine off\n\
         SystemLog {at}/log\nTransferLog none\nWtmpLog off\nMaxInstances none\n\
         AuthOrder mod_auth_file.c\nAuthUserFile {at}/users\nRequireValidShell off\n\
         DefaultRoot ~\nAllowOverwrite on\nAllowStoreRestart on\nAllowRetrieveRestart on\n\
         UseSendfile on\nTLSEngine on\nTLSLog {at}/tls-log\nTLSProtocol TLSv1.2 TLSv1.3\n\
         TLSRSACertificateFile {at}/cert.pem\nTLSRSACertificateKeyFile {at}/key.pem\n\
         TLSRequired off\nTLSVerifyClient off\nTLSOptions NoSessionReuseRequired\n\
         <Directory />\nAllowOverwrite on\n</Directory>\n",
        program("lib/proftpd").display()
    );
    fs::write(folder.join("settings"), settings).unwrap();
    let mut command = Command::new(program("sbin/proftpd"));
    command
        .args(["--nodaemon", "--quiet", "--config"])
        .arg(folder.join("settings"));
    command
}

fn pure_ftpd(folder: &Path, port: u16) -> Command {
    let users = folder.join("users");
    let line = format!(
        "{PEER_USER}:{}:{NOBODY}:{NOBODY}::{}/root/./::::::::::::\n",
        hashed_password(),
        folder.display()
    );
    write_secret(&users, &line);
    let database = folder.join("users.pdb");
    let mut make = Command::new(program("bin/pure-pw"));
    make.arg("mkdb").arg(&database).arg("-f").arg(&users);
    succeed(&mut make);
    let mut command = Command::new(program("sbin/pure-ftpd"));
    command
        .args(["-S", &format!("127.0.0.1,{port}"), "-l"])
        .arg(format!("puredb:{}", database.display()))
        .args(["-E", "-A", "-H", "-u", "1", "-k", "99", "-c", "200"])
        .args(["-z", "-D", "-Y", "1", "-2"])
        .arg(folder.join("both.pem"))
        .arg("-g")
        .arg(folder.join("pid"));
    command
}

/// All processes below `root`, without itself.
fn descendants(root: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut waiting = vec![root];
    while let Some(id) = waiting.pop() {
        let listed = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let listed = listed.unwrap_or_default();
        let children = listed.split_whitespace().filter_map(|id| id.parse().ok());
        let children: Vec<u32> = children.collect();
        found.extend(&children);
        waiting.extend(children);
    }
    found
}
