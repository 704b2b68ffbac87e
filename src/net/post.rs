//! Sending a small message to an address that others named: each address it leads to is checked, and the
//! connection is made to the one that was.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, Either};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::net::outgoing::{Trust, client_tls};
use crate::net::reach::{Reach, Scheme, Target, Unreachable};

/// Most that is read of an answer's body.
const ANSWER_BYTES: usize = 4 * 1024;
/// How long the rest of an answer is waited for, which nobody needs but the next message on the line.
const REST_TIME: Duration = Duration::from_millis(500);
/// Most bytes of an answer's head.
const HEAD_BYTES: usize = 16 * 1024;

/// Sends messages. Cheap to clone.
#[derive(Clone)]
pub struct Poster {
    shared: Arc<Shared>,
}

struct Shared {
    reach: Reach,
    time: Duration,
    authorities: Option<PathBuf>,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its headers beside the usual ones.
    pub headers: Vec<(&'static str, String)>,
    /// Its body, in JSON.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The target may not be reached.
    Refused(String),
    /// Something went wrong on the way.
    Lost(String),
}

/// A connection that is held for the next message to the same target.
pub struct Line {
    send: SendRequest<Full<Bytes>>,
    /// What moves the bytes; it is polled while somebody waits for an answer.
    moving: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
}

impl Poster {
    /// Sends where `reach` allows, and waits `time` for an answer. `authorities` is a file of certificates
    /// that are trusted beside the system's.
    pub fn new(reach: Reach, time: Duration, authorities: Option<PathBuf>) -> Self {
        Self {
            shared: Arc::new(Shared {
                reach,
                time,
                authorities,
                tls: OnceLock::new(),
            }),
        }
    }

    /// Sends a message and returns the status of the answer. `line` is a connection to the same target that
    /// is used if it still stands, and holds one for the next message afterwards if it can. Redirects are
    /// answers as any other.
    ///
    /// # Errors
    /// Refused when the target may not be reached; Lost when no answer came in time: the message may have
    /// arrived.
    pub async fn post(
        &self,
        url: &str,
        message: &Message,
        line: &mut Option<Line>,
    ) -> Result<u16, Failure> {
        let target = self.shared.reach.target(url).map_err(Failure::Refused)?;
        let time = self.shared.time;
        let deadline = Instant::now() + time;
        let sending = Box::pin(self.send(&target, message, line, deadline));
        match timeout_at(deadline, sending).await {
            Ok(answer) => answer,
            Err(_) => {
                *line = None;
                let seconds = time.as_secs_f64();
                Err(Failure::Lost(format!("no answer within {seconds} seconds")))
            }
        }
    }

    async fn send(
        &self,
        target: &Target,
        message: &Message,
        line: &mut Option<Line>,
        deadline: Instant,
    ) -> Result<u16, Failure> {
        if let Some(held) = line.take() {
            // Whoever is at the other end may have hung up by now.
            if let Ok((status, held)) = exchange(held, target, message).await {
                *line = held;
                return Ok(status);
            }
        }
        let made = self.connect(target, deadline).await?;
        let (status, held) = exchange(made, target, message)
            .await
            .map_err(Failure::Lost)?;
        *line = held;
        Ok(status)
    }

    async fn connect(&self, target: &Target, deadline: Instant) -> Result<Line, Failure> {
        let addresses = self.shared.reach.addresses(target).await;
        let addresses = addresses.map_err(|why| match why {
            Unreachable::Refused(said) => Failure::Refused(said),
            Unreachable::Unknown(said) => Failure::Lost(said),
        })?;
        let stream = first_of(&addresses, deadline).await;
        let stream = stream.map_err(Failure::Lost)?;
        // Small messages go at once; without it they only go later.
        let _ = stream.set_nodelay(true);
        match target.scheme {
            Scheme::Http => shake_hands(stream).await,
            Scheme::Https => self.over_tls(stream, target).await,
        }
    }

    async fn over_tls(&self, stream: TcpStream, target: &Target) -> Result<Line, Failure> {
        let config = self.tls().await.map_err(Failure::Lost)?;
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| Failure::Refused(format!("'{}' is no name of a host", target.host)))?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream =
            stream.map_err(|error| Failure::Lost(format!("TLS was not agreed on: {error}")))?;
        shake_hands(stream).await
    }

