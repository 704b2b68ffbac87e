//! How a connection stands: whether anybody has logged in on it, what came of its requests and waits, and since
//! when none is under way.
//!
//! HTTP/2 has clients send ahead so much that one upload fills a long line. Of strangers little of that is taken:
//! the rest stays in the line, as over HTTP/1.1, until what came was read or answered.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::http::{Extensions, HeaderMap, Uri};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// Bytes of bodies that may wait to be read while nobody has logged in: what HTTP/2 grants by itself.
const BODIES: usize = 64 * 1024;
/// Bytes of heads that may wait to be answered while nobody has logged in, and how many are read at once.
const HEADS: usize = 128 * 1024;
const HEADS_AT_ONCE: usize = 64 * 1024;
/// What a request takes beside the text of its head, and what each line of it does, in bytes.
const REQUEST_BYTES: usize = 1024;
const LINE_BYTES: usize = 96;

/// How a connection stands. Clones speak of the same one; requests find it among their extensions.
#[derive(Clone)]
pub struct Standing(Arc<Mutex<State>>);

struct State {
    has_streams: bool,
    is_known: bool,
    /// Requests that were not answered to the end, and since when there are none.
    requests: usize,
    since: Instant,
    /// Bytes of bodies that came and were not read, and bodies that somebody could still read.
    unread: usize,
    open: usize,
    /// Bytes of the heads of requests that were not answered.
    heads: usize,
    /// What came in this turn, and belongs to requests that have not begun.
    new_heads: usize,
    has_new_bodies: bool,
    /// Whoever waits to read on.
    reader: Option<Waker>,
}

impl Standing {
    /// Of a connection that begins now.
    pub fn fresh() -> Self {
        Self(Arc::new(Mutex::new(State {
            has_streams: false,
            is_known: false,
            requests: 0,
            since: Instant::now(),
            unread: 0,
            open: 0,
            heads: 0,
            new_heads: 0,
            has_new_bodies: false,
            reader: None,
        })))
    }

    /// Notes that it speaks HTTP/2.
    pub fn has_streams(&self) {
        self.lock().has_streams = true;
    }

    /// Notes that somebody has logged in.
    pub fn admit(&self) {
        let mut state = self.lock();
        state.is_known = true;
        state.wake();
    }

    /// Goes on with the connection, which makes requests of all that came before it waits.
    pub fn follow<F: Future>(
        &self,
        mut connection: Pin<&mut F>,
    ) -> impl Future<Output = F::Output> {
        poll_fn(move |context| {
            self.turn();
            connection.as_mut().poll(context)
        })
    }

    /// Notes that all that came before has become requests.
    pub fn turn(&self) {
        let mut state = self.lock();
        state.new_heads = 0;
        state.has_new_bodies = false;
    }

    /// Notes that a part of a head came.
    pub fn head_came(&self, bytes: usize) {
        let mut state = self.lock();
        state.new_heads += REQUEST_BYTES + bytes;
    }

    /// Notes that a part of a body came.
    pub fn body_came(&self, bytes: usize) {
        let mut state = self.lock();
        state.unread += bytes;
        state.has_new_bodies = true;
    }

    /// Ready when more may be read, and whether what is read must still be told.
    pub fn poll_room(&self, context: &Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        if state.is_known {
            return Poll::Ready(false);
        }
        let is_full = state.unread >= BODIES;
        if state.new_heads >= HEADS_AT_ONCE || (is_full && state.has_new_bodies) {
            // First it becomes requests.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if state.heads >= HEADS || (is_full && state.open > 0) {
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        if is_full {
            // Of requests that are over.
            state.unread = 0;
        }
        Poll::Ready(true)
    }

    /// A request begins, and lasts as long as what this returns.
    pub fn begin(&self) -> UnderWay {
        self.lock().requests += 1;
        UnderWay(self.clone())
    }

    /// The head of a request, which counts as long as what this returns.
    pub fn head(&self, address: &Uri, headers: &HeaderMap) -> Head {
        let address = address
            .path_and_query()
            .map_or(0, |text| text.as_str().len());
        let lines = headers.iter();
        let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + LINE_BYTES);
        let bytes = REQUEST_BYTES + address + lines.sum::<usize>();
        let mut state = self.lock();
        // Over HTTP/1.1 there is one at a time.
        let bytes = if state.has_streams { bytes } else { 0 };
        state.heads += bytes;
        drop(state);
        let standing = self.clone();
        Head { standing, bytes }
    }

    /// The body of a request.
    pub fn body<B: HttpBody>(&self, body: B) -> Coming<B> {
        let is_open = !body.is_end_stream();
        if is_open {
            self.lock().open += 1;
        }
        Coming {
            body,
            standing: self.clone(),
            is_open,
        }
    }

    /// Returns when it speaks HTTP/2 and no request has been under way for `most`.
    pub async fn idle(&self, most: Duration) {
        loop {
            let left = {
                let state = self.lock();
                match state.has_streams && state.requests == 0 {
                    true => most.saturating_sub(state.since.elapsed()),
                    false => most,
                }
            };
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Notes that whoever sent a request has logged in.
pub fn admit(request: &Extensions) {
    if let Some(standing) = request.get::<Standing>() {
        standing.admit();
    }
}

/// A request under way.
#[must_use = "a request lasts as long as this"]
pub struct UnderWay(Standing);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.requests -= 1;
        state.since = Instant::now();
    }
}

/// The head of a request that was not answered.
#[must_use = "a head counts as long as this"]
pub struct Head {
    standing: Standing,
    bytes: usize,
}

impl Drop for Head {
    fn drop(&mut self) {
        let mut state = self.standing.lock();
        state.heads -= self.bytes;
        state.wake();
    }
}

/// The body of a request.
pub struct Coming<B> {
    body: B,
    standing: Standing,
    is_open: bool,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Coming<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            let mut state = self.standing.lock();
            state.unread = state.unread.saturating_sub(bytes.len());
            state.wake();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Coming<B> {
    fn drop(&mut self) {
        if self.is_open {
            let mut state = self.standing.lock();
            state.open -= 1;
            state.wake();
        }
    }
}
