//! A stream of HTTP/2 whose client takes nothing of it for too long is ended, and the others of its connection
//! go on. What it has waiting is in memory, and HTTP/2 itself sets no limit to how long.

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

tokio::task_local! {
    /// Of the stream whose task this is.
    static STREAM: Arc<Watch>;
}

/// Runs the streams of HTTP/2, each as long as its client takes what it is sent.
#[derive(Clone)]
pub struct Streams {
    most: Duration,
}

impl Streams {
    /// Ends a stream of which nothing could be sent for `most` though there was something.
    pub fn new(most: Duration) -> Self {
        Self { most }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (watch, most) = (Arc::new(Watch::new()), self.most);
        let stream = STREAM.scope(watch.clone(), stream);
        TokioExecutor::new().execute(async move {
            tokio::select! {
                () = stream => {}
                // What is dropped before its end is reset, and what waits of it is dropped too.
                () = watch.stalled(most) => {
                    tracing::debug!("a stream was ended: its client took nothing for too long");
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
    moved: Instant,
    /// Whoever waits for the client to have taken all.
    end: Option<Waker>,
}

impl Watch {
    fn new() -> Self {
        Self(Mutex::new(State {
            waiting: 0,
            is_ready: false,
            moved: Instant::now(),
            end: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the client could have taken something, and took nothing, for `most`.
    async fn stalled(&self, most: Duration) {
        loop {
            let left = {
                let state = self.lock();
                match state.waiting > 0 || state.is_ready {
                    true => most.saturating_sub(state.moved.elapsed()),
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
        state.is_ready = is_ready;
        state.waiting += more;
        if state.waiting == more {
            // From now on the client is waited for.
            state.moved = Instant::now();
        }
    }

    /// Notes that bytes are on their way, or not wanted any more.
    fn gone(&self, bytes: usize) {
        let mut state = self.lock();
        state.waiting = state.waiting.saturating_sub(bytes);
        state.moved = Instant::now();
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
}

impl Watched {
    /// A body of the stream in whose task this is called, if it is a stream's.
    pub fn new(body: Body) -> Self {
        let watch = STREAM.try_with(Arc::clone).ok();
        if let Some(watch) = &watch {
            watch.note(true, 0);
        }
        Self {
            is_over: body.is_end_stream(),
            body,
            watch,
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
