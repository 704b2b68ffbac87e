//! The line to a service: it can be cut and mended, and what is asked over it is counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Between us and a service that is spoken to by HTTP without TLS.
pub(crate) struct Line {
    address: SocketAddr,
    /// Keeps the port from others while the line is cut.
    _held: TcpSocket,
    service: u16,
    tasks: Mutex<JoinSet<()>>,
    talk: Arc<Mutex<Talk>>,
}

#[derive(Default)]
struct Talk {
    asked: Vec<String>,
    answered: Vec<String>,
    /// What is answered instead of asking the service: by operation, an error's code and message.
    answers: HashMap<String, (&'static str, &'static str)>,
    swallowing: bool,
}

impl Line {
    pub(crate) async fn to(service: u16) -> Self {
        let held = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let line = Self {
            address: held.local_addr().unwrap(),
            _held: held,
            service,
            tasks: Mutex::default(),
            talk: Arc::default(),
        };
        line.listen();
        line
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts all connections; further ones are refused.
    pub(crate) async fn cut(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        tasks.shutdown().await;
    }

    /// Lets connections through again, on the same port.
    pub(crate) fn mend(&self) {
        self.listen();
    }

    /// Whether what is asked from now on gets no answer.
    pub(crate) fn swallow(&self, swallow: bool) {
        self.talk.lock().unwrap().swallowing = swallow;
    }

    /// Answers an operation with an error, in the service's place.
    pub(crate) fn answer(&self, operation: &str, code: &'static str, message: &'static str) {
        let mut talk = self.talk.lock().unwrap();
        talk.answers.insert(operation.to_owned(), (code, message));
    }

    /// Lets the service answer again.
    pub(crate) fn answer_no_more(&self) {
        self.talk.lock().unwrap().answers.clear();
    }

    /// How often `operation` was asked for.
    pub(crate) fn asked(&self, operation: &str) -> usize {
        let talk = self.talk.lock().unwrap();
        talk.asked.iter().filter(|name| *name == operation).count()
    }

    /// How often the service's answer to `operation` was passed on.
    pub(crate) fn answered(&self, operation: &str) -> usize {
        let talk = self.talk.lock().unwrap();
        let answered = talk.answered.iter();
        answered.filter(|name| *name == operation).count()
    }

    fn listen(&self) {
        let listener = bound(self.address).listen(64).unwrap();
        let (service, talk) = (self.service, self.talk.clone());
        let mut tasks = self.tasks.lock().unwrap();
        tasks.spawn(async move {
            // Ends with this task, and all its connections with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, service, talk.clone()));
            }
        });
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn pass(client: TcpStream, service: u16, talk: Arc<Mutex<Talk>>) {
    let (mut from_client, mut to_client) = client.into_split();
    while let Some(request) = request(&mut from_client).await {
        let operation = operation(&request);
        let (answer, swallow) = {
            let mut talk = talk.lock().unwrap();
            talk.asked.push(operation.clone());
            (talk.answers.get(&operation).copied(), talk.swallowing)
        };
        if swallow {
            continue;
        }
        if let Some((code, message)) = answer {
            let body = format!(r#"{{"__type":"{code}","message":"{message}"}}"#);
            let head = format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-amz-json-1.1\r\n\
                 x-amzn-errortype: {code}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if to_client
                .write_all((head + &body).as_bytes())
                .await
                .is_err()
            {
                return;
            }
            continue;
        }
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", service)).await else {
            return;
        };
        if server.write_all(&request).await.is_err() {
            return;
        }
        // One request each: neither side may think that more will come.
        let (mut from_server, _to_server) = server.split();
        let mut answer = Vec::new();
        let mut bytes = vec![0; 65_536];
        while !complete(&answer) {
            match from_server.read(&mut bytes).await {
                Ok(length @ 1..) => answer.extend_from_slice(&bytes[..length]),
                _ => break,
            }
        }
        if to_client.write_all(&answer).await.is_err() {
            return;
        }
        talk.lock().unwrap().answered.push(operation);
    }
}

/// A whole request.
async fn request(from: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    let mut bytes = vec![0; 65_536];
    while !complete(&whole) {
        match from.read(&mut bytes).await {
            Ok(length @ 1..) => whole.extend_from_slice(&bytes[..length]),
            _ => return None,
        }
    }
    Some(whole)
}

fn complete(message: &[u8]) -> bool {
    let Some(end) = message.windows(4).position(|w| w == b"\r\n\r\n") else {
        return false;
    };
    let length = header(message, "content-length").and_then(|value| value.parse::<usize>().ok());
    message.len() >= end + 4 + length.unwrap_or(0)
}

fn header(message: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    let head = text.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

fn operation(request: &[u8]) -> String {
    let target = header(request, "x-amz-target").unwrap_or_default();
    target
        .rsplit_once('.')
        .map_or(String::new(), |(_, name)| name.to_owned())
}
