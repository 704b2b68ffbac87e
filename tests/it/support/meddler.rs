//! An HTTP server that answers some requests itself, as it is told, and hands the others on
//! unchanged, signatures and all.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Instead of an answer: the server does what it is asked to, and nobody hears of it.
pub(crate) const LOST: &str = "";

/// Decides what becomes of a request.
type Meddle = Box<dyn FnMut(&Request) -> Option<String> + Send>;

/// Stands before an HTTP server on a port of this machine.
pub(crate) struct Meddler {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    meddle: Mutex<Meddle>,
    seen: Mutex<Vec<String>>,
}

/// A request as far as anybody decides by it.
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// All header lines, in lower case.
    pub(crate) headers: String,
}

impl Meddler {
    /// Answers what `meddle` returns; where that is none, `server`, a port of 127.0.0.1, does. What
    /// the server answers is [`LOST`] where that is returned.
    pub(crate) fn before(
        server: u16,
        meddle: impl FnMut(&Request) -> Option<String> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            meddle: Mutex::new(Box::new(meddle)),
            seen: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        // It ends with the process; a test's threads are few.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.serve(client.unwrap()));
            }
        });
        Self { port, shared }
    }

    /// Where it listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address for clients.
    pub(crate) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Does something else from now on.
    pub(crate) fn meddle(&self, meddle: impl FnMut(&Request) -> Option<String> + Send + 'static) {
        *self.shared.meddle.lock().unwrap() = Box::new(meddle);
    }

    /// Method and target of all requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }
}

/// A complete answer after which the connection ends.
pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> String {
    let length = body.len();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// A refusal as S3 words it.
pub(crate) fn refusal(status: &str, code: &str) -> String {
    let body = format!("<Error><Code>{code}</Code><Message>as told</Message></Error>");
    answer(status, &["content-type: application/xml"], &body)
}

impl Shared {
    /// One request for each connection. Errors mean that the client is gone.
    fn serve(&self, mut client: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).ok()?;
            head.extend(byte);
        }
        let text = String::from_utf8(head).unwrap();
        let (first, headers) = text.split_once("\r\n").unwrap();
        let mut words = first.split(' ').map(str::to_owned);
        let request = Request {
            method: words.next().unwrap(),
            target: words.next().unwrap(),
            headers: headers.to_lowercase(),
        };
        let length = request
            .headers
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        client.read_exact(&mut body).ok()?;
        let seen = format!("{} {}", request.method, request.target);
        self.seen.lock().unwrap().push(seen);
        let answer = (self.meddle.lock().unwrap())(&request);
        if let Some(answer) = answer.as_ref().filter(|answer| *answer != LOST) {
            client.write_all(answer.as_bytes()).ok()?;
            return client.shutdown(Shutdown::Write).ok();
        }
        let mut server = TcpStream::connect(("127.0.0.1", self.server)).ok()?;
        write!(server, "{first}\r\nConnection: close\r\n{headers}").ok()?;
        server.write_all(&body).ok()?;
        let answered = match answer {
            Some(_) => std::io::copy(&mut server, &mut std::io::sink()),
            None => std::io::copy(&mut server, &mut client),
        };
        answered.ok()?;
        client.shutdown(Shutdown::Write).ok()
    }
}
