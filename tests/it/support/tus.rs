//! Uploads by tus, with curl as the client.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use data_encoding::BASE64;
use serde_json::Value;

use crate::support::client::{run, script, succeed};
use crate::support::folder::TempFolder;
use crate::support::https_door::{Answer, ask};
use crate::support::server::{DEMO, Server};

pub(crate) const UPLOADS: &str = "/api/v1/uploads";
pub(crate) const PIECE: &str = "Content-Type: application/offset+octet-stream";
pub(crate) const SPEAK: &str = "Tus-Resumable: 1.0.0";

/// A client of one server.
pub(crate) struct Tus {
    url: String,
    user: String,
    folder: TempFolder,
}

impl Tus {
    pub(crate) fn of(server: &Server) -> Self {
        Self::at(
            &server.ready.listeners.https.unwrap().to_string(),
            &format!("{DEMO}:{}", server.password()),
        )
    }

    /// The same by address, and by any account: `NAME:PASSWORD`.
    pub(crate) fn at(address: &str, user: &str) -> Self {
        Self {
            url: format!("https://{address}"),
            user: user.to_owned(),
            folder: TempFolder::new(),
        }
    }

    /// The same upload asked at another server, or as it is after a new start.
    pub(crate) fn url(&self, at: &str) -> String {
        format!("{}{at}", self.url)
    }

    /// Sends a request that says the version.
    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str], at: &str) -> Answer {
        let always = ["--user", self.user.as_str(), "-H", SPEAK];
        ask(&[&always[..], words].concat(), &self.url(at))
    }

    /// Begins an upload with these headers.
    #[track_caller]
    pub(crate) fn post(&self, headers: &[&str]) -> Answer {
        let mut words = vec!["-X", "POST"];
        words.extend(headers.iter().flat_map(|header| ["-H", header]));
        self.ask(&words, UPLOADS)
    }

    /// Begins the upload of a file; says where.
    #[track_caller]
    pub(crate) fn begin(&self, path: &str, length: usize) -> String {
        let (length, metadata) = (format!("Upload-Length: {length}"), to(path));
        location(&self.post(&[&length, &metadata]))
    }

    /// Begins a part.
    #[track_caller]
    pub(crate) fn part(&self, length: usize) -> String {
        let length = format!("Upload-Length: {length}");
        location(&self.post(&[&length, "Upload-Concat: partial"]))
    }

    /// Sends a piece.
    #[track_caller]
    pub(crate) fn patch(&self, at: &str, offset: usize, bytes: &[u8], headers: &[&str]) -> Answer {
        let data = self.data(bytes);
        let offset = format!("Upload-Offset: {offset}");
        let mut words = vec!["-X", "PATCH", "-H", PIECE, "-H", &offset];
        words.extend(["-H", "Expect:", "--data-binary", &data]);
        words.extend(headers.iter().flat_map(|header| ["-H", header]));
        self.ask(&words, at)
    }

    /// Sends a piece whose bytes come from the pipe of the child, for as long as that is open.
    pub(crate) fn patch_slowly(&self, at: &str, offset: usize) -> Child {
        self.slowly(&[], "Expect:", at, offset)
    }

    fn slowly(&self, words: &[&str], expect: &str, at: &str, offset: usize) -> Child {
        Command::new("curl")
            .args(words)
            .args(["--silent", "--insecure", "--user", &self.user, "-H", SPEAK])
            .args(["-X", "PATCH", "-H", PIECE, "-H", expect, "--no-buffer"])
            .args(["-H", &format!("Upload-Offset: {offset}")])
            .args(["--upload-file", "-", &self.url(at)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Begins a piece with `bytes` and holds the upload, which is sure once the server asks for the body
    /// (100 Continue).
    pub(crate) fn hold(&self, at: &str, offset: usize, bytes: &[u8]) -> Held {
        let words = ["--http1.1", "--verbose", "--expect100-timeout", "100"];
        let mut client = self.slowly(&words, "Expect: 100-continue", at, offset);
        let mut errors = BufReader::new(client.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("< HTTP/1.1 100") {
            line.clear();
            assert!(errors.read_line(&mut line).unwrap() > 0, "it was refused");
        }
        let mut pipe = client.stdin.take().unwrap();
        pipe.write_all(bytes).unwrap();
        Held {
            client,
            pipe,
            _errors: errors,
        }
    }

    #[track_caller]
    pub(crate) fn head(&self, at: &str) -> Answer {
        self.ask(&["--head"], at)
    }

    /// How far an upload is.
    #[track_caller]
    pub(crate) fn offset(&self, at: &str) -> usize {
        let head = self.head(at);
        assert_eq!(head.status, 200, "{}", head.text());
        head.header("upload-offset").unwrap().parse().unwrap()
    }

    /// What curl sends when it is told so.
    pub(crate) fn data(&self, bytes: &[u8]) -> String {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let file: PathBuf = self.folder.join(&format!("data-{number}"));
        fs::write(&file, bytes).unwrap();
        format!("@{}", file.display())
    }
}

/// A piece under way.
pub(crate) struct Held {
    pub(crate) client: Child,
    /// For the rest of it.
    pub(crate) pipe: ChildStdin,
    _errors: BufReader<ChildStderr>,
}

/// Upload-Metadata that puts a file at a path.
pub(crate) fn to(path: &str) -> String {
    format!("Upload-Metadata: path {}", BASE64.encode(path.as_bytes()))
}

#[track_caller]
pub(crate) fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header("location").unwrap().to_owned()
}

/// The SHA-256 of each file that the demo account sees by SFTP.
pub(crate) fn tree(server: &Server) -> Value {
    let walk = script("tree.py", server.port(), DEMO, &server.password(), &[]);
    serde_json::from_str(&succeed(&run(walk, ""))).unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}
