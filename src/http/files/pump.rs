//! Bodies of answers that are read while they are sent: never more in memory than a few pieces.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::domain::error::{Concern, Error, ErrorKind, Result};
use crate::domain::principal::Principal;
use crate::http::holders::{Holder, Holding};
use crate::http::reply::Problem;
use crate::http::web::Web;
use crate::net::budget::Budget;
use crate::vfs::read::FileReader;

/// Bytes read at a time when there is memory, and when there is not.
const PIECE_BYTES: usize = 256 * 1024;
const SMALL_PIECE_BYTES: usize = 16 * 1024;
/// What a body takes at least, in bytes: a small piece, and what produces it.
const LEAST_BYTES: usize = SMALL_PIECE_BYTES + 16 * 1024;
/// How many times as long as an answer may stall its next piece may take: on a slow line all of the one before
/// has to go first. (A stream of HTTP/2 of which not even a part goes is ended before, by `taken`.)
const PATIENCE: u32 = 4;

/// What a body may hold however little memory there is: one small piece at a time, which counts from the
/// beginning to the end of the body.
#[derive(Clone)]
pub struct Allowance {
    budget: Budget,
    patience: Duration,
    least: Holding,
    /// The one small piece; back when the client has it.
    place: Arc<Semaphore>,
}

impl Allowance {
    /// Takes the memory that a body for `principal` cannot do without.
    ///
    /// # Errors
    /// 503 when there is none, or they hold a fair part of it already.
    pub fn take(web: &Web, principal: &Principal) -> std::result::Result<Self, Problem> {
        Self::of(web, principal, 0)
    }

    /// The same, for a body that is collected in pieces of at most `collected` bytes, of which it holds two.
    ///
    /// # Errors
    /// As [`Allowance::take`].
    pub fn of(
        web: &Web,
        principal: &Principal,
        collected: usize,
    ) -> std::result::Result<Self, Problem> {
        let bytes = LEAST_BYTES + 2 * collected;
        let least = web.holders().try_take(Holder::of(principal), bytes);
        let least = least.ok_or_else(Problem::short_of_memory)?;
        Ok(Self {
            budget: web.vfs().budget().clone(),
            patience: web.settings().stall_time * PATIENCE,
            least,
            place: Arc::new(Semaphore::new(1)),
        })
    }

    /// The first bytes of a part of a file that is not empty; they count as long as they are held.
    async fn piece(&self, file: &FileReader, part: Range<u64>) -> Result<Bytes> {
        let left = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
        let Some(share) = self.budget.try_take_spare(left.min(PIECE_BYTES)) else {
            return self.small_piece(file, part.start, left).await;
        };
        let bytes = file.read_at(part.start, left.min(PIECE_BYTES)).await?;
        Ok(share.around(whole(bytes)?))
    }

    /// The same where there is no memory to spare, once the client has the small piece before it.
    async fn small_piece(&self, file: &FileReader, start: u64, left: usize) -> Result<Bytes> {
        let place = self.place().await?;
        let bytes = file.read_at(start, left.min(SMALL_PIECE_BYTES)).await?;
        // What was opened for it is larger.
        let bytes = Bytes::copy_from_slice(&whole(bytes)?);
        Ok(self.within(place, bytes))
    }

    /// Bytes that were collected, which count from now on.
    async fn collected(&self, bytes: Bytes) -> Result<Bytes> {
        match self.budget.try_take_spare(bytes.len()) {
            Some(share) => Ok(share.around(bytes)),
            None => Ok(self.within(self.place().await?, bytes)),
        }
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit> {
        let place = timeout(self.patience, self.place.clone().acquire_owned());
        let place = place.await.map_err(|_| untaken())?;
        place.map_err(Error::internal)
    }

    fn within(&self, place: OwnedSemaphorePermit, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Small {
            bytes,
            _place: place,
            _least: self.least.clone(),
        })
    }
}

fn whole(bytes: Bytes) -> Result<Bytes> {
    match bytes.is_empty() {
        true => Err(Error::new(ErrorKind::Corrupt, "a file ends before its end")),
        false => Ok(bytes),
    }
}

struct Small {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
    _least: Holding,
}

impl AsRef<[u8]> for Small {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where a body's bytes go.
pub struct Outlet {
    sender: mpsc::Sender<Bytes>,
    allowance: Allowance,
}

impl Outlet {
    /// Sends bytes that were collected once there is room for them.
    ///
    /// # Errors
    /// Busy when the client takes nothing for too long; Stale when it has gone.
    pub async fn send(&self, bytes: Bytes) -> Result<()> {
        let bytes = self.allowance.collected(bytes).await?;
        self.send_counted(bytes).await
    }

    async fn send_counted(&self, bytes: Bytes) -> Result<()> {
        match timeout(self.allowance.patience, self.sender.send(bytes)).await {
            Err(_) => Err(untaken()),
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
            self.send_counted(piece).await?;
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
        let whole = |piece: Bytes| {
            seen(&piece);
            [piece]
        };
        self.send_cut(file, part, whole).await
    }

    /// Sends a part of a file as what `cut` makes of each piece: parts of it, and little else.
    ///
    /// # Errors
    /// As [`Outlet::send_file`].
    pub async fn send_cut<Parts>(
        &self,
        file: &FileReader,
        part: Range<u64>,
        mut cut: impl FnMut(Bytes) -> Parts,
    ) -> Result<()>
    where
        Parts: IntoIterator<Item = Bytes, IntoIter: Send>,
    {
        let mut at = part.start;
        while at < part.end {
            let piece = self.allowance.piece(file, at..part.end).await?;
            at += piece.len() as u64;
            for part in cut(piece) {
                self.send_counted(part).await?;
            }
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
    pub async fn read(allowance: &Allowance, file: FileReader, part: Range<u64>) -> Result<Self> {
        let first = match part.is_empty() {
            true => None,
            false => Some(allowance.piece(&file, part.clone()).await?),
        };
        Ok(Self { file, part, first })
    }
}

fn untaken() -> Error {
    Error::new(ErrorKind::Busy, "the client took nothing for too long")
}

/// A body that `produce` writes. It ends with an error, and the connection or stream with it, when that
/// fails, and when the account's session ends; `produce` is dropped when nobody takes the body any more.
pub fn body<F>(
    web: &Web,
    principal: &Principal,
    allowance: Allowance,
    produce: impl FnOnce(Outlet) -> F,
) -> Body
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, pieces) = mpsc::channel(1);
    let producing = produce(Outlet { sender, allowance });
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
