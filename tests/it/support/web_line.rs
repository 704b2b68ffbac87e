//! One connection to the HTTPS port, kept open from request to request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64;

use crate::support::https_door::{Answer, HttpsDoor};
use crate::support::wait::wait_for;

/// How long it takes to see that a connection has ended.
const SOON: Duration = Duration::from_secs(10);

/// A client that passes on what it is given, over TLS.
pub(crate) fn pipe(door: &HttpsDoor) -> Child {
    Command::new("openssl")
        .args(["s_client", "-quiet", "-connect"])
        .arg(door.address().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Ended when dropped.
pub(crate) struct WebLine {
    client: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    user: String,
}

impl WebLine {
    /// Connects; requests are those of the demo account.
    pub(crate) fn to(door: &HttpsDoor) -> Self {
        let mut client = pipe(door);
        Self {
            to: client.stdin.take().unwrap(),
            from: BufReader::new(client.stdout.take().unwrap()),
            client,
            user: BASE64.encode(door.user().as_bytes()),
        }
    }

    /// Sends a request with a body and reads the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.user,
            body.len()
        ));
        self.answer(method)
    }

    /// Sends bytes.
    #[track_caller]
    pub(crate) fn send(&mut self, text: &str) {
        assert!(self.try_send(text), "the connection has ended");
    }

    /// Sends bytes, if the connection is still there.
    pub(crate) fn try_send(&mut self, text: &str) -> bool {
        let sent = self.to.write_all(text.as_bytes());
        sent.and_then(|()| self.to.flush()).is_ok()
    }

    /// Sends one byte after the other, a few milliseconds apart, until there is an answer to a request that is
    /// no HEAD.
    #[track_caller]
    pub(crate) fn drip(&mut self, byte: &str, within: Duration) -> Answer {
        let (to, from, client) = (&mut self.to, &mut self.from, &mut self.client);
        thread::scope(|scope| {
            let answer = scope.spawn(|| answer(from, "POST"));
            let deadline = Instant::now() + within;
            wait_for("an answer or none", within + SOON, || {
                if Instant::now() > deadline {
                    // Whoever reads says that there was none.
                    client.kill().unwrap();
                }
                // What is sent behind the answer may be refused.
                let _ = to.write_all(byte.as_bytes()).and_then(|()| to.flush());
                answer.is_finished().then_some(())
            });
            answer.join().unwrap()
        })
    }

    /// Reads the answer to a request of this method.
    #[track_caller]
    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        answer(&mut self.from, method)
    }
}

#[track_caller]
fn answer(from: &mut BufReader<ChildStdout>, method: &str) -> Answer {
    let status = line(from);
    let status = status.split(' ').nth(1).and_then(|word| word.parse().ok());
    let mut headers = Vec::new();
    loop {
        let line = line(from);
        match line.split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => break,
        }
    }
    let mut answer = Answer {
        status: status.unwrap(),
        headers,
        body: Vec::new(),
    };
    let length = answer.header("content-length").map(str::parse);
    if let (Some(length), true) = (length, method != "HEAD") {
        answer.body = vec![0; length.unwrap()];
        from.read_exact(&mut answer.body).unwrap();
    }
    answer
}

#[track_caller]
fn line(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    let length = from.read_line(&mut line).unwrap();
    assert!(length > 0, "the connection has ended");
    line.trim_end().to_owned()
}

impl Drop for WebLine {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
