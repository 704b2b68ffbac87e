//! The log, on its way to syslog servers: in a queue of bounded length, which drops what does not fit.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::measures;
use crate::net::outgoing::{Outgoing, Stream};
use crate::telemetry::syslog_message::{Message, Sender, Severity};

/// Messages that wait for one server.
const MOST_WAITING: usize = 10_000;
/// Most that are written at a time.
const BATCH: usize = 256;
/// How long until a server that cannot be reached is tried again, and how long one may take to take a batch.
const AGAIN: Duration = Duration::from_secs(2);
const STALL: Duration = Duration::from_secs(15);

/// Hands lines of the log to the queues.
pub struct LogLines {
    sender: Sender,
    queues: Vec<(Arc<str>, mpsc::Sender<Vec<u8>>)>,
}

/// Where the lines for one server come from.
pub struct Waiting {
    server: Arc<str>,
    to: Outgoing,
    lines: mpsc::Receiver<Vec<u8>>,
}

/// The layer, and a queue for each server.
pub fn queues(sender: Sender, servers: Vec<(Arc<str>, Outgoing)>) -> (LogLines, Vec<Waiting>) {
    let mut queues = Vec::new();
    let mut waiting = Vec::new();
    for (server, to) in servers {
        let (put, lines) = mpsc::channel(MOST_WAITING);
        queues.push((server.clone(), put));
        waiting.push(Waiting { server, to, lines });
    }
    (LogLines { sender, queues }, waiting)
}

impl<S: Subscriber> Layer<S> for LogLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut seen = Fields::default();
        event.record(&mut seen);
        let about = event.metadata();
        let severity = match *about.level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            Level::INFO => Severity::Informational,
            _ => Severity::Debug,
        };
        let text = format!("{}{}", seen.message, seen.others);
        let message = Message {
            severity,
            at: SystemClock.now(),
            kind: "log",
            data: &[("target", about.target().to_owned())],
            text: &text,
        };
        let mut frame = Vec::new();
        self.sender.write(&message, &mut frame);
        for (server, queue) in &self.queues {
            if queue.try_send(frame.clone()).is_err() {
                measures::syslog(server, "log", false, 1);
            }
        }
    }
}

impl Waiting {
    /// Sends until `stop`, and then what waits still, if the server takes it.
    pub async fn send(mut self, stop: CancellationToken) {
        let mut link: Option<Box<dyn Stream>> = None;
        let mut batch = Vec::new();
        // Whoever could not be reached is tried once more at the end.
        let mut is_last = false;
        loop {
            tokio::select! {
                biased;
                count = self.lines.recv_many(&mut batch, BATCH) => if count == 0 { return },
                () = gone(link.as_mut()) => {
                    link = None;
                    continue;
                }
                () = stop.cancelled() => {
                    if let Some(mut link) = link {
                        // The last word: whoever does not hear it has all that there was.
                        drop(timeout(AGAIN, link.shutdown()).await);
                    }
                    return;
                }
            }
            loop {
                let was_open = link.is_some();
                match self.write(&mut link, &batch).await {
                    Ok(()) => {
                        measures::syslog(&self.server, "log", true, batch.len() as u64);
                        break;
                    }
                    // It had ended unseen; another one may do.
                    Err(_) if was_open => {}
                    Err(error) => {
                        // Said at a level that is not sent in turn.
                        tracing::trace!(server = %self.server, error = %error, "the log was not sent");
                        if is_last {
                            measures::syslog(&self.server, "log", false, batch.len() as u64);
                            return;
                        }
                        let again = tokio::time::sleep(AGAIN);
                        is_last = stop.run_until_cancelled(again).await.is_none();
                    }
                }
            }
            batch.clear();
        }
    }

    async fn write(
        &self,
        link: &mut Option<Box<dyn Stream>>,
        batch: &[Vec<u8>],
    ) -> std::io::Result<()> {
        let mut stream = match link.take() {
            Some(stream) => stream,
            None => self.to.connect().await.map_err(std::io::Error::other)?,
        };
        let all = batch.concat();
        let written = timeout(STALL, async {
            stream.write_all(&all).await?;
            stream.flush().await
        });
        written.await.map_err(std::io::Error::other)??;
        *link = Some(stream);
        Ok(())
    }
}

/// Returns once the other end is gone; it has nothing to say.
async fn gone(link: Option<&mut Box<dyn Stream>>) {
    let Some(link) = link else {
        return std::future::pending().await;
    };
    let mut said = [0; 256];
    while link.read(&mut said).await.is_ok_and(|count| count > 0) {}
}

/// The message of an event, and its other fields behind it.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            // Writing to a text cannot fail.
            name => drop(write!(self.others, " {name}={value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text cannot fail.
        match field.name() {
            "message" => drop(write!(self.message, "{value:?}")),
            name => drop(write!(self.others, " {name}={value:?}")),
        }
    }
}
