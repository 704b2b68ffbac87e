//! A collector of OpenTelemetry, asked by HTTP/1.1.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

use crate::domain::measures;
use crate::net::outgoing::{Limits, Outgoing};
use crate::telemetry::settings::Signal;

/// What is waited for of an answer.
const ANSWER: Limits = Limits {
    time: Duration::from_secs(10),
    bytes: 64 * 1024,
};

/// Sends telemetry of one kind, one request at a time, each over a connection of its own.
pub struct Collector {
    at: Outgoing,
    signal: Signal,
    /// Who asks does so from a thread of its own, which can wait for nothing but this.
    runtime: Handle,
    standing: Arc<Standing>,
}

/// Which kinds of telemetry the collector takes, as far as it was asked. One that takes some and not others is
/// told of once, too.
#[derive(Debug, Default)]
struct Standing {
    /// A bit for each kind that is not taken.
    refused: AtomicU8,
}

/// What is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Something is not taken any more; all was.
    Lost,
    /// All is taken again.
    Back,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({:?}, {})", self.at, self.signal)
    }
}

impl Collector {
    /// The collector that is there, as it is asked to take telemetry of each kind; it is not asked yet.
    pub fn each(at: &Outgoing) -> impl Fn(Signal) -> Arc<Self> + use<> {
        let (at, runtime) = (at.clone(), Handle::current());
        let standing = Arc::new(Standing::default());
        move |signal| {
            Arc::new(Self {
                at: at.clone(),
                signal,
                runtime: runtime.clone(),
                standing: standing.clone(),
            })
        }
    }

    /// Says once that it is lost, and once that it is back.
    fn note(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let problem = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        if problem.is_some() {
            measures::export_failed();
        }
        match self.standing.note(self.signal, problem.is_none()) {
            None => {}
            Some(Turn::Back) => {
                tracing::info!(collector = ?self.at, "the collector takes telemetry again");
            }
            Some(Turn::Lost) => {
                tracing::warn!(collector = ?self.at, signal = %self.signal, problem, "the collector does not take telemetry; what it misses is lost");
            }
        }
    }
}

impl Standing {
    fn note(&self, signal: Signal, is_taken: bool) -> Option<Turn> {
        let bit = 1 << signal as u8;
        let before = match is_taken {
            true => self.refused.fetch_and(!bit, Ordering::Relaxed),
            false => self.refused.fetch_or(bit, Ordering::Relaxed),
        };
        match is_taken {
            true if before == bit => Some(Turn::Back),
            false if before == 0 => Some(Turn::Lost),
            _ => None,
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let at = self.at.clone();
        let asked = self.runtime.spawn(async move {
            let answer = at.ask(request, ANSWER).await;
            answer.map_err(|error| HttpError::from(format!("{error:?}")))
        });
        let answer = asked.await.unwrap_or_else(|error| Err(error.into()));
        self.note(&answer);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_refuses_one_kind_is_told_of_once() {
        let standing = Standing::default();
        assert_eq!(standing.note(Signal::Metrics, true), None);
        assert_eq!(standing.note(Signal::Traces, false), Some(Turn::Lost));
        for _ in 0..3 {
            assert_eq!(standing.note(Signal::Metrics, true), None);
            assert_eq!(standing.note(Signal::Traces, false), None);
        }
        assert_eq!(standing.note(Signal::Logs, false), None);
        assert_eq!(standing.note(Signal::Traces, true), None);
        assert_eq!(standing.note(Signal::Logs, true), Some(Turn::Back));
    }
}
