//! The WebDAV of a server, asked by curl.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::folder::TempFolder;
use crate::support::https_door::{Answer, ask};
use crate::support::wait::wait_for;

/// Somebody who uses WebDAV.
#[derive(Clone)]
pub(crate) struct Dav {
    address: SocketAddr,
    /// `NAME:PASSWORD`.
    user: String,
}

impl Dav {
    pub(crate) fn of(address: SocketAddr, user: &str) -> Self {
        Self {
            address,
            user: user.to_owned(),
        }
    }

    /// The address of a path below `/dav`, which is encoded already.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}/dav{path}", self.address)
    }

    /// Asks; `words` are curl's.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, words: &[&str]) -> Answer {
        let common = ["--user", &self.user, "--path-as-is", "-X", method];
        ask(&[&common[..], words].concat(), &self.url(path))
    }

    /// Asks with a body.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, words: &[&str], body: &str) -> Answer {
        let words = [words, &["--data-raw", body, "-H", "Content-Type:"]].concat();
        self.ask(method, path, &words)
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, text: &str, words: &[&str]) -> Answer {
        self.send("PUT", path, words, text)
    }

    /// Begins to put a file, and returns when the server waits for what is in it.
    #[track_caller]
    pub(crate) fn putting(&self, path: &str, words: &[&str]) -> Putting {
        let folder = TempFolder::new();
        let log = folder.join("log");
        let client = Command::new("curl")
            .args(["-sSkv", "--http1.1", "--max-time", "120", "-o", "/dev/null"])
            .args(["-w", "%{http_code}", "--expect100-timeout", "120"])
            .args([
                "--user",
                &self.user,
                "-T",
                "-",
                "-H",
                "Expect: 100-continue",
            ])
            .args(words)
            .arg(self.url(path))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        wait_for("the server to wait", Duration::from_secs(60), || {
            let said = fs::read_to_string(&log).unwrap();
            said.contains("HTTP/1.1 100").then_some(())
        });
        Putting {
            client,
            _folder: folder,
        }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    /// The properties of a file or folder.
    #[track_caller]
    pub(crate) fn find(&self, path: &str, depth: &str) -> Answer {
        let depth = format!("Depth: {depth}");
        self.ask("PROPFIND", path, &["-H", &depth])
    }

    /// Goes to another path by COPY or MOVE.
    #[track_caller]
    pub(crate) fn go(&self, method: &str, path: &str, to: &str, words: &[&str]) -> Answer {
        let to = format!("Destination: {}", self.url(to));
        self.ask(method, path, &[&["-H", &to], words].concat())
    }

    /// Takes a lock; its token comes with the answer.
    #[track_caller]
    pub(crate) fn lock(&self, path: &str, scope: &str, words: &[&str]) -> Answer {
        let body = format!(
            "<?xml version=\"1.0\"?><D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:{scope}/></D:lockscope>\
             <D:locktype><D:write/></D:locktype><D:owner><D:href>me</D:href></D:owner></D:lockinfo>"
        );
        self.send("LOCK", path, words, &body)
    }

    /// Takes an exclusive lock, which must be given, and tells the token.
    #[track_caller]
    pub(crate) fn locked(&self, path: &str, words: &[&str]) -> String {
        let answer = self.lock(path, "exclusive", words);
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        answer.header("lock-token").unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn unlock(&self, path: &str, token: &str) -> Answer {
        let token = format!("Lock-Token: {token}");
        self.ask("UNLOCK", path, &["-H", &token])
    }
}

/// A file that is being put.
pub(crate) struct Putting {
    client: Child,
    /// Removed when the test succeeds.
    _folder: TempFolder,
}

impl Putting {
    /// Puts `text`, and tells the status of the answer.
    #[track_caller]
    pub(crate) fn end(mut self, text: &str) -> u16 {
        let mut input = self.client.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        let said = self.client.wait_with_output().unwrap().stdout;
        String::from_utf8(said).unwrap().parse().unwrap()
    }
}

/// The addresses that an answer tells of, in its order.
pub(crate) fn hrefs(answer: &Answer) -> Vec<String> {
    let text = answer.text();
    let parts = text.split("<D:response><D:href>").skip(1);
    let hrefs = parts.map(|part| part.split('<').next().unwrap().to_owned());
    hrefs.collect()
}
