//! Other people's FTP clients, pointed at one of our servers as the demo account.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::client::{run, succeed};
use crate::support::server::{DEMO, Server};

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Clear,
    Explicit,
    Implicit,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Clear, Self::Explicit, Self::Implicit];

    pub(crate) fn address(self, server: &Server) -> SocketAddr {
        let listeners = &server.ready.listeners;
        match self {
            Self::Implicit => listeners.ftps.unwrap(),
            _ => listeners.ftp.unwrap(),
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Implicit => "ftps",
            _ => "ftp",
        }
    }

    /// The address of a path.
    pub(crate) fn url(self, server: &Server, path: &str) -> String {
        format!("{}://{}/{path}", self.scheme(), self.address(server))
    }
}

/// Listens on the other family of addresses.
pub(crate) fn on_ipv6() -> [(String, String); 2] {
    ["FTP", "FTPS"].map(|section| (format!("SEALIFT__{section}__LISTEN"), "[::1]:0".to_owned()))
}

/// The certificate that `sealift up` made for itself.
pub(crate) fn certificate(server: &Server) -> PathBuf {
    let listed = std::fs::read_dir(server.data().join("tls")).unwrap();
    let mut paths = listed.map(|entry| entry.unwrap().path());
    paths
        .find(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("CERTIFICATE")))
        .unwrap()
}

/// curl, logged in, and sure of the server's certificate.
pub(crate) fn curl(server: &Server, way: Way, words: &[&str]) -> Output {
    run(curl_command(server, way, words), "")
}

/// The same, to be started.
pub(crate) fn curl_command(server: &Server, way: Way, words: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--disable", "--globoff", "--silent", "--show-error"])
        .args(["--max-time", "60", "--user"])
        .arg(format!("{DEMO}:{}", server.password()))
        .arg("--cacert")
        .arg(certificate(server));
    if way == Way::Explicit {
        command.arg("--ssl-reqd");
    }
    command.args(words);
    command
}

/// The same; it must succeed. Returns what curl printed.
#[track_caller]
pub(crate) fn curl_ok(server: &Server, way: Way, words: &[&str]) -> String {
    succeed(&curl(server, way, words))
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
