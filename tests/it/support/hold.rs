//! An upload that stops halfway, so that a test can do something meanwhile.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Stdio};

use crate::support::client::paramiko;
use crate::support::server::Server;

/// Half of the file `held` is sent.
pub(crate) struct HeldUpload {
    client: Child,
    output: BufReader<ChildStdout>,
}

/// When the client asked to close the file and when it was told that the file is stored.
pub(crate) struct Closed {
    pub(crate) asked: f64,
    pub(crate) answered: f64,
}

impl HeldUpload {
    pub(crate) fn start(server: &Server, size: usize) -> Self {
        let mut client = paramiko("hold.py", server, &[&size.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(client.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "half\n");
        Self { client, output }
    }

    /// Sends the other half; the server must say that it is stored.
    pub(crate) fn finish(mut self) -> Closed {
        writeln!(self.client.stdin.as_mut().unwrap()).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(self.client.wait().unwrap().success());
        let times: Vec<f64> = line
            .split_whitespace()
            .map(|w| w.parse().unwrap())
            .collect();
        Closed {
            asked: times[0],
            answered: times[1],
        }
    }
}

impl Drop for HeldUpload {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
