//! Bodies of answers that are read while they are sent: never more in memory than a few pieces.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::domain::error::{Concern, Error, ErrorKind, Result};
use crate::domain::principal::Principal;
use crate::http::web::Web;
use crate::net::budget::Budget;
use crate::vfs::read::FileReader;

/// Bytes read at a time when there is memory, and when there is not.
const PIECE_BYTES: usize = 256 * 1024;
const SMALL_PIECE_BYTES: usize = 16 * 1024;
/// How many times as long as a connection may stall its streams may: of one that moves, each has to
/// wait for its turn, and for a whole piece.
const PATIENCE: u32 = 4;

/// Where a body's bytes go.
pub struct Outlet {
    sender: mpsc::Sender<Bytes>,
    budget: Budget,
    patience: Duration,
}

impl Outlet {
    /// Sends bytes once there is room for them.
    ///
    /// # Errors
    /// Busy when the client takes nothing for too long; Stale when it has gone.
    pub async fn send(&self, bytes: Bytes) -> Result<()> {
        match timeout(self.patience, self.sender.send(bytes)).await {
            Err(_) => Err(Error::new(
                ErrorKind::Busy,
                "the client took nothing for too long",
            )),
            Ok(sent) => sent.map_err(|_| Error::new(ErrorKind::Stale, "the client has gone")),
        }
    }

    /// Sends what was begun, and the rest of it; `seen` is shown each piece first.
    ///
    /// # Errors
    /// As [`Outlet::send_file`].
    pub async fn send_begun(&self, begun: Begun, mut seen: impl FnMut(&[u8])) -> Result<()> {
        let Begun { file, part, first } = begun;
        let mut at = part.start;
        if let Some(piece) = first {
            at += piece.len() as u64;
            seen(&piece);
            self.send(piece).await?;
        }
        self.send_file(&file, at..part.end, seen).await
    }

    /// Sends a part of a file; `seen` is shown each piece first.
    ///
    /// # Errors
    /// As reading and [`Outlet::send`]; Corrupt when the file is shorter than that.
    pub async fn send_file(
        &self,
        file: &FileReader,
        part: Range<u64>,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<()> {
        let mut at = part.start;
        while at < part.end {
            let piece = piece(&self.budget, file, at..part.end).await?;
            at += piece.len() as u64;
            seen(&piece);
            self.send(piece).await?;
        }
        Ok(())
    }
}

/// A part of a file of which the first piece was read, so that there is something to send: an answer that has
/// begun cannot say any more that there is not.
pub struct Begun {
    file: FileReader,
    part: Range<u64>,
    first: Option<Bytes>,
}

impl Begun {
    /// Reads the first piece.
    ///
    /// # Errors
    /// As reading.
    pub async fn read(web: &Web, file: FileReader, part: Range<u64>) -> Result<Self> {
        let first = match part.is_empty() {
            true => None,
            false => Some(piece(web.vfs().budget(), &file, part.clone()).await?),
        };
        Ok(Self { file, part, first })
    }
}

/// The first bytes of a part of a file that is not empty, counted as long as they are held if there is memory.
async fn piece(budget: &Budget, file: &FileReader, part: Range<u64>) -> Result<Bytes> {
    let left = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
    let share = budget.try_take_spare(left.min(PIECE_BYTES));
    let most = share.as_ref().map_or(SMALL_PIECE_BYTES, |_| PIECE_BYTES);
    let bytes = file.read_at(part.start, left.min(most)).await?;
    if bytes.is_empty() {
        return Err(Error::new(ErrorKind::Corrupt, "a file ends before its end"));
    }
    Ok(match share {
        Some(share) => share.around(bytes),
        None => bytes,
    })
}

/// A body that `produce` writes. It ends with an error, and the connection or stream with it, when that
/// fails, and when the account's session ends; `produce` is dropped when nobody takes the body any more.
pub fn body<F>(web: &Web, principal: &Principal, produce: impl FnOnce(Outlet) -> F) -> Body
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, pieces) = mpsc::channel(1);
    let outlet = Outlet {
        sender,
        budget: web.vfs().budget().clone(),
        patience: web.settings().stall_time * PATIENCE,
    };
    let producing = produce(outlet);
    let (accounts, principal) = (web.accounts().clone(), principal.clone());
    let mut producer = JoinSet::new();
    producer.spawn(async move {
        accounts
            .while_logged_in(&principal, producing)
            .await
            .flatten()
    });
    Body::from_stream(Pumped { pieces, producer })
}

/// Bytes that a task produces; the task ends with it.
struct Pumped {
    pieces: mpsc::Receiver<Bytes>,
    producer: JoinSet<Result<()>>,
}

impl Stream for Pumped {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(piece) = ready!(self.pieces.poll_recv(context)) {
            return Poll::Ready(Some(Ok(piece)));
        }
        let ended = match ready!(self.producer.poll_join_next(context)) {
            None | Some(Ok(Ok(()))) => return Poll::Ready(None),
            Some(Ok(Err(error))) => error,
            Some(Err(panicked)) => Error::internal(panicked),
        };
        match ended.kind().concern() {
            Concern::Client => tracing::debug!(error = ?ended, "a download broke off"),
            Concern::Defect => tracing::error!(error = ?ended, "a download broke off"),
            Concern::Outage => tracing::warn!(error = ?ended, "a download broke off"),
        }
        Poll::Ready(Some(Err(io::Error::other("the download broke off"))))
    }
}
