//! A collector of OpenTelemetry, asked by HTTP/1.1.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::domain::measures;
use crate::net::outgoing::Outgoing;

/// How long an answer may take, and most that is read of it.
const ANSWER: Duration = Duration::from_secs(10);
const ANSWER_BYTES: usize = 64 * 1024;

/// Sends one request at a time, each over a connection of its own.
pub struct Collector {
    at: Outgoing,
    /// Who asks does so from a thread of its own, which can wait for nothing but this.
    runtime: Handle,
    is_lost: AtomicBool,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({:?})", self.at)
    }
}

impl Collector {
    /// The collector that is there; it is not asked yet.
    pub fn new(at: Outgoing) -> Self {
        Self {
            at,
            runtime: Handle::current(),
            is_lost: AtomicBool::new(false),
        }
    }

    /// Says once that it is lost, and once that it is back.
    fn note(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let problem = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        match problem {
            None => {
                if self.is_lost.swap(false, Ordering::Relaxed) {
                    tracing::info!(collector = ?self.at, "the collector takes telemetry again");
                }
            }
            Some(problem) => {
                measures::export_failed();
                if !self.is_lost.swap(true, Ordering::Relaxed) {
                    tracing::warn!(collector = ?self.at, problem, "the collector does not take telemetry; what it misses is lost");
                }
            }
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let at = self.at.clone();
        let asked = self.runtime.spawn(async move {
            let asking = timeout(ANSWER, ask(at, request)).await;
            asking.unwrap_or_else(|_| Err("there was no answer in time".into()))
        });
        let answer = asked.await.unwrap_or_else(|error| Err(error.into()));
        self.note(&answer);
        answer
    }
}

async fn ask(at: Outgoing, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let stream = at.connect().await.map_err(|error| format!("{error:?}"))?;
    let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let (mut head, body) = request.into_parts();
    let host = head.uri.authority().map(|authority| authority.as_str());
    let host = HeaderValue::from_str(host.unwrap_or_default())?;
    head.headers.insert(HOST, host);
    // Only a proxy is told the whole address.
    let path = head.uri.path_and_query().cloned();
    head.uri = path.map_or_else(Default::default, Into::into);
    let exchange = async {
        let answer = send.send_request(Request::from_parts(head, Full::new(body)));
        let (head, body) = answer.await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
        Ok::<_, HttpError>(Response::from_parts(head, body))
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => {
            ended?;
            exchange.await
        }
    }
}
