//! A receiver of webhooks: a small HTTP server in the test, which answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The event's id.
    pub(crate) fn id(&self) -> String {
        let id = self.body["id"].as_str().unwrap().to_owned();
        assert_eq!(self.header("webhook-id"), id);
        id
    }

    /// Its kind, and the path it is about.
    pub(crate) fn what(&self) -> (String, String) {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        (text(&self.body["type"]), text(&self.body["data"]["path"]))
    }
}

/// How a request is answered.
pub(crate) enum Reply {
    /// Never: until the other end hangs up.
    Hang,
    /// By hanging up.
    HangUp,
    /// With a status, in HTTP/1.0, and by hanging up then.
    Old(u16),
    /// With a status.
    Status(u16),
    /// With a redirect to an address.
    To(String),
}

type Answering = dyn Fn(usize, &Received) -> Reply + Send + Sync;

struct Shared {
    received: Mutex<Vec<Received>>,
    answer: Box<Answering>,
}

/// The server; it goes on until the process ends.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Takes everything.
    pub(crate) fn start() -> Self {
        Self::answering(|_, _| Reply::Status(204))
    }

    /// Answers what comes by its number, from 0, and what it is.
    pub(crate) fn answering(
        answer: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            answer: Box::new(answer),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), serving.clone());
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All that came, whatever it was answered with.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Waits until so much has come.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Received> {
        wait_for("what is told", SOON, || {
            let all = self.received();
            (all.len() >= count).then_some(all)
        })
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut input = BufReader::new(stream.try_clone().ok()?);
        let mut output = stream;
        loop {
            let received = read(&mut input)?;
            let number = {
                let mut all = self.received.lock().unwrap();
                all.push(received.clone());
                all.len() - 1
            };
            let head = match (self.answer)(number, &received) {
                Reply::Hang => {
                    input.read_to_end(&mut Vec::new()).ok()?;
                    return None;
                }
                Reply::HangUp => return None,
                Reply::Old(status) => {
                    let head = format!("HTTP/1.0 {status} X\r\nServer: old\r\n\r\n");
                    output.write_all(head.as_bytes()).ok()?;
                    return None;
                }
                Reply::Status(status) => format!("HTTP/1.1 {status} X\r\n"),
                Reply::To(url) => format!("HTTP/1.1 302 X\r\nLocation: {url}\r\n"),
            };
            let length = match head.contains(" 204 ") {
                true => "\r\n",
                false => "Content-Length: 2\r\n\r\nok",
            };
            output.write_all((head + length).as_bytes()).ok()?;
        }
    }
}

fn read(input: &mut impl BufRead) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut text = vec![0; length?.1.parse().ok()?];
    input.read_exact(&mut text).ok()?;
    let text = String::from_utf8(text).unwrap();
    Some(Received {
        path,
        headers,
        body: serde_json::from_str(&text).unwrap(),
        text,
    })
}
