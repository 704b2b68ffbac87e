//! Uploads by tus, with curl as the client.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;

use crate::support::client::{run, script, succeed};
use crate::support::folder::TempFolder;
use crate::support::https_door::{Answer, ask};
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

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
        Command::new("curl")
            .args(["--silent", "--insecure", "--user", &self.user, "-H", SPEAK])
            .args(["-X", "PATCH", "-H", PIECE, "-H", "Expect:", "--no-buffer"])
            .args(["-H", &format!("Upload-Offset: {offset}")])
            .args(["--upload-file", "-", &self.url(at)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Sends `bytes` of a piece and holds the upload: the pipe is for the rest.
    pub(crate) fn hold(&self, at: &str, offset: usize, bytes: &[u8]) -> (Child, ChildStdin) {
        let wrong = format!("Upload-Checksum: sha256 {}", BASE64.encode(&[7; 32]));
        let mut first: Option<(Child, ChildStdin)> = None;
        wait_for("the upload to be held", Duration::from_secs(60), || {
            // It is refused itself when a question of ours came first.
            let is_over = |child: &mut Child| child.try_wait().unwrap().is_some();
            if first.as_mut().is_none_or(|(child, _)| is_over(child)) {
                let mut child = self.patch_slowly(at, offset);
                let mut pipe = child.stdin.take().unwrap();
                let _ = pipe.write_all(bytes);
                first = Some((child, pipe));
            }
            let second = self.patch(at, offset, b"second", &[&wrong]);
            assert!(matches!(second.status, 423 | 460), "{}", second.text());
            let (child, _) = first.as_mut().unwrap();
            (second.status == 423 && !is_over(child)).then_some(())
        });
        first.unwrap()
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
