//! A stream of HTTP/2 whose client takes nothing of it for too long, or next to nothing, is ended, and the others of
//! its connection go on. What it has waiting is in memory, and HTTP/2 itself sets no limit to how long.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Buf, Frame, SizeHint};
use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, sleep};

use crate::http::standing::UnderWay;

tokio::task_local! {
    /// Of the stream whose task this is.
    static STREAM: Arc<Watch>;
}

/// What a client must take at least, on the average of the time that a stream may stall, in bytes a second: far
/// less than the slowest line on which anybody waits for a file.
const LEAST_RATE: u128 = 256;

/// Runs the streams of HTTP/2, each as long as its client takes what it is sent.
#[derive(Clone)]
pub struct Streams {
    most: Duration,
}

impl Streams {
    /// Ends a stream of which too little could be sent within `most` though there was something: less than 256
    /// bytes for each second of it, and not all that there was.
    pub fn new(most: Duration) -> Self {
        Self { most }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let most = self.most;
        let watch = Arc::new(Watch::new(most));
        let stream = STREAM.scope(watch.clone(), stream);
        TokioExecutor::new().execute(async move {
            tokio::select! {
                () = stream => {}
                // What is dropped before its end is reset, and what waits of it is dropped too.
                () = watch.stalled(most) => {
                    tracing::debug!("a stream was ended: its client took next to nothing for too long");
                }
            }
        });
    }
}

/// What is known of a stream.
struct Watch(Mutex<State>);

struct State {
    /// Bytes that wait for the client.
    waiting: usize,
    /// Whether more comes as soon as the client takes it.
    is_ready: bool,
    /// Since when the client is waited for, what it took since, and what is enough for waiting anew.
    since: Instant,
    taken: usize,
    enough: usize,
    /// Whoever waits for the client to have taken all.
    end: Option<Waker>,
}

impl State {
    fn is_waited_for(&self) -> bool {
        self.waiting > 0 || self.is_ready
    }

    fn wait_anew(&mut self) {
        self.since = Instant::now();
        self.taken = 0;
    }
}

impl Watch {
    fn new(most: Duration) -> Self {
        let enough = most.as_millis() * LEAST_RATE / 1000;
        Self(Mutex::new(State {
            waiting: 0,
            is_ready: false,
            since: Instant::now(),
            taken: 0,
            enough: usize::try_from(enough).unwrap_or(usize::MAX).max(1),
            end: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the client could have taken something for `most`, and took next to nothing.
    async fn stalled(&self, most: Duration) {
        loop {
            let left = {
                let state = self.lock();
                match state.is_waited_for() {
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

    /// Notes what came of asking the body for more.
    fn note(&self, is_ready: bool, more: usize) {
        let mut state = self.lock();
        let was_waited_for = state.is_waited_for();
        state.is_ready = is_ready;
        state.waiting += more;
        if !was_waited_for {
            state.wait_anew();
        }
    }

    /// Notes that bytes are on their way, or not wanted any more.
    fn gone(&self, bytes: usize) {
        let mut state = self.lock();
        state.waiting = state.waiting.saturating_sub(bytes);
        state.taken = state.taken.saturating_add(bytes);
        if state.taken >= state.enough {
            state.wait_anew();
        }
        let end = match state.waiting {
            0 => state.end.take(),
            _ => None,
        };
        drop(state);
        if let Some(end) = end {
            end.wake();
        }
    }

    fn poll_gone(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        match state.waiting {
            0 => Poll::Ready(()),
            _ => {
                state.end = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The body of an answer. Within a stream of HTTP/2 it ends when all of it has been sent, so that the stream
/// can still be ended while it waits.
pub struct Watched {
    body: Body,
    watch: Option<Arc<Watch>>,
    /// Whether nothing more comes.
    is_over: bool,
    _under_way: UnderWay,
}

impl Watched {
    /// A body of the stream in whose task this is called, if it is a stream's. Its request is under way until then.
    pub fn new(body: Body, under_way: UnderWay) -> Self {
        let watch = STREAM.try_with(Arc::clone).ok();
        if let Some(watch) = &watch {
            watch.note(true, 0);
        }
        Self {
            is_over: body.is_end_stream(),
            body,
            watch,
            _under_way: under_way,
        }
    }
}

impl HttpBody for Watched {
    type Data = Waiting;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Waiting>, axum::Error>>> {
        let this = &mut *self;
        if !this.is_over {
            let polled = Pin::new(&mut this.body).poll_frame(context);
            if polled.is_pending()
                && let Some(watch) = &this.watch
            {
                watch.note(false, 0);
            }
            if let Some(frame) = ready!(polled) {
                let bytes = frame.as_ref().ok().and_then(Frame::data_ref);
                let length = bytes.map_or(0, Bytes::len);
                if let Some(watch) = &this.watch {
                    watch.note(true, length);
                }
                let watch = &this.watch;
                let waiting = |bytes| Waiting {
                    bytes,
                    watch: watch.clone(),
                };
                return Poll::Ready(Some(frame.map(|frame| frame.map_data(waiting))));
            }
            this.is_over = true;
        }
        if let Some(watch) = &this.watch {
            watch.note(false, 0);
            ready!(watch.poll_gone(context));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        match &self.watch {
            Some(watch) => self.is_over && watch.lock().waiting == 0,
            None => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of a body that wait for the client.
pub struct Waiting {
    bytes: Bytes,
    watch: Option<Arc<Watch>>,
}

impl Buf for Waiting {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(watch) = &self.watch {
            watch.gone(count);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let (Some(watch), 1..) = (&self.watch, self.bytes.len()) {
            watch.gone(self.bytes.len());
        }
    }
}