    /// Read when it is needed first: most installations have no webhooks.
    async fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        if let Some(made) = self.shared.tls.get() {
            return made.clone();
        }
        let shared = self.shared.clone();
        let made = tokio::task::spawn_blocking(move || client(&shared)).await;
        let made = made.map_err(|error| error.to_string())?;
        self.shared.tls.get_or_init(|| made).clone()
    }
}

/// Connects to the first address that answers. Each has its part of the time that is left, so that one that does not
/// leaves some to the others.
async fn first_of(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, String> {
    let mut said = String::new();
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let time = deadline.saturating_duration_since(Instant::now());
        let time = time / u32::try_from(left).unwrap_or(u32::MAX);
        match timeout(time, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => said = format!("no connection to {address}: {error}"),
            Err(_) => said = format!("no connection to {address} in time"),
        }
    }
    Err(said)
}

fn client(shared: &Shared) -> Result<Arc<ClientConfig>, String> {
    let trust = shared
        .authorities
        .as_deref()
        .map_or(Trust::System, Trust::Also);
    let made = client_tls(trust, "webhooks.authorities", None);
    // Who has a webhook need not know where the operator keeps files.
    made.map_err(|error| {
        tracing::error!(error = ?error, "webhooks.authorities cannot be used; mend the file, and restart the server");
        "the server cannot check certificates now; tell its operator".to_owned()
    })
}

async fn shake_hands(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Line, Failure> {
    let made = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await;
    let (send, moving) = made.map_err(|error| Failure::Lost(error.to_string()))?;
    Ok(Line {
        send,
        moving: Box::pin(moving),
    })
}

/// Sends a message and waits for the answer; the line is given back if it can be used again.
async fn exchange(
    line: Line,
    target: &Target,
    message: &Message,
) -> Result<(u16, Option<Line>), String> {
    let Line {
        mut send,
        mut moving,
    } = line;
    let request = request(target, message)?;
    let asking = Box::pin(async move {
        send.ready().await?;
        let mut answer = send.send_request(request).await?;
        let is_whole = timeout(REST_TIME, read(&mut answer)).await == Ok(true);
        let is_ready = is_whole && send.ready().await.is_ok();
        hyper::Result::Ok((answer.status().as_u16(), is_ready.then_some(send)))
    });
    let first = match future::select(asking, &mut moving).await {
        Either::Left((answered, _)) => Either::Left(answered),
        Either::Right((_, asking)) => Either::Right(asking),
    };
    let (answered, moving) = match first {
        Either::Left(answered) => (answered, Some(moving)),
        // What came before the other end hung up is an answer too. As long as what moved the bytes is held, it
        // seems that more might come.
        Either::Right(asking) => {
            drop(moving);
            (asking.await, None)
        }
    };
    let (status, send) = answered.map_err(|error| said(&error))?;
    let line = send.zip(moving);
    Ok((status, line.map(|(send, moving)| Line { send, moving })))
}

fn request(target: &Target, message: &Message) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::post(target.path.as_str())
        .header(HOST, target.authority.as_str())
        .header(USER_AGENT, concat!("Sealift/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header(CONTENT_LENGTH, message.body.len());
    for (name, value) in &message.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(message.body.clone()));
    request.map_err(|error| error.to_string())
}

/// Reads a little of an answer's body and drops it; whether that was all.
async fn read(answer: &mut Response<Incoming>) -> bool {
    let mut left = ANSWER_BYTES;
    while let Some(frame) = answer.body_mut().frame().await {
        let Ok(frame) = frame else {
            return false;
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

/// The error with what stands behind it.
fn said(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("the connection broke off: {error}: {cause}"),
        None => format!("the connection broke off: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        // A socket that listens and accepts nobody answers no more when its queue is full.
        let full = TcpSocket::new_v4().unwrap();
        full.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let full = full.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(connected) =
            timeout(Duration::from_millis(300), TcpStream::connect(silent)).await
        {
            queue.push(connected.unwrap());
        }
        let open = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let open = open.local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_secs(2);
        let stream = first_of(&[silent, open], deadline).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        assert!(Instant::now() < deadline);
        let said = first_of(&[silent], Instant::now() + Duration::from_millis(300)).await;
        assert!(said.unwrap_err().ends_with("in time"));
    }
}
