//! A server and its HTTPS port, asked by curl.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::support::client::run;
use crate::support::folder::TempFolder;
use crate::support::server::{DEMO, Server};

/// A server with the account of `sealift up`.
pub(crate) struct HttpsDoor {
    pub(crate) server: Server,
    /// Removed when the test succeeds.
    _folder: TempFolder,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case, as they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of a name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The kind of a problem: the last word of its type.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.text()
        );
        let json = self.json();
        assert_eq!(json["status"], self.status);
        let kind = json["type"].as_str().unwrap();
        kind.strip_prefix("urn:sealift:problem:")
            .unwrap()
            .to_owned()
    }
}

impl HttpsDoor {
    pub(crate) fn up() -> Self {
        Self::up_with(&[])
    }

    /// The same with settings of the section `[https]`.
    pub(crate) fn up_with(settings: &[(&str, &str)]) -> Self {
        let names = settings
            .iter()
            .map(|(name, value)| (format!("HTTPS__{name}"), *value));
        Self::up_set(names)
    }

    /// The same with settings of any section: `SECTION__NAME`.
    pub(crate) fn up_set<'a>(
        settings: impl IntoIterator<Item = (impl AsRef<str>, &'a str)>,
    ) -> Self {
        let variables: Vec<_> = settings
            .into_iter()
            .map(|(name, value)| (format!("SEALIFT__{}", name.as_ref()), value.to_owned()))
            .collect();
        let folder = TempFolder::new();
        let server = Server::up_with(&folder.join("data"), &variables);
        Self {
            server,
            _folder: folder,
        }
    }

    /// The port with TLS.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.ready.listeners.https.unwrap()
    }

    /// The port without.
    pub(crate) fn clear(&self) -> SocketAddr {
        self.server.ready.listeners.http.unwrap()
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address())
    }

    /// What curl says for the demo account: `NAME:PASSWORD`.
    pub(crate) fn user(&self) -> String {
        format!("{DEMO}:{}", self.server.password())
    }

    /// Bytes of memory that the server has now.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it ever had.
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let pid = self.server.ready.pid;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_ascii_whitespace().nth(1));
        number.unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Asks as a stranger.
    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str], path: &str) -> Answer {
        ask(words, &self.url(path))
    }

    /// Asks as the demo account.
    #[track_caller]
    pub(crate) fn demo(&self, words: &[&str], path: &str) -> Answer {
        let user = self.user();
        self.ask(&[&["--user", user.as_str()], words].concat(), path)
    }
}

/// Has curl send a request to any address, whoever vouches for it; an answer must come.
#[track_caller]
pub(crate) fn ask(words: &[&str], url: &str) -> Answer {
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--insecure",
            "--max-time",
            "120",
        ])
        .args(["--dump-header", "/dev/stderr", "--output", "-"])
        .args(words)
        .arg(url);
    let ran = run(command, "");
    let heads = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{words:?} {url}: {heads}");
    // Interim responses (100 Continue) come with heads of their own.
    let head = heads.trim_end().rsplit("\r\n\r\n").next().unwrap();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Answer {
        status: status.unwrap_or_else(|| panic!("{heads}")),
        headers: headers.collect(),
        body: ran.stdout,
    }
}

/// Whether anything answers at an address, whoever vouches for it.
pub(crate) fn is_answered(url: &str) -> bool {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--insecure", "--max-time", "5"])
        .args(["--output", "/dev/null", url]);
    run(command, "").status.success()
}
